"""Clients that want to keep the proxy from serving others: slow ones, floods, and small inputs with large effects.

Each attack is bounded in time and count. What is judged: others are served meanwhile, memory stays bounded, the origin does not pay for
it, and what no honest client does comes to an end by itself.
"""

import struct
import time

from suite import h2
from suite.case import Theme
from suite.h2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST, SETTINGS, WINDOW, block, frame, request
from suite.origin import reply

theme = Theme("attacks", "Attacks", heavy=True)

H2 = ("h2c",)
MIB = 1 << 20
#: the most that an attack may make the proxy grow
GROWTH = 48 * MIB
SLOW = "RFC 9112 §9.5"
DENIAL = "RFC 9113 §10.5"
GET = b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n"
POST = block(request("POST"))


class Watch:
    """Memory before, and what may be said after."""

    def __init__(self, t):
        self.t = t
        self.before = t.proxy.memory()

    def bounded(self, most=GROWTH):
        growth = self.t.proxy.memory() - self.before
        self.t.note(f"grew {max(growth, 0) / MIB:.1f} MiB")
        self.t.check(growth <= most, f"the proxy grew by {growth / MIB:.0f} MiB")

    def serving(self):
        """Somebody else is served while the attack is under way."""
        began = time.monotonic()
        self.t.check(self.t.probe(8.0), "others were not served during the attack")
        self.t.note(f"others served in {1000 * (time.monotonic() - began):.0f} ms")


def flood(client, data, times, seconds=5.0, piece=64):
    """Sends `data` again and again, `piece` copies at a time; how many times it was taken before it was over."""
    deadline = time.monotonic() + seconds
    sent = 0
    many = data * piece
    while sent < times and time.monotonic() < deadline:
        if not client.send(many, wait=1.0):
            break
        sent += piece
    return sent


def over(client, wait):
    """Whether the proxy ends the connection in time, with or without a last answer."""
    deadline = time.monotonic() + wait
    while client.more(deadline):
        pass
    return client.ended is not None


def unread(t):
    """Takes a head, and then nothing for a while."""

    def behave(connection):
        if connection.head() is not None:
            t.origin.wait(lambda _: False, 4.0)

    return behave


# --- slow clients ----------------------------------------------------------------------------------------------------------------


@theme.case("slow-head", SLOW, "A head that comes byte by byte has an end in time, however steadily it comes.", takes=2)
def _(t):
    client = t.client()
    client.send(b"GET /p HTTP/1.1\r\nHost: h.test\r\nX-Slow: ")
    began = time.monotonic()
    while client.send(b"a") and not client.fill(0.1) and client.ended is None:
        t.check(time.monotonic() - began < 7.0, "still reading after 7 s")
    t.note(f"{time.monotonic() - began:.1f} s")
    t.saw_nothing()


@theme.case("silent", SLOW, "A connection on which nothing comes has an end in time.", takes=4)
def _(t):
    t.check(over(t.client(), 9.0), "still open after 9 s")


@theme.case("silent-after-answer", SLOW, "A connection that is silent after an answer has an end in time.", takes=4)
def _(t):
    client = t.client()
    t.check(client.ask(GET) is not None, "no answer")
    t.check(over(client, 9.0), "still open after 9 s")


@theme.case("slow-heads-many", SLOW, "Three hundred slow heads keep nobody from being served, and come to an end.", takes=3)
def _(t):
    watch = Watch(t)
    clients = [t.client() for _ in range(300)]
    for client in clients:
        client.send(b"GET /p HTTP/1.1\r\nHost: h.test\r\nX-Slow: ")
    watch.serving()
    watch.bounded()
    deadline = time.monotonic() + 8.0
    while any(client.ended is None for client in clients) and time.monotonic() < deadline:
        for client in clients:
            client.fill(0.001)
    t.check(all(client.ended for client in clients), "some are still open after 8 s")
    t.saw_nothing()


@theme.case("slow-body", SLOW, "A hundred bodies that do not come keep nobody from being served, and come to an end.", takes=4)
def _(t):
    t.origin.behave(lambda connection: connection.request(9.0))
    watch = Watch(t)
    clients = [t.client() for _ in range(100)]
    for client in clients:
        client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 100000\r\n\r\nx")
    watch.serving()
    deadline = time.monotonic() + 9.0
    while any(client.ended is None for client in clients) and time.monotonic() < deadline:
        for client in clients:
            client.fill(0.001)
    t.check(all(client.ended for client in clients), "some are still open after 9 s")
    watch.bounded()
    t.saw_none_whole()


