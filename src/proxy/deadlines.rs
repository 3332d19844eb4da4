//! The times at which something must happen to an attempt under way; the connection's timer is set to the first.

use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;
use crate::{policy::BodyRate, types::clock};

/// How long a client that has closed its sending side is still served when nothing can be written to it. It may have
/// half-closed (as `nc -N` does) or left; only writing tells, and until then this is the compromise.
pub(super) const HALF_CLOSE_GRACE: Duration = Duration::from_millis(500);
/// How long the upstream may think about `Expect: 100-continue` before Weir itself tells the client to go on, so that an
/// upstream that ignores the expectation is no deadlock (RFC 9110, section 10.1.1 lets a client wait for ever).
pub(super) const CONTINUE_AFTER: Duration = Duration::from_millis(250);
/// Most interim responses to one request. A few are usual; a stream of them would never let the request time out.
pub(super) const MAX_INTERIM: u32 = 100;

/// What an attempt is allowed to take; a time of zero is for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the whole request sent to the response's head.
    pub(super) response_headers: Duration,
    /// Without a byte in either direction.
    pub(super) stream_idle: Duration,
    /// The same in a tunnel.
    pub(super) tunnel_idle: Duration,
    /// Most bytes of the request's body.
    pub(super) max_body: Option<u64>,
    /// How fast it must come.
    pub(super) min_body_rate: Option<BodyRate>,
}

/// The deadlines of an attempt.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// For the phase, and what to say when it passes.
    pub(super) phase: Option<(Instant, Phase)>,
    /// When a client that closed its sending side is taken for gone.
    pub(super) client: Option<Instant>,
    /// When Weir says 100 itself.
    pub(super) go_on: Option<Instant>,
    /// When the client's body is too slow.
    pub(super) body: Option<Instant>,
    /// What that goes by, until the response begins.
    pace: Option<Pace>,
}

/// What an attempt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The response's head, with the whole request sent.
    ResponseHead,
    /// Any byte of a body.
    Stream,
}

// === impl Deadlines ===

impl Deadlines {
    /// For an attempt with these limits; `client` is when a client that closed its sending side is taken for gone.
    pub(super) fn new(limits: &Limits, client: Option<Instant>) -> Self {
        Self { client, pace: limits.min_body_rate.map(Pace::new), ..Self::default() }
    }

    /// The next one.
    pub(super) fn first(&self) -> Option<Instant> {
        [self.phase.map(|(at, _)| at), self.client, self.go_on, self.body].into_iter().flatten().min()
    }

    /// The response begins: what was waited for is there.
    pub(super) fn head_is_there(&mut self) {
        *self = Self { client: self.client, ..Self::default() };
    }

    /// Whether the client is to blame that its body is not there yet, of which `bytes` are.
    pub(super) fn watch_body(&mut self, is_clients_turn: bool, bytes: u64) {
        if let Some(pace) = &mut self.pace {
            self.body = pace.observe(clock::now(), is_clients_turn, bytes);
        }
    }
}

/// The deadline of a phase that began `now` and may take `after`.
pub(super) fn phase(now: Instant, after: Duration, phase: Phase) -> Option<(Instant, Phase)> {
    (!after.is_zero()).then(|| (now + after, phase))
}
