"""A gRPC origin without generated code: methods take bytes and give bytes.

`/weir.test.Echo/…` has Unary, Collect (client streaming), Count (server streaming), Chat (bidirectional), Fail, Hang and Meta.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVICE = "weir.test.Echo"
#: what a message may be, both ways
OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


class GrpcOrigin:
    def __init__(self, certs):
        self._lock = threading.Lock()
        self._cancelled = {}
        self._server = grpc.server(ThreadPoolExecutor(max_workers=32), options=[*OPTIONS, ("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, self._methods())])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        certificate, key = certs.origin
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
        self.tls_port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def cancelled(self, name, seconds):
        """Whether the call to Hang of this name was seen to end before it was done, within so many seconds."""
        return self._event(name).wait(seconds)

    def _event(self, name):
        with self._lock:
            return self._cancelled.setdefault(name, threading.Event())

    def _methods(self):
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
            "Collect": grpc.stream_unary_rpc_method_handler(self._collect),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Hang": grpc.unary_stream_rpc_method_handler(self._hang),
            "Meta": grpc.unary_unary_rpc_method_handler(self._meta),
        }

    def _collect(self, requests, context):
        return b"|".join(requests)

    def _count(self, request, context):
        for number in range(int(request)):
            yield str(number).encode()

    def _chat(self, requests, context):
        for request in requests:
            yield b"you said " + request

    def _fail(self, request, context):
        context.set_trailing_metadata((("x-why", "because"), ("x-detail-bin", b"\x00\x01\xff")))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this: 100 % wrong, ü too")

    def _hang(self, request, context):
        """One message, then nothing until the client is gone."""
        gone = self._event(request.decode())
        context.add_callback(gone.set)
        yield b"begun"
        gone.wait(30)

    def _meta(self, request, context):
        """Initial and trailing metadata made of the client's."""
        given = {key: value for key, value in context.invocation_metadata()}
        context.send_initial_metadata((("x-initial", given.get("x-ask", "")),))
        context.set_trailing_metadata((("x-trailing", given.get("x-ask", "")), ("x-trailing-bin", given.get("x-ask-bin", b""))))
        return f"{context.time_remaining() is not None}".encode()
