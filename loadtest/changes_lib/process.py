"""A Weir process with a data directory of its own, and its admin API."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

CONFIG = """\
admin: {{ bind: "127.0.0.1:{admin}" }}
listeners:
  - {{ name: web, bind: "127.0.0.1:{web}" }}
backends:
  stable: {{ endpoints: [ {{ address: "127.0.0.1:{origin}" }} ] }}
  canary: {{ endpoints: [ {{ address: "127.0.0.1:{origin}" }} ] }}
routes:
  - name: shop
    split:
      key: {{ header: X-User }}
      backends: {{ stable: {stable}, canary: {canary} }}
  - name: other
    match: {{ path: {{ prefix: /other }} }}
    split:
      backends: {{ stable: 95, canary: 5 }}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Refused(Exception):
    """The API said no."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('detail', problem)}")
        self.status, self.problem = status, problem


class Admin:
    """Calls of the admin API over one connection; one for each thread."""

    def __init__(self, port, actor):
        self._port, self._actor, self._connection = port, actor, None

    def call(self, method, path, body=None, headers=None):
        """The JSON answer and the ETag."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        headers = {"X-Weir-Actor": self._actor, **(headers or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        answer = json.loads(text) if text else {}
        if response.status >= 400:
            raise Refused(response.status, answer)
        return answer, response.headers.get("ETag")

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Weir:
    """A process that can be killed and started again in the same place."""

    def __init__(self, folder, data=None, wrapper=()):
        self.folder = Path(folder)
        self.data = Path(data) if data else self.folder / "data"
        self.admin_port, self.web_port, self.origin_port = free_port(), free_port(), free_port()
        self.binary = os.environ.get("WEIR_BIN", "target/demo/weir")
        self._wrapper, self.child = list(wrapper), None
        self.log = open(self.folder / "weir.log", "ab")
        self.write(95, 5)

    def write(self, stable, canary):
        """Replaces the control file as editors do."""
        text = CONFIG.format(admin=self.admin_port, web=self.web_port, origin=self.origin_port, stable=stable, canary=canary)
        fresh = self.folder / "weir.yaml.new"
        fresh.write_text(text)
        os.replace(fresh, self.folder / "weir.yaml")

    def start(self, patience=20.0):
        """Starts, and gives the seconds until the admin API says that it is alive."""
        began = time.monotonic()
        command = [*self._wrapper, self.binary, "run", "--config", str(self.folder / "weir.yaml"), "--data-dir", str(self.data)]
        self.child = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        while time.monotonic() - began < patience:
            if self.child.poll() is not None:
                raise RuntimeError(f"weir ended with {self.child.returncode}:\n{self.tail()}")
            try:
                self.admin("probe").call("GET", "/livez")
                return time.monotonic() - began
            except (OSError, http.client.HTTPException):
                time.sleep(0.002)
        raise RuntimeError(f"weir does not answer:\n{self.tail()}")

    def admin(self, actor):
        return Admin(self.admin_port, actor)

    def kill(self):
        """kill -9"""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()

    def tail(self):
        lines = (self.folder / "weir.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-12:])
