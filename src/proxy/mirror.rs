//! Copies of requests to another backend: what it would have answered, with nobody waiting for it.
//!
//! A request without a body is copied as it goes out; one with a body once the primary is done with it, from what was kept of it
//! meanwhile. A copy is a task of its own, so the primary never waits for it, and what becomes of it shows in metrics alone. Whatever
//! there is no room for is dropped.

use std::{cell::Cell, future::poll_fn, io, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt as _,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};

use super::{
    attempt::Leased,
    bridge::RESPONSE_LIMITS,
    buffer::Buffer,
    downstream::{BodyMark, Downstream},
    error::ProxyError,
    forward::{Forwarded, Forwarder},
    lease::{Opening, lease},
    pick::pick_for_copy,
    relay::poll_fill,
    trial::Noted,
    worker::{Held, Worker},
};
use crate::{
    http::{BodyDecoder, Framing, Progress, ResponseHead, chunked, chunked::Piece},
    snapshot::Mirror,
    telemetry::{RouteShard, Trial},
    types::{Bucket, clock},
    upstream::{Endpoint, Lease, UpstreamConnection},
};

/// Tells the backend that nobody waits for its answer.
const MARK: (&str, &str) = ("x-weir-mirror", "true");
/// How much of a response's body is read, so that its connection can carry another copy.
const DISCARDED: usize = 1024 * 1024;

/// A request of which there is, or will be, a copy.
pub(super) struct Mirroring {
    worker: Rc<Worker>,
    snapshot: Rc<Held>,
    pair: Rc<Pair>,
    /// What a copy that waits for its body needs.
    later: Option<(BodyMark, OwnedSemaphorePermit)>,
}

/// How the two ended: a status, and the time to the response's head. `None` is without a response.
type Side = Option<(u16, Duration)>;

/// A request and its copy. Whoever ends last has them counted.
struct Pair {
    primary: Cell<Option<Side>>,
    copy: Cell<Option<Side>>,
    shards: Arc<crate::telemetry::Sharded<RouteShard>>,
    worker: usize,
}

/// What is sent, in the forms that the backend may speak.
struct Copy {
    worker: Rc<Worker>,
    snapshot: Rc<Held>,
    backend: usize,
    endpoint: Arc<Endpoint>,
    connect: Duration,
    head: Vec<u8>,
    request: Option<::http::Request<()>>,
    framing: Framing,
    body: Bytes,
    to_head: bool,
}

// === impl Mirror ===

impl Mirror {
    /// Whether a request is one of those that are copied.
    fn takes(&self, forwarder: &Forwarder<'_>, bytes: &[u8]) -> bool {
        let head = forwarder.request.head;
        let fits = match head.framing {
            Framing::None => true,
            Framing::Length(length) => length <= self.max_body as u64,
            Framing::Chunked => self.max_body > 0,
            Framing::UntilClose => false,
        };
        let method = head.method(bytes);
        fits && head.upgrade.is_none()
            && self.methods.iter().any(|taken| **taken == *method)
            && self.share.contains(Bucket::from_bits(forwarder.worker.random()))
    }
}

// === impl Mirroring ===

impl Mirroring {
    /// Copies the request, or sees to it that its body is kept for that. Before the primary is asked.
    pub(super) fn begin(
        (worker, snapshot): (&Rc<Worker>, &Rc<Held>),
        forwarder: &mut Forwarder<'_>,
        client: &Downstream<'_>,
    ) -> Option<Self> {
        let mirror = forwarder.route.mirror.as_deref()?;
        if !mirror.takes(forwarder, client.bytes()) {
            return None;
        }
        let shards = &forwarder.route.shards;
        let Ok(room) = Arc::clone(&mirror.room).try_acquire_owned() else {
            shards.worker(worker.index).mirror_dropped();
            return None;
        };
        let pair = Rc::new(Pair {
            primary: Cell::default(),
            copy: Cell::default(),
            shards: Arc::clone(shards),
            worker: worker.index,
        });
        let (worker, snapshot) = (Rc::clone(worker), Rc::clone(snapshot));
        let mut mirroring = Self { worker, snapshot, pair, later: None };
        if forwarder.request.head.framing == Framing::None {
            mirroring.send(mirror, (forwarder, client), Bytes::new(), room);
        } else {
            forwarder.copied_body = mirror.max_body;
            mirroring.later = Some((client.mark(), room));
        }
        Some(mirroring)
    }

