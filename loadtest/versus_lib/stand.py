"""The stand: two origins and a Weir in front of them, for the load tests that change weights while load runs."""

import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from .origins import Origins
from .proxies.weir import Weir, route


class Stand:
    """A running stand. `close` stops what it started and removes its folder; `Processes` does the same on the way out."""

    def __init__(self, processes, routes=None, cpu=None):
        binary = Weir.find()
        if not binary:
            raise RuntimeError(f"no Weir binary: set WEIR_BIN, or build one ({Weir.package})")
        self._processes = processes
        self._folder = Path(tempfile.mkdtemp(prefix="weir-stand-"))
        self.weir = _Weir(self._folder / "weir", Origins(processes), binary)
        self.weir.routes = routes or route("demo")
        try:
            self.weir.start(processes, cpu=cpu)
        except Exception:
            self.close()
            raise

    @property
    def control_file(self):
        return self.weir.folder / "weir.yaml"

    def rewrite(self, routes):
        """Replaces the control file as editors and deployment tools do: a new file, renamed over the old one."""
        fresh = self.control_file.with_name("weir.yaml.new")
        fresh.write_text(self.weir.config(routes))
        os.replace(fresh, self.control_file)

    def environment(self):
        """What tells a load generator where the stand is."""
        return {
            "TARGET": self.weir.url,
            "ADMIN": self.weir.admin_url,
            "ROUTE": "demo",
            "BACKEND_HEADER": "X-Backend",
            "K6_NO_USAGE_REPORT": "true",
        }

    def close(self):
        if self.weir.child is not None:
            self._processes.stop(self.weir.child)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Weir(Weir):
    workers = 0  # one per core, as in production
    routes = ""

    def files(self):
        return {"weir.yaml": self.config(self.routes)}


class Admin:
    """The admin API's weights, in the few words that the load tests need."""

    def __init__(self, address):
        self._address = address.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def weights(self, name):
        return self._call("GET", f"/v1/routes/{name}/weights")

    def set_weights(self, name, weights):
        """PATCHes the weights and returns what the API answered. Raises RuntimeError on anything but success."""
        return self._call("PATCH", f"/v1/routes/{name}/weights", {"weights": weights})

    def kill(self, name, backend):
        """Sends everything on a route to one backend."""
        return self._call("PUT", f"/v1/routes/{name}/kill-switch", {"backend": backend})

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(self._address + path, data=data, method=method, headers=headers)
        try:
            with self._opener.open(request, timeout=5) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            raise RuntimeError(f"{method} {path}: {refused.code} {refused.read().decode(errors='replace')}") from None
        except OSError as broken:
            raise RuntimeError(f"{method} {path}: {broken}") from None


def numbers(answer):
    """The weights of an answer as name → number, whether they came as numbers or as objects with a weight."""
    return {name: of["weight"] if isinstance(of, dict) else of for name, of in answer["weights"].items()}
