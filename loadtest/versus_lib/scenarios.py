"""The scenarios, and how one of them is measured on one proxy that was started for it alone."""

import http.client
import socket
import time
from dataclasses import dataclass

from . import machine
from .load import H2load, Load, Wrk
from .proxies.base import status_of

IDLE_CONNECTIONS = 2000

#: user-requests in one rotation of the generator, and how many of them come from users without a cookie
ROTATION, NEW_USERS = 100, 10


@dataclass(frozen=True)
class Scenario:
    """A kind of work. `idle` measures memory for each idle connection instead of CPU."""

    name: str
    title: str
    load: Load
    answer_bytes: int = 128
    idle: bool = False


ALL = {
    scenario.name: scenario
    for scenario in (
        Scenario("small", "small keep-alive: GET, 128 B answer", Load("/128")),
        Scenario("16k", "16 KiB answer, keep-alive", Load("/16k"), 16 * 1024),
        Scenario("256k", "256 KiB answer, keep-alive", Load("/256k"), 256 * 1024),
        Scenario("post", "64 KiB POST, 128 B answer, keep-alive", Load("/128", "POST", 64 * 1024)),
        Scenario("close", "one connection per request: GET, 128 B answer", Load("/128", close=True)),
        Scenario("tls", "TLS keep-alive: GET, 128 B answer", Load("/128", door="tls")),
        Scenario("handshake", "one TLS connection per request: GET, 128 B answer", Load("/128", close=True, door="tls")),
        Scenario("h2", "HTTP/2, 8 connections, 32 streams: GET, 128 B answer", Load("/128", connections=8, door="h2", streams=32)),
        Scenario("h2tls", "HTTP/2 over TLS, the same", Load("/128", connections=8, door="tls", streams=32)),
        Scenario("idle", f"{IDLE_CONNECTIONS:,} idle connections", Load("/128"), idle=True),
    )
}


class Failed(Exception):
    """A proxy failed a request, or did not do its duty. The run is worth nothing then, and says so."""


@dataclass(frozen=True)
class Measured:
    """One round of one scenario on one proxy. `busy` is CPU time over wall time: 1.0 is a saturated CPU."""

    requests: int = 0
    cpu_us: float = 0.0
    user_us: float = 0.0
    system_us: float = 0.0
    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    busy: float = 0.0
    rss_mib: float = 0.0
    idle_kib: float = 0.0


def check_duty(proxy):
    """Asks the proxy to show that it does the comparable work, and returns the cookies of its users.

    Shows: the split is near 95/5, a user with a cookie stays where they were, X-Forwarded-For reaches the origin, metrics answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    connection.request("GET", "/whoami")
    seen = connection.getresponse().read().decode("latin-1").lower()
    if "x-forwarded-for: " not in seen:  # Envoy writes the host's own address for a loopback client
        raise Failed(f"{proxy.name} sends no X-Forwarded-For:\n{seen}")
    homes = {}
    for _ in range(400):
        backend, cookie = _ask(proxy, connection, None)
        if not cookie:
            raise Failed(f"{proxy.name} sets no cookie for a new user")
        homes.setdefault(backend, []).append(cookie)
    canary = len(homes.get("canary", []))
    if not 2 <= canary <= 48:  # 400 draws at 5 %: 20 expected, six standard deviations are 26
        raise Failed(f"{proxy.name} gave {canary} of 400 new users to the canary at 5 %")
    for backend, cookies in homes.items():
        for cookie in cookies[:20]:
            if _ask(proxy, connection, cookie)[0] != backend:
                raise Failed(f"{proxy.name} moved a user of {backend} with {cookie}")
    connection.close()
    if status_of(proxy.metrics_url()) != 200:
        raise Failed(f"{proxy.name} has no metrics at {proxy.metrics_url()}")
    returning = ROTATION - NEW_USERS
    canary_users = round(returning * 0.05) or 1
    users = [homes["canary"][i % canary] for i in range(canary_users)]
    users += homes["stable"][: returning - canary_users]
    return users


def _ask(proxy, connection, cookie):
    connection.request("GET", "/128", headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise Failed(f"{proxy.name} answered {answer.status}")
    given = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    return answer.getheader("X-Backend"), given


def rotation(users):
    """The Cookie lines for the generator: an empty one, a user without a cookie, at every tenth place."""
    lines, known = [], iter(users)
    for place in range(ROTATION):
        new = place % (ROTATION // NEW_USERS) == 0
        lines.append("" if new else next(known))
    return "\n".join(lines) + "\n"


def measure(scenario, proxy, processes, seconds, load_cpu):
    """Measures one scenario on a proxy that is ready. Raises `Failed` when a request failed."""
    users = proxy.folder / "users"
    users.write_text(rotation(check_duty(proxy)))
    generator, url = H2load if scenario.load.streams else Wrk, proxy.url_of(scenario.load.door)
    run = lambda duration: generator(processes, url, scenario.load, duration, users, load_cpu).finish()
    _require_clean(scenario, proxy, run(1))  # warm up: pools, page cache, heaps
    pids = machine.tree(proxy.child.pid)
    if scenario.idle:
        return _measure_idle(proxy, pids)
    before, began = machine.cpu_time(pids), time.monotonic()
    counted = run(seconds)
    used, wall = machine.cpu_time(pids) - before, time.monotonic() - began
    _require_clean(scenario, proxy, counted)
    each = 1e6 / counted.requests
    return Measured(
        requests=counted.requests,
        cpu_us=used.total * each,
        user_us=used.user * each,
        system_us=used.system * each,
        per_second=counted.per_second,
        p50_ms=counted.p50_ms,
        p99_ms=counted.p99_ms,
        busy=used.total / wall,
        rss_mib=machine.resident_bytes(pids) / 2**20,
    )


def _require_clean(scenario, proxy, counted):
    if counted.failed:
        raise Failed(f"{proxy.name} failed {counted.failed} of {counted.requests} requests in `{scenario.name}`: {counted.errors}")
    if counted.requests == 0 or counted.bytes < counted.requests * scenario.answer_bytes:
        raise Failed(f"{proxy.name} answered short in `{scenario.name}`: {counted.bytes} B for {counted.requests} requests")


def _measure_idle(proxy, pids):
    """Opens connections that make one request each and then stay; the growth of memory, for each of them."""
    time.sleep(0.5)
    before = machine.resident_bytes(pids)
    request = b"GET /128 HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: idle\r\n\r\n"
    held = []
    try:
        for number in range(IDLE_CONNECTIONS):
            held.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=5))
            held[-1].sendall(request)
            seen = b""
            while (end := seen.find(b"\r\n\r\n")) < 0 or len(seen) < end + 4 + 128:
                part = held[-1].recv(4096)
                if not part:
                    raise Failed(f"{proxy.name} closed idle connection {number}")
                seen += part
            if not seen.startswith(b"HTTP/1.1 200"):
                raise Failed(f"{proxy.name} answered {seen.partition(bytes([13]))[0]!r} on idle connection {number}")
        time.sleep(1.0)
        after = machine.resident_bytes(pids)
        for number, connection in enumerate(held):  # all of them must still be there, or the figure is a lie
            connection.setblocking(False)
            try:
                if not connection.recv(1):
                    raise Failed(f"{proxy.name} dropped idle connection {number}")
            except BlockingIOError:
                pass
    finally:
        for connection in held:
            connection.close()
    return Measured(rss_mib=after / 2**20, idle_kib=(after - before) / IDLE_CONNECTIONS / 1024)
