//! One attempt on one upstream connection: the request goes up, the response comes down, both at once.
//!
//! An exchange has two phases. Until the response's head is there, any failure can still become an answer of ours or
//! another attempt. After it, the response is on its way, and a failure can only be made visible by breaking off.
//!
//! All of it happens in one task on one thread: `poll` moves what can be moved in both directions, then looks after the
//! client (has it left?) and the deadlines, and sleeps.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite as _;

use super::{
    bridge::{Held, RESPONSE_LIMITS},
    buffer::{Buffer, Mark},
    connection::Client,
    deadlines::{CONTINUE_AFTER, Deadlines, HALF_CLOSE_GRACE, Limits, MAX_INTERIM, Phase, phase},
    error::ProxyError,
    headers::{self, ClientHead},
    relay::{Coding, Ends, Relay, RelayError, poll_fill},
    trailing::Trailing,
    worker::Worker,
};
use crate::{
    http::{BodyDecoder, Framing, HeadError, Progress, ResponseHead, Version},
    types::clock,
    upstream::UpstreamConnection,
};

/// An attempt under way.
pub(super) struct Exchange<'a> {
    worker: &'a Worker,
    client: &'a mut Client,
    upstream: UpstreamConnection,
    upstream_buffer: Buffer,
    upload: Relay<'a>,
    upload_state: Upload,
    download: Relay<'a>,
    deadlines: Deadlines,
    limits: Limits,
    /// Whether any byte of a response has come.
    answered: bool,
    /// Whether anything was sent to the client after it closed its sending side.
    written_since_end: bool,
    expects_continue: bool,
    client_version: Version,
    /// Interim responses so far.
    interim: u32,
    /// Whether the response's body did not go through in one go.
    waited: bool,
    /// Whether the two connections are a tunnel.
    tunnel: bool,
}

/// What an exchange needs to know of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestFacts<'a> {
    pub(super) version: Version,
    /// Whether an endpoint over HTTP/2 is asked for a tunnel.
    pub(super) connects: bool,
    pub(super) framing: Framing,
    pub(super) expects_continue: bool,
    /// What is kept back of fields behind the body.
    pub(super) trailing: Trailing<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Running,
    Done,
    /// The upstream no longer takes the request; an answer may still come.
    Broken,
}

// === impl Exchange ===

