"""Runs cases in parallel: each worker has an origin and a proxy of its own, and runs one case at a time on them."""

import queue
import threading
import time
import traceback
from dataclasses import dataclass

from .case import Skip, Trial, Wrong
from .origin import Origin

#: a case takes longer than this only by a fault of the suite
LIMIT = 40.0


@dataclass
class Result:
    case: object
    #: pass, fail or skip
    outcome: str
    #: what was wrong
    complaint: str
    #: what was observed
    seen: str
    seconds: float


class Worker:
    """One origin, one proxy before it."""

    def __init__(self, kind, folder, certificate, binary, processes):
        self.kind, self.folder, self.certificate, self.binary = kind, folder, certificate, binary
        self.processes = processes
        self.origin = Origin()
        self.proxy = None
        self.starts = 0
        self.cases = 0

    def ensure(self):
        """A proxy that runs; a new one where the last one is gone."""
        if self.proxy and self.proxy.is_running():
            return
        self.starts += 1
        self.origin.begin()
        folder = self.folder / str(self.starts)
        folder.mkdir(parents=True)
        self.proxy = self.kind(folder, self.origin.port, self.certificate, self.binary)
        self.proxy.start(self.processes)

    def run(self, case):
        began = time.monotonic()
        outcome, complaint, trial = "fail", "", None
        try:
            self.ensure()
            missing = [need for need in case.needs if need not in self.proxy.offers]
            if missing:
                return Result(case, "skip", f"offers no {', '.join(missing)}", "", 0.0)
            self.cases += 1
            self.origin.begin()
            trial = Trial(self.proxy, self.origin, self.cases)
            try:
                case.run(trial)
                trial.settle()
                outcome = "pass"
            finally:
                trial.finish()
        except Skip as skip:
            outcome, complaint = "skip", str(skip)
        except Wrong as wrong:
            complaint = str(wrong)
        except Exception:
            complaint = "the case broke: " + traceback.format_exc(limit=-3).strip().replace("\n", " | ")
        complaint += self.tidy(trial)
        seconds = time.monotonic() - began
        if seconds > LIMIT:
            outcome, complaint = "fail", f"took {seconds:.0f} s; {complaint}"
        if outcome == "pass" and complaint:
            outcome = "fail"
        return Result(case, outcome, complaint, "; ".join(trial.notes) if trial else "", seconds)

    def tidy(self, trial):
        """Ends a proxy that does not serve others after a case; a proxy that is gone is the case's fault."""
        if trial is None:
            return ""
        self.origin.begin()
        if not self.proxy.is_running():
            return f"; the proxy ended with {self.proxy.child.returncode}"
        if not trial.probe(wait=8.0):
            self.proxy.stop(self.processes)
            return "; afterwards the proxy served nobody"
        return ""

    def stop(self):
        if self.proxy:
            self.proxy.stop(self.processes)
        self.origin.stop()


def run(cases, workers, report=lambda result: None):
    """Results of all cases, in the order of the cases."""
    todo = queue.Queue()
    for case in sorted(cases, key=lambda case: -case.takes):
        todo.put(case)
    results, lock = {}, threading.Lock()

    def work(worker):
        while True:
            try:
                case = todo.get_nowait()
            except queue.Empty:
                return
            result = worker.run(case)
            with lock:
                results[case.full_name] = result
                report(result)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[case.full_name] for case in cases]
