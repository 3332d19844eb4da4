"""h2load, of nghttp2: many requests at once, none of which may fail."""

import re

from suite.check import check, demand, run_tool


def load(stand, port, path, *arguments, requests=2000):
    url = stand.weir.url(path, port)
    done = run_tool(["h2load", "-n", requests, "-c", 8, "-m", 32, "-T", 10, *arguments, url], 30)
    demand(done.returncode == 0, f"h2load ended with {done.returncode}: {done.stderr[-400:]}")
    lines = dict(re.findall(r"^(requests|status codes): (.*)$", done.stdout, re.MULTILINE))
    counts = {what: int(count) for count, what in re.findall(r"(\d+) (succeeded|failed|errored|timeout)", lines["requests"])}
    good = re.search(r"(\d+) 2xx", lines["status codes"])
    bad = {what: counts[what] for what in ("failed", "errored", "timeout") if counts[what]}
    demand(not bad and counts["succeeded"] == requests, f"{lines}")
    demand(int(good[1]) == requests, f"{lines}")
    return done.stdout


@check("h2load: HTTP/2 over TLS", seconds=32)
def _(stand):
    demand("Application protocol: h2" in load(stand, "tls", "/hello"), "it spoke no HTTP/2")


@check("h2load: HTTP/2 in the clear", seconds=32)
def _(stand):
    demand("Application protocol: h2c" in load(stand, "clear", "/hello"), "it spoke no HTTP/2")


@check("h2load: HTTP/1.1 over TLS", seconds=32)
def _(stand):
    load(stand, "tls", "/hello", "--h1", "-m", 1)


@check("h2load: responses of 100 kB over TLS, small windows", seconds=32)
def _(stand):
    load(stand, "tls", "/bytes/100000", "-w", 14, "-W", 17, requests=400)


@check("h2load: uploads of 100 kB in the clear", seconds=32)
def _(stand):
    content = stand.folder / "post"
    content.write_bytes(bytes(100_000))
    load(stand, "clear", "/upload", "-d", content, requests=400)
