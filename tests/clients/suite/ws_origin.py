"""A WebSocket origin: says back what it hears, except for a few words that are commands.

    who          its label
    close N R    closes with code N and reason R
    ping         sends a ping, and says `ponged` when it was answered
    headers      the fields of the handshake, as JSON
"""

import asyncio
import json
import threading

import websockets
from websockets.asyncio.server import serve


class WsOrigin:
    def __init__(self, loop, label):
        self.label = label
        self._lock = threading.Lock()
        self._closed = {}
        self._server = loop.run(self._start())
        self.port = self._server.sockets[0].getsockname()[1]

    def closed(self, path):
        """The code and reason that a client closed with on this path; None before that."""
        with self._lock:
            return self._closed.get(path)

    async def _start(self):
        return await serve(
            self._talk, "127.0.0.1", 0, max_size=1 << 25, ping_interval=None, compression="deflate", close_timeout=5
        )

    async def _talk(self, socket):
        try:
            async for message in socket:
                await self._hear(socket, message)
        except websockets.ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._closed[socket.request.path] = (socket.close_code, socket.close_reason)

    async def _hear(self, socket, message):
        words = message.split(" ", 2) if isinstance(message, str) else [None]
        match words[0]:
            case "who":
                await socket.send(self.label)
            case "close":
                await socket.close(int(words[1]), words[2] if len(words) > 2 else "")
            case "ping":
                await asyncio.wait_for(await socket.ping(b"are you there"), 10)
                await socket.send("ponged")
            case "headers":
                await socket.send(json.dumps(list(socket.request.headers.raw_items())))
            case _:
                await socket.send(message)
