"""When one end goes away, the other learns it: nobody works for nobody, and nobody takes a part for the whole.

That work ends with its client is no rule of the standard but what keeps an origin alive when many clients give up.
"""

import time

from suite.case import Theme, background
from suite.h2 import request
from suite.origin import reply

theme = Theme("aborts", "Aborts, both ways")

PROXY = "RFC 9110 §7, RFC 9112 §9.5"
GET = b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n"
#: a proxy may give a client that closed its sending side a moment
MOMENT = 5.0


def hanging(connection):
    """Takes a request and waits for the end of the connection."""
    if connection.request() is not None:
        connection.wait_end(7.0)


def ended(t):
    """Whether all connections of the origin ended before the proxy's own timeouts could have done it."""
    return t.origin.wait(lambda origin: origin.connections and all(c.ended for c in origin.connections), MOMENT)


def reached(t):
    t.check(t.origin.wait(lambda origin: origin.requests), "the request did not reach the origin")


@theme.case("client-reset-waiting", PROXY, "When a client resets its connection the origin's work for it ends, before any timeout.")
def _(t):
    t.origin.behave(hanging)
    client = t.client()
    client.send(GET)
    reached(t)
    began = time.monotonic()
    client.reset()
    t.check(ended(t), "the origin still works")
    t.note(f"{time.monotonic() - began:.1f} s")
    t.check(time.monotonic() - began < 1.7, "only a timeout ended the origin's work")


@theme.case("client-close-waiting", PROXY, "When a client closes its connection the origin's work for it ends, before any timeout.")
def _(t):
    t.origin.behave(hanging)
    client = t.client()
    client.send(GET)
    reached(t)
    began = time.monotonic()
    client.close()
    t.check(ended(t), "the origin still works")
    t.note(f"{time.monotonic() - began:.1f} s")
    t.check(time.monotonic() - began < 1.7, "only a timeout ended the origin's work")


def upload(name, head, first, demand):
    def run(t):
        t.origin.behave(lambda connection: t.__setattr__("got", connection.request(7.0)))
        t.got = None
        client = t.client()
        client.send(head + first)
        reached(t)
        client.reset()
        t.check(ended(t), "the origin's connection goes on")
        t.check(not t.origin.complete, "an incomplete body was shown as whole")

    theme.add(name, PROXY, demand, run)


PART = "When a client goes away within a body the origin sees no whole request, and its connection ends."
upload("upload-length", b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5000\r\n\r\n", b"x" * 2000, PART)
upload("upload-chunked", b"POST /p HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", PART)


@theme.case("upload-stalled", PROXY, "A body that stops coming is ended in time; the origin sees no whole request.", takes=3)
def _(t):
    t.origin.behave(lambda connection: connection.request(8.0))
    client = t.client()
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5000\r\n\r\nhello")
    response = client.response()
    t.note(response.status if response else client.ended)
    t.check(response is not None and response.status >= 400 or client.ended, "still waiting")
    t.check(ended(t) and not t.origin.complete, "the origin still waits")


@theme.case("download-reset", PROXY, "When a client goes away within a response the origin's connection ends.")
def _(t):
    def behave(connection):
        if connection.request() is None:
            return
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        block = b"x" * 65536
        while connection.send(block, wait=6.0):
            pass
        connection.ended = "reset"

    t.origin.behave(behave)
    client = t.client()
    client.send(GET)
    client.take(100_000, time.monotonic() + 5.0)
    client.reset()
    t.check(ended(t), "the origin still sends")


@theme.case("origin-closes-while-uploading", PROXY, "When the origin closes while a body goes up the client gets an answer or the connection's end.")
def _(t):
    def behave(connection):
        connection.until(b"\r\n\r\n", time.monotonic() + 4.0)
        connection.take(1000, time.monotonic() + 2.0)
        connection.reset()

    t.origin.behave(behave)
    client = t.client()
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 5000)
    background(client.send, b"x" * 2_995_000, 3.0)
    response = client.response()
    t.note(response.status if response else client.ended)
    t.check(response is not None and response.status >= 500 or response is None and client.ended, "neither an error nor the end")


