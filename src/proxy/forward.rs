//! One attempt on an endpoint: a connection, the request up it, and the response to the client. `tries` makes as many as are
//! needed.

use std::{pin::Pin, rc::Rc, time::Duration};

use tokio::time::Instant;

use super::{
    attempt::{Attempt, Leased},
    bridge::Bridge,
    connection::After,
    deadlines::Limits,
    downstream::Downstream,
    error::ProxyError,
    exchange::{Exchange, RequestFacts},
    handle::Request,
    headers::{ClientHead, body_of},
    identity::Testimony,
    lease::{Opening, lease},
    policy::Edits,
    relay::Relay,
    trailing::Trailing,
    trial::{self, Noted},
    tries::{Timing, Tries},
    worker::Worker,
};
use crate::{
    http::{Framing, Known, ResponseHead, Version, grpc},
    snapshot::{Backend, Route, RouteBackend, Snapshot},
    split::Claims,
    telemetry::{EndpointShard, Outcome, RouteBackendShard, Trial},
    types::{Reason, clock},
    upstream::{Endpoint, Lease, UpstreamConnection},
};

/// A request on its way: what every attempt needs.
pub(super) struct Forwarder<'a> {
    pub(super) worker: &'a Worker,
    pub(super) snapshot: &'a Snapshot,
    pub(super) route: &'a Route,
    pub(super) request: &'a Request<'a>,
    /// The value of the assignment's Set-Cookie, when one is due.
    pub(super) set_cookie: Option<String>,
    /// What the user's verified token says.
    pub(super) claims: Option<Rc<Claims>>,
    /// Who is asking, hashed; 0 where no backend of the route chooses endpoints by it.
    pub(super) key: u64,
    /// How much of its body is kept for a copy.
    pub(super) copied_body: usize,
    /// What a rollout was told of it, where one has the route.
    pub(super) noted: Option<Noted<&'a Trial>>,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Forwarded<'f> {
    /// The place in the route of the backend that answered or failed.
    pub(super) backend: usize,
    /// Why that is another than was chosen, if it is.
    pub(super) stand_in: Option<Reason>,
    /// The endpoint of the last attempt.
    pub(super) endpoint: Option<&'f Endpoint>,
    /// Attempts beside the first.
    pub(super) retries: u32,
    /// The backend whose failure the client did not see, and how the request would have ended there.
    pub(super) shielded: Option<(usize, Outcome)>,
    /// The response, or why there is none.
    pub(super) result: Result<Delivered, ProxyError>,
}

/// A response that was begun.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) status: u16,
    /// When the upstream's head was there.
    pub(super) head_at: Instant,
    /// When the attempt began to send.
    pub(super) sent_at: Instant,
    /// Whether it began without waiting for a connection.
    pub(super) pooled: bool,
    /// Whether the whole response went on without waiting for either side.
    pub(super) at_once: bool,
    /// Whether it became a tunnel, whose end says nothing of how long the answer took.
    pub(super) tunnel: bool,
    /// The `grpc-status` of the response, where a rollout wants to know.
    pub(super) grpc: Option<u8>,
    pub(super) body_bytes: u64,
    /// Why the response was broken off, if it was.
    pub(super) error: Option<ProxyError>,
    pub(super) after: After,
}

/// Counts a request as in flight for as long as it lives.
pub(super) struct InFlight<'a> {
    backend: &'a RouteBackendShard,
    endpoint: &'a EndpointShard,
}

/// Awaits the work, but not for longer than until the deadline, if there is one. A macro, because a function would hold the work twice,
/// as its argument and as what it awaits, and what a request holds is moved with each request.
macro_rules! within {
    ($deadline:expr, $work:expr) => {
        match $deadline {
            None => $work.await,
            Some(deadline) => limited(deadline, Box::pin($work)).await,
        }
    };
}

// === impl Forwarder ===

