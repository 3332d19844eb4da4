//! The spine: what happens to a request, top to bottom.
//!
//! Understand it, find its route, assign a backend, forward, account for it. The snapshot is taken once, so that every
//! step, retries and the log see one revision.

use std::{net::IpAddr, rc::Rc, time::Duration};

use tokio::time::Instant;

use super::{
    client_address,
    connection::After,
    downstream::Downstream,
    error::{ProxyError, refusal_of_target},
    forward::{Forwarded, Forwarder},
    handshake::Secured,
    headers::UpstreamHead,
    identity::Testimony,
    listener::Inlet,
    log,
    mirror::Mirroring,
    policy::{self, Edits},
    respond::{Body, Local},
    trial::{self, Noted},
    websocket::Handshake,
    worker::Worker,
};
use crate::{
    http::{Framing, Headers, Known, RequestHead, RequestView, Target, Upgrade, Version},
    policy::Rewrite,
    snapshot::{Listener, Route, Snapshot},
    split::{self, AssignContext, Assignment, Claims},
    telemetry::{MethodLabel, Outcome, Refusal},
    types::clock,
    upstream::{Endpoint, balance::rendezvous},
};

/// A request that was understood.
pub(super) struct Request<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) target: Target,
    pub(super) method: MethodLabel,
    /// Whether the client waits for 100 before it sends its body.
    pub(super) waits_for_continue: bool,
    /// When its head was complete, and it was not held up on purpose any more.
    pub(super) start: Instant,
    pub(super) client_ip: IpAddr,
    pub(super) peer_ip: IpAddr,
    /// Whether the peer's forwarding headers are believed.
    trusted: bool,
    /// What the client said of itself in its TLS handshake.
    secured: Option<Rc<Secured>>,
    /// The WebSocket that it asks for.
    pub(super) websocket: Option<Handshake>,
    /// The version of TLS.
    pub(super) tls_version: Option<&'static str>,
    /// The origin of the page that asks, on routes that go by it.
    pub(super) origin: Option<Box<[u8]>>,
    /// How long it was held up on purpose, before `start`.
    pub(super) fault_delay: Option<Duration>,
}

/// Where a request goes.
struct Decision<'s> {
    route: &'s Route,
    origin: Option<Box<[u8]>>,
    /// How long it is held up before.
    delay: Option<Duration>,
    onward: Result<Onward, policy::Answer<'s>>,
}

/// To a backend.
struct Onward {
    assignment: Assignment,
    /// The assignment's Set-Cookie value, when one is due.
    set_cookie: Option<String>,
    /// What the user's verified token says.
    claims: Option<Rc<Claims>>,
    /// Who is asking, hashed; 0 where nobody wants to know.
    key: u64,
}

/// Serves one request; says what becomes of the connection.
pub(super) async fn handle(
    worker: &Rc<Worker>,
    inlet: &Inlet,
    client: &mut Downstream<'_>,
    head: &RequestHead,
) -> After {
    let snapshot = worker.snapshot();
    if snapshot.limits.max_buffers > 0 && worker.buffers.in_use() > snapshot.limits.max_buffers {
        inlet.shard(worker).refused(Refusal::Overload);
        let text = "there is no memory for this request now";
        return client.respond(worker, &local(worker, head, client, (503, false, text))).await;
    }
    let mut request = match understand(&snapshot, client, head) {
        Ok(request) => request,
        Err((status, refusal, text)) => {
            inlet.shard(worker).refused(refusal);
            return client.respond(worker, &local(worker, head, client, (status, false, text))).await;
        }
    };
    let listener = snapshot.listeners.get(&inlet.name);
    let Some(Decision { route, origin, delay, onward }) =
        decide(worker, &snapshot, listener, client, &request)
    else {
        inlet.shard(worker).refused(Refusal::NoRoute);
        let reusable = head.framing == Framing::None;
        let text = "no route takes this request";
        return client.respond(worker, &local(worker, head, client, (404, reusable, text))).await;
    };
    request.origin = origin;
    if let Some(delay) = delay
        && !policy::hold_up((worker, &snapshot, route), client, &mut request, delay).await
    {
        return After::Reset;
    }
    let Onward { assignment, set_cookie, claims, key } = match onward {
        Ok(onward) => onward,
        Err(answer) => return policy::answer(worker, (&snapshot, route), client, &request, answer).await,
    };
    let (snapshot_now, request) = (&snapshot, &request);
    let mut forwarder = Forwarder {
        worker,
        snapshot: snapshot_now,
        route,
        request,
        set_cookie,
        claims,
        key,
        copied_body: 0,
        noted: Noted::request((worker, route), &assignment, request.start),
    };
    let mirroring = Mirroring::begin((worker, &snapshot), &mut forwarder, client);
    count_assignment(&forwarder, &assignment);
    let forwarded = forwarder.forward(client, assignment.backend).await;
    trial::note_end(&forwarder, client, &forwarded);
    if let Some(mirroring) = mirroring {
        mirroring.primary_ended(&forwarder, client, &forwarded);
    }
    let after = match &forwarded.result {
        Ok(delivered) => delivered.after,
        Err(error) => answer_error(&forwarder, client, error).await,
    };
    account(&forwarder, client, &assignment, &forwarded);
    after
}

