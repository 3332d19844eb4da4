"""The proxies, configured for the same work: pass everything to one HTTP/1.1 origin, with timeouts short enough for tests.

| wait for | seconds |
|---|---|
| a request's head | 1 |
| a request's body to go on, a client that takes nothing | 2 |
| a response's head, a response's body to go on | 2 |
| a keep-alive connection's next request | 3 |

Listeners: cleartext HTTP/1.1 and HTTP/2 by prior knowledge (one port, or two where a proxy wants that), and TLS with ALPN.
How they are found, and what they have in common, comes from the load tests.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "loadtest"))

from versus_lib import proxies as versus  # noqa: E402
from versus_lib.processes import free_port, repository, tail, wait_until  # noqa: E402

from .client import Client, connect  # noqa: E402


def certificate(folder):
    """A self-signed certificate for h.test, made now."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=h.test", "-addext", "subjectAltName=DNS:h.test,DNS:*.h.test,DNS:localhost",
         "-out", cert, "-keyout", key],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return cert, key


class Running:
    """A mixin for a proxy of the load tests: other listeners, another configuration."""

    #: what it offers: h1, h2c, tls, websocket
    offers = frozenset({"h1", "h2c", "tls", "websocket"})

    def __init__(self, folder, origin_port, certificate, binary=None):
        super().__init__(folder, None, binary)
        self.origin_port = origin_port
        self.cert, self.key = certificate
        clear = free_port()
        self.ports = {"h1": clear, "h2c": clear, "tls": free_port()}

    def values(self):
        return {
            "folder": self.folder,
            "admin": self.admin_port,
            "origin": self.origin_port,
            "cert": self.cert,
            "key": self.key,
            **self.ports,
        }

    def is_ready(self):
        try:
            client = Client(connect(self.ports["h1"]))
        except OSError:
            return False
        response = client.ask(b"GET /alive-0 HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n", wait=3.0)
        client.close()
        return response is not None and response.status == 200

    def is_running(self):
        return self.child is not None and self.child.poll() is None

    def memory(self):
        """Resident bytes of all its processes."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
                if int(fields[2]) == self.child.pid:
                    total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            except (OSError, IndexError):
                continue
        return total

    def stop(self, processes):
        if self.child:
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            processes.stop(self.child, patience=1.0)


WEIR = """\
version: 1
workers: 1
data_dir: {folder}/data
admin: {{ bind: 127.0.0.1:{admin} }}
listeners:
  - name: clear
    bind: 127.0.0.1:{h1}
    protocols: [{clear}]
    limits: {{ header_timeout: 1s, idle_timeout: 3s }}
{tls_listener}backends:
  app: {{ endpoints: [ {{ address: 127.0.0.1:{origin} }} ] }}
routes:
  - name: all
    backend: app
    timeouts: {{ connect: 1s, response_headers: 2s, stream_idle: 2s }}
"""

WEIR_TLS = """\
  - name: tls
    bind: 127.0.0.1:{tls}
    protocols: [h2, http/1.1]
    tls: {{ certificates: [ {{ cert_file: {cert}, key_file: {key} }} ] }}
    limits: {{ header_timeout: 1s, idle_timeout: 3s }}
