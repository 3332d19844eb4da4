"""When the proxy asks again (RFC 9110, section 9.2.2): never what may have been done already, and never without end."""

from suite.case import Theme
from suite.origin import OK, reply

theme = Theme("retries", "Retries")

IDEMPOTENT = "RFC 9110 §9.2.2"
REUSE = "RFC 9112 §9.3.1, RFC 9110 §9.2.2"


def stale(t, method, body=b"", close="close", then=OK):
    """Uses a connection to the origin once; on the second request on it the origin reads everything and ends it unanswered.
    The answer to that request, and how often the origin saw it."""

    def behave(connection):
        if connection.request() is None:
            return
        connection.send(OK)
        if len(t.origin.connections) == 1 and connection.request() is not None:
            return connection.close() if close == "close" else connection.reset()
        while connection.request() is not None:
            connection.send(then)

    t.origin.behave(behave)
    client = t.client()
    first = client.ask(b"GET /first HTTP/1.1\r\nHost: h.test\r\n\r\n")
    t.check(first is not None and first.status == 200, "the first request was not answered")
    framing = b"Content-Length: %d\r\n" % len(body) if body else b""
    response = client.ask(method + b" /again HTTP/1.1\r\nHost: h.test\r\n" + framing + b"\r\n" + body, method.decode())
    seen = [request for request in t.origin.requests if request.target == b"/again"]
    t.note(f"{response.status if response else 'closed'}, seen {len(seen)} times")
    return response, seen


for method, idempotent in [(b"GET", True), (b"HEAD", True), (b"PUT", True), (b"DELETE", True), (b"OPTIONS", True), (b"POST", False), (b"PATCH", False), (b"FROB", False)]:

    def _(t, method=method, idempotent=idempotent):
        response, seen = stale(t, method, b"" if method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE") else b"hello")
        most = 4 if idempotent else 1
        t.check(len(seen) <= most, f"the origin saw it {len(seen)} times")
        refused = not seen and response is not None and response.status >= 400
        t.check(refused or response is None or response.status == 200 and idempotent and len(seen) > 1 or response.status >= 500, f"answered {response.status if response else 0}")

    can = "may be asked again, a few times at most" if idempotent else "is never asked twice"
    theme.add(f"reused-{method.decode().lower()}", REUSE, f"{method.decode()} on a reused connection that ends without an answer {can}.", _)


@theme.case("reused-post-reset", REUSE, "A POST that the origin may have seen is never asked twice, after a reset either.")
def _(t):
    response, seen = stale(t, b"POST", b"hello", "reset")
    t.check(len(seen) == 1, f"the origin saw it {len(seen)} times")
    t.check(response is None or response.status >= 500, f"answered {response.status if response else 0}")


@theme.case("idle-closed", "RFC 9112 §9.3.1", "A POST after the origin has closed the idle connection is served, once, or refused: it is not lost.")
def _(t):
    def behave(connection):
        if connection.request() is not None:
            connection.send(OK)
            connection.close()

    t.origin.behave(behave)
    client = t.client()
    t.check(client.ask(b"GET /first HTTP/1.1\r\nHost: h.test\r\n\r\n") is not None, "the first request was not answered")
    t.origin.wait(lambda _: False, 0.1)
    response = client.ask(b"POST /again HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello")
    seen = [request for request in t.origin.requests if request.target == b"/again"]
    t.check(response is not None and response.status == 200 and len(seen) == 1, f"answered {response.status if response else 'nothing'}, seen {len(seen)} times")


def fresh(t, method, body=b""):
    """The origin reads a request on a new connection and ends it unanswered, every time."""
    t.origin.behave(lambda connection: connection.close() if connection.request() else None)
    framing = b"Content-Length: %d\r\n" % len(body) if body else b""
    client = t.client()
    response = client.ask(method + b" /p HTTP/1.1\r\nHost: h.test\r\n" + framing + b"\r\n" + body)
    seen = len(t.origin.requests)
    t.note(f"{response.status if response else 'closed'}, seen {seen} times")
    t.check(response is None or response.status >= 500, f"answered {response.status if response else 0}")
    return seen


@theme.case("fresh-get", IDEMPOTENT, "A GET that ends without an answer again and again comes to an end.")
def _(t):
    t.check(fresh(t, b"GET") <= 5, "asked without end")


@theme.case("fresh-post", IDEMPOTENT, "A POST that ends without an answer is never asked twice.")
def _(t):
    t.check(fresh(t, b"POST", b"hello") == 1, "asked twice")


def partial(t, method, first):
    """The origin begins an answer and ends it; what the client saw."""

    def behave(connection):
        if connection.request() is None:
            return
        if len(t.origin.requests) == 1:
            connection.send(first)
            return connection.close()
        connection.send(reply(body=b"second"))

    t.origin.behave(behave)
    client = t.client()
    client.send(method + b" /p HTTP/1.1\r\nHost: h.test\r\n\r\n")
    response = client.response()
    t.note(f"{response.status if response else 'closed'}, seen {len(t.origin.requests)} times")
    return client, response


@theme.case("partial-body", IDEMPOTENT, "After the first byte of an answer nothing is asked again.")
def _(t):
    client, response = partial(t, b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
    t.check(response is None or response.status >= 500 or not response.complete, "a broken response was shown as whole")
    t.check(b"second" not in client.data, "two answers in one")
    t.check(len(t.origin.requests) == 1 or response is None or response.status >= 500, "asked again after the answer had begun")


@theme.case("partial-head", IDEMPOTENT, "A GET whose answer ends in its head may be asked again, or is answered with an error.")
def _(t):
    client, response = partial(t, b"GET", b"HTTP/1.1 200 OK\r\nX: ")
    t.check(response is None or response.status >= 500 or response.body == b"second", "another answer")
    t.check(len(t.origin.requests) <= 4, "asked without end")


@theme.case("partial-head-post", IDEMPOTENT, "A POST whose answer ends in its head is never asked twice.")
def _(t):
    client, response = partial(t, b"POST", b"HTTP/1.1 200 OK\r\nX: ")
    t.check(len(t.origin.requests) == 1 and (response is None or response.status >= 500), f"the origin saw it {len(t.origin.requests)} times")


@theme.case("after-100", IDEMPOTENT, "A POST to which the origin said 100 is never asked twice.")
def _(t):
    def behave(connection):
        request = connection.request()
        if request is not None:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.close()

    t.origin.behave(behave)
    client = t.client()
    response = client.ask(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello")
    t.check(len(t.origin.requests) == 1 and (response is None or response.status >= 500), f"the origin saw it {len(t.origin.requests)} times")


@theme.case("status-500", IDEMPOTENT, "An answered POST is not asked again, whatever the answer is.")
def _(t):
    t.origin.answer(reply(503, b"no", reason="Service Unavailable"))
    seen = t.exchange(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello")
    t.check(seen.status == 503 and len(t.origin.requests) == 1, f"the origin saw it {len(t.origin.requests)} times")


@theme.case("timeout-post", IDEMPOTENT, "A POST that is not answered in time is not asked again.", takes=4)
def _(t):
    t.origin.behave(lambda connection: connection.wait_end() if connection.request() else None)
    client = t.client()
    response = client.ask(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello")
    t.note(response.status if response else client.ended)
    t.check(len(t.origin.requests) == 1, f"the origin saw it {len(t.origin.requests)} times")
    t.check(response is not None and response.status >= 400 or client.ended, "still waiting")
