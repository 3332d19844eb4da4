//! One attempt where HTTP/2 is on at least one side: the request goes up, the response comes down, both at once.
//!
//! It does for streams what `exchange` does for two HTTP/1.1 connections, where bytes go on as they come. Here bodies pass in
//! pieces, since the two sides do not share a form. The phases are the same: until the response's head is there, any failure can
//! still become an answer of ours or another attempt.

mod frame;
mod held;
mod pump;
mod sink;
mod upstream;

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use self::{
    frame::ConnectionBody,
    pump::{Pump, Source},
    sink::{Outgoing, Sink},
    upstream::Upstream,
};
pub(super) use self::{frame::StreamBody, held::Held, upstream::RESPONSE_LIMITS};
use super::{
    deadlines::{CONTINUE_AFTER, Deadlines, HALF_CLOSE_GRACE, Limits, MAX_INTERIM, Phase, phase},
    downstream::{BodyMark, Downstream},
    error::ProxyError,
    exchange::RequestFacts,
    fields::FieldMap,
    headers::{self, ClientHead},
    relay::{Coding, RelayError, poll_fill},
    respond,
    trailing::Trailing,
    worker::Worker,
};
use crate::{
    http::{BodyDecoder, Framing, HeadError, ResponseHead, Version},
    types::clock,
    upstream::{Lease, UpstreamConnection},
};

/// An attempt under way.
pub(super) struct Bridge<'a, 'c> {
    worker: &'a Worker,
    client: &'a mut Downstream<'c>,
    upstream: Upstream,
    /// The request's body, as an HTTP/1.1 client sends it.
    decoder: BodyDecoder,
    /// What goes to an HTTP/1.1 client.
    out: Outgoing,
    upload: Pump,
    upload_broken: bool,
    download: Pump,
    deadlines: Deadlines,
    limits: Limits,
    expects_continue: bool,
    trailing: Trailing<'a>,
    version: Version,
    /// Interim responses so far.
    interim: u32,
    /// Whether the response's head went to the client.
    begun: bool,
    /// Whether the response's body did not go through in one go.
    waited: bool,
    /// Whether the two sides are a tunnel.
    tunnel: bool,
}

// === impl Bridge ===

