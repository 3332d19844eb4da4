"""The origin behind the proxy: it does what a case tells it, and records every byte it gets.

One listening socket for a whole run; each case begins with fresh connections and an empty record.
"""

import socket
import threading
import time

from .wire import Malformed, Stream, read_request

#: how long a connection of the origin waits for anything
PATIENCE = 8.0
#: requests to this path are the suite's own question whether the proxy is alive
PROBE = b"/alive-"


def reply(status=200, body=b"ok", fields=(), reason="OK", date=True):
    """A response with a Content-Length, as bytes."""
    head = [f"HTTP/1.1 {status} {reason}"]
    if date:
        head.append("Date: Sun, 06 Nov 1994 08:49:37 GMT")
    head += fields
    head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


OK = reply()


class Connection(Stream):
    """One connection that the proxy made."""

    def __init__(self, sock, origin):
        super().__init__(sock)
        self.origin = origin
        #: what was understood of it
        self.requests = []
        #: when it was seen to end
        self.ended_at = None

    def request(self, wait=PATIENCE):
        """The next request of a case; None when the connection ends or is no HTTP."""
        while True:
            found = self._request(wait)
            if found is None or not found.target.startswith(PROBE):
                return found
            self.send(reply(fields=["Connection: close"]))
            self.close()
            return None

    def _request(self, wait):
        def seen(request):
            request.connection = self
            if not request.target.startswith(PROBE):
                self.requests.append(request)

        try:
            return read_request(self, time.monotonic() + wait, seen)
        except Malformed:
            return None

    def fill(self, wait):
        came = super().fill(wait)
        if self.ended and self.ended_at is None:
            self.ended_at = time.monotonic()
            self.origin.changed()
        return came

    def drain(self):
        """Records whatever else comes, until the end."""
        deadline = time.monotonic() + PATIENCE
        while self.more(deadline):
            pass

    def wait_end(self, wait=PATIENCE):
        """Reads until the proxy ends the connection; False when it does not within `wait` seconds."""
        deadline = time.monotonic() + wait
        while self.more(deadline):
            pass
        return self.ended is not None


def serve(*answers, then="keep"):
    """A behaviour: the answers in turn, the last one again and again; `then` keep, close or reset after each connection's
    last answer."""

    def behave(connection):
        for number in range(10_000):
            if connection.request() is None:
                return
            connection.send(answers[min(number, len(answers) - 1)])
            if then != "keep" and number + 1 >= len(answers):
                connection.close() if then == "close" else connection.reset()
                return

    return behave


def echo(connection):
    """Answers with what it got: the body, and how long it was."""
    while (request := connection.request()) is not None:
        connection.send(reply(body=request.body, fields=["X-Complete: yes" if request.complete else "X-Complete: no"]))


class Origin:
    """Listens, and serves each connection by a thread of its own."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.connections = []
        self.behaviour = serve(OK)
        self._every = []
        self._change = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self):
        """A new case: no connection, nothing seen, every request answered 200."""
        self.hang_up()
        self.connections = []
        self.behaviour = serve(OK)

    def behave(self, behaviour):
        """What connections made from now on do."""
        self.behaviour = behaviour

    def answer(self, *answers, then="keep"):
        self.behave(serve(*answers, then=then))

    def hang_up(self):
        """Ends every connection."""
        connections, self._every = self._every, []
        for connection in connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()

    def stop(self):
        self.hang_up()
        self.listener.close()

    def changed(self):
        with self._change:
            self._change.notify_all()

    def wait(self, condition, wait=6.0):
        """Waits until `condition(origin)` holds; False when it does not in time."""
        deadline = time.monotonic() + wait
        while not condition(self):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._change:
                self._change.wait(min(left, 0.02))
        return True

    # --- what it saw -------------------------------------------------------------------------------------------------------

    @property
    def requests(self):
        return [request for connection in self.connections for request in connection.requests]

    @property
    def complete(self):
        """The requests of which all came, and that are HTTP."""
        return [request for request in self.requests if request.complete]

    @property
    def bytes(self):
        """Everything that came, but the suite's own questions."""
        return b"".join(
            bytes(connection.data) for connection in self.connections if PROBE not in connection.data[:64]
        )

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, self)
            self.connections.append(connection)
            self._every.append(connection)
            self.changed()
            threading.Thread(target=self._serve, args=(connection, self.behaviour), daemon=True).start()

    def _serve(self, connection, behaviour):
        try:
            behaviour(connection)
            connection.drain()
        except (OSError, ValueError, Malformed):
            pass
