"""HTTP/1.1 and WebSocket by hand over asyncio streams: as much as the trials need, and every way to break off."""

import asyncio
import base64
import os
import socket
import ssl
import struct

PATIENCE = 20.0


class Failed(Exception):
    """A client that behaved did not get what it was owed."""


def any_certificate():
    """A TLS context that takes every certificate: the trials swap them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connection:
    """A client's connection. Use `async with`; it is closed in order unless `reset` was called."""

    def __init__(self, port, tls=None, receive_buffer=None):
        self.port, self._tls, self._receive_buffer = port, tls, receive_buffer

    async def __aenter__(self):
        plain = socket.socket()
        plain.setblocking(False)
        if self._receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self.port))
                name = "localhost" if self._tls else None
                self.reader, self.writer = await asyncio.open_connection(sock=plain, ssl=self._tls, server_hostname=name, limit=1 << 16)
        except BaseException:
            plain.close()
            raise
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        try:
            async with asyncio.timeout(1):
                await self.writer.wait_closed()
        except (OSError, TimeoutError, ssl.SSLError):
            pass

    def reset(self):
        """Breaks the connection off, with a reset rather than an orderly end."""
        plain = self.writer.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self):
        """Status and fields (lower case names) of the next response."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if colon:
                fields[name.lower()] = value.strip()
        return int(first.split(" ", 2)[1]), fields

    async def body(self, fields):
        """The whole body that the fields announce."""
        if fields.get("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        if "content-length" in fields:
            return await self.reader.readexactly(int(fields["content-length"]))
        return await self.reader.read(-1)

    async def chunks(self):
        """The chunks of a body, one by one, to its end."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")

    async def ask(self, path, method="GET", extra="", body=b""):
        """One request and its whole response: status, fields, body."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        await self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{extra}\r\n".encode() + body)
        async with asyncio.timeout(PATIENCE):
            status, fields = await self.head()
            return status, fields, await self.body(fields)

    async def upgrade(self, path):
        """Makes it a WebSocket."""
        key = base64.b64encode(os.urandom(16)).decode()
        await self.send(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        status, _ = await self.head()
        if status != 101:
            raise Failed(f"upgrade answered by {status}")


def frame(payload, opcode=1, mask=True):
    """A WebSocket frame (RFC 6455, section 5.2) with a payload below 64 KiB."""
    flag, size = 0x80 if mask else 0, len(payload)
    head = bytes([0x80 | opcode, flag | size]) if size < 126 else bytes([0x80 | opcode, flag | 126]) + struct.pack(">H", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


async def read_frame(reader):
    """Opcode and payload of the next frame."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    key = await reader.readexactly(4) if second & 0x80 else None
    payload = await reader.readexactly(size)
    if key:
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return first & 0x0F, payload
