//! The listeners' sockets: inherited or bound, opened in the data plane, and kept for a process that takes over.

use std::{
    collections::BTreeMap,
    fs, io,
    os::{fd::AsFd as _, unix::fs::PermissionsExt as _},
};

use super::{Inner, Opened, Stage};
use crate::{
    config::Config,
    net::{self, Bound, ListeningSocket, SocketFile},
    proxy::OpenListener,
    server::inherited::{self, Inherited},
    snapshot::{Listener, listeners},
    types::{Address, Name},
};

/// An address to listen on, and the permissions of its file, as a listener asks for them.
pub(super) type Wanted = (Address, Option<u32>);

/// A listener's sockets.
pub(super) struct Listening {
    wanted: Wanted,
    /// The address that it has.
    address: Address,
    /// Whether a service manager holds the sockets, too.
    activated: bool,
    /// Other handles to the sockets, for a process that takes over. They must be gone before a worker closes its own: a socket that
    /// is open takes connections.
    sockets: Vec<ListeningSocket>,
    /// Removed when it closes.
    file: Option<SocketFile>,
}

// === impl Stage ===

impl Stage {
    /// Takes sockets that are older than this process. For before the first state.
    pub(in crate::server) fn inherit(&self, inherited: Inherited) {
        self.lock().inherited = inherited;
    }

    /// The addresses that the listeners have.
    pub(in crate::server) fn listeners(&self) -> BTreeMap<Name, Address> {
        let inner = self.lock();
        inner.listeners.iter().map(|(name, listening)| (name.clone(), listening.address.clone())).collect()
    }

    /// The service manager's sockets that no listener and no admin API at `admin` uses, for people.
    pub(in crate::server) fn unused_sockets(&self, admin: &str) -> Vec<String> {
        let inner = self.lock();
        inner.inherited.unused(|address| {
            address == admin || inner.listeners.values().any(|known| known.address.to_string() == address)
        })
    }

    /// Handles to the sockets of all listeners.
    ///
    /// # Errors
    /// When this process is out of descriptors.
    pub(in crate::server) fn sockets(&self) -> io::Result<Vec<inherited::Socket>> {
        let inner = self.lock();
        let mut handed = Vec::new();
        for (name, listening) in &inner.listeners {
            for socket in &listening.sockets {
                handed.push(inherited::Socket {
                    name: name.to_string(),
                    wanted: Some(listening.wanted.0.to_string()),
                    activated: listening.activated,
                    descriptor: socket.as_fd().try_clone_to_owned()?,
                });
            }
        }
        Ok(handed)
    }

    /// Lets go of the sockets, which the workers still have. Their files stay if another process has them now.
    pub(super) fn let_go(&self, handed_over: bool) {
        for listening in self.lock().listeners.values_mut() {
            listening.sockets.clear();
            if let Some(file) = listening.file.take_if(|_| handed_over) {
                file.keep();
            }
        }
    }
}

// === impl Inner ===

impl Inner {
    /// Binds the listeners that are new or have moved, or finds their sockets among the inherited ones.
    pub(super) fn bind(&mut self, config: &Config) -> Result<Vec<Opened>, String> {
        let mut opened = Vec::new();
        for (name, listener) in listeners(config) {
            let wanted = (listener.bind, listener.mode);
            if self.listeners.get(&name).is_some_and(|known| known.wanted == wanted) {
                continue;
            }
            let failed = |error| format!("listener `{name}` cannot bind {}: {error}", wanted.0);
            let found = self.inherited.of_listener(name.as_str(), &wanted.0.to_string()).map_err(failed)?;
            let activated = found.iter().any(|socket| socket.activated);
            let bound = if found.is_empty() {
                let ours = self.listeners.values().any(|known| known.address == wanted.0);
                net::bind(&wanted.0, self.workers, wanted.1, !ours).map_err(failed)?
            } else {
                adopt(found, activated, &wanted).map_err(failed)?
            };
            let kept = bound.sockets.iter().map(ListeningSocket::try_clone);
            let kept = kept.collect::<io::Result<_>>().map_err(failed)?;
            opened.push(Opened { name, wanted, bound, activated, kept });
        }
        Ok(opened)
    }

    /// Opens what was bound, and closes the listeners that are gone or have moved.
    pub(super) fn open_listeners(&mut self, config: &Config, opened: Vec<Opened>) {
        let wanted: BTreeMap<Name, Listener> = listeners(config);
        let gone: Vec<Name> = self
            .listeners
            .keys()
            .filter(|name| !wanted.contains_key(*name) || opened.iter().any(|new| new.name == **name))
            .cloned()
            .collect();
        for name in gone {
            self.listeners.remove(&name);
            if let Some(plane) = &self.plane {
                plane.close(&name);
            }
        }
        for Opened { name, wanted: asked, bound: Bound { address, sockets, file }, activated, kept } in opened
        {
            let Some(listener) = wanted.get(&name) else { continue };
            let shards = self.registry.listener(&name);
            let open = OpenListener {
                name: name.clone(),
                sockets,
                shards,
                opened: Listener { tls: self.certificates.of_listener(&name), ..listener.clone() },
            };
            match &self.plane {
                Some(plane) => plane.open(open),
                None => self.waiting.push(open),
            }
            let listening = Listening { wanted: asked, address, activated, sockets: kept, file };
            self.listeners.insert(name, listening);
        }
        // What another process has handed over is for the first state only.
        self.inherited.forget_handed();
    }
}

/// Listens on sockets that were there before.
fn adopt(found: Vec<inherited::Socket>, activated: bool, wanted: &Wanted) -> io::Result<Bound> {
    let sockets = found.into_iter().map(|socket| ListeningSocket::try_from(socket.descriptor));
    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
    match wanted {
        // A unix socket of another Weir knows the place where it was bound, and was moved to this one. Its file is this
        // process's from now on; a service manager removes its own.
        (Address::Unix(path), mode) if !activated => {
            if let Some(mode) = mode {
                fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
            }
            Ok(Bound { address: wanted.0.clone(), file: SocketFile::of(path).ok(), sockets })
        }
        _ => {
            let address = sockets.first().ok_or(io::ErrorKind::NotFound)?.address()?;
            Ok(Bound { address, sockets, file: None })
        }
    }
}
