"""HTTP/2 to the origin: HTTP/1.1 requests that become HTTP/2 (RFC 9113, section 8), and origins that are careless, broken or hostile."""

import struct

from suite import h2
from suite.case import Theme, clip
from suite.h2 import DATA, END_HEADERS, END_STREAM, HEADERS, PING, PUSH, SETTINGS, WINDOW, block, frame
from suite.h2_origin import h2_behaviour

theme = Theme("h2-origin", "HTTP/2 to the origin", needs=("h1", "h2-origin"))

GET = b"GET /h2/p HTTP/1.1\r\nHost: h.test\r\n\r\n"
RESPONSE = "RFC 9113 §8.1.1, §8.3.2"
HOP = "RFC 9113 §8.2.2"


def fine(peer, asked):
    peer.answer(asked)


def sent(t, response):
    t.note(response.status if response else "no response")
    return response


def up(name, source, demand, data, judge=lambda t, asked: None):
    """A request over HTTP/1.1; `judge(t, asked)` looks at what the origin got."""

    def run(t):
        t.origin.behave(h2_behaviour(t, fine))
        seen = t.exchange(data)
        t.ok(seen)
        t.check(len(t.asked) == 1, f"the origin saw {len(t.asked)} requests")
        faults = t.asked[0].faults()
        t.check(not faults, f"the origin saw {'; '.join(faults)}")
        judge(t, t.asked[0])

    theme.add(name, source, demand, run)


def field(name, *values):
    return lambda t, asked: t.check(asked.get(name) in values, f"the origin saw {name}: {asked.get(name)!r}")


def body(data):
    return lambda t, asked: t.check(bytes(asked.body) == data and asked.ended, f"the origin saw the body {bytes(asked.body)!r}")


up("request", "RFC 9113 §8.3.1", "A request's method, path and host become pseudo-header fields.", b"GET /h2/p?q HTTP/1.1\r\nHost: h.test:81\r\nX-A: b\r\n\r\n",
    lambda t, a: (field(":method", b"GET")(t, a), field(":path", b"/h2/p?q")(t, a), field("x-a", b"b")(t, a), t.check(b"h.test:81" in (a.get(":authority"), a.get("host")), f"the origin saw {a.fields}")))
up("names", "RFC 9113 §8.2.1", "Names are in lower case.", b"GET /h2/p HTTP/1.1\r\nHost: h.test\r\nX-UPPER: Y\r\n\r\n", field("x-upper", b"Y"))
up("connection", HOP, "No connection-specific field is passed on.",
    b"GET /h2/p HTTP/1.1\r\nHost: h.test\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\n\r\n")
