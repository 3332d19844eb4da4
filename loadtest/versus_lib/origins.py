"""The two origins: one small C program (origin.c), compiled once per version of its source."""

import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

from .processes import free_port, tools_dir, wait_until

SOURCE = Path(__file__).with_name("origin.c")


def compiled():
    """The path of the compiled origin; compiles it when the source has changed since."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    binary = tools_dir() / f"origin-{digest}"
    if not binary.exists():
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            raise RuntimeError("no C compiler (cc) for the origins")
        binary.parent.mkdir(parents=True, exist_ok=True)
        part = binary.with_name(f"{binary.name}.{os.getpid()}")
        subprocess.run([compiler, "-O2", "-o", part, SOURCE], check=True)
        part.rename(binary)
    return binary


class Origins:
    """The running origins `stable` and `canary`, and their ports."""

    def __init__(self, processes, cpu=None):
        self.stable, self.canary = free_port(), free_port()
        child = processes.start([compiled(), f"stable={self.stable}", f"canary={self.canary}"], cpu=cpu)
        wait_until("origins", lambda: accepts(self.stable) and accepts(self.canary), child=child)


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
