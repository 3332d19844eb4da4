"""A client that sends exactly the bytes it is given over HTTP/1.1, and tells what came back."""

import socket
import ssl
import time

from .wire import Malformed, Stream, read_response

#: longest wait for a response: above every timeout that the proxies are given
PATIENCE = 7.0


def tls_context(alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def connect(port, alpn=None, tls=False, name="h.test", receive_buffer=None):
    """A socket to the proxy; in TLS when asked for."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls or alpn:
        sock = tls_context(alpn).wrap_socket(sock, server_hostname=name)
    return sock


class Client(Stream):
    """A connection that speaks HTTP/1.1, or whatever it is told to."""

    def __init__(self, sock):
        super().__init__(sock)
        #: what was no HTTP, if anything
        self.error = None

    def response(self, method="GET", wait=PATIENCE):
        """The next final response; None when the connection ends, nothing comes, or it is no HTTP."""
        try:
            return read_response(self, method, time.monotonic() + wait)
        except Malformed as error:
            self.error = str(error)
            return None

    def ask(self, data, method="GET", wait=PATIENCE):
        self.send(data)
        return self.response(method, wait)

    def ends(self, wait=PATIENCE):
        """Whether the proxy ends the connection within `wait` seconds without another byte."""
        deadline = time.monotonic() + wait
        while self.more(deadline):
            pass
        return self.ended is not None and not self.rest

    def quiet(self, wait=0.25):
        """Whether nothing more comes for a moment."""
        self.fill(wait)
        return not self.rest


class Seen:
    """What a client saw after it sent something: the responses, and how the connection ended."""

    def __init__(self, client, methods, linger):
        self.client = client
        self.responses = []
        deadline = time.monotonic() + PATIENCE
        for number in range(50):
            if number:
                # A further response, if there is one, comes at once.
                if client.ended or (not client.rest and not client.fill(linger)):
                    break
            method = methods[min(number, len(methods) - 1)]
            response = client.response(method, max(deadline - time.monotonic(), 0.3))
            if response is None:
                break
            self.responses.append(response)
        self.ended = client.ended
        self.error = client.error

    def ends(self, wait=3.0):
        """Whether the connection ends, without another byte."""
        return self.client.ends(wait)

    @property
    def first(self):
        return self.responses[0] if self.responses else None

    @property
    def status(self):
        return self.first.status if self.responses else 0

    @property
    def statuses(self):
        return [response.status for response in self.responses]

    def __str__(self):
        parts = [" ".join(map(str, self.statuses)) or "no response"]
        if self.error:
            parts.append(self.error)
        parts.append(self.ended or "open")
        return ", ".join(parts)
