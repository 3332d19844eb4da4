"""websockets: RFC 6455 over HTTP/1.1, in the clear and in TLS."""

import asyncio
import json
import os
import socket as sockets
import time
from contextlib import contextmanager

import websockets
from websockets.asyncio.client import connect

from suite.check import Failed, check, demand, equal

WAYS = ("clear", "tls")


class Socket:
    """A client's end. It lives on the loop of the clients: in TLS, the library's blocking client is not safe on this Python."""

    def __init__(self, loop, connection):
        self._loop, self._connection = loop, connection
        self.response = connection.response

    def send(self, message):
        self._loop.run(self._connection.send(message))

    def recv(self, timeout=10):
        return self._loop.run(asyncio.wait_for(self._connection.recv(), timeout), timeout + 1)

    def ping(self):
        """Sends a ping and waits for its answer."""

        async def ping():
            await asyncio.wait_for(await self._connection.ping(b"are you there"), 10)

        self._loop.run(ping())

    def close(self, code=1000, reason=""):
        self._loop.run(self._connection.close(code, reason))

    def vanish(self):
        """Closes the TCP connection without a word."""
        self._loop.call(self._connection.transport.abort)


@contextmanager
def socket(stand, port, path="/ws", weir=None, **more):
    weir = weir or stand.weir
    scheme, context = ("ws", None) if port == "clear" else ("wss", stand.certs.context("http/1.1"))
    url = f"{scheme}://localhost:{weir.ports[port]}{path}"

    async def open_it():
        limits = {"open_timeout": 10, "close_timeout": 5, "max_size": 1 << 25, "ping_interval": None, "proxy": None}
        return await connect(url, ssl=context, **limits, **more)

    opened = Socket(stand.client_loop, stand.client_loop.run(open_it()))
    try:
        yield opened
    finally:
        opened.close()


def on_both_ways(name, seconds=20):
    def declare(body):
        for port in WAYS:

            @check(f"websocket: {name}, {'ws' if port == 'clear' else 'wss'}", seconds)
            def _(stand, port=port):
                body(stand, port)

        return body

    return declare


@on_both_ways("text and binary messages come back")
def _(stand, port):
    with socket(stand, port) as opened:
        for message in ("hello", "", "ünïcödé ✓ " * 100, b"\x00\xff" * 500, b"", "x" * 65_536):
            opened.send(message)
            equal(opened.recv(timeout=10), message, "message")


@on_both_ways("a thousand messages in order")
def _(stand, port):
    with socket(stand, port) as opened:
        for number in range(1000):
            opened.send(str(number))
        equal([opened.recv(timeout=10) for _ in range(1000)], [str(number) for number in range(1000)], "messages")


@on_both_ways("frames of 10 MB both ways", seconds=40)
def _(stand, port):
    message = os.urandom(10_000_000)
    with socket(stand, port, compression=None) as opened:
        opened.send(message)
        demand(opened.recv(timeout=30) == message, "it came back different")


@on_both_ways("fragmented messages, and compression as it was agreed")
def _(stand, port):
    with socket(stand, port) as opened:
        opened.send([f"piece {number} " for number in range(50)])
        equal(opened.recv(timeout=10), "".join(f"piece {number} " for number in range(50)), "message")
        demand("permessage-deflate" in opened.response.headers.get("Sec-WebSocket-Extensions", ""), "no compression")


@on_both_ways("pings both ways")
def _(stand, port):
    with socket(stand, port) as opened:
        opened.ping()
        opened.send("ping")
        equal(opened.recv(timeout=10), "ponged", "what the origin says of its own ping")


@on_both_ways("the origin's close code and reason reach the client")
def _(stand, port):
    for code, reason in ((1000, ""), (1001, "going"), (1011, "broken"), (4321, "my own reason")):
        with socket(stand, port) as opened:
            opened.send(f"close {code} {reason}")
            try:
                opened.recv(timeout=10)
                raise Failed("a message came")
            except websockets.ConnectionClosed as closed:
                equal((closed.rcvd.code, closed.rcvd.reason), (code, reason), "close code and reason")