impl<'a, 'c> Bridge<'a, 'c> {
    /// An attempt on an HTTP/1.1 connection; `head` is the request's.
    pub(super) fn to_connection(
        worker: &'a Worker,
        client: &'a mut Downstream<'c>,
        (connection, head): (UpstreamConnection, Vec<u8>),
        (facts, limits): (RequestFacts<'a>, Limits),
    ) -> Self {
        let coding = if facts.framing == Framing::Chunked { Coding::Chunked } else { Coding::Plain };
        let upstream = Upstream::connection(connection, Outgoing::new(head, coding));
        Self::new(worker, client, upstream, (facts, limits))
    }

    /// An attempt on a stream of an HTTP/2 connection.
    pub(super) async fn to_stream(
        worker: &'a Worker,
        client: &'a mut Downstream<'c>,
        (lease, request): (Lease, ::http::Request<()>),
        (facts, limits): (RequestFacts<'a>, Limits),
    ) -> Result<Self, ProxyError> {
        let ended = facts.framing == Framing::None && !facts.connects;
        let upstream = Upstream::stream(worker, lease, request, ended).await?;
        Ok(Self::new(worker, client, upstream, (facts, limits)))
    }

    /// An attempt whose response was held, with its head still to be sent to the client. What another attempt has read of the
    /// request since, nobody asks: to an HTTP/1.1 client it counts as not read to its end.
    pub(super) fn resume(
        worker: &'a Worker,
        client: &'a mut Downstream<'c>,
        held: Held,
        (facts, limits): (RequestFacts<'a>, Limits),
    ) -> Self {
        let mut bridge = Self::new(worker, client, held.upstream, (facts, limits));
        if facts.framing == Framing::None {
            bridge.upload = Pump::finished();
        } else {
            bridge.upload_broken = true;
        }
        bridge
    }

    /// Parts with the client; the response, of which the head was read, waits.
    pub(super) fn hold(self) -> Held {
        self.out.give_back(&self.worker.buffers);
        Held::new(self.upstream, self.upload.is_done())
    }

    /// Whether the client's body can be read again from `mark` on.
    pub(super) fn can_rewind(&self, mark: BodyMark) -> bool {
        self.client.can_rewind(mark)
    }

    fn new(
        worker: &'a Worker,
        client: &'a mut Downstream<'c>,
        upstream: Upstream,
        (facts, limits): (RequestFacts<'a>, Limits),
    ) -> Self {
        let (ended, out) = match client {
            Downstream::H1(client) => (client.ended, worker.buffers.take_outgoing()),
            // What such a client gets is not laid out here.
            Downstream::H2(_) => (false, Vec::new()),
        };
        // A stream that asks for a tunnel may go on, but what comes on it belongs to the tunnel. An endpoint that opens none would
        // take it for another request.
        let upload = match (&upstream, facts.framing) {
            (Upstream::Stream { .. }, Framing::None) => Pump::finished(),
            (Upstream::Connection { .. }, Framing::None) => Pump::without_body(),
            _ => Pump::limited(limits.max_body),
        };
        Self {
            worker,
            client,
            upstream,
            decoder: BodyDecoder::new(facts.framing),
            out: Outgoing::new(out, Coding::Plain),
            upload,
            upload_broken: false,
            download: Pump::default(),
            deadlines: Deadlines::new(&limits, ended.then(|| clock::now() + HALF_CLOSE_GRACE)),
            limits,
            expects_continue: facts.expects_continue,
            trailing: facts.trailing,
            version: facts.version,
            interim: 0,
            begun: false,
            waited: false,
            tunnel: false,
        }
    }

    /// Sends the request and waits for the response's head; [`bytes`](Self::bytes) has what it marks places in.
    pub(super) async fn response_head(
        &mut self,
        head: &mut ResponseHead,
        to_head: bool,
    ) -> Result<(), ProxyError> {
        poll_fn(|cx| self.poll_head(cx, head, to_head)).await
    }

    /// The bytes that the response's head marks places in.
    pub(super) fn bytes(&self) -> &[u8] {
        self.upstream.bytes()
    }

    /// Sends the response's head to the client.
    pub(super) fn begin_response(
        &mut self,
        head: &ResponseHead,
        client_head: &ClientHead<'_>,
    ) -> Result<(), ProxyError> {
        let bytes = self.upstream.bytes();
        let bodiless = head.framing == Framing::None && head.status != 101;
        match self.client {
            Downstream::H1(_) => client_head.write(head, bytes, &mut self.out.bytes),
            Downstream::H2(client) => {
                client.begin(client_head.response(head, bytes, &self.worker.recent), bodiless)?;
            }
        }
        self.out.coding = if client_head.chunked { Coding::Chunked } else { Coding::Plain };
        self.begun = true;
        self.upstream.consume_head(head);
        self.upstream.begin_body(BodyDecoder::new(head.framing));
        self.deadlines.head_is_there();
        if bodiless {
            // What an endpoint sends behind such a head would be taken for the next answer.
            self.download = match self.client {
                Downstream::H1(_) => Pump::without_body(),
                Downstream::H2(_) => Pump::finished(),
            };
        }
        Ok(())
    }

    /// What both sides send from here on are bytes of another protocol.
    pub(super) fn open_tunnel(&mut self) {
        self.tunnel = true;
        self.upload = Pump::default();
        self.decoder = BodyDecoder::UntilClose;
        self.deadlines.client = None;
        self.upstream.begin_body(BodyDecoder::UntilClose);
        self.limits.stream_idle = self.limits.tunnel_idle;
    }

    /// Streams the response to its end.
    pub(super) async fn response_body(&mut self) -> Result<(), ProxyError> {
        poll_fn(|cx| self.poll_body(cx)).await
    }

    /// Goes on with the request after its response, as long as the upstream takes it. An HTTP/2 client is told instead that
    /// the rest is not wanted (RFC 9113, section 8.1).
    pub(super) async fn rest_of_request(&mut self) {
        if matches!(self.client, Downstream::H1(_)) {
            self.deadlines.phase = None;
            poll_fn(|cx| self.poll_rest(cx)).await;
        }
    }

    /// Whether the response's body had to wait for the client or the upstream.
    pub(super) fn has_waited(&self) -> bool {
        self.waited
    }

    /// Whether the client got any byte of the response.
    pub(super) fn is_response_begun(&self) -> bool {
        match self.client {
            Downstream::H1(_) => self.out.touched,
            Downstream::H2(_) => self.begun,
        }
    }

    /// Whether the client took a part of an interim response and not the whole.
    pub(super) fn is_interim_cut(&self) -> bool {
        self.out.is_cut()
    }

    /// Whether the client may send another request, or has.
    pub(super) fn may_ask_again(&self) -> bool {
        self.client.may_ask_again()
    }

    /// Body bytes for the client.
    pub(super) fn body_bytes(&self) -> u64 {
        self.download.data
    }

    pub(super) fn grpc_status(&self) -> Option<u8> {
        self.download.grpc_status
    }

    /// Whether the whole request went up.
    pub(super) fn is_request_sent(&self) -> bool {
        self.upload.is_done()
    }

    /// Makes an incomplete response visible as one.
    pub(super) fn break_off(&mut self) {
        if let Downstream::H2(client) = self.client {
            client.reset(h2::Reason::INTERNAL_ERROR);
        }
    }

    /// Gives back the memory, and the connection if it can carry another request.
    pub(super) fn finish(self, keep_alive: bool) -> Option<UpstreamConnection> {
        let clean = keep_alive && self.upload.is_done() && self.download.is_done() && !self.tunnel;
        self.out.give_back(&self.worker.buffers);
        self.upstream.finish(self.worker, clean)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
        to_head: bool,
    ) -> Poll<Result<(), ProxyError>> {
        let sent_up = self.poll_upload(cx)?;
        self.poll_interim(cx)?;
        while self.out.is_flushed() {
            match self.upstream.poll_head(cx, self.worker, head, to_head) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if head.is_interim() => self.take_interim(head)?,
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            }
            self.poll_interim(cx)?;
        }
        self.poll_client(cx)?;
        if sent_up || self.deadlines.phase.is_none() {
            self.touch_head();
        }
        let wanted = self.is_body_wanted() && !self.expects_continue;
        self.deadlines.watch_body(wanted, self.upload.data);
        self.poll_deadlines(cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let sent_up = self.poll_upload(cx)?;
        if let Poll::Ready(result) = self.poll_download(cx) {
            return Poll::Ready(result.map_err(ProxyError::of_download));
        }
        self.waited = true;
        let moved = std::mem::take(&mut self.download.moved);
        self.poll_client(cx)?;
        if sent_up || moved || self.deadlines.phase.is_none() {
            self.deadlines.phase = phase(clock::now(), self.limits.stream_idle, Phase::Stream);
        }
        self.poll_deadlines(cx)
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let moved = self.poll_upload(cx);
        if moved.is_err() || self.upload_broken || self.upload.is_done() {
            return Poll::Ready(());
        }
        if matches!(moved, Ok(true)) || self.deadlines.phase.is_none() {
            self.deadlines.phase = phase(clock::now(), self.limits.stream_idle, Phase::Stream);
        }
        self.poll_deadlines(cx).map(|_| ())
    }

    /// Moves the request. An upstream that stops taking it may still answer, so that is no error here.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<bool, ProxyError> {
        if self.upload.is_done() || self.upload_broken {
            return Ok(false);
        }
        let mut source = match self.client {
            Downstream::H1(client) => Source::Connection(ConnectionBody {
                stream: &mut client.stream,
                buffer: &mut client.buffer,
                decoder: &mut self.decoder,
            }),
            Downstream::H2(client) => Source::Stream(&mut client.body),
        };
        let sides = (&mut source, &mut self.upstream.sink());
        let polled = self.upload.poll(cx, sides, self.trailing, &self.worker.buffers);
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.upstream.request_is_sent(&self.worker.buffers);
                if self.tunnel {
                    self.upstream.end(cx);
                    self.limits.stream_idle = self.limits.response_headers;
                }
            }
            Poll::Ready(Err(RelayError::Write(_))) => self.upload_broken = true,
            Poll::Ready(Err(RelayError::Chunked(_))) => return Err(ProxyError::ClientBody),
            Poll::Ready(Err(RelayError::TooLarge)) => return Err(ProxyError::TooLarge),
            Poll::Ready(Err(RelayError::Read(_) | RelayError::Truncated)) => {
                return Err(ProxyError::ClientGone);
            }
        }
        Ok(std::mem::take(&mut self.upload.moved))
    }

    fn poll_download(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RelayError>> {
        if self.download.is_done() {
            return Poll::Ready(Ok(()));
        }
        let Some(mut source) = self.upstream.source() else { return Poll::Ready(Ok(())) };
        let mut sink = match self.client {
            Downstream::H1(client) => Sink::Connection(&mut client.stream, &mut self.out),
            Downstream::H2(client) => match client.sending() {
                Some(sending) => Sink::Stream(sending),
                None => return Poll::Ready(Ok(())),
            },
        };
        self.download.poll(cx, (&mut source, &mut sink), Trailing::default(), &self.worker.buffers)
    }

    /// Sends interim responses to an HTTP/1.1 client.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Result<(), ProxyError> {
        let Downstream::H1(client) = self.client else { return Ok(()) };
        match self.out.poll_flush(cx, &mut client.stream) {
            Poll::Ready(Err(_)) => Err(ProxyError::ClientGone),
            _ => Ok(()),
        }
    }

    /// Passes an interim response on (RFC 9110, section 15.2).
    fn take_interim(&mut self, head: &ResponseHead) -> Result<(), ProxyError> {
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(ProxyError::Head(HeadError::TooMany));
        }
        let is_continue = head.status == 100;
        if self.version != Version::Http10 && (!is_continue || self.expects_continue) {
            let bytes = self.upstream.bytes();
            match self.client {
                Downstream::H1(_) => headers::write_interim(head, bytes, &mut self.out.bytes),
                Downstream::H2(client) => {
                    let mut fields = FieldMap::default();
                    headers::interim_fields(head, bytes, &mut fields);
                    client.interim(respond::interim(head.status, fields));
                }
            }
        }
        if is_continue {
            self.expects_continue = false;
            self.deadlines.go_on = None;
        }
        self.upstream.consume_head(head);
        Ok(())
    }

