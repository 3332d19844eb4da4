"""A Weir with every kind of listener, two fast origins, one that streams, and the changes that are made while it runs."""

import os
import random
import ssl
import sys
from pathlib import Path

from versus_lib import certificate
from versus_lib.origins import accepts, compiled
from versus_lib.processes import free_port, wait_until
from versus_lib.proxies.weir import Weir

ORIGIN = Path(__file__).resolve().parents[1] / "trial_lib" / "origin.py"

CONFIG = """\
version: 1
workers: 0
data_dir: {folder}/data
admin: {{ bind: 127.0.0.1:{admin} }}
access_log: {{ sample: 0.1% }}
listeners:
  - {{ name: main, bind: 127.0.0.1:{port}, limits: {{ idle_timeout: 10s }} }}
  - {{ name: h2, bind: 127.0.0.1:{h2}, protocols: [h2c] }}
  - name: tls
    bind: 127.0.0.1:{tls}
    protocols: [h2, http/1.1]
    tls: {{ certificates: [ {{ cert_file: {folder}/tls/certificate.pem, key_file: {folder}/tls/key.pem }} ] }}
backends:
  stable:
    idle_timeout: 5s
    lb_policy: {policy}
    endpoints: [ {endpoints} ]
    health_check: {{ path: /healthz, interval: 1s, timeout: 1s }}
    outlier_detection: {{ consecutive_5xx: 20 }}
  canary: {{ idle_timeout: 5s, endpoints: [ {{ address: 127.0.0.1:{canary} }} ] }}
  streams: {{ idle_timeout: 5s, endpoints: [ {{ address: 127.0.0.1:{streams} }} ] }}
routes:
  - {{ name: streams, match: {{ path: {{ prefix: /s }} }}, backend: streams }}
  - name: demo
    split:
      key: [ {{ header: X-User-Id }} ]
      backends: [ {{ name: stable, weight: {stable_weight} }}, {{ name: canary, weight: {canary_weight} }} ]
"""


class SoakWeir(Weir):
    """Weir whose file changes. Certificates stand in folders of their own behind a link, so that both files swap at once."""

    def __init__(self, folder, origins, binary, processes):
        super().__init__(folder, origins, binary)
        self._spare = free_port()  # the endpoint that comes and goes
        self._streams = free_port()
        spare = processes.start([compiled(), f"spare={self._spare}"])
        streams = processes.start([sys.executable, ORIGIN, self._streams])
        for port, child in ((self._spare, spare), (self._streams, streams)):
            wait_until("origin", lambda port=port: accepts(port), child=child)
        self._canary, self._both, self._certificates, self._policy = 5, False, 0, 0
        folder.mkdir(parents=True)
        self.swap_certificate()

    def files(self):
        return {"weir.yaml": self.text()}

    def text(self):
        addresses = [self.origins.stable] + ([self._spare] if self._both else [])
        return CONFIG.format(
            **self.fields,
            streams=self._streams,
            endpoints=", ".join(f"{{ address: 127.0.0.1:{port} }}" for port in addresses),
            policy=("p2c", "round_robin", "least_request", "peak_ewma", "rendezvous")[self._policy],
            stable_weight=100 - self._canary,
            canary_weight=self._canary,
        )

    def _rewrite(self):
        fresh = self.folder / "weir.yaml.new"
        fresh.write_text(self.text())
        os.replace(fresh, self.folder / "weir.yaml")

    # --- the changes, one after the other ---

    def move_weight(self):
        self._canary = random.randint(1, 50)
        self._rewrite()

    def toggle_endpoint(self):
        self._both = not self._both
        self._rewrite()

    def change_balancing(self):
        self._policy = (self._policy + 1) % 5
        self._rewrite()

    def swap_certificate(self):
        self._certificates += 1
        place = self.folder / f"tls-{self._certificates}"
        place.mkdir()
        certificate.write(place)
        link = self.folder / "tls.new"
        link.symlink_to(place.name)
        os.replace(link, self.folder / "tls")
        old = self.folder / f"tls-{self._certificates - 2}"
        if old.is_dir():
            for file in old.iterdir():
                file.unlink()
            old.rmdir()

    def serves_newest_certificate(self):
        served = ssl.get_server_certificate(("127.0.0.1", self.tls_port), timeout=5)
        return served.strip() == (self.folder / "tls" / certificate.CERTIFICATE).read_text().strip()
