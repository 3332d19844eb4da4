//! A socket that gives up on a peer which takes nothing, and closes so that the peer sees the last answer.
//!
//! A client that stops reading would hold its connection, and what waits to be written to it, for as long as it likes: TCP
//! probes a closed window for ever. The patience is for progress, not for the whole answer; a slow client that reads at all
//! is served to the end.
//!
//! An answer that is given before the whole request has come (a denial, say) ends the connection. Were it closed at once, what
//! the client still sends would be met by a reset, which takes the answer from a client that has not read it yet. So the
//! socket is closed for writing first and read a while longer (RFC 9112, section 9.6).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a closing connection is read, unless the peer closes it earlier.
const LINGER: Duration = Duration::from_secs(1);
/// How much is read of a closing connection, in bytes.
const LINGER_BYTES: usize = 256 * 1024;

/// A socket whose writes fail when the peer takes nothing for a while, and whose shutdown waits for what the peer still sends.
pub(super) struct Patient<S> {
    socket: S,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// There once nothing more will be written.
    lingering: Option<Lingering>,
}

/// What is left of the patience with a closing connection.
struct Lingering {
    timer: Pin<Box<Sleep>>,
    bytes: usize,
}

// === impl Patient ===

impl<S> Patient<S> {
    pub(super) fn new(socket: S, patience: Duration) -> Self {
        Self { socket, patience, waiting: None, lingering: None }
    }

    /// What a write gave, or an error when it has given nothing for too long.
    fn judge<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// Reads what still comes, and forgets it, until the peer closes, too much has come or the time is over.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let lingering = self
            .lingering
            .get_or_insert_with(|| Lingering { timer: Box::pin(sleep(LINGER)), bytes: LINGER_BYTES });
        let mut space = [0; 4096];
        while lingering.bytes > 0 {
            let mut piece = ReadBuf::new(&mut space);
            match Pin::new(&mut self.socket).poll_read(context, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    lingering.bytes = lingering.bytes.saturating_sub(piece.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return lingering.timer.as_mut().poll(context),
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        self.judge(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let shut = Pin::new(&mut self.socket).poll_shutdown(context);
            ready!(self.judge(shut, context))?;
        }
        self.linger(context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut socket = Patient::new(ours, PATIENCE);
        let began = crate::types::clock::now();
        let error = socket.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_only_slow_is_served() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut socket = Patient::new(ours, PATIENCE);
        let reading = tokio::spawn(async move {
            let mut piece = [0; 16];
            for _ in 0..8 {
                tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
                theirs.read_exact(&mut piece).await.unwrap();
            }
        });
        socket.write_all(&[0; 128]).await.unwrap();
        reading.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_last_answer_is_read() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut socket = Patient::new(ours, PATIENCE);
        let late = tokio::spawn(async move {
            tokio::time::sleep(LINGER / 2).await;
            theirs.write_all(&[0; 128]).await.unwrap();
            theirs.shutdown().await.unwrap();
            theirs
        });
        let began = crate::types::clock::now();
        socket.shutdown().await.unwrap();
        assert!(late.is_finished() && began.elapsed() < LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_closes_is_left() {
        let (ours, theirs) = tokio::io::duplex(16);
        let mut socket = Patient::new(ours, PATIENCE);
        let began = crate::types::clock::now();
        socket.shutdown().await.unwrap();
        assert!(began.elapsed() >= LINGER && began.elapsed() < LINGER * 2);
        drop(theirs);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_stops_is_left() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let mut socket = Patient::new(ours, PATIENCE);
        let flood = tokio::spawn(async move { while theirs.write_all(&[0; 4096]).await.is_ok() {} });
        socket.shutdown().await.unwrap();
        drop(socket);
        flood.await.unwrap();
    }
}
