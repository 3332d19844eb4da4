"""What a gateway owes to both ends beside framing: expectations, methods, trailers, upgrades, streams (RFC 9110)."""

import base64
import hashlib
import os
import time

from suite import h2
from suite.case import Skip, Theme, background
from suite.origin import OK, echo, reply
from suite.wire import Head

theme = Theme("semantics", "Semantics")

EXPECT = "RFC 9110 §10.1.1"
HEAD = b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


def expectant(t, wait=1.0):
    """Sends a head that waits for 100, and the body when 100 comes or, as a client must, after a while; the final response."""
    client = t.client()
    client.send(HEAD)
    deadline = time.monotonic() + wait
    while b"\r\n\r\n" not in client.data and time.monotonic() < deadline and not client.ended:
        client.fill(0.05)
    t.note("100" if b" 100 " in client.data[:16] else bytes(client.data[:24]))
    if b" 100 " in client.data[:16] or not client.data:
        client.send(b"hello")
    return client, client.response()


@theme.case("expect-answered", EXPECT, "When the origin says 100 the client gets 100, sends the body, and the origin gets it.")
def _(t):
    def behave(connection):
        raw = connection.head()
        if raw and b"100-continue" in raw.lower():
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.take(5, time.monotonic() + 5)
        connection.send(reply(body=body))

    t.origin.behave(behave)
    client, response = expectant(t)
    t.check(response is not None and response.status == 200 and response.body == b"hello", f"answered {response.status if response else 'nothing'}")


@theme.case("expect-ignored-by-origin", EXPECT, "When the origin ignores the expectation the exchange still comes to its end.")
def _(t):
    t.origin.behave(echo)
    client, response = expectant(t)
    t.check(response is not None and response.status == 200 and response.body == b"hello", f"answered {response.status if response else 'nothing'}")


@theme.case("expect-refused", EXPECT, "When the origin refuses without 100 the client gets that answer, and the body it never sends is not waited for.")
def _(t):
    def behave(connection):
        connection.head()
        connection.send(reply(417, reason="Expectation Failed", fields=["Connection: close"]))
        connection.close()

    t.origin.behave(behave)
    client, response = expectant(t)
    t.check(response is not None and response.status in (417, 502), f"answered {response.status if response else 'nothing'}")


@theme.case("expect-refused-next", EXPECT, "After an answer without 100 what the client sends next is a body or a request, never both.")
def _(t):
    def behave(connection):
        while True:
            raw = connection.head()
            if raw is None:
                return
            connection.send(reply(403, reason="Forbidden"))

    t.origin.behave(behave)
    client = t.client()
    client.send(HEAD)
    response = client.response()
    t.check(response is not None and response.status >= 400, f"answered {response.status if response else 'nothing'}")
    client.send(b"GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n")
    client.response(wait=1.5)
    t.settle()
    t.check(b"GET /smuggled" not in t.origin.bytes, "the body became a request")


@theme.case("expect-unknown", EXPECT, "An unknown expectation is refused with 417, dropped or passed on: the body arrives or nothing does.")
def _(t):
    t.refused_or_one(t.exchange(b"POST /p HTTP/1.1\r\nHost: h.test\r\nExpect: tea\r\nContent-Length: 5\r\n\r\nhello"), b"hello")


