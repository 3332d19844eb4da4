"""curl: what people try first."""

import hashlib
import json
import re
import subprocess
import time

from suite.check import Failed, check, demand, equal, run_tool

FORMAT = "%{http_version} %{http_code} %{num_connects} %{content_type}"


def curl(stand, *arguments, port="tls", path="/hello", host="shop.test", seconds=20):
    """Runs curl on one URL; its result, with what `FORMAT` says as `facts`."""
    weir = stand.weir
    scheme = "http" if port == "clear" else "https"
    url = f"{scheme}://{host}:{weir.ports[port]}{path}"
    resolve = f"{host}:{weir.ports[port]}:127.0.0.1"
    done = run_tool(
        ["curl", "-sS", "--max-time", seconds - 2, "--cacert", stand.certs.ca, "--resolve", resolve,
         "-w", f"\n{FORMAT}", *arguments, url],
        seconds,
    )  # fmt: skip
    done.body, _, facts = done.stdout.rpartition("\n")
    done.version, done.status, *_ = facts.split(" ") if facts else ("", "")
    return done


def expect(done, version, status, body=None):
    demand(done.returncode == 0, f"curl ended with {done.returncode}: {done.stderr}")
    equal((done.version, done.status), (version, str(status)), "version and status")
    if body is not None:
        equal(done.body, body, "body")


HELLO = "hello from stable\n"


@check("curl: HTTP/1.1 in the clear")
def _(stand):
    expect(curl(stand, port="clear"), "1.1", 200, HELLO)


@check("curl: HTTP/1.0 in the clear")
def _(stand):
    expect(curl(stand, "--http1.0", port="clear"), "1.1", 200, HELLO)


@check("curl: HTTP/2 by ALPN")
def _(stand):
    expect(curl(stand), "2", 200, HELLO)


@check("curl: HTTP/1.1 by ALPN")
def _(stand):
    expect(curl(stand, "--http1.1"), "1.1", 200, HELLO)


@check("curl: HTTP/1.1 without ALPN")
def _(stand):
    expect(curl(stand, "--no-alpn"), "1.1", 200, HELLO)


@check("curl: HTTP/2 by prior knowledge, in the clear")
def _(stand):
    expect(curl(stand, "--http2-prior-knowledge", port="clear"), "2", 200, HELLO)


@check("curl: an Upgrade to h2c is not taken up, the request is answered")
def _(stand):
    expect(curl(stand, "--http2", port="clear"), "1.1", 200, HELLO)


@check("curl: TLS 1.2 and TLS 1.3")
def _(stand):
    for version in ("1.2", "1.3"):
        expect(curl(stand, f"--tlsv{version}", "--tls-max", version), "2", 200, HELLO)


