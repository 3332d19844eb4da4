"""Writers that race: each reads, and writes only if nobody was faster."""

import threading
import time

from .process import Refused


class Racer(threading.Thread):
    def __init__(self, weir, name, end):
        super().__init__(daemon=True)
        self._admin, self._end, self.name = weir.admin(name), end, name
        self.accepted, self.conflicts, self.faults = [], 0, []

    def run(self):
        number = 0
        while time.monotonic() < self._end:
            seen, tag = self._admin.call("GET", "/v1/routes/shop/weights")
            number += 1
            canary = (seen["weights"]["canary"] + 1) % 900
            body = {"weights": {"canary": canary}, "reason": f"{self.name}/{number}"}
            try:
                answer, _ = self._admin.call("PATCH", "/v1/routes/shop/weights", body, {"If-Match": tag})
                self.accepted.append((answer["revision"], f"{self.name}/{number}", canary))
            except Refused as refused:
                self.conflicts += 1
                current = refused.problem.get("current", {})
                if refused.status != 412 or "weights" not in current or current["revision"] <= int(tag.strip('"r')):
                    self.faults.append(f"{tag}: {refused}")


class Races:
    def __init__(self, weir):
        self.weir, self.faults = weir, []

    def run(self, seconds, writers=8):
        self.weir.start()
        end = time.monotonic() + seconds
        racers = [Racer(self.weir, f"racer-{n}", end) for n in range(writers)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        self.faults = [fault for racer in racers for fault in racer.faults]
        self.accepted = sorted(change for racer in racers for change in racer.accepted)
        self.conflicts = sum(racer.conflicts for racer in racers)
        numbers = [revision for revision, _, _ in self.accepted]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            self.faults.append("the accepted revisions have gaps, or one was given twice")
        self._compare(self.weir.admin("checker"))
        return self

    def _compare(self, admin):
        """Every accepted change is in the audit once, in order."""
        rows, cursor = [], ""
        while True:
            page, _ = admin.call("GET", f"/v1/audit?limit=500&action=set_weights{cursor}")
            rows += page["rows"]
            if "next" not in page:
                break
            cursor = f"&cursor={page['next']}"
        written = [(row["revision"], row["origin"]["reason"], row["to"]["canary"]) for row in reversed(rows)]
        if written != self.accepted:
            self.faults.append(f"{len(self.accepted)} changes were accepted, and the audit has {len(written)}, or others")
