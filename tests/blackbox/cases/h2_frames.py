"""HTTP/2 at the level of frames (RFC 9113, sections 3 to 6; RFC 7541): what ends a stream, what ends a connection, what is no error."""

import struct

from suite import h2
from suite.case import Theme
from suite.h2 import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITIZED, PRIORITY, PUSH, RST, SETTINGS, WINDOW,
    block, frame, request,
)  # fmt: skip
from suite.origin import echo, reply

theme = Theme("h2-frames", "HTTP/2 frames", needs=("h2c",))

GET = block(request())
POST = block(request("POST"))
WHOLE = END_HEADERS | END_STREAM


def ends_connection(name, source, demand, *frames, open_stream=False):
    """These frames are a connection error: GOAWAY with an error, or the connection's end."""

    def run(t):
        client = t.h2()
        client.until(lambda: client.settings)
        if open_stream:
            client.headers(1, POST, end=False)
        for data in frames:
            client.send(data)
        t.connection_refused(client)

    theme.add(name, source, demand, run)


def ends_stream(name, source, demand, *frames, stream=1):
    """These frames are a stream error at least: the stream gets no success."""

    def run(t):
        client = t.h2()
        client.until(lambda: client.settings)
        for data in frames:
            client.send(data)
        t.stream_refused(client, client.finish(stream), partial=True)

    theme.add(name, source, demand, run)


def no_error(name, source, demand, *frames):
    """These frames mean nothing: a request beside them is served."""

    def run(t):
        client = t.h2()
        client.until(lambda: client.settings)
        for data in frames:
            client.send(data)
        t.h2_ok(client, client.ask(request()))
        t.saw_one()

    theme.add(name, source, demand, run)


@theme.case("request", "RFC 9113 §8.1", "A request is served.")
def _(t):
    client = t.h2()
    answer = client.ask(request(path="/a?b"))
    t.h2_ok(client, answer)
    t.check(bytes(answer.body) == b"ok", "another body")
    t.saw_one(b"", b"GET", b"/a?b")


@theme.case("body", "RFC 9113 §8.1", "A body of several frames is one body.")
def _(t):
    t.origin.behave(echo)
    client = t.h2()
    client.headers(1, POST, end=False)
    for part in (b"he", b"", b"llo"):
        client.body(1, part, end=False)
    client.body(1, b"", end=True)
    t.h2_ok(client, client.finish())
    t.saw_one(b"hello")


@theme.case("many-streams", "RFC 9113 §5", "Fifty requests at once are served, each with its own answer.")
def _(t):
    t.origin.behave(lambda c: [c.send(reply(body=r.target)) for r in iter(c.request, None)])
    client = t.h2()
    for number in range(50):
        client.headers(2 * number + 1, request(path=f"/{number}"))
    for number in range(50):
        answer = client.finish(2 * number + 1)
        t.check(bytes(answer.body) == b"/%d" % number, f"stream {2 * number + 1}: {answer}, {bytes(answer.body)!r}")


# --- the beginning ---------------------------------------------------------------------------------------------------------------


