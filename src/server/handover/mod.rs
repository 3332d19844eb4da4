//! Handing everything over to a new process, without a moment in which nobody listens.
//!
//! The running process has a socket in its data directory ([`Door`]). A new one asks there ([`Taken`]) and gets, as descriptors, the
//! lock on the directory, the admin API's socket and those of all listeners. The order of events:
//!
//! 1. The running process stops following commands: they wait, and the store does not change. Requests go on.
//! 2. The new one starts as far as it can without effect: file, store, snapshot, sockets, workers. Then it says so.
//! 3. The running one says: go on. From here on it follows no command any more.
//! 4. The new one accepts, and says that it serves. It writes to the store from now on.
//! 5. The running one stops accepting. What waits in the queues of the sockets is the new one's, since they are the same sockets.
//!    It finishes its requests and ends.
//!
//! If anything fails before 5, if the new one dies or takes too long, the running one follows commands again, and nothing has
//! happened. The kill switch does not wait: until 3 it ends the attempt.

mod offer;
mod take;
mod wire;

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

pub use self::take::TakeoverError;
pub(super) use self::{
    offer::{Belongings, Door, Successor},
    take::Taken,
};

/// The socket's name in the data directory.
const SOCKET: &str = "takeover.sock";
/// The longest path of a unix socket (`sun_path`, unix(7)), with its end.
const LONGEST: usize = 107;

/// Calls `act` with a path of the socket in `directory` that is short enough to be a socket's: one through the descriptor of the
/// directory where its own name is too long.
fn with_short_path<T>(directory: &Path, act: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = directory.join(SOCKET);
    if path.as_os_str().len() <= LONGEST {
        return act(path);
    }
    let directory = File::open(directory)?;
    act(PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(SOCKET))
}