@theme.case("slow-reader", SLOW, "A client that takes nothing of a response costs no memory, and comes to an end.", takes=4)
def _(t):
    sent = []

    def behave(connection):
        if connection.request() is None:
            return
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        block = b"x" * 262_144
        for _ in range(760):
            if not connection.send(block, wait=9.0):
                sent.append("ended")
                return
            sent.append(len(block))
        sent.append("all")

    t.origin.behave(behave)
    watch = Watch(t)
    client = t.client(receive_buffer=4096)
    client.send(GET)
    t.origin.wait(lambda _: False, 1.0)
    watch.serving()
    watch.bounded(24 * MIB)
    t.check(t.origin.wait(lambda _: "ended" in sent, 9.0), f"the origin still waits, {sum(part for part in sent if part not in ('ended', 'all')) >> 20} MiB were taken")


@theme.case("slow-reader-head-only", SLOW, "A client that takes its answers one by one, and late, gets them all.")
def _(t):
    t.origin.answer(reply(body=b"y" * 200_000))
    client = t.client(receive_buffer=4096)
    client.send(GET * 3)
    t.origin.wait(lambda _: False, 0.8)
    for _ in range(3):
        response = client.response()
        t.check(response is not None and response.complete and len(response.body) == 200_000, "an answer is missing")


@theme.case("upload-unread", SLOW, "What an origin does not read is not taken from the client either: memory stays bounded.", takes=4)
def _(t):
    t.origin.behave(unread(t))
    watch = Watch(t)
    client = t.client()
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 400000000\r\n\r\n")
    taken = flood(client, b"x" * 65536, 6000, 3.0, 4)
    t.note(f"{taken / 16:.0f} MiB taken")
    watch.serving()
    watch.bounded(24 * MIB)
    t.check(taken < 1600, "a hundred mebibytes were taken")


@theme.case("idle-connections", SLOW, "Five hundred idle connections keep nobody from being served.")
def _(t):
    watch = Watch(t)
    for _ in range(500):
        t.client()
    watch.serving()
    watch.bounded()


# --- heads and chunks that never end ---------------------------------------------------------------------------------------------------


def endless(name, source, demand, start, data, times=16_000, piece=16):
    """64 MiB at most; the proxy must give the connection up, or refuse, before it took them all."""

    def run(t):
        watch = Watch(t)
        client = t.client()
        client.send(start)
        sent = flood(client, data, times, 6.0, piece)
        watch.serving()
        watch.bounded()
        response = client.response(wait=8.0)
        t.note(f"{sent * len(data) >> 10} KiB taken, {response.status if response else client.ended or 'open'}")
        t.check(client.ended or response is not None and response.status >= 400, "neither refused nor ended")
        t.saw_none_whole()

    theme.add(name, source, demand, run, takes=2)


LINE = "A head above every limit is refused or the connection ended, long before memory is."
endless("endless-target", "RFC 9112 §3", LINE, b"GET /", b"a" * 4096)
endless("endless-method", "RFC 9112 §3", LINE, b"", b"M" * 4096)
endless("endless-value", "RFC 9110 §5.4", LINE, b"GET /p HTTP/1.1\r\nHost: h.test\r\nX: ", b"a" * 4096)
endless("endless-name", "RFC 9110 §5.4", LINE, b"GET /p HTTP/1.1\r\nHost: h.test\r\n", b"a" * 4096)
endless("endless-fields", "RFC 9110 §5.4", LINE, b"GET /p HTTP/1.1\r\nHost: h.test\r\n", b"X: y\r\n" * 600)
endless("endless-empty-lines", "RFC 9112 §2.2", "Empty lines without end before a request line come to an end.", b"", b"\r\n" * 2048)
CHUNKED = b"POST /p HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n"
endless("endless-extension", "RFC 9112 §7.1.1", "A chunk extension without end is refused.", CHUNKED + b"5;", b"a" * 4096)
endless("endless-chunk-size", "RFC 9112 §7.1", "A chunk size without end is refused.", CHUNKED, b"0" * 4096)
endless("endless-trailers", "RFC 9110 §6.5", "Trailers without end are refused.", CHUNKED + b"5\r\nhello\r\n0\r\n", b"X: y\r\n" * 600)


