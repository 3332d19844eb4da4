"""The request line and the host (RFC 9112, section 3; RFC 9110, section 7.2): what is asked for, and of whom."""

from suite.case import Theme
from suite.origin import serve, OK

theme = Theme("target", "Request line, target and Host")

LINE = "RFC 9112 §3"
TARGET = "RFC 9112 §3.2"
HOST = "RFC 9112 §3.2, RFC 9110 §7.2"
VERSION = "RFC 9110 §2.5"


def get(line, host=b"Host: h.test\r\n"):
    return line + b"\r\n" + host + b"\r\n"


def refuse(name, source, demand, data):
    theme.add(name, source, demand, lambda t: t.refused(t.exchange(data)))


def accept(name, source, demand, data, **wanted):
    def run(t):
        seen = t.exchange(data)
        t.ok(seen)
        t.saw_one(**wanted)

    theme.add(name, source, demand, run)


def either(name, source, demand, data, *targets):
    """Refused, or passed on with one of these targets."""

    def run(t):
        request = t.refused_or_one(t.exchange(data))
        if request and targets:
            t.check(request.target in targets, f"the origin saw the target {request.target!r}")

    theme.add(name, source, demand, run)


# --- the line ------------------------------------------------------------------------------------------------------------------

accept("ordinary", LINE, "Method and target are passed on as they are.", get(b"GET /a/b?c=d HTTP/1.1"), method=b"GET", target=b"/a/b?c=d")
accept("method-case", "RFC 9110 §9.1", "A method has a case: get is not GET.", get(b"PATCH /p HTTP/1.1"), method=b"PATCH")
either("method-lower-case", "RFC 9110 §9.1", "A method has a case: get is passed on as get or refused.", get(b"get /p HTTP/1.1"), b"/p")
either("method-unknown", "RFC 9110 §9.1", "An unknown method is passed on as it is, or refused.", get(b"FROB /p HTTP/1.1"), b"/p")
either("method-long", LINE, "A very long method is passed on or refused.", get(b"M" * 9000 + b" /p HTTP/1.1"), b"/p")
LINE_BAD = "A request line that is none is refused."
for name, line in {
    "method-empty": b" /p HTTP/1.1", "method-parenthesis": b"GE(T /p HTTP/1.1", "method-nul": b"GET\x00 /p HTTP/1.1", "method-colon": b"GET: /p HTTP/1.1",
    "method-obs-text": b"G\xc9T /p HTTP/1.1", "no-target": b"GET HTTP/1.1", "target-empty": b"GET  HTTP/1.1", "no-slash": b"GET p HTTP/1.1",
    "version-lower-case": b"GET /p http/1.1", "version-major-long": b"GET /p HTTP/01.1", "version-minor-long": b"GET /p HTTP/1.10",
    "version-letters": b"GET /p HTTP/1.x", "version-other": b"GET /p HTTQ/1.1", "version-no-dot": b"GET /p HTTP/11", "version-junk": b"GET /p HTTP/1.1x",
    "version-sign": b"GET /p HTTP/+1.1", "version-negative": b"GET /p HTTP/1.-1", "target-lf": b"GET /p\n HTTP/1.1",
}.items():  # fmt: skip
    refuse(name, LINE, LINE_BAD, get(line))
for name, line in {"version-2-0": b"GET /p HTTP/2.0", "version-3-0": b"GET /p HTTP/3.0", "version-0-9": b"GET /p HTTP/0.9"}.items():
    refuse(name, VERSION, "Another major version is refused.", get(line))
either("version-1-2", VERSION, "A higher minor version is read as the highest known, or refused.", get(b"GET /p HTTP/1.2"), b"/p")
either("no-version", LINE, "A line without a version is refused, or passed on as a request that has one.", b"GET /p\r\n\r\n", b"/p")
LENIENT = "Blanks other than single spaces are refused, or not passed on."
either("two-spaces", LINE, LENIENT, get(b"GET  /p HTTP/1.1"), b"/p")
either("two-spaces-before-version", LINE, LENIENT, get(b"GET /p  HTTP/1.1"), b"/p")
either("trailing-space", LINE, LENIENT, get(b"GET /p HTTP/1.1 "), b"/p")
either("tabs", LINE, LENIENT, get(b"GET\t/p\tHTTP/1.1"), b"/p")
either("leading-space", LINE, LENIENT, get(b" GET /p HTTP/1.1"), b"/p")
either("vertical-tab", LINE, LENIENT, get(b"GET\x0b/p HTTP/1.1"), b"/p")

