"""Two endpoints of stable and one of canary, each a process that behaves as told, and a Weir that knows how to live with them."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from trial_lib import samples
from versus_lib import certificate
from versus_lib.origins import accepts
from versus_lib.processes import free_port, repository, tail, wait_until

ORIGIN = Path(__file__).resolve().parents[1] / "trial_lib" / "origin.py"
BINARY = "weir"

CONFIG = """\
version: 1
workers: 2
data_dir: {folder}/data
admin: {{ bind: 127.0.0.1:{admin} }}
access_log: {{ path: off }}
drain: {{ delay: 0s, timeout: 10s }}
dns: {{ servers: [ "127.0.0.1:{dns}" ] }}
listeners:
  - {{ name: main, bind: 127.0.0.1:{plain} }}
  - name: tls
    bind: 127.0.0.1:{tls}
    protocols: [http/1.1]
    tls: {{ certificates: [ {{ cert_file: {folder}/door/certificate.pem, key_file: {folder}/door/key.pem }} ] }}
backends:
  stable:
    endpoints: [ {{ address: 127.0.0.1:{a} }}, {{ address: 127.0.0.1:{b} }} ]
    health_check: {{ path: /healthz, interval: 500ms, timeout: 500ms, healthy_threshold: 1, unhealthy_threshold: 2 }}
    outlier_detection: {{ consecutive_5xx: 5, consecutive_gateway_failures: 3, base_ejection_time: 1s }}
  canary:
    endpoints: [ {{ address: 127.0.0.1:{c} }} ]
    health_check: {{ path: /healthz, interval: 500ms, timeout: 500ms, healthy_threshold: 1, unhealthy_threshold: 2 }}
  named: {{ endpoints: [ {{ dns: "app.test:{a}" }} ] }}
  secure:
    endpoints: [ {{ address: 127.0.0.1:{s} }} ]
    tls: {{ ca_file: {folder}/origin/certificate.pem, server_name: localhost }}
routes:
  - {{ name: named, match: {{ path: {{ prefix: /named }} }}, backend: named }}
  - {{ name: secure, match: {{ path: {{ prefix: /secure }} }}, backend: secure }}
  - {{ name: bare, match: {{ path: {{ prefix: /bare }} }}, backend: stable, timeouts: {{ connect: 1s, response_headers: 1s }} }}
  - name: demo
    split: {{ key: [ {{ header: X-User-Id }} ], backends: [ {{ name: stable, weight: 80 }}, {{ name: canary, weight: 20 }} ] }}
    timeouts: {{ connect: 1s, response_headers: 1s }}
    retry: {{ attempts: 3, on: [connect_failure, reset_before_response, gateway_error], per_try_timeout: 500ms, budget: 100% }}
    shield: true
"""


class Stand:
    """`a` and `b` are stable, `c` is the canary, `s` speaks TLS."""

    def __init__(self, folder, processes, dns_port):
        self.folder, self._processes, self._children = folder, processes, {}
        self.binary = self.find()
        self.ports = {name: free_port() for name in ("plain", "tls", "admin", "a", "b", "c", "s")} | {"dns": dns_port}
        for name in ("door", "origin"):
            (folder / name).mkdir()
        certificate.write(folder / "door")
        certificate.write(folder / "origin")
        (folder / "weir.yaml").write_text(CONFIG.format(folder=folder, **self.ports))
        for name in "abcs":
            self.start_endpoint(name)
        self.log = folder / "weir.log"
        self.weir = self.start_weir()

    @staticmethod
    def find():
        named = os.environ.get("WEIR_BIN")
        built = Path(named) if named else Path(os.environ.get("CARGO_TARGET_DIR") or repository() / "target") / "dist" / BINARY
        if not built.exists():
            raise RuntimeError("no Weir binary: set WEIR_BIN, or cargo build --profile dist --locked")
        return str(built.absolute())

    # --- endpoints ---

    def start_endpoint(self, name):
        self.behave(name, "ok")
        argv = [sys.executable, ORIGIN, self.ports[name], self._mode(name)]
        self._children[name] = self._processes.start([*argv, self.folder / "origin"] if name == "s" else argv)
        wait_until(f"endpoint {name}", lambda: accepts(self.ports[name]), child=self._children[name])

    def _mode(self, name):
        return self.folder / f"mode-{name}"

    def behave(self, name, mode):
        self._mode(name).write_text(mode)

    def kill_endpoint(self, name):
        self._processes.stop(self._children.pop(name), patience=0)

    def signal_endpoint(self, name, number):
        os.killpg(self._children[name].pid, number)

    # --- Weir ---

    def start_weir(self, *arguments):
        argv = [self.binary, "run", "--config", self.folder / "weir.yaml", *arguments]
        weir = self._processes.start(argv, log=self.log)
        wait_until("Weir", lambda: self.ask("GET", "/readyz")[0] == 200, child=weir, log=self.log)
        return weir

    def signal_weir(self, number):
        os.kill(self.weir.pid, number)

    def ended(self, weir, seconds=15):
        """The exit status."""
        try:
            return weir.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"Weir did not end{tail(self.log)}") from None

    def ask(self, method, path, body=None):
        """What the admin API says: status and body."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['admin']}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError as failure:
            return 0, str(failure)

    def metric(self, name):
        return samples.metrics(f"http://127.0.0.1:{self.ports['admin']}").get(name, 0)

    def check(self):
        """What must hold after every fault: the process lives, nothing panicked, and it says that it is ready."""
        text = self.log.read_text(errors="replace")
        if self.weir.poll() is not None:
            raise RuntimeError(f"Weir ended with {self.weir.returncode}{tail(self.log)}")
        if "panicked" in text:
            raise RuntimeError(f"a panic{tail(self.log)}")
        if self.ask("GET", "/readyz")[0] != 200:
            raise RuntimeError("Weir is not ready")


def make_certificate(folder, days):
    """A new certificate in the folder; negative days are past."""
    certificate.write(folder)
    if days < 0:
        key, kept = folder / certificate.KEY, folder / certificate.CERTIFICATE
        again = ["openssl", "x509", "-in", kept, "-signkey", key, "-days", str(days), "-out", kept]
        made = subprocess.run(again, capture_output=True, text=True, timeout=20)
        if made.returncode != 0:
            raise RuntimeError(made.stderr)


STOP, CONTINUE = signal.SIGSTOP, signal.SIGCONT