@theme.case("preface-wrong", "RFC 9113 §3.4", "A wrong preface serves nobody.")
def _(t):
    client = t.h2(preface=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
    client.headers(1, request())
    client.finish()
    t.note(client)
    t.check(client.answer(1).status in (0, 400) and (client.ended or client.goaway is not None), f"answered {client}")
    t.saw_nothing()


@theme.case("preface-no-settings", "RFC 9113 §3.4", "A first frame that is not SETTINGS ends the connection.")
def _(t):
    client = t.h2(settings=None)
    client.headers(1, request())
    t.connection_refused(client)


@theme.case("preface-alone", "RFC 9113 §3.4", "A preface and nothing after it does not hold a connection for ever.", takes=5)
def _(t):
    client = t.h2(settings=None)
    t.check(client.until(lambda: client.ended or client.goaway is not None, 8.0), "the connection goes on")


@theme.case("preface-slow", "RFC 9113 §3.4", "A preface byte by byte is a preface.")
def _(t):
    client = t.h2(preface=None)
    for byte in h2.PREFACE + frame(SETTINGS):
        client.send(bytes([byte]))
    t.h2_ok(client, client.ask(request()))


@theme.case("settings-first", "RFC 9113 §3.4", "The first frame of the server is SETTINGS, and the client's SETTINGS are acknowledged.")
def _(t):
    client = t.h2()
    client.until(lambda: client.acks)
    t.check(client.kinds[:1] == [SETTINGS] and client.acks == 1, f"frames {client.kinds}")


# --- SETTINGS, PING, GOAWAY, WINDOW_UPDATE, unknown -------------------------------------------------------------------------------


def setting(key, value):
    return frame(SETTINGS, payload=struct.pack(">HI", key, value))


ENDS = "ends the connection."
ends_connection("settings-ack-payload", "RFC 9113 §6.5", f"A SETTINGS acknowledgement with a payload {ENDS}", frame(SETTINGS, ACK, payload=b"\0\3\0\0\0\1"))
ends_connection("settings-length", "RFC 9113 §6.5", f"SETTINGS whose length is no multiple of six {ENDS}", frame(SETTINGS, payload=b"\0\3\0\0\0"))
ends_connection("settings-stream", "RFC 9113 §6.5", f"SETTINGS on a stream {ENDS}", frame(SETTINGS, stream=1))
ends_connection("settings-push", "RFC 9113 §6.5.2", f"ENABLE_PUSH other than 0 or 1 {ENDS}", setting(h2.ENABLE_PUSH, 2))
ends_connection("settings-window", "RFC 9113 §6.5.2", f"INITIAL_WINDOW_SIZE above 2^31-1 {ENDS}", setting(h2.WINDOW_SIZE, 1 << 31))
ends_connection("settings-frame-small", "RFC 9113 §6.5.2", f"MAX_FRAME_SIZE below 16,384 {ENDS}", setting(h2.FRAME_SIZE, 16383))
ends_connection("settings-frame-large", "RFC 9113 §6.5.2", f"MAX_FRAME_SIZE above 2^24-1 {ENDS}", setting(h2.FRAME_SIZE, 1 << 24))
no_error("settings-unknown", "RFC 9113 §6.5.2", "Unknown settings are ignored.", setting(0xFFFF, 7), setting(0x99, 0))
no_error("settings-list-size", "RFC 9113 §6.5.2", "MAX_HEADER_LIST_SIZE is accepted.", setting(h2.LIST_SIZE, 1 << 16))
ends_connection("ping-length", "RFC 9113 §6.7", f"A PING that is not eight bytes long {ENDS}", frame(PING, payload=b"1234567"))
ends_connection("ping-stream", "RFC 9113 §6.7", f"A PING on a stream {ENDS}", frame(PING, stream=1, payload=b"12345678"))
no_error("ping-ack-unasked", "RFC 9113 §6.7", "A PING acknowledgement that nobody waits for is no error.", frame(PING, ACK, payload=b"12345678"))
ends_connection("goaway-stream", "RFC 9113 §6.8", f"GOAWAY on a stream {ENDS}", frame(GOAWAY, stream=1, payload=b"\0" * 8))
ends_connection("window-zero", "RFC 9113 §6.9", f"WINDOW_UPDATE of zero on the connection {ENDS}", frame(WINDOW, payload=struct.pack(">I", 0)))
ends_connection("window-length", "RFC 9113 §6.9", f"WINDOW_UPDATE that is not four bytes long {ENDS}", frame(WINDOW, payload=b"\0\0\1"))
ends_connection("window-overflow", "RFC 9113 §6.9.1", f"A connection window above 2^31-1 {ENDS}", frame(WINDOW, payload=struct.pack(">I", 0x7FFFFFFF)))
ends_connection("window-idle", "RFC 9113 §5.1", f"WINDOW_UPDATE on a stream that never was {ENDS}", frame(WINDOW, stream=9, payload=struct.pack(">I", 1)))
no_error("unknown-frame", "RFC 9113 §4.1", "Frames of unknown types are ignored.", frame(0xBB, 0xFF, 0, b"x" * 100), frame(0x0C, 0, 0, b""), frame(0xEE, 1, 0, b"y"))
no_error("unknown-flags", "RFC 9113 §4.1", "Unknown flags are ignored.", frame(PING, 0xFE, payload=b"12345678"))
no_error("priority", "RFC 9113 §5.3", "PRIORITY is no error.", frame(PRIORITY, 0, 7, b"\0\0\0\0\x10"), frame(0x10, 0, 0, b"\0\0\0\1u=3"))


@theme.case("ping", "RFC 9113 §6.7", "PING is answered with its own payload.")
def _(t):
    client = t.h2()
    t.check(client.pong(b"\0\1\2\3\4\5\6\7"), f"no answer: {client}")


@theme.case("goaway-then-answer", "RFC 9113 §6.8", "After the client's GOAWAY its streams are still answered.")
def _(t):
    client = t.h2()
    client.headers(1, request())
    client.frame(GOAWAY, payload=b"\0" * 8)
    t.h2_ok(client, client.finish())


# --- frame sizes, streams and states --------------------------------------------------------------------------------------------------

ends_connection("frame-too-large", "RFC 9113 §4.2", f"A frame above SETTINGS_MAX_FRAME_SIZE {ENDS}", frame(0xBB, payload=b"x" * 20_000_00)[:9] + b"x" * 70_000)
ends_connection("headers-too-large", "RFC 9113 §4.2", f"HEADERS above SETTINGS_MAX_FRAME_SIZE {ENDS}", frame(HEADERS, WHOLE, 1, GET + b"\0" * 200_000)[:9] + GET + b"\0" * 60_000)
ends_connection("data-stream-zero", "RFC 9113 §6.1", f"DATA on stream 0 {ENDS}", frame(DATA, END_STREAM, 0, b"hello"))
ends_connection("data-idle", "RFC 9113 §5.1", f"DATA on a stream that never was {ENDS}", frame(DATA, END_STREAM, 5, b"hello"))
ends_connection("headers-stream-zero", "RFC 9113 §6.2", f"HEADERS on stream 0 {ENDS}", frame(HEADERS, WHOLE, 0, GET))
ends_connection("headers-even", "RFC 9113 §5.1.1", f"A stream with an even number {ENDS}", frame(HEADERS, WHOLE, 2, GET))
ends_connection("headers-lower", "RFC 9113 §5.1.1", f"A stream numbered below the last one {ENDS}", frame(HEADERS, WHOLE, 9, GET), frame(HEADERS, WHOLE, 5, GET))
ends_connection("headers-padding", "RFC 9113 §6.2", f"HEADERS with more padding than payload {ENDS}", frame(HEADERS, WHOLE | PADDED, 1, b"\xff" + GET))
ends_connection("data-padding", "RFC 9113 §6.1", f"DATA with more padding than payload {ENDS}", frame(DATA, PADDED | END_STREAM, 1, b"\xffhello"), open_stream=True)
ends_connection("data-padding-empty", "RFC 9113 §6.1", f"Padded DATA without a padding length {ENDS}", frame(DATA, PADDED | END_STREAM, 1, b""), open_stream=True)
ends_connection("rst-stream-zero", "RFC 9113 §6.4", f"RST_STREAM on stream 0 {ENDS}", frame(RST, 0, 0, b"\0\0\0\x08"))
ends_connection("rst-idle", "RFC 9113 §6.4", f"RST_STREAM on a stream that never was {ENDS}", frame(RST, 0, 7, b"\0\0\0\x08"))
ends_connection("rst-length", "RFC 9113 §6.4", f"RST_STREAM that is not four bytes long {ENDS}", frame(RST, 0, 1, b"\0\0\x08"), open_stream=True)
ends_connection("push-promise", "RFC 9113 §8.4", f"PUSH_PROMISE from a client {ENDS}", frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + GET), open_stream=True)
ends_connection("continuation-alone", "RFC 9113 §6.10", f"CONTINUATION without HEADERS {ENDS}", frame(CONTINUATION, END_HEADERS, 1, GET))
ends_connection("continuation-interleaved", "RFC 9113 §6.10", f"Another frame within a field block {ENDS}",
    frame(HEADERS, END_STREAM, 1, GET[:5]), frame(PING, payload=b"12345678"), frame(CONTINUATION, END_HEADERS, 1, GET[5:]))
