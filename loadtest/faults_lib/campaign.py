"""The faults. Each gets the trial, makes its fault and takes it back; what clients may see of it stands beside it."""

import asyncio
import os
import random
import resource
import socket
import subprocess
import time

from versus_lib.processes import raise_file_limit

from .stand import CONTINUE, STOP, make_certificate

#: name → Fault, in the order in which they run
FAULTS = {}


class Fault:
    """`hurts`: lane → outcomes that its clients may see while the fault lasts; a lane that is not there sees nothing of it."""

    def __init__(self, act, title, hurts, lanes, needs_root):
        self.act, self.title, self.hurts, self.lanes, self.needs_root = act, title, hurts, lanes, needs_root


def fault(title, hurts=None, lanes=("demo", "bare"), needs_root=False):
    def register(act):
        FAULTS[act.__name__] = Fault(act, title, hurts or {}, lanes, needs_root)
        return act

    return register


# --- endpoints ---

#: what a POST may see that was sent and not answered: nobody may send it again
LOST = {"502", "504"}


@fault("one of two endpoints is gone")
async def endpoint_gone(trial):
    trial.stand.kill_endpoint("b")
    await trial.hold()
    trial.stand.start_endpoint("b")


@fault("all endpoints are gone", {"demo": {"502", "503"}, "bare": {"502", "503"}})
async def all_gone(trial):
    for name in "abc":
        trial.stand.kill_endpoint(name)
    await trial.hold()
    for name in "abc":
        trial.stand.start_endpoint(name)


@fault("one endpoint takes connections and says nothing", {"demo POST": LOST, "bare": {"504"}})
async def endpoint_stopped(trial):
    trial.stand.signal_endpoint("b", STOP)
    await trial.hold()
    trial.stand.signal_endpoint("b", CONTINUE)


@fault("one endpoint hangs, though it looks healthy", {"demo POST": LOST, "bare": {"504"}})
async def endpoint_hangs(trial):
    await trial.misbehave("b", "hang")


@fault("one endpoint dies within bodies", {"demo": {"cut"}, "bare": {"cut"}})
async def endpoint_dies(trial):
    await trial.misbehave("b", "die")


@fault("one endpoint closes without an answer", {"demo POST": LOST, "bare": {"502"}})
async def endpoint_closes(trial):
    await trial.misbehave("b", "close")


@fault("one endpoint answers garbage", {"demo POST": LOST, "bare": {"502"}})
async def endpoint_garbage(trial):
    await trial.misbehave("b", "garbage")


@fault("one endpoint answers 500", {"demo": {"500"}, "bare": {"500"}})
async def endpoint_errors(trial):
    await trial.misbehave("b", "error")


@fault("the canary answers 500 to everything", {"demo POST": {"500"}})
async def canary_errors(trial):
    await trial.misbehave("c", "error")


@fault("the canary hangs", {"demo POST": LOST})
async def canary_hangs(trial):
    await trial.misbehave("c", "hang")


@fault("one endpoint is slow (300 ms)")
async def endpoint_slow(trial):
    await trial.misbehave("b", "slow")


@fault("one endpoint flaps, up and down every 0.2 to 0.6 s", {"demo POST": LOST, "bare": {"502"}})
async def endpoint_flaps(trial):
    until = time.monotonic() + trial.seconds
    while time.monotonic() < until:
        trial.stand.kill_endpoint("b")
        await asyncio.sleep(random.uniform(0.2, 0.6))
        trial.stand.start_endpoint("b")
        await asyncio.sleep(random.uniform(0.2, 0.6))


# --- names and certificates ---


@fault("the name server fails, then is silent, then names another address", lanes=("named",))
async def name_server_fails(trial):
    for answer in (None, "silent"):
        trial.names.addresses = answer
        await trial.hold(trial.seconds / 2)
        trial.expect(trial.stand.metric("weir_dns_last_lookup_successful") == 0, "the metric does not tell of failed lookups")
    trial.names.addresses = ["127.0.0.1"]


@fault("an endpoint's certificate has expired", {"secure": {"502"}}, lanes=("secure", "demo"))
async def upstream_certificate_expires(trial):
    stand = trial.stand
    make_certificate(stand.folder / "origin", -1)
    stand.kill_endpoint("s")
    stand.start_endpoint("s")
    await trial.hold()
    trial.expect("expired" in stand.ask("GET", "/metrics")[1] or stand.metric("weir_upstream_errors_total") > 0, "no error was counted")
    stand.kill_endpoint("s")
    # The authority that Weir believes is this very file; it is followed.
    make_certificate(stand.folder / "origin", 30)
    stand.start_endpoint("s")


