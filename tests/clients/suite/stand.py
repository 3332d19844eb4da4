"""The stand: origins, and a Weir before them that all checks share. A check that stops Weir starts one of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from versus_lib.processes import free_port, repository, tail, wait_until

from .browser import LazyBrowser
from .certs import Certificates
from .grpc_origin import GrpcOrigin
from .http_origin import HttpOrigin
from .loop import Loop
from .ws_origin import WsOrigin

CONFIG = """\
version: 1
workers: 2
data_dir: {folder}/data
admin: {{ bind: 127.0.0.1:{admin} }}
drain: {{ timeout: {drain} }}
access_log: {{ path: {folder}/access.log }}
listeners:
  - name: clear
    bind: 127.0.0.1:{clear}
    protocols: [h2c, http/1.1]
  - name: tls
    bind: 127.0.0.1:{tls}
    protocols: [h2, http/1.1]
    tls:
      certificates:
        - {{ cert_file: {certs}/shop.crt, key_file: {certs}/shop.key }}
        - {{ cert_file: {certs}/apps.crt, key_file: {certs}/apps.key }}
  - name: mutual
    bind: 127.0.0.1:{mutual}
    protocols: [h2, http/1.1]
    tls:
      certificates:
        - {{ cert_file: {certs}/shop.crt, key_file: {certs}/shop.key }}
        - {{ cert_file: {certs}/apps.crt, key_file: {certs}/apps.key }}
      client_auth: {{ mode: required, ca_file: {certs}/client-ca.pem }}
backends:
  stable: {{ endpoints: [ {{ address: 127.0.0.1:{stable} }} ] }}
  canary: {{ endpoints: [ {{ address: 127.0.0.1:{canary} }} ] }}
  sockets: {{ endpoints: [ {{ address: 127.0.0.1:{sockets} }} ] }}
  sockets-canary: {{ endpoints: [ {{ address: 127.0.0.1:{sockets_canary} }} ] }}
  grpc: {{ protocol: h2c, endpoints: [ {{ address: 127.0.0.1:{grpc} }} ] }}
  grpc-tls:
    protocol: h2
    tls: {{ ca_file: {certs}/ca.pem, server_name: origin.test }}
    endpoints: [ {{ address: 127.0.0.1:{grpc_tls} }} ]
  nobody: {{ protocol: h2c, endpoints: [ {{ address: 127.0.0.1:{nobody} }} ] }}
routes:
  - {{ name: grpc, match: {{ hosts: grpc.apps.test }}, backend: grpc }}
  - {{ name: grpc-tls, match: {{ hosts: grpc-tls.apps.test }}, backend: grpc-tls }}
  - {{ name: nobody, match: {{ hosts: nobody.apps.test }}, backend: nobody }}
  - name: sockets
    match: {{ path: {{ prefix: /ws }} }}
    split: {{ backends: {{ sockets: 50, sockets-canary: 50 }} }}
  - name: split
    match: {{ path: {{ prefix: /split }} }}
    split: {{ backends: {{ stable: 50, canary: 50 }} }}
  - {{ name: all, backend: stable }}
"""


def find_weir():
    """WEIR_BIN, else what `cargo build --profile demo` makes, else the dist build."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or repository() / "target")
    named = os.environ.get("WEIR_BIN")
    for path in [Path(named)] if named else [target / "demo" / "weir", target / "dist" / "weir"]:
        if path.exists():
            return str(path.absolute())
    sys.exit("clients: no binary; cargo build --profile demo --locked, or name one in WEIR_BIN")


class Weir:
    """A process of Weir with the stand's configuration."""

    def __init__(self, stand, folder, drain="5s"):
        folder.mkdir()
        self.ports = {name: free_port() for name in ("admin", "clear", "tls", "mutual")}
        self.log = folder / "weir.log"
        self.access_log = folder / "access.log"
        config = folder / "weir.yaml"
        config.write_text(
            CONFIG.format(folder=folder, certs=stand.certs.folder, drain=drain, **self.ports, **stand.origin_ports)
        )
        self.child = stand.processes.start([stand.binary, "run", "--config", config], log=self.log)
        wait_until("weir", self._is_ready, child=self.child, log=self.log)

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def url(self, path="/", port="clear", host="127.0.0.1"):
        scheme = "http" if port == "clear" else "https"
        return f"{scheme}://{host}:{self.ports[port]}{path}"

    def logged(self, path, seconds=5.0):
        """The access log's line of a request with this path, once it is there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self.access_log.read_text().splitlines() if self.access_log.exists() else []
            for line in lines:
                if f'"{path}"' in line:
                    return json.loads(line)
            time.sleep(0.02)
        raise RuntimeError(f"no line in the access log for {path}")

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def terminate(self):
        """Asks it to stop; it may take its drain's time."""
        self.child.send_signal(signal.SIGTERM)

    def ended(self, seconds):
        """Its exit code, once it has one."""
        return self.child.wait(seconds)


class Stand:
    """Everything that checks have at hand."""

    def __init__(self, folder, binary, processes):
        self.folder, self.binary, self.processes = folder, binary, processes
        self.version = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=20).stdout.split()[1]
        self.certs = Certificates(folder / "certs")
        self.loop, self.client_loop = Loop("origins"), Loop("clients")
        self.http = HttpOrigin(self.loop, "stable", Path(__file__).resolve().parents[1] / "page")
        self.http_canary = HttpOrigin(self.loop, "canary", self.http.folder)
        self.sockets = WsOrigin(self.loop, "stable")
        self.sockets_canary = WsOrigin(self.loop, "canary")
        self.grpc = GrpcOrigin(self.certs)
        self.browser = LazyBrowser(folder, processes, self.certs)
        self._started = 0

    def start(self):
        self.origin_ports = {
            "stable": self.http.port,
            "canary": self.http_canary.port,
            "sockets": self.sockets.port,
            "sockets_canary": self.sockets_canary.port,
            "grpc": self.grpc.port,
            "grpc_tls": self.grpc.tls_port,
            "nobody": free_port(),
        }
        self.weir = self.another()

    def another(self, **how):
        """A Weir for one check alone."""
        self._started += 1
        return Weir(self, self.folder / f"weir-{self._started}", **how)

    def problems(self):
        """Why the shared Weir did not live through the run and end well; None when it did."""
        if self.weir.child.poll() is not None:
            return f"it ended by itself with {self.weir.child.returncode}{tail(self.weir.log)}"
        said = self.weir.log.read_text(errors="replace")
        if "panicked" in said:
            return f"a task panicked{tail(self.weir.log)}"
        self.weir.terminate()
        try:
            code = self.weir.ended(10)
        except subprocess.TimeoutExpired:
            return f"it did not stop within 10 s{tail(self.weir.log)}"
        return None if code == 0 else f"it ended with {code}{tail(self.weir.log)}"