ends_connection("continuation-other-stream", "RFC 9113 §6.10", f"CONTINUATION of another stream {ENDS}", frame(HEADERS, END_STREAM, 1, GET[:5]), frame(CONTINUATION, END_HEADERS, 3, GET[5:]))
ends_connection("continuation-data", "RFC 9113 §6.10", f"DATA within a field block {ENDS}", frame(HEADERS, 0, 1, POST[:5]), frame(DATA, END_STREAM, 1, b"x"))
CLOSED = "on a stream that the client has ended is an error; the request stays one request."


def after_end(name, data, demand):
    def run(t):
        t.origin.behave(lambda connection: connection.wait_end(2.0) if connection.request() else None)
        client = t.h2()
        client.headers(1, POST, end=False)
        client.body(1, b"hello", end=True)
        client.send(data)
        answer = client.finish()
        t.note(client)
        t.check(answer.reset is not None or client.over or answer.status >= 400, f"answered {client}")
        t.settle()
        t.check(all(r.body == b"hello" for r in t.origin.complete) and len(t.origin.requests) <= 1, "the origin saw more")

    theme.add(name, "RFC 9113 §5.1", demand, run)


after_end("data-after-end", frame(DATA, END_STREAM, 1, b"more"), f"DATA {CLOSED}")
after_end("headers-after-end", frame(HEADERS, WHOLE, 1, block([("x-t", "1")])), f"HEADERS {CLOSED}")
ends_stream("trailers-not-last", "RFC 9113 §8.1", "Trailers that do not end the stream are malformed.",
    frame(HEADERS, END_HEADERS, 1, POST), frame(DATA, 0, 1, b"hello"), frame(HEADERS, END_HEADERS, 1, block([("x-t", "1")])), frame(DATA, END_STREAM, 1, b"more"))
