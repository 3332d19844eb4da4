"""The load: wrk or h2load with one thread, and what it counted."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .processes import find_tool, tail

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """What one run asks for, and at which door of the proxy. With `streams` it is h2load that asks, over HTTP/2."""

    path: str = "/128"
    method: str = "GET"
    body_bytes: int = 0
    close: bool = False
    connections: int = 32
    door: str = "plain"
    streams: int = 0


@dataclass(frozen=True)
class Counted:
    """What one run saw. `failed` counts socket errors, time-outs and every status above 399. h2load knows no percentiles: 0."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: dict

    @property
    def failed(self):
        return sum(self.errors.values())

    @property
    def per_second(self):
        return self.requests / self.seconds


class Wrk:
    """A running wrk. `finish` waits for it, bounded in time, and returns what it counted."""

    def __init__(self, processes, url, load, seconds, users_file, cpu=None):
        binary = find_tool("wrk")
        if not binary:
            raise RuntimeError("wrk is missing: `./test setup` installs it")
        self._processes = processes
        self._seconds = seconds
        self._log = Path(users_file).with_name(f"wrk-{id(self):x}.log")
        duration = max(1, round(seconds))
        argv = [binary, "-t1", f"-c{load.connections}", f"-d{duration}s", "--timeout", "10s", "-s", SCRIPT, url + load.path]
        argv += ["--", load.method, load.body_bytes, "close" if load.close else "keep", users_file]
        self.child = processes.start(argv, cpu=cpu, log=self._log)

    def finish(self):
        try:
            code = self.child.wait(self._seconds + 30)
        except subprocess.TimeoutExpired:
            self._processes.stop(self.child)
            raise RuntimeError(f"wrk did not end in time{tail(self._log)}") from None
        self._processes.stop(self.child)
        line = next((line for line in self._log.read_text(errors="replace").splitlines() if line.startswith("RESULT ")), None)
        if code != 0 or line is None:
            raise RuntimeError(f"wrk ended with {code}{tail(self._log)}")
        seen = json.loads(line.removeprefix("RESULT "))
        self._log.unlink()
        return Counted(
            requests=seen["requests"],
            seconds=seen["micros"] / 1e6,
            bytes=seen["bytes"],
            p50_ms=seen["p50_us"] / 1e3,
            p99_ms=seen["p99_us"] / 1e3,
            max_ms=seen["max_us"] / 1e3,
            errors={kind: seen[kind] for kind in ("connect", "read", "write", "timeout", "status") if seen[kind]},
        )


class H2load:
    """A running h2load, over HTTP/2 with several streams to a connection. All users are one that came before."""

    def __init__(self, processes, url, load, seconds, users_file, cpu=None):
        binary = find_tool("h2load")
        if not binary:
            raise RuntimeError("h2load is missing: `./test setup` installs it")
        self._processes = processes
        self._seconds = max(1, round(seconds))
        self._log = Path(users_file).with_name(f"h2load-{id(self):x}.log")
        cookie = Path(users_file).read_text().split("\n")[-2]
        argv = [binary, "-t1", f"-c{load.connections}", f"-m{load.streams}", f"-D{self._seconds}", "-H", f"cookie: {cookie}"]
        self.child = processes.start([*argv, url + load.path], cpu=cpu, log=self._log)

    def finish(self):
        try:
            code = self.child.wait(self._seconds + 30)
        except subprocess.TimeoutExpired:
            self._processes.stop(self.child)
            raise RuntimeError(f"h2load did not end in time{tail(self._log)}") from None
        self._processes.stop(self.child)
        said = self._log.read_text(errors="replace")
        requests = re.search(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said, re.M)
        traffic = re.search(r"^traffic: .*\((\d+)\) total", said, re.M)
        if code != 0 or not requests or not traffic:
            raise RuntimeError(f"h2load ended with {code}{tail(self._log)}")
        self._log.unlink()
        done, _, failed, errored, timeout = map(int, requests.groups())
        errors = {"status": failed - errored - timeout, "read": errored, "timeout": timeout}
        return Counted(
            requests=done,
            seconds=float(self._seconds),
            bytes=int(traffic.group(1)),
            p50_ms=0.0,
            p99_ms=0.0,
            max_ms=0.0,
            errors={kind: count for kind, count in errors.items() if count},
        )
