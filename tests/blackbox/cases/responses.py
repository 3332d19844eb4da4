"""Where a response ends (RFC 9112, sections 4, 6 and 8), when the origin is careless, broken or hostile.

A response that is broken must not be shown as a whole one, and must never become the answer to another request.
"""

from suite.case import Theme
from suite.origin import OK, reply

theme = Theme("responses", "Response framing")

GET = b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: h.test\r\n\r\n"
POISON = reply(body=b"poisoned")
FRAMING = "RFC 9112 §6.3"
INCOMPLETE = "RFC 9112 §8"
H = b"HTTP/1.1 200 OK\r\n"


def queue_is_clean(t, client, method=b"GET"):
    """The next request on this and on another connection gets its own answer."""
    answers = []
    if client.ended is None:
        answers.append(client.ask(SECOND, wait=4.0))
    other = t.client()
    answers.append(other.ask(SECOND))
    for answer in answers:
        t.check(answer is None or b"poisoned" not in answer.body + answer.head.raw, "a later request got what belonged to another")
    t.check(answers[-1] is not None, "a later request got no answer")


def scripted(t, data, then="keep"):
    """The first request gets `data`, all others an ordinary answer that names them."""
    state = {"first": True}

    def behave(connection):
        while (request := connection.request()) is not None:
            if state["first"]:
                state["first"] = False
                connection.send(data)
                if then == "close":
                    return connection.close()
                if then == "reset":
                    return connection.reset()
            else:
                connection.send(reply(body=request.target))

    t.origin.behave(behave)


def one(t, data, then="keep", method=b"GET"):
    """One request, whose answer from the origin is `data`; what the client saw."""
    scripted(t, data, then)
    client = t.client()
    client.send(method + GET[3:])
    response = client.response(method.decode())
    t.note(f"{response.status if response else 'no response'}, {client.error or client.ended or 'open'}")
    return client, response


def refuse(name, source, demand, data, then="keep"):
    """The client must get an error or the connection's end, never a success; nothing leaks into later answers."""

    def run(t):
        client, response = one(t, data, then)
        t.check(client.error is None, f"the client saw {client.error}")
        t.check(response is None or response.status >= 500, f"answered {response.status if response else 0}")
        queue_is_clean(t, client)

    theme.add(name, source, demand, run)


def broken(name, source, demand, data, then="keep", prefix=b"hello"):
    """The client gets an error, or a response that it can see is incomplete, of no other bytes."""

    def run(t):
        client, response = one(t, data, then)
        if response is not None and response.status == 200:
            t.check(not response.complete or response.error, f"a broken response was shown as whole: {response.head.raw + response.body!r}")
            t.check(response.body in prefix or prefix in response.body, f"the client saw the body {response.body!r}")
        else:
            t.check(response is None or response.status >= 500, f"answered {response.status if response else 0}")
        queue_is_clean(t, client)

    theme.add(name, source, demand, run)


def whole(name, source, demand, data, then="keep", body=b"hello", lenient=False, status=200):
    """The client gets a clean response with this body; with `lenient` an error instead is no fault."""

    def run(t):
        client, response = one(t, data, then)
        if lenient and (response is None or response.status >= 500):
            t.check(client.error is None, f"the client saw {client.error}")
        else:
            t.check(response is not None and response.status == status, f"answered {response.status if response else client.error or 'nothing'}")
            faults = response.faults()
            t.check(not faults, f"the client saw {'; '.join(faults)}")
            t.check(response.complete and response.body == body, f"the client saw the body {response.body!r}, complete {response.complete}")
        queue_is_clean(t, client)

    theme.add(name, source, demand, run)


# --- lengths ---------------------------------------------------------------------------------------------------------------------