@theme.case("expect-http-1-0", EXPECT, "An expectation in HTTP/1.0 is ignored: the client gets no 100.")
def _(t):
    t.origin.behave(echo)
    seen = t.exchange(b"POST /p HTTP/1.0\r\nHost: h.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    t.check(seen.status == 200 and not seen.first.interim, f"answered {seen}")


@theme.case("expect-no-body", EXPECT, "An expectation without a body is no reason to wait.")
def _(t):
    t.ok(t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nExpect: 100-continue\r\n\r\n"))


# --- methods -----------------------------------------------------------------------------------------------------------------------


@theme.case("head", "RFC 9110 §9.3.2", "HEAD is passed on as HEAD, and its answer has no body.")
def _(t):
    t.origin.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    client = t.client()
    first = client.ask(b"HEAD /p HTTP/1.1\r\nHost: h.test\r\n\r\n", "HEAD")
    t.check(first is not None and first.status == 200 and client.quiet(), "a body came, or no answer")
    t.check(t.origin.requests[0].method == b"HEAD", "the origin saw another method")


@theme.case("head-of-origin-error", "RFC 9110 §9.3.2", "An answer of the proxy's own to HEAD has no body either.")
def _(t):
    t.origin.behave(lambda connection: connection.close() if connection.request() else None)
    client = t.client()
    first = client.ask(b"HEAD /p HTTP/1.1\r\nHost: h.test\r\n\r\n", "HEAD")
    t.check(first is not None and first.status >= 500, "no answer")
    t.check(client.quiet(0.3), f"the client saw {client.rest[:60]!r}")


@theme.case("trace-max-forwards-zero", "RFC 9110 §7.6.2", "TRACE with Max-Forwards: 0 is not passed on.")
def _(t):
    seen = t.exchange(b"TRACE /p HTTP/1.1\r\nHost: h.test\r\nMax-Forwards: 0\r\n\r\n")
    t.check(seen.responses, "no answer")
    t.saw_nothing()


@theme.case("options-max-forwards-zero", "RFC 9110 §7.6.2", "OPTIONS with Max-Forwards: 0 is not passed on.")
def _(t):
    seen = t.exchange(b"OPTIONS /p HTTP/1.1\r\nHost: h.test\r\nMax-Forwards: 0\r\n\r\n")
    t.check(seen.responses, "no answer")
    t.saw_nothing()


@theme.case("options-max-forwards-counted", "RFC 9110 §7.6.2", "Max-Forwards of OPTIONS is passed on one lower.")
def _(t):
    t.ok(t.exchange(b"OPTIONS /p HTTP/1.1\r\nHost: h.test\r\nMax-Forwards: 5\r\n\r\n"))
    t.check(t.saw_one().get("max-forwards") == b"4", f"the origin saw {t.origin.requests[0].get('max-forwards')!r}")


@theme.case("max-forwards-get", "RFC 9110 §7.6.2", "Max-Forwards of other methods means nothing.")
def _(t):
    t.ok(t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nMax-Forwards: 0\r\n\r\n"))
    t.saw_one()


@theme.case("trace-with-body", "RFC 9110 §9.3.8", "A TRACE with a body is refused, or the body is passed on as one.")
def _(t):
    t.refused_or_one(t.exchange(b"TRACE /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello"))


@theme.case("post-empty", "RFC 9110 §8.6", "A POST with length zero reaches the origin as one without a body that says so.")
def _(t):
    t.ok(t.exchange(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 0\r\n\r\n"))
    request = t.saw_one(b"")
    t.check(request.get("content-length") == b"0" or request.has("transfer-encoding"), "the length is gone")


@theme.case("get-no-framing", "RFC 9110 §8.6", "A GET without a body reaches the origin without length and coding, or with length zero.")
def _(t):
    t.ok(t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n"))
    request = t.saw_one(b"")
    t.check(request.get("content-length") in (None, b"0") and not request.has("transfer-encoding"), "it says there is a body")


# --- fields -----------------------------------------------------------------------------------------------------------------------


@theme.case("date-added", "RFC 9110 §6.6.1", "A response without Date gets one.")
def _(t):
    t.origin.answer(reply(date=False))
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n")
    t.ok(seen)
    t.check(len(seen.first.all("date")) == 1, f"{len(seen.first.all('date'))} Date fields")


@theme.case("date-kept", "RFC 9110 §6.6.1", "A response's Date is one, and an IMF-fixdate.")
def _(t):
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n")
    dates = seen.first.all("date")
    t.check(len(dates) == 1 and dates[0].endswith(b" GMT"), f"the client saw {dates}")


@theme.case("content-kept", "RFC 9110 §7.7", "Content and what describes it are passed on untouched.")
def _(t):
    body = os.urandom(3000)
    t.origin.answer(reply(body=body, fields=["Content-Encoding: gzip", "ETag: W/\"x\"", "Vary: *", "Cache-Control: no-transform"]))
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nAccept-Encoding: gzip\r\n\r\n")
    t.ok(seen)
    first = seen.first
    t.check(first.body == body and first.get("content-encoding") == b"gzip" and first.get("etag") == b'W/"x"', "changed")


@theme.case("range", "RFC 9110 §14", "Ranges are passed on, and 206 comes back as it is.")
def _(t):
    t.origin.answer(reply(206, b"ell", ["Content-Range: bytes 1-3/5"], "Partial Content"))
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nRange: bytes=1-3\r\nIf-Range: \"x\"\r\n\r\n")
    t.check(seen.status == 206 and seen.first.body == b"ell" and seen.first.get("content-range") == b"bytes 1-3/5", f"answered {seen}")
    request = t.saw_one()
    t.check(request.get("range") == b"bytes=1-3" and request.get("if-range") == b'"x"', "the origin saw something else")


@theme.case("errors-kept", "RFC 9110 §15", "An origin's own error is passed on with its body.")
def _(t):
    t.origin.answer(reply(503, b"down", ["Retry-After: 7"], "Service Unavailable"))
    seen = t.exchange(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 2\r\n\r\nhi")
    t.check(seen.status == 503 and seen.first.body == b"down" and seen.first.get("retry-after") == b"7", f"answered {seen}")
    t.saw_one(b"hi")


# --- bodies and streams -------------------------------------------------------------------------------------------------------------


@theme.case("large-upload", "RFC 9112 §6", "A body of 6 MiB goes up unchanged.", takes=2, heavy=True)
def _(t):
    body = os.urandom(1 << 16) * 96
    t.origin.behave(lambda connection: connection.send(reply(body=hashlib.sha256(connection.request(20.0).body).hexdigest().encode())))
    client = t.client()
    background(client.send, b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    response = client.response(wait=20.0)
    t.check(response is not None and response.body == hashlib.sha256(body).hexdigest().encode(), "another body arrived")


@theme.case("large-download", "RFC 9112 §6", "A body of 6 MiB comes down unchanged.", takes=2, heavy=True)
def _(t):
    body = os.urandom(1 << 16) * 96
    t.origin.answer(reply(body=body))
    client = t.client()
    response = client.ask(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n", wait=20.0)
    t.check(response is not None and response.complete and response.body == body, "another body arrived")


@theme.case("stream-down", "RFC 9110 §7.7", "A stream is passed on event by event, not collected.")
def _(t):
    def behave(connection):
        if connection.request() is None:
            return
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n")
        arrived = t.origin.wait(lambda _: getattr(t, "first_event", False), 4.0)
        connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % ((3, b"yes") if arrived else (2, b"no")))

    t.origin.behave(behave)
    client = t.client()
    client.send(b"GET /p HTTP/1.1\r\nHost: h.test\r\nAccept: text/event-stream\r\n\r\n")
    deadline = time.monotonic() + 3.0
    while b"data: 1" not in client.data and client.more(deadline):
        pass
    t.first_event = b"data: 1" in client.data
    response = client.response()
    t.check(response is not None and response.complete and response.body == b"data: 1yes", "the first event waited for the second")


@theme.case("stream-up", "RFC 9110 §7.7", "An upload is passed on as it comes, not collected.")
def _(t):
    def behave(connection):
        connection.until(b"first", time.monotonic() + 4.0)
        t.arrived = True
        connection.until(b"0\r\n\r\n", time.monotonic() + 4.0)
        connection.send(OK)

    t.arrived = False
    t.origin.behave(behave)
    client = t.client()
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    t.check(t.origin.wait(lambda _: t.arrived, 1.5), "the first chunk waited for the rest")
    client.send(b"0\r\n\r\n")
    response = client.response()
    t.check(response is not None and response.status == 200, "not answered")


@theme.case("both-ways", "RFC 9112 §9.3", "A response may begin while the request still goes up, and both come whole.")
def _(t):
    def behave(connection):
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n")
        body = connection.take(100_000, time.monotonic() + 5.0)
        connection.send(b"5\r\n%5d\r\n0\r\n\r\n" % (len(body) % 99999))

    t.origin.behave(behave)
    client = t.client()
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
    t.origin.wait(lambda _: False, 0.2)
    client.send(b"x" * 50_000)
    response = client.response()
    t.check(response is not None and response.complete and response.body == b"yes    1", f"answered {response.body if response else 'nothing'!r}")


@theme.case("early-answer", "RFC 9112 §9.5", "An answer before the whole body came reaches the client, although the origin reads no further and closes.")
def _(t):
    def behave(connection):
        connection.head()
        connection.send(reply(413, b"too much", ["Connection: close"], "Content Too Large"))
        connection.half_close()
        t.origin.wait(lambda _: False, 1.0)
        connection.close()

    t.origin.behave(behave)
    client = t.client()
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 20_000)
    background(client.send, b"x" * 2_980_000, 3.0)
    response = client.response()
    t.note(response.status if response else client.ended)
    t.check(response is not None and response.status in (413, 502), "no answer")


@theme.case("early-answer-kept-apart", "RFC 9112 §9.5", "After an early answer the rest of the body is a body or the connection's end, never a request.")
def _(t):
    def behave(connection):
        while connection.head() is not None:
            connection.send(reply(403, b"no", reason="Forbidden"))

    t.origin.behave(behave)
    client = t.client()
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 40\r\n\r\n")
    response = client.response()
    t.check(response is not None and response.status == 403, "no answer")
    client.send(b"GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n")
    seen = client.response(wait=1.5)
    t.settle()
    heads = [request.head.line for request in t.origin.requests]
    t.check(seen is None and not any(b"smuggled" in line for line in heads), "the body became a request")


@theme.case("half-close", "RFC 9112 §9.6", "A client that closes its sending side after the request gets an answer, or the connection's end.")
def _(t):
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n", half_close=True)
    t.check(seen.statuses in ([200], [], [400]) and seen.ends(), f"answered {seen}")


@theme.case("trailers-up", "RFC 9110 §6.5", "Trailers of a request are passed on, or dropped; the body is whole.")
def _(t):
    t.ok(t.exchange(b"POST /p HTTP/1.1\r\nHost: h.test\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n"))
    request = t.saw_one(b"hi")
    t.note(f"trailer {request.trailer('x-sum')}")
    t.check(not request.has("x-sum"), "the trailer became a header field")


@theme.case("trailers-down", "RFC 9110 §6.5", "Trailers of a response are passed on, or dropped; the body is whole.")
def _(t):
    t.origin.answer(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n")
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nTE: trailers\r\n\r\n")
    t.ok(seen)
    t.check(seen.first.body == b"hi" and not seen.first.has("x-sum"), "the trailer became a header field")


# --- upgrades ------------------------------------------------------------------------------------------------------------------------

SHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: h.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
WS = ("h1", "websocket")


def tunnel(connection):
    """Agrees to the upgrade and echoes in capitals."""
    if connection.head() is None:
        return
    connection.send(SWITCH)
    while connection.more(time.monotonic() + 5.0):
        connection.send(connection.take(65536, time.monotonic()).upper())


@theme.case("websocket", "RFC 6455 §4, RFC 9110 §7.8", "A WebSocket handshake is passed on with Upgrade and Connection, and bytes pass both ways after it.", needs=WS)
def _(t):
    t.origin.behave(tunnel)
    client = t.client()
    client.send(SHAKE)
    response = client.response()
    t.check(response is not None and response.status == 101, f"answered {response.status if response else 'nothing'}")
    t.check((response.get("upgrade") or b"").lower() == b"websocket" and b"upgrade" in (response.get("connection") or b"").lower(), "101 without its fields")
    client.send(b"hello\x00\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    got = client.take(29, time.monotonic() + 4.0)
    t.check(got == b"HELLO\x00\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n", f"the client saw {got!r}")


@theme.case("websocket-at-once", "RFC 6455 §4.1", "Bytes right behind the handshake reach the tunnel in order.", needs=WS)
def _(t):
    t.origin.behave(tunnel)
    client = t.client()
    client.send(SHAKE + b"early")
    response = client.response()
    t.check(response is not None and response.status == 101, f"answered {response.status if response else 'nothing'}")
    client.send(b"late")
    got = client.take(9, time.monotonic() + 4.0)
    t.check(got == b"EARLYLATE", f"the client saw {got!r}")


@theme.case("websocket-closed-by-origin", "RFC 6455 §7.1.1", "The end of the origin's connection ends the client's.", needs=WS)
def _(t):
    def behave(connection):
        connection.head()
        connection.send(SWITCH + b"bye")
        connection.close()

    t.origin.behave(behave)
    client = t.client()
    response = client.ask(SHAKE)
    t.check(response is not None and response.status == 101, "no 101")
    t.check(client.take(3, time.monotonic() + 4.0) == b"bye" and client.ends(4.0), "the connection goes on")


@theme.case("websocket-closed-by-client", "RFC 6455 §7.1.1", "The end of the client's connection ends the origin's.", needs=WS)
def _(t):
    def behave(connection):
        connection.head()
        connection.send(SWITCH)
        t.ended = connection.wait_end(5.0)

    t.ended = None
    t.origin.behave(behave)
    client = t.client()
    response = client.ask(SHAKE)
    t.check(response is not None and response.status == 101, "no 101")
    client.close()
    t.check(t.origin.wait(lambda _: t.ended is not None, 6.0) and t.ended, "the origin's connection goes on")


@theme.case("websocket-refused", "RFC 9110 §7.8", "When the origin refuses the upgrade its answer is passed on, and the connection speaks HTTP as before.", needs=WS)
def _(t):
    t.origin.answer(reply(426, b"no", ["Sec-WebSocket-Version: 13"], "Upgrade Required"))
    client = t.client()
    response = client.ask(SHAKE)
    t.check(response is not None and response.status == 426 and response.body == b"no", f"answered {response.status if response else 'nothing'}")
    if client.ended or b"close" in (response.get("connection") or b"").lower():
        return
    second = client.ask(b"POST /after HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n2;secret\r\nhi\r\n0\r\n\r\n")
    t.check(second is not None, "no answer to the next request")
    t.check(b"secret" not in t.origin.bytes, "the next request went past the proxy, byte for byte")


@theme.case("websocket-other-protocol", "RFC 9110 §7.8", "101 to another protocol than was asked for makes no tunnel.", needs=WS)
def _(t):
    t.origin.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    client = t.client()
    response = client.ask(SHAKE)
    t.note(response.status if response else client.ended)
    t.check(response is None or response.status >= 500, f"answered {response.status if response else 0}")


@theme.case("websocket-http-1-0", "RFC 9110 §7.8", "An Upgrade in HTTP/1.0 is ignored.", needs=WS)
def _(t):
    t.origin.behave(lambda connection: connection.send(SWITCH if connection.request().has("upgrade") else OK))
    client = t.client()
    response = client.ask(SHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"))
    t.check(response is None or response.status != 101, "switched protocols")


@theme.case("websocket-with-body", "RFC 9112 §9", "A body of a request that asks for an upgrade is a body, not the tunnel's first bytes.", needs=WS)
def _(t):
    def behave(connection):
        request = connection.request()
        if request is not None:
            t.body = request.body
            connection.send(OK)

    t.body = None
    t.origin.behave(behave)
    seen = t.exchange(SHAKE[:-2] + b"Content-Length: 5\r\n\r\nhello")
    t.check(seen.status >= 400 or t.body in (b"hello", b""), f"the origin saw the body {t.body!r}")


# --- WebSocket over HTTP/2 ----------------------------------------------------------------------------------------------------------


def extended(t, *more, path="/chat"):
    """A connection whose proxy offers extended CONNECT, and the request for a WebSocket on stream 1."""
    client = t.h2()
    client.until(lambda: client.settings and client.acks)
    if client.settings.get(h2.CONNECT_PROTOCOL) != 1:
        raise Skip("does not offer extended CONNECT")
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path), (":authority", "h.test")]
    client.headers(1, [*fields, ("sec-websocket-version", "13"), *more], end=False)
    return client


def shaken(connection):
    """Answers the handshake for whatever key it came with; its head."""
    raw = connection.head()
    if raw is None:
        return None
    key = Head(raw).get("sec-websocket-key") or b""
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    return Head(raw)


def websocket_over_h2(connection):
    if shaken(connection) is None:
        return
    while connection.more(time.monotonic() + 5.0):
        connection.send(connection.take(65536, time.monotonic()).upper())


EXTENDED = ("h2c", "websocket")


@theme.case("websocket-h2", "RFC 8441 §5", "An extended CONNECT becomes an HTTP/1.1 handshake with a key, is answered 200, and bytes pass both ways.", needs=EXTENDED)
def _(t):
    t.origin.behave(websocket_over_h2)
    client = extended(t)
    answer = client.answer(1)
    client.until(lambda: answer.status or answer.done)
    t.note(client)
    t.check(answer.status == 200 and not answer.done, f"answered {client}")
    head = Head(bytes(t.origin.connections[0].data).split(b"\r\n\r\n")[0] + b"\r\n\r\n")
    t.check(not head.faults() and head.line.startswith(b"GET /chat HTTP/1.1"), f"the origin saw {head.raw!r}")
    t.check((head.get("upgrade") or b"").lower() == b"websocket" and head.get("sec-websocket-version") == b"13", f"the origin saw {head.raw!r}")
    key = head.get("sec-websocket-key") or b""
    t.check(len(base64.b64decode(key)) == 16, f"the origin saw the key {key!r}")
    for name in ("upgrade", "connection", "sec-websocket-accept"):
        t.check(name == "sec-websocket-accept" or not answer.all(name), f"the client saw {name}")
    client.body(1, b"hello", end=False)
    client.until(lambda: len(answer.body) >= 5)
    t.check(bytes(answer.body) == b"HELLO", f"the client saw {bytes(answer.body)!r}")


@theme.case("websocket-h2-refused", "RFC 8441 §5", "When the origin refuses the upgrade its answer is passed on.", needs=EXTENDED)
def _(t):
    t.origin.answer(reply(403, b"no", reason="Forbidden"))
    client = extended(t)
    answer = client.answer(1)
    client.until(lambda: answer.status and len(answer.body) >= 2 or answer.done)
    t.note(client)
    t.check(answer.status == 403, f"answered {client}")


@theme.case("websocket-h2-refused-data", "RFC 8441 §5, RFC 9110 §7.8", "What follows a handshake that the origin refuses is no request to it.", needs=EXTENDED)
def _(t):
    def behave(connection):
        if connection.head() is not None:
            t.origin.wait(lambda _: False, 0.5)
            connection.send(reply(403, b"no", reason="Forbidden"))
            connection.wait_end(1.0)

    t.origin.behave(behave)
    client = extended(t)
    client.body(1, b"GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n", end=False)
    answer = client.answer(1)
    client.until(lambda: answer.status or answer.done)
    t.note(client)
    seen = b"".join(bytes(connection.data) for connection in t.origin.connections)
    t.check(b"/smuggled" not in seen, f"the origin saw {seen!r}")


@theme.case("websocket-h2-ended-by-origin", "RFC 8441 §5, RFC 6455 §7.1.1", "The end of the origin's connection ends the stream.", needs=EXTENDED)
def _(t):
    def behave(connection):
        if shaken(connection) is not None:
            connection.send(b"bye")
            connection.close()

    t.origin.behave(behave)
    client = extended(t)
    answer = client.finish(1)
    t.note(client)
    t.check(answer.status == 200 and bytes(answer.body) == b"bye" and answer.done, f"answered {client}")


@theme.case("websocket-h2-reset", "RFC 8441 §5", "RST_STREAM ends the origin's connection.", needs=EXTENDED)
def _(t):
    t.ended = None

    def behave(connection):
        if shaken(connection) is not None:
            t.ended = connection.wait_end(5.0)

    t.origin.behave(behave)
    client = extended(t)
    client.until(lambda: client.answer(1).status)
    client.rst(1)
    t.check(t.origin.wait(lambda _: t.ended is not None, 6.0) and t.ended, "the origin's connection goes on")


@theme.case("websocket-h2-ended-by-client", "RFC 8441 §5", "END_STREAM of the client reaches the origin as the end of what is sent to it.", needs=EXTENDED)
def _(t):
    t.ended = None

    def behave(connection):
        if shaken(connection) is not None:
            t.ended = connection.wait_end(1.7)

    t.origin.behave(behave)
    client = extended(t)
    client.until(lambda: client.answer(1).status)
    client.body(1, b"last", end=True)
    t.check(t.origin.wait(lambda _: t.ended is not None, 6.0) and t.ended, "the origin does not learn it")


@theme.case("websocket-h2-crlf", "RFC 9113 §8.2.1", "A handshake with CR LF in a value is malformed like every request.", needs=EXTENDED)
def _(t):
    client = extended(t, ("sec-websocket-protocol", b"a\r\nX: y"))
    client.until(lambda: client.answer(1).done or client.answer(1).status or client.over, 4.0)
    t.stream_refused(client, client.answer(1))
