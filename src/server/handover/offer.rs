//! The running process's side: it offers all that it has, and goes on if anything fails.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::sockopt::socket_peercred;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::oneshot,
    time::timeout,
};

use super::{
    SOCKET,
    wire::{self, Answer, Handed, Hello, PROTOCOL, Step},
};
use crate::{
    control::{Control, PauseError, Paused},
    server::{inherited::Socket, note, publisher::Stage},
};

/// For the greeting, which is sent at once.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// For the new process to become ready, while changes wait.
const START_LIMIT: Duration = Duration::from_secs(30);
/// From being told to go on to serving, which needs nothing that could fail.
const SERVING_LIMIT: Duration = Duration::from_secs(10);
/// After an accept that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// What is handed over beside the listeners' sockets.
pub(in crate::server) struct Belongings {
    pub(in crate::server) control: Control,
    pub(in crate::server) stage: Stage,
    /// The lock on the data directory.
    pub(in crate::server) lock: File,
    /// The admin API's socket and the address that it has.
    pub(in crate::server) admin: (OwnedFd, String),
}

/// The process that has taken over. As long as this lives, no command is followed here.
pub(in crate::server) struct Successor {
    /// Its number; 0 when it is not known.
    pub(in crate::server) pid: u32,
    _paused: Paused,
}

/// The socket in the data directory where a new process asks.
pub(in crate::server) struct Door {
    listener: UnixListener,
    path: PathBuf,
    /// Whether the file is another process's by now.
    left: bool,
}

/// Why a process could not take over.
#[derive(Debug, thiserror::Error)]
enum OfferError {
    #[error("it broke off: {0}")]
    Io(#[from] io::Error),
    #[error("it was not ready after {START_LIMIT:?}")]
    Late,
    #[error("it speaks another version of the hand-over ({0}, this is {PROTOCOL})")]
    Protocol(u32),
    #[error(transparent)]
    Pause(#[from] PauseError),
    #[error("it said something out of turn")]
    Turn,
}

// === impl Door ===

impl Door {
    /// Listens in `directory`, whose lock this process has: what a socket of another process has left there is replaced.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(in crate::server) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = super::with_short_path(directory, |short| UnixListener::bind(short))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path, left: false })
    }

    /// Waits until another process has taken over.
    pub(in crate::server) async fn wait(mut self, belongings: Belongings, taken: oneshot::Sender<Successor>) {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let pid =
                socket_peercred(&stream).map_or(0, |peer| peer.pid.as_raw_nonzero().get().unsigned_abs());
            match offer(&mut stream, &belongings).await {
                Ok(paused) => {
                    self.left = true;
                    let _ = taken.send(Successor { pid, _paused: paused });
                    return;
                }
                Err(error) => {
                    let _ =
                        timeout(HELLO_LIMIT, wire::send(&mut stream, &Step::Stay(error.to_string()))).await;
                    note(&format!("process {pid} could not take over: {error}; this one goes on"));
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if !self.left {
            drop(fs::remove_file(&self.path));
        }
    }
}

async fn offer(stream: &mut UnixStream, belongings: &Belongings) -> Result<Paused, OfferError> {
    let hello: Hello = timeout(HELLO_LIMIT, wire::receive(stream)).await.map_err(|_| OfferError::Late)??;
    if hello.protocol != PROTOCOL {
        return refuse(stream, OfferError::Protocol(hello.protocol)).await;
    }
    let mut paused = match belongings.control.pause().await {
        Ok(paused) => paused,
        Err(error) => return refuse(stream, error.into()).await,
    };
    // When it fails, the pause ends with it.
    hand_over(stream, belongings, &mut paused).await?;
    Ok(paused)
}

async fn refuse(stream: &mut UnixStream, error: OfferError) -> Result<Paused, OfferError> {
    wire::send(stream, &Answer::Refused(error.to_string())).await?;
    Err(error)
}

async fn hand_over(
    stream: &mut UnixStream,
    belongings: &Belongings,
    paused: &mut Paused,
) -> Result<(), OfferError> {
    let sockets = belongings.stage.sockets()?;
    let mut handed = vec![Handed::Lock, Handed::Admin { address: belongings.admin.1.clone() }];
    let mut descriptors = vec![belongings.lock.as_fd(), belongings.admin.0.as_fd()];
    for Socket { name, wanted, activated, descriptor } in &sockets {
        let (name, wanted) = (name.clone(), wanted.clone().unwrap_or_default());
        handed.push(Handed::Listener { name, wanted, activated: *activated });
        descriptors.push(descriptor.as_fd());
    }
    let start = async {
        wire::send(stream, &Answer::Offer(handed)).await?;
        wire::send_descriptors(stream, &descriptors).await?;
        expect(stream, |step| matches!(step, Step::Ready)).await
    };
    tokio::select! {
        started = timeout(START_LIMIT, start) => started.map_err(|_| OfferError::Late)??,
        () = paused.broken() => return Err(PauseError::Emergency.into()),
    }
    paused.seal().await?;
    wire::send(stream, &Step::Go).await?;
    match timeout(SERVING_LIMIT, expect(stream, |step| matches!(step, Step::Serving))).await {
        Ok(served) => served,
        // It is alive, and may serve at any moment: two masters would be worse than a late one.
        Err(_) => Ok(()),
    }
}

async fn expect(stream: &mut UnixStream, is_it: impl Fn(&Step) -> bool) -> Result<(), OfferError> {
    let step: Step = wire::receive(stream).await?;
    if is_it(&step) { Ok(()) } else { Err(OfferError::Turn) }
}
