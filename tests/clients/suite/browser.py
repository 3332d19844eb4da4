"""Headless Chromium, driven by the WebDriver protocol (https://www.w3.org/TR/webdriver2/) over chromedriver's HTTP."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from versus_lib.processes import find_tool, free_port, wait_until

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",  # it runs as root, and in containers that forbid namespaces
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-proxy-server",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]

#: what scripts have at hand; a page cannot load them itself, its origin is one of the checks' own
PRELUDE = """
const done = arguments[arguments.length - 1];
const within = (promise, what, ms = 10000) =>
  Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error('no ' + what)), ms))]);
const event = (target, name) => within(new Promise((resolve) => target.addEventListener(name, resolve, { once: true })), name);
const run = async () => {
"""
POSTLUDE = "\n}; run().then((value) => done({ value }), (error) => done({ error: String(error) }));"


class Browser:
    def __init__(self, folder, processes, certs):
        driver = find_tool("chromedriver")
        if driver is None:
            raise RuntimeError("chromedriver is missing; ./test setup installs it")
        log = folder / "chromedriver.log"
        port = free_port()
        self._base = f"http://127.0.0.1:{port}"
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        child = processes.start([driver, f"--port={port}", "--log-level=WARNING"], log=log)
        wait_until("chromedriver", self._is_ready, seconds=20, child=child, log=log)
        options = {
            "args": [
                *ARGUMENTS,
                f"--user-data-dir={folder / 'profile'}",
                f"--ignore-certificate-errors-spki-list={certs.key_hash(certs.shop)}",
            ]
        }
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}}, 60)
        self.version = session["capabilities"]["browserVersion"]
        self._base += f"/session/{session['sessionId']}"
        self._ask("POST", "/timeouts", {"script": 30_000, "pageLoad": 30_000})

    def _is_ready(self):
        try:
            return self._ask("GET", "/status", seconds=2)["ready"]
        except OSError:
            return False

    def _ask(self, method, path, body=None, seconds=40):
        data = None if method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with self._open(request, timeout=seconds) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as refused:
            value = json.load(refused)["value"]
            raise RuntimeError(f"{path}: {value['error']}: {value['message']}") from None

    def load(self, url):
        """Navigates, and waits until everything on the page is there."""
        self._ask("POST", "/url", {"url": url})

    def reload(self):
        self._ask("POST", "/refresh")

    def forget(self):
        """Deletes all cookies, those too that the page must not see."""
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Network.clearBrowserCookies", "params": {}})

    def heed_policies(self, heed):
        """Whether Content-Security-Policy counts; one that a page was loaded with before stays."""
        self._ask("POST", "/goog/cdp/execute", {"cmd": "Page.setBypassCSP", "params": {"enabled": not heed}})

    def cookies(self):
        return self._ask("GET", "/cookie")

    def run(self, script, *arguments):
        """What the body of an async function returns, which is run in the page; `args` are the arguments."""
        script = "const args = arguments[0];" + PRELUDE + script + POSTLUDE
        seen = self._ask("POST", "/execute/async", {"script": script, "args": [list(arguments)]})
        if "error" in seen:
            raise RuntimeError(seen["error"])
        return seen.get("value")

    def complaints(self):
        """Errors on the page's console since the last call."""
        entries = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


class LazyBrowser:
    """One browser for all checks that want one, started by the first.

    A thread of its own starts it: children end with the thread that they came from.
    """

    def __init__(self, *about):
        self._about, self._starter, self._browser = about, ThreadPoolExecutor(max_workers=1), None

    def __call__(self):
        return self._starter.submit(self._start).result(100)

    def _start(self):
        if self._browser is None:
            self._browser = Browser(*self._about)
        return self._browser
