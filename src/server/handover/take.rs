//! The new process's side: it asks for everything, becomes ready, and serves when it is told to.

use std::{fs::File, io, os::fd::OwnedFd, path::Path, time::Duration};

use tokio::{net::UnixStream, time::timeout};

use super::wire::{self, Answer, Handed, Hello, PROTOCOL, Step};
use crate::server::inherited::Socket;

/// For an answer of the running process: it may have to bring to disk first what is in force.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// What another process has handed over. Until this has said that it serves, the other one goes on; when it is dropped, too.
pub(in crate::server) struct Taken {
    stream: UnixStream,
    /// The lock on the data directory.
    pub(in crate::server) lock: Option<File>,
    /// The admin API's socket and its address.
    pub(in crate::server) admin: Option<(OwnedFd, String)>,
    /// The listeners' sockets.
    pub(in crate::server) sockets: Vec<Socket>,
}

/// Why this process cannot take over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The connection failed.
    #[error("the running process broke off")]
    Io(#[from] io::Error),
    /// The other one does not answer.
    #[error("the running process does not answer")]
    Late,
    /// The other one has a reason.
    #[error("the running process goes on: {0}")]
    Refused(String),
}

// === impl Taken ===

impl Taken {
    /// Asks the process that runs with this data directory for all that it has; `None` when there is none.
    ///
    /// # Errors
    /// When there is one, and it does not give it.
    pub(in crate::server) async fn ask(directory: &Path) -> Result<Option<Self>, TakeoverError> {
        let connected = super::with_short_path(directory, std::os::unix::net::UnixStream::connect);
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
                _ => return Err(error.into()),
            },
        };
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream)?;
        let asking = async {
            wire::send(&mut stream, &Hello { protocol: PROTOCOL }).await?;
            let handed = match wire::receive(&mut stream).await? {
                Answer::Offer(handed) => handed,
                Answer::Refused(why) => return Err(TakeoverError::Refused(why)),
            };
            let descriptors = wire::receive_descriptors(&stream, handed.len()).await?;
            Ok((handed, descriptors))
        };
        let (handed, descriptors) =
            timeout(ANSWER_LIMIT, asking).await.map_err(|_| TakeoverError::Late)??;
        let mut taken = Self { stream, lock: None, admin: None, sockets: Vec::new() };
        for (what, descriptor) in handed.into_iter().zip(descriptors) {
            match what {
                Handed::Lock => taken.lock = Some(descriptor.into()),
                Handed::Admin { address } => taken.admin = Some((descriptor, address)),
                Handed::Listener { name, wanted, activated } => {
                    let wanted = Some(wanted).filter(|wanted| !wanted.is_empty());
                    taken.sockets.push(Socket { name, wanted, activated, descriptor });
                }
            }
        }
        Ok(Some(taken))
    }

    /// Says that everything is ready, and waits to be told to go on. After that the other process writes nothing any more.
    ///
    /// # Errors
    /// When the other one goes on instead.
    pub(in crate::server) async fn ready(&mut self) -> Result<(), TakeoverError> {
        let asking = async {
            wire::send(&mut self.stream, &Step::Ready).await?;
            wire::receive(&mut self.stream).await
        };
        match timeout(ANSWER_LIMIT, asking).await.map_err(|_| TakeoverError::Late)?? {
            Step::Go => Ok(()),
            Step::Stay(why) => Err(TakeoverError::Refused(why)),
            Step::Ready | Step::Serving => {
                Err(TakeoverError::Refused("it said something out of turn".to_owned()))
            }
        }
    }

    /// Says that this process serves: the other one stops accepting, finishes what is under way and ends.
    pub(in crate::server) async fn serving(mut self) {
        // Whether it hears it or not: it follows no command any more, and notices that this process is alive.
        let _ = timeout(ANSWER_LIMIT, wire::send(&mut self.stream, &Step::Serving)).await;
    }
}
