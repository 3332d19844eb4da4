"""The clients of the soak: those that behave, whose every failure counts, and those that break off in every way."""

import asyncio
import random
import re
import ssl
from collections import Counter

from trial_lib.wire import PATIENCE, Connection, Failed, any_certificate, frame, read_frame

GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ssl.SSLError, Failed, ValueError)


class Crowd:
    """Clients of all manners until `end` is set. `done`, `failed` count by manner; `messages` are the first failures."""

    def __init__(self, weir):
        self._weir = weir
        self._tls = any_certificate()
        self.done, self.failed, self.messages = Counter(), Counter(), []
        self.end = asyncio.Event()

    async def run(self):
        """Every manner has as many clients as stand here, each with a pause between its visits, in seconds."""
        plan = [
            (self.one_each, 4, 0.08), (self.one_each_tls, 2, 0.2), (self.web_socket, 12, 0.2), (self.events, 8, 0.3),
            (self.big_stream, 2, 0.5), (self.upload, 4, 0.3), (self.byte_by_byte, 2, 0.3), (self.slow_reader, 3, 0.5),
            (self.leave_in_head, 2, 0.2), (self.leave_in_upload, 2, 0.2), (self.leave_in_download, 2, 0.2),
            (self.leave_in_stream, 2, 0.2), (self.leave_web_socket, 2, 0.3), (self.leave_in_handshake, 2, 0.3),
        ]  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for visit, clients, pause in plan:
                for _ in range(clients):
                    group.create_task(self._repeat(visit, pause))
            for name, argv in h2load_runs(self._weir):
                group.create_task(self._h2load(name, argv))

    async def _repeat(self, visit, pause):
        while not self.end.is_set():
            name = visit.__name__
            try:
                async with asyncio.timeout(3 * PATIENCE):
                    await visit()
                self.done[name] += 1
            except GONE as failure:
                if name.startswith("leave"):
                    self.done[name] += 1
                else:
                    self._fail(name, repr(failure))
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)

    def _fail(self, name, message, count=1):
        self.failed[name] += count
        if len(self.messages) < 20:
            self.messages.append(f"{name}: {message}")

    async def _h2load(self, name, argv):
        """One run after the other: within a run connections live on, and each run makes new ones."""
        while not self.end.is_set():
            child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
            try:
                said = (await asyncio.wait_for(child.communicate(), 120))[0].decode(errors="replace")
            except (TimeoutError, asyncio.CancelledError):
                child.kill()
                raise
            counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
            if not counts:
                self._fail(name, said[-300:])
                continue
            good, failed, _, _ = map(int, counts.groups())
            self.done[name] += good
            if failed:
                self._fail(name, counts.group(0), failed)

    def _plain(self, **more):
        return Connection(self._weir.port, **more)

    # --- clients that behave ---

    async def one_each(self):
        async with self._plain() as peer:
            expect(await peer.ask("/128", extra="Connection: close\r\n"), 128)

    async def one_each_tls(self):
        async with Connection(self._weir.tls_port, tls=self._tls) as peer:
            expect(await peer.ask("/16k", extra="Connection: close\r\n"), 16384)

    async def web_socket(self):
        async with self._plain() as peer:
            await peer.upgrade("/s/ws")
            for _ in range(random.randint(3, 30)):
                payload = random.randbytes(random.choice((5, 120, 4000)))
                await peer.send(frame(payload, 2))
                if await read_frame(peer.reader) != (2, payload):
                    raise Failed("another echo")
                await asyncio.sleep(0.05)
            await peer.send(frame(b"\x03\xe8", 8))
            if (await read_frame(peer.reader))[0] != 8:
                raise Failed("no close frame")

    async def events(self):
        async with self._plain() as peer:
            count = random.randint(5, 40)
            await peer.send(f"GET /s/events?n={count} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            _, fields = await peer.head()
            seen = b"".join([chunk async for chunk in peer.chunks()]) if "transfer-encoding" in fields else b""
            if seen.count(b"\n\n") != count:
                raise Failed(f"{seen.count(b'id: ')} events of {count}")

    async def big_stream(self):
        async with self._plain() as peer:
            status, _, body = await peer.ask("/s/chunks?n=2000")
            if status != 200 or body.count(b"\n\n") != 2000:
                raise Failed(f"{status} with {body.count(b'id: ')} pieces")

    async def upload(self):
        async with self._plain() as peer:
            pieces = [random.randbytes(random.randint(1, 60_000)) for _ in range(random.randint(1, 20))]
            await peer.send(b"POST /s/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in pieces:
                await peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            await peer.send(b"0\r\n\r\n")
            status, fields = await peer.head()
            counted = await peer.body(fields)
            if status != 200 or int(counted) != sum(map(len, pieces)):
                raise Failed(f"{status}: {counted!r} of {sum(map(len, pieces))}")

    async def byte_by_byte(self):
        async with self._plain() as peer:
            for byte in b"GET /128 HTTP/1.1\r\nHost: localhost\r\n\r\n":
                await peer.send(bytes([byte]))
                await asyncio.sleep(0.01)
            status, fields = await peer.head()
            expect((status, fields, await peer.body(fields)), 128)

    async def slow_reader(self):
        async with self._plain(receive_buffer=8192) as peer:
            await peer.send(b"GET /256k HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _, fields = await peer.head()
            left = int(fields["content-length"])
            while left:
                piece = await peer.reader.read(min(left, 16384))
                if not piece:
                    raise Failed(f"cut off {left} bytes before the end")
                left -= len(piece)
                await asyncio.sleep(0.05)

    # --- clients that break off ---

    async def leave_in_head(self):
        async with self._plain() as peer:
            await peer.send(b"GET /128 HTTP/1.1\r\nHost: loc")
            await self._leave(peer)

    async def leave_in_upload(self):
        async with self._plain() as peer:
            await peer.send(b"POST /s/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + bytes(random.randint(0, 300_000)))
            await self._leave(peer)

    async def leave_in_download(self):
        async with self._plain(receive_buffer=8192) as peer:
            await peer.send(b"GET /256k HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await peer.reader.read(random.choice((1, 1000, 30_000)))
            await self._leave(peer)

    async def leave_in_stream(self):
        async with Connection(self._weir.tls_port, tls=self._tls) as peer:
            await peer.send(b"GET /s/events?n=100 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await peer.head()
            await asyncio.sleep(random.uniform(0, 0.5))
            await self._leave(peer)

    async def leave_web_socket(self):
        async with self._plain() as peer:
            await peer.upgrade("/s/ws")
            await peer.send(frame(b"half a conversation"))
            await self._leave(peer)

    async def leave_in_handshake(self):
        async with Connection(self._weir.tls_port) as peer:
            await peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
            await self._leave(peer)

    async def _leave(self, peer):
        await asyncio.sleep(random.uniform(0, 0.05))
        if random.random() < 0.5:
            peer.reset()


def expect(answer, length):
    status, _, body = answer
    if status != 200 or len(body) != length:
        raise Failed(f"{status} with {len(body)} bytes")


def h2load_runs(weir):
    """Name and command of the loads that keep their connections: some 900 requests per second in all."""
    base = ["h2load", "-D", "10", "-c"]
    plain, tls, h2 = (weir.url_of(door) for door in ("plain", "tls", "h2"))
    return [
        ("h1", [*base, "8", "--rps", "40", "--h1", f"{plain}/128"]),
        ("h1_tls", [*base, "4", "--rps", "40", "--h1", f"{tls}/16k"]),
        ("h2c", [*base, "4", "--rps", "50", "-m", "8", f"{h2}/128"]),
        ("h2_tls", [*base, "4", "--rps", "50", "-m", "8", f"{tls}/128"]),
        ("h2_tls_big", [*base, "2", "--rps", "5", "-m", "4", f"{tls}/256k"]),
        ("h2_tls_upload", [*base, "2", "--rps", "10", "-m", "4", "-d", str(weir.folder / "upload"), f"{tls}/s/upload"]),
    ]
