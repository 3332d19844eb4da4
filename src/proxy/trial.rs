//! What a rollout is told of requests on its route: that each has begun, and how it ended with the version that it was given to.
//!
//! Whoever answered in the end, the version that was chosen first is charged. Every beginning gets an end: a request whose task is
//! dropped, because its client left, ends by that.

use std::{cell::Cell, ops::Deref, time::Duration};

use tokio::time::Instant;

use super::{
    downstream::Downstream,
    error::ProxyError,
    forward::{Forwarded, Forwarder},
    trace::trace_id,
    worker::Worker,
};
use crate::{
    http::{Known, grpc},
    snapshot::Route,
    split::Assignment,
    telemetry::{
        ErrorKind, Trial,
        trial::{Arm, End, FailedRequest, Note},
    },
    types::{Reason, clock},
};

/// The longest path and the longest id of an example, in bytes.
const PATH: usize = 512;
const ID: usize = 128;

/// A beginning that was noted, whose end follows.
pub(super) struct Noted<T: Deref<Target = Trial>> {
    trial: T,
    worker: usize,
    start: Instant,
    /// What was noted, until its end was.
    begun: Cell<Option<Note>>,
}

// === impl Noted ===

impl<'a> Noted<&'a Trial> {
    /// Notes the beginning of a request that was assigned so, if it belongs to one of the rollout's versions.
    pub(super) fn request(
        (worker, route): (&Worker, &'a Route),
        assignment: &Assignment,
        start: Instant,
    ) -> Option<Self> {
        let plan = route.trial.as_deref()?;
        let note = plan.begin(assignment, plan.trial.at(start))?;
        Some(Self::begin(&plan.trial, worker.index, start, note))
    }
}

impl<T: Deref<Target = Trial>> Noted<T> {
    fn begin(trial: T, worker: usize, start: Instant, note: Note) -> Self {
        trial.note(worker, &note);
        Self { trial, worker, start, begun: Cell::new(Some(note)) }
    }

    /// Notes the beginning of a copy for the canary, of a request that came at `start`.
    pub(super) fn copy(trial: T, worker: usize, start: Instant) -> Self {
        let at = trial.at(start);
        let note = Note { at, arm: Arm::Canary, drawn: false, copy: true, bucket: None, end: None };
        Self::begin(trial, worker, start, note)
    }

    /// Notes the end; gives what was noted at the beginning, unless the end was noted before.
    pub(super) fn end(&self, end: End) -> Option<Note> {
        let begun = self.begun.take()?;
        self.trial.note(self.worker, &Note { end: Some(end), ..begun });
        Some(begun)
    }

    /// The end of a copy: a status and the time to the response's head, or what went wrong instead.
    pub(super) fn end_copy(&self, ended: Result<(u16, Duration), &ProxyError>) {
        let (status, error, duration) = match ended {
            Ok((status, took)) => (status, None, took),
            Err(error) => (error.status(), error.kind(), self.elapsed()),
        };
        self.end(End { status, error, retried: false, duration });
    }

    fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.start)
    }
}

impl<T: Deref<Target = Trial>> Drop for Noted<T> {
    fn drop(&mut self) {
        if self.begun.get().is_some() {
            let (status, error) = (499, Some(ErrorKind::AbortedByClient));
            self.end(End { status, error, retried: false, duration: self.elapsed() });
        }
    }
}

/// Notes the end of a request, as soon as nothing more can become of it.
pub(super) fn note_end(forwarder: &Forwarder<'_>, client: &Downstream<'_>, forwarded: &Forwarded<'_>) {
    let Some(noted) = &forwarder.noted else { return };
    let seen = match &forwarded.result {
        Ok(delivered) => Seen {
            status: delivered.grpc.and_then(grpc::failure_as_http).unwrap_or(delivered.status),
            error: delivered.error.as_ref().and_then(ProxyError::kind),
            until: clock::now(),
            asked_at: Some(delivered.sent_at),
        },
        Err(error) => {
            Seen { status: error.status(), error: error.kind(), until: clock::now(), asked_at: None }
        }
    };
    let end = end_of(forwarder.request.start, forwarded, seen);
    let Some(begun) = noted.end(end) else { return };
    let failed = end.status >= 500 || end.error.is_some_and(|error| error != ErrorKind::AbortedByClient);
    if failed && begun.arm == Arm::Canary {
        noted.trial.failed(|| example(forwarder, client, end));
    }
}

/// Notes the end of a request that becomes a tunnel, at `head_at`: how long its users like it says nothing of the version.
pub(super) fn note_tunnel(
    forwarder: &Forwarder<'_>,
    forwarded: &Forwarded<'_>,
    (sent_at, head_at): (Instant, Instant),
) {
    if let Some(noted) = &forwarder.noted {
        let seen = Seen { status: 101, error: None, until: head_at, asked_at: Some(sent_at) };
        noted.end(end_of(forwarder.request.start, forwarded, seen));
    }
}

/// How a request ended for its client.
struct Seen {
    status: u16,
    error: Option<ErrorKind>,
    until: Instant,
    /// When whoever answered was asked.
    asked_at: Option<Instant>,
}

/// How it ended with the version that was chosen.
fn end_of(start: Instant, forwarded: &Forwarded<'_>, seen: Seen) -> End {
    let retried = forwarded.retries > 0 || forwarded.stand_in.is_some();
    if let Some((_, failed)) = &forwarded.shielded {
        return End { status: failed.status, error: failed.error, retried, duration: failed.duration };
    }
    let Seen { status, error, until, asked_at } = seen;
    let since = |until: Instant| until.saturating_duration_since(start);
    if forwarded.stand_in == Some(Reason::Fallback) {
        // Another version's time must not be this one's.
        let duration = since(asked_at.unwrap_or(until));
        return End { status: 503, error: Some(ErrorKind::Unavailable), retried, duration };
    }
    End { status, error, retried, duration: since(until) }
}

fn example(forwarder: &Forwarder<'_>, client: &Downstream<'_>, end: End) -> FailedRequest {
    let (request, bytes) = (forwarder.request, client.bytes());
    let headers = request.head.headers(bytes);
    let text =
        |bytes: &[u8], most: usize| String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned();
    FailedRequest {
        time: clock::unix_now().saturating_sub(end.duration),
        method: request.method,
        path: text(request.target.path(bytes), PATH),
        status: end.status,
        error: end.error,
        duration: end.duration,
        request_id: headers.get("x-request-id").map(|id| text(id, ID)),
        trace_id: headers.known(Known::Traceparent).next().and_then(trace_id).map(|id| id.to_string()),
    }
}
