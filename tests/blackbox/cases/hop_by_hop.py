"""Fields that belong to one connection (RFC 9110, section 7.6.1), in both directions."""

from suite.case import Theme
from suite.origin import OK, reply

theme = Theme("hop", "Hop-by-hop fields")

HOP = "RFC 9110 §7.6.1"


def up(name, demand, fields, judge, source=HOP):
    """A request with these fields; `judge(t, request)` looks at what the origin got."""

    def run(t):
        seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n" + fields + b"\r\n")
        t.ok(seen)
        judge(t, t.saw_one())

    theme.add(name, source, demand, run)


def gone(*names):
    def judge(t, request):
        for name in names:
            t.check(not request.has(name), f"the origin saw {name}: {request.get(name)!r}")

    return judge


def kept(**fields):
    def judge(t, request):
        for name, value in fields.items():
            name = name.replace("_", "-")
            t.check(request.get(name) == value, f"the origin saw {name}: {request.get(name)!r}")

    return judge


up("connection-names", "A field that Connection names is not passed on.", b"Connection: X-Foo\r\nX-Foo: bar\r\n", gone("x-foo"))
up("connection-names-later", "A field that Connection names is not passed on, wherever it stands.", b"X-Foo: bar\r\nX-Bar: a\r\nConnection: keep-alive, x-foo ,X-BAR\r\n", gone("x-foo", "x-bar"))
up("connection-two-fields", "Several Connection fields are one list.", b"Connection: x-foo\r\nConnection: x-bar\r\nX-Foo: 1\r\nX-Bar: 2\r\n", gone("x-foo", "x-bar"))
up("connection-empty-elements", "Empty elements of the list mean nothing.", b"Connection: , ,x-foo,,\r\nX-Foo: 1\r\n", gone("x-foo"))
up("connection-twice-named", "Every field of a name that Connection names is gone.", b"Connection: x-foo\r\nX-Foo: 1\r\nx-foo: 2\r\nX-FOO: 3\r\n", gone("x-foo"))
up("connection-itself", "Connection's own options are not passed on.", b"Connection: x-foo\r\nX-Foo: 1\r\n",
    lambda t, request: t.check(b"x-foo" not in (request.get("connection") or b"").lower(), f"the origin saw Connection: {request.get('connection')!r}"))
up("keep-alive", "Keep-Alive is not passed on.", b"Connection: keep-alive\r\nKeep-Alive: timeout=99, max=1000\r\n", gone("keep-alive"))
up("keep-alive-unnamed", "Keep-Alive is not passed on, named or not.", b"Keep-Alive: timeout=99\r\n", gone("keep-alive"))
up("proxy-connection", "Proxy-Connection is not passed on.", b"Proxy-Connection: keep-alive\r\n", gone("proxy-connection"))
up("te-gzip", "TE is not passed on, but for trailers.", b"TE: gzip;q=0.5, deflate\r\nConnection: TE\r\n",
    lambda t, request: t.check(request.get("te") in (None, b"trailers"), f"the origin saw TE: {request.get('te')!r}"), "RFC 9110 §10.1.4")
up("te-unnamed", "TE is not passed on, but for trailers, even if Connection does not name it.", b"TE: gzip\r\n",
    lambda t, request: t.check(request.get("te") in (None, b"trailers"), f"the origin saw TE: {request.get('te')!r}"), "RFC 9110 §10.1.4")