up("te-trailers", HOP, "TE is trailers, or not there.", b"GET /h2/p HTTP/1.1\r\nHost: h.test\r\nConnection: TE\r\nTE: trailers, gzip\r\n\r\n", field("te", None, b"trailers"))
up("length", "RFC 9113 §8.1.1", "A body with a length is passed on whole.", b"POST /h2/p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello", body(b"hello"))
up("chunked", "RFC 9113 §8.2.2", "A chunked body is passed on whole, without its coding.", b"POST /h2/p HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", body(b"hello"))
up("absolute", "RFC 9113 §8.3.1", "An absolute target becomes :authority and :path.", b"GET http://h.test/h2/p HTTP/1.1\r\nHost: h.test\r\n\r\n", field(":path", b"/h2/p"))
up("trailers", "RFC 9113 §8.1", "Trailers are passed on as trailers, or dropped.", b"POST /h2/p HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    lambda t, a: (body(b"hello")(t, a), t.check(a.trailers in ([], [(b"x-t", b"1")]) and a.get("x-t") is None, f"the origin saw {a.trailers}")))
up("cookies", "RFC 9113 §8.2.3", "Cookies are all passed on.", b"GET /h2/p HTTP/1.1\r\nHost: h.test\r\nCookie: a=1; b=2\r\n\r\n",
    lambda t, a: t.check(b"; ".join(a.all("cookie")) == b"a=1; b=2", f"the origin saw {a.all('cookie')}"))


def down(name, source, demand, script, judge, request=GET, method="GET", **more):
    """The origin runs `script(peer, asked)`; `judge(t, client, response)` looks at what the client got. Others are served after it."""

    def run(t):
        state = {"first": True}

        def behave(peer, asked):
            if state["first"]:
                state["first"] = False
                script(peer, asked)
            else:
                peer.answer(asked, b"second")

        t.origin.behave(h2_behaviour(t, behave, **more))
        client = t.client()
        client.send(request)
        response = sent(t, client.response(method))
        t.check(client.error is None, f"the client saw {client.error}")
        if response is not None:
            faults = response.head.faults()
            t.check(not faults, f"the client saw {'; '.join(faults)}")
        judge(t, client, response)
        other = t.client().ask(b"GET /h2/second HTTP/1.1\r\nHost: h.test\r\n\r\n")
        t.check(other is not None and other.body == b"second", f"a later request got {other.body if other else 'nothing'!r}")

    theme.add(name, source, demand, run)


def served(wanted=b"ok", status=200):
    def judge(t, client, response):
        t.check(response is not None and response.status == status and response.complete and response.body == wanted, f"answered {response.status if response else 'nothing'}, {clip(response.body) if response else ''}, {len(response.body) if response else 0} bytes")

    return judge


def error(t, client, response):
    t.check(response is None and client.ended or response is not None and response.status >= 500, f"answered {response.status if response else 'nothing'}")


def incomplete(t, client, response):
    t.check(response is None or response.status >= 500 or not response.complete, f"a broken response was shown as whole: {response.body if response else b''!r}")


def served_or_error(t, client, response):
    if response is not None and response.status == 200:
        t.check(response.complete or client.ended, "still waiting")
    else:
        error(t, client, response)


def raw(fields, data=b"ok", end=True):
    """Sends these fields, whatever they are, and a body."""

    def script(peer, asked):
        peer.headers(asked.stream, fields, end=data is None)
        if data is not None:
            peer.data(asked.stream, data, end)

    return script


STATUS = (":status", "200")
down("response", "RFC 9113 §8.1", "A response is passed on whole.", raw([STATUS, ("content-length", "2")]), served())
down("response-no-length", "RFC 9113 §8.1", "A response without a length is passed on whole, framed for HTTP/1.1.", raw([STATUS]), served())
down("response-empty", "RFC 9113 §8.1", "A response that ends with its fields is passed on as one without a body.", raw([STATUS], None), served(b""))
down("response-trailers", "RFC 9113 §8.1", "Trailers are passed on as trailers, or dropped.",
    lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False), p.headers(a.stream, [("x-t", "1")], True)),
    lambda t, c, r: (served()(t, c, r), t.check(not r.has("x-t") and r.trailer("x-t") in (None, b"1"), "another trailer")))
down("response-interim", "RFC 9113 §8.1", "Interim responses are passed on or dropped; the final response is the answer.",
    lambda p, a: (p.headers(a.stream, [(":status", "103"), ("link", "</a>")]), p.answer(a)), served())
