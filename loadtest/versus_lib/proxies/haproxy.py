"""HAProxy: one thread, weights 95 and 5, inserted cookie, http-reuse always, Prometheus exporter."""

from .base import Proxy

CONFIG = """\
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout connect 2s
    timeout client 300s
    timeout server 60s
    timeout http-keep-alive 300s
    option forwardfor
    http-reuse always
frontend main
    bind 127.0.0.1:{port} backlog 4096
    bind 127.0.0.1:{h2} backlog 4096 proto h2
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {both} alpn h2,http/1.1
    default_backend app
backend app
    balance roundrobin
    cookie SRV insert indirect nocache httponly
    server stable 127.0.0.1:{stable} weight 95 cookie stable
    server canary 127.0.0.1:{canary} weight 5 cookie canary
frontend metrics
    bind 127.0.0.1:{admin}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /stats
"""


class Haproxy(Proxy):
    name = "haproxy"
    tool = "haproxy"
    version_args = ("-v",)
    package = "Debian: haproxy"

    def files(self):
        return {"haproxy.cfg": CONFIG.format(**self.fields)}

    def command(self):
        return [self.binary, "-db", "-f", self.folder / "haproxy.cfg"]

    def metrics_url(self):
        return f"http://127.0.0.1:{self.admin_port}/metrics"