"""


class Weir(Running, versus.Weir):
    #: found out from the binary
    offers = None

    @classmethod
    def find(cls):
        """WEIR_BIN, else what `cargo build --profile demo` makes, else the dist build."""
        if not os.environ.get("WEIR_BIN"):
            target = Path(os.environ.get("CARGO_TARGET_DIR") or repository() / "target")
            if (target / "demo" / "weir").exists():
                return str(target / "demo" / "weir")
        return super().find()

    def config(self, offers):
        values = self.values()
        values["clear"] = "h2c, http/1.1" if "h2c" in offers else "http/1.1"
        values["tls_listener"] = WEIR_TLS.format(**values) if "tls" in offers else ""
        return WEIR.format(**values)

    def files(self):
        if Weir.offers is None:
            Weir.offers = self._ask_binary()
        return {"weir.yaml": self.config(Weir.offers)}

    def _ask_binary(self):
        """What this binary takes: a version without TLS or HTTP/2 refuses their keys."""
        offers = {"h1", "websocket"}
        for more in ("h2c", "tls"):
            trial = self.folder / "trial.yaml"
            trial.write_text(self.config(offers | {more}))
            seen = subprocess.run([self.binary, "check", trial], capture_output=True, timeout=20)
            if seen.returncode == 0:
                offers.add(more)
        return frozenset(offers)

    def start(self, processes, cpu=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        super().start(processes, cpu)


NGINX = """\
{user}worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    tcp_nodelay on;
    keepalive_timeout 3s;
    client_header_timeout 1s;
    client_body_timeout 2s;
    send_timeout 2s;
    lingering_timeout 1s;
    client_max_body_size 0;
    upstream app {{ server 127.0.0.1:{origin} max_fails=0; keepalive 32; }}
    # Only WebSocket is upgraded; everything else keeps the connection alive.
    map $http_upgrade $upgrade {{ ~*^websocket$ $http_upgrade; default ""; }}
    map $http_upgrade $connection_field {{ ~*^websocket$ upgrade; default ""; }}
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection $connection_field;
    proxy_set_header Upgrade $upgrade;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_connect_timeout 1s;
    proxy_read_timeout 2s;
    proxy_send_timeout 2s;
    server {{ listen 127.0.0.1:{h1}; location / {{ proxy_pass http://app; }} }}
    server {{ listen 127.0.0.1:{h2c} http2; location / {{ proxy_pass http://app; }} }}
    server {{
        listen 127.0.0.1:{tls} ssl http2;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        location / {{ proxy_pass http://app; }}
    }}
}}
"""


class Nginx(Running, versus.Nginx):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ports["h2c"] = free_port()

    def files(self):
        return {"nginx.conf": NGINX.format(user="user root;\n" if os.geteuid() == 0 else "", **self.values())}


HAPROXY = """\
global
    nbthread 1
    maxconn 2000
defaults
    mode http
    option abortonclose
    http-reuse safe
    timeout connect 1s
    timeout client 2s
    timeout server 2s
    timeout tunnel 2s
    timeout http-request 1s
    timeout http-keep-alive 3s
frontend clear
    bind 127.0.0.1:{h1}
    default_backend app
frontend tls
    bind 127.0.0.1:{tls} ssl crt {folder}/both.pem alpn h2,http/1.1
    default_backend app
backend app
    server origin 127.0.0.1:{origin}
"""


class Haproxy(Running, versus.Haproxy):
    def files(self):
        both = self.cert.read_text() + self.key.read_text()
        return {"haproxy.cfg": HAPROXY.format(**self.values()), "both.pem": both}


TYPES = "type.googleapis.com/envoy.extensions"


class Envoy(Running, versus.Envoy):
    def files(self):
        h2 = {"max_concurrent_streams": 100, "initial_stream_window_size": 65536, "initial_connection_window_size": 1048576}
        manager = {
            "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "main",
            "codec_type": "AUTO",
            "generate_request_id": False,
            "http_protocol_options": {"accept_http_10": True, "enable_trailers": True},
            "http2_protocol_options": h2,
            "common_http_protocol_options": {"idle_timeout": "3s"},
            "request_headers_timeout": "1s",
            "stream_idle_timeout": "2s",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": {
                "virtual_hosts": [
                    {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}]}
                ]
            },
            "http_filters": [
                {"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True}}
            ],
        }  # fmt: skip
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        context = {
            "@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    {"certificate_chain": {"filename": str(self.cert)}, "private_key": {"filename": str(self.key)}}
                ],
            },
        }
        secure = {**chain, "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}
        listeners = [
            {"name": name, "address": address(self.ports[port]), "filter_chains": [filters]}
            for name, port, filters in (("clear", "h1", chain), ("tls", "tls", secure))
        ]
        options = {
            "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
        cluster = {
            "name": "app",
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {f"{TYPES[20:]}.upstreams.http.v3.HttpProtocolOptions": options},
            "load_assignment": {
                "cluster_name": "app",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(self.origin_port)}}]}],
            },
        }
        config = {"static_resources": {"listeners": listeners, "clusters": [cluster]}}
        return {"envoy.json": json.dumps(config, indent=1)}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


ALL = {proxy.name: proxy for proxy in (Weir, Nginx, Haproxy, Envoy)}

__all__ = ["ALL", "certificate", "tail", "wait_until"]