# --- the target ----------------------------------------------------------------------------------------------------------------

refuse("target-space", TARGET, "A space in the target is refused.", get(b"GET /a b HTTP/1.1"))
refuse("target-space-version", TARGET, "A second version in the line is refused, not taken for the first.", get(b"GET /p HTTP/1.1 HTTP/1.1"))
refuse("target-nul", TARGET, "NUL in the target is refused.", get(b"GET /a\x00b HTTP/1.1"))
either("target-control", TARGET, "Control bytes in the target are refused or escaped.", get(b"GET /a\x01\x7fb HTTP/1.1"), b"/a%01%7fb", b"/a%01%7Fb")
either("target-obs-text", TARGET, "Bytes above 127 in the target are refused, or passed on as they are or escaped.",
    get(b"GET /a\xc3\xa9b HTTP/1.1"), b"/a\xc3\xa9b", b"/a%c3%a9b", b"/a%C3%A9b")
either("target-fragment", TARGET, "A fragment is refused, or not passed on.", get(b"GET /p#f HTTP/1.1"), b"/p", b"/p%23f")
either("target-fragment-dots", TARGET, "A fragment is refused, or not passed on.", get(b"GET /p#/../admin HTTP/1.1"), b"/p", b"/p%23/../admin")
KEPT = "What is escaped stays escaped, byte for byte, or is refused."
for name, path in {
    "crlf": b"/a%0d%0aX:%20y", "nul": b"/a%00b", "slash": b"/a%2fb", "dots": b"/a/%2e%2e/b", "percent": b"/a%2525b", "hash": b"/a%23b", "question": b"/a%3fb",
}.items():  # fmt: skip
    either(f"escaped-{name}", "RFC 3986 §2.4", KEPT, get(b"GET " + path + b" HTTP/1.1"), path, b"/b" if name == "dots" else path)
either("dots", "RFC 3986 §5.2.4", "Dots in a path are kept, removed as defined, or refused.", get(b"GET /a/../b HTTP/1.1"), b"/a/../b", b"/b")
either("dots-above-root", "RFC 3986 §5.2.4", "A path cannot leave the root.", get(b"GET /../b HTTP/1.1"), b"/../b", b"/b")
either("two-slashes", TARGET, "A path of two slashes is a path, not a host.", get(b"GET //evil.test/p HTTP/1.1"), b"//evil.test/p", b"/evil.test/p")
either("backslash", TARGET, "A backslash is refused, passed on as it is, or escaped.", get(b"GET /a\\..\\b HTTP/1.1"), b"/a\\..\\b", b"/a%5c..%5cb", b"/a%5C..%5Cb")
either("bad-escape", "RFC 3986 §2.1", "A broken escape is refused, or passed on as it is.", get(b"GET /a%zzb HTTP/1.1"), b"/a%zzb", b"/a%25zzb")
accept("query-kept", TARGET, "A query is passed on as it is.", get(b"GET /p?a=b?c&d=%20;e=//../ HTTP/1.1"), target=b"/p?a=b?c&d=%20;e=//../")
accept("query-empty", TARGET, "An empty query is passed on.", get(b"GET /p? HTTP/1.1"), target=b"/p?")
accept("path-of-2000", LINE, "A target of 2,000 bytes is served.", get(b"GET /" + b"a" * 2000 + b" HTTP/1.1"), target=b"/" + b"a" * 2000)
refuse("path-of-200000", LINE, "A target above every limit is refused.", get(b"GET /" + b"a" * 200_000 + b" HTTP/1.1"))
refuse("asterisk-get", "RFC 9112 §3.2.4", "* is a target of OPTIONS alone.", get(b"GET * HTTP/1.1"))
refuse("authority-get", "RFC 9112 §3.2.3", "A host and port are a target of CONNECT alone.", get(b"GET h.test:80 HTTP/1.1"))