down("response-204", "RFC 9110 §15.3.5", "A 204 is passed on without a body.", raw([(":status", "204")], None), served(b"", 204))
down("response-head", "RFC 9110 §9.3.2", "A response to HEAD is passed on without a body.", raw([STATUS, ("content-length", "5")], None), served(b""), GET.replace(b"GET", b"HEAD"), "HEAD")
down("response-set-cookie", "RFC 9110 §5.3", "Set-Cookie fields are never joined.", raw([STATUS, ("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    lambda t, c, r: (served()(t, c, r), t.check([v for v in r.all("set-cookie") if v[:2] in (b"a=", b"b=")] == [b"a=1", b"b=2"], f"{r.all('set-cookie')}")))
MALFORMED = "A malformed response is not passed on: 502."
down("no-status", RESPONSE, MALFORMED, raw([("x-a", "b")]), error)
down("status-twice", RESPONSE, MALFORMED, raw([STATUS, (":status", "500")]), error)
down("status-late", RESPONSE, MALFORMED, raw([("x-a", "b"), STATUS]), error)
down("status-letters", RESPONSE, MALFORMED, raw([(":status", "2x0")]), error)
down("status-two-digits", RESPONSE, MALFORMED, raw([(":status", "20")]), error)
down("status-four-digits", RESPONSE, MALFORMED, raw([(":status", "2000")]), error)
down("status-crlf", RESPONSE, MALFORMED, raw([(":status", "200\r\nX: y")]), error)
down("pseudo-unknown", RESPONSE, MALFORMED, raw([STATUS, (":path", "/x")]), error)
down("status-101", "RFC 9113 §8.6", "101 is no response of HTTP/2: 502.", raw([(":status", "101")], None), error)
for name, pair in {
    "name-upper-case": (b"X-A", b"b"), "name-space": (b"x a", b"b"), "name-colon": (b"x: y\r\nz", b"b"), "name-crlf": (b"x\r\ny", b"b"), "name-empty": (b"", b"b"),
    "value-crlf": (b"x-a", b"b\r\nX-Split: c"), "value-crlf-response": (b"x-a", b"b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "value-lf": (b"x-a", b"b\nc"), "value-cr": (b"x-a", b"b\rc"), "value-nul": (b"x-a", b"b\0c"),
}.items():  # fmt: skip
    down(name, "RFC 9113 §8.2.1", MALFORMED, raw([STATUS, pair]), error)
for name, pair in {"connection-specific": (b"connection", b"close"), "transfer-encoding": (b"transfer-encoding", b"chunked"), "keep-alive": (b"keep-alive", b"5"), "upgrade": (b"upgrade", b"x")}.items():
    down(f"response-{name}", HOP, "A connection-specific field makes a response malformed: 502.", raw([STATUS, pair]), error)
LENGTH = "A body that is not as long as content-length says is never shown as whole."
down("length-short", "RFC 9113 §8.1.1", LENGTH, raw([STATUS, ("content-length", "50")]), incomplete)
down("length-long", "RFC 9113 §8.1.1", LENGTH, raw([STATUS, ("content-length", "1")]), incomplete)
down("length-word", "RFC 9113 §8.1.1", "A content-length that is no number makes a response malformed.", raw([STATUS, ("content-length", "two")]), error)
down("length-twice", "RFC 9113 §8.1.1", "Two different lengths make a response malformed.", raw([STATUS, ("content-length", "2"), ("content-length", "3")]), incomplete)
down("length-no-body", "RFC 9113 §8.1.1", LENGTH, raw([STATUS, ("content-length", "5")], None), incomplete)
down("204-with-data", "RFC 9110 §15.3.5", "A 204 has no body, whatever follows it.", raw([(":status", "204")]),
    lambda t, c, r: t.check(r is None or r.status >= 500 or r.status == 204 and c.quiet(0.2), f"the client saw {c.rest!r}"))
down("304-with-data", "RFC 9110 §15.4.5", "A 304 has no body, whatever follows it.", raw([(":status", "304")]),
    lambda t, c, r: t.check(r is None or r.status >= 500 or r.status == 304 and c.quiet(0.2), f"the client saw {c.rest!r}"))
down("204-empty-data", "RFC 9113 §8.1", "A 204 whose stream ends with an empty frame is passed on without a body.", raw([(":status", "204")], b""), served(b"", 204))
down("head-with-data", "RFC 9110 §9.3.2", "A response to HEAD has no body, whatever follows it.", raw([STATUS]),
    lambda t, c, r: t.check(r is None or r.status >= 500 or r.status == 200 and c.quiet(0.2), f"the client saw {c.rest!r}"), GET.replace(b"GET", b"HEAD"), "HEAD")
SHORT = "A response that breaks off is never shown as whole."
down("reset-in-body", "RFC 9113 §5.4.2", SHORT, lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False), p.rst(a.stream, 2)), incomplete)
down("reset-no-error-in-body", "RFC 9113 §8.1", SHORT, lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False), p.rst(a.stream, 0)), incomplete)
down("closed-in-body", "RFC 9113 §5.4.1", SHORT, lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False), p.connection.close()), incomplete)
down("goaway-in-body", "RFC 9113 §6.8", SHORT, lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False), p.goaway(a.stream, 2), p.connection.close()), incomplete)
down("stalled-in-body", "RFC 9113 §5.4", SHORT, lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False)), incomplete)
down("reset", "RFC 9113 §5.4.2", "A stream that the origin resets gets the client 502, or another try.", lambda p, a: p.rst(a.stream, 2), lambda t, c, r: t.check(r is not None and (r.status >= 500 or r.body == b"second"), "no answer"))
down("closed", "RFC 9113 §5.4.1", "A connection that ends without an answer gets the client 502, or another try.", lambda p, a: p.connection.close(), lambda t, c, r: t.check(r is not None and (r.status >= 500 or r.body == b"second"), "no answer"))
down("data-first", "RFC 9113 §8.1", "DATA before a response's fields is malformed.", lambda p, a: p.data(a.stream, b"ok"), lambda t, c, r: t.check(r is not None and (r.status >= 500 or r.body == b"second"), "no answer"))
OTHER = "What is a connection error ends the connection, and the client gets an answer or the end."
for name, data in {
    "push-promise": frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + block([(":method", "GET"), (":path", "/evil"), (":scheme", "http"), (":authority", "h.test")])),
    "hpack-broken": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\x0f"), "settings-length": frame(SETTINGS, payload=b"\0\3\0"), "data-stream-zero": frame(DATA, 0, 0, b"x"),
    "window-overflow": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), "frame-too-large": frame(HEADERS, END_HEADERS, 1, b"\0" * 20_000), "not-h2": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
}.items():  # fmt: skip
    down(name, "RFC 9113 §5.4.1", OTHER, lambda p, a, data=data: (p.send(data), p.answer(a)), served_or_error)