up("upgrade-h2c", "An Upgrade to h2c is not passed on: it would be a tunnel past the proxy.",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    lambda t, request: t.check(not request.has("upgrade") and not request.has("http2-settings"), "the origin saw the upgrade"), "RFC 9113 §3.1")
up("upgrade-unnamed", "An Upgrade that Connection does not name is not passed on.", b"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    lambda t, request: t.check(not (request.has("upgrade") and b"upgrade" in (request.get("connection") or b"").lower()), "the origin saw an upgrade"), "RFC 9110 §7.8")
up("end-to-end", "Everything else is passed on as it is.", b"Accept: a/b\r\nX-Empty:\r\nX-Long: " + b"y" * 4000 + b"\r\nX-Tab: a\tb\r\n",
    kept(accept=b"a/b", x_empty=b"", x_long=b"y" * 4000, x_tab=b"a\tb"), "RFC 9110 §5.1")
up("twice", "Fields of one name keep their order and their values.", b"X-A: 1\r\nX-B: 0\r\nX-A: 2\r\nX-A: 3, 4\r\n", kept(x_a=b"1, 2, 3, 4"), "RFC 9110 §5.3")
up("obs-text", "Bytes above 127 in a value are passed on.", b"X-O: \xe9\xff\r\n", kept(x_o=b"\xe9\xff"), "RFC 9110 §5.5")
up("cookies", "Cookies are all passed on.", b"Cookie: a=1\r\nCookie: b=2\r\n",
    lambda t, request: t.check(set((request.get("cookie") or b"").replace(b",", b";").replace(b" ", b"").split(b";")) == {b"a=1", b"b=2"}, f"the origin saw {request.get('cookie')!r}"), "RFC 6265 §5.4")

ABUSE = "RFC 9110 §7.6.1, §7.2"


@theme.case("upgrade-unknown", "RFC 9110 §7.8", "An Upgrade to what the proxy does not know is refused, dropped, or passed on as an offer of its own with Connection.")
def _(t):
    request = t.refused_or_one(t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nConnection: upgrade\r\nUpgrade: foo/2\r\n\r\n"))
    if request and request.has("upgrade"):
        t.check(b"upgrade" in (request.get("connection") or b"").lower(), "the origin saw Upgrade without Connection")


@theme.case("connection-names-host", ABUSE, "Connection cannot name Host away: it is there, or the request is refused.")
def _(t):
    request = t.refused_or_one(t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nConnection: host\r\n\r\n"))
    t.check(request is None or request.get("host") == b"h.test", "the origin saw another Host")


@theme.case("connection-names-length", ABUSE, "Connection cannot name a body's length away.")
def _(t):
    t.refused_or_one(t.exchange(b"POST /p HTTP/1.1\r\nHost: h.test\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello"), b"hello")


@theme.case("connection-names-coding", ABUSE, "Connection cannot name a body's coding away.")
def _(t):
    t.refused_or_one(
        t.exchange(b"POST /p HTTP/1.1\r\nHost: h.test\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), b"hello"
    )


@theme.case("connection-close-up", "RFC 9112 §9.6", "A client's Connection: close ends the client's connection, after the answer.")
def _(t):
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n")
    t.ok(seen)
    t.check(seen.ends(), "the connection goes on")
    t.check(b"close" in (seen.first.get("connection") or b"").lower(), "the answer does not say close")


# --- responses -----------------------------------------------------------------------------------------------------------------


def down(name, demand, fields, judge, source=HOP):
    """A response with these fields; `judge(t, response)` looks at what the client got."""

    def run(t):
        t.origin.answer(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 5\r\n\r\nhello")
        seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n")
        t.ok(seen)
        t.check(seen.first.body == b"hello", f"the client saw the body {seen.first.body!r}")
        judge(t, seen.first)

    theme.add(name, source, demand, run)


def unseen(*names):
    def judge(t, response):
        for name in names:
            t.check(not response.has(name), f"the client saw {name}: {response.get(name)!r}")

    return judge


down("response-connection-names", "A field that the origin's Connection names is not passed on.", b"Connection: X-Foo\r\nX-Foo: bar\r\n", unseen("x-foo"))
down("response-connection-list", "A field that the origin's Connection names is not passed on, wherever it stands.", b"X-Foo: bar\r\nConnection: keep-alive, x-foo\r\n", unseen("x-foo"))
down("response-keep-alive", "The origin's Keep-Alive is not passed on.", b"Connection: keep-alive\r\nKeep-Alive: timeout=77\r\n",
    lambda t, response: t.check(b"77" not in (response.get("keep-alive") or b""), "the client saw it"))
down("response-proxy-connection", "The origin's Proxy-Connection is not passed on.", b"Proxy-Connection: close\r\n", unseen("proxy-connection"))
down("response-upgrade", "The origin's Upgrade is not passed on as an offer of the proxy's.", b"Upgrade: h2c\r\nConnection: upgrade\r\n", unseen("upgrade"), "RFC 9110 §7.8")
down("response-twice", "Fields of one name keep their order and their values.", b"X-A: 1\r\nX-B: 0\r\nX-A: 2\r\n",
    lambda t, response: t.check(response.get("x-a") == b"1, 2", f"the client saw {response.get('x-a')!r}"), "RFC 9110 §5.3")
down("response-set-cookie", "Set-Cookie fields are never joined.", b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2, c\r\n",
    lambda t, response: t.check([v for v in response.all("set-cookie") if v[:2] in (b"a=", b"b=")] == [b"a=1; Path=/", b"b=2, c"], f"the client saw {response.all('set-cookie')}"), "RFC 9110 §5.3")


@theme.case("response-connection-close", "RFC 9112 §9.6", "The origin's Connection: close is about the origin's connection: the answer is whole, and the next one too.")
def _(t):
    t.origin.answer(reply(fields=["Connection: close"]), then="close")
    client = t.client()
    first = client.ask(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n")
    t.check(first is not None and first.complete and first.body == b"ok", "no whole answer")
    if b"close" not in (first.get("connection") or b"").lower():
        t.origin.answer(OK)
        second = client.ask(b"GET /q HTTP/1.1\r\nHost: h.test\r\n\r\n")
        t.check(second is not None and second.status == 200, "the second request was not answered")


@theme.case("response-connection-length", ABUSE, "The origin's Connection cannot name the body's length away.")
def _(t):
    t.origin.answer(b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello")
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n")
    t.check(seen.status >= 500 or (seen.status == 200 and seen.first.body == b"hello" and seen.first.complete), f"answered {seen}")


@theme.case("response-te-chunked-kept-apart", HOP, "The origin's chunks are not the client's: sizes may differ, bytes may not.")
def _(t):
    body = bytes(range(256)) * 40
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[n : n + 97]), body[n : n + 97]) for n in range(0, len(body), 97))
    t.origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    seen = t.exchange(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n")
    t.ok(seen)
    t.check(seen.first.body == body, "the client saw another body")
