"""nghttp, of nghttp2: an HTTP/2 client that shows its frames and offers what browsers seldom do."""

import re

from suite.check import check, demand, equal, run_tool


def nghttp(stand, port, paths, *arguments):
    urls = [stand.weir.url(path, port, "localhost") for path in paths]
    done = run_tool(["nghttp", "-t", 15, *arguments, *urls])
    demand(done.returncode == 0 and "[ERROR]" not in done.stderr, f"nghttp ended with {done.returncode}: {done.stdout[-600:]} {done.stderr[-400:]}")
    return done.stdout


def statuses(output):
    return re.findall(r"recv \(stream_id=(\d+)\) :status: (\d+)", output)


@check("nghttp: requests side by side on one connection")
def _(stand):
    for port in ("clear", "tls"):
        # The first response goes on only when the last request was served: no stream waits for another.
        stream = f"nghttp-{port}"
        paths = [f"/events?stream={stream}&count=1", *(f"/bytes/{size}" for size in (300_000, 10, 100_000, 0, 1)), f"/acknowledge?stream={stream}"]
        output = nghttp(stand, port, paths, "-nvy", "--no-dep")
        equal(sorted(status for _, status in statuses(output)), ["200"] * 7, f"{port}: statuses")
        equal(len({number for number, _ in statuses(output)}), 7, f"{port}: streams")


@check("nghttp: trailers both ways")
def _(stand):
    output = nghttp(stand, "tls", ["/trailers"], "-nvy")
    demand(re.search(r"recv \(stream_id=\d+\) x-sum: 20", output), f"no trailers came: {output[-800:]}")
    content = stand.folder / "nghttp-data"
    content.write_bytes(b"12345")
    output = nghttp(stand, "clear", ["/upload"], "-y", "-d", content, "--trailer", "x-sum: 5", "--no-content-length", "-H", "te: trailers")
    demand('["x-sum", "5"]' in output, f"no trailers went up: {output}")


@check("nghttp: padding, weights and a small window")
def _(stand):
    content = stand.folder / "nghttp-padded"
    content.write_bytes(bytes(50_000))
    output = nghttp(stand, "tls", ["/upload"], "-y", "-b", 255, "-p", 200, "-w", 10, "-W", 12, "-d", content)
    demand('"length": 50000' in output, f"not what was sent: {output}")


@check("nghttp: Expect: 100-continue")
def _(stand):
    content = stand.folder / "nghttp-expect"
    content.write_bytes(bytes(50_000))
    output = nghttp(stand, "tls", ["/upload"], "-nvy", "--expect-continue", "-d", content)
    equal([status for _, status in statuses(output)], ["100", "200"], "statuses")


@check("nghttp: a header list that is continued in several frames")
def _(stand):
    fields = [piece for number in range(12) for piece in ("-H", f"x-long-{number}: {'v' * 1000}{number}")]
    output = nghttp(stand, "tls", ["/head"], "-y", "--no-content-length", *fields)
    for number in range(12):
        demand(f'"x-long-{number}", "{"v" * 1000}{number}"' in output, f"field {number} is missing: {output[:400]}")


@check("nghttp: what Weir announces")
def _(stand):
    output = nghttp(stand, "tls", ["/hello"], "-nvy")
    for setting in ("SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100", "SETTINGS_MAX_HEADER_LIST_SIZE(0x06):16384", "SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1"):
        demand(setting in output or re.search(re.escape(setting.replace("ENABLE_CONNECT_PROTOCOL", "UNKNOWN")), output), f"{setting} is not in {output[:1500]}")
    demand("The negotiated protocol: h2" in output, "no ALPN")