/// Reads target, Host and who is asking.
fn understand<'a>(
    snapshot: &Snapshot,
    client: &Downstream<'_>,
    head: &'a RequestHead,
) -> Result<Request<'a>, (u16, Refusal, &'static str)> {
    let bytes = client.bytes();
    let target = Target::of(head, bytes).map_err(|error| {
        let (status, refusal) = refusal_of_target(error);
        (status, refusal, error.as_str())
    })?;
    if client.secured().is_some_and(|secured| secured.is_misdirected(&target, bytes)) {
        return Err((421, Refusal::Host, "this connection was made for another host"));
    }
    if let Some(refused) = last_hop(head, bytes) {
        return Err(refused);
    }
    if head.version == Version::Http2 && head.upgrade == Some(Upgrade::Other) {
        // RFC 9220, section 3.
        return Err((501, Refusal::Unsupported, "of tunnels over HTTP/2 only WebSocket is offered here"));
    }
    let peer_ip = client.peer().ip().to_canonical();
    let trusted = snapshot.trusted_proxies.contains(peer_ip);
    let client_ip = if trusted {
        client_address::behind(head.headers(bytes), peer_ip, &snapshot.trusted_proxies)
    } else {
        peer_ip
    };
    let body_at_hand = client.has_body_at_hand();
    Ok(Request {
        head,
        target,
        method: MethodLabel::of(head.method(bytes).as_bytes()),
        waits_for_continue: head.expects_continue && head.framing != Framing::None && !body_at_hand,
        start: clock::now(),
        client_ip,
        peer_ip,
        trusted,
        websocket: Handshake::of(head, bytes),
        tls_version: client.secured().map(|secured| secured.version),
        secured: client.secured().cloned(),
        origin: None,
        fault_delay: None,
    })
}

/// What is said to a TRACE or OPTIONS that may go no further (RFC 9110, section 7.6.2).
fn last_hop(head: &RequestHead, bytes: &[u8]) -> Option<(u16, Refusal, &'static str)> {
    let status = match head.method(bytes) {
        "TRACE" => 405,
        "OPTIONS" => 200,
        _ => return None,
    };
    let last = head.headers(bytes).get("max-forwards")? == b"0";
    last.then_some((status, Refusal::Unsupported, "this request may go no further"))
}

/// Finds the route and, where its policy lets the request go on, assigns the backend. `None` when no route matches.
fn decide<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    listener: Option<&Listener>,
    client: &Downstream<'_>,
    request: &Request<'_>,
) -> Option<Decision<'s>> {
    let bytes = client.bytes();
    let mut host = worker.take_scratch();
    request.target.host_into(bytes, &mut host);
    let view = RequestView {
        method: request.head.method(bytes),
        host: &host,
        path: request.target.path(bytes),
        query: request.target.query(bytes),
        headers: request.head.headers(bytes),
        client_ip: request.client_ip,
        peer_ip: request.peer_ip,
        secure: request.scheme(request.head.headers(bytes)) == "https",
        listener_region: listener.and_then(|listener| listener.region.as_ref()),
    };
    let decided = snapshot.table.find(&view).map(|place| {
        let route = &snapshot.routes[place];
        route.shards.worker(worker.index).matched();
        let authority = request.target.authority.clone().map_or(&b""[..], |authority| &bytes[authority]);
        let origin = policy::origin_of(route, &view);
        let now_unix_secs = clock::unix_now().as_secs();
        let claims = match policy::judge((worker, route), (request, authority), &view, now_unix_secs) {
            Ok(claims) => claims,
            Err(answer) => return Decision { route, origin, delay: None, onward: Err(answer) },
        };
        let (delay, abort) = policy::strike(worker, route, &view);
        if let Some(answer) = abort {
            return Decision { route, origin, delay, onward: Err(answer) };
        }
        let context = AssignContext {
            keyring: &snapshot.keyring,
            now_unix_secs,
            regions: &snapshot.regions,
            secure: request.secured.is_some(),
            claims: claims.as_deref(),
        };
        let entropy = worker.random();
        let assignment = split::assign(&route.plan, &view, &context, entropy);
        let key = if route.needs_key { key_of(route, &view, &context, (entropy, &assignment)) } else { 0 };
        let set_cookie =
            assignment.set_cookie.and_then(|value| route.plan.set_cookie_header(&value, &context));
        Decision { route, origin, delay, onward: Ok(Onward { assignment, set_cookie, claims, key }) }
    });
    worker.put_scratch(host);
    decided
}

