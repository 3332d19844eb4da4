//! A route's traffic policy, carried out: whether a request goes on, and what changes on its way.
//!
//! The order is told in docs/request-path.md. What decides is in [`crate::policy`]; here requests are shown to it, and what it says is
//! done.

use std::{rc::Rc, time::Duration};

use super::{
    connection::After,
    downstream::Downstream,
    error::ProxyError,
    fields::Fields,
    handle::Request,
    identity, log,
    respond::{Body, Local},
    worker::Worker,
};
use crate::{
    http::{Framing, RequestView},
    policy::{self, Asked, Cors, HeaderEdits, Limiter, Policy, TooMany},
    snapshot::{Route, Snapshot},
    split::Claims,
    telemetry::{ErrorKind, FaultLabel, Outcome, PolicyLabel},
    types::clock,
};

/// An answer that a route gives itself.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// What gives it.
    pub(super) by: PolicyLabel,
    /// The status.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: Body<'a>,
    /// Fields that only it has.
    pub(super) fields: Vec<(&'static str, Vec<u8>)>,
}

/// A route's changes of header fields in one direction, if it has any.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edits<'a> {
    edits: Option<&'a HeaderEdits>,
    /// What pages of other origins are told, and the one that asks.
    cors: Option<(&'a Cors, Option<&'a [u8]>)>,
}

// === impl Edits ===

impl<'a> Edits<'a> {
    /// Of what goes to the backend.
    pub(super) fn of_request(route: &'a Route) -> Self {
        Self { edits: route.policy.as_ref().and_then(|policy| policy.request_headers.as_ref()), cors: None }
    }

    /// These.
    #[cfg(test)]
    pub(super) fn of(edits: &'a HeaderEdits) -> Self {
        Self { edits: Some(edits), cors: None }
    }

    /// Of what goes to the client that sent `request`.
    pub(super) fn of_response(route: &'a Route, request: &'a Request<'_>) -> Self {
        let Some(policy) = route.policy.as_deref() else { return Self::default() };
        let cors = policy.cors.as_ref().map(|cors| (cors, request.origin.as_deref()));
        Self { edits: policy.response_headers.as_ref(), cors }
    }

    /// Whether a field that was received does not pass.
    pub(super) fn drops(self, name: &[u8]) -> bool {
        self.replaces(name) || (self.cors.is_some() && Cors::owns(name))
    }

    /// Whether a field that Weir would write is not.
    pub(super) fn replaces(self, name: &[u8]) -> bool {
        self.edits.is_some_and(|edits| edits.drops(name))
    }

    /// Writes the fields that are added.
    pub(super) fn write(self, out: &mut impl Fields) {
        for (name, value) in self.edits.into_iter().flat_map(HeaderEdits::added) {
            out.field(name.as_bytes(), value.as_bytes());
        }
        if let Some((cors, origin)) = self.cors {
            cors.permission(origin, |name, value| {
                // `Vary` is a list over all its lines, so an edit of it does not take this away.
                if name == "vary" || !self.replaces(name.as_bytes()) {
                    out.field(name.as_bytes(), value);
                }
            });
        }
    }
}

// === impl Answer ===

impl<'a> Answer<'a> {
    pub(super) fn refusing(by: PolicyLabel, status: u16, text: &'static str) -> Self {
        Self { by, status, body: Body::Sentence(text), fields: Vec::new() }
    }

    /// To a browser that asks whether a page may ask.
    fn preflight(cors: &Cors, view: &RequestView<'_>) -> Self {
        let body = Body::Content { content_type: "", text: "" };
        Self { by: PolicyLabel::Cors, status: 204, body, fields: cors.preflight(view.headers) }
    }

    /// For who has asked too often. The `RateLimit` fields are those of draft-ietf-httpapi-ratelimit-headers-10.
    fn limiting(limiter: &Limiter, refused: TooMany) -> Self {
        let rule = limiter.rule();
        let (name, wait) = (rule.key.as_str(), refused.seconds());
        let policy = format!("\"{name}\";q={};w={}", rule.burst, rule.window_seconds());
        let fields = vec![
            ("retry-after", wait.to_string().into_bytes()),
            ("ratelimit-policy", policy.into_bytes()),
            ("ratelimit", format!("\"{name}\";r=0;t={wait}").into_bytes()),
        ];
        Self {
            fields,
            ..Self::refusing(PolicyLabel::RateLimit, 429, "you have asked too often; wait a little")
        }
    }

    fn fixed(answer: &'a policy::Answer, (scheme, authority): (&str, &[u8]), view: &RequestView<'_>) -> Self {
        match answer {
            policy::Answer::Redirect(redirect) => {
                let asked = Asked { scheme, authority, path: view.path, query: view.query };
                let by = PolicyLabel::Redirect;
                match redirect.location(&asked) {
                    Some(location) => Self {
                        fields: vec![("location", location)],
                        ..Self::refusing(by, redirect.status, "what you asked for is elsewhere")
                    },
                    None => Self::refusing(by, 400, "without a Host nobody can say where this is"),
                }
            }
            policy::Answer::Respond(respond) => Self {
                by: PolicyLabel::Respond,
                status: respond.status,
                body: Body::Content { content_type: &respond.content_type, text: &respond.body },
                fields: Vec::new(),
            },
        }
    }
}

