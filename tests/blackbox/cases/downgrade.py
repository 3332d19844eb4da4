"""HTTP/2 requests that become HTTP/1.1 requests (RFC 9113, section 8): nothing that only HTTP/2 can carry reaches the origin.

An HTTP/2 name or value can hold any byte. What HTTP/1.1 would read as structure (CR, LF, blanks, colons, lengths, codings) must be
refused before the request is written anew.
"""

from suite.case import Theme
from suite.h2 import END_HEADERS, END_STREAM, HEADERS, block, frame, request
from suite.origin import echo, reply

theme = Theme("downgrade", "HTTP/2 to HTTP/1.1", needs=("h2c",))

FIELD = "RFC 9113 §8.2.1"
HOP = "RFC 9113 §8.2.2"
PSEUDO = "RFC 9113 §8.3, §8.3.1"
LENGTH = "RFC 9113 §8.1.1"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n"


def fields(*more, method="GET", path="/p", authority="h.test", scheme="http"):
    return request(method, path, authority, scheme, *more)


def refuse(name, source, demand, list_of_fields, body=None, partial=False):
    """The stream gets an error, and the origin nothing."""

    def run(t):
        client = t.h2()
        t.stream_refused(client, client.ask(list_of_fields, body), partial or body is not None)

    theme.add(name, source, demand, run)


def refuse_or_one(name, source, demand, list_of_fields, judge=lambda t, r: None, body=None):
    """The stream gets an error, or the origin one clean request that `judge(t, request)` looks at."""

    def run(t):
        client = t.h2()
        answer = client.ask(list_of_fields, body)
        t.note(client)
        if answer.status == 200:
            t.h2_well_formed(client)
            judge(t, t.saw_one(body or b""))
        else:
            t.stream_refused(client, answer, True)

    theme.add(name, source, demand, run)


def accept(name, source, demand, list_of_fields, judge=lambda t, r: None, body=None):
    def run(t):
        client = t.h2()
        t.h2_ok(client, client.ask(list_of_fields, body))
        judge(t, t.saw_one(body or b""))

    theme.add(name, source, demand, run)


# --- names and values ------------------------------------------------------------------------------------------------------------

NAME = "A name with bytes that no name can have is malformed."
for name, value in {
    "upper-case": b"X-Foo", "upper-case-known": b"Accept", "space": b"x foo", "colon": b"x:foo", "colon-smuggle": b"x: y\r\nz", "cr": b"x\rfoo", "lf": b"x\nfoo", "crlf": b"x\r\nfoo",
    "nul": b"x\x00foo", "empty": b"", "obs-text": b"x\xe9", "tab": b"x\tfoo", "delete": b"x\x7f",
}.items():  # fmt: skip
    refuse(f"name-{name}", FIELD, NAME, fields((value, b"y")))
refuse_or_one("name-parenthesis", "RFC 9110 §5.1", "A name that is no token is refused, or not passed on.", fields((b"x(y)", b"z")))
VALUE = "A value with CR, LF or NUL is malformed."
for name, value in {
    "cr": b"a\rb", "lf": b"a\nb", "crlf": b"a\r\nX-Smuggled: b", "crlf-request": b"a\r\n\r\n" + SMUGGLED, "nul": b"a\x00b", "lf-te": b"a\nTransfer-Encoding: chunked", "cr-end": b"a\r", "lf-start": b"\na",
}.items():  # fmt: skip
    refuse(f"value-{name}", FIELD, VALUE, fields((b"x-a", value)))
refuse("value-blank-first", FIELD, "A value that begins with a blank is malformed.", fields((b"x-a", b" y")))
refuse("value-blank-last", FIELD, "A value that ends with a blank is malformed.", fields((b"x-a", b"y\t")))
accept("value-obs-text", "RFC 9110 §5.5", "Bytes above 127 in a value are passed on.", fields((b"x-a", b"\xe9\xff")), lambda t, r: t.check(r.get("x-a") == b"\xe9\xff", f"the origin saw {r.get('x-a')!r}"))
accept("value-empty", "RFC 9110 §5.5", "An empty value is passed on.", fields((b"x-a", b"")), lambda t, r: t.check(r.get("x-a") == b"", f"the origin saw {r.get('x-a')!r}"))
accept("twice", "RFC 9110 §5.3", "Fields of one name keep their order and their values.", fields((b"x-a", b"1"), (b"x-b", b"0"), (b"x-a", b"2")), lambda t, r: t.check(r.get("x-a") == b"1, 2", f"the origin saw {r.get('x-a')!r}"))