    /// The primary has ended so.
    pub(super) fn primary_ended(
        mut self,
        forwarder: &Forwarder<'_>,
        client: &Downstream<'_>,
        forwarded: &Forwarded<'_>,
    ) {
        let side = match &forwarded.result {
            Ok(delivered) => {
                Some((delivered.status, delivered.head_at.saturating_duration_since(delivered.sent_at)))
            }
            // What the client broke off is no answer to compare with.
            Err(error) if error.is_clients() => return,
            Err(_) => None,
        };
        if let (Some((mark, room)), Some(mirror)) = (self.later.take(), forwarder.route.mirror.as_deref()) {
            match client.kept_body(mark, forwarder.request.head.framing, mirror.max_body) {
                Some(body) => self.send(mirror, (forwarder, client), body, room),
                None => forwarder.route.shards.worker(self.worker.index).mirror_dropped(),
            }
        }
        self.pair.set(&self.pair.primary, side);
    }

    fn send(
        &self,
        mirror: &Mirror,
        (forwarder, client): (&Forwarder<'_>, &Downstream<'_>),
        body: Bytes,
        room: OwnedSemaphorePermit,
    ) {
        let pair = Rc::clone(&self.pair);
        let backend = &forwarder.snapshot.backends[mirror.backend];
        let now = clock::now();
        let trial = forwarder.route.trial.as_ref().filter(|plan| plan.canary == mirror.backend);
        let noted = trial.map(|plan| Noted::copy(Arc::clone(&plan.trial), self.worker.index, now));
        let Some(endpoint) = pick_for_copy(&self.worker, backend, (forwarder.key, now)) else {
            note(noted.as_ref(), Err(&ProxyError::Unavailable));
            pair.set(&pair.copy, None);
            return;
        };
        let (request, bytes) = (forwarder.request, client.bytes());
        let mut copy = Copy {
            worker: Rc::clone(&self.worker),
            snapshot: Rc::clone(&self.snapshot),
            backend: mirror.backend,
            endpoint,
            connect: forwarder.route.timeouts.connect,
            head: Vec::new(),
            request: None,
            framing: request.head.framing,
            body,
            to_head: request.is_head(),
        };
        if backend.protocol.may_be_h1() {
            request.write_upstream_head(forwarder, bytes, &mut copy.head, &copy.endpoint);
        }
        if backend.protocol.may_be_h2() {
            copy.request = request.upstream_request(forwarder, bytes, &copy.endpoint).ok();
        }
        let within = mirror.timeout;
        tokio::task::spawn_local(async move {
            let _room = room;
            let ended = timeout(within, copy.run()).await;
            let ended = ended.unwrap_or(Err(ProxyError::ResponseTimeout(within)));
            note(noted.as_ref(), ended.as_ref().map(|side| *side));
            pair.set(&pair.copy, ended.ok());
        });
    }
}

/// Tells a rollout how a copy for its canary ended.
fn note(noted: Option<&Noted<Arc<Trial>>>, ended: Result<(u16, Duration), &ProxyError>) {
    if let Some(noted) = noted {
        noted.end_copy(ended);
    }
}

// === impl Pair ===

impl Pair {
    fn set(&self, which: &Cell<Option<Side>>, side: Side) {
        which.set(Some(side));
        if let (Some(primary), Some(copy)) = (self.primary.get(), self.copy.get()) {
            self.shards.worker(self.worker).mirrored(primary, copy);
        }
    }
}

// === impl Copy ===

impl Copy {
    /// Sends it; gives the status and the time to the response's head.
    async fn run(mut self) -> Result<(u16, Duration), ProxyError> {
        self.mark();
        self.endpoint.shards.worker(self.worker.index).started();
        let _under_way = UnderWay(Rc::clone(&self.worker), Arc::clone(&self.endpoint));
        let ended = self.ask(false).await;
        match ended {
            // The endpoint had given a pooled connection up.
            Err(ProxyError::Closed { reused: true, .. }) => self.ask(true).await,
            ended => ended,
        }
    }

    fn mark(&mut self) {
        let (name, value) = MARK;
        if let Some(without_end) = self.head.len().checked_sub(2) {
            self.head.truncate(without_end);
            self.head.extend_from_slice(format!("{name}: {value}\r\n\r\n").as_bytes());
            if self.framing == Framing::Chunked && !self.body.is_empty() {
                chunked::write_size(&mut self.head, self.body.len());
                self.head.extend_from_slice(&self.body);
                self.head.extend_from_slice(b"\r\n");
            } else {
                self.head.extend_from_slice(&self.body);
            }
            if self.framing == Framing::Chunked {
                self.head.extend_from_slice(b"0\r\n\r\n");
            }
        }
        if let Some(request) = &mut self.request {
            request.headers_mut().insert(name, ::http::HeaderValue::from_static(value));
        }
    }

