"""grpcio: a client and a server of gRPC's own library, with Weir between them, in the clear and in TLS."""

import time

import grpc

from suite.check import Failed, check, demand, equal
from suite.grpc_origin import OPTIONS, SERVICE


def channel(stand, port, host):
    """A channel to a listener, which asks for a host."""
    target = f"127.0.0.1:{stand.weir.ports[port]}"
    options = [*OPTIONS, ("grpc.default_authority", host), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    if port == "clear":
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(stand.certs.ca.read_bytes())
    return grpc.secure_channel(target, credentials, [*options, ("grpc.ssl_target_name_override", host)])


#: in the clear on both sides, and in TLS on both sides
WAYS = (("clear", "grpc.apps.test"), ("tls", "grpc-tls.apps.test"))


def on_both_ways(name, seconds=20, **more):
    """Declares a check that runs once for each way, with a channel."""

    def declare(body):
        for port, host in WAYS:

            @check(f"grpc: {name}, {'h2c' if port == 'clear' else 'TLS'}", seconds, **more)
            def _(stand, port=port, host=host):
                with channel(stand, port, host) as opened:
                    body(stand, opened)

        return body

    return declare


def method(kind, opened, name):
    return getattr(opened, kind)(f"/{SERVICE}/{name}")


@on_both_ways("unary")
def _(stand, opened):
    unary = method("unary_unary", opened, "Unary")
    for number in range(50):
        equal(unary(b"%d" % number, timeout=10), b"%d" % number, "answer")
    equal(unary(b"", timeout=10), b"", "answer to nothing")


@on_both_ways("100 unary calls at once")
def _(stand, opened):
    unary = method("unary_unary", opened, "Unary")
    calls = [unary.future(b"%d" % number * 100, timeout=15) for number in range(100)]
    equal([call.result() for call in calls], [b"%d" % number * 100 for number in range(100)], "answers")


@on_both_ways("client streaming")
def _(stand, opened):
    pieces = [b"%d" % number for number in range(500)]
    equal(method("stream_unary", opened, "Collect")(iter(pieces), timeout=10), b"|".join(pieces), "answer")


@on_both_ways("server streaming")
def _(stand, opened):
    seen = list(method("unary_stream", opened, "Count")(b"500", timeout=10))
    equal(seen, [b"%d" % number for number in range(500)], "answers")


@on_both_ways("bidirectional streaming, each message answered before the next")
def _(stand, opened):
    answers = []

    def questions():
        for number in range(20):
            # What was asked before was answered: nothing is held back until the stream ends.
            deadline = time.monotonic() + 5
            while len(answers) < number:
                if time.monotonic() > deadline:
                    raise Failed(f"no answer to message {number - 1}")
                time.sleep(0.001)
            yield b"%d" % number

    for answer in method("stream_stream", opened, "Chat")(questions(), timeout=15):
        answers.append(answer)
    equal(answers, [b"you said %d" % number for number in range(20)], "answers")


@on_both_ways("a message of 20 MB")
def _(stand, opened):
    message = bytes(range(250)) * 80_000
    demand(method("unary_unary", opened, "Unary")(message, timeout=18) == message, "it came back different")


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise Failed("the call succeeded")


@on_both_ways("error status, message and trailing metadata")
def _(stand, opened):
    error = failure(lambda: method("unary_unary", opened, "Fail")(b"", timeout=10))
    seen = (error.code(), error.details())
    equal(seen, (grpc.StatusCode.FAILED_PRECONDITION, "not like this: 100 % wrong, ü too"), "status")
    trailing = {key: value for key, value in error.trailing_metadata()}
    equal((trailing.get("x-why"), trailing.get("x-detail-bin")), ("because", b"\x00\x01\xff"), "trailing metadata")


@on_both_ways("metadata and the deadline go up, initial and trailing metadata come down")
def _(stand, opened):
    meta = method("unary_unary", opened, "Meta")
    answer, call = meta.with_call(b"", timeout=10, metadata=(("x-ask", "me"), ("x-ask-bin", b"\xff\x00")))
    equal(answer, b"True", "whether the server knows the deadline")
    equal(dict(call.initial_metadata()).get("x-initial"), "me", "initial metadata")
    trailing = dict(call.trailing_metadata())
    equal((trailing.get("x-trailing"), trailing.get("x-trailing-bin")), ("me", b"\xff\x00"), "trailing metadata")


@on_both_ways("a method that is not there")
def _(stand, opened):
    error = failure(lambda: method("unary_unary", opened, "Nothing")(b"", timeout=10))
    equal(error.code(), grpc.StatusCode.UNIMPLEMENTED, "status")


@on_both_ways("deadline exceeded, and the server sees it")
def _(stand, opened):
    name = f"deadline-{id(opened)}"
    call = method("unary_stream", opened, "Hang")(name.encode(), timeout=1.0)
    error = failure(lambda: list(call))
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "status")
    demand(stand.grpc.cancelled(name, 5), "the server still works")


@on_both_ways("cancellation is seen by the server")
def _(stand, opened):
    name = f"cancel-{id(opened)}"
    call = method("unary_stream", opened, "Hang")(name.encode(), timeout=15)
    equal(next(iter(call)), b"begun", "the first message")
    call.cancel()
    demand(stand.grpc.cancelled(name, 5), "the server still works")
    equal(method("unary_unary", opened, "Unary")(b"on", timeout=10), b"on", "the next call on the channel")


@check("grpc: no backend is UNAVAILABLE, said by Weir, h2c")
def _(stand):
    weirs_own_error(stand, "clear")


@check("grpc: no backend is UNAVAILABLE, said by Weir, TLS")
def _(stand):
    weirs_own_error(stand, "tls")


def weirs_own_error(stand, port):
    with channel(stand, port, "nobody.apps.test") as opened:
        error = failure(lambda: method("unary_unary", opened, "Unary")(b"", timeout=10))
        equal(error.code(), grpc.StatusCode.UNAVAILABLE, "status")
        # grpcio makes a status of HTTP's 502 itself, with a text of its own.
        demand("backend" in error.details() and "http" not in error.details().lower(), f"not Weir's words: {error.details()}")
