//! The attempts at one request: which endpoint next, on which backend, until there is a response for the client.
//!
//! A response with a status that is to be tried again is not thrown away: it is held until another attempt has given a better
//! one. So what the client sees in the end is always the last real response there was, and an error of ours only where there
//! was none.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    attempt::Attempt,
    bridge::{Bridge, Held},
    downstream::{BodyMark, Downstream},
    error::ProxyError,
    forward::{Delivered, Forwarded, Forwarder, InFlight},
    retry::{Failure, is_stale, may_retry, most_attempts, pause},
};
use crate::{
    http::{Framing, ResponseHead},
    telemetry::{ErrorKind, Outcome},
    types::{BackendState, OnUnavailable, Reason, clock},
    upstream::Endpoint,
};

/// Bytes of a body that are kept where only shielding may send it again.
const SHIELDED_BODY: usize = 64 * 1024;

/// Where the attempts at a request stand.
pub(super) struct Tries<'s> {
    /// Where the request's body begins.
    mark: BodyMark,
    /// Attempts on this backend.
    attempts: u32,
    /// Endpoints that are to be left out.
    tried: Vec<usize>,
    /// The endpoint of the next attempt, if it was looked for already.
    next: Option<&'s Endpoint>,
    /// Set when a pooled connection turned out to be closed: the others of its pool may be too.
    pub(super) fresh: bool,
    /// What follows an attempt that was given up at the response's head.
    step: Option<Step>,
    held: Option<Box<Waiting<'s>>>,
}

/// A response that waits.
struct Waiting<'s> {
    held: Held,
    head: ResponseHead,
    backend: usize,
    endpoint: &'s Endpoint,
    timing: Timing,
}

/// When an attempt began to send and had the response's head, and whether its connection was there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) sent_at: Instant,
    pub(super) head_at: Instant,
    pub(super) pooled: bool,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another one on this backend, or on the one that stands in.
    Again { pause: Duration, stale: bool },
    /// One on the baseline; the failure is hidden from the client and charged to the backend.
    Shield,
}

// === impl Tries ===

impl Tries<'_> {
    fn new(mark: BodyMark) -> Self {
        Self { mark, attempts: 0, tried: Vec::new(), next: None, fresh: false, step: None, held: None }
    }

    /// Another backend's turn.
    fn begin_anew(&mut self) {
        self.attempts = 0;
        self.tried.clear();
        self.next = None;
        self.fresh = false;
    }
}

// === impl Forwarder ===

