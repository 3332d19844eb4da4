"""An HTTP/2 client at the level of frames (RFC 9113): it sends what it is told, right or wrong, and keeps what came.

Frames are made by hand. Fields are encoded as literals without compression, so that any bytes can be a name or a value; only what
comes back is decoded by the package `hpack`.
"""

import struct
import time

import hpack

from .client import PATIENCE
from .wire import Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 1, 1, 4, 8, 0x20
TABLE_SIZE, ENABLE_PUSH, STREAMS, WINDOW_SIZE, FRAME_SIZE, LIST_SIZE, CONNECT_PROTOCOL = 1, 2, 3, 4, 5, 6, 8
ERRORS = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
]  # fmt: skip


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """A frame; `length` may lie."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits, first=0):
    """An HPACK integer (RFC 7541, section 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def text(value):
    value = value.encode("latin-1") if isinstance(value, str) else value
    return integer(len(value), 7) + value


def block(fields):
    """Fields as literals without indexing (RFC 7541, section 6.2.2)."""
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def request(method="GET", path="/", authority="h.test", scheme="http", *fields):
    """The pseudo-header fields of a request and what follows them; None leaves one out."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [pair for pair in pseudo if pair[1] is not None] + list(fields)


def error_name(code):
    return ERRORS[code] if code < len(ERRORS) else hex(code)


class Answer:
    """What came on one stream."""

    def __init__(self):
        #: field lists, in order: interim responses, the response, trailers
        self.blocks = []
        self.body = bytearray()
        self.data_frames = 0
        self.ended = False
        #: error code of RST_STREAM
        self.reset = None

    @property
    def interim(self):
        return [fields for fields in self.blocks if dict(fields).get(b":status", b"").startswith(b"1")]

    @property
    def head(self):
        """The final response's fields."""
        for fields in self.blocks:
            status = dict(fields).get(b":status")
            if status and not status.startswith(b"1"):
                return fields
        return None

    @property
    def status(self):
        return int(dict(self.head)[b":status"]) if self.head else 0

    @property
    def trailers(self):
        blocks = [fields for fields in self.blocks if b":status" not in dict(fields)]
        return blocks[-1] if blocks else []

    def all(self, name):
        return [value for key, value in self.head or [] if key == name.encode()]

    def get(self, name):
        values = self.all(name)
        return b", ".join(values) if values else None

    @property
    def done(self):
        return self.ended or self.reset is not None

    def faults(self):
        """What RFC 9113, section 8, forbids in a response."""
        found = []
        for fields in self.blocks:
            for name, value in fields:
                if name != name.lower():
                    found.append(f"name {name!r} is not in lower case")
                if name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"):
                    found.append(f"connection-specific field {name.decode()}")
                if any(byte in value for byte in (0, 10, 13)):
                    found.append(f"CR, LF or NUL in {name!r}")
        if self.ended and self.head:
            length = self.get("content-length")
            expected = int(length) if length and length.isdigit() else None
            if expected is not None and self.body and expected != len(self.body):
                found.append(f"content-length {expected}, {len(self.body)} bytes")
        return found

    def __str__(self):
        parts = [str(self.status) if self.status else "no response"]
        if self.reset is not None:
            parts.append(f"RST_STREAM {error_name(self.reset)}")
        elif self.ended:
            parts.append("ended")
        return ", ".join(parts)


class H2(Stream):
    """A connection that speaks HTTP/2."""

    def __init__(self, sock, preface=PREFACE, settings=((WINDOW_SIZE, 1 << 20),), polite=True):
        super().__init__(sock)
        #: whether windows are opened again as data comes, and SETTINGS and PING are answered
        self.polite = polite
        self.answers = {}
        self.settings = {}
        self.acks = 0
        self.pongs = []
        self.kinds = []
        #: error code of GOAWAY, and its last stream
        self.goaway = None
        self.last_stream = None
        #: what in the frames was wrong
        self.error = None
        self._decoder = hpack.Decoder()
        self._decoder.max_header_list_size = 1 << 22
        self._block = None
        if preface is not None:
            sent = preface
            if settings is not None:
                sent += frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in settings))
            self.send(sent)

    # --- sending ------------------------------------------------------------------------------------------------------------

    def frame(self, kind, flags=0, stream=0, payload=b"", length=None, wait=10.0):
        return self.send(frame(kind, flags, stream, payload, length), wait)

    def headers(self, stream, fields, end=True, flags=None):
        flags = END_HEADERS | (END_STREAM if end else 0) if flags is None else flags
        payload = fields if isinstance(fields, bytes) else block(fields)
        return self.frame(HEADERS, flags, stream, payload)

    def body(self, stream, data, end=True):
        return self.frame(DATA, END_STREAM if end else 0, stream, data)

    def rst(self, stream, code=8):
        return self.frame(RST, 0, stream, struct.pack(">I", code))

    def window(self, stream, increment):
        return self.frame(WINDOW, 0, stream, struct.pack(">I", increment))

    # --- receiving ----------------------------------------------------------------------------------------------------------

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    def until(self, condition, wait=PATIENCE):
        """Takes frames until `condition()` holds, the connection ends or the time is over; whether it holds."""
        deadline = time.monotonic() + wait
        while not condition():
            if not self._next(deadline):
                return condition()
        return True

    def finish(self, stream=1, wait=PATIENCE):
        """The answer of a stream once it is done, or once the connection is."""
        answer = self.answer(stream)
        self.until(lambda: answer.done or (self.goaway is not None and self.last_stream < stream), wait)
        return answer

    def ask(self, fields, body=None, stream=1, wait=PATIENCE):
        self.headers(stream, fields, end=body is None)
        if body is not None:
            self.body(stream, body)
        return self.finish(stream, wait)

    def pong(self, mark=b"suite..!", wait=PATIENCE):
        """Sends PING and waits for its answer: everything sent before was looked at."""
        self.frame(PING, payload=mark)
        return self.until(lambda: mark in self.pongs, wait)

    @property
    def over(self):
        """Whether the proxy has given the connection up."""
        return self.ended is not None or self.goaway not in (None, 0)

    def wait_over(self, wait=PATIENCE):
        return self.until(lambda: self.over, wait) or self.over

    def __str__(self):
        parts = [f"{stream}: {answer}" for stream, answer in list(self.answers.items())[:3]]
        if self.goaway is not None:
            parts.append(f"GOAWAY {error_name(self.goaway)}")
        parts.append(self.error or self.ended or "open")
        return "; ".join(parts)

    def _next(self, deadline):
        head = self._peek(9, deadline)
        if head is None:
            return False
        size = int.from_bytes(head[:3], "big")
        if size > 1 << 20:
            self.error, self.ended = "no frame", self.ended or "closed"
            return False
        whole = self._peek(9 + size, deadline)
        if whole is None:
            return False
        self.at += len(whole)
        self._take(whole[3], whole[4], int.from_bytes(whole[5:9], "big") & 0x7FFFFFFF, whole[9:])
        return True

    def _peek(self, count, deadline):
        while len(self.data) - self.at < count:
            if not self.more(deadline):
                return None
        return bytes(self.data[self.at : self.at + count])

    def _take(self, kind, flags, stream, payload):
        self.kinds.append(kind)
        if kind == SETTINGS and flags & ACK:
            self.acks += 1
        elif kind == SETTINGS:
            self.settings.update(struct.iter_unpack(">HI", payload))
            if self.polite:
                self.frame(SETTINGS, ACK)
        elif kind == PING and flags & ACK:
            self.pongs.append(payload)
        elif kind == PING and self.polite:
            self.frame(PING, ACK, payload=payload)
        elif kind == GOAWAY:
            self.last_stream, self.goaway = struct.unpack(">II", payload[:8])
            self.last_stream &= 0x7FFFFFFF
        elif kind == RST:
            self.answer(stream).reset = int.from_bytes(payload[:4], "big")
        elif kind == DATA:
            self._take_data(flags, stream, payload)
        elif kind in (HEADERS, CONTINUATION):
            self._take_headers(kind, flags, stream, payload)

    def _take_data(self, flags, stream, payload):
        answer = self.answer(stream)
        body = payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
        answer.body += body
        answer.data_frames += 1
        answer.ended |= bool(flags & END_STREAM)
        if self.polite and payload:
            self.window(0, len(payload))
            if not answer.ended:
                self.window(stream, len(payload))

    def _take_headers(self, kind, flags, stream, payload):
        if kind == HEADERS:
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & PRIORITIZED:
                payload = payload[5:]
            self._block = (bytearray(), flags)
        if self._block is None:
            self.error = "CONTINUATION without HEADERS"
            return
        self._block[0].extend(payload)
        if flags & END_HEADERS:
            whole, first = self._block
            self._block = None
            answer = self.answer(stream)
            try:
                answer.blocks.append([tuple(map(bytes, pair)) for pair in self._decoder.decode(bytes(whole), raw=True)])
            except hpack.HPACKError as error:
                self.error = f"field block: {error}"
            answer.ended |= bool(first & END_STREAM)
