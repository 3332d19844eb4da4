"""k6: HTTP over h2 and WebSocket, with checks and thresholds of its own."""

import os
from pathlib import Path

from suite.check import check, demand, run_tool
from versus_lib.processes import find_tool

SCRIPT = Path(__file__).resolve().parents[1] / "k6.js"


@check("k6: requests and WebSockets over TLS", seconds=45)
def _(stand):
    binary = find_tool("k6")
    demand(binary, "k6 is missing; ./test setup installs it")
    port = stand.weir.ports["tls"]
    more = {"PORT": str(port), "K6_NO_USAGE_REPORT": "true", "SSL_CERT_FILE": str(stand.certs.ca)}
    done = run_tool([binary, "run", "--quiet", "--no-color", SCRIPT], 40, env={**os.environ, **more})
    demand(done.returncode == 0, f"k6 ended with {done.returncode}: {done.stdout[-1500:]} {done.stderr[-800:]}")
