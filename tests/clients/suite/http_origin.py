"""An HTTP/1.1 origin. What a path does is said where it is done; whatever else is asked for is a 404."""

import asyncio
import hashlib
import json
import threading
from urllib.parse import parse_qs, urlsplit

TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Request:
    def __init__(self, method, target, fields, reader):
        self.method, self.fields, self.reader = method, fields, reader
        split = urlsplit(target)
        self.path, self.query = split.path, {name: values[-1] for name, values in parse_qs(split.query).items()}
        self.trailers = []
        self.unread = self.get("content-length", "0") != "0" or self.get("transfer-encoding") is not None

    def get(self, name, default=None):
        return next((value for key, value in self.fields if key == name), default)

    async def body(self):
        """The body in pieces, and the trailers after it."""
        self.unread = False
        if self.get("transfer-encoding"):
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readline()
            while line := (await self.reader.readline()).strip():
                name, _, value = line.decode("latin-1").partition(":")
                self.trailers.append([name.lower(), value.strip()])
            return
        left = int(self.get("content-length", "0"))
        while left:
            piece = await self.reader.read(min(left, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece


class HttpOrigin:
    """One server; `label` is its X-Backend."""

    def __init__(self, loop, label, folder):
        self.label, self.folder = label, folder
        self._acknowledged = {}
        self._held = {}
        self._lock = threading.Lock()
        self._server = loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20, backlog=1024))
        self.port = self._server.sockets[0].getsockname()[1]

    # --- what checks may ask and do

    def acknowledge(self, stream):
        """Lets the stream of events send its next one."""
        with self._lock:
            self._acknowledged[stream] = self._acknowledged.get(stream, 0) + 1

    def held(self, name):
        """What is known of a request to /hold: `open`, `gone`, or None when it has not come."""
        with self._lock:
            return self._held.get(name)

    # --- the server

    async def _serve(self, reader, writer):
        try:
            while (request := await self._head(reader)) is not None:
                await self._answer(request, writer)
                if request.unread:
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            writer.close()

    async def _head(self, reader):
        line = await reader.readline()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        fields = []
        while field := (await reader.readline()).strip():
            name, _, value = field.decode("latin-1").partition(":")
            fields.append((name.lower(), value.strip()))
        return Request(method, target, fields, reader)

    async def _answer(self, request, writer):
        first = request.path.removeprefix("/split").split("/")[1:2] or [""]
        action = getattr(self, f"_get_{first[0]}", None)
        if action is None:
            return await self._send(request, writer, b"no such path\n", 404)
        await action(request, writer)

    async def _send(self, request, writer, body, status=200, kind="text/plain"):
        if request.unread:
            async for _ in request.body():
                pass
        self._begin(writer, status, f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n")
        if request.method != "HEAD":
            writer.write(body)
        await writer.drain()

    def _begin(self, writer, status, fields):
        head = f"HTTP/1.1 {status} Status\r\nX-Backend: {self.label}\r\nCache-Control: no-store\r\n{fields}\r\n"
        writer.write(head.encode())

    async def _chunk(self, writer, data):
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()

    async def _get_hello(self, request, writer):
        """A few bytes."""
        await self._send(request, writer, f"hello from {self.label}\n".encode())

    async def _get_bytes(self, request, writer):
        """/bytes/N: as many bytes, with a length."""
        left = int(request.path.rsplit("/", 1)[1])
        self._begin(writer, 200, f"Content-Type: application/octet-stream\r\nContent-Length: {left}\r\n")
        piece = bytes(range(256)) * 256
        while left:
            writer.write(piece[:left])
            left -= min(left, len(piece))
            await writer.drain()

    async def _get_head(self, request, writer):
        """The request's fields as JSON."""
        about = {"method": request.method, "path": request.path, "fields": request.fields}
        await self._send(request, writer, json.dumps(about).encode(), kind="application/json")

    async def _get_upload(self, request, writer):
        """How much came, its hash, and the trailers behind it."""
        if request.get("expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length, digest = 0, hashlib.sha256()
        async for piece in request.body():
            length += len(piece)
            digest.update(piece)
        about = {"length": length, "sha256": digest.hexdigest(), "trailers": request.trailers, "fields": request.fields}
        await self._send(request, writer, json.dumps(about).encode(), kind="application/json")

    async def _get_echo(self, request, writer):
        """The request's body, piece by piece as it comes."""
        self._begin(writer, 200, "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n")
        await writer.drain()
        async for piece in request.body():
            await self._chunk(writer, piece)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _get_trailers(self, request, writer):
        """A chunked body with trailers."""
        self._begin(writer, 200, "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n")
        await self._chunk(writer, b"before the trailers\n")
        writer.write(b"0\r\nX-Sum: 20\r\nX-Status: fine\r\n\r\n")
        await writer.drain()

    async def _get_events(self, request, writer):
        """/events?stream=S&count=N: the next event is sent when the one before was acknowledged: whoever buffers gets none."""
        stream, count = request.query["stream"], int(request.query.get("count", "5"))
        self._begin(writer, 200, "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n")
        for number in range(count):
            while self._acknowledged.get(stream, 0) < number:
                await asyncio.sleep(0.01)
            await self._chunk(writer, f"id: {number}\ndata: {asyncio.get_running_loop().time()}\n\n".encode())
        while self._acknowledged.get(stream, 0) < count:
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _get_acknowledge(self, request, writer):
        """The same as acknowledge(), for clients that run elsewhere."""
        self.acknowledge(request.query["stream"])
        await self._send(request, writer, b"")

    async def _get_hold(self, request, writer):
        """/hold/NAME: never answers, and sees when the client is gone."""
        name = request.path.rsplit("/", 1)[1]
        with self._lock:
            self._held[name] = "open"
        try:
            await request.reader.read(1)
        finally:
            with self._lock:
                self._held[name] = "gone"

    async def _get_page(self, request, writer):
        """/page/FILE: what the browser loads."""
        path = self.folder / request.path.rsplit("/", 1)[1]
        if not path.is_file():
            return await self._send(request, writer, b"no such page\n", 404)
        await self._send(request, writer, path.read_bytes(), kind=TYPES.get(path.suffix, "text/plain"))
