"""The load: wrk with one thread, and what it counted."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .processes import find_tool, tail

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """What one wrk run asks for."""

    path: str = "/128"
    method: str = "GET"
    body_bytes: int = 0
    close: bool = False
    connections: int = 32


@dataclass(frozen=True)
class Counted:
    """What one wrk run saw. `failed` counts socket errors, time-outs and every status above 399."""

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