impl Forwarder<'_> {
    fn route_backend(&self, backend: usize) -> &RouteBackend {
        &self.route.backends[backend]
    }

    pub(super) fn backend(&self, backend: usize) -> &Backend {
        &self.snapshot.backends[self.route_backend(backend).backend]
    }

    pub(super) fn shard(&self, backend: usize) -> &RouteBackendShard {
        self.route_backend(backend).shards.worker(self.worker.index)
    }

    /// One attempt on one endpoint. An error means that the client has seen nothing yet.
    pub(super) async fn attempt<'s>(
        &'s self,
        client: &mut Downstream<'_>,
        endpoint: &'s Endpoint,
        state: &Forwarded<'_>,
        tries: &mut Tries<'s>,
    ) -> Result<Delivered, ProxyError> {
        let backend = self.backend(state.backend);
        let _admitted = self.admit(backend)?;
        let _in_flight = InFlight::new(self.shard(state.backend), endpoint.shards.worker(self.worker.index));
        let deadline = self.deadline();
        let wanted = self.opening(endpoint, backend, tries.fresh);
        let leased = within!(deadline, lease(&wanted))?;
        let pooled = leased.is_reused();
        let sent_at = clock::now();
        let asked = self.request.upgrade_asked(client.bytes()).map(<[u8]>::to_vec);
        let mut attempt = match leased {
            Leased::Stream(lease) => {
                within!(deadline, Box::pin(self.begin_on_stream(client, lease, endpoint)))?
            }
            Leased::Connection(connection) => self.begin_on_connection(client, connection, endpoint),
        };
        let mut head = self.worker.take_response_head();
        let answered = within!(deadline, attempt.response_head(&mut head, self.request.is_head()));
        if let Err(error) = answered.and_then(|()| self.check(&head, attempt.bytes(), asked.as_deref())) {
            let cut = attempt.is_interim_cut();
            attempt.finish(false);
            self.worker.put_response_head(head);
            // Nothing can be said to a client that took half of an interim response.
            return Err(if cut { ProxyError::ClientGone } else { error });
        }
        let timing = Timing { sent_at, head_at: clock::now(), pooled };
        if self.passes_over(head.status, &attempt, (state, tries), endpoint) {
            let status = head.status;
            self.hold(attempt, (head, timing), (state, tries), endpoint);
            return Err(ProxyError::Status(status));
        }
        if self.opens_tunnel(&head) {
            trial::note_tunnel(self, state, (sent_at, timing.head_at));
        }
        let outcome = self.deliver(&mut attempt, &head, timing).await;
        let delivered = self.conclude(attempt, outcome, (&head, timing), endpoint);
        self.worker.put_response_head(head);
        delivered
    }

    /// The end of an attempt whose response went to the client. An error means that it has seen nothing of it.
    pub(super) fn conclude(
        &self,
        attempt: Attempt<'_, '_>,
        (mut delivered, streamed): (Delivered, bool),
        (head, timing): (&ResponseHead, Timing),
        endpoint: &Endpoint,
    ) -> Result<Delivered, ProxyError> {
        // Until a byte of it was written, an answer of ours can still take the response's place.
        let begun = attempt.is_response_begun();
        let done_at = clock::now();
        if !attempt.may_ask_again() && delivered.after == After::KeepAlive {
            delivered.after = After::Close;
        }
        if let Some(connection) = attempt.finish(head.keep_alive && streamed) {
            self.worker.pools.put(endpoint.id, connection, done_at);
        }
        let took = done_at.saturating_duration_since(timing.sent_at);
        endpoint.shards.worker(self.worker.index).record(took);
        match delivered.error.take_if(|_| !begun) {
            Some(error) => Err(error),
            None => Ok(delivered),
        }
    }

    fn opening<'o>(&'o self, endpoint: &'o Endpoint, backend: &'o Backend, fresh: bool) -> Opening<'o> {
        let (now, timeout) = (self.request.start, self.route.timeouts.connect);
        let upgrades = self.request.head.upgrade.is_some();
        Opening { worker: self.worker, endpoint, backend, now, timeout, fresh, upgrades }
    }

    /// When an attempt that begins now must have a response's head, and how long that is.
    fn deadline(&self) -> Option<(Instant, Duration)> {
        let timeout = self.route.retry.as_ref()?.per_try_timeout?;
        Some((clock::now() + timeout, timeout))
    }

    /// Makes ready what the two sides need, the endpoint's being a connection of HTTP/1.1.
    fn begin_on_connection<'a, 'c>(
        &'a self,
        client: &'a mut Downstream<'c>,
        connection: UpstreamConnection,
        endpoint: &Endpoint,
    ) -> Attempt<'a, 'c> {
        let about = (self.facts(), self.limits(client));
        let mut out = self.worker.buffers.take_outgoing();
        self.request.write_upstream_head(self, client.bytes(), &mut out, endpoint);
        match client {
            Downstream::H1(client) => {
                let (decoder, coding) = body_of(self.request.head.framing);
                let upload = Relay::new(decoder, coding, out).keeping_back(about.0.trailing);
                Attempt::Exchange(Exchange::new(self.worker, client, connection, upload, about))
            }
            Downstream::H2(_) => {
                let sides = (connection, out);
                Attempt::Bridge(Bridge::to_connection(self.worker, client, sides, about))
            }
        }
    }

    /// The same, the endpoint's being a stream of HTTP/2.
    async fn begin_on_stream<'a, 'c>(
        &'a self,
        client: &'a mut Downstream<'c>,
        lease: Lease,
        endpoint: &Endpoint,
    ) -> Result<Attempt<'a, 'c>, ProxyError> {
        let about = (self.facts(), self.limits(client));
        if about.0.connects && !lease.takes_connect().await.map_err(ProxyError::Session)? {
            return Err(ProxyError::NoConnect);
        }
        let request = self.request.upstream_request(self, client.bytes(), endpoint);
        let bridge = Bridge::to_stream(self.worker, client, (lease, request?), about).await?;
        Ok(Attempt::Bridge(bridge))
    }

    /// Whether the response is one that was asked for.
    fn check(&self, head: &ResponseHead, bytes: &[u8], asked: Option<&[u8]>) -> Result<(), ProxyError> {
        if head.status != 101 {
            return Ok(());
        }
        let switched = head.headers(bytes).known(Known::Upgrade).next();
        match (switched, asked) {
            (Some(switched), Some(asked)) if switched.eq_ignore_ascii_case(asked) => Ok(()),
            _ => Err(ProxyError::Switched),
        }
    }

    /// Streams the response to the client; says how it went, and whether it was complete.
    pub(super) async fn deliver(
        &self,
        attempt: &mut Attempt<'_, '_>,
        head: &ResponseHead,
        Timing { sent_at, head_at, pooled }: Timing,
    ) -> (Delivered, bool) {
        let version = self.request.head.version;
        let tunnel = self.opens_tunnel(head);
        let unframed = matches!(head.framing, Framing::Chunked | Framing::UntilClose)
            && version != Version::Http2
            && !tunnel;
        let chunked = unframed && version == Version::Http11;
        let ends_with_connection = (unframed && !chunked) || tunnel;
        // An answer before the whole request was read: what the client still sends would be taken for its next request.
        let early = !attempt.is_request_sent() && (head.status >= 300 || self.request.head.expects_continue);
        let keep_alive =
            self.request.head.keep_alive && !ends_with_connection && !early && !self.worker.draining.get();
        let websocket = self.request.websocket.as_ref().filter(|_| tunnel && head.version == Version::Http2);
        let proof = websocket.and_then(|websocket| websocket.proof.as_deref());
        let grpc_status = |_: &_| grpc::status_of(head.headers(attempt.bytes()).get("grpc-status")?);
        let in_head = self.noted.as_ref().and_then(grpc_status);
        let begun = self.worker.with_date(|date| {
            let set_cookie = self.set_cookie.as_deref();
            let edits = Edits::of_response(self.route, self.request);
            attempt.begin_response(
                head,
                &ClientHead { version, keep_alive, chunked, set_cookie, date, edits, proof },
            )
        });
        if tunnel {
            attempt.open_tunnel();
        }
        let error = match begun {
            Ok(()) => attempt.response_body().await.err(),
            Err(error) => Some(error),
        };
        let at_once = !attempt.has_waited();
        match &error {
            Some(_) => attempt.break_off(),
            None if !early && !ends_with_connection => attempt.rest_of_request().await,
            None => {}
        }
        let after = match (&error, attempt.is_request_sent()) {
            (Some(_), _) if ends_with_connection => After::Reset,
            (Some(_), _) => After::Close,
            (None, _) if tunnel => After::Close,
            (None, false) => After::Linger,
            (None, true) if keep_alive => After::KeepAlive,
            // The client wanted to go on, and may have sent its next request already.
            (None, true) if self.request.head.keep_alive && !ends_with_connection => After::Linger,
            (None, true) => After::Close,
        };
        let complete = error.is_none();
        let delivered = Delivered {
            // Whatever the two sides speak: over HTTP/2 it is said by 200.
            status: if tunnel { 101 } else { head.status },
            head_at,
            sent_at,
            pooled,
            at_once,
            tunnel,
            grpc: in_head.or_else(|| attempt.grpc_status()),
            body_bytes: attempt.body_bytes(),
            error,
            after,
        };
        (delivered, complete)
    }

    /// Whether the response makes a tunnel of the two sides.
    fn opens_tunnel(&self, head: &ResponseHead) -> bool {
        if head.version == Version::Http2 {
            return (200..300).contains(&head.status) && self.request.websocket.is_some();
        }
        head.status == 101 && self.request.head.upgrade.is_some()
    }

    pub(super) fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            version: self.request.head.version,
            connects: self.request.websocket.is_some(),
            framing: self.request.head.framing,
            expects_continue: self.request.waits_for_continue,
            trailing: Trailing {
                edits: Edits::of_request(self.route),
                testimony: Testimony::new(self.route, self.claims.as_deref()),
                regions: Some((&self.snapshot.regions.headers, self.request.peer_ip)),
            },
        }
    }

    pub(super) fn limits(&self, client: &Downstream<'_>) -> Limits {
        let timeouts = &self.route.timeouts;
        let policy = self.route.policy.as_ref();
        Limits {
            response_headers: timeouts.response_headers,
            stream_idle: timeouts.stream_idle,
            tunnel_idle: timeouts.tunnel_idle,
            max_body: policy.and_then(|policy| policy.max_body),
            // Who calls by gRPC may have nothing to say for hours.
            min_body_rate: policy
                .and_then(|policy| policy.min_body_rate)
                .filter(|_| self.request.head.upgrade.is_none() && !client.is_grpc()),
        }
    }
}

// === impl InFlight ===

impl<'a> InFlight<'a> {
    pub(super) fn new(backend: &'a RouteBackendShard, endpoint: &'a EndpointShard) -> Self {
        backend.started();
        endpoint.started();
        Self { backend, endpoint }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.backend.finished();
        self.endpoint.finished();
    }
}

/// Does `work`, but not for longer than until the deadline.
async fn limited<T>(
    (at, after): (Instant, Duration),
    work: Pin<Box<impl Future<Output = Result<T, ProxyError>>>>,
) -> Result<T, ProxyError> {
    tokio::time::timeout_at(at, work).await.unwrap_or(Err(ProxyError::ResponseTimeout(after)))
}
