//! Listening sockets as descriptors: received from another process, or given to one.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use socket2::SockRef;

use super::ListeningSocket;

impl TryFrom<OwnedFd> for ListeningSocket {
    type Error = io::Error;

    /// Takes a socket that listens already, TCP or unix.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let address = SockRef::from(&descriptor).local_addr()?;
        if address.is_unix() {
            Ok(Self::Unix(descriptor.into()))
        } else if address.as_socket().is_some() {
            // What connections inherit: a service manager does not set it.
            SockRef::from(&descriptor).set_tcp_nodelay(true)?;
            Ok(Self::Tcp(descriptor.into()))
        } else {
            Err(io::Error::new(io::ErrorKind::Unsupported, "neither TCP nor a unix socket"))
        }
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}
