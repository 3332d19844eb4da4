"""What every proxy under test has in common: a folder, ports, a pinned process, a readiness and a metrics address."""

import re
import subprocess
import urllib.error
import urllib.request

from .. import certificate
from ..processes import find_tool, free_port, wait_until


class Proxy:
    """One proxy under test. Subclasses say `name`, `tool`, and give `files`, `command` and `metrics_url`."""

    name = "?"
    tool = "?"
    #: arguments that print the version
    version_args = ("--version",)
    #: where the package comes from, for the message when it is missing
    package = "?"
    #: the stickiness it offers for a weighted split
    sticky = "cookie"

    def __init__(self, folder, origins, binary=None):
        self.folder = folder
        self.origins = origins
        self.port = free_port()
        self.tls_port = free_port()
        self.h2_port = free_port()
        self.admin_port = free_port()
        self.binary = binary or self.find()
        self.child = None

    @classmethod
    def find(cls):
        """The path of the binary, or None."""
        return find_tool(cls.tool)

    @classmethod
    def version(cls, binary):
        seen = subprocess.run([binary, *cls.version_args], capture_output=True, text=True, timeout=20)
        match = re.search(r"\d+\.\d+\.\d+", seen.stdout + seen.stderr)
        return match.group(0) if match else "?"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def url_of(self, door):
        """The address of a door: `plain` takes HTTP/1.1, `tls` what ALPN agrees on, `h2` HTTP/2 without TLS."""
        return {
            "plain": self.url,
            "tls": f"https://127.0.0.1:{self.tls_port}",
            "h2": f"http://127.0.0.1:{self.h2_port}",
        }[door]

    @property
    def fields(self):
        """What the texts of the configurations name."""
        return {
            "folder": self.folder,
            "port": self.port,
            "tls": self.tls_port,
            "h2": self.h2_port,
            "admin": self.admin_port,
            "stable": self.origins.stable,
            "canary": self.origins.canary,
            "certificate": self.folder / certificate.CERTIFICATE,
            "key": self.folder / certificate.KEY,
            "both": self.folder / certificate.BOTH,
        }

    def files(self):
        """File name → text, written to the folder before the start."""
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def metrics_url(self):
        raise NotImplementedError

    def start(self, processes, cpu=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        certificate.write(self.folder)
        for name, text in self.files().items():
            (self.folder / name).write_text(text)
        log = self.folder / "output.log"
        self.child = processes.start(self.command(), cpu=cpu, log=log, env=self.environment(), cwd=self.folder)
        wait_until(f"{self.name} ready", self.is_ready, seconds=20, child=self.child, log=log)

    def is_ready(self):
        """Answers through both ends: the metrics are up, and a request reaches an origin."""
        return status_of(self.metrics_url()) == 200 and status_of(f"{self.url}/128") == 200


def status_of(url):
    """The status of a GET, 0 when there is no answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0
