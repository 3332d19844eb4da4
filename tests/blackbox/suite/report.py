"""What a run says: lines on the way, a summary by theme, JSON, and the Markdown table."""

from dataclasses import dataclass

from .case import THEMES

MARKS = {"pass": "pass", "fail": "**fail**", "skip": "–"}


@dataclass
class Run:
    """One proxy's results."""

    proxy: str
    version: str
    results: list
    seconds: float

    def count(self, outcome, theme=None):
        return sum(r.outcome == outcome and theme in (None, r.case.theme) for r in self.results)

    def outcome(self, name):
        return next((r.outcome for r in self.results if r.case.full_name == name), "skip")

    def as_json(self):
        return {
            "proxy": self.proxy,
            "version": self.version,
            "seconds": round(self.seconds, 1),
            "passed": self.count("pass"),
            "failed": self.count("fail"),
            "skipped": self.count("skip"),
            "cases": [
                {
                    "name": r.case.full_name,
                    "source": r.case.source,
                    "demand": r.case.demand,
                    "outcome": r.outcome,
                    "complaint": r.complaint,
                    "seen": r.seen,
                    "seconds": round(r.seconds, 2),
                }
                for r in self.results
            ],
        }


class Lines:
    """Lines for a person."""

    def __init__(self, out, verbose):
        self.out, self.verbose = out, verbose

    def say(self, line):
        print(line, file=self.out, flush=True)

    def case(self, result):
        name = result.case.full_name
        if result.outcome == "fail":
            self.say(f"FAILED  {name}: {result.complaint}\n        {result.case.demand} ({result.case.source})")
            if result.seen:
                self.say(f"        seen: {result.seen[:400]}")
        elif self.verbose:
            more = result.complaint or result.seen[:200]
            self.say(f"{result.outcome:<7} {name} ({result.seconds:.1f} s) {more}")

    def summary(self, run):
        for theme in THEMES.values():
            counts = [run.count(outcome, theme.name) for outcome in ("pass", "fail", "skip")]
            if any(counts):
                self.say(f"{run.proxy}: {theme.title}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
        counts = [run.count(outcome) for outcome in ("pass", "fail", "skip")]
        self.say(
            f"{run.proxy} {run.version}: {sum(counts)} cases: {counts[0]} passed, {counts[1]} failed, "
            f"{counts[2]} skipped; {run.seconds:.0f} s"
        )


def table(runs):
    """The Markdown of all results."""
    lines = ["| | " + " | ".join(f"{run.proxy} {run.version}" for run in runs) + " |", "|---|" + "---|" * len(runs)]
    for label, outcome in (("passed", "pass"), ("failed", "fail"), ("not tried (–)", "skip")):
        lines.append(f"| {label} | " + " | ".join(str(run.count(outcome)) for run in runs) + " |")
    names = {result.case.full_name for run in runs for result in run.results}
    for theme in THEMES.values():
        cases = [case for case in theme.cases if case.full_name in names]
        if not cases:
            continue
        lines += ["", f"## {theme.title}", "", "| case | what is demanded | " + " | ".join(run.proxy for run in runs) + " |"]
        lines.append("|---|---|" + "---|" * len(runs))
        for case in cases:
            demand = f"{case.demand} ({case.source})".replace("|", "\\|")
            marks = " | ".join(MARKS[run.outcome(case.full_name)] for run in runs)
            lines.append(f"| {case.name} | {demand} | {marks} |")
    return "\n".join(lines) + "\n"