@check("curl: TLS 1.1 is refused")
def _(stand):
    done = curl(stand, "--tlsv1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
    equal(done.returncode, 35, "exit code for a handshake that failed")


@check("curl: the certificate of the name, exact and wildcard")
def _(stand):
    for host, name in (("shop.test", "shop.test"), ("a.apps.test", "*.apps.test")):
        done = curl(stand, "-v", host=host)
        expect(done, "2", 200)
        demand(f"CN={name}" in done.stderr, f"{host} got another certificate: {done.stderr}")


@check("curl: a name that no certificate has is refused by the client")
def _(stand):
    equal(curl(stand, host="other.test").returncode, 60, "exit code for a certificate of another name")


def with_certificate(stand, name, *more, **how):
    certificate, key = getattr(stand.certs, name)
    return curl(stand, "--cert", certificate, "--key", key, *more, port="mutual", **how)


@check("curl: a client certificate, and the identity reaches the origin")
def _(stand):
    for version in ("--http1.1", "--http2"):
        done = with_certificate(stand, "client", version, "-H", "X-Client-Cert: forged", path="/head")
        expect(done, version[-1] if version == "--http2" else "1.1", 200)
        fields = dict(json.loads(done.body)["fields"])
        seen = {name: value for name, value in fields.items() if "client-cert" in name}
        demand(any("alice@clients.test" in value for value in seen.values()), f"no identity in {fields}")


@check("curl: no client certificate, or a stranger's, is refused")
def _(stand):
    demand(curl(stand, port="mutual").returncode in (35, 55, 56, 16), "no certificate was accepted")
    demand(with_certificate(stand, "stranger").returncode in (35, 55, 56, 16), "a stranger's certificate was accepted")


@check("curl: another Host than the handshake's is 421 where certificates are asked for")
def _(stand):
    for version, number in (("--http1.1", "1.1"), ("--http2", "2")):
        expect(with_certificate(stand, "client", version, "-H", "Host: a.apps.test"), number, 421)


@check("curl: plain HTTP on a TLS port is told so")
def _(stand):
    url = f"http://127.0.0.1:{stand.weir.ports['tls']}/hello"
    done = run_tool(["curl", "-sS", "--max-time", 10, "-w", "\n%{http_code}", url])
    body, _, status = done.stdout.rpartition("\n")
    equal((done.returncode, status), (0, "400"), "exit code and status")
    demand("TLS" in body or "https" in body.lower(), f"the answer does not say why: {body!r}")


@check("curl: TLS on a plain port fails at once")
def _(stand):
    began = time.monotonic()
    url = f"https://127.0.0.1:{stand.weir.ports['clear']}/hello"
    equal(run_tool(["curl", "-sSk", "--max-time", 10, url]).returncode, 35, "exit code for a handshake that failed")
    demand(time.monotonic() - began < 5, "it took as long as a timeout")


@check("curl: sessions of TLS 1.3 are resumed")
def _(stand):
    # curl keeps sessions within one run; a connection that the origin's answer ends is made anew for the next URL.
    url = f"https://shop.test:{stand.weir.ports['tls']}/hello"
    done = run_tool(
        ["curl", "-sSv", "--max-time", 10, "--cacert", stand.certs.ca, "-H", "Connection: close", "--http1.1",
         "--resolve", f"shop.test:{stand.weir.ports['tls']}:127.0.0.1", url, url],
    )  # fmt: skip
    equal((done.returncode, done.stdout), (0, HELLO * 2), "exit code and bodies")
    demand("re-using session ID" in done.stderr, f"no session was used again: {done.stderr[-600:]}")
    equal(len(re.findall(r"TLS handshake, Certificate \(11\)", done.stderr)), 1, "certificates that were shown")


@check("openssl: sessions of TLS 1.2 are resumed")
def _(stand):
    session = stand.folder / "session"
    for arguments, wanted in ((["-sess_out", session], "New"), (["-sess_in", session], "Reused")):
        done = run_tool(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{stand.weir.ports['tls']}", "-servername", "shop.test",
             "-CAfile", stand.certs.ca, "-verify_return_error", "-tls1_2", *arguments],
        )  # fmt: skip
        demand(f"{wanted}, TLSv1.2" in done.stdout, f"{wanted} is not in {done.stdout[-800:]} {done.stderr[-400:]}")


@check("curl: an upload of 20 MB with Expect: 100-continue", seconds=40)
def _(stand):
    content = bytes(range(251)) * 80_000
    path = stand.folder / "upload"
    path.write_bytes(content)
    for arguments in (["--http1.1"], ["--http2"], ["--http1.1", "-H", "Transfer-Encoding: chunked"]):
        done = curl(
            stand, "-v", "-T", path, "-H", "Expect: 100-continue", "--expect100-timeout", 15, *arguments,
            path="/upload", seconds=30,
        )  # fmt: skip
        demand(done.returncode == 0, f"{arguments}: {done.stderr[-600:]}")
        about = json.loads(done.body)
        equal((about["length"], about["sha256"]), (len(content), hashlib.sha256(content).hexdigest()), str(arguments))
        if arguments == ["--http1.1"]:
            demand("100 Continue" in done.stderr, "no 100 came")


