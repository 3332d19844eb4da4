"""Child processes that never outlive the run, and the ports and CPUs they are given.

Every child gets its own session, so that one signal reaches all that it started, and a parent-death signal, so that even a killed
harness leaves nothing behind.
"""

import atexit
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


class Processes:
    """Starts children and stops every one of them on the way out, whatever the way is."""

    def __init__(self):
        self._running = []
        atexit.register(self.stop_all)

    def start(self, argv, *, cpu=None, log=None, env=None, cwd=None, stdin=None):
        """Starts `argv`, pinned to `cpu` when given, its output in the file `log`."""
        prefix = []
        if cpu is not None and shutil.which("taskset"):
            prefix += ["taskset", "-c", str(cpu)]
        if shutil.which("setpriv"):
            prefix += ["setpriv", "--pdeathsig", "KILL"]
        sink = open(log, "ab") if log else subprocess.DEVNULL
        try:
            child = subprocess.Popen(
                [*prefix, *map(str, argv)],
                stdin=stdin or subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            if log:
                sink.close()
        self._running.append(child)
        return child

    def stop(self, child, patience=3.0):
        """Asks the child's session to end, and ends it when it does not within `patience` seconds."""
        for sig, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(child.pid, sig)
            except ProcessLookupError:
                pass
            try:
                child.wait(wait)
                break
            except subprocess.TimeoutExpired:
                continue
        try:  # members of the session that the first process left behind
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        if child in self._running:
            self._running.remove(child)

    def stop_all(self):
        while self._running:
            self.stop(self._running[-1], patience=1.0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_all()


def end_cleanly_on_signals():
    """Turns SIGTERM and SIGHUP into an ordinary exit, so that the children are stopped; Ctrl-C works in the background too."""

    def leave(number, _frame):
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def raise_file_limit():
    """Allows as many open files as the system grants; two thousand connections are two ends each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


_given = set()


def free_port():
    """A free loopback port below the ephemeral range, so that no outgoing connection can take it meanwhile."""
    for _ in range(1000):
        port = random.randint(15000, 31000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free port between 15000 and 31000")


def tools_dir():
    """Where `./test` keeps the tools it installs; WEIR_TOOLS overrides."""
    return Path(os.environ.get("WEIR_TOOLS") or repository() / ".tools").absolute()


def repository():
    return Path(__file__).resolve().parents[2]


def find_tool(name):
    """The path of a tool: from the repository's tools, else from PATH, else from the system's folders; None when missing."""
    tools = tools_dir()
    for path in (tools / "bin" / name, tools / "venv" / "bin" / name):
        if path.exists():
            return str(path)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def wait_until(what, probe, seconds=15.0, child=None, log=None):
    """Polls `probe` until it is true; says what was awaited, and how the log ends, when it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if probe():
            return
        if child is not None and child.poll() is not None:
            raise RuntimeError(f"{what}: process ended with {child.returncode}{tail(log)}")
        time.sleep(0.02)
    raise RuntimeError(f"{what}: not within {seconds:.0f} s{tail(log)}")


def tail(log, lines=15):
    if not log or not Path(log).exists():
        return ""
    text = Path(log).read_text(errors="replace").splitlines()[-lines:]
    return "\n  " + "\n  ".join(text) if text else ""