impl<'a> Exchange<'a> {
    /// Prepares an attempt: `upload` begins with the request's head and reads the client's body.
    pub(super) fn new(
        worker: &'a Worker,
        client: &'a mut Client,
        upstream: UpstreamConnection,
        mut upload: Relay<'a>,
        (facts, limits): (RequestFacts<'a>, Limits),
    ) -> Self {
        upload.limit(limits.max_body);
        let gone = client.ended.then(|| clock::now() + HALF_CLOSE_GRACE);
        let deadlines = Deadlines::new(&limits, gone);
        Self {
            worker,
            client,
            upstream,
            upstream_buffer: Buffer::default(),
            upload,
            upload_state: Upload::Running,
            download: Relay::new(BodyDecoder::Length(0), Coding::Plain, worker.buffers.take_outgoing()),
            deadlines,
            limits,
            answered: false,
            written_since_end: false,
            expects_continue: facts.expects_continue,
            client_version: facts.version,
            interim: 0,
            waited: false,
            tunnel: false,
        }
    }

    /// Sends the request and waits for the response's head, which stays in the upstream's buffer.
    pub(super) async fn response_head(
        &mut self,
        head: &mut ResponseHead,
        to_head: bool,
    ) -> Result<(), ProxyError> {
        poll_fn(|cx| self.poll_head(cx, head, to_head)).await
    }

    /// The bytes that the response's head marks places in.
    pub(super) fn bytes(&self) -> &[u8] {
        self.upstream_buffer.unread()
    }

    /// Queues the head for the client, and what of the body came with it.
    pub(super) fn begin_response(
        &mut self,
        head: &ResponseHead,
        client_head: &ClientHead<'_>,
    ) -> Result<(), ProxyError> {
        client_head.write(head, self.upstream_buffer.unread(), self.download.out_mut());
        self.upstream_buffer.consume(head.head_len);
        let coding = if client_head.chunked { Coding::Chunked } else { Coding::Plain };
        self.download.begin(BodyDecoder::new(head.framing), coding);
        self.deadlines.head_is_there();
        Ok(())
    }

    /// What both sides send from here on are bytes of another protocol.
    pub(super) fn open_tunnel(&mut self) {
        self.tunnel = true;
        self.upload.begin(BodyDecoder::UntilClose, Coding::Plain);
        self.upload_state = Upload::Running;
        self.download.begin(BodyDecoder::UntilClose, Coding::Plain);
        self.deadlines.client = None;
        self.limits.stream_idle = self.limits.tunnel_idle;
    }

    /// Streams the response to its end.
    pub(super) async fn response_body(&mut self) -> Result<(), ProxyError> {
        poll_fn(|cx| self.poll_body(cx)).await
    }

    /// Goes on with the request after its response, as long as the upstream takes it: many answer first and read then, and
    /// the client, which was told nothing else, goes on sending.
    pub(super) async fn rest_of_request(&mut self) {
        self.deadlines.phase = None;
        poll_fn(|cx| self.poll_rest(cx)).await;
    }

    /// Whether the response's body had to wait for the client or the upstream.
    pub(super) fn has_waited(&self) -> bool {
        self.waited
    }

    /// Whether the client got any byte.
    pub(super) fn is_response_begun(&self) -> bool {
        self.download.touched
    }

    /// Whether the client took a part of an interim response and not the whole.
    pub(super) fn is_interim_cut(&self) -> bool {
        self.download.is_cut()
    }

    /// Whether the client may send another request, or has.
    pub(super) fn may_ask_again(&self) -> bool {
        self.client.may_ask_again()
    }

    /// Body bytes that went to the client.
    pub(super) fn body_bytes(&self) -> u64 {
        self.download.data_written
    }

    /// Whether the whole request went up, so that what the client sends next is another one.
    pub(super) fn is_request_sent(&self) -> bool {
        self.upload_state == Upload::Done
    }

    /// Parts with the client; the response, of which the head was read, waits.
    pub(super) fn hold(self) -> Held {
        self.worker.buffers.put_outgoing(self.upload.into_out());
        self.worker.buffers.put_outgoing(self.download.into_out());
        Held::on_connection(self.upstream, self.upstream_buffer, self.upload_state == Upload::Done)
    }

    /// Whether the client's body can be read again from `mark` on.
    pub(super) fn can_rewind(&self, mark: Mark) -> bool {
        self.client.buffer.can_rewind(mark)
    }

    /// Gives back the memory, and the connection if it can carry another request.
    pub(super) fn finish(mut self, keep_alive: bool) -> Option<UpstreamConnection> {
        let clean = self.upstream_buffer.is_drained()
            && self.upload_state == Upload::Done
            && self.download.is_done()
            && !self.tunnel;
        self.worker.buffers.reclaim(&mut self.upstream_buffer);
        self.worker.buffers.put_outgoing(self.upload.into_out());
        self.worker.buffers.put_outgoing(self.download.into_out());
        (clean && keep_alive).then_some(self.upstream)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
        to_head: bool,
    ) -> Poll<Result<(), ProxyError>> {
        let sent_up = self.poll_upload(cx)?;
        self.poll_interim(cx)?;
        // A client that does not take interim responses slows the upstream down, as everywhere.
        while self.download.is_flushed() {
            match self.poll_upstream(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            while let Progress::Complete = self.parse_head(head, to_head)? {
                if !head.is_interim() {
                    return Poll::Ready(Ok(()));
                }
                self.take_interim(head)?;
            }
            self.poll_interim(cx)?;
        }
        self.poll_client(cx)?;
        if sent_up || self.deadlines.phase.is_none() {
            self.touch_head();
        }
        let wanted = self.is_body_wanted() && !self.expects_continue;
        self.deadlines.watch_body(wanted, self.upload.data_written);
        self.poll_deadlines(cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let sent_up = self.poll_upload(cx)?;
        let mut ends = Ends {
            read: &mut self.upstream.stream,
            buffer: &mut self.upstream_buffer,
            write: &mut self.client.stream,
            moved: false,
        };
        let polled = self.download.poll(cx, &mut ends, &self.worker.buffers);
        let moved = ends.moved;
        if let Poll::Ready(result) = polled {
            return Poll::Ready(result.map_err(ProxyError::of_download));
        }
        self.waited = true;
        self.written_since_end |= moved && self.client.ended;
        self.poll_client(cx)?;
        if sent_up || moved || self.deadlines.phase.is_none() {
            self.deadlines.phase = phase(clock::now(), self.limits.stream_idle, Phase::Stream);
        }
        self.poll_deadlines(cx)
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let moved = self.poll_upload(cx);
        // Whatever the upstream says now answers nothing; nearly always it is the connection's end.
        let over =
            moved.is_err() || (self.upload_state == Upload::Running && self.poll_upstream(cx).is_ready());
        if over {
            self.upload_state = Upload::Broken;
        }
        if self.upload_state != Upload::Running {
            return Poll::Ready(());
        }
        if matches!(moved, Ok(true)) || self.deadlines.phase.is_none() {
            self.deadlines.phase = phase(clock::now(), self.limits.stream_idle, Phase::Stream);
        }
        self.poll_deadlines(cx).map(|_| ())
    }

    /// Moves the request. An upstream that stops taking it may still answer, so that is no error here.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<bool, ProxyError> {
        if self.upload_state != Upload::Running {
            return Ok(false);
        }
        let mut ends = Ends {
            read: &mut self.client.stream,
            buffer: &mut self.client.buffer,
            write: &mut self.upstream.stream,
            moved: false,
        };
        let polled = self.upload.poll(cx, &mut ends, &self.worker.buffers);
        let moved = ends.moved;
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.upload_state = Upload::Done;
                self.pass_end_on(cx);
            }
            Poll::Ready(Err(RelayError::Write(_))) => self.upload_state = Upload::Broken,
            Poll::Ready(Err(RelayError::Chunked(_))) => return Err(ProxyError::ClientBody),
            Poll::Ready(Err(RelayError::TooLarge)) => return Err(ProxyError::TooLarge),
            Poll::Ready(Err(RelayError::Read(_) | RelayError::Truncated)) => {
                return Err(ProxyError::ClientGone);
            }
        }
        Ok(moved)
    }

