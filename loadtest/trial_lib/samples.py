"""Samples of a process: memory, descriptors, threads, and the gauges it shows itself; and what their course says."""

import csv
import os
import re
import statistics
import time
import urllib.request
from pathlib import Path

COLUMNS = ("seconds", "rss_kib", "descriptors", "threads", "connections", "in_flight", "requests")
GAUGES = {"connections": "weir_connections", "in_flight": "weir_requests_in_flight", "requests": "weir_route_requests_total"}

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def metrics(admin_url):
    """The sum of each metric over its labels."""
    with _opener.open(f"{admin_url}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    sums = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", page, re.M):
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def sample(pid, admin_url, since):
    """One row."""
    seen = metrics(admin_url)
    status = Path(f"/proc/{pid}/status").read_text()
    row = {
        "seconds": round(time.monotonic() - since, 1),
        "rss_kib": int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
    }
    return row | {column: int(seen.get(metric, 0)) for column, metric in GAUGES.items()}


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def growth(rows, column):
    """What a column gained: by its regression line from first row to last, and between the medians of its first and last third."""
    times, values = [row["seconds"] for row in rows], [row[column] for row in rows]
    slope = statistics.linear_regression(times, values).slope if times[-1] > times[0] else 0.0
    third = max(1, len(values) // 3)
    thirds = statistics.median(values[-third:]) - statistics.median(values[:third])
    return slope * (times[-1] - times[0]), thirds


def judge(rows, bounds):
    """For each column of `bounds` (column → (share, absolute)): the line of the verdict, and whether it holds.

    A column grows when both measures say so: one outlier bends a line, and a saw tooth moves a median."""
    for column, (share, least) in bounds.items():
        middle = statistics.median(row[column] for row in rows)
        bound = max(least, share * middle)
        line, thirds = growth(rows, column)
        holds = min(line, thirds) <= bound
        text = f"{column}: median {middle:g}, growth {line:+.0f} by regression, {thirds:+.0f} by medians of thirds, bound {bound:.0f}"
        yield text, holds
