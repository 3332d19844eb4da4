"""What a run says: lines on the way, a summary by theme, JSON, and the Markdown table."""

from dataclasses import dataclass

from .case import THEMES

#: what is above this line in a file belongs to its author
MARKER = "<!-- tests/blackbox/run --table writes what follows -->\n"
MARKS = {"pass": "pass", "fail": "**fail**", "known": "**fail**", "skip": "–"}
OUTCOMES = {"pass": "passed", "fail": "failed", "known": "known failures", "skip": "skipped"}


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
            "known": self.count("known"),
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
        elif result.outcome == "known":
            self.say(f"known   {name}: {result.complaint}")
        elif self.verbose:
            more = result.complaint or result.seen[:200]
            self.say(f"{result.outcome:<7} {name} ({result.seconds:.1f} s) {more}")

    def summary(self, run):
        for theme in THEMES.values():
            if any(run.count(outcome, theme.name) for outcome in OUTCOMES):
                self.say(f"{run.proxy}: {theme.title}: {counted(run, theme.name)}")
        self.say(f"{run.proxy} {run.version}: {len(run.results)} cases: {counted(run)}; {run.seconds:.0f} s")


def counted(run, theme=None):
    """The numbers of each outcome; known failures only where there are any."""
    counts = {word: run.count(outcome, theme) for outcome, word in OUTCOMES.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count or word != "known failures")


def known_failures(path):
    """Names and reasons of the list."""
    lines = [line.split(None, 1) for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: reason for name, reason in lines}


def mark_known(result, known):
    """Marks a failure that is on the list; one on the list that passes is a failure."""
    reason = known.get(result.case.full_name)
    if reason and result.outcome == "fail":
        result.outcome, result.complaint = "known", f"{reason} ({result.complaint})"
    elif reason and result.outcome == "pass":
        result.outcome, result.complaint = "fail", "passes, and is still on the list of known failures"


def table(runs):
    """The Markdown of all results."""
    lines = ["| | " + " | ".join(f"{run.proxy} {run.version}" for run in runs) + " |", "|---|" + "---|" * len(runs)]
    for label, outcomes in (("passed", ["pass"]), ("failed", ["fail", "known"]), ("not tried (–)", ["skip"])):
        lines.append(f"| {label} | " + " | ".join(str(sum(map(run.count, outcomes))) for run in runs) + " |")
    ran = {result.case.full_name for run in runs for result in run.results}
    for theme in THEMES.values():
        cases = [case for case in theme.cases if case.full_name in ran]
        if not cases:
            continue
        lines += ["", f"## {theme.title}", "", "| case | what is demanded | " + " | ".join(run.proxy for run in runs) + " |"]
        lines.append("|---|---|" + "---|" * len(runs))
        rows = {}
        for case in cases:
            # Cases that demand the same and got the same share a row.
            demand = f"{case.demand} ({case.source})".replace("|", "\\|")
            marks = " | ".join(MARKS[run.outcome(case.full_name)] for run in runs)
            rows.setdefault((demand, marks), []).append(case.name)
        lines += [f"| {', '.join(names)} | {demand} | {marks} |" for (demand, marks), names in rows.items()]
    return "\n".join(lines) + "\n"


def write_table(path, runs):
    """Writes the table; where the file has the marker, only what follows it."""
    kept = ""
    if path.exists() and MARKER in path.read_text():
        kept = path.read_text().split(MARKER)[0] + MARKER + "\n"
    path.write_text(kept + table(runs))
