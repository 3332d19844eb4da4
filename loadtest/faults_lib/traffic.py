"""Clients at a steady rate, and what each of their requests came to."""

import asyncio
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass

from trial_lib.wire import Connection, Failed

PATIENCE = 4.0
BODY = b"y" * 64
#: what an origin of the stand answers to a GET and to a POST of BODY
GOOD = {"GET": b"x" * 128, "POST": b"64"}


@dataclass(frozen=True)
class Request:
    """`outcome`: `ok`, the status, or how the connection failed: `refused`, `reset` (no answer), `cut` (half of one), `silent`."""

    at: float
    lane: str
    method: str
    outcome: str
    ms: float


@dataclass(frozen=True)
class Lane:
    """A kind of client: where it asks, whether it keeps its connection, and over what."""

    name: str
    path: str = "/"
    keep: bool = True
    posts: float = 0.1
    tls: object = None


class Traffic:
    """Four clients to a lane, each some 25 requests per second, until `stop`."""

    CLIENTS, PAUSE = 4, 0.04

    def __init__(self, ports, lanes):
        self._ports, self._lanes = ports, lanes
        self.requests, self._ends, self._tasks = [], asyncio.Event(), []

    def start(self):
        self._tasks = [asyncio.create_task(self._client(lane)) for lane in self._lanes for _ in range(self.CLIENTS)]

    async def stop(self):
        self._ends.set()
        await asyncio.gather(*self._tasks)

    async def _client(self, lane):
        kept = None
        while not self._ends.is_set():
            method = "POST" if random.random() < lane.posts else "GET"
            began = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    outcome, kept = await self._ask(lane, method, kept)
            except TimeoutError:
                outcome, kept = "silent", await close(kept)
            self.requests.append(Request(began, lane.name, method, outcome, (time.monotonic() - began) * 1e3))
            await asyncio.sleep(random.uniform(0.5, 1.5) * self.PAUSE)
        await close(kept)

    async def _ask(self, lane, method, kept):
        """One request; gives what it came to, and the connection to keep. One that was closed between two requests is replaced, as
        every HTTP client does, but a POST only if nothing can have been sent."""
        fresh = kept is None
        if fresh:
            kept = Connection(self._ports["tls" if lane.tls else "plain"], tls=lane.tls)
            try:
                await kept.__aenter__()
            except (OSError, TimeoutError):
                return "refused", None
        elif kept.reader.at_eof():
            await close(kept)
            return await self._ask(lane, method, None)
        begun = False
        try:
            length = f"Content-Length: {len(BODY)}\r\n" if method == "POST" else ""
            user = f"X-User-Id: {random.randrange(10_000)}\r\n"
            ends = "" if lane.keep else "Connection: close\r\n"
            head = f"{method} {lane.path} HTTP/1.1\r\nHost: localhost\r\n{length}{user}{ends}\r\n"
            await kept.send(head.encode() + (BODY if method == "POST" else b""))
            status, fields = await kept.head()
            begun = True
            body = await kept.body(fields)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, Failed, ValueError) as failure:
            nothing = isinstance(failure, asyncio.IncompleteReadError) and not failure.partial or isinstance(failure, ConnectionError)
            await close(kept)
            if not begun and not fresh and nothing and method == "GET":
                return await self._ask(lane, method, None)
            return "cut" if begun else "reset", None
        if not lane.keep or fields.get("connection") == "close":
            kept = await close(kept)
        if status == 200:
            return ("ok" if body == GOOD[method] else "wrong"), kept
        return str(status), kept


async def close(connection):
    if connection is not None:
        connection.writer.transport.abort()


def summary(requests):
    """Counts of outcomes and the spread of the durations of good ones, in milliseconds."""
    good = sorted(request.ms for request in requests if request.outcome == "ok")
    spread = {}
    if len(good) > 1:
        cuts = statistics.quantiles(good, n=100)
        spread = {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1), "max": round(good[-1], 1)}
    return {"requests": len(requests), "outcomes": dict(Counter(request.outcome for request in requests)), **spread}