/// Who is asking: the split's user, or else whoever has the client's address.
fn key_of(
    route: &Route,
    view: &RequestView<'_>,
    context: &AssignContext<'_>,
    assigned: (u64, &Assignment),
) -> u64 {
    match (split::affinity(&route.plan, view, context, assigned), view.client_ip) {
        (Some(bucket), _) => rendezvous::key_of(&bucket.number().to_be_bytes()),
        (None, IpAddr::V4(ip)) => rendezvous::key_of(&ip.octets()),
        (None, IpAddr::V6(ip)) => rendezvous::key_of(&ip.octets()),
    }
}

fn count_assignment(forwarder: &Forwarder<'_>, assignment: &Assignment) {
    let shard = forwarder.shard(assignment.backend);
    shard.assigned(assignment.reason);
    if assignment.new_bucket {
        shard.new_bucket();
    }
}

/// Tells the client that nobody answered, if it is still there.
async fn answer_error(forwarder: &Forwarder<'_>, client: &mut Downstream<'_>, error: &ProxyError) -> After {
    let Forwarder { worker, request, .. } = *forwarder;
    if matches!(error, ProxyError::ClientGone) {
        return After::Reset;
    }
    let reusable = request.head.framing == Framing::None && client.may_ask_again();
    let text = error.public_text();
    let local = local(worker, request.head, client, (error.status(), reusable, text));
    client.respond(worker, &Local { edits: Edits::of_response(forwarder.route, request), ..local }).await
}

fn local(
    worker: &Worker,
    head: &RequestHead,
    client: &Downstream<'_>,
    (status, reusable, text): (u16, bool, &'static str),
) -> Local<'static> {
    Local {
        status,
        body: Body::Sentence(text),
        fields: Vec::new(),
        to_head: head.method(client.bytes()) == "HEAD",
        version: head.version,
        keep_alive: reusable && head.keep_alive && !worker.draining.get(),
        edits: Edits::default(),
    }
}

/// Counts the request where it ended up, and logs it.
fn account(
    forwarder: &Forwarder<'_>,
    client: &Downstream<'_>,
    assignment: &Assignment,
    forwarded: &Forwarded<'_>,
) {
    let request = forwarder.request;
    let now = clock::now();
    // A tunnel is as long as its users like; what counts is how soon it was there.
    let ended = match &forwarded.result {
        Ok(delivered) if delivered.tunnel => delivered.head_at,
        _ => now,
    };
    let duration = ended.saturating_duration_since(request.start);
    let (status, upstream, error) = match &forwarded.result {
        Ok(delivered) => {
            let waited = delivered.head_at.saturating_duration_since(delivered.sent_at);
            // What is left of a request that waited for nothing but its answer is Weir's own time.
            if delivered.pooled && delivered.at_once && forwarded.retries == 0 {
                let shard = forwarder.route.shards.worker(forwarder.worker.index);
                shard.overhead(duration.saturating_sub(waited));
            }
            (delivered.status, Some(waited), delivered.error.as_ref())
        }
        Err(error) => (error.status(), None, Some(error)),
    };
    if let Some(policy) = error.and_then(ProxyError::policy) {
        forwarder.route.shards.worker(forwarder.worker.index).answered(policy);
    }
    let error = error.and_then(ProxyError::kind);
    let outcome = Outcome { status, method: request.method, duration, upstream, error };
    forwarder.shard(forwarded.backend).record(&outcome);
    if let Some((backend, failed)) = &forwarded.shielded {
        let shard = forwarder.shard(*backend);
        shard.record(failed);
        if forwarded.result.is_ok() {
            shard.shielded();
        }
    }
    log::log(forwarder, client.bytes(), assignment, forwarded, &outcome);
}

