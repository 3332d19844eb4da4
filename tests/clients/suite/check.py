"""Checks: how they are declared, run side by side, bounded in time, and counted."""

import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from versus_lib.processes import Processes

from .stand import Stand, find_weir

_checks = []


class Failed(Exception):
    """What a client saw is not what it should have seen."""


@dataclass
class Check:
    name: str
    seconds: float
    body: object
    #: what it waits for that Weir does not do yet; it may fail until then, and must not pass
    pending: str | None
    #: checks of one lane run one after the other
    lane: str | None


def check(name, seconds=20, pending=None, lane=None):
    """Declares a check; its function gets the stand."""

    def declare(body):
        if any(other.name == name for other in _checks):
            raise ValueError(f"two checks are called {name}")
        _checks.append(Check(name, seconds, body, pending, lane))
        return body

    return declare


def all_checks():
    return list(_checks)


def demand(condition, what):
    if not condition:
        raise Failed(what)


def equal(seen, wanted, what):
    if seen != wanted:
        raise Failed(f"{what}: {shorten(seen)}, not {shorten(wanted)}")


def shorten(value, limit=600):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def run_tool(argv, seconds=20, **more):
    """Runs a command line client to its end, as text; it is killed when that takes too long."""
    more.setdefault("capture_output", True)
    more.setdefault("text", True)
    try:
        return subprocess.run(list(map(str, argv)), timeout=seconds, stdin=subprocess.DEVNULL, **more)
    except subprocess.TimeoutExpired as expired:
        seen = (expired.stdout or b"")[-800:]
        raise Failed(f"{argv[0]} did not end within {seconds} s; it said {seen!r}") from None


def run_all(chosen, jobs):
    """Runs the checks on one stand; a line for each, and a last line that counts."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="clients-"))
    lock = threading.Lock()
    counts = {"ok": 0, "FAILED": 0, "pending": 0}
    try:
        with Processes() as processes:
            binary = find_weir()
            stand = Stand(folder, binary, processes)
            stand.start()

            def run_one(one):
                start = time.monotonic()
                verdict, text = judge(one, stand)
                with lock:
                    counts[verdict] += 1
                    print(f"{verdict:<7} {one.name} ({time.monotonic() - start:.1f} s)", flush=True)
                    for line in text.splitlines():
                        print(f"        {line}", flush=True)

            def run_lane(lane):
                for one in lane:
                    run_one(one)

            with ThreadPoolExecutor(max_workers=jobs) as pool:
                # The long ones first, so that none of them is left alone at the end.
                list(pool.map(run_lane, sorted(lanes(chosen), key=lambda lane: -sum(one.seconds for one in lane))))
            problems = stand.problems()
            if problems:
                counts["FAILED"] += 1
                print(f"FAILED  weir: ends well\n        {problems}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    pending = f", {counts['pending']} pending" if counts["pending"] else ""
    print(
        f"weir {stand.version}: {sum(counts.values())} cases: {counts['ok']} passed, {counts['FAILED']} failed{pending}"
        f" ({time.monotonic() - began:.1f} s)"
    )
    return 0 if counts["FAILED"] == 0 and counts["ok"] > 0 else 1


def lanes(chosen):
    """The checks in groups of those that have to follow each other."""
    named = {}
    for at, one in enumerate(chosen):
        named.setdefault(one.lane or at, []).append(one)
    return named.values()


def judge(one, stand):
    """The check's verdict, and what there is to say of it."""
    outcome = []

    def body():
        try:
            one.body(stand)
            outcome.append(None)
        except Failed as failure:
            outcome.append(str(failure))
        except BaseException:  # noqa: BLE001 - whatever a client raises is what it saw
            outcome.append("".join(traceback.format_exc().splitlines(keepends=True)[-12:]))

    thread = threading.Thread(target=body, daemon=True, name=one.name)
    thread.start()
    thread.join(one.seconds)
    failure = outcome[0] if outcome else f"not done within {one.seconds} s\n{where(thread)}"
    if failure is None:
        return ("FAILED", f"it passes: no longer pending ({one.pending})") if one.pending else ("ok", "")
    return ("pending", one.pending) if one.pending else ("FAILED", failure)


def where(thread):
    """Where a thread hangs."""
    frame = sys._current_frames().get(thread.ident)
    return "".join(traceback.format_stack(frame)[-4:]) if frame else ""
