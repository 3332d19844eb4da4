//! A listening socket in a runtime.

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::{Plain, bind::ListeningSocket};
use crate::types::address::UNIX_PEER;

/// Takes connections.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

// === impl Listener ===

impl Listener {
    /// Registers a socket with the runtime.
    ///
    /// # Errors
    /// When the runtime does not take it.
    pub fn new(socket: ListeningSocket) -> io::Result<Self> {
        Ok(match socket {
            ListeningSocket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(socket)?)
            }
            ListeningSocket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(socket)?)
            }
        })
    }

    /// The next connection and its other end; that of a unix socket is [`UNIX_PEER`].
    ///
    /// # Errors
    /// As accept(2).
    pub async fn accept(&self) -> io::Result<(Plain, SocketAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| (stream.into(), peer)),
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), unix_peer()))
            }
        }
    }

    /// Leaves the runtime; what waits on the socket is taken by [`Leftover::next`].
    ///
    /// # Errors
    /// When the runtime does not give it back.
    pub fn into_leftover(self) -> io::Result<Leftover> {
        Ok(Leftover(match self {
            Self::Tcp(listener) => ListeningSocket::Tcp(listener.into_std()?),
            Self::Unix(listener) => ListeningSocket::Unix(OwnedFd::from(listener.into_std()?).into()),
        }))
    }
}

/// A listening socket that is about to close.
#[derive(Debug)]
pub struct Leftover(ListeningSocket);

// === impl Leftover ===

impl Leftover {
    /// A connection that the kernel has accepted already; `None` when there is none.
    pub fn next(&self) -> Option<(Plain, SocketAddr)> {
        loop {
            let accepted = match &self.0 {
                ListeningSocket::Tcp(listener) => {
                    listener.accept().and_then(|(stream, peer)| Ok((tcp(stream)?, peer)))
                }
                ListeningSocket::Unix(listener) => {
                    listener.accept().and_then(|(stream, _)| Ok((unix(stream)?, unix_peer())))
                }
            };
            match accepted {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

fn tcp(stream: std::net::TcpStream) -> io::Result<Plain> {
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream)?.into())
}

fn unix(stream: std::os::unix::net::UnixStream) -> io::Result<Plain> {
    stream.set_nonblocking(true)?;
    Ok(UnixStream::from_std(stream)?.into())
}

fn unix_peer() -> SocketAddr {
    SocketAddr::new(UNIX_PEER, 0)
}
