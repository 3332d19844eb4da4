"""httpx over HTTP/2, and the library h2 below it for what httpx does not offer."""

import asyncio
import hashlib
import json
import os
import socket
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame

from suite.check import Failed, check, demand, equal


def client(stand, port="tls", **more):
    verify = stand.certs.context()
    return httpx.Client(base_url=base(stand, port), http2=True, http1=port == "tls", verify=verify, timeout=10, trust_env=False, **more)


def base(stand, port):
    return stand.weir.url("", port, "localhost")


@check("httpx: HTTP/2 by ALPN and by prior knowledge")
def _(stand):
    for port in ("tls", "clear"):
        with client(stand, port) as session:
            for _ in range(20):
                answer = session.get("/hello")
                equal((answer.http_version, answer.status_code, answer.text), ("HTTP/2", 200, "hello from stable\n"), port)


@check("httpx: HTTP/1.1 where nothing else is offered")
def _(stand):
    with httpx.Client(base_url=base(stand, "tls"), verify=stand.certs.context(), timeout=10, trust_env=False) as session:
        equal(session.get("/hello").http_version, "HTTP/1.1", "version")


@check("httpx: 200 requests at once over one connection", seconds=25)
def _(stand):
    async def run():
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            base_url=base(stand, "tls"), http2=True, verify=stand.certs.context(), limits=limits, timeout=20, trust_env=False
        ) as session:
            return await asyncio.gather(*(session.get(f"/bytes/{number * 500}") for number in range(200)))

    answers = asyncio.run(run())
    equal([len(answer.content) for answer in answers], [number * 500 for number in range(200)], "lengths")
    equal({answer.http_version for answer in answers}, {"HTTP/2"}, "versions")


@check("httpx: an upload without a length, and a download, as streams")
def _(stand):
    pieces = [os.urandom(40_000) for _ in range(50)]
    wanted = hashlib.sha256(b"".join(pieces)).hexdigest()
    for port in ("tls", "clear"):
        with client(stand, port) as session:
            about = session.post("/upload", content=iter(pieces)).json()
            equal((about["length"], about["sha256"]), (2_000_000, wanted), f"{port}: upload")
            seen = hashlib.sha256()
            with session.stream("POST", "/echo", content=iter(pieces)) as answer:
                for piece in answer.iter_raw():
                    seen.update(piece)
            equal(seen.hexdigest(), wanted, f"{port}: what came back")


@check("httpx: events come one by one")
def _(stand):
    for port in ("tls", "clear"):
        seen, stream = 0, f"httpx-{port}"
        with client(stand, port) as session, session.stream("GET", f"/events?stream={stream}&count=5") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    seen += 1
                    stand.http.acknowledge(stream)
        equal(seen, 5, f"{port}: events")


@check("httpx: cookies in several fields reach the origin as one")
def _(stand):
    with client(stand, cookies={"a": "1", "b": "2"}) as session:
        fields = session.get("/head").json()["fields"]
        equal([value for name, value in fields if name == "cookie"], ["a=1; b=2"], "Cookie")


@check("httpx: Weir's own answers over HTTP/2")
def _(stand):
    with client(stand) as session:
        answer = session.get("/hello", headers={"Host": "nobody.apps.test"})
        equal((answer.status_code, answer.http_version), (502, "HTTP/2"), "status")
        demand("backend" in answer.text, f"it does not say why: {answer.text}")
        equal(session.get("/hello").status_code, 200, "the next request")


class Frames:
    """A connection that is driven by hand, with the library h2."""

    def __init__(self, stand, port="clear", window=None):
        self.socket = socket.create_connection(("127.0.0.1", stand.weir.ports[port]), timeout=10)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        if window is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            )
        self.h2.initiate_connection()
        self.events = []
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, path, method="GET", fields=(), end=True, authority="localhost"):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path), *fields]
        self.h2.send_headers(stream, head, end_stream=end)
        self.flush()
        return stream

    def wait(self, kind, stream=None, seconds=10):
        """The next event of a kind, on a stream if one is named; others are kept."""
        deadline = time.monotonic() + seconds
        while True:
            for event in self.events:
                if isinstance(event, kind) and (stream is None or event.stream_id == stream):
                    self.events.remove(event)
                    return event
            self.read(kind, deadline)

    def read(self, what, deadline):
        self.socket.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise Failed(f"no {what.__name__}; there came {self.events}") from None
        if not data:
            raise Failed(f"the connection ended before a {what.__name__}; there came {self.events}")
        self.events += self.h2.receive_data(data)
        self.flush()

    def body(self, stream, size):
        """So many bytes of a stream, each piece acknowledged."""
        seen = b""
        while len(seen) < size:
            event = self.wait(h2.events.DataReceived, stream)
            seen += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            self.flush()
        return seen