    /// Looks whether the client is still there. What an HTTP/1.1 client pipelines meanwhile is kept.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Result<(), ProxyError> {
        let reading_body = !self.upload.is_read() && !self.upload_broken;
        let client = match self.client {
            Downstream::H1(client) => client,
            Downstream::H2(client) => {
                return if client.poll_gone(cx).is_ready() { Err(ProxyError::ClientGone) } else { Ok(()) };
            }
        };
        if self.tunnel || reading_body || client.ended || client.buffer.is_full() {
            return Ok(());
        }
        while let Poll::Ready(filled) = poll_fill(cx, &mut client.stream, &mut client.buffer) {
            match filled {
                Err(_) => return Err(ProxyError::ClientGone),
                Ok(0) => {
                    client.ended = true;
                    self.deadlines.client = Some(clock::now() + HALF_CLOSE_GRACE);
                    return Ok(());
                }
                Ok(_) if client.buffer.is_full() => return Ok(()),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn touch_head(&mut self) {
        let now = clock::now();
        let sending = !self.upload.is_done() && !self.upload_broken;
        self.deadlines.phase = if sending {
            phase(now, self.limits.stream_idle, Phase::Stream)
        } else {
            phase(now, self.limits.response_headers, Phase::ResponseHead)
        };
        if self.expects_continue && self.deadlines.go_on.is_none() && self.upload.data == 0 {
            self.deadlines.go_on = Some(now + CONTINUE_AFTER);
        }
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        loop {
            let timer = match self.client {
                Downstream::H1(client) => &mut client.timer,
                Downstream::H2(client) => &mut client.timer,
            };
            timer.set_deadline(self.deadlines.first());
            std::task::ready!(timer.poll(cx));
            let now = clock::now();
            if self.deadlines.client.take_if(|at| *at <= now).is_some() {
                return Poll::Ready(Err(ProxyError::ClientGone));
            }
            if self.deadlines.body.is_some_and(|at| at <= now) {
                return Poll::Ready(Err(ProxyError::TooSlow));
            }
            if let Some((_, phase)) = self.deadlines.phase.filter(|(at, _)| *at <= now) {
                return Poll::Ready(Err(self.timed_out(phase)));
            }
            if self.deadlines.go_on.take_if(|at| *at <= now).is_some() {
                self.expects_continue = false;
                match self.client {
                    Downstream::H1(_) => self.out.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"),
                    Downstream::H2(client) => client.interim(respond::interim(100, FieldMap::default())),
                }
                self.poll_interim(cx)?;
            }
        }
    }

    /// Whether all that came of the request went up, and more is to come.
    fn is_body_wanted(&self) -> bool {
        !self.upload.is_read() && !self.upload.is_stuck() && self.upstream.is_request_flushed()
    }

    fn timed_out(&self, phase: Phase) -> ProxyError {
        let client_sends_nothing = !self.begun && self.is_body_wanted();
        let client_takes_nothing = self.download.is_stuck() || !self.out.is_flushed();
        match phase {
            Phase::ResponseHead => ProxyError::ResponseTimeout(self.limits.response_headers),
            Phase::Stream if client_sends_nothing || client_takes_nothing => ProxyError::ClientIdle,
            Phase::Stream => ProxyError::StreamIdle(self.limits.stream_idle),
        }
    }
}
