"""An origin that speaks HTTP/2 at the level of frames: a behaviour for the recording origin, and the proxy's requests as it saw them."""

import struct
import time

import hpack

from . import h2
from .h2 import ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITIZED, RST, SETTINGS, WINDOW, block, frame


class Asked:
    """A request of the proxy's."""

    def __init__(self, stream, fields):
        self.stream = stream
        self.fields = fields
        self.body = bytearray()
        self.trailers = []
        self.ended = False
        #: error code of the proxy's RST_STREAM
        self.reset = None

    def all(self, name):
        return [value for key, value in self.fields if key == name.encode()]

    def get(self, name):
        values = self.all(name)
        return b", ".join(values) if values else None

    def faults(self):
        """What RFC 9113, section 8, forbids in a request."""
        found = []
        names = [key for key, _ in self.fields]
        pseudo = [key for key in names if key.startswith(b":")]
        if names[: len(pseudo)] != pseudo:
            found.append("a pseudo-header field after another field")
        if sorted(pseudo) != sorted(set(pseudo)) or not {b":method", b":scheme", b":path"} <= set(pseudo):
            found.append(f"pseudo-header fields {pseudo}")
        for key, value in self.fields:
            if key != key.lower():
                found.append(f"name {key!r}")
            if key in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"):
                found.append(f"connection-specific field {key.decode()}")
            if key == b"te" and value != b"trailers":
                found.append(f"te: {value!r}")
            if any(byte in key + value for byte in (0, 10, 13)):
                found.append(f"CR, LF or NUL in {key!r}")
        if None not in (self.get("host"), self.get(":authority")) and self.get("host") != self.get(":authority"):
            found.append("Host beside another :authority")
        return found


class Peer:
    """The origin's end of one connection."""

    def __init__(self, connection, settings=(), polite=True):
        self.connection = connection
        self.polite = polite
        self.asked = {}
        self.kinds = []
        #: what the proxy's windows allow: a new stream's, and by how much each differs from that
        self.initial = 65535
        self.opened = {0: 65535}
        self._decoder = hpack.Decoder()
        self._block = None
        deadline = time.monotonic() + 6.0
        self.is_h2 = connection.take(len(h2.PREFACE), deadline) == h2.PREFACE
        if self.is_h2:
            self.send(frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in settings)))

    def send(self, data):
        return self.connection.send(data)

    def headers(self, stream, fields, end=False):
        return self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(fields)))

    def data(self, stream, data, end=True):
        return self.send(frame(DATA, END_STREAM if end else 0, stream, data))

    def rst(self, stream, code):
        return self.send(frame(RST, 0, stream, struct.pack(">I", code)))

    def goaway(self, last, code=0):
        return self.send(frame(GOAWAY, payload=struct.pack(">II", last, code)))

    def paced(self, stream, data):
        """Sends as much as the proxy's windows allow, and waits for more."""
        while data:
            room = min(self.opened[0], self.initial + self.opened.get(stream, 0), 16_384)
            if room <= 0:
                if not self.step(3.0):
                    return
                continue
            part, data = data[:room], data[room:]
            self.opened[0] -= len(part)
            self.opened[stream] = self.opened.get(stream, 0) - len(part)
            if not self.data(stream, part, not data):
                return

    def answer(self, asked, body=b"ok", *fields, status="200"):
        self.headers(asked.stream, [(":status", status), *fields])
        self.data(asked.stream, body)

    def step(self, wait):
        """Takes one frame; False when none comes."""
        deadline = time.monotonic() + wait
        head = self.connection.take(9, deadline)
        if len(head) < 9:
            return False
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
        payload = self.connection.take(int.from_bytes(head[:3], "big"), deadline)
        self.kinds.append(kind)
        if kind == SETTINGS and not flags & ACK:
            self.initial = dict(struct.iter_unpack(">HI", payload)).get(h2.WINDOW_SIZE, self.initial)
            self.send(frame(SETTINGS, ACK))
        elif kind == WINDOW:
            self.opened[stream] = self.opened.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, payload=payload))
        elif kind == RST and stream in self.asked:
            self.asked[stream].reset = int.from_bytes(payload, "big")
        elif kind == DATA and stream in self.asked:
            body = payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
            self.asked[stream].body += body
            self.asked[stream].ended |= bool(flags & END_STREAM)
            if self.polite and payload:
                self.send(frame(WINDOW, 0, 0, struct.pack(">I", len(payload))))
                self.send(frame(WINDOW, 0, stream, struct.pack(">I", len(payload))))
        elif kind in (HEADERS, 9):
            self._fields(kind, flags, stream, payload)
        return True

    def _fields(self, kind, flags, stream, payload):
        if kind == HEADERS:
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & PRIORITIZED:
                payload = payload[5:]
            self._block = (bytearray(), flags)
        self._block[0].extend(payload)
        if flags & END_HEADERS:
            whole, first = self._block
            fields = [tuple(map(bytes, pair)) for pair in self._decoder.decode(bytes(whole), raw=True)]
            if stream in self.asked:
                self.asked[stream].trailers = fields
            else:
                self.asked[stream] = Asked(stream, fields)
            self.asked[stream].ended |= bool(first & END_STREAM)

    def next(self, served, wait=6.0, whole=True):
        """The next request that is not in `served`, whole unless told otherwise; None when the connection ends."""
        deadline = time.monotonic() + wait
        while True:
            for asked in self.asked.values():
                if asked.stream not in served and (asked.ended or not whole):
                    served.add(asked.stream)
                    return asked
            if time.monotonic() > deadline or not self.step(max(deadline - time.monotonic(), 0.01)):
                return None


def h2_behaviour(t, script, settings=(), polite=True, whole=True):
    """A behaviour that runs `script(peer, asked)` for each request, and keeps all of them in `t.asked`."""
    t.asked = []

    def behave(connection):
        peer = Peer(connection, settings, polite)
        served = set()
        while peer.is_h2:
            asked = peer.next(served, whole=whole)
            if asked is None:
                return
            t.asked.append(asked)
            script(peer, asked)
            if connection.sock.fileno() < 0:
                return

    return behave