@check("h2: trailers both ways")
def _(stand):
    with Frames(stand) as frames:
        stream = frames.request("/upload", "POST", [("te", "trailers")], end=False)
        frames.h2.send_data(stream, b"12345")
        frames.h2.send_headers(stream, [("x-sum", "5")], end_stream=True)
        frames.flush()
        frames.wait(h2.events.ResponseReceived, stream)
        about = json.loads(frames.wait(h2.events.DataReceived, stream).data)
        equal(about["trailers"], [["x-sum", "5"]], "trailers at the origin")
        stream = frames.request("/trailers")
        trailers = frames.wait(h2.events.TrailersReceived, stream)
        equal(dict(trailers.headers).get("x-sum"), "20", "trailers at the client")


@check("h2: a stream whose window is shut keeps no other waiting")
def _(stand):
    with Frames(stand, window=1000) as frames:
        stuck = frames.request("/bytes/1000000")
        frames.wait(h2.events.ResponseReceived, stuck)
        equal(len(frames.wait(h2.events.DataReceived, stuck).data), 1000, "bytes that came")
        for _ in range(5):
            other = frames.request("/hello")
            equal(frames.wait(h2.events.DataReceived, other).data, b"hello from stable\n", "another stream")
        frames.h2.increment_flow_control_window(1_000_000, stuck)
        frames.flush()
        equal(len(frames.body(stuck, 900_000)) >= 900_000, True, "the rest")


@check("h2: a reset is seen by the origin, and the connection goes on")
def _(stand):
    with Frames(stand) as frames:
        stream = frames.request("/hold/h2-reset")
        wait_until(lambda: stand.http.held("h2-reset") == "open", "the request did not come")
        frames.h2.reset_stream(stream, 8)
        frames.flush()
        wait_until(lambda: stand.http.held("h2-reset") == "gone", "the origin still works")
        other = frames.request("/hello")
        equal(frames.wait(h2.events.DataReceived, other).data, b"hello from stable\n", "the next stream")


def wait_until(probe, otherwise, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(0.02)


@check("h2: a WebSocket over HTTP/2 (RFC 8441), echo and close")
def _(stand):
    with Frames(stand) as frames:
        frames.wait(h2.events.RemoteSettingsChanged)
        equal(frames.h2.remote_settings.enable_connect_protocol, 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL")
        fields = [("sec-websocket-version", "13"), ("origin", "http://localhost")]
        stream = frames.h2.get_next_available_stream_id()
        head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "localhost"), (":path", "/ws"), *fields]
        frames.h2.send_headers(stream, head)
        frames.flush()
        answer = dict(frames.wait(h2.events.ResponseReceived, stream).headers)
        equal(answer[":status"], "200", "status")
        demand("upgrade" not in answer and "sec-websocket-accept" not in answer, f"fields of HTTP/1.1 in {answer}")
        frames.h2.send_data(stream, masked(1, b"over h2"))
        frames.flush()
        equal(frames.body(stream, 9), b"\x81\x07over h2", "the frame that came back")
        frames.h2.send_data(stream, masked(8, (4001).to_bytes(2, "big") + b"bye"))
        frames.flush()
        equal(frames.body(stream, 7), b"\x88\x05" + (4001).to_bytes(2, "big") + b"bye", "the answer to the close")
        frames.wait(h2.events.StreamEnded, stream)


def masked(opcode, payload):
    """A frame of a client (RFC 6455, section 5.2)."""
    key = os.urandom(4)
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


@check("h2: GOAWAY at a drain, and the stream under way finishes", seconds=30)
def _(stand):
    weir = stand.another(drain="20s")
    stand_like = type("Behind", (), {"weir": weir})
    with Frames(stand_like) as frames:
        stream = frames.request("/events?stream=goaway&count=2")
        frames.wait(h2.events.DataReceived, stream)
        weir.terminate()
        # The library takes a GOAWAY for the end, so from here on frames are read without it.
        raw = frames_until(frames.socket, lambda frame: isinstance(frame, GoAwayFrame))
        next(raw)
        stand.http.acknowledge("goaway")
        stand.http.acknowledge("goaway")
        seen = list(raw)
        equal([frame.stream_id for frame in seen if "END_STREAM" in frame.flags], [stream], "streams that ended")
        demand(b"id: 1" in b"".join(frame.data for frame in seen if isinstance(frame, DataFrame)), f"the second event: {seen}")
    equal(weir.ended(10), 0, "exit code")


def frames_until(connection, first):
    """Frames from a connection until its end; those before the first of interest are left out. Pings are answered."""
    connection.settimeout(10)
    unread, begun = b"", False
    while data := connection.recv(65536):
        unread += data
        while len(unread) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(unread[:9]))
            if len(unread) < 9 + length:
                break
            frame.parse_body(memoryview(unread[9 : 9 + length]))
            unread = unread[9 + length :]
            if isinstance(frame, PingFrame) and not frame.flags:
                connection.sendall(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())
            begun = begun or first(frame)
            if begun:
                yield frame
