"""The checks, a file for each client."""

from . import admin, chromium, curl, grpcio, h2load, httpx_h2, k6, nghttp, websocket  # noqa: F401