ends_stream("window-stream-zero-increment", "RFC 9113 §6.9", "WINDOW_UPDATE of zero on a stream is an error of the stream.",
    frame(HEADERS, END_HEADERS, 1, POST), frame(WINDOW, 0, 1, struct.pack(">I", 0)))
ends_stream("window-stream-overflow", "RFC 9113 §6.9.1", "A stream window above 2^31-1 is an error of the stream.",
    frame(HEADERS, END_HEADERS, 1, POST), frame(WINDOW, 0, 1, struct.pack(">I", 0x7FFFFFFF)))
ends_stream("priority-length", "RFC 9113 §6.3", "PRIORITY that is not five bytes long is an error of the stream.",
    frame(HEADERS, END_HEADERS, 1, POST), frame(PRIORITY, 0, 1, b"\0\0\0\0"))


@theme.case("rst-then-frames", "RFC 9113 §5.1", "Frames that were under way for a stream that the client has reset end nothing else, or the connection.")
def _(t):
    client = t.h2()
    client.headers(1, POST, end=False)
    client.rst(1)
    answer = client.ask(request(), stream=3)
    t.h2_ok(client, answer)


@theme.case("padding", "RFC 9113 §6.1, §6.2", "Padding is no part of fields or body.")
def _(t):
    t.origin.behave(echo)
    client = t.h2()
    client.frame(HEADERS, END_HEADERS | PADDED | PRIORITIZED, 1, b"\x08" + b"\0\0\0\0\x0f" + POST + b"\0" * 8)
    client.frame(DATA, PADDED, 1, b"\x0ahello" + b"\0" * 10)
    client.frame(DATA, PADDED | END_STREAM, 1, b"\x03\0\0\0")
    t.h2_ok(client, client.finish())
    t.saw_one(b"hello")


@theme.case("continuation", "RFC 9113 §6.10", "A field block in several frames is one.")
def _(t):
    client = t.h2()
    fields = block(request("GET", "/p", "h.test", "http", ("x-a", "1")))
    client.frame(HEADERS, END_STREAM, 1, fields[:7])
    client.frame(CONTINUATION, 0, 1, fields[7:20])
    client.frame(CONTINUATION, END_HEADERS, 1, fields[20:])
    t.h2_ok(client, client.finish())
    t.check(t.saw_one(b"").get("x-a") == b"1", "a field is missing")


@theme.case("streams-limit", "RFC 9113 §5.1.2", "Streams above SETTINGS_MAX_CONCURRENT_STREAMS are refused or end the connection.", takes=3)
def _(t):
    t.origin.behave(lambda connection: connection.wait_end(3.0) if connection.request() else None)
    client = t.h2()
    client.until(lambda: client.settings)
    limit = client.settings.get(h2.STREAMS, 1 << 32)
    t.note(f"limit {limit}")
    t.check(limit <= 1000, f"no limit is announced, or {limit}")
    for number in range(limit + 20):
        client.headers(2 * number + 1, request())
    client.until(lambda: client.over or sum(a.reset is not None for a in client.answers.values()) >= 20, 3.0)
    t.settle()
    t.check(len(t.origin.requests) <= limit, f"the origin saw {len(t.origin.requests)} requests")


# --- flow control ------------------------------------------------------------------------------------------------------------------------


@theme.case("window-respected", "RFC 9113 §6.9", "No more is sent than the stream's window allows, and the rest after it was opened.")
def _(t):
    t.origin.answer(reply(body=b"x" * 5000))
    client = t.h2(settings=((h2.WINDOW_SIZE, 1000),), polite=False)
    client.headers(1, request())
    client.until(lambda: len(client.answer(1).body) >= 1000)
    client.until(lambda: False, 0.3)
    t.check(len(client.answer(1).body) == 1000, f"{len(client.answer(1).body)} bytes came")
    client.window(1, 4000)
    answer = client.finish()
    t.check(answer.ended and len(answer.body) == 5000, f"{len(answer.body)} bytes came")


