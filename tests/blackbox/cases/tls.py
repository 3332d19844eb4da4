"""HTTP in TLS (RFC 9110, section 4.2.2; RFC 9113, section 9.2; RFC 7301): what is agreed on is what is spoken."""

import hashlib
import os
import socket
import ssl
import time

from suite.case import Theme
from suite.client import Client, Seen, connect, tls_context
from suite.h2 import H2, request
from suite.origin import reply

theme = Theme("tls", "TLS and ALPN", needs=("tls",))

GET = b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n"
ALPN = "RFC 7301 §3.2"


@theme.case("http-1-1", ALPN, "ALPN http/1.1 is agreed on, and HTTP/1.1 is served.")
def _(t):
    client = t.client(tls=True, alpn=["http/1.1"])
    t.check(client.sock.selected_alpn_protocol() == "http/1.1", f"agreed on {client.sock.selected_alpn_protocol()}")
    response = client.ask(GET)
    t.check(response is not None and response.status == 200, "not answered 200")


@theme.case("h2", "RFC 9113 §3.2", "ALPN h2 is agreed on, and HTTP/2 is served.")
def _(t):
    client = t.h2(tls=True)
    t.check(client.sock.selected_alpn_protocol() == "h2", f"agreed on {client.sock.selected_alpn_protocol()}")
    t.h2_ok(client, client.ask(request(scheme="https")))
    t.saw_one()


@theme.case("no-alpn", "RFC 9112 §9.7", "Without ALPN, HTTP/1.1 is served.")
def _(t):
    client = t.client(tls=True)
    response = client.ask(GET)
    t.check(response is not None and response.status == 200, "not answered 200")


@theme.case("alpn-order", ALPN, "Of h2 and http/1.1 one is agreed on, and it is the one that is spoken.")
def _(t):
    sock = connect(t.proxy.ports["tls"], ["http/1.1", "h2"], True)
    agreed = sock.selected_alpn_protocol()
    t.note(agreed)
    sock.close()
    t.check(agreed in ("h2", "http/1.1"), f"agreed on {agreed}")


@theme.case("alpn-unknown", ALPN, "Where no protocol is shared the handshake fails, or HTTP/1.1 is spoken without one.")
def _(t):
    try:
        client = Client(connect(t.proxy.ports["tls"], ["foo"], True))
    except (ssl.SSLError, OSError) as error:
        t.note(error)
        return
    t.check(client.sock.selected_alpn_protocol() is None, f"agreed on {client.sock.selected_alpn_protocol()}")
    response = client.ask(GET)
    client.close()
    t.check(response is None or response.status in (200, 400, 421), "not HTTP/1.1")


@theme.case("h2-agreed-h1-spoken", "RFC 9113 §3.4", "Where h2 was agreed on, HTTP/1.1 is not served.")
def _(t):
    client = t.client(tls=True, alpn=["h2"])
    client.send(GET)
    deadline = time.monotonic() + 6.0
    while client.more(deadline):
        pass
    t.check(b" 200 " not in client.data and client.ended, "served, or still open")
    t.saw_nothing()


@theme.case("h1-agreed-h2-spoken", ALPN, "Where http/1.1 was agreed on, HTTP/2 is not served.")
def _(t):
    client = H2(connect(t.proxy.ports["tls"], ["http/1.1"], True))
    answer = client.ask(request(), wait=4.0)
    t.note(client)
    client.close()
    t.check(answer.status != 200, f"answered {client}")
    t.saw_nothing()


@theme.case("plain-http", "RFC 9110 §4.2.2", "HTTP in the clear to a TLS port is refused, in the clear or by the connection's end.")
def _(t):
    client = Client(connect(t.proxy.ports["tls"]))
    client.send(GET)
    response = client.response(wait=6.0)
    t.note(response.status if response else client.error or client.ended)
    t.check(response is None or response.status >= 300, "served")
    t.check(client.ends(4.0) or client.error or client.ended, "the connection goes on")
    client.close()
    t.saw_nothing()


def version(name, lowest, highest, served):
    def run(t):
        context = tls_context(["http/1.1"])
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = lowest, highest
        sock = socket.create_connection(("127.0.0.1", t.proxy.ports["tls"]), 6.0)
        try:
            sock = context.wrap_socket(sock, server_hostname="h.test")
        except (ssl.SSLError, OSError) as error:
            t.note(error)
            t.check(not served, f"the handshake failed: {error}")
            return
        finally:
            sock.close() if not isinstance(sock, ssl.SSLSocket) else None
        said = sock.version()
        sock.close()
        t.check(served, f"agreed on {said}")

    demand = f"TLS {name.replace('-', '.')[4:]} is {'spoken' if served else 'refused'}."
    theme.add(name, "RFC 8996" if not served else "RFC 9113 §9.2", demand, run)


version("tls-1-3", ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3, True)
version("tls-1-2", ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, True)
version("tls-1-1", ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, False)


