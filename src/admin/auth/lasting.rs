//! Answers that last: a stream of events ends when its caller may not read it any more.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, http::HeaderMap};
use hyper::body::{Bytes, Frame, SizeHint};

use super::{Auth, Operation, Peer};
use crate::admin::guard::now;

/// Between two looks at whether a token has ended by time. That it was revoked is told at once.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A body that ends when its caller has become unknown.
pub(in crate::admin) struct Lasting {
    body: Body,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

// === impl Lasting ===

impl Lasting {
    /// `body` for whoever sent these fields over this connection, to ask for `operation`.
    pub(in crate::admin) fn new(
        body: Body,
        auth: &Arc<Auth>,
        (operation, headers, peer): (Operation, HeaderMap, Peer),
    ) -> Self {
        let auth = Arc::clone(auth);
        let gone = async move {
            let mut changes = auth.changes();
            while auth.allows(operation, &headers, &peer, now()) {
                // Either is a reason to look again.
                let _ = tokio::time::timeout(LOOK_EVERY, changes.changed()).await;
            }
        };
        Self { body, gone: Box::pin(gone) }
    }
}

impl hyper::body::Body for Lasting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
