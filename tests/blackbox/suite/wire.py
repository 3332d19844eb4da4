"""HTTP/1.1 read strictly off a socket, byte for byte, with every wait bounded; both ends of a case use it.

It is strict on purpose: a message that two parties could read in two ways is an error here, with its reason.
"""

import re
import socket
import time

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e\x80-\xff]+) (HTTP/1\.[01])")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*(.*?)[ \t]*", re.DOTALL)
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?")
MAX_HEAD = 4 << 20


class Malformed(Exception):
    """What the other end sent is no HTTP."""


class Stream:
    """A socket, what was read from it, and how it ended."""

    def __init__(self, sock):
        self.sock = sock
        #: every byte that was ever read
        self.data = bytearray()
        #: how many of them are consumed
        self.at = 0
        #: None, "closed" or "reset"
        self.ended = None

    @property
    def rest(self):
        return bytes(self.data[self.at :])

    def fill(self, wait):
        """Reads once, for at most `wait` seconds; False when nothing came."""
        if self.ended:
            return False
        try:
            self.sock.settimeout(max(wait, 0.001))
            piece = self.sock.recv(65536)
        except (TimeoutError, socket.timeout):
            return False
        except (OSError, ValueError) as error:
            # A TLS end without close_notify is an end like another here.
            self.ended = "closed" if "EOF" in str(error) else "reset"
            return False
        if not piece:
            self.ended = "closed"
            return False
        self.data += piece
        return True

    def until(self, mark, deadline):
        """Consumes up to and with `mark`; None when it does not come."""
        searched = self.at
        while True:
            found = self.data.find(mark, searched)
            if found >= 0:
                part = bytes(self.data[self.at : found + len(mark)])
                self.at = found + len(mark)
                return part
            if len(self.data) - self.at > MAX_HEAD:
                raise Malformed("a head above 4 MiB")
            searched = max(self.at, len(self.data) - len(mark) + 1)
            if not self.more(deadline):
                return None

    def take(self, count, deadline):
        """Consumes up to `count` bytes: fewer when no more come."""
        while len(self.data) - self.at < count:
            if not self.more(deadline):
                break
        part = bytes(self.data[self.at : self.at + count])
        self.at += len(part)
        return part

    def more(self, deadline):
        """Reads until at least one byte came, or the deadline is over."""
        left = deadline - time.monotonic()
        return left > 0 and self.fill(left)

    def send(self, data, wait=10.0):
        """Sends all of it; False when the other end does not take it."""
        try:
            self.sock.settimeout(wait)
            self.sock.sendall(data)
            return True
        except (OSError, ValueError):
            return False

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def reset(self):
        """Ends the connection with RST."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        except OSError:
            pass
        self.close()


class Head:
    """A start line and fields, and the bytes they came as."""

    def __init__(self, raw):
        self.raw = raw
        self.line, *lines = raw[:-4].split(b"\r\n")
        self.fields = []
        self.odd = []
        for line in lines:
            match = FIELD.fullmatch(line)
            if match:
                self.fields.append((match.group(1), match.group(2)))
            else:
                self.odd.append(line)

    def all(self, name):
        """The values of a field, whatever the case of its name."""
        name = name.lower().encode()
        return [value for key, value in self.fields if key.lower() == name]

    def get(self, name):
        """The values of a field as one list, None without it."""
        values = self.all(name)
        return b", ".join(values) if values else None

    def has(self, name):
        return bool(self.all(name))

    def faults(self):
        """What a second reader could read in another way."""
        found = []
        bare = self.raw.replace(b"\r\n", b"")
        if b"\r" in bare or b"\n" in bare:
            found.append("bare CR or LF in the head")
        if b"\0" in bare:
            found.append("NUL in the head")
        for line in self.odd:
            found.append(f"not a field line: {line[:60]!r}")
        lengths, codings = self.all("content-length"), self.all("transfer-encoding")
        if len(lengths) > 1:
            found.append("more than one Content-Length")
        if any(not re.fullmatch(rb"[0-9]{1,18}", value) for value in lengths):
            found.append(f"Content-Length {lengths!r}")
        if lengths and codings:
            found.append("Content-Length beside Transfer-Encoding")
        if codings and [value.lower() for value in codings] != [b"chunked"]:
            found.append(f"Transfer-Encoding {codings!r}")
        return found


class Message:
    """A message: its head, and its body as far as it came."""

    def __init__(self, head):
        self.head = head
        self.body = b""
        self.trailers = []
        #: "none", "length", "chunked" or "close"
        self.framing = "none"
        #: whether all of it came
        self.complete = False
        #: why it is no HTTP, if so
        self.error = None

    def all(self, name):
        return self.head.all(name)

    def get(self, name):
        return self.head.get(name)

    def has(self, name):
        return self.head.has(name)

    def trailer(self, name):
        name = name.lower().encode()
        values = [value for key, value in self.trailers if key.lower() == name]
        return b", ".join(values) if values else None


class Request(Message):
    def __init__(self, head):
        super().__init__(head)
        match = REQUEST_LINE.fullmatch(head.line)
        self.method, self.target, self.version = match.groups() if match else (b"", b"", b"")

    def faults(self):
        found = self.head.faults()
        if not self.method:
            found.append(f"request line {self.head.line[:80]!r}")
        if b"#" in self.target:
            found.append("a fragment in the target")
        hosts = len(self.all("host"))
        if hosts > 1 or (hosts == 0 and self.version == b"HTTP/1.1"):
            found.append(f"{hosts} Host fields")
        if self.version == b"HTTP/1.0" and self.has("transfer-encoding"):
            found.append("Transfer-Encoding in HTTP/1.0")
        if self.error:
            found.append(self.error)
        return found


class Response(Message):
    def __init__(self, head, interim=()):
        super().__init__(head)
        match = STATUS_LINE.fullmatch(head.line)
        if not match:
            raise Malformed(f"status line {head.line[:80]!r}")
        self.version, status, self.reason = match.groups()
        self.status = int(status)
        #: the interim responses before it
        self.interim = list(interim)

    def faults(self):
        found = self.head.faults()
        if self.error:
            found.append(self.error)
        return found


def read_body(stream, message, framing, deadline):
    """Reads the body into `message`; `framing` is a number of bytes, or a word."""
    if isinstance(framing, int):
        message.framing = "length" if framing else "none"
        message.body = stream.take(framing, deadline)
        message.complete = len(message.body) == framing
    elif framing == "chunked":
        message.framing = "chunked"
        read_chunks(stream, message, deadline)
    elif framing == "close":
        message.framing = "close"
        while stream.more(deadline):
            pass
        message.body = stream.take(len(stream.data), deadline)
        message.complete = stream.ended == "closed"
    else:
        message.complete = True


def read_chunks(stream, message, deadline):
    body = bytearray()
    try:
        while True:
            line = stream.until(b"\r\n", deadline)
            if line is None:
                return
            match = CHUNK_SIZE.fullmatch(line[:-2])
            if not match:
                message.error = f"chunk size {line[:40]!r}"
                return
            size = int(match.group(1), 16)
            if size == 0:
                break
            body += stream.take(size, deadline)
            end = stream.take(2, deadline)
            if len(end) < 2:
                return
            if end != b"\r\n":
                message.error = f"chunk ends with {end!r}"
                return
        while True:
            line = stream.until(b"\r\n", deadline)
            if line is None:
                return
            if line == b"\r\n":
                message.complete = True
                return
            match = FIELD.fullmatch(line[:-2])
            if not match:
                message.error = f"trailer {line[:40]!r}"
                return
            message.trailers.append(match.groups())
    finally:
        message.body = bytes(body)


def read_request(stream, deadline, seen=lambda request: None):
    """One request as the origin reads it: None at the end. `seen` gets it as soon as its head is there."""
    raw = stream.until(b"\r\n\r\n", deadline)
    if raw is None:
        return None
    request = Request(Head(raw))
    seen(request)
    codings, lengths = request.all("transfer-encoding"), request.all("content-length")
    if codings and codings[-1].lower().endswith(b"chunked"):
        framing = "chunked"
    elif lengths and lengths[0].isdigit():
        framing = int(lengths[0])
    else:
        framing = "none"
    read_body(stream, request, framing, deadline)
    return request


def read_response(stream, method, deadline):
    """One final response as a client reads it, with its interim ones: None when nothing came. Raises Malformed."""
    interim = []
    while True:
        raw = stream.until(b"\r\n\r\n", deadline)
        if raw is None:
            return None
        response = Response(Head(raw), interim)
        if 100 <= response.status < 200 and response.status != 101:
            interim.append(response)
            continue
        break
    codings, lengths = response.all("transfer-encoding"), response.all("content-length")
    if method == "HEAD" or response.status in (101, 204, 304):
        framing = "none"
    elif codings:
        framing = "chunked" if codings[-1].lower().endswith(b"chunked") else "close"
    elif lengths:
        framing = int(lengths[0]) if lengths[0].isdigit() else "close"
    else:
        framing = "close"
    read_body(stream, response, framing, deadline)
    return response