@theme.case("tiny-chunks", "RFC 9112 §7.1", "Twenty thousand chunks of one byte are one body, or refused.", takes=2)
def _(t):
    watch = Watch(t)
    t.origin.behave(lambda c: [c.send(reply(body=b"%d" % len(r.body))) for r in iter(lambda: c.request(15.0), None)])
    client = t.client()
    client.send(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    response = client.response(wait=15.0)
    t.check(response is not None and (response.status >= 400 or response.body == b"20000"), f"answered {response.body if response else 'nothing'!r}")
    watch.bounded()


@theme.case("large-extensions", "RFC 9112 §7.1.1", "Much in chunk extensions and little in chunks is bounded: refused, or passed on without them.", takes=2)
def _(t):
    watch = Watch(t)
    t.origin.behave(lambda c: [c.send(reply(body=b"%d" % len(r.body))) for r in iter(lambda: c.request(15.0), None)])
    client = t.client()
    client.send(CHUNKED)
    sent = flood(client, b"1;" + b"e" * 8000 + b"\r\nx\r\n", 1024, 6.0)
    client.send(b"0\r\n\r\n", wait=2.0)
    response = client.response(wait=10.0)
    t.note(f"{response.status if response else client.ended}, {sent} chunks taken")
    t.check(response is None and client.ended or response is not None and (response.status >= 400 or response.body == b"%d" % sent), "another body")
    watch.bounded()
    t.check(len(t.origin.bytes) < 1 * MIB, "the extensions were passed on")


@theme.case("pipeline-flood", "RFC 9112 §9.3.2", "Thousands of pipelined requests whose answers nobody reads cost no memory; read, they come in order.", takes=2)
def _(t):
    watch = Watch(t)
    t.origin.behave(lambda c: [c.send(reply(body=r.target)) for r in iter(c.request, None)])
    client = t.client(receive_buffer=4096)
    sent = 0
    for number in range(20_000):
        if not client.send(b"GET /%d HTTP/1.1\r\nHost: h.test\r\n\r\n" % number, wait=0.5):
            break
        sent += 1
    watch.serving()
    watch.bounded()
    got = 0
    for number in range(200):
        response = client.response(wait=3.0)
        if response is None:
            break
        t.check(response.body == b"/%d" % number, f"answer {number} is {response.body!r}")
        got += 1
    t.note(f"{sent} sent")
    t.check(got == 200 or client.ended, f"{got} answers, and the connection goes on")


# --- HTTP/2: resets ------------------------------------------------------------------------------------------------------------------


def reset_flood(name, source, demand, *frames, streams=2000, most=500):
    """Streams that are opened and at once ended by an error, faster than anybody could want. The origin must not do the work of all
    of them: the connection is given up, or most never get there."""

    def run(t):
        t.origin.behave(lambda connection: connection.wait_end(2.0) if connection.request() else None)
        watch = Watch(t)
        client = t.h2()
        client.until(lambda: client.settings)
        sent = 0
        for first in range(0, streams, 20):
            batch = b"".join(
                frame(HEADERS, END_HEADERS, stream, POST) + b"".join(frame(kind, flags, stream, payload) for kind, flags, payload in frames)
                for stream in range(2 * first + 1, 2 * (first + 20), 2)
            )
            if not client.send(batch, wait=1.0):
                break
            sent += 20
            if sent % 200 == 0:
                client.until(lambda: client.over, 0.001)
                if client.over:
                    break
        client.until(lambda: client.over, 0.5)
        reached = len(t.origin.requests)
        t.note(f"{client.goaway if client.goaway is None else h2.error_name(client.goaway)}, {client.ended or 'open'}: {sent} streams sent, the origin saw {reached}")
        t.check(reached <= most, f"the origin saw {reached} of {sent} requests")
        watch.serving()
        watch.bounded()

    theme.add(name, source, demand, run, H2, takes=3)


RESETS = "Streams that are opened and reset at once do not make the origin work without bound."
reset_flood("rapid-reset", "CVE-2023-44487, RFC 9113 §10.5", RESETS, (RST, 0, b"\0\0\0\x08"))
MADE = "Streams that the client makes the proxy reset do not make the origin work without bound."
reset_flood("made-you-reset-window-zero", "CVE-2025-8671", MADE, (WINDOW, 0, b"\0\0\0\0"))
reset_flood("made-you-reset-window-overflow", "CVE-2025-8671", MADE, (WINDOW, 0, b"\x7f\xff\xff\xff"))
reset_flood("made-you-reset-data-after-end", "CVE-2025-8671", MADE, (DATA, END_STREAM, b""), (DATA, END_STREAM, b"x"))
reset_flood("made-you-reset-priority-length", "CVE-2025-8671", MADE, (PRIORITY, 0, b"\0\0\0"))
reset_flood("made-you-reset-second-head", "CVE-2025-8671", MADE, (HEADERS, END_HEADERS, b"\0\x03x-t\x01y"))
reset_flood("reset-after-body", "CVE-2023-44487, RFC 9113 §10.5", RESETS, (DATA, 0, b"hello"), (RST, 0, b"\0\0\0\x08"))


@theme.case("rapid-reset-paced", "CVE-2023-44487, RFC 9113 §10.5", RESETS, needs=H2, takes=4)
def _(t):
    """Each round waits until its requests are under way: a limit on streams that were not yet looked at does not help."""
    t.origin.behave(lambda connection: connection.wait_end(2.0) if connection.request() else None)
    watch = Watch(t)
    client = t.h2()
    client.until(lambda: client.settings)
    sent, began = 0, time.monotonic()
    while sent < 3000 and not client.over and time.monotonic() - began < 8.0:
        streams = range(2 * sent + 1, 2 * (sent + 25), 2)
        client.send(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, block(request())) for stream in streams))
        if not client.pong(b"%08d" % sent, 2.0):
            break
        t.origin.wait(lambda origin, sent=sent: len(origin.requests) > sent, 0.1)
        client.send(b"".join(frame(RST, 0, stream, b"\0\0\0\x08") for stream in streams))
        sent += 25
    reached = len(t.origin.requests)
    t.note(f"{h2.error_name(client.goaway) if client.goaway is not None else None}, {client.ended or 'open'}: {sent} streams sent in {time.monotonic() - began:.1f} s, the origin saw {reached}")
    t.check(reached <= 1200, f"the origin saw {reached} of {sent} requests on one connection")
    watch.serving()
    watch.bounded()


