//! What two processes say to each other, and how descriptors go along (SCM_RIGHTS, unix(7)).
//!
//! A message is its length in four bytes, big-endian, and JSON. Descriptors follow the message that announces them, a few with each
//! byte. Reading is exact to the byte: a byte that was read without asking for its descriptors would have lost them.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::UnixStream,
};

/// What both must speak.
pub(super) const PROTOCOL: u32 = 1;
/// The longest message in bytes: 10,000 listeners with long names and many workers.
const MAX_MESSAGE: usize = 64 << 20;
/// Descriptors with one byte; the kernel takes 253.
const BATCH: usize = 64;

/// The new process begins.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
}

/// What the running process answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Here is everything; as many descriptors follow.
    Offer(Vec<Handed>),
    /// Not now.
    Refused(String),
}

/// What a descriptor is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Handed {
    /// The lock on the data directory.
    Lock,
    /// The admin API's socket.
    Admin {
        /// The address that it has.
        address: String,
    },
    /// A listener's socket.
    Listener {
        /// Its name.
        name: String,
        /// The address that the listener asked for.
        wanted: String,
        /// Whether a service manager holds it, too.
        activated: bool,
    },
}

/// Said when everything is ready that can fail.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Step {
    /// The new process could serve now.
    Ready,
    /// The running process: go on, I follow no command any more.
    Go,
    /// The new process serves; stop accepting.
    Serving,
    /// The running process goes on; the new one is to end.
    Stay(String),
}

/// Sends a message.
pub(super) async fn send<T: Serialize>(stream: &mut UnixStream, message: &T) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&text).await
}

/// Receives a message.
pub(super) async fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let length = stream.read_u32().await? as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// Sends descriptors.
pub(super) async fn send_descriptors(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    for batch in descriptors.chunks(BATCH) {
        let send = || -> io::Result<()> {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(batch)) {
                return Err(io::Error::other("too many descriptors at once"));
            }
            sendmsg(stream.as_fd(), &[IoSlice::new(b"d")], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        };
        stream.async_io(Interest::WRITABLE, send).await?;
    }
    Ok(())
}

/// Receives `count` descriptors, in the order in which they were sent. They are closed on exec.
pub(super) async fn receive_descriptors(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    while all.len() < count {
        let receive = || -> io::Result<Vec<OwnedFd>> {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0; 1];
            let buffers = &mut [IoSliceMut::new(&mut byte)];
            let received = recvmsg(stream.as_fd(), buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            if received.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut descriptors = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            Ok(descriptors)
        };
        let batch = stream.async_io(Interest::READABLE, receive).await?;
        if batch.is_empty() {
            // The kernel drops what does not fit into this process's limit.
            return Err(io::Error::other("descriptors got lost; is the limit of open files too low?"));
        }
        all.extend(batch);
    }
    if all.len() > count {
        return Err(io::Error::other("more descriptors came than were announced"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read as _, Seek as _, Write as _},
    };

    use super::*;

    #[tokio::test]
    async fn messages_and_descriptors_arrive_in_order() {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let files: Vec<File> = (0..150_u8)
            .map(|at| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[at]).unwrap();
                file.rewind().unwrap();
                file
            })
            .collect();
        let sending = async {
            send(&mut left, &Answer::Offer(vec![Handed::Lock])).await.unwrap();
            let borrowed: Vec<_> = files.iter().map(std::os::fd::AsFd::as_fd).collect();
            send_descriptors(&left, &borrowed).await.unwrap();
            send(&mut left, &Step::Go).await.unwrap();
        };
        let receiving = async {
            let answer: Answer = receive(&mut right).await.unwrap();
            assert!(matches!(answer, Answer::Offer(handed) if handed == [Handed::Lock]));
            let descriptors = receive_descriptors(&right, 150).await.unwrap();
            assert!(matches!(receive(&mut right).await.unwrap(), Step::Go));
            descriptors
        };
        let ((), descriptors) = tokio::join!(sending, receiving);
        for (at, descriptor) in descriptors.into_iter().enumerate() {
            let mut byte = [0; 1];
            File::from(descriptor).read_exact(&mut byte).unwrap();
            assert_eq!(usize::from(byte[0]), at);
        }
        drop(left);
        let ended = receive_descriptors(&right, 1).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{]", b"\0\0\0\x09{}", b"GET / HTTP/1.1\r\n\r\n"] {
            let (mut left, mut right) = UnixStream::pair().unwrap();
            left.write_all(bytes).await.unwrap();
            drop(left);
            assert!(receive::<Hello>(&mut right).await.is_err(), "{bytes:?}");
        }
    }
}