/// What the route says to the request before a backend is chosen: an answer, or it goes on, with the claims of its token where the
/// route verifies any. `authority` is the Host as received.
pub(super) fn judge<'s>(
    (worker, route): (&Worker, &'s Route),
    (request, authority): (&Request<'_>, &[u8]),
    view: &RequestView<'_>,
    now_unix_secs: u64,
) -> Result<Option<Rc<Claims>>, Answer<'s>> {
    let policy = route.policy.as_deref();
    if let Some(refusal) = policy.and_then(|policy| refuse(policy, view)) {
        return Err(refusal);
    }
    let claims = identity::identify(worker, route, view, now_unix_secs)?;
    if let Some(answer) = policy.and_then(|policy| policy.answer.as_ref()) {
        return Err(Answer::fixed(answer, (request.scheme(view.headers), authority), view));
    }
    let limit = policy.and_then(|policy| policy.max_body);
    if let (Framing::Length(length), Some(limit)) = (request.head.framing, limit)
        && length > limit
    {
        return Err(Answer::refusing(PolicyLabel::MaxBody, 413, ProxyError::TooLarge.public_text()));
    }
    Ok(claims)
}

/// The origin of the page that asks, where the route goes by it.
pub(super) fn origin_of(route: &Route, view: &RequestView<'_>) -> Option<Box<[u8]>> {
    route.policy.as_ref()?.cors.as_ref()?;
    view.headers.get("origin").map(Into::into)
}

/// What is done to the request on purpose: how long it waits, and the answer that it gets then.
pub(super) fn strike<'s>(
    worker: &Worker,
    route: &Route,
    view: &RequestView<'_>,
) -> (Option<Duration>, Option<Answer<'s>>) {
    let Some(fault) = route.policy.as_ref().and_then(|policy| policy.fault.as_ref()) else {
        return (None, None);
    };
    let injected = fault.strike(view.headers, || worker.random());
    let shard = route.shards.worker(worker.index);
    if injected.delay.is_some() {
        shard.fault(FaultLabel::Delay);
    }
    if injected.abort.is_some() {
        shard.fault(FaultLabel::Abort);
    }
    let text = "this failure was made on purpose";
    let answer = injected.abort.map(|status| Answer::refusing(PolicyLabel::Fault, status, text));
    (injected.delay, answer)
}

/// Holds the request up; false when the client left meanwhile. The time is nobody's: the request counts as begun after it.
pub(super) async fn hold_up(
    (worker, snapshot, route): (&Worker, &Snapshot, &Route),
    client: &mut Downstream<'_>,
    request: &mut Request<'_>,
    delay: Duration,
) -> bool {
    let stayed = client.pause(delay).await;
    let now = clock::now();
    request.fault_delay = Some(now.saturating_duration_since(request.start));
    request.start = now;
    if !stayed {
        let error = Some(ErrorKind::AbortedByClient);
        let outcome =
            Outcome { status: 499, method: request.method, duration: Duration::ZERO, upstream: None, error };
        let bytes = client.bytes();
        log::log_answer(worker, (snapshot, route), (request, bytes), (PolicyLabel::Fault, 0, &outcome));
    }
    stayed
}

/// What is said to who may not ask, or has asked too often, and to browsers that ask first.
fn refuse<'s>(policy: &'s Policy, view: &RequestView<'_>) -> Option<Answer<'s>> {
    if policy.access.as_ref().is_some_and(|access| !access.admits(view.client_ip)) {
        return Some(Answer::refusing(PolicyLabel::Access, 403, "your address may not ask for this"));
    }
    // A browser sends no credentials and no keys with it, so nothing that goes by those comes before.
    if let Some(cors) = policy.cors.as_ref().filter(|_| Cors::is_preflight(view.method, view.headers)) {
        return Some(Answer::preflight(cors, view));
    }
    for limiter in &policy.rate_limits {
        if let Err(refused) = limiter.admit(view) {
            return Some(Answer::limiting(limiter, refused));
        }
    }
    None
}

/// Gives the answer and accounts for it.
pub(super) async fn answer(
    worker: &Worker,
    (snapshot, route): (&Snapshot, &Route),
    client: &mut Downstream<'_>,
    request: &Request<'_>,
    answer: Answer<'_>,
) -> After {
    let reusable = request.head.framing == Framing::None && client.may_ask_again();
    let local = Local {
        status: answer.status,
        body: answer.body,
        fields: answer.fields,
        to_head: request.is_head(),
        version: request.head.version,
        keep_alive: reusable && request.head.keep_alive && !worker.draining.get(),
        edits: Edits::of_response(route, request),
    };
    route.shards.worker(worker.index).answered(answer.by);
    let after = client.respond(worker, &local).await;
    let body_size = local.body_len() as u64;
    let duration = clock::now().saturating_duration_since(request.start);
    let outcome =
        Outcome { status: answer.status, method: request.method, duration, upstream: None, error: None };
    log::log_answer(worker, (snapshot, route), (request, client.bytes()), (answer.by, body_size, &outcome));
    after
}
