"""Cases, and what a case has at hand: clients, the origin, and the judgements that most cases end in."""

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Callable

from .client import Client, Seen, connect
from .h2 import H2

#: themes in the order of the table
THEMES = {}


class Wrong(Exception):
    """The proxy did what it must not."""


class Skip(Exception):
    """The proxy has nothing that the case could be tried on."""


@dataclass
class Case:
    theme: str
    name: str
    source: str
    demand: str
    run: Callable
    #: what the proxy must offer: h1, h2c, tls, websocket
    needs: tuple = ()
    #: seconds that it is expected to take; the long ones begin first
    takes: float = 0.5

    @property
    def full_name(self):
        return f"{self.theme}/{self.name}"


@dataclass
class Theme:
    """A file of cases."""

    name: str
    title: str
    needs: tuple = ("h1",)
    cases: list = field(default_factory=list)

    def __post_init__(self):
        THEMES[self.name] = self

    def add(self, name, source, demand, run, needs=None, takes=0.5):
        case = Case(self.name, name, source, demand, run, needs or self.needs, takes)
        if any(other.name == name for other in self.cases):
            raise ValueError(f"two cases {case.full_name}")
        if not re.fullmatch(r"[a-z0-9-]+", name) or not demand.endswith("."):
            raise ValueError(f"name or demand of {case.full_name}")
        self.cases.append(case)

    def case(self, name, source, demand, needs=None, takes=0.5):
        def register(run):
            self.add(name, source, demand, run, needs, takes)
            return run

        return register


def all_cases():
    return [case for theme in THEMES.values() for case in theme.cases]