@theme.case("asterisk-options", "RFC 9110 §9.3.7", "OPTIONS * is passed on as it is, or answered.")
def _(t):
    seen = t.exchange(get(b"OPTIONS * HTTP/1.1"))
    t.well_formed(seen)
    t.check(len(seen.responses) == 1, f"answered {seen}")
    t.settle()
    t.clean()
    targets = [request.target for request in t.origin.requests]
    t.check(targets in ([], [b"*"]), f"the origin saw {targets}")


CONNECT = "CONNECT is refused where no tunnel is offered, and nothing behind it reaches anybody."


def no_tunnel(data):
    def run(t):
        client = t.client()
        client.send(data)
        response = client.response()
        t.note(response.status if response else "closed")
        t.check(response is None or response.status >= 400, f"answered {response.status if response else 0}")
        t.saw_nothing()

    return run


theme.add("connect", "RFC 9110 §9.3.6", CONNECT, no_tunnel(b"CONNECT h.test:80 HTTP/1.1\r\nHost: h.test:80\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n"))
theme.add("connect-path", "RFC 9112 §3.2.3", CONNECT, no_tunnel(b"CONNECT /p HTTP/1.1\r\nHost: h.test\r\n\r\n"))
theme.add("connect-loopback", "RFC 9110 §9.3.6", CONNECT, no_tunnel(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n"))

# --- absolute targets ------------------------------------------------------------------------------------------------------------


def absolute(name, demand, target, host, hosts, paths):
    """Accepted: the origin is told this host and path. An empty tuple of hosts: must be refused."""

    def run(t):
        seen = t.exchange(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        request = t.refused_or_one(seen)
        if request:
            t.note(f"{request.target.decode()} of {request.get('host').decode()}")
            t.check(request.get("host").lower() in hosts, f"the origin saw Host {request.get('host')!r} and {request.target!r}")
            t.check(request.target in paths, f"the origin saw the target {request.target!r}")
        elif name == "absolute":
            t.check(False, "refused")

    theme.add(name, "RFC 9112 §3.2.2", demand, run)


SAME_HOST = "An absolute target is accepted, and its host is Host."
absolute("absolute", SAME_HOST, b"http://h.test/p?q", b"h.test", (b"h.test",), (b"/p?q", b"http://h.test/p?q"))
absolute("absolute-case", SAME_HOST, b"HTTP://H.TEST/p", b"h.test", (b"h.test",), (b"/p", b"HTTP://H.TEST/p", b"http://h.test/p"))
absolute("absolute-no-path", "An absolute target without a path is the root.", b"http://h.test", b"h.test", (b"h.test",), (b"/", b"http://h.test", b"http://h.test/"))
absolute("absolute-query-only", "An absolute target with a query alone is the root's.", b"http://h.test?q", b"h.test", (b"h.test",), (b"/?q", b"http://h.test?q", b"http://h.test/?q"))
OTHER = "When Host differs from an absolute target, the target wins, or the request is refused."
absolute("absolute-other-host", OTHER, b"http://h.test/p", b"evil.test", (b"h.test",), (b"/p", b"http://h.test/p"))
absolute("absolute-other-port", OTHER, b"http://h.test:81/p", b"h.test", (b"h.test:81",), (b"/p", b"http://h.test:81/p"))
BAD_ABSOLUTE = "A malformed absolute target is refused."
for name, target in {
    "absolute-userinfo": b"http://u:p@h.test/p", "absolute-no-host": b"http:///p", "absolute-ftp": b"ftp://h.test/p", "absolute-bad-port": b"http://h.test:x/p",
    "absolute-one-slash": b"http:/h.test/p", "absolute-space": b"http://h.test /p",
}.items():  # fmt: skip
    refuse(name, "RFC 9112 §3.2.2, RFC 9110 §4.2", BAD_ABSOLUTE, get(b"GET " + target + b" HTTP/1.1"))

# --- Host ------------------------------------------------------------------------------------------------------------------------

refuse("host-missing", HOST, "HTTP/1.1 without Host is refused with 400.", get(b"GET /p HTTP/1.1", b""))
refuse("host-twice", HOST, "Two Host fields are refused with 400.", get(b"GET /p HTTP/1.1", b"Host: h.test\r\nHost: evil.test\r\n"))
refuse("host-twice-equal", HOST, "Two Host fields are refused with 400, even equal ones.", get(b"GET /p HTTP/1.1", b"Host: h.test\r\nHost: h.test\r\n"))
refuse("host-twice-case", HOST, "Two Host fields are refused with 400, however they are written.", get(b"GET /p HTTP/1.1", b"Host: h.test\r\nhOST: evil.test\r\n"))
refuse("host-space-before-colon", HOST, "A blank between a name and its colon is refused with 400.", get(b"GET /p HTTP/1.1", b"Host : h.test\r\n"))
BAD_HOST = "A Host that is no host with an optional port is refused with 400."
for name, value in {
    "path": b"h.test/p", "userinfo": b"u@h.test", "space": b"h.test evil.test", "comma": b"h.test, evil.test", "port-word": b"h.test:x", "scheme": b"http://h.test",
    "question": b"h.test?q", "hash": b"h.test#f", "bracket": b"[::1", "obs-text": b"h\xe9.test", "nul": b"h\x00.test", "backslash": b"h.test\\evil", "quote": b'"h.test"',
    "two-ports": b"h.test:80:81", "port-huge": b"h.test:99999999999",
}.items():  # fmt: skip
    refuse(f"host-{name}", HOST, BAD_HOST, get(b"GET /p HTTP/1.1", b"Host: " + value + b"\r\n"))
either("host-empty", HOST, "An empty Host is passed on as it is, or refused.", get(b"GET /p HTTP/1.1", b"Host:\r\n"), b"/p")
either("host-fold", "RFC 9112 §5.2", "A folded Host is refused, or the fold replaced.", get(b"GET /p HTTP/1.1", b"Host:\r\n h.test\r\n"), b"/p")


def host_kept(name, value, demand):
    def run(t):
        seen = t.exchange(get(b"GET /p HTTP/1.1", b"Host: " + value + b"\r\n"))
        t.ok(seen)
        host = t.saw_one().get("host")
        t.check(host.lower() == value.lower(), f"the origin saw Host {host!r}")

    theme.add(name, HOST, demand, run)


host_kept("host-port", b"h.test:8080", "Host is passed on with its port.")
host_kept("host-ipv6", b"[::1]:8080", "A Host may be an IPv6 address.")
host_kept("host-case", b"H.Test", "Host is the same in every case.")


@theme.case("http-1-0-no-host", HOST, "HTTP/1.0 without Host is served.")
def _(t):
    seen = t.exchange(b"GET /p HTTP/1.0\r\n\r\n")
    t.ok(seen)
    t.check(seen.ends(), "the connection goes on")
    t.saw_one(target=b"/p")


@theme.case("http-1-0-keep-alive", "RFC 9112 §9.3", "An HTTP/1.0 connection goes on only if keep-alive was asked for, and the answer says so.")
def _(t):
    t.origin.behave(serve(OK))
    client = t.client()
    first = client.ask(b"GET /p HTTP/1.0\r\nHost: h.test\r\nConnection: keep-alive\r\n\r\n")
    t.check(first and first.status == 200, "not answered 200")
    says = (first.get("connection") or b"").lower()
    if b"keep-alive" in says:
        second = client.ask(b"GET /q HTTP/1.0\r\nHost: h.test\r\n\r\n")
        t.check(second and second.status == 200, "the second request was not answered")
    t.check(client.ends(), "the connection goes on")


@theme.case("http-1-0-no-chunks", "RFC 9112 §6.1", "A response to HTTP/1.0 is never chunked.")
def _(t):
    t.origin.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    seen = t.exchange(b"GET /p HTTP/1.0\r\nHost: h.test\r\n\r\n")
    t.check(seen.status == 200 and seen.first.body == b"hello", f"answered {seen}")
    t.check(not seen.first.has("transfer-encoding"), "chunked")