    /// The client of a tunnel has said all that it has to say: the upstream is told, and may take no longer than any other
    /// response to say the rest.
    fn pass_end_on(&mut self, cx: &mut Context<'_>) {
        if self.tunnel {
            let _ = Pin::new(&mut self.upstream.stream).poll_shutdown(cx);
            self.limits.stream_idle = self.limits.response_headers;
        }
    }

    /// Sends interim responses down.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Result<(), ProxyError> {
        let mut ends = Ends {
            read: &mut self.upstream.stream,
            buffer: &mut self.upstream_buffer,
            write: &mut self.client.stream,
            moved: false,
        };
        match self.download.poll_flush(cx, &mut ends) {
            Poll::Ready(Err(_)) => Err(ProxyError::ClientGone),
            _ => Ok(()),
        }
    }

    /// Reads once from the upstream.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.worker.buffers.provide(&mut self.upstream_buffer);
        if self.upstream_buffer.is_full() {
            // Interim responses were before what is there of the next head.
            self.upstream_buffer.release_head();
        }
        let filled = poll_fill(cx, &mut self.upstream.stream, &mut self.upstream_buffer);
        if filled.is_pending() {
            self.worker.buffers.reclaim_if_drained(&mut self.upstream_buffer);
        }
        match std::task::ready!(filled) {
            Ok(count) if count > 0 => {
                self.answered = true;
                Poll::Ready(Ok(()))
            }
            Ok(_) => Poll::Ready(Err(self.closed(None))),
            Err(error) => Poll::Ready(Err(self.closed(Some(error)))),
        }
    }

    fn closed(&self, source: Option<io::Error>) -> ProxyError {
        if self.answered {
            return ProxyError::Truncated(source);
        }
        ProxyError::Closed { reused: self.upstream.reused, unsent: !self.upload.touched, source }
    }

    fn parse_head(&mut self, head: &mut ResponseHead, to_head: bool) -> Result<Progress, ProxyError> {
        let bytes = self.upstream_buffer.unread();
        if bytes.is_empty() {
            return Ok(Progress::Partial);
        }
        head.parse(bytes, to_head, RESPONSE_LIMITS).map_err(ProxyError::Head)
    }

    /// Passes an interim response on (RFC 9110, section 15.2: a proxy must, but not to HTTP/1.0).
    fn take_interim(&mut self, head: &ResponseHead) -> Result<(), ProxyError> {
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(ProxyError::Head(HeadError::TooMany));
        }
        let is_continue = head.status == 100;
        let wanted = self.client_version == Version::Http11 && (!is_continue || self.expects_continue);
        if wanted {
            headers::write_interim(head, self.upstream_buffer.unread(), self.download.out_mut());
        }
        if is_continue {
            self.expects_continue = false;
            self.deadlines.go_on = None;
        }
        self.upstream_buffer.consume(head.head_len);
        Ok(())
    }

    /// Looks whether the client is still there, once its request has been read. What it pipelines meanwhile is kept.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Result<(), ProxyError> {
        let reading_body = self.upload_state == Upload::Running && !self.upload.is_read();
        if self.tunnel || reading_body || self.client.ended || self.client.buffer.is_full() {
            return Ok(());
        }
        while let Poll::Ready(filled) = poll_fill(cx, &mut self.client.stream, &mut self.client.buffer) {
            match filled {
                Err(_) => return Err(ProxyError::ClientGone),
                Ok(0) => {
                    self.client.ended = true;
                    self.deadlines.client = Some(clock::now() + HALF_CLOSE_GRACE);
                    return Ok(());
                }
                Ok(_) if self.client.buffer.is_full() => return Ok(()),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Sets the deadline of the first phase: the body's own while it is on its way, then the response head's.
    fn touch_head(&mut self) {
        let now = clock::now();
        self.deadlines.phase = if self.upload_state == Upload::Running {
            phase(now, self.limits.stream_idle, Phase::Stream)
        } else {
            phase(now, self.limits.response_headers, Phase::ResponseHead)
        };
        if self.expects_continue && self.deadlines.go_on.is_none() && self.upload.data_written == 0 {
            self.deadlines.go_on = Some(now + CONTINUE_AFTER);
        }
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        loop {
            self.client.timer.set_deadline(self.deadlines.first());
            std::task::ready!(self.client.timer.poll(cx));
            let now = clock::now();
            if self.deadlines.client.take_if(|at| *at <= now).is_some() && !self.is_client_half_closed() {
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
                self.download.out_mut().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                self.poll_interim(cx)?;
            }
        }
    }

    /// Whether a client that closed its sending side still takes what is sent: a socket that was closed altogether has
    /// answered it with a reset by now.
    fn is_client_half_closed(&self) -> bool {
        self.written_since_end && matches!(self.client.stream.socket().take_error(), Ok(None))
    }

    /// Whether all that came of the request went up, and more is to come.
    fn is_body_wanted(&self) -> bool {
        self.upload_state == Upload::Running && !self.upload.is_read() && self.upload.is_flushed()
    }

    fn timed_out(&self, phase: Phase) -> ProxyError {
        let client_sends_nothing = self.is_body_wanted() && !self.answered;
        let client_takes_nothing = !self.download.is_flushed();
        match phase {
            Phase::ResponseHead => ProxyError::ResponseTimeout(self.limits.response_headers),
            Phase::Stream if client_sends_nothing || client_takes_nothing => ProxyError::ClientIdle,
            Phase::Stream => ProxyError::StreamIdle(self.limits.stream_idle),
        }
    }
}

// === impl ProxyError ===

impl ProxyError {
    /// What an error on the way down means: reading is the upstream's side, writing the client's.
    pub(super) fn of_download(error: RelayError) -> Self {
        match error {
            RelayError::Read(source) => Self::Truncated(Some(source)),
            RelayError::Truncated => Self::Truncated(None),
            RelayError::Chunked(_) | RelayError::TooLarge => Self::Body,
            RelayError::Write(_) => Self::ClientGone,
        }
    }
}