@fault("the listener's certificate is swapped, replaced by garbage, and swapped again", lanes=("tls", "demo"))
async def certificate_swapped(trial):
    door = trial.stand.folder / "door"
    make_certificate(door, 30)
    await trial.hold(trial.seconds / 2)
    for name in ("certificate.pem", "key.pem"):
        (door / name).write_text("no certificate\n")
    await trial.hold(trial.seconds / 2)
    status = trial.stand.ask("GET", "/v1/status")[1]
    trial.expect("stays in force" in status, "status does not tell of the bad certificate")
    make_certificate(door, 30)


# --- the machine ---


@fault("file descriptors run out: 400 idle connections, 300 descriptors", {"demo": {"silent", "502", "503", "reset", "504"}, "bare": {"silent", "502", "503", "reset", "504"}})
async def descriptors_run_out(trial):
    weir, before = trial.stand.weir.pid, None
    raise_file_limit()
    before = resource.prlimit(weir, resource.RLIMIT_NOFILE, (300, resource.prlimit(weir, resource.RLIMIT_NOFILE)[1]))
    crowd = []
    try:
        for _ in range(400):
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(("127.0.0.1", trial.stand.ports["plain"]))
            crowd.append(peer)
            await asyncio.sleep(0.002)
        await trial.hold()
        trial.expect(len(os.listdir(f"/proc/{weir}/fd")) <= 300, "the limit was not reached")
    finally:
        for peer in crowd:
            peer.close()
        resource.prlimit(weir, resource.RLIMIT_NOFILE, before)


@fault("the disk is full", needs_root=True)
async def disk_full(trial):
    stand, data = trial.stand, trial.stand.folder / "data"
    filler = data / "filler"
    filler.write_bytes(b"")
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    status, answer = stand.ask("PATCH", "/v1/routes/demo/weights", {"weights": {"canary": 21}})
    trial.expect(status == 503, f"a change of weights on a full disk: {status} {answer}")
    status, answer = stand.ask("PUT", "/v1/routes/demo/kill-switch", {})
    trial.expect(status in (200, 201), f"the kill switch on a full disk: {status} {answer}")
    await trial.hold()
    filler.unlink()
    await trial.until(lambda: stand.ask("DELETE", "/v1/routes/demo/kill-switch")[0] in (200, 204), "the kill switch is off again")
    await trial.until(lambda: stand.ask("PATCH", "/v1/routes/demo/weights", {"weights": {"canary": 20}})[0] == 200, "changes are taken again")


# --- Weir itself ---


@fault("SIGTERM under load, and a new process", {"demo": {"refused"}, "bare": {"refused"}})
async def terminated(trial):
    stand = trial.stand
    stand.signal_weir(15)
    status = await asyncio.to_thread(stand.ended, stand.weir)
    trial.expect(status == 0, f"it ended with {status}")
    stand.weir = await asyncio.to_thread(stand.start_weir)


@fault("SIGKILL under load, and a new process", {"demo": {"refused", "reset", "cut"}, "bare": {"refused", "reset", "cut"}})
async def killed(trial):
    stand = trial.stand
    status, answer = stand.ask("PATCH", "/v1/routes/demo/weights", {"weights": {"stable": 67, "canary": 33}})
    trial.expect(status == 200, f"weights: {status} {answer}")
    stand.signal_weir(9)
    await asyncio.to_thread(stand.ended, stand.weir)
    stand.weir = await asyncio.to_thread(stand.start_weir)
    trial.expect('"33"' in (found := stand.ask("GET", "/v1/routes/demo/weights")[1]) or "33" in found, "the weights are gone")


@fault("hand-over to a new process, three times", lanes=("demo", "bare", "tls"))
async def handed_over(trial):
    stand = trial.stand
    for _ in range(3):
        old = stand.weir
        stand.weir = await asyncio.to_thread(stand.start_weir, "--takeover")
        status = await asyncio.to_thread(stand.ended, old)
        trial.expect(status == 0, f"the old process ended with {status}")
        await trial.hold(trial.seconds / 3)


def mount(folder):
    """A small disk of its own for the data directory; whether there is one."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True)
    return made.returncode == 0


def unmount(folder):
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)