@check("curl: a download of 20 MB over each version", seconds=40)
def _(stand):
    wanted = hashlib.sha256((bytes(range(256)) * 256 * 306)[:20_000_000]).hexdigest()
    for version, port in (("--http1.1", "clear"), ("--http1.1", "tls"), ("--http2", "tls"), ("--http2-prior-knowledge", "clear")):
        target = stand.folder / "download"
        done = curl(stand, version, "-o", target, port=port, path="/bytes/20000000")
        demand(done.returncode == 0, f"{version} {port}: {done.stderr}")
        equal(hashlib.sha256(target.read_bytes()).hexdigest(), wanted, f"{version} {port}")


@check("curl: events come one by one, over each version", seconds=30)
def _(stand):
    for version, port in (("--http1.1", "clear"), ("--http1.1", "tls"), ("--http2", "tls"), ("--http2-prior-knowledge", "clear")):
        stream = f"curl{version}-{port}"
        url = stand.weir.url(f"/events?stream={stream}&count=5", port, "shop.test" if port == "tls" else "127.0.0.1")
        resolve = f"shop.test:{stand.weir.ports[port]}:127.0.0.1"
        child = subprocess.Popen(
            ["curl", "-sSN", "--max-time", "15", version, "--cacert", stand.certs.ca, "--resolve", resolve, url],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        delays = []
        with child:
            for line in child.stdout:
                if line.startswith("data: "):
                    delays.append(time.monotonic() - float(line[6:]))
                    # Only now does the origin send the next one.
                    stand.http.acknowledge(stream)
        equal((child.returncode, len(delays)), (0, 5), f"{version} {port}: exit code and events")
        demand(max(delays) < 2, f"{version} {port}: an event took {max(delays):.3f} s")


@check("curl: four downloads side by side over one connection")
def _(stand):
    port = stand.weir.ports["tls"]
    done = run_tool(
        ["curl", "-sS", "--max-time", 15, "--http2", "--parallel", "--parallel-max", 4, "--cacert", stand.certs.ca,
         "--resolve", f"shop.test:{port}:127.0.0.1", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{num_connects}\n",
         f"https://shop.test:{port}/bytes/1000000?[1-8]"],
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()]
    equal([row[:2] for row in rows], [["200", "1000000"]] * 8, "statuses and sizes")
    demand(sum(int(row[2]) for row in rows) <= 4, f"connections: {rows}")


@check("curl: the assignment cookie keeps its user on one backend")
def _(stand):
    for number, port in enumerate(("clear", "tls") * 4):
        jar = stand.folder / f"jar-{number}"
        seen = {curl(stand, "-b", jar, "-c", jar, port=port, path="/split/hello").body for _ in range(5)}
        equal(len(seen), 1, "backends of one user")


@check("curl: trailers and interim responses are shown")
def _(stand):
    for version in ("--http1.1", "--http2"):
        done = curl(stand, version, "-i", path="/trailers")
        demand(done.returncode == 0 and "x-sum: 20" in done.stdout.lower(), f"{version}: {done.stdout} {done.stderr}")


@check("curl: HEAD, and a client that leaves is seen by the origin")
def _(stand):
    expect(curl(stand, "-I"), "2", 200)
    for version, port in (("--http1.1", "clear"), ("--http2", "tls")):
        name = f"curl{version}"
        done = curl(stand, version, "--max-time", "0.5", port=port, path=f"/hold/{name}")
        equal(done.returncode, 28, "exit code for a timeout")
        deadline = time.monotonic() + 5
        while stand.http.held(name) != "gone":
            if time.monotonic() > deadline:
                raise Failed(f"{version}: the origin still waits: {stand.http.held(name)}")
            time.sleep(0.02)