whole("cl", FRAMING, "A response with a length is passed on whole.", H + b"Content-Length: 5\r\n\r\nhello")
whole("te", FRAMING, "A chunked response is passed on whole.", H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
whole("until-close", FRAMING, "A response without length ends with the connection, and the client can tell that it is whole.", H + b"\r\nhello", "close")
whole("until-close-1-0", FRAMING, "A response of HTTP/1.0 without length ends with the connection.", b"HTTP/1.0 200 OK\r\n\r\nhello", "close")
whole("empty-until-close", FRAMING, "A response may be empty and end with the connection.", H + b"\r\n", "close", b"")
whole("cl-te", FRAMING, "Length beside a coding: the coding counts and only it is passed on, or 502.",
    H + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", lenient=True)
whole("cl-te-zero", FRAMING, "Length beside a coding: the coding counts and only it is passed on, or 502.",
    H + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", lenient=True)
whole("cl-twice-equal", FRAMING, "The same length twice is one, or 502.", H + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", lenient=True)
whole("cl-list-equal", FRAMING, "The same length twice is one, or 502.", H + b"Content-Length: 5, 5\r\n\r\nhello", lenient=True)
LENGTHS = "A response with an invalid length gets the client 502, and the connection to the origin ends."
refuse("cl-twice", FRAMING, LENGTHS, H + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" + POISON)
refuse("cl-list", FRAMING, LENGTHS, H + b"Content-Length: 5, 6\r\n\r\nhello!" + POISON)
for name, value in {"minus": b"-5", "plus": b"+5", "hex": b"0x5", "word": b"five", "empty": b"", "huge": b"18446744073709551621", "space": b"5 5"}.items():
    refuse(f"cl-{name}", FRAMING, LENGTHS, H + b"Content-Length: " + value + b"\r\n\r\nhello")
whole("te-case", "RFC 9112 §7", "The name of a coding has no case.", H + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
CODING = "A coding that the proxy cannot read is no length: 502, or everything until the connection's end."
for name, value in {"unknown": b"foo", "identity": b"identity", "not-last": b"chunked, foo"}.items():
    whole(f"te-{name}", FRAMING, CODING, H + b"Transfer-Encoding: " + value + b"\r\n\r\nhello", "close", lenient=True)
whole("te-twice", "RFC 9112 §6.1", "chunked twice is undone once, or 502.",
    H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", lenient=True)


@theme.case("te-1-0", "RFC 9112 §6.1", "A coding in HTTP/1.0 is faulty framing: 502, or the body read somehow and the connection not used again.")
def _(t):
    client, response = one(t, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + POISON, "close")
    t.check(response is None or not response.faults(), f"the client saw {response.faults() if response else ''}")
    t.check(response is None or response.status >= 500 or b"hello" in response.body, "answered otherwise")
    used = len(t.origin.connections)
    queue_is_clean(t, client)
    t.check(len(t.origin.connections) > used, "the connection was used again")


# --- truncation -------------------------------------------------------------------------------------------------------------------

SHORT = "A response that ends early is never shown as whole."
broken("cl-truncated", INCOMPLETE, SHORT, H + b"Content-Length: 50\r\n\r\nhello", "close")
broken("cl-reset", INCOMPLETE, SHORT, H + b"Content-Length: 50\r\n\r\nhello", "reset")
broken("te-truncated", INCOMPLETE, SHORT, H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close")
broken("te-truncated-in-chunk", INCOMPLETE, SHORT, H + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhello", "close")
broken("te-truncated-in-size", INCOMPLETE, SHORT, H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1", "close")
broken("te-no-final-line", INCOMPLETE, SHORT, H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "close")
broken("te-reset", INCOMPLETE, SHORT, H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "reset")
broken("until-close-reset", INCOMPLETE, "A response that ends with a reset is not whole.", H + b"\r\nhello", "reset")
broken("stalled", INCOMPLETE, "A response that stops coming is ended in time, and not shown as whole.", H + b"Content-Length: 50\r\n\r\nhello")
refuse("silent", "RFC 9110 §15.6.5", "An origin that does not answer gets the client an error in time.", b"")
NOTHING = "An origin that ends without a response gets the client 502, or a retry."
refuse("head-truncated", "RFC 9110 §15.6.3", "A head that ends early is no response.", b"HTTP/1.1 200 OK\r\nContent-Le", "close")
refuse("head-stalled", "RFC 9110 §15.6.5", "A head that stops coming gets the client an error in time.", b"HTTP/1.1 200 OK\r\nContent-Le")
for name, size in {"te-bad-size": b"X", "te-minus": b"-5", "te-0x": b"0x5", "te-overflow": b"10000000000000005", "te-empty-size": b"", "te-leading-blank": b" 5"}.items():
    broken(name, "RFC 9112 §7.1", "A malformed chunk ends the response; it is not shown as whole.",
        H + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nhello\r\n0\r\n\r\n")
broken("te-no-end-of-data", "RFC 9112 §7.1", "A malformed chunk ends the response; it is not shown as whole.",
    H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n")
whole("te-extension", "RFC 9112 §7.1.1", "Chunk extensions that are not known are ignored.", H + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n\r\n")
whole("te-trailers", "RFC 9112 §7.1.2", "Trailers are passed on as trailers or dropped.", H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")

# --- more than was asked for ---------------------------------------------------------------------------------------------------------


def extra(name, demand, data, method=b"GET", body=b"hello", status=200, faults_ok=False):
    """Bytes after a response are no answer to anybody."""

    def run(t):
        client, response = one(t, data, method=method)
        t.check(response is None or response.status in (status, 502), f"answered {response.status if response else 0}")
        if response is not None and response.status == status:
            t.check(response.body == body, f"the client saw the body {response.body!r}")
            t.check(client.quiet(0.2) or client.ended, f"the client saw more: {client.rest!r}")
        t.check(not client.rest, f"the client saw more: {client.rest!r}")
        queue_is_clean(t, client)

    theme.add(name, "RFC 9112 §6.3, §9.2", demand, run)


EXTRA = "What follows a response is no answer to a later request."
extra("extra-response", EXTRA, H + b"Content-Length: 5\r\n\r\nhello" + POISON)
extra("extra-bytes", EXTRA, H + b"Content-Length: 5\r\n\r\nhellopoisoned")
extra("extra-after-chunks", EXTRA, H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + POISON)
extra("extra-after-zero", EXTRA, H + b"Content-Length: 0\r\n\r\n" + POISON, body=b"")
extra("extra-interim", EXTRA, H + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 100 Continue\r\n\r\n" + POISON)
extra("204-with-length", "A 204 has no body, whatever it says; what follows is no answer.", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello" + POISON, body=b"", status=204)
extra("204-with-chunks", "A 204 has no body, whatever it says; what follows is no answer.",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + POISON, body=b"", status=204)
extra("304-with-body", "A 304 has no body, whatever it says; what follows is no answer.", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello" + POISON, body=b"", status=304)
extra("head-with-body", "A response to HEAD has no body, whatever it says; what follows is no answer.", H + b"Content-Length: 5\r\n\r\nhello" + POISON, b"HEAD", b"")
extra("head-with-chunks", "A response to HEAD has no body, whatever it says; what follows is no answer.",
    H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + POISON, b"HEAD", b"")


@theme.case("unasked", "RFC 9112 §9.2", "A response on a connection that asked for nothing is no answer to the next request.")
def _(t):
    def behave(connection):
        request = connection.request()
        if request is None:
            return
        connection.send(OK)
        t.origin.wait(lambda _: False, 0.1)
        connection.send(POISON)
        while (request := connection.request()) is not None:
            connection.send(reply(body=request.target))

    t.origin.behave(behave)
    client = t.client()
    t.check(client.ask(GET) is not None, "no answer")
    t.origin.wait(lambda _: False, 0.3)
    answer = client.ask(SECOND)
    t.check(answer is not None and b"poisoned" not in answer.body, f"answered {answer.body if answer else 'nothing'!r}")


@theme.case("304-length-kept", "RFC 9110 §8.6", "A 304 with a length and no body is passed on as a whole response.")
def _(t):
    client, response = one(t, b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n")
    t.check(response is not None and response.status == 304 and response.get("etag") == b'"x"', "not passed on")
    queue_is_clean(t, client)


@theme.case("head-length-kept", "RFC 9110 §9.3.2", "A response to HEAD may say the length of what GET would give, and has no body.")
def _(t):
    client, response = one(t, H + b"Content-Length: 12345\r\n\r\n", method=b"HEAD")
    t.check(response is not None and response.status == 200, "not passed on")
    t.check(response.get("content-length") in (None, b"12345"), f"the client saw Content-Length {response.get('content-length')!r}")
    t.check(client.quiet(0.2), f"the client saw {client.rest!r}")
    queue_is_clean(t, client)


# --- interim responses ----------------------------------------------------------------------------------------------------------------

for name, data in {
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "102": b"HTTP/1.1 102 Processing\r\n\r\n", "199": b"HTTP/1.1 199 Whatever\r\n\r\n",
    "100-unasked": b"HTTP/1.1 100 Continue\r\n\r\n", "several": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
}.items():  # fmt: skip
    whole(f"interim-{name}", "RFC 9110 §15.2", "Interim responses are passed on or dropped; the final response is the answer.", data + H + b"Content-Length: 5\r\n\r\nhello")


@theme.case("interim-1-0", "RFC 9110 §15.2", "Interim responses are never sent to an HTTP/1.0 client.")
def _(t):
    t.origin.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    seen = t.exchange(b"GET /p HTTP/1.0\r\nHost: h.test\r\n\r\n")
    t.check(seen.status == 200 and not seen.first.interim, f"answered {seen}")


@theme.case("interim-with-length", "RFC 9112 §6.3", "An interim response has no body, whatever it says.")
def _(t):
    client, response = one(t, b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + H + b"Content-Length: 5\r\n\r\nhello")
    t.check(response is None or response.status >= 500 or response.body == b"hello", f"the client saw {response.body if response else ''!r}")
    queue_is_clean(t, client)


@theme.case("interim-flood", "RFC 9110 §15.2", "Interim responses without end do not keep a request for ever.", takes=6)
def _(t):
    def behave(connection):
        if connection.request() is None:
            return
        for _ in range(200_000):
            if not connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa>\r\n\r\n" * 10, wait=2.0):
                return

    t.origin.behave(behave)
    client = t.client()
    client.send(GET)
    response = client.response(wait=10.0)
    t.note(f"{response.status if response else 'no response'}, {client.ended or 'open'}")
    t.check(response is not None or client.ended, "still waiting after 10 s")
    t.check(response is None or response.status >= 500, f"answered {response.status if response else 0}")


@theme.case("101-unasked", "RFC 9110 §15.2.2", "101 that nobody asked for makes no tunnel.")
def _(t):
    client, response = one(t, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\nConnection: upgrade\r\n\r\n" + POISON)
    t.check(response is None or response.status >= 500, f"answered {response.status if response else 0}")
    queue_is_clean(t, client)


# --- heads ---------------------------------------------------------------------------------------------------------------------------

refuse("garbage", "RFC 9112 §4", "What is no HTTP is not passed on as a response.", b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "close")
refuse("garbage-binary", "RFC 9112 §4", "What is no HTTP is not passed on as a response.", bytes(range(256)), "close")
for name, line in {
    "status-letters": b"HTTP/1.1 2x0 OK", "status-two-digits": b"HTTP/1.1 20 OK", "status-four-digits": b"HTTP/1.1 2000 OK", "status-099": b"HTTP/1.1 099 Low",
    "status-none": b"HTTP/1.1  OK", "version-2": b"HTTP/2 200 OK", "version-lower-case": b"http/1.1 200 OK", "version-icy": b"ICY 200 OK", "status-minus": b"HTTP/1.1 -200 OK",
}.items():  # fmt: skip
    refuse(name, "RFC 9112 §4", "A malformed status line is not passed on: 502.", line + b"\r\nContent-Length: 5\r\n\r\nhello")
whole("status-no-reason", "RFC 9112 §4", "The reason phrase may be empty.", b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello")
whole("status-no-reason-no-space", "RFC 9112 §4", "A status line without the last space is read, or 502.", b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", lenient=True)
whole("status-unknown", "RFC 9110 §15", "A status that is not known is passed on.", b"HTTP/1.1 299 Odd\r\nContent-Length: 5\r\n\r\nhello", status=299)
whole("fold", "RFC 9112 §5.2", "A folded line is replaced by blanks before it is passed on, or 502.", H + b"X-A: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", lenient=True)
whole("fold-length", "RFC 9112 §5.2", "A folded line is replaced by blanks before it is passed on, or 502.", H + b"Content-Length:\r\n 5\r\n\r\nhello", lenient=True)
whole("name-trailing-blank", "RFC 9112 §5.1", "Blanks between a name and its colon are removed before it is passed on, or 502.",
    H + b"X-A : a\r\nContent-Length: 5\r\n\r\nhello", lenient=True)
CLEAN = "What is no field line is dropped, or 502; it is never passed on."
for name, line in {
    "field-no-colon": b"hello there", "field-empty-name": b": x", "field-space-in-name": b"X Y: z", "field-nul": b"X: a\x00b", "field-cr": b"X: a\rb: c", "field-obs-name": b"X\xe9: a",
}.items():  # fmt: skip
    whole(name, "RFC 9112 §5", CLEAN, H + line + b"\r\nContent-Length: 5\r\n\r\nhello", lenient=True)
whole("lf-only", "RFC 9112 §2.2", "Bare LF as line ends are read and not passed on, or 502.", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", lenient=True)
whole("leading-empty-line", "RFC 9112 §2.2", "An empty line before a response is skipped, or 502.", b"\r\n" + H + b"Content-Length: 5\r\n\r\nhello", lenient=True)
whole("value-obs-text", "RFC 9110 §5.5", "Bytes above 127 in a value are passed on.", H + b"X: \xe9\xff\r\nContent-Length: 5\r\n\r\nhello")
whole("many-fields", "RFC 9110 §5.4", "Two hundred fields are passed on, or 502.", H + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"Content-Length: 5\r\n\r\nhello", lenient=True)
refuse("head-of-10-mib", "RFC 9110 §5.4", "A head above every limit gets the client 502.", H + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(10_000)) + b"\r\n")
