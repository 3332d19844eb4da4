"""kill -9 at random moments, while changes come by the API and by the file.

After every start: each acknowledged change is in the history as it was acknowledged, nothing half of a change is in force, and the audit's
chain holds.
"""

import http.client
import random
import threading
import time

from .process import Refused

TOTAL = 1000


class Writer(threading.Thread):
    """Changes weights by the API until the process is gone; every change sets both weights, and they add up to 1000."""

    def __init__(self, weir, name, seed):
        super().__init__(daemon=True)
        self._admin, self._random = weir.admin(name), random.Random(seed)
        self.acknowledged, self.refused, self.last = [], 0, None

    def run(self):
        while True:
            canary = self._random.randint(0, TOTAL)
            body = {"weights": {"stable": TOTAL - canary, "canary": canary}, "reason": f"{canary}"}
            self.last = canary
            try:
                answer, _ = self._admin.call("PUT", "/v1/routes/shop/weights", body)
            except Refused:
                self.refused += 1
                continue
            except (OSError, http.client.HTTPException):
                return
            if answer["changed"]:
                self.acknowledged.append((answer["revision"], canary))


class Killer(Writer):
    """Throws the kill switch of another route on and off."""

    def run(self):
        on = False
        while True:
            on = not on
            try:
                method = "PUT" if on else "DELETE"
                answer, _ = self._admin.call(method, "/v1/routes/other/kill-switch", {"reason": "drill"})
            except Refused:
                self.refused += 1
                continue
            except (OSError, http.client.HTTPException):
                return
            if answer["changed"]:
                self.acknowledged.append((answer["revision"], on))
            time.sleep(self._random.uniform(0, 0.02))


class Editor(threading.Thread):
    """Writes the control file anew every now and then."""

    def __init__(self, weir, seed):
        super().__init__(daemon=True)
        self._weir, self._random, self.stop = weir, random.Random(seed), threading.Event()

    def run(self):
        while not self.stop.wait(self._random.uniform(0.03, 0.2)):
            canary = self._random.randint(1, 99)
            self._weir.write(100 - canary, canary)


class Crashes:
    """The campaign; `faults` has what was wrong."""

    def __init__(self, weir, seed):
        self.weir, self.random = weir, random.Random(seed)
        self.faults, self.starts, self.changes = [], [], 0

    def run(self, rounds):
        for number in range(rounds):
            self.starts.append(self.weir.start())
            writers = [Writer(self.weir, f"writer-{n}", self.random.random()) for n in range(2)]
            killer, editor = Killer(self.weir, "killer", self.random.random()), Editor(self.weir, self.random.random())
            for thread in (*writers, killer, editor):
                thread.start()
            time.sleep(self.random.uniform(0.01, 0.35))
            self.weir.kill()
            editor.stop.set()
            for thread in (*writers, killer, editor):
                thread.join()
            self.starts.append(self.weir.start())
            self._check(number, writers, killer)
            self.weir.kill()
        return self

    def _check(self, number, writers, killer):
        admin = self.weir.admin("checker")
        fault = lambda text: self.faults.append(f"round {number}: {text}")
        # Alone, a row that went through is enough: what came after may have been on its way.
        acknowledged = sorted(change for writer in writers for change in writer.acknowledged)
        self.changes += len(acknowledged) + len(killer.acknowledged)
        status, _ = admin.call("GET", "/v1/status")
        for revision, canary in acknowledged[-20:]:
            try:
                kept, _ = admin.call("GET", f"/v1/revisions/{revision}")
            except Refused as refused:
                fault(f"r{revision} was acknowledged and is not there: {refused}")
                continue
            weights = kept["overlay"]["routes"]["shop"]["weights"]
            if kept["action"] != "set_weights" or weights != {"stable": TOTAL - canary, "canary": canary}:
                fault(f"r{revision} was acknowledged with {canary} and says {kept['action']} {weights}")
        for revision, on in killer.acknowledged[-5:]:
            try:
                kept, _ = admin.call("GET", f"/v1/revisions/{revision}")
                if kept["action"] != ("kill" if on else "unkill"):
                    fault(f"r{revision} was acknowledged as a kill and says {kept['action']}")
            except Refused as refused:
                fault(f"the kill r{revision} was acknowledged and is not there: {refused}")
        newest = max([0, *(revision for revision, _ in acknowledged), *(revision for revision, _ in killer.acknowledged)])
        if status["revision"] < newest:
            fault(f"r{status['revision']} runs, and r{newest} was acknowledged")
        weights, _ = admin.call("GET", "/v1/routes/shop/weights")
        weights = weights["weights"]
        if acknowledged:
            if sum(weights.values()) != TOTAL:
                fault(f"half of a change is in force: {weights}")
            candidates = {acknowledged[-1][1], *(writer.last for writer in writers)}
            if weights["canary"] not in candidates:
                fault(f"canary={weights['canary']} runs, and {acknowledged[-1]} was the last that was acknowledged")
        if killer.acknowledged:
            switch, _ = admin.call("GET", "/v1/routes/other/kill-switch")
            later = [True, False] if killer.is_alive() else {killer.acknowledged[-1][1], not killer.acknowledged[-1][1]}
            if switch["active"] not in later:
                fault("the kill switch is neither as acknowledged nor as asked last")
        verified, _ = admin.call("GET", "/v1/audit/verify")
        if not verified["ok"]:
            fault(f"the audit does not hold: {verified['problem']}")
        if not status["store"]["persisted"] or status["store"].get("error"):
            fault(f"the store is not well: {status['store']}")
        admin.close()
