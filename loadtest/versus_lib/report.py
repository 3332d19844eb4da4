"""The tables: medians over rounds, the spread beside them, ratios to HAProxy and nginx."""

from dataclasses import asdict
from statistics import median

PEERS = ("haproxy", "nginx")


def summarise(rounds):
    """Medians of each figure, and the least and greatest of the first one."""
    table = [asdict(one) for one in rounds]
    middle = {figure: median(row[figure] for row in table) for figure in table[0]}
    first = "idle_kib" if middle["idle_kib"] or not middle["requests"] else "cpu_us"
    middle["least"], middle["greatest"] = (f(row[first] for row in table) for f in (min, max))
    return middle


def table(scenario, results):
    """The lines of one scenario's table. `results` is proxy name → list of rounds."""
    figures = {name: summarise(rounds) for name, rounds in results.items() if rounds}
    if not figures:
        return [f"{scenario.title}: nothing measured"]
    first = "idle_kib" if scenario.idle else "cpu_us"
    peers = [peer for peer in PEERS if peer in figures]
    heads = ["proxy", "KiB/conn" if scenario.idle else "CPU µs/req", "min–max"]
    heads += [] if scenario.idle else ["user", "kernel"]
    heads += [f"× {peer}" for peer in peers]
    heads += ["RSS MiB"] if scenario.idle else ["req/s", "p50 ms", "p99 ms", "busy", "RSS MiB"]
    rows = [heads]
    for name, of in sorted(figures.items(), key=lambda item: item[1][first]):
        row = [name, f"{of[first]:.2f}", f"{of['least']:.2f}–{of['greatest']:.2f}"]
        row += [] if scenario.idle else [f"{of['user_us']:.2f}", f"{of['system_us']:.2f}"]
        row += [_ratio(of[first], figures[peer][first]) for peer in peers]
        if not scenario.idle:
            row += [f"{of['per_second']:,.0f}", _known(of["p50_ms"]), _known(of["p99_ms"]), f"{of['busy']:.0%}"]
        rows.append([*row, f"{of['rss_mib']:.1f}"])
    return ["", f"{scenario.name} – {scenario.title}", *_aligned(rows)]


def _known(milliseconds):
    return f"{milliseconds:.2f}" if milliseconds > 0 else "–"


def _ratio(value, base):
    return f"{value / base:.2f}" if base > 0 else "–"


def _aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip())
    lines.insert(1, "  " + "  ".join("─" * width for width in widths))
    return lines