impl Forwarder<'_> {
    /// Sends the request to the route's backend at `chosen`.
    pub(super) async fn forward(&self, client: &mut Downstream<'_>, chosen: usize) -> Forwarded<'_> {
        let mut state = Forwarded {
            backend: chosen,
            stand_in: None,
            endpoint: None,
            retries: 0,
            shielded: None,
            result: Err(ProxyError::Unavailable),
        };
        let mut tries = Tries::new(client.mark());
        self.prepare(client);
        loop {
            let Some(endpoint) = tries.next.take().or_else(|| self.pick(&state, &tries.tried)) else {
                if let Some(other) = self.fallback(&state) {
                    self.fall_back(&mut state, other);
                    tries.next = None;
                    continue;
                }
                if !self.may_shield(&state, Failure::Error(&ProxyError::Unavailable)) {
                    break;
                }
                self.take(&mut state, &mut tries, Step::Shield).await;
                continue;
            };
            state.endpoint = Some(endpoint);
            tries.attempts += 1;
            state.result = self.attempt(client, endpoint, &state, &mut tries).await;
            self.learn(state.backend, endpoint, &state.result);
            let Err(error) = &state.result else { break };
            let replayable = self.is_bodiless() || client.can_rewind(tries.mark);
            let decided = tries.step.take();
            let step = decided.or_else(|| {
                self.next_step(&state, &mut tries, endpoint, (Failure::Error(error), replayable))
            });
            let Some(step) = step else { break };
            if !self.is_bodiless() && !client.rewind(tries.mark) {
                break;
            }
            self.take(&mut state, &mut tries, step).await;
        }
        if let Some(waiting) = tries.held.take() {
            Box::pin(self.settle(client, &mut state, *waiting)).await;
        }
        state
    }

    /// Whether the response, whose head is here, is not for the client yet, because another attempt is made.
    pub(super) fn passes_over<'s>(
        &'s self,
        status: u16,
        attempt: &Attempt<'_, '_>,
        (state, tries): (&Forwarded<'_>, &mut Tries<'s>),
        endpoint: &'s Endpoint,
    ) -> bool {
        if status < 400 || (self.route.retry.is_none() && !self.route.shield) {
            return false;
        }
        let replayable = self.is_bodiless() || attempt.can_rewind(tries.mark);
        tries.step = self.next_step(state, tries, endpoint, (Failure::Status(status), replayable));
        tries.step.is_some()
    }

    /// Keeps a response back. An older one is nobody's any more.
    pub(super) fn hold<'s>(
        &self,
        attempt: Attempt<'_, '_>,
        (head, timing): (ResponseHead, Timing),
        (state, tries): (&Forwarded<'_>, &mut Tries<'s>),
        endpoint: &'s Endpoint,
    ) {
        let waiting =
            Box::new(Waiting { held: attempt.hold(), head, backend: state.backend, endpoint, timing });
        if let Some(older) = tries.held.replace(waiting) {
            self.discard(*older);
        }
    }

    /// Counts the request for the budget, and sees to it that its body can be sent again.
    fn prepare(&self, client: &mut Downstream<'_>) {
        let max_body = match &self.route.retry {
            None if !self.route.shield => 0,
            None => SHIELDED_BODY,
            Some(policy) => {
                let now = self.request.start;
                self.worker.with_allowance(policy.id, now, |allowance| allowance.deposit(now));
                policy.max_body
            }
        };
        let kept = max_body.max(self.copied_body);
        if kept > 0 && !self.is_bodiless() {
            client.keep(kept);
        }
    }

    fn is_bodiless(&self) -> bool {
        self.request.head.framing == Framing::None
    }

    /// What follows an attempt on `endpoint` that came to `failure`; `None` when that is the end of it.
    fn next_step<'s>(
        &'s self,
        state: &Forwarded<'_>,
        tries: &mut Tries<'s>,
        endpoint: &'s Endpoint,
        (failure, replayable): (Failure<'_>, bool),
    ) -> Option<Step> {
        if !replayable {
            return None;
        }
        let policy = self.route.retry.as_ref();
        let again = tries.attempts < most_attempts(policy)
            && may_retry(policy, failure, self.request.is_idempotent());
        if again && let Some(step) = self.again(state, tries, endpoint, failure) {
            return Some(step);
        }
        self.may_shield(state, failure).then_some(Step::Shield)
    }

    /// Another attempt, if there is an endpoint for it and the budget has room.
    fn again<'s>(
        &'s self,
        state: &Forwarded<'_>,
        tries: &mut Tries<'s>,
        endpoint: &'s Endpoint,
        failure: Failure<'_>,
    ) -> Option<Step> {
        let policy = self.route.retry.as_ref();
        let stale = is_stale(failure);
        let unreachable = matches!(failure, Failure::Error(error) if error.is_endpoints_fault());
        if unreachable || (policy.is_some() && !stale) {
            tries.tried.push(endpoint.id);
        }
        tries.next = self.pick(state, &tries.tried);
        // Nobody is sent elsewhere because of a status; that is what shielding is for.
        let stands_in = unreachable && self.fallback(state).is_some();
        let mut repeats = false;
        if tries.next.is_none() && !stands_in {
            policy?;
            // The baseline is a better bet than who has just failed.
            if self.may_shield(state, failure) {
                return None;
            }
            tries.tried.clear();
            repeats = true;
            tries.next = self.pick(state, &tries.tried);
        }
        if tries.next.is_none() && !stands_in {
            return None;
        }
        let Some(policy) = policy.filter(|_| !stale) else {
            return Some(Step::Again { pause: Duration::ZERO, stale });
        };
        let now = clock::now();
        if !self.worker.with_allowance(policy.id, now, |allowance| allowance.withdraw(now, policy)) {
            self.shard(state.backend).budget_exhausted();
            return None;
        }
        // Whoever was not asked yet need not be spared.
        let pause = match unreachable && !repeats {
            true => Duration::ZERO,
            false => pause(policy.backoff, tries.attempts.saturating_sub(1), self.worker.random()),
        };
        Some(Step::Again { pause, stale })
    }

    /// Whether the failure of an idempotent request on a backend other than the baseline is to be hidden by asking that. Not
    /// while the kill switch is on, and only when the baseline is there to answer.
    fn may_shield(&self, state: &Forwarded<'_>, failure: Failure<'_>) -> bool {
        let bad = match failure {
            Failure::Status(status) => status >= 500,
            Failure::Error(error) => {
                error.is_upstreams_fault()
                    || matches!(error, ProxyError::Overload(_) | ProxyError::Unavailable)
            }
        };
        let plan = &self.route.plan;
        self.route.shield
            && bad
            && state.backend != 0
            && state.stand_in.is_none()
            && self.request.is_idempotent()
            && plan.kill_switch().is_none()
            && plan.backends().first().is_some_and(|baseline| baseline.state != BackendState::Off)
            && self.backend(0).is_available(self.request.start)
    }

    /// Makes ready for the next attempt, and accounts for the one that failed.
    async fn take(&self, state: &mut Forwarded<'_>, tries: &mut Tries<'_>, step: Step) {
        let error = state.result.as_ref().err();
        state.retries += 1;
        match step {
            Step::Again { pause, stale } => {
                let shard = self.shard(state.backend);
                shard.retried();
                if let Some(kind) = error.filter(|_| !stale).and_then(ProxyError::kind) {
                    shard.failed(kind);
                }
                tries.fresh = matches!(error, Some(ProxyError::Closed { .. } | ProxyError::Refused(_)));
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Shield => {
                let status = error.map_or(502, ProxyError::status);
                let held = tries.held.as_ref().filter(|held| held.backend == state.backend);
                let upstream =
                    held.map(|held| held.timing.head_at.saturating_duration_since(held.timing.sent_at));
                let outcome = Outcome {
                    status,
                    method: self.request.method,
                    duration: clock::now().saturating_duration_since(self.request.start),
                    upstream,
                    error: error.and_then(ProxyError::kind),
                };
                state.shielded = Some((state.backend, outcome));
                self.shard(0).assigned(Reason::Shield);
                state.backend = 0;
                state.stand_in = Some(Reason::Shield);
                state.result = Err(ProxyError::Unavailable);
                tries.begin_anew();
            }
        }
    }

    /// Sees to the response that was held: the client gets it when nothing else came.
    async fn settle<'s>(
        &'s self,
        client: &mut Downstream<'_>,
        state: &mut Forwarded<'s>,
        waiting: Waiting<'s>,
    ) {
        match &state.result {
            Err(error) if !error.is_clients() => {}
            _ => return self.discard(waiting),
        }
        state.backend = waiting.backend;
        state.endpoint = Some(waiting.endpoint);
        if state.shielded.take_if(|(backend, _)| *backend == waiting.backend).is_some() {
            state.stand_in = None;
        }
        state.result = self.deliver_held(client, waiting).await;
    }

    async fn deliver_held(
        &self,
        client: &mut Downstream<'_>,
        waiting: Waiting<'_>,
    ) -> Result<Delivered, ProxyError> {
        let Waiting { held, head, backend, endpoint, timing } = waiting;
        let _in_flight = InFlight::new(self.shard(backend), endpoint.shards.worker(self.worker.index));
        let about = (self.facts(), self.limits(client));
        let mut attempt = Attempt::Bridge(Bridge::resume(self.worker, client, held, about));
        let outcome = self.deliver(&mut attempt, &head, timing).await;
        let delivered = self.conclude(attempt, outcome, (&head, timing), endpoint);
        self.worker.put_response_head(head);
        delivered
    }

    fn discard(&self, waiting: Waiting<'_>) {
        let Waiting { held, head, endpoint, .. } = waiting;
        if let Some(connection) = held.discard(self.worker, &head) {
            self.worker.pools.put(endpoint.id, connection, clock::now());
        }
        self.worker.put_response_head(head);
    }

    /// The backend that stands in for one that cannot take the request; only once.
    pub(super) fn fallback(&self, state: &Forwarded<'_>) -> Option<usize> {
        if state.stand_in.is_some() || self.route.on_unavailable == OnUnavailable::Fail {
            return None;
        }
        self.route.plan.fallback(state.backend, |place| self.backend(place).is_available(self.request.start))
    }

    fn fall_back(&self, state: &mut Forwarded<'_>, other: usize) {
        self.shard(state.backend).failed(ErrorKind::Unavailable);
        self.shard(other).assigned(Reason::Fallback);
        state.backend = other;
        state.stand_in = Some(Reason::Fallback);
    }
}
