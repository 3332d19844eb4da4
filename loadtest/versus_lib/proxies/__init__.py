"""The proxies, one file each: how it is configured, started, and asked for its metrics."""

from .caddy import Caddy
from .envoy import Envoy
from .haproxy import Haproxy
from .nginx import Nginx
from .traefik import Traefik
from .weir import Weir

ALL = {proxy.name: proxy for proxy in (Weir, Haproxy, Nginx, Envoy, Traefik, Caddy)}

__all__ = ["ALL", "Caddy", "Envoy", "Haproxy", "Nginx", "Traefik", "Weir"]