def ragged(t, data, then, request_bytes=b"GET /p HTTP/1.0\r\nHost: h.test\r\n\r\n"):
    """An HTTP/1.0 answer that ends with the connection: whether it ended with a close_notify."""
    t.origin.answer(data, then=then)
    sock = socket.create_connection(("127.0.0.1", t.proxy.ports["tls"]), 6.0)
    sock = tls_context(["http/1.1"]).wrap_socket(sock, server_hostname="h.test", suppress_ragged_eofs=False)
    sock.settimeout(6.0)
    sock.sendall(request_bytes)
    got = b""
    try:
        while piece := sock.recv(65536):
            got += piece
        return got, True
    except (ssl.SSLError, OSError) as error:
        t.note(error)
        return got, False
    finally:
        sock.close()


@theme.case("close-notify", "RFC 9112 §9.8", "A response that ends with the connection ends with close_notify, so that it is known to be whole.")
def _(t):
    got, clean = ragged(t, b"HTTP/1.1 200 OK\r\n\r\nhello", "close")
    t.check(got.endswith(b"hello") and clean, f"no close_notify after {got!r}")


@theme.case("no-close-notify", "RFC 9112 §9.8, §8", "A response that the origin broke off does not end with close_notify.")
def _(t):
    got, clean = ragged(t, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "reset")
    short = b"chunked" in got and not got.endswith(b"0\r\n\r\n")
    t.check(not clean or b" 200 " not in got or short, f"shown as whole: {got!r}")


@theme.case("handshake-stalled", "RFC 8446 §C", "A handshake that does not go on has an end in time.", takes=7)
def _(t):
    client = Client(connect(t.proxy.ports["tls"]))
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    deadline = time.monotonic() + 12.0
    while client.more(deadline):
        pass
    ended = client.ended
    client.close()
    t.check(ended, "still open after 12 s")


@theme.case("handshake-silent", "RFC 8446 §C", "A connection on which no handshake begins has an end in time.", takes=7)
def _(t):
    client = Client(connect(t.proxy.ports["tls"]))
    deadline = time.monotonic() + 12.0
    while client.more(deadline):
        pass
    ended = client.ended
    client.close()
    t.check(ended, "still open after 12 s")


@theme.case("garbage", "RFC 8446 §6", "What is no TLS ends the connection.")
def _(t):
    client = Client(connect(t.proxy.ports["tls"]))
    client.send(bytes(range(256)) * 20)
    deadline = time.monotonic() + 8.0
    while client.more(deadline):
        pass
    ended = client.ended
    client.close()
    t.check(ended, "still open after 8 s")


@theme.case("handshakes-stalled-many", "RFC 8446 §C", "Two hundred handshakes that do not go on keep nobody from being served.")
def _(t):
    clients = [Client(connect(t.proxy.ports["tls"])) for _ in range(200)]
    for client in clients:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    good = Client(connect(t.proxy.ports["tls"], ["http/1.1"], True))
    response = good.ask(GET)
    for client in [*clients, good]:
        client.close()
    t.check(response is not None and response.status == 200, "not served")


def large(name, h2):
    def run(t):
        body = os.urandom(1 << 16) * 48
        digest = hashlib.sha256(body).hexdigest()
        t.origin.answer(reply(body=body))
        if h2:
            client = t.h2(tls=True)
            answer = client.ask(request(scheme="https"), wait=20.0)
            got = bytes(answer.body)
        else:
            response = t.client(tls=True).ask(GET, wait=20.0)
            got = response.body if response else b""
        t.check(hashlib.sha256(got).hexdigest() == digest, f"another body of {len(got)} bytes")

    theme.add(name, "RFC 9112 §6" if not h2 else "RFC 9113 §6.1", "A body of 3 MiB comes down unchanged.", run, takes=2, heavy=True)


large("large-download", False)
large("large-download-h2", True)


def refused_in_tls(name, source, demand, data):
    def run(t):
        client = t.client(tls=True, alpn=["http/1.1"])
        client.send(data)
        t.refused(Seen(client, ["GET"], 0.2), True)

    theme.add(name, source, demand, run)


refused_in_tls("cl-twice", "RFC 9112 §6.3", "Two different lengths are refused in TLS too.", b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
refused_in_tls("te-unknown", "RFC 9112 §6.1", "An unknown coding is refused in TLS too.", b"POST /p HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: foo\r\n\r\nhello")
refused_in_tls("host-missing", "RFC 9112 §3.2", "HTTP/1.1 without Host is refused in TLS too.", b"GET /p HTTP/1.1\r\n\r\n")


@theme.case("truncated-request", "RFC 9112 §8, §9.8", "A body that ends with the TLS connection short of its length is never passed on as whole.")
def _(t):
    client = t.client(tls=True, alpn=["http/1.1"])
    client.send(b"POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 50\r\n\r\nhello")
    t.origin.wait(lambda origin: origin.requests, 2.0)
    client.close()
    t.origin.wait(lambda _: False, 0.3)
    t.saw_none_whole()