@theme.case("origin-refuses", "RFC 9110 §15.6.3", "When the origin takes no connection the client gets 502, 503 or 504.")
def _(t):
    def behave(connection):
        connection.reset()

    t.origin.behave(behave)
    client = t.client()
    response = client.ask(GET)
    t.check(response is not None and response.status in (502, 503, 504), f"answered {response.status if response else 'nothing'}")


@theme.case("origin-stalls-in-body", PROXY, "A response that stops coming ends the client's connection in time.", takes=3)
def _(t):
    def behave(connection):
        if connection.request() is not None:
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            connection.wait_end(8.0)

    t.origin.behave(behave)
    client = t.client()
    client.send(GET)
    response = client.response()
    t.check(response is not None and not response.complete and client.ended, "the client still waits, or takes it for whole")


# --- HTTP/2 -------------------------------------------------------------------------------------------------------------------

STREAM = "RFC 9113 §5.4.2, §8.7"
H2 = ("h2c",)


@theme.case("h2-stream-reset", STREAM, "RST_STREAM ends the origin's work for that stream, before any timeout; other streams go on.", needs=H2)
def _(t):
    def behave(connection):
        found = connection.request()
        if found is not None and found.target == b"/hang":
            return connection.wait_end(7.0)
        while found is not None:
            connection.send(reply(body=found.target))
            found = connection.request()

    t.origin.behave(behave)
    client = t.h2()
    client.headers(1, request(path="/hang"))
    reached(t)
    began = time.monotonic()
    client.rst(1)
    hung = t.origin.requests[0].connection
    t.check(t.origin.wait(lambda _: hung.ended, MOMENT) and time.monotonic() - began < 1.7, "the origin still works")
    answer = client.ask(request(path="/next"), stream=3)
    t.check(answer.status == 200 and bytes(answer.body) == b"/next", f"another stream: {client}")


@theme.case("h2-connection-lost", STREAM, "The end of a connection ends the origin's work for all its streams, before any timeout.", needs=H2)
def _(t):
    t.origin.behave(hanging)
    client = t.h2()
    for stream in (1, 3, 5):
        client.headers(stream, request(path="/hang"))
    t.check(t.origin.wait(lambda origin: len(origin.requests) == 3), "the requests did not reach the origin")
    began = time.monotonic()
    client.reset()
    t.check(ended(t) and time.monotonic() - began < 1.7, "the origin still works")


@theme.case("h2-upload-reset", STREAM, "RST_STREAM within a body: the origin sees no whole request.", needs=H2)
def _(t):
    t.origin.behave(lambda connection: connection.request(7.0))
    client = t.h2()
    client.headers(1, request("POST"), end=False)
    client.body(1, b"hello", end=False)
    reached(t)
    client.rst(1)
    t.check(ended(t), "the origin still waits")
    t.check(not t.origin.complete, "an incomplete body was shown as whole")


@theme.case("h2-upload-lost", STREAM, "A connection that ends within a body: the origin sees no whole request.", needs=H2)
def _(t):
    t.origin.behave(lambda connection: connection.request(7.0))
    client = t.h2()
    client.headers(1, request("POST"), end=False)
    client.body(1, b"hello", end=False)
    reached(t)
    client.close()
    t.check(ended(t), "the origin still waits")
    t.check(not t.origin.complete, "an incomplete body was shown as whole")


def truncated(name, data, then):
    def run(t):
        t.origin.answer(data, then=then)
        client = t.h2()
        answer = client.ask(request())
        t.note(client)
        length = answer.get("content-length")
        short = length is not None and int(length) != len(answer.body)
        t.check(answer.status >= 500 or answer.reset is not None or client.over or short, f"a broken response was shown as whole: {client}")

    theme.add(name, "RFC 9113 §8.1.1", "A response that ends early is reset or short of its length, never shown as whole.", run, H2)


truncated("h2-response-cl-truncated", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "close")
truncated("h2-response-te-truncated", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close")
truncated("h2-response-reset", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "reset")
truncated("h2-response-until-close-reset", b"HTTP/1.1 200 OK\r\n\r\nhello", "reset")
