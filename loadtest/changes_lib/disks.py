"""A data directory that is full, locked, damaged or read-only: traffic and the kill switch go on, the rest is refused with the reason."""

import os
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from .process import Refused, Weir


class Disks:
    def __init__(self, weir):
        self.weir, self.faults, self.told = weir, [], []

    def run(self):
        for name in ("full", "locked", "damaged", "damaged_at_start", "read_only", "full_at_start"):
            with tempfile.TemporaryDirectory(prefix="weir-disk-") as folder:
                data = Path(folder) / "data"
                data.mkdir(mode=0o700)
                mounted = name in ("full", "read_only", "full_at_start") and mount(data)
                if name in ("full", "read_only", "full_at_start") and not mounted:
                    self.told.append(f"{name}: skipped, a tmpfs cannot be mounted here")
                    continue
                weir = Weir(folder, data)
                try:
                    weir.start()
                    self._name, before = name, len(self.faults)
                    getattr(self, "_" + name)(weir, data)
                    self.told.append(f"{name}: {'as it should be' if before == len(self.faults) else 'WRONG'}")
                finally:
                    weir.kill()
                    if mounted:
                        subprocess.run(["umount", "-l", str(data)], check=False)
        return self

    # --- the disks

    def _full(self, weir, data):
        fill(data)
        self._broken(weir, "no space", kill=True)
        (data / "filler").unlink()
        self._well_again(weir)

    def _locked(self, weir, data):
        other = sqlite3.connect(data / "weir.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        self._broken(weir, "locked", kill=True)
        other.execute("COMMIT")
        other.close()
        self._well_again(weir)

    def _damaged(self, weir, data):
        """Somebody puts a bad backup in the place of the database, and then takes it away."""
        (data / "backup").write_bytes(os.urandom(20000))
        os.replace(data / "backup", data / "weir.db")
        for name in ("weir.db-wal", "weir.db-shm"):
            (data / name).unlink(missing_ok=True)
        self._broken(weir, "damaged", kill=True)
        for name in ("weir.db", "weir.db-wal", "weir.db-shm"):
            (data / name).unlink(missing_ok=True)
        self._well_again(weir)

    def _damaged_at_start(self, weir, data):
        """What was in force comes back although the database is gone, and a kill holds over yet another start."""
        weir.admin("a").call("PATCH", "/v1/routes/shop/weights", {"weights": {"canary": 33}})
        settle(data)
        weir.kill()
        damage(data)
        weir.start()
        self._is(weir, 33)
        self._broken(weir, "damaged", kill=True)
        settle(data)
        weir.kill()
        weir.start()
        self._is(weir, 33)
        if not weir.admin("a").call("GET", "/v1/routes/shop/kill-switch")[0]["active"]:
            self._fault("the kill was forgotten")

    def _read_only(self, weir, data):
        """A disk is made read-only after errors; here it is by the time of a start, as the kernel asks for that no file is open."""
        weir.admin("a").call("PATCH", "/v1/routes/shop/weights", {"weights": {"canary": 33}})
        settle(data)
        weir.kill()
        subprocess.run(["mount", "-o", "remount,ro", str(data)], check=True)
        weir.start()
        self._is(weir, 33)
        self._broken(weir, "Read-only", kill=True)
        subprocess.run(["mount", "-o", "remount,rw", str(data)], check=True)
        self._well_again(weir)

    def _full_at_start(self, weir, data):
        weir.admin("a").call("PATCH", "/v1/routes/shop/weights", {"weights": {"canary": 33}})
        settle(data)
        fill(data)
        weir.kill()
        weir.start()
        self._is(weir, 33)
        self._broken(weir, "", kill=True)
        (data / "filler").unlink()
        self._well_again(weir)

    # --- what must hold

    def _broken(self, weir, word, kill):
        """Changes are refused with the reason, a kill works at once, and everything that looks says so."""
        admin = weir.admin("a")
        try:
            admin.call("PATCH", "/v1/routes/shop/weights", {"weights": {"canary": int(time.time()) % 50 + 40}})
            self._fault("a change was taken")
        except Refused as refused:
            if refused.status != 503 or word not in str(refused):
                self._fault(f"expected 503 and `{word}`: {refused}")
        if kill:
            began = time.monotonic()
            answer, _ = admin.call("PUT", "/v1/routes/shop/kill-switch", {"reason": "disk"}, {"If-Match": '"r1"'})
            took = time.monotonic() - began
            if not answer["active"] or answer["persisted"] or not answer.get("warnings"):
                self._fault(f"the kill: {answer}")
            if took > 1.5:
                self._fault(f"the kill was answered after {took:.2f} s")
        ready, _ = admin.call("GET", "/readyz")
        if not ready["ready"] or not any("store" in warning for warning in ready["warnings"]):
            self._fault(f"readiness does not say so: {ready}")
        if "weir_store_healthy 0" not in metrics(weir):
            self._fault("the metric does not say so")
        explained, _ = admin.call("POST", "/v1/routes/shop/explain", {"headers": {"x-user": "1"}})
        if explained["reason"] != "kill_switch":
            self._fault(f"the kill is not in force: {explained}")

    def _well_again(self, weir):
        """Within some seconds all is written, without a restart; and it survives one."""
        admin = weir.admin("a")
        for _ in range(80):
            status, _ = admin.call("GET", "/v1/status")
            if status["store"]["persisted"] and not status["store"].get("error"):
                break
            time.sleep(0.1)
        else:
            return self._fault(f"the store does not get well: {status['store']}")
        admin.call("PATCH", "/v1/routes/shop/weights", {"weights": {"canary": 77}})
        if not admin.call("GET", "/v1/audit/verify")[0]["ok"]:
            self._fault("the audit does not hold")
        weir.kill()
        weir.start()
        self._is(weir, 77)
        if not weir.admin("a").call("GET", "/v1/routes/shop/kill-switch")[0]["active"]:
            self._fault("the kill was forgotten")

    def _is(self, weir, canary):
        weights, _ = weir.admin("a").call("GET", "/v1/routes/shop/weights")
        if weights["weights"]["canary"] != canary:
            self._fault(f"canary={weights['weights']['canary']} runs, not {canary}")

    def _fault(self, text):
        self.faults.append(f"{self._name}: {text}")


def mount(folder):
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


def fill(folder):
    """Fills a small disk to the last byte."""
    with open(folder / "filler", "wb", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1 << 8, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                pass


def damage(folder):
    """Overwrites the database's pages in place, as a bad disk would."""
    with open(folder / "weir.db", "r+b") as database:
        size = os.fstat(database.fileno()).st_size
        database.write(os.urandom(max(size, 4096)))
    (folder / "weir.db-wal").unlink(missing_ok=True)


def settle(folder):
    """Waits until the copy is as new as it gets."""
    before = None
    for _ in range(50):
        time.sleep(0.05)
        now = (folder / "overlay.json").stat().st_mtime_ns if (folder / "overlay.json").exists() else None
        if now == before and now is not None:
            return
        before = now


def metrics(weir):
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(f"http://127.0.0.1:{weir.admin_port}/metrics").read().decode()