@theme.case("window-lowered", "RFC 9113 §6.9.2", "A window that SETTINGS make negative is respected.")
def _(t):
    t.origin.answer(reply(body=b"x" * 3000))
    client = t.h2(settings=((h2.WINDOW_SIZE, 1000),), polite=False)
    client.headers(1, request())
    client.until(lambda: len(client.answer(1).body) >= 1000)
    client.send(setting(h2.WINDOW_SIZE, 0))
    client.until(lambda: client.acks >= 2)
    client.window(1, 1000)
    client.until(lambda: False, 0.3)
    t.check(len(client.answer(1).body) == 1000, f"{len(client.answer(1).body)} bytes came")
    client.window(1, 2000)
    answer = client.finish()
    t.check(answer.ended and len(answer.body) == 3000, f"{len(answer.body)} bytes came: {client}")


@theme.case("window-exceeded", "RFC 9113 §6.9.1", "More DATA than the window allows is an error; memory stays bounded.", takes=2)
def _(t):
    t.origin.behave(lambda connection: (connection.head(), t.origin.wait(lambda _: False, 2.0)))
    client = t.h2()
    client.until(lambda: client.settings)
    client.headers(1, POST, end=False)
    for _ in range(1200):
        if not client.frame(DATA, 0, 1, b"x" * 16384, wait=2.0):
            break
    client.until(lambda: client.over or client.answer(1).reset is not None, 4.0)
    t.note(client)
    t.check(client.over or client.answer(1).reset is not None, "twenty mebibytes were taken")


@theme.case("frames-of-16k", "RFC 9113 §4.2", "DATA frames are no larger than the client allows.")
def _(t):
    t.origin.answer(reply(body=b"x" * 100_000))
    client = t.h2()
    answer = client.ask(request())
    t.h2_ok(client, answer)
    t.check(len(answer.body) == 100_000 and answer.data_frames >= 7, f"{answer.data_frames} frames")


# --- field blocks -----------------------------------------------------------------------------------------------------------------------

ends_connection("hpack-index-zero", "RFC 7541 §6.1", f"Index 0 {ENDS}", frame(HEADERS, WHOLE, 1, b"\x80"))
ends_connection("hpack-index-unknown", "RFC 7541 §2.3.3", f"An index beyond the tables {ENDS}", frame(HEADERS, WHOLE, 1, GET + b"\xff\x80\x01"))
ends_connection("hpack-truncated", "RFC 7541 §5", f"A field block that ends within a field {ENDS}", frame(HEADERS, WHOLE, 1, GET + b"\0\x05ab"))
ends_connection("hpack-integer", "RFC 7541 §5.1", f"An integer without end {ENDS}", frame(HEADERS, WHOLE, 1, GET + b"\0\x7f" + b"\xff" * 20 + b"\x01"))
ends_connection("hpack-huffman-eos", "RFC 7541 §5.2", f"A Huffman string with EOS in it {ENDS}", frame(HEADERS, WHOLE, 1, GET + b"\0\x84\xff\xff\xff\xff\x01a"))
ends_connection("hpack-huffman-padding", "RFC 7541 §5.2", f"Huffman padding that is not all ones {ENDS}", frame(HEADERS, WHOLE, 1, GET + b"\0\x81\x18\x01a"))
ends_connection("hpack-size-above", "RFC 7541 §6.3", f"A table size above SETTINGS_HEADER_TABLE_SIZE {ENDS}", frame(HEADERS, WHOLE, 1, b"\x3f\xff\xff\x7f" + GET))
ends_connection("hpack-size-late", "RFC 7541 §4.2", f"A table size behind a field {ENDS}", frame(HEADERS, WHOLE, 1, GET + b"\x20"))


@theme.case("hpack-refused-stream", "RFC 9113 §4.3", "The fields of a refused stream still count for the compression of the next ones.")
def _(t):
    client = t.h2()
    literal = b"\x40" + h2.text("x-kept") + h2.text("yes")
    client.headers(1, GET + b"\0" + h2.text("Bad Name") + h2.text("x") + literal)
    client.finish()
    if client.over:
        return
    client.headers(3, GET + b"\xbe")
    t.h2_ok(client, client.finish(3))
    t.settle()
    t.check(t.origin.requests[-1].get("x-kept") == b"yes", "the tables differ")


@theme.case("hpack-table-zero", "RFC 7541 §4.2", "A client that allows no table gets fields that need none.")
def _(t):
    client = t.h2(settings=((h2.TABLE_SIZE, 0),))
    client._decoder.max_allowed_table_size = 0
    client.until(lambda: client.acks)
    t.h2_ok(client, client.ask(request()))
    client.headers(3, request())
    t.h2_ok(client, client.finish(3))
