//! Sockets to listen on: bound with what Weir wants of them, or received ready from another process.
//!
//! TCP: one socket for each worker, all on one port (SO_REUSEPORT), so that the kernel spreads connections. Unix sockets know no
//! such thing: one is bound, and the workers share it.

use std::{
    fs, io,
    net::TcpListener as StdTcpListener,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
            net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
        },
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::types::Address;

/// Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;
/// The permissions of a unix socket's file, where nobody asks for others: its owner and its group may connect.
const MODE: u32 = 0o660;

/// A socket that listens, not yet part of a runtime.
#[derive(Debug)]
pub enum ListeningSocket {
    /// TCP.
    Tcp(StdTcpListener),
    /// A unix socket.
    Unix(StdUnixListener),
}

/// What was bound for one address.
#[derive(Debug)]
pub struct Bound {
    /// The address that it has: a port of 0 was chosen.
    pub address: Address,
    /// The sockets; at least one.
    pub sockets: Vec<ListeningSocket>,
    /// The unix socket's file.
    pub file: Option<SocketFile>,
}

/// The file of a unix socket. Removed with this, if it is still the same file by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

// === impl ListeningSocket ===

impl ListeningSocket {
    /// Another handle to the same socket: both take from the same connections that wait.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }

    /// The address that it has.
    ///
    /// # Errors
    /// When it has none that Weir knows.
    pub fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(socket) => Address::Tcp(socket.local_addr()?),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Address::Unix(path.to_owned())
            }
        })
    }
}

// === impl SocketFile ===

impl SocketFile {
    /// The file that is at `path` now.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: file.dev(), inode: file.ino() })
    }

    /// Leaves the file alone: it belongs to another process now.
    pub fn keep(mut self) {
        self.inode = 0;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| file.ino() == self.inode && file.dev() == self.device);
        if same {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Binds `address` for `count` workers. `mode` is for the file of a unix socket.
///
/// With `exclusive`, the address must be free: sharing a port with another process by accident would send it half of the
/// traffic. Without, it may be in use by this process.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: &Address, count: usize, mode: Option<u32>, exclusive: bool) -> io::Result<Bound> {
    match address {
        Address::Tcp(address) => {
            if exclusive {
                drop(tcp(*address, false)?);
            }
            let first = tcp(*address, true)?;
            let address = first.local_addr()?.as_socket().unwrap_or(*address);
            let mut sockets = vec![first];
            for _ in 1..count {
                sockets.push(tcp(address, true)?);
            }
            for socket in &sockets {
                socket.listen(BACKLOG)?;
            }
            let sockets = sockets.into_iter().map(|socket| ListeningSocket::Tcp(socket.into()));
            Ok(Bound { address: Address::Tcp(address), sockets: sockets.collect(), file: None })
        }
        Address::Unix(path) => {
            let (socket, file) = unix(path, mode.unwrap_or(MODE), exclusive)?;
            let socket = ListeningSocket::Unix(StdUnixListener::from(OwnedFd::from(socket)));
            Ok(Bound { address: address.clone(), sockets: vec![socket], file: Some(file) })
        }
    }
}

fn tcp(address: std::net::SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a unix socket beside its place and moves it there when it is complete: whoever finds it may connect, and nobody else ever
/// could. What a process that died has left there is replaced.
fn unix(path: &Path, mode: u32, exclusive: bool) -> io::Result<(Socket, SocketFile)> {
    if exclusive {
        check_free(path)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&beside)?)?;
    let ready = || -> io::Result<SocketFile> {
        fs::set_permissions(&beside, fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        fs::rename(&beside, path)?;
        SocketFile::of(path)
    };
    match ready() {
        Ok(file) => Ok((socket, file)),
        Err(error) => {
            drop(fs::remove_file(&beside));
            Err(error)
        }
    }
}

/// Whether a socket may be put at `path`: nothing is there, or a socket that nobody listens on.
fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
        }
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path, exclusive: bool) -> io::Result<Bound> {
        bind(&Address::Unix(path.to_owned()), 4, Some(0o600), exclusive)
    }

    #[test]
    fn a_unix_socket_replaces_only_what_nobody_uses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let first = at(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(at(&path, true).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // The same process may move on to another socket in its place, and the old one takes nothing away with it.
        let second = at(&path, false).unwrap();
        drop(first);
        assert!(StdUnixStream::connect(&path).is_ok());
        // A process that dies leaves its file.
        second.file.unwrap().keep();
        drop(second.sockets);
        assert!(path.exists() && StdUnixStream::connect(&path).is_err());
        drop(at(&path, true).unwrap());
        assert!(!path.exists(), "an orderly end leaves nothing");
        fs::write(&path, "text").unwrap();
        assert_eq!(at(&path, true).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
