"""The parts of the reload storm: a probe that sees when a weight is in force, and connections that witness every drop.

Nothing here reconnects by itself: a connection that closes is an error, and that is the point.
"""

import http.client
import os
import threading
import time
from pathlib import Path


class Dropped(Exception):
    """A keep-alive connection ended, or was announced to end, though no one asked for it."""


class Held:
    """One keep-alive connection that may never close."""

    def __init__(self, port):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        self._connection.connect()
        self._connection.auto_open = 0

    def backend(self, path, user):
        """Asks once, and returns the backend that answered. Raises Dropped, or RuntimeError on any status but 200."""
        try:
            self._connection.request("GET", path, headers={"X-User-Id": user})
            answer = self._connection.getresponse()
            answer.read()
        except (http.client.HTTPException, OSError) as lost:
            raise Dropped(f"connection lost: {lost!r}") from None
        if answer.status != 200:
            raise RuntimeError(f"{path}: status {answer.status}")
        if (answer.getheader("Connection") or "").lower() == "close":
            raise Dropped("connection announced to close")
        return answer.getheader("X-Backend")

    def close(self):
        self._connection.close()


class Probe:
    """Watches one route over several connections, so that more than one worker is asked."""

    CONNECTIONS = 4

    def __init__(self, port, path):
        self._path = path
        self._held = [Held(port) for _ in range(self.CONNECTIONS)]

    def seen(self):
        """The backends that the connections get now."""
        return {held.backend(self._path, "probe") for held in self._held}

    def until(self, wanted, since, patience=5.0):
        """Seconds from `since` until every connection got `wanted`. Raises RuntimeError when it takes too long or flaps back."""
        deadline = since + patience
        while self.seen() != {wanted}:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._path}: {wanted} not in force after {patience:.0f} s")
        took = time.monotonic() - since
        if self.seen() != {wanted}:
            raise RuntimeError(f"{self._path}: went back from {wanted} after it was in force")
        return took


class Witnesses:
    """A thread that keeps using its own connections during the storm, and remembers what went wrong with them."""

    def __init__(self, port, count=24):
        self.requests, self.failed, self.dropped, self.messages = 0, 0, 0, []
        self._held = [Held(port) for _ in range(count)]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ending.is_set():
            for number, held in enumerate(list(self._held)):
                try:
                    held.backend("/128", f"witness-{number}")
                    self.requests += 1
                except Dropped as drop:
                    self.dropped += 1
                    self.messages.append(str(drop))
                    self._held.remove(held)
                except RuntimeError as failure:
                    self.failed += 1
                    self.messages.append(str(failure))
            self._ending.wait(0.01)

    def finish(self):
        self._ending.set()
        self._thread.join(10)
        for held in self._held:
            held.close()


def sockets_of(pid):
    """The sockets that a process holds, by inode: a load generator that had to reconnect holds others than before."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            at = os.readlink(entry)
        except OSError:
            continue
        if at.startswith("socket:"):
            found.add(at)
    return found