down("unknown-frame", "RFC 9113 §4.1", "Frames of unknown types are ignored.", lambda p, a: (p.send(frame(0xBB, 0xFF, 0, b"x" * 99)), p.answer(a)), served())
down("ping", "RFC 9113 §6.7", "PING of the origin is answered, and means nothing else.", lambda p, a: (p.send(frame(PING, payload=b"12345678")), p.answer(a)), served())
down("padding", "RFC 9113 §6.1", "Padding is no part of a body.", lambda p, a: (p.headers(a.stream, [STATUS]), p.send(frame(DATA, 8 | END_STREAM, a.stream, b"\x05ok" + b"\0" * 5))), served())
down("large", "RFC 9113 §5.2", "A body of 400 kB comes down unchanged.",
    lambda p, a: (p.headers(a.stream, [STATUS]), p.paced(a.stream, b"0123456789" * 40_000)), served(b"0123456789" * 40_000))

# --- retries and limits -----------------------------------------------------------------------------------------------------------------


def again(name, source, demand, method, script, judge):
    """The first request of a connection gets `script`; `judge(t, response, times)`: how often the origin was asked."""

    def run(t):
        def behave(peer, asked):
            if len(t.asked) == 1:
                script(peer, asked)
            else:
                peer.answer(asked, b"second")

        t.origin.behave(h2_behaviour(t, behave))
        framing = b"Content-Length: 5\r\n" if method == b"POST" else b""
        response = sent(t, t.client().ask(method + b" /h2/p HTTP/1.1\r\nHost: h.test\r\n" + framing + b"\r\n" + (b"hello" if framing else b"")))
        t.note(f"asked {len(t.asked)} times")
        judge(t, response, len(t.asked))

    theme.add(name, source, demand, run)