@on_both_ways("the client's close code and reason reach the origin")
def _(stand, port):
    path = f"/ws/client-closes-{port}"
    with socket(stand, port, path) as opened:
        opened.send("who")
        opened.recv(timeout=10)
        opened.close(4999, "enough")
    seen = wait_for(lambda: stand.sockets.closed(path) or stand.sockets_canary.closed(path), "the origin sees no end")
    equal(seen, (4999, "enough"), "close code and reason")


@on_both_ways("a client that just goes is seen by the origin")
def _(stand, port):
    path = f"/ws/client-goes-{port}"
    with socket(stand, port, path) as opened:
        opened.send("who")
        opened.recv(timeout=10)
        opened.vanish()
    seen = wait_for(lambda: stand.sockets.closed(path) or stand.sockets_canary.closed(path), "the origin sees no end")
    equal(seen[0], 1006, "close code")


def wait_for(probe, otherwise, seconds=5.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.02)
    raise Failed(otherwise)


@on_both_ways("the assignment cookie keeps a user on one backend")
def _(stand, port):
    seen = set()
    for _ in range(16):
        with socket(stand, port) as opened:
            opened.send("who")
            label = opened.recv(timeout=10)
            cookie = opened.response.headers["Set-Cookie"].split(";")[0]
        for _ in range(3):
            with socket(stand, port, additional_headers={"Cookie": cookie}) as opened:
                opened.send("who")
                equal(opened.recv(timeout=10), label, "backend of the same user")
        seen.add(label)
    # All 16 draws of one backend come once in 32,768 times.
    equal(seen, {"stable", "canary"}, "backends of all users")


@on_both_ways("subprotocol, Origin and forwarding fields reach the origin")
def _(stand, port):
    with socket(stand, port, origin="https://shop.test") as opened:
        opened.send("headers")
        fields = {name.lower(): value for name, value in json.loads(opened.recv(timeout=10))}
    equal(fields.get("origin"), "https://shop.test", "Origin")
    equal(fields.get("x-forwarded-proto"), "http" if port == "clear" else "https", "X-Forwarded-Proto")
    equal(fields.get("x-forwarded-for"), "127.0.0.1", "X-Forwarded-For")


@check("websocket: an endpoint that does not switch is answered as it says")
def _(stand):
    try:
        with socket(stand, "clear", "/hello"):
            raise Failed("it switched")
    except websockets.InvalidStatus as refused:
        equal(refused.response.status_code, 200, "status")


@check("websocket: a drain lets connections go on, and ends them when its time is over", seconds=30)
def _(stand):
    weir = stand.another(drain="3s")
    with socket(stand, "clear", weir=weir) as opened:
        opened.send("before")
        equal(opened.recv(timeout=5), "before", "message")
        began = time.monotonic()
        weir.terminate()
        wait_for(lambda: not accepts(weir), "the listener still accepts")
        talked = 0
        try:
            while True:
                opened.send("during")
                equal(opened.recv(timeout=5), "during", "message")
                talked += 1
                time.sleep(0.05)
        except websockets.ConnectionClosed:
            lasted = time.monotonic() - began
    demand(2.5 < lasted < 6, f"the connection ended after {lasted:.1f} s, and not after drain.timeout")
    demand(talked > 5, f"only {talked} messages meanwhile")
    weir.ended(10)


@check("websocket: a drain ends as soon as the last connection is closed", seconds=30)
def _(stand):
    weir = stand.another(drain="20s")
    began = time.monotonic()
    with socket(stand, "tls", weir=weir) as opened:
        opened.send("before")
        opened.recv(timeout=5)
        weir.terminate()
        wait_for(lambda: not accepts(weir), "the listener still accepts")
        opened.send("during")
        equal(opened.recv(timeout=5), "during", "message")
    equal(weir.ended(10), 0, "exit code")
    demand(time.monotonic() - began < 12, "it waited for nobody")


def accepts(weir):
    try:
        sockets.create_connection(("127.0.0.1", weir.ports["clear"]), timeout=1).close()
        return True
    except OSError:
        return False
