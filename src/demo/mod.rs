//! The world around the demo's proxy: two versions of a service, and users who never stop asking.
//!
//! Everything here speaks plain HTTP to the proxy and knows nothing of Weir; so what the demo shows is what any service and
//! any client would see. `cli/demo` starts the proxy, changes the weights, and draws.

mod backend;
mod ledger;
mod load;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use tokio::sync::watch;

pub use ledger::{Ledger, StepReport, Tally, Totals, Version};

/// The versions and the users, on a thread of their own. Dropping it ends them.
#[derive(Debug)]
pub struct World {
    addresses: [SocketAddr; 2],
    ledger: Arc<Ledger>,
    proxy: watch::Sender<Option<SocketAddr>>,
    thread: Option<thread::JoinHandle<()>>,
}

// === impl World ===

impl World {
    /// Starts the two versions on free ports. The same seed gives the same users, in the same order, and the same
    /// latencies.
    ///
    /// # Errors
    /// When no socket or thread can be had.
    pub fn start(seed: u64) -> io::Result<Self> {
        let bind = || {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        };
        let listeners = [bind()?, bind()?];
        let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?];
        let ledger = Arc::<Ledger>::default();
        let (proxy, target) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let books = Arc::clone(&ledger);
        let life = async move {
            let mut tasks = tokio::task::JoinSet::new();
            for (listener, version) in listeners.into_iter().zip(Version::ALL) {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tasks.spawn(backend::serve(listener, version, seed));
            }
            let mut closing = target.clone();
            tasks.spawn(load::generate(target, books, seed));
            // Ends when the world is dropped, and everything on this runtime with it.
            while closing.changed().await.is_ok() {}
        };
        let thread =
            thread::Builder::new().name("demo-world".to_owned()).spawn(move || runtime.block_on(life))?;
        Ok(Self { addresses, ledger, proxy, thread: Some(thread) })
    }

    /// Where the versions listen, v1 first.
    #[must_use]
    pub fn addresses(&self) -> [SocketAddr; 2] {
        self.addresses
    }

    /// Lets the users loose on the proxy.
    pub fn aim(&self, proxy: SocketAddr) {
        self.proxy.send_replace(Some(proxy));
    }

    /// What the users saw.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Closes the channel, which is the sign to end.
        self.proxy = watch::channel(None).0;
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that has not been counted.
            let _ = thread.join();
        }
    }
}