class Trial:
    """One case on one proxy. Cases call it `t`."""

    def __init__(self, proxy, origin, number):
        self.proxy = proxy
        self.origin = origin
        self.number = number
        #: what was observed, for the report
        self.notes = []
        self._open = []
        self._settled = False

    # --- clients --------------------------------------------------------------------------------------------------------

    def client(self, tls=False, alpn=None, **more):
        """A connection for HTTP/1.1, in the clear unless `tls`."""
        return self._keep(Client(connect(self.proxy.ports["tls" if tls else "h1"], alpn, tls, **more)))

    def h2(self, tls=False, receive_buffer=None, **more):
        """A connection for HTTP/2, by prior knowledge unless `tls`."""
        port = self.proxy.ports["tls" if tls else "h2c"]
        sock = connect(port, ["h2"] if tls else None, receive_buffer=receive_buffer)
        return self._keep(H2(sock, **more))

    def exchange(self, data, *methods, linger=0.2, half_close=False, tls=False):
        """Sends the bytes on a connection of their own and takes what comes until the end or a moment of silence."""
        client = self.client(tls=tls)
        client.send(data)
        if half_close:
            client.half_close()
        seen = Seen(client, methods or ("GET",), linger)
        self.note(seen)
        return seen

    def _keep(self, stream):
        self._open.append(stream)
        return stream

    # --- judging --------------------------------------------------------------------------------------------------------

    def note(self, what):
        self.notes.append(str(what))

    def check(self, condition, complaint):
        if not condition:
            raise Wrong(complaint)

    def settle(self):
        """Waits until the proxy has passed on what it is going to pass on: it answers another request after it."""
        if not self._settled:
            self._settled = True
            self.origin.behave(lambda connection: connection.request())
            self.origin.hang_up()
            self.alive()

    def alive(self, wait=5.0):
        """The proxy serves an ordinary request of somebody else, in time."""
        self.check(self.probe(wait), "the proxy does not serve others any more")

    def probe(self, wait=5.0):
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            client = None
            try:
                client = Client(connect(self.proxy.ports["h1"]))
                data = b"GET /alive-%d HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n" % self.number
                response = client.ask(data, wait=max(deadline - time.monotonic(), 0.1))
                if response and response.status == 200:
                    return True
            except OSError:
                pass
            finally:
                if client:
                    client.close()
            time.sleep(0.02)
        return False

    def saw_nothing(self):
        """The origin got not one byte."""
        self.settle()
        self.check(not self.origin.bytes, f"the origin saw {clip(self.origin.bytes)}")

    def saw_none_whole(self):
        """The origin got no complete request."""
        self.settle()
        whole = self.origin.complete
        self.check(not whole, f"the origin saw {clip(whole[0].head.raw + whole[0].body) if whole else ''}")

    def saw_one(self, body=None, method=None, target=None):
        """The origin got exactly one request, complete, without anything that could be read in two ways."""
        self.settle()
        requests = self.origin.requests
        self.check(len(requests) == 1, f"the origin saw {len(requests)} requests: {clip(self.origin.bytes)}")
        request = requests[0]
        self.check(request.complete, f"the origin saw an incomplete request: {clip(self.origin.bytes)}")
        self.clean()
        if body is not None:
            self.check(request.body == body, f"the origin saw the body {clip(request.body)}")
        if method is not None:
            self.check(request.method == method, f"the origin saw the method {request.method!r}")
        if target is not None:
            self.check(request.target == target, f"the origin saw the target {clip(request.target)}")
        return request

    def clean(self):
        """Nothing that the origin got could be read in two ways, and nothing came between or after requests."""
        for connection in list(self.origin.connections):
            for request in connection.requests:
                faults = request.faults()
                self.check(not faults, f"the origin saw {'; '.join(faults)}: {clip(request.head.raw, 300)}")
            whole = all(request.complete for request in connection.requests)
            if connection.requests and whole:
                self.check(not connection.rest, f"the origin saw more after a request: {clip(connection.rest)}")

    def refused(self, seen, partial=False):
        """Answered with an error or closed; the origin saw nothing, or with `partial` no complete request."""
        self.check(seen.responses or seen.ended, f"neither an answer nor the connection's end: {seen}")
        self.check(all(status >= 400 for status in seen.statuses), f"answered {seen}")
        self.check(len(seen.responses) <= 1, f"more than one answer: {seen}")
        self.saw_none_whole() if partial else self.saw_nothing()

    def refused_or_one(self, seen, body=None, closes=False, **more):
        """Refused, or passed on as exactly one clean request; then with `closes` the connection must end."""
        if seen.status >= 400 or not seen.responses:
            self.refused(seen, partial=True)
            return None
        request = self.saw_one(body, **more)
        self.check(len(seen.responses) == 1, f"more than one answer: {seen}")
        if closes:
            self.check(seen.ends(), "the connection goes on after it")
        return request

    def ok(self, seen, count=1):
        """Answered 200, `count` times, in messages that are HTTP."""
        self.check(seen.statuses == [200] * count, f"answered {seen}")
        self.well_formed(seen)

    def well_formed(self, seen):
        for response in seen.responses:
            faults = response.faults()
            self.check(not faults, f"the client saw {'; '.join(faults)}")
        self.check(not seen.error, f"the client saw {seen.error}")

    def stream_refused(self, client, answer, partial=False):
        """HTTP/2: the stream was reset or answered with an error, or the connection ended; the origin saw nothing."""
        self.note(client)
        ended = answer.reset is not None or answer.status >= 400 or client.over
        self.check(ended, f"not refused: {client}")
        self.check(not 200 <= answer.status < 400, f"answered {client}")
        self.saw_none_whole() if partial else self.saw_nothing()

    def connection_refused(self, client, wait=5.0):
        """HTTP/2: the whole connection was given up, by GOAWAY with an error or by its end."""
        over = client.wait_over(wait)
        self.note(client)
        self.check(over, f"the connection goes on: {client}")

    def h2_ok(self, client, answer, status=200):
        self.note(client)
        self.check(answer.status == status and answer.ended and answer.reset is None, f"answered {client}")
        self.h2_well_formed(client)

    def h2_well_formed(self, client):
        self.check(not client.error, f"the client saw {client.error}")
        for answer in client.answers.values():
            faults = answer.faults()
            self.check(not faults, f"the client saw {'; '.join(faults)}")

    def finish(self):
        """Ends what the case left open."""
        for stream in self._open:
            stream.close()


def clip(data, length=160):
    """Bytes for a message, shortened."""
    data = bytes(data)
    return repr(data if len(data) <= length else data[:length] + b"...")


def background(function, *arguments):
    """Runs beside the case; its failures are not the case's."""

    def quietly():
        try:
            function(*arguments)
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    return thread
