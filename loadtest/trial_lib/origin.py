#!/usr/bin/env python3
"""An origin that behaves as it is told: streams, uploads, WebSockets; and, for the fault campaign, badly.

    origin.py PORT [MODE_FILE [FOLDER]]     in TLS, with the certificate of FOLDER

GET /s/events?n=20&ms=50 sends events, GET /s/chunks?n=.. chunks without pauses, POST /s/upload answers with the count of bytes,
/s/ws is a WebSocket that echoes, everything else is answered with 128 bytes. The word in MODE_FILE, read again for each request,
says how to misbehave: `ok`, `hang`, `slow`, `die` (within the body), `garbage`, `error`, `close` (without an answer).
"""

import asyncio
import base64
import hashlib
import ssl
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from trial_lib.wire import frame, read_frame  # noqa: E402

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BODY = b"x" * 128


class Origin:
    def __init__(self, mode_file):
        self._mode_file = mode_file

    def mode(self):
        return self._mode_file.read_text().strip() if self._mode_file else "ok"

    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            writer.close()

    async def one(self, reader, writer):
        """One request; whether the connection lives on."""
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = {name.lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
        url = urlsplit(target)
        query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
        if url.path == "/s/ws":
            return await echo(reader, writer, fields)
        received = await drain_body(reader, fields)
        mode = self.mode()
        if mode == "slow":
            await asyncio.sleep(0.3)
        elif mode != "ok" and url.path != "/healthz":
            return await misbehave(mode, writer)
        if url.path in ("/s/events", "/s/chunks"):
            await stream(writer, query.get("n", 20), query.get("ms", 0 if url.path == "/s/chunks" else 50))
            return True
        body = str(received).encode() if method == "POST" else BODY
        await answer(writer, body)
        return True


async def answer(writer, body, status="200 OK"):
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


async def drain_body(reader, fields):
    """Reads a request's body; how many bytes it had."""
    if fields.get("transfer-encoding") != "chunked":
        left = total = int(fields.get("content-length", 0))
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
        return total
    total = 0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
        total += size
    await reader.readuntil(b"\r\n")
    return total


async def stream(writer, count, pause_ms):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(count):
        event = f"id: {number}\ndata: {'e' * (number * 37 % 900)}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(pause_ms / 1000)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def echo(reader, writer, fields):
    accept = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + GUID).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        opcode, payload = await read_frame(reader)
        writer.write(frame(payload, opcode, mask=False))
        await writer.drain()
        if opcode == 8:
            return False


async def misbehave(mode, writer):
    """Whether the connection lives on after it."""
    if mode == "hang":
        await asyncio.sleep(3600)
    if mode == "error":
        await answer(writer, b"broken\n", "500 Internal Server Error")
        return True
    if mode == "die":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        await writer.drain()
    if mode == "garbage":
        writer.write(b"\x00\xff\x16garbage, and no HTTP\r\n\r\n" * 20)
        await writer.drain()
    return False


async def main():
    mode_file = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    tls = None
    if len(sys.argv) > 3:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(Path(sys.argv[3]) / "certificate.pem", Path(sys.argv[3]) / "key.pem")
    server = await asyncio.start_server(Origin(mode_file).serve, "127.0.0.1", int(sys.argv[1]), backlog=1024, ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