def once(t, response, times):
    t.check(times == 1 and (response is None or response.status >= 500), f"the origin was asked {times} times")


def few(t, response, times):
    t.check(times <= 4 and response is not None and (response.status >= 500 or response.body == b"second"), f"the origin was asked {times} times")


again("post-reset", "RFC 9110 §9.2.2", "A POST whose stream was reset for an error is never asked twice.", b"POST", lambda p, a: p.rst(a.stream, 2), once)
again("post-closed", "RFC 9110 §9.2.2", "A POST whose connection ended is never asked twice.", b"POST", lambda p, a: p.connection.close(), once)
again("post-refused-stream", "RFC 9113 §8.7", "A POST whose stream was refused may be asked again, a few times at most.", b"POST", lambda p, a: p.rst(a.stream, 7), few)
again("get-refused-stream", "RFC 9113 §8.7", "A GET whose stream was refused may be asked again, a few times at most.", b"GET", lambda p, a: p.rst(a.stream, 7), few)
again("post-goaway-unseen", "RFC 9113 §6.8", "A POST that GOAWAY says was not looked at may be asked again, a few times at most.", b"POST", lambda p, a: (p.goaway(0), p.connection.close()), few)
again("post-goaway-seen", "RFC 9113 §6.8", "A POST that GOAWAY says was looked at is never asked twice.", b"POST", lambda p, a: (p.goaway(a.stream), p.connection.close()), once)


@theme.case("refused-for-ever", "RFC 9113 §8.7", "An origin that refuses every stream is not asked without end.")
def _(t):
    t.origin.behave(h2_behaviour(t, lambda p, a: p.rst(a.stream, 7)))
    response = t.client().ask(GET)
    t.note(f"asked {len(t.asked)} times")
    t.check(response is not None and response.status >= 500 and len(t.asked) <= 6, f"asked {len(t.asked)} times")


@theme.case("goaway-then-next", "RFC 9113 §6.8", "After a GOAWAY without error the request under way is answered, and the next one goes elsewhere.")
def _(t):
    t.origin.behave(h2_behaviour(t, lambda p, a: (p.goaway(a.stream), p.answer(a, b"%d" % len(t.asked)))))
    client = t.client()
    first = client.ask(GET)
    t.check(first is not None and first.body == b"1", "the first request was not answered")
    second = client.ask(GET)
    t.check(second is not None and second.body == b"2", "the second request was not answered")
    t.check(len(t.origin.connections) >= 2, "the connection was used again")


@theme.case("streams-limit", "RFC 9113 §5.1.2", "No more streams are opened than the origin allows.", takes=2)
def _(t):
    open_now, most = [0], [0]

    def script(peer, asked):
        open_now[0] += 1
        most[0] = max(most[0], len([a for a in peer.asked.values() if a.stream not in done]))
        t.origin.wait(lambda _: False, 0.05)
        done.add(asked.stream)
        peer.answer(asked)

    done = set()
    t.origin.behave(h2_behaviour(t, script, settings=((h2.STREAMS, 1),)))
    first = t.client().ask(GET)
    t.check(first is not None and first.status == 200, "the first request was not answered")
    clients = [t.client() for _ in range(6)]
    for client in clients:
        client.send(GET)
    statuses = [response.status if response else 0 for response in (client.response() for client in clients)]
    t.note(f"{statuses}, {len(t.origin.connections)} connections")
    t.check(statuses.count(200) == 6 or all(status in (200, 503) for status in statuses), f"answered {statuses}")