    async fn ask(&self, fresh: bool) -> Result<(u16, Duration), ProxyError> {
        let backend = &self.snapshot.backends[self.backend];
        let _admitted = match &backend.breaker {
            Some(breaker) => breaker.request().map_err(ProxyError::Overload)?,
            None => None,
        };
        let opening = Opening {
            worker: &self.worker,
            endpoint: &self.endpoint,
            backend,
            now: clock::now(),
            timeout: self.connect,
            fresh,
            upgrades: false,
        };
        let leased = lease(&opening).await?;
        let sent_at = clock::now();
        let (status, head_at) = match leased {
            Leased::Connection(connection) => self.over_connection(connection).await?,
            Leased::Stream(lease) => self.over_stream(&lease).await?,
        };
        Ok((status, head_at.saturating_duration_since(sent_at)))
    }

    async fn over_connection(&self, mut to: UpstreamConnection) -> Result<(u16, Instant), ProxyError> {
        let closed = |source| ProxyError::Closed { reused: to.reused, unsent: false, source };
        let sent = async {
            to.stream.write_all(&self.head).await?;
            to.stream.flush().await
        };
        sent.await.map_err(|error| closed(Some(error)))?;
        let mut buffer = Buffer::default();
        self.worker.buffers.provide(&mut buffer);
        let mut head = self.worker.take_response_head();
        while !self.is_head_there(&mut buffer, &mut head)? {
            let filled = poll_fn(|cx| poll_fill(cx, &mut to.stream, &mut buffer)).await;
            match filled {
                Ok(0) => return Err(closed(None)),
                Ok(_) => {}
                Err(error) => return Err(closed(Some(error))),
            }
        }
        let answered = (head.status, clock::now());
        buffer.consume(head.head_len);
        let whole = discard(&mut to, &mut buffer, BodyDecoder::new(head.framing)).await;
        if matches!(whole, Ok(true)) && head.keep_alive && buffer.is_drained() {
            self.worker.pools.put(self.endpoint.id, to, clock::now());
        }
        self.worker.buffers.reclaim(&mut buffer);
        self.worker.put_response_head(head);
        Ok(answered)
    }

    /// Whether the head that counts is at the front of the buffer.
    fn is_head_there(&self, buffer: &mut Buffer, head: &mut ResponseHead) -> Result<bool, ProxyError> {
        while !buffer.is_drained() {
            match head.parse(buffer.unread(), self.to_head, RESPONSE_LIMITS).map_err(ProxyError::Head)? {
                Progress::Partial => break,
                Progress::Complete if head.is_interim() => buffer.consume(head.head_len),
                Progress::Complete => return Ok(head.status != 101),
            }
        }
        if buffer.is_full() {
            buffer.release_head();
        }
        Ok(false)
    }

    async fn over_stream(&self, lease: &Lease) -> Result<(u16, Instant), ProxyError> {
        let Some(request) = &self.request else { return Err(ProxyError::Untranslatable) };
        let mut request_head = ::http::Request::new(());
        request.method().clone_into(request_head.method_mut());
        request.uri().clone_into(request_head.uri_mut());
        request.headers().clone_into(request_head.headers_mut());
        let mut sender = lease.sender().ready().await.map_err(ProxyError::Session)?;
        let ended = self.framing == Framing::None;
        let (response, mut sending) =
            sender.send_request(request_head, ended).map_err(ProxyError::Session)?;
        if !ended {
            // It waits for the endpoint's window in memory; `max_body` bounds it.
            sending.send_data(self.body.clone(), true).map_err(ProxyError::Session)?;
        }
        let response = response.await.map_err(ProxyError::Session)?;
        let answered = (response.status().as_u16(), clock::now());
        let mut body = response.into_body();
        let mut left = DISCARDED;
        while let Some(Ok(data)) = body.data().await {
            let Some(rest) = left.checked_sub(data.len()) else { break };
            left = rest;
            drop(body.flow_control().release_capacity(data.len()));
        }
        Ok(answered)
    }
}

/// Reads a body to its end and throws it away; false when it is too long for that.
async fn discard(
    from: &mut UpstreamConnection,
    buffer: &mut Buffer,
    mut decoder: BodyDecoder,
) -> io::Result<bool> {
    let mut left = DISCARDED;
    loop {
        match decoder.next(buffer.unread()) {
            Ok(Piece::Data(range)) => {
                let Some(rest) = left.checked_sub(range.len()) else { return Ok(false) };
                left = rest;
                buffer.consume(range.end);
            }
            Ok(Piece::End(used)) => {
                buffer.consume(used);
                return Ok(true);
            }
            Ok(Piece::NeedMore) => {
                buffer.consume(buffer.unread().len());
                if poll_fn(|cx| poll_fill(cx, &mut from.stream, buffer)).await? == 0 {
                    return Ok(false);
                }
            }
            Err(_) => return Ok(false),
        }
    }
}

/// Counts a copy as in flight at its endpoint for as long as it lives.
struct UnderWay(Rc<Worker>, Arc<Endpoint>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.1.shards.worker(self.0.index).finished();
    }
}
