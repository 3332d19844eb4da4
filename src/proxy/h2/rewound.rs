//! A connection of which something was read already: that is read again first.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;

/// A stream with bytes before it.
#[derive(Debug)]
pub(in crate::proxy) struct Rewound {
    before: Vec<u8>,
    used: usize,
    stream: Stream,
}

// === impl Rewound ===

impl Rewound {
    /// The stream, and what was read of it.
    pub(in crate::proxy) fn new(before: Vec<u8>, stream: Stream) -> Self {
        Self { before, used: 0, stream }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = &this.before[this.used..];
        if before.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = before.len().min(buf.remaining());
        buf.put_slice(&before[..count]);
        this.used += count;
        if this.used == this.before.len() {
            this.before = Vec::new();
            this.used = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