// === impl Request ===

impl Request<'_> {
    /// Whether the response has no body because it answers a HEAD.
    pub(super) fn is_head(&self) -> bool {
        self.method == MethodLabel::Head
    }

    /// `http` or `https`: how the client asked, by what a trusted peer says or by how it came in.
    pub(super) fn scheme(&self, headers: Headers<'_>) -> &'static str {
        let told = if self.trusted { headers.known(Known::XForwardedProto).next() } else { None };
        match told {
            Some(proto) if proto.eq_ignore_ascii_case(b"https") => "https",
            Some(proto) if proto.eq_ignore_ascii_case(b"http") => "http",
            _ if self.secured.is_some() => "https",
            _ => "http",
        }
    }

    /// Whether sending it twice is the same as once (RFC 9110, section 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            MethodLabel::Get
                | MethodLabel::Head
                | MethodLabel::Options
                | MethodLabel::Trace
                | MethodLabel::Put
                | MethodLabel::Delete
        )
    }

    /// The protocol that the connection or stream is to become, if any.
    pub(super) fn upgrade_asked<'b>(&'b self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        self.head.upgrade?;
        // An extended CONNECT names it elsewhere, and the only one that is taken is this.
        Some(self.head.headers(bytes).known(Known::Upgrade).next().unwrap_or(b"websocket"))
    }

    /// Appends the head for `endpoint` to `out`; `bytes` hold the request's.
    pub(super) fn write_upstream_head(
        &self,
        forwarder: &Forwarder<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
        endpoint: &Endpoint,
    ) {
        self.with_upstream_head(forwarder, bytes, endpoint, |head| head.write(out));
    }

    /// The same as an HTTP/2 request.
    ///
    /// # Errors
    /// When HTTP/2 cannot say it.
    pub(super) fn upstream_request(
        &self,
        forwarder: &Forwarder<'_>,
        bytes: &[u8],
        endpoint: &Endpoint,
    ) -> Result<::http::Request<()>, ProxyError> {
        let connects = self.websocket.is_some();
        self.with_upstream_head(forwarder, bytes, endpoint, |head| head.request(connects))
            .map_err(|_| ProxyError::Untranslatable)
    }

    fn with_upstream_head<T>(
        &self,
        forwarder: &Forwarder<'_>,
        bytes: &[u8],
        endpoint: &Endpoint,
        write: impl FnOnce(&UpstreamHead<'_>) -> T,
    ) -> T {
        let rewrite = forwarder.route.policy.as_ref().and_then(|policy| policy.rewrite.as_ref());
        let client_host = self.target.authority.clone().map_or(&b""[..], |authority| &bytes[authority]);
        let address;
        let host = if let Some(host) = rewrite.and_then(Rewrite::host) {
            host.as_bytes()
        } else if client_host.is_empty() {
            address = endpoint.authority();
            address.as_bytes()
        } else {
            client_host
        };
        let whole = &bytes[self.target.path_and_query.clone()];
        let rooted;
        let path_and_query = match whole.first() {
            None if self.target.asterisk => b"*",
            Some(b'?') | None => {
                rooted = [b"/", whole].concat();
                &rooted[..]
            }
            Some(_) => whole,
        };
        let rewritten = rewrite.map(|rewrite| rewrite.target(path_and_query));
        let worker = forwarder.worker;
        let headers = self.head.headers(bytes);
        write(&UpstreamHead {
            method: self.head.method(bytes),
            path_and_query: rewritten.as_deref().unwrap_or(path_and_query),
            host,
            client_host,
            headers,
            framing: self.head.framing,
            trusted: self.trusted,
            peer_ip: self.peer_ip,
            scheme: if self.secured.is_some() { "https" } else { "http" },
            identity: self
                .secured
                .as_ref()
                .and_then(|secured| Some(secured.identity.as_ref()?.header.as_str())),
            region_headers: &forwarder.snapshot.regions.headers,
            upgrade: self.upgrade_asked(bytes),
            entropy: [worker.random(), worker.random(), worker.random(), worker.random()],
            edits: Edits::of_request(forwarder.route),
            testimony: Testimony::new(forwarder.route, forwarder.claims.as_deref()),
        })
    }
}
