"""Weir: one data-plane worker, buckets by assignment cookie, histograms and metrics on, as they always are."""

import os
from pathlib import Path

from ..processes import repository
from .base import Proxy, status_of

CONFIG = """\
version: 1
workers: {workers}
data_dir: {folder}/data
admin: {{ bind: 127.0.0.1:{admin} }}
listeners:
  - {{ name: main, bind: 127.0.0.1:{port} }}
  - {{ name: h2, bind: 127.0.0.1:{h2}, protocols: [h2c] }}
  - name: tls
    bind: 127.0.0.1:{tls}
    tls: {{ certificates: [ {{ cert_file: {certificate}, key_file: {key} }} ] }}
backends:
  stable: {{ endpoints: [ {{ address: 127.0.0.1:{stable} }} ] }}
  canary: {{ endpoints: [ {{ address: 127.0.0.1:{canary} }} ] }}
routes:
{routes}"""

ROUTE = """\
  - name: {name}
    match: {{ path: {{ prefix: {prefix} }} }}
    split:
      key: [ {{ header: X-User-Id }} ]
      backends: [ {{ name: stable, weight: {stable} }}, {{ name: canary, weight: {canary} }} ]
"""


def route(name, prefix="/", stable=95, canary=5):
    """The text of one route."""
    return ROUTE.format(name=name, prefix=prefix, stable=stable, canary=canary)


class Weir(Proxy):
    name = "weir"
    tool = "weir"
    version_args = ("version",)
    package = "this repository: cargo build --profile dist --locked"

    #: data-plane threads
    workers = 1

    @classmethod
    def find(cls):
        """WEIR_BIN, else the dist build of this repository (CARGO_TARGET_DIR is honoured)."""
        named = os.environ.get("WEIR_BIN")
        if named:
            return str(Path(named).absolute()) if Path(named).exists() else None
        target = Path(os.environ.get("CARGO_TARGET_DIR") or repository() / "target")
        built = target / "dist" / "weir"
        return str(built) if built.exists() else None

    def config(self, routes):
        return CONFIG.format(workers=self.workers, routes=routes, **self.fields)

    def files(self):
        return {"weir.yaml": self.config(route("demo"))}

    def command(self):
        return [self.binary, "run", "--config", self.folder / "weir.yaml"]

    def start(self, processes, cpu=None):
        (self.folder / "data").mkdir(parents=True)
        super().start(processes, cpu)

    def metrics_url(self):
        return f"http://127.0.0.1:{self.admin_port}/metrics"

    @property
    def admin_url(self):
        return f"http://127.0.0.1:{self.admin_port}"

    def is_ready(self):
        return status_of(f"{self.admin_url}/readyz") == 200 and super().is_ready()
