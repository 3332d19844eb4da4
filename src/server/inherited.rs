//! Listening sockets that are older than this process: from a service manager (socket activation, sd_listen_fds(3)), or from the
//! process that it takes over from.
//!
//! A socket of a service manager is a listener's by its name (`FileDescriptorName=`, in LISTEN_FDNAMES), else by its address; and
//! it stays open as long as this process lives, since the service manager holds it as well: what is closed here would still take
//! connections, and could not be bound again. A socket that another process handed over is a listener's when that asks for the
//! same address.

use std::{io, os::fd::OwnedFd, sync::Arc};

use listenfd::ListenFd;
use socket2::SockRef;

use crate::types::Address;

/// The name of the admin API's socket.
const ADMIN: &str = "admin";

/// A listening socket.
#[derive(Debug)]
pub(super) struct Socket {
    /// The listener that it belongs to, or the name that the service manager gave it.
    pub(super) name: String,
    /// The address that its listener asked for, in another process.
    pub(super) wanted: Option<String>,
    /// Whether a service manager holds it, too.
    pub(super) activated: bool,
    /// The socket.
    pub(super) descriptor: OwnedFd,
}

/// The sockets that a service manager has passed to this process.
#[derive(Debug, Clone, Default)]
pub struct Activated(Arc<Vec<Socket>>);

/// Why such a socket cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("socket {at} of LISTEN_FDS (`{name}`) is no listening TCP or unix socket")]
pub struct ActivationError {
    /// Its place, from 1.
    at: usize,
    /// Its name, if it has one.
    name: String,
    #[source]
    source: io::Error,
}

/// Sockets that listeners of the first state can have.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    activated: Vec<Socket>,
    handed: Vec<Socket>,
}

// === impl Activated ===

impl Activated {
    /// Takes the sockets that LISTEN_FDS names. To be called once, before anything opens a descriptor.
    ///
    /// # Errors
    /// When one of them does not listen.
    pub fn from_environment() -> Result<Self, ActivationError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let failed = |source| ActivationError { at: at + 1, name: name.clone(), source };
            let descriptor = match passed.take_tcp_listener(at) {
                Ok(tcp) => tcp.map(OwnedFd::from),
                Err(_) => passed.take_unix_listener(at).map_err(failed)?.map(OwnedFd::from),
            };
            let Some(descriptor) = descriptor else { continue };
            match SockRef::from(&descriptor).is_listener() {
                Ok(true) => {}
                Ok(false) => return Err(failed(io::ErrorKind::NotConnected.into())),
                Err(error) => return Err(failed(error)),
            }
            sockets.push(Socket { name, wanted: None, activated: true, descriptor });
        }
        Ok(Self(Arc::new(sockets)))
    }
}

// === impl Inherited ===

impl Inherited {
    /// What a service manager and another process have passed on.
    ///
    /// # Errors
    /// When this process is out of descriptors.
    pub(super) fn new(activated: &Activated, handed: Vec<Socket>) -> io::Result<Self> {
        let again = activated.0.iter().map(Socket::try_clone).collect::<io::Result<Vec<_>>>()?;
        // What a service manager has passed to the other process, this one keeps as that one did.
        let passed_on = handed.iter().filter(|socket| socket.activated).map(Socket::try_clone);
        let passed_on = passed_on.collect::<io::Result<Vec<_>>>()?;
        let handed = handed.into_iter().filter(|socket| !socket.activated).collect();
        Ok(Self { activated: again.into_iter().chain(passed_on).collect(), handed })
    }

    /// The sockets of the listener `name`, which asks for `wanted`; none when it has to bind.
    ///
    /// # Errors
    /// When this process is out of descriptors.
    pub(super) fn of_listener(&mut self, name: &str, wanted: &str) -> io::Result<Vec<Socket>> {
        let named = self.activated.iter().any(|socket| socket.name == name);
        let fits = |socket: &&Socket| {
            if named { socket.name == name } else { socket.address().is_ok_and(|address| address == wanted) }
        };
        let activated =
            self.activated.iter().filter(fits).map(Socket::try_clone).collect::<io::Result<Vec<_>>>()?;
        if !activated.is_empty() {
            return Ok(activated);
        }
        let is_it = |socket: &mut Socket| {
            // A unix socket does not know its place, but there is one at each.
            let same = socket.wanted.as_deref() == Some(wanted)
                && (socket.name == name || wanted.starts_with("unix:"));
            same || socket.address().is_ok_and(|address| address == wanted)
        };
        Ok(self.handed.extract_if(.., is_it).collect())
    }

    /// The service manager's socket for the admin API at `wanted`.
    ///
    /// # Errors
    /// When this process is out of descriptors.
    pub(super) fn of_admin(&self, wanted: &str) -> io::Result<Option<Socket>> {
        let fits = |socket: &&Socket| {
            socket.name == ADMIN || socket.address().is_ok_and(|address| address == wanted)
        };
        self.activated.iter().find(fits).map(Socket::try_clone).transpose()
    }

    /// Closes what no listener wanted of another process: that one has it, too. For after the first state was made.
    pub(super) fn forget_handed(&mut self) {
        self.handed.clear();
    }

    /// The service manager's sockets whose address is not `used`, for people.
    pub(super) fn unused(&self, used: impl Fn(&str) -> bool) -> Vec<String> {
        let addresses = self
            .activated
            .iter()
            .map(|socket| (socket.name.as_str(), socket.address().unwrap_or_else(|error| error.to_string())));
        let unused = addresses.filter(|(_, address)| !used(address));
        unused.map(|(name, address)| format!("{address} (`{name}`)")).collect()
    }
}

// === impl Socket ===

impl Socket {
    /// The address that it has, as control files write it.
    ///
    /// # Errors
    /// When it has none that Weir knows.
    pub(super) fn address(&self) -> io::Result<String> {
        let address = SockRef::from(&self.descriptor).local_addr()?;
        let path = address.as_pathname().map(|path| Address::Unix(path.to_owned()));
        let address = address.as_socket().map(Address::Tcp).or(path);
        Ok(address.ok_or(io::ErrorKind::Unsupported)?.to_string())
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            wanted: self.wanted.clone(),
            activated: self.activated,
            descriptor: self.descriptor.try_clone()?,
        })
    }
}