@theme.case("upload-window", "RFC 9113 §6.9", "No more of a body is sent than the origin's window allows, and the rest after it was opened.")
def _(t):
    def script(peer, asked):
        while len(asked.body) < 1000 and peer.step(4.0):
            pass
        t.origin.wait(lambda _: False, 0.3)
        while peer.step(0.05):
            pass
        t.at_first = len(asked.body)
        peer.send(frame(WINDOW, 0, asked.stream, struct.pack(">I", 9000)))
        while not asked.ended and peer.step(4.0):
            pass
        t.at_last = len(asked.body)
        peer.answer(asked)

    t.at_first = t.at_last = -1
    t.origin.behave(h2_behaviour(t, script, settings=((h2.WINDOW_SIZE, 1000),), polite=False, whole=False))
    # A first request lets the proxy learn the origin's settings.
    response = t.client().ask(b"POST /h2/p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    t.check(response is not None and response.status == 200 and t.at_last == 5000, f"{t.at_last} bytes came")
    t.note(f"{t.at_first} bytes at first")


@theme.case("client-gone", "RFC 9113 §5.4.2, RFC 9112 §9.5", "When the client goes away its stream to the origin is reset, before any timeout, and others go on.")
def _(t):
    def script(peer, asked):
        if asked.get(":path") == b"/h2/hang":
            t.reached = True
            while asked.reset is None and peer.step(5.0):
                pass
            t.reset = asked.reset is not None or peer.connection.ended is not None
        else:
            peer.answer(asked)

    t.reached, t.reset = False, None
    t.origin.behave(h2_behaviour(t, script))
    client = t.client()
    client.send(GET.replace(b"/h2/p", b"/h2/hang"))
    t.check(t.origin.wait(lambda _: t.reached), "the request did not reach the origin")
    began = h2.time.monotonic()
    client.reset()
    t.check(t.origin.wait(lambda _: t.reset is not None, 5.0) and t.reset, "the origin's stream goes on")
    t.check(h2.time.monotonic() - began < 1.7, "only a timeout ended it")


def h2_to_h2(name, demand, script, judge):
    def run(t):
        t.origin.behave(h2_behaviour(t, script))
        client = t.h2()
        answer = client.ask(h2.request(path="/h2/p"))
        t.note(client)
        t.h2_well_formed(client)
        judge(t, client, answer)

    theme.add(name, "RFC 9113 §8", demand, run, ("h2c", "h2-origin"))


h2_to_h2("h2-h2", "HTTP/2 to HTTP/2: a response is passed on whole.", fine, lambda t, c, a: t.check(a.status == 200 and bytes(a.body) == b"ok" and a.ended, f"answered {c}"))
h2_to_h2("h2-h2-trailers", "HTTP/2 to HTTP/2: trailers are passed on, as gRPC needs them.",
    lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False), p.headers(a.stream, [("grpc-status", "5")], True)),
    lambda t, c, a: t.check(dict(a.trailers).get(b"grpc-status") == b"5" and a.ended, f"answered {c}"))
h2_to_h2("h2-h2-trailers-only", "HTTP/2 to HTTP/2: a response of fields alone is passed on.", lambda p, a: p.headers(a.stream, [STATUS, ("grpc-status", "5")], True),
    lambda t, c, a: t.check(a.get("grpc-status") == b"5" and a.ended, f"answered {c}"))
h2_to_h2("h2-h2-reset", "HTTP/2 to HTTP/2: a response that breaks off is reset.", lambda p, a: (p.headers(a.stream, [STATUS]), p.data(a.stream, b"ok", False), p.rst(a.stream, 2)),
    lambda t, c, a: t.check(a.reset is not None or c.over, f"answered {c}"))
h2_to_h2("h2-h2-value-lf", "HTTP/2 to HTTP/2: a malformed response is not passed on.", raw([STATUS, (b"x-a", b"b\nc")]), lambda t, c, a: t.check(a.status >= 500 or a.reset is not None or c.over, f"answered {c}"))