# --- connection-specific fields ------------------------------------------------------------------------------------------------------

CONNECTION = "A connection-specific field makes a request malformed."
for name, pair in {
    "connection": (b"connection", b"close"), "connection-names": (b"connection", b"x-foo"), "keep-alive": (b"keep-alive", b"timeout=5"), "proxy-connection": (b"proxy-connection", b"close"),
    "upgrade": (b"upgrade", b"websocket"), "transfer-encoding": (b"transfer-encoding", b"chunked"), "transfer-encoding-identity": (b"transfer-encoding", b"identity"),
    "te-gzip": (b"te", b"gzip"), "te-trailers-gzip": (b"te", b"trailers, gzip"),
}.items():  # fmt: skip
    refuse(name, HOP, CONNECTION, fields(pair))
refuse("transfer-encoding-body", HOP, "A chunked body within DATA smuggles nothing.", fields((b"transfer-encoding", b"chunked"), method="POST"), b"0\r\n\r\n" + SMUGGLED)
accept("te-trailers", HOP, "te: trailers is no error.", fields((b"te", b"trailers")))

# --- pseudo-header fields -----------------------------------------------------------------------------------------------------------

MISSING = "A request without :method, :scheme or :path is malformed."
refuse("no-method", PSEUDO, MISSING, fields(method=None))
refuse("no-scheme", PSEUDO, MISSING, fields(scheme=None))
refuse("no-path", PSEUDO, MISSING, fields(path=None))
refuse("no-pseudo", PSEUDO, MISSING, [(b"x-a", b"y")])
TWICE = "A pseudo-header field that comes twice makes a request malformed."
for name, pair in {"method": (b":method", b"POST"), "path": (b":path", b"/q"), "scheme": (b":scheme", b"https"), "authority": (b":authority", b"evil.test")}.items():
    refuse(f"twice-{name}", PSEUDO, TWICE, [pair, *fields()])
refuse("pseudo-unknown", PSEUDO, "An unknown pseudo-header field makes a request malformed.", [*fields()[:4], (b":foo", b"bar")])
refuse("pseudo-status", PSEUDO, "A pseudo-header field of responses makes a request malformed.", [*fields()[:4], (b":status", b"200")])
refuse("pseudo-late", PSEUDO, "A pseudo-header field after a regular one makes a request malformed.", [fields()[0], fields()[1], (b"x-a", b"y"), fields()[2], fields()[3]])
refuse("pseudo-protocol", "RFC 8441 §4", ":protocol without CONNECT makes a request malformed.", [*fields(), (b":protocol", b"websocket")])


@theme.case("pseudo-in-trailers", PSEUDO, "A pseudo-header field in trailers makes a request malformed.")
def _(t):
    client = t.h2()
    client.headers(1, fields(method="POST"), end=False)
    client.body(1, b"hello", end=False)
    client.headers(1, [(b":path", b"/evil")])
    t.stream_refused(client, client.finish(), True)