@theme.case("rapid-reset-malformed", "CVE-2023-44487, CVE-2025-8671", "Malformed requests without end do not cost more than they must.", needs=H2, takes=2)
def _(t):
    watch = Watch(t)
    client = t.h2()
    client.until(lambda: client.settings)
    bad = block([*request(), ("connection", "close")])
    for stream in range(1, 16_000, 2):
        if not client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, bad), wait=1.0):
            break
    watch.serving()
    watch.bounded()


# --- HTTP/2: floods of frames ----------------------------------------------------------------------------------------------------------


def frame_flood(name, demand, data, times=60_000, start=b"", must_end=False, source=DENIAL):
    """Frames that cost the sender nothing. The proxy may put up with them, slowly, or end the connection; with `must_end` it must."""

    def run(t):
        t.origin.behave(lambda connection: connection.request(9.0))
        watch = Watch(t)
        client = t.h2()
        client.until(lambda: client.settings)
        if start:
            client.send(start)
        sent = flood(client, data, times, 5.0, max(1, 16384 // len(data)))
        watch.serving()
        watch.bounded()
        over = client.wait_over(8.0 if must_end else 0.2)
        t.note(f"{sent} taken, {h2.error_name(client.goaway) if client.goaway is not None else client.ended or 'open'}")
        t.check(over or not must_end, "the connection goes on")

    theme.add(name, source, demand, run, H2, takes=6 if must_end else 3)


BEAR = "cost no memory, and keep nobody from being served."
frame_flood("settings-flood", f"SETTINGS without end {BEAR}", frame(SETTINGS, payload=struct.pack(">HI", 4, 65535)))
frame_flood("settings-empty-flood", f"Empty SETTINGS without end {BEAR}", frame(SETTINGS))
frame_flood("settings-large-flood", f"Large SETTINGS without end {BEAR}", frame(SETTINGS, payload=struct.pack(">HI", 4, 65535) * 2000), 3000)
frame_flood("ping-flood", f"PINGs without end {BEAR}", frame(PING, payload=b"12345678"))
frame_flood("priority-flood", f"PRIORITY without end {BEAR}", frame(PRIORITY, 0, 3, b"\0\0\0\1\x0f"))
frame_flood("unknown-frame-flood", f"Frames of unknown types without end {BEAR}", frame(0xBB, 0, 0, b"x" * 64))
frame_flood("window-flood", f"WINDOW_UPDATEs without end {BEAR}", frame(WINDOW, 0, 0, b"\0\0\0\1"))
frame_flood("empty-data-flood", f"Empty DATA without end {BEAR}", frame(DATA, 0, 1), start=frame(HEADERS, END_HEADERS, 1, POST))
frame_flood("padded-data-flood", f"DATA of padding alone without end {BEAR}", frame(DATA, 8, 1, b"\xff" + b"\0" * 255), start=frame(HEADERS, END_HEADERS, 1, POST))
ENDLESS = "A field block without end ends the connection, long before memory is."
OPEN = frame(HEADERS, END_STREAM, 1, block(request()))
frame_flood("continuation-flood", ENDLESS, frame(CONTINUATION, 0, 1, b"\0\x01a" + b"\x7f\x80\x7d" + b"b" * 16_127), 4000, OPEN, True, "VU#421644, RFC 9113 §10.5.1")
frame_flood("continuation-small-flood", ENDLESS, frame(CONTINUATION, 0, 1, b"\0\1a\1b"), 400_000, OPEN, True, "VU#421644, RFC 9113 §10.5.1")
frame_flood("continuation-empty-flood", ENDLESS, frame(CONTINUATION, 0, 1, b""), 400_000, OPEN, True, "VU#421644, RFC 9113 §10.5")


@theme.case("field-block-stalled", DENIAL, "A field block that stops coming has an end in time.", needs=H2, takes=5)
def _(t):
    client = t.h2()
    client.until(lambda: client.settings)
    client.send(OPEN)
    t.check(client.until(lambda: client.ended or client.goaway is not None, 10.0), "still waiting after 10 s")


@theme.case("h2-silent", DENIAL, "A connection without streams has an end in time.", needs=H2, takes=5)
def _(t):
    client = t.h2()
    t.h2_ok(client, client.ask(request()))
    t.check(client.until(lambda: client.ended or client.goaway is not None, 10.0), "still open after 10 s")


@theme.case("h2-frame-stalled", DENIAL, "A frame that stops coming has an end in time.", needs=H2, takes=5)
def _(t):
    client = t.h2()
    client.until(lambda: client.settings)
    client.send(b"\0\x20")
    t.check(client.until(lambda: client.ended or client.goaway is not None, 10.0), "still open after 10 s")


@theme.case("h2-body-stalled", DENIAL, "A stream whose body stops coming has an end in time.", needs=H2, takes=4)
def _(t):
    t.origin.behave(lambda connection: connection.request(10.0))
    client = t.h2()
    client.headers(1, request("POST"), end=False)
    client.body(1, b"hello", end=False)
    answer = client.finish(1, 9.0)
    t.note(client)
    t.check(answer.done or client.over or answer.status >= 400, "still open after 9 s")
    t.saw_none_whole()


@theme.case("h2-many-bodies-stalled", DENIAL, "A hundred streams that wait for bodies keep nobody from being served.", needs=H2, takes=2)
def _(t):
    t.origin.behave(lambda connection: connection.request(6.0))
    watch = Watch(t)
    client = t.h2()
    client.until(lambda: client.settings)
    for number in range(100):
        client.headers(2 * number + 1, request("POST"), end=False)
    watch.serving()
    watch.bounded()


@theme.case("zero-window", DENIAL, "Fifty responses that the client's window never lets through cost no memory, and come to an end.", needs=H2, takes=5)
def _(t):
    t.origin.answer(reply(body=b"x" * (4 * MIB)))
    watch = Watch(t)
    client = t.h2(settings=((h2.WINDOW_SIZE, 0),))
    client.until(lambda: client.settings)
    for number in range(50):
        client.headers(2 * number + 1, request())
    t.origin.wait(lambda _: False, 1.0)
    watch.serving()
    watch.bounded(64 * MIB)
    gone = t.origin.wait(lambda origin: all(c.ended for c in origin.connections if b"/alive" not in c.data[:20]), 9.0)
    client.until(lambda: client.over, 0.1)
    t.note(client.ended or (h2.error_name(client.goaway) if client.goaway is not None else "open"))
    t.check(gone or client.over or all(client.answer(2 * n + 1).reset is not None for n in range(50)), "the streams still wait after 10 s")


@theme.case("tiny-window", DENIAL, "A window that opens byte by byte costs no memory, and nobody else's time.", needs=H2, takes=2)
def _(t):
    t.origin.answer(reply(body=b"x" * MIB))
    watch = Watch(t)
    client = t.h2(settings=((h2.WINDOW_SIZE, 1),), polite=False)
    client.until(lambda: client.settings)
    client.headers(1, request())
    for _ in range(4000):
        if not client.window(1, 1):
            break
    watch.serving()
    watch.bounded(24 * MIB)


@theme.case("window-flips", DENIAL, "A window that SETTINGS open and close for a hundred streams at a time keeps nobody from being served.", needs=H2, takes=3)
def _(t):
    t.origin.answer(reply(body=b"x" * 100_000))
    watch = Watch(t)
    client = t.h2(settings=((h2.WINDOW_SIZE, 0),))
    client.until(lambda: client.settings)
    for number in range(100):
        client.headers(2 * number + 1, request())
    flips = frame(SETTINGS, payload=struct.pack(">HI", 4, 1)) + frame(SETTINGS, payload=struct.pack(">HI", 4, 0))
    flood(client, flips, 10_000, 4.0)
    watch.serving()
    watch.bounded(64 * MIB)


@theme.case("h2-upload-unread", DENIAL, "What an origin does not read is not taken from the client either.", needs=H2, takes=3)
def _(t):
    t.origin.behave(unread(t))
    watch = Watch(t)
    client = t.h2()
    client.until(lambda: client.settings)
    client.headers(1, request("POST"), end=False)
    window = client.settings.get(h2.WINDOW_SIZE, 65535)
    total, deadline = 0, time.monotonic() + 2.0
    granted = [window]
    original = client._take

    def take(kind, flags, stream, payload):
        if kind == WINDOW and stream == 1:
            granted[0] += int.from_bytes(payload, "big")
        original(kind, flags, stream, payload)

    client._take = take
    while time.monotonic() < deadline and total < 64 * MIB and not client.over:
        room = min(granted[0] - total, 16384)
        if room > 0 and client.body(1, b"x" * room, end=False):
            total += room
        client.until(lambda: False, 0.002 if room > 0 else 0.05)
    t.note(f"{total >> 10} KiB taken")
    watch.serving()
    watch.bounded(24 * MIB)
    t.check(total < 48 * MIB, "everything was taken")


# --- HPACK ------------------------------------------------------------------------------------------------------------------------------


def bomb(name, demand, value, times):
    """One entry in the table, named again and again by one byte."""

    def run(t):
        watch = Watch(t)
        client = t.h2()
        client.until(lambda: client.settings)
        data = block(request()) + b"\x40" + value + b"\xbe" * times
        parts = [data[n : n + 16_000] for n in range(0, len(data), 16_000)]
        for number, part in enumerate(parts):
            kind = HEADERS if number == 0 else CONTINUATION
            flags = (END_STREAM if number == 0 else 0) | (END_HEADERS if number == len(parts) - 1 else 0)
            if not client.frame(kind, flags, 1, part, wait=2.0):
                break
        answer = client.finish(1)
        watch.serving()
        watch.bounded()
        t.stream_refused(client, answer)

    theme.add(name, "RFC 9113 §10.5.1, RFC 7541 §7.3", demand, run, H2, takes=1)


BOMB = "A small field block that unpacks to a large list is refused before it is unpacked."
bomb("hpack-bomb", BOMB, h2.text("x-bomb") + h2.text("y" * 3900), 15_000)
bomb("hpack-bomb-large", BOMB, h2.text("x-bomb") + h2.text("y" * 3900), 120_000)
bomb("hpack-bomb-cookie", BOMB, h2.text("cookie") + h2.text("y" * 3900), 15_000)
bomb("hpack-bomb-small-fields", BOMB, h2.text("a") + h2.text(""), 60_000)


@theme.case("hpack-table-flood", "RFC 7541 §4.3, §7.3", "A table that is filled again and again costs no memory.", needs=H2, takes=2)
def _(t):
    watch = Watch(t)
    client = t.h2()
    client.until(lambda: client.settings)
    for number in range(400):
        extra = b"".join(b"\x40" + h2.text(b"x-%d" % (number * 10 + n)) + h2.text(b"v" * 100) for n in range(10))
        if not client.headers(2 * number + 1, block(request()) + extra):
            break
        if number % 20 == 19:
            client.finish(2 * number + 1, 4.0)
    watch.serving()
    watch.bounded()