METHOD = "A method that is no token is malformed."
for name, value in {"empty": b"", "space": b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\nGET", "space-only": b"GE T", "crlf": b"GET\r\n", "nul": b"GET\0", "obs-text": b"G\xc9T"}.items():
    refuse(f"method-{name}", PSEUDO, METHOD, fields(method=value))
PATH = "A path that is empty, no path, or has blanks or control bytes in it is malformed."
for name, value in {
    "empty": b"", "space": b"/a b", "smuggle": b"/p HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /smuggled", "version": b"/p HTTP/1.1", "crlf": b"/p\r\nX: y", "lf": b"/p\nX: y", "cr": b"/p\rX", "nul": b"/p\x00q", "tab": b"/p\tq", "no-slash": b"p", "asterisk": b"*", "at": b"@evil.test/",
}.items():  # fmt: skip
    refuse(f"path-{name}", PSEUDO, PATH, fields(path=value))
refuse_or_one("path-absolute", PSEUDO, "A URI as path is refused; it never names another host.", fields(path=b"http://evil.test/p"), lambda t, r: t.check(r.get("host") == b"h.test" and not r.target.startswith(b"http"), f"the origin saw {r.target!r} of {r.get('host')!r}"))
refuse_or_one("path-fragment", PSEUDO, "A fragment is refused, or not passed on.", fields(path=b"/p#f"), lambda t, r: t.check(b"#" not in r.target, "passed on"))
refuse_or_one("path-obs-text", PSEUDO, "Bytes above 127 in a path are refused, passed on, or escaped.", fields(path=b"/\xc3\xa9"), lambda t, r: t.check(r.target.lower() in (b"/\xc3\xa9", b"/%c3%a9"), f"the origin saw {r.target!r}"))
accept("path-escapes", "RFC 3986 §2.4", "What is escaped in a path stays escaped.", fields(path=b"/a%2fb%0d%0a?c=%00"), lambda t, r: t.check(r.target == b"/a%2fb%0d%0a?c=%00", f"the origin saw {r.target!r}"))
SCHEME = "A scheme with bytes that no scheme can have smuggles nothing."
for name, value in {"crlf": b"http\r\nX: y", "space": b"http x", "slash": b"http://evil.test/x?", "nul": b"http\x00"}.items():
    refuse_or_one(f"scheme-{name}", PSEUDO, SCHEME, fields(scheme=value), lambda t, r: t.check(b"evil" not in r.head.raw and r.target == b"/p", f"the origin saw {r.head.raw!r}"))
AUTHORITY = "An :authority that is no host with an optional port is malformed."
for name, value in {
    "userinfo": b"u@h.test", "path": b"h.test/p", "space": b"h.test evil.test", "crlf": b"h.test\r\nX: y", "lf": b"h.test\nX: y", "nul": b"h.test\x00", "port-word": b"h.test:x", "question": b"h.test?q", "hash": b"h.test#f", "comma": b"h.test,evil.test", "bracket": b"[::1",
}.items():  # fmt: skip
    refuse(f"authority-{name}", PSEUDO, AUTHORITY, fields(authority=value))


def host_is(value):
    return lambda t, r: t.check(r.get("host") == value, f"the origin saw Host {r.get('host')!r}")


accept("authority", PSEUDO, ":authority becomes Host.", fields(authority="h.test:81"), host_is(b"h.test:81"))
accept("host-alone", PSEUDO, "Host serves where :authority is missing.", [*fields(authority=None), (b"host", b"h.test")], host_is(b"h.test"))
accept("host-same", PSEUDO, "Host beside an equal :authority is one Host.", [*fields(), (b"host", b"h.test")], host_is(b"h.test"))
refuse_or_one("host-other", PSEUDO, "Host that differs from :authority is refused, or :authority wins.", [*fields(), (b"host", b"evil.test")], host_is(b"h.test"))
refuse("host-twice", PSEUDO, "Two Hosts are refused.", [*fields(authority=None), (b"host", b"h.test"), (b"host", b"evil.test")])
refuse("no-authority", "RFC 9113 §8.3.1, RFC 9112 §3.2", "A request without :authority and Host is refused.", fields(authority=None))
refuse("host-bad", PSEUDO, "A Host that is no host is refused.", [*fields(authority=None), (b"host", b"h.test/x")])
refuse("authority-empty", PSEUDO, "An empty :authority of http is malformed.", fields(authority=""))

# --- lengths ----------------------------------------------------------------------------------------------------------------------------


def post(length, *more):
    return fields((b"content-length", length), *more, method="POST")


accept("length", LENGTH, "A body with its length is passed on.", post(b"5"), body=b"hello")
accept("no-length", LENGTH, "A body without a length is passed on, framed for HTTP/1.1.", fields(method="POST"), body=b"hello")
refuse("length-short", LENGTH, "More DATA than content-length says makes a request malformed.", post(b"3"), b"hello")
refuse("length-long", LENGTH, "Less DATA than content-length says makes a request malformed.", post(b"50"), b"hello")
refuse("length-no-body", LENGTH, "content-length beside a stream that ends with its fields makes a request malformed.", post(b"5"), None, True)
refuse("length-word", LENGTH, "A content-length that is no number makes a request malformed.", post(b"five"), b"hello")
refuse("length-plus", LENGTH, "A content-length that is no number makes a request malformed.", post(b"+5"), b"hello")
refuse("length-list", LENGTH, "Different lengths make a request malformed.", post(b"5, 6"), b"hello")
refuse("length-twice", LENGTH, "Different lengths make a request malformed.", post(b"5", (b"content-length", b"6")), b"hello")
refuse("length-huge", LENGTH, "A content-length that does not fit is refused.", post(b"18446744073709551621"), b"hello")
refuse_or_one("length-twice-equal", LENGTH, "The same length twice is refused, or passed on as one.", post(b"5", (b"content-length", b"5")), body=b"hello")
refuse_or_one("length-get", "RFC 9110 §9.3.1", "A GET's body is passed on as its body, or refused.", fields((b"content-length", b"%d" % len(SMUGGLED))), body=SMUGGLED)
refuse_or_one("body-get", "RFC 9110 §9.3.1", "A GET's body without a length is passed on as its body, or refused.", fields(), body=SMUGGLED)


@theme.case("length-zero-body", LENGTH, "A body beside content-length: 0 smuggles nothing.")
def _(t):
    client = t.h2()
    t.note(client.ask(post(b"0"), SMUGGLED))
    t.settle()
    t.clean()
    t.check(b"smuggled" not in t.origin.bytes and len(t.origin.requests) <= 1, f"the origin saw {t.origin.bytes!r}")


@theme.case("length-short-late", LENGTH, "DATA beyond content-length in a second frame is malformed too.")
def _(t):
    client = t.h2()
    client.headers(1, post(b"5"), end=False)
    client.body(1, b"hello", end=False)
    client.pong()
    client.body(1, SMUGGLED, end=True)
    answer = client.finish()
    t.note(client)
    t.settle()
    t.check(b"smuggled" not in t.origin.bytes, f"the origin saw {t.origin.bytes!r}")
    t.check(answer.reset is not None or client.over or answer.status, f"not answered: {client}")


# --- cookies, trailers, CONNECT, expectations -----------------------------------------------------------------------------------------

accept("cookie-crumbs", "RFC 9113 §8.2.3", "Cookie fields become one, joined by a semicolon and a blank.", fields((b"cookie", b"a=1"), (b"x-a", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3")),
    lambda t, r: t.check(r.all("cookie") == [b"a=1; b=2; c=3"], f"the origin saw {r.all('cookie')}"))


def trailers(name, demand, pairs, judge):
    def run(t):
        client = t.h2()
        client.headers(1, fields(method="POST"), end=False)
        client.body(1, b"hello", end=False)
        client.headers(1, pairs)
        answer = client.finish()
        t.note(client)
        if answer.status == 200:
            judge(t, t.saw_one(b"hello"))
        else:
            t.stream_refused(client, answer, True)

    theme.add(name, "RFC 9113 §8.1, RFC 9110 §6.5.1", demand, run)


trailers("trailers", "Trailers are passed on as trailers, or dropped.", [(b"x-t", b"1")], lambda t, r: t.check(not r.has("x-t") and r.trailer("x-t") in (None, b"1"), "another trailer"))
for name, pair in {"length": (b"content-length", b"50"), "coding": (b"transfer-encoding", b"chunked"), "host": (b"host", b"evil.test")}.items():
    trailers(f"trailers-{name}", "A trailer never becomes a header field.", [pair], lambda t, r, pair=pair: t.check(pair[1] not in r.all(pair[0].decode()) or pair[1] == b"chunked", "a header field"))
for name, pair in {"crlf": (b"x-t", b"1\r\nX: y"), "upper-case": (b"X-T", b"1"), "connection": (b"connection", b"close"), "nul": (b"x-t", b"1\x00"), "colon": (b"x-t: y", b"1")}.items():
    trailers(f"trailers-{name}", "Malformed trailers are refused, or not passed on.", [pair], lambda t, r: t.check(not r.trailers, f"the origin saw {r.trailers}"))


@theme.case("connect", "RFC 9113 §8.5", "CONNECT is refused where no tunnel is offered.")
def _(t):
    client = t.h2()
    client.headers(1, [(":method", "CONNECT"), (":authority", "h.test:22")], end=False)
    client.until(lambda: client.answer(1).done or client.answer(1).status or client.over, 4.0)
    t.stream_refused(client, client.answer(1))


refuse("connect-path", "RFC 9113 §8.5", "CONNECT with :path and :scheme, but without :protocol, is malformed.", fields(method="CONNECT"))


@theme.case("extended-connect-unknown", "RFC 8441 §4", "An extended CONNECT to an unknown protocol is refused, or makes no tunnel that the origin did not agree to.")
def _(t):
    client = t.h2()
    client.headers(1, [*fields(method="CONNECT"), (":protocol", "foo")], end=False)
    client.until(lambda: client.answer(1).done or client.answer(1).status or client.over, 4.0)
    t.note(client)
    t.check(client.over or client.answer(1).reset is not None or client.answer(1).status >= 400 or t.origin.requests, f"answered {client}")
    t.settle()
    t.clean()


@theme.case("expect", "RFC 9110 §10.1.1", "An expectation comes to its end, with 100 or without.")
def _(t):
    t.origin.behave(echo)
    client = t.h2()
    client.headers(1, fields((b"expect", b"100-continue"), (b"content-length", b"5"), method="POST"), end=False)
    client.until(lambda: client.answer(1).interim or client.answer(1).done, 1.0)
    client.body(1, b"hello")
    t.h2_ok(client, client.finish())


# --- responses on their way back ---------------------------------------------------------------------------------------------------------


def back(name, source, demand, data, judge, method="GET", then="keep"):
    """The origin's response is `data`; `judge(t, client, answer)`."""

    def run(t):
        t.origin.answer(data, then=then)
        client = t.h2()
        answer = client.ask(fields(method=method))
        t.note(client)
        t.h2_well_formed(client)
        judge(t, client, answer)

    theme.add(name, source, demand, run)


def served(status=200, body=b"hello"):
    def judge(t, client, answer):
        t.check(answer.status == status and answer.ended and bytes(answer.body) == body, f"answered {client}, {bytes(answer.body)!r}")

    return judge


H = b"HTTP/1.1 200 OK\r\n"
back("response-connection", HOP, "No connection-specific field of the origin's reaches an HTTP/2 client.",
    H + b"Connection: keep-alive, X-Foo\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-Foo: bar\r\nContent-Length: 5\r\n\r\nhello", served())
back("response-chunked", HOP, "A chunked response becomes DATA, without Transfer-Encoding.", H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", served())
back("response-until-close", "RFC 9113 §8.1", "A response that ends with the connection becomes a stream that ends.", H + b"\r\nhello", served(), then="close")
back("response-names", FIELD, "Names of a response are in lower case.", H + b"X-UPPER: Y\r\nContent-Length: 5\r\n\r\nhello", lambda t, c, a: t.check(a.get("x-upper") == b"Y", "missing"))
back("response-204", "RFC 9110 §15.3.5", "A 204 is a stream without DATA.", b"HTTP/1.1 204 No Content\r\n\r\n", served(204, b""))
back("response-304", "RFC 9110 §15.4.5", "A 304 is a stream without DATA.", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", served(304, b""))
back("response-head", "RFC 9110 §9.3.2", "An answer to HEAD is a stream without DATA.", H + b"Content-Length: 5\r\n\r\n", served(200, b""), "HEAD")
back("response-set-cookie", "RFC 9110 §5.3", "Set-Cookie fields are never joined.", H + b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
    lambda t, c, a: t.check([v for v in a.all("set-cookie") if v[:2] in (b"a=", b"b=")] == [b"a=1", b"b=2"], f"{a.all('set-cookie')}"))
back("response-interim", "RFC 9113 §8.1", "Interim responses are passed on or dropped; the final response is the answer.", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + H + b"Content-Length: 5\r\n\r\nhello", served())
back("response-trailers", "RFC 9113 §8.1", "Trailers of a response are passed on as trailers, or dropped.", H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    lambda t, c, a: (served()(t, c, a), t.check(a.get("x-t") is None and dict(a.trailers).get(b"x-t") in (None, b"1"), "another trailer")))
back("response-101", "RFC 9113 §8.6", "101 is never sent over HTTP/2.", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    lambda t, c, a: t.check(a.status >= 500 or a.reset is not None or c.over, f"answered {c}"))
back("response-garbage", "RFC 9112 §4", "What is no HTTP is not passed on as a response.", b"garbage\r\n\r\n", lambda t, c, a: t.check(a.status >= 500 or a.reset is not None or c.over, f"answered {c}"), then="close")
back("response-cr-in-value", FIELD, "A value with a bare CR is dropped, replaced, or 502.", H + b"X-A: a\rb\r\nContent-Length: 5\r\n\r\nhello", lambda t, c, a: t.check(a.status in (200, 502) or a.reset is not None, f"answered {c}"))
back("response-nul-in-value", FIELD, "A value with NUL is dropped, replaced, or 502.", H + b"X-A: a\0b\r\nContent-Length: 5\r\n\r\nhello", lambda t, c, a: t.check(a.status in (200, 502) or a.reset is not None, f"answered {c}"))
back("response-cl-te", "RFC 9112 §6.3", "Length beside a coding: the coding counts, or 502.", H + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    lambda t, c, a: t.check(a.status >= 500 or a.reset is not None or bytes(a.body) == b"hello" and a.get("content-length") in (None, b"5"), f"answered {c}"))


@theme.case("response-date", "RFC 9110 §6.6.1", "A response without Date gets one.")
def _(t):
    t.origin.answer(reply(date=False))
    client = t.h2()
    answer = client.ask(fields())
    t.h2_ok(client, answer)
    t.check(len(answer.all("date")) == 1, f"{len(answer.all('date'))} date fields")


@theme.case("header-list-large", "RFC 9113 §10.5.1", "Fields above every limit are refused with 431 or the stream's end.")
def _(t):
    client = t.h2()
    data = block(fields(*[(b"x-%d" % n, b"y" * 1000) for n in range(1200)]))
    parts = [data[n : n + 16000] for n in range(0, len(data), 16000)]
    client.frame(HEADERS, END_STREAM, 1, parts[0])
    for part in parts[1:-1]:
        client.frame(9, 0, 1, part, wait=2.0)
    client.frame(9, END_HEADERS, 1, parts[-1], wait=2.0)
    t.stream_refused(client, client.finish(), False)


@theme.case("two-hundred-fields", "RFC 9110 §5.4", "Two hundred fields are passed on, or refused with 431.")
def _(t):
    client = t.h2()
    answer = client.ask(fields(*[(b"x-%d" % n, b"y") for n in range(200)]))
    t.note(client)
    t.check(answer.status in (200, 400, 431) or answer.reset is not None or client.over, f"answered {client}")


@theme.case("other-streams-live", "RFC 9113 §5.4.2", "A malformed request is an error of its stream: others may go on, and none gets its answer.")
def _(t):
    t.origin.behave(lambda c: [c.send(reply(body=r.target)) for r in iter(c.request, None)])
    client = t.h2()
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields(path="/one"))))
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block(fields((b"connection", b"close"), path="/bad"))))
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, block(fields(path="/two"))))
    one, two = client.finish(1), client.finish(5)
    t.note(client)
    t.check(not one.head or bytes(one.body) == b"/one", f"stream 1 got {bytes(one.body)!r}")
    t.check(not two.head or bytes(two.body) == b"/two", f"stream 5 got {bytes(two.body)!r}")
