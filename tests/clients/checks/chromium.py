"""Chromium: pages, fetches, WebSockets and event streams as a browser makes them, over HTTP/2 and HTTP/1.1."""

import time
from functools import wraps

from suite.check import Failed, check, demand, equal

#: listeners with what a browser speaks to them
WAYS = (("tls", "h2"), ("clear", "http/1.1"))


def in_browser(name, seconds=60):
    """Declares a check that has the browser, with a console that stays clean."""

    def declare(body):
        @check(f"chromium: {name}", seconds, lane="browser")
        @wraps(body)
        def _(stand):
            browser = stand.browser()
            browser.complaints()
            body(stand, browser)
            equal(browser.complaints(), [], "errors on the console")

        return body

    return declare


def on_both_ways(name, seconds=60):
    def declare(body):
        for port, protocol in WAYS:
            named = f"{name}, {'HTTP/2 in TLS' if port == 'tls' else 'HTTP/1.1'}"

            @in_browser(named, seconds)
            def _(stand, browser, port=port, protocol=protocol):
                load(stand, browser, port)
                body(stand, browser, port, protocol)

        return body

    return declare


def load(stand, browser, port, path="/page/index.html"):
    browser.load(stand.weir.url(path, port, "shop.test"))


@on_both_ways("a page with its resources")
def _(stand, browser, port, protocol):
    seen = browser.run("""
        const [page] = performance.getEntriesByType('navigation');
        const resources = performance.getEntriesByType('resource');
        return {
          title: document.title, page: page.nextHopProtocol, status: page.responseStatus,
          protocols: [...new Set(resources.map((entry) => entry.nextHopProtocol))],
          statuses: [...new Set(resources.map((entry) => entry.responseStatus))],
          count: resources.length, color: getComputedStyle(document.querySelector('h1')).color,
          dots: [...document.images].filter((image) => image.complete && image.naturalWidth === 8).length,
        };
    """)
    equal((seen["page"], seen["status"], seen["title"]), (protocol, 200, "A page behind Weir"), "the page")
    equal((seen["protocols"], seen["statuses"]), ([protocol], [200]), "its resources")
    equal((seen["count"], seen["dots"], seen["color"]), (62, 60, "rgb(1, 2, 3)"), "what of it is there")


@on_both_ways("200 fetches at once")
def _(stand, browser, port, protocol):
    seen = browser.run("""
        const one = async (number) => {
          const answer = await fetch(`/bytes/${number * 700}`);
          const bytes = new Uint8Array(await answer.arrayBuffer());
          return answer.status === 200 && bytes.length === number * 700 && bytes.every((byte, at) => byte === at % 256);
        };
        performance.setResourceTimingBufferSize(1000);
        const good = await Promise.all(Array.from({ length: 200 }, (_, number) => one(number)));
        const entries = performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/bytes/'));
        return [good.filter(Boolean).length, [...new Set(entries.map((entry) => entry.nextHopProtocol))]];
    """)
    equal(seen, [200, [protocol]], "whole answers and protocols")


@on_both_ways("uploads, and what comes back of them")
def _(stand, browser, port, protocol):
    seen = browser.run("""
        const body = new Uint8Array(3000000).map((_, at) => at % 251);
        const hash = [...new Uint8Array(await crypto.subtle?.digest('SHA-256', body) ?? [])];
        const about = await (await fetch('/upload', { method: 'POST', body })).json();
        const echo = new Uint8Array(await (await fetch('/echo', { method: 'PUT', body })).arrayBuffer());
        const same = echo.length === body.length && echo.every((byte, at) => byte === body[at]);
        const hex = hash.map((byte) => byte.toString(16).padStart(2, '0')).join('');
        return [about.length, !hex || about.sha256 === hex, same];
    """)
    equal(seen, [3_000_000, True, True], "length, hash, echo")


@in_browser("an upload that is a stream, which browsers send over HTTP/2 alone")
def _(stand, browser):
    load(stand, browser, "tls")
    length = browser.run("""
        const pieces = [1000, 50000, 1, 70000];
        const body = new ReadableStream({
          async pull(to) {
            if (!pieces.length) return to.close();
            await new Promise((resolve) => setTimeout(resolve, 20));
            to.enqueue(new Uint8Array(pieces.shift()));
          },
        });
        return (await (await fetch('/upload', { method: 'POST', body, duplex: 'half' })).json()).length;
    """)
    equal(length, 121_001, "length")


@on_both_ways("a fetch that is given up is seen by the origin")
def _(stand, browser, port, protocol):
    name = f"chromium-{port}"
    browser.run("window.given = new AbortController(); fetch(args[0], { signal: given.signal }).catch(() => {});", f"/hold/{name}")
    wait_for(lambda: stand.http.held(name) == "open", "the request did not come")
    browser.run("window.given.abort();")
    wait_for(lambda: stand.http.held(name) == "gone", "the origin still works")


def wait_for(probe, otherwise, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > deadline:
            raise Failed(otherwise)
        time.sleep(0.02)


@on_both_ways("events come one by one")
def _(stand, browser, port, protocol):
    seen = browser.run("""
        const source = new EventSource(`/events?stream=${args[0]}&count=5`), ids = [];
        const all = new Promise((resolve) => {
          source.onmessage = (event) => {
            ids.push(event.lastEventId);
            if (ids.length === 5) { source.close(); resolve(); }
            fetch(`/acknowledge?stream=${args[0]}`);
          };
        });
        await within(all, 'five events', 20000);
        return ids;
    """, f"chromium-{port}")  # fmt: skip
    equal(seen, ["0", "1", "2", "3", "4"], "events")


@on_both_ways("a WebSocket: messages, and close codes both ways")
def _(stand, browser, port, protocol):
    path = f"/ws/chromium-{port}"
    seen = browser.run("""
        const open = async (path) => {
          const socket = new WebSocket(`${location.origin.replace('http', 'ws')}${path}`);
          socket.binaryType = 'arraybuffer';
          await event(socket, 'open');
          return socket;
        };
        const ask = async (socket, message) => {
          socket.send(message);
          return (await event(socket, 'message')).data;
        };
        const [path] = args, socket = await open(path);
        const text = await ask(socket, 'hello ✓');
        const bytes = new Uint8Array(5000000).map((_, at) => at % 253);
        const back = new Uint8Array(await ask(socket, bytes));
        const same = back.length === bytes.length && back.every((byte, at) => byte === bytes[at]);
        const many = [];
        const all = new Promise((resolve) => socket.addEventListener('message', ({ data }) => {
          many.push(data);
          if (many.length === 300) resolve();
        }));
        for (let number = 0; number < 300; number++) socket.send(String(number));
        await within(all, '300 messages');
        const ordered = many.every((message, at) => message === String(at));
        socket.close(4100, 'enough');
        const own = await event(socket, 'close');
        const other = await open(path + '/other');
        other.send('close 4200 their own reason');
        const theirs = await event(other, 'close');
        return {
          text, same, ordered, extensions: other.extensions,
          own: [own.code, own.reason, own.wasClean], theirs: [theirs.code, theirs.reason, theirs.wasClean],
        };
    """, path)  # fmt: skip
    equal((seen["text"], seen["same"], seen["ordered"]), ("hello ✓", True, True), "messages")
    equal(seen["own"], [4100, "enough", True], "a close of the client's")
    equal(seen["theirs"], [4200, "their own reason", True], "a close of the origin's")
    demand("permessage-deflate" in seen["extensions"], f"no compression: {seen['extensions']!r}")
    closed = stand.sockets.closed(path) or stand.sockets_canary.closed(path)
    equal(closed, (4100, "enough"), "what the origin saw of the client's close")
    spoken = stand.weir.logged(path)["network.protocol.version"]
    equal(spoken, "2" if port == "tls" else "1.1", "the version of HTTP that it went over")


@on_both_ways("the assignment cookie keeps a user on one backend, over reloads and WebSockets")
def _(stand, browser, port, protocol):
    seen = set()
    for _ in range(12):
        browser.forget()
        load(stand, browser, port, "/split/page/index.html")
        first = who(browser)
        names = [cookie["name"] for cookie in browser.cookies()]
        demand(any(name.startswith("weir") for name in names), f"no assignment cookie among {names}")
        for _ in range(2):
            browser.reload()
            equal(who(browser), first, "backends after a reload")
        seen.add(first[0][0])
        if len(seen) == 2:
            return
    raise Failed(f"12 users were all on {seen}")


def who(browser):
    """The backends that fetches and sockets of the page come to, each named once."""
    return browser.run("""
        const socket = async () => {
          const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws/who`);
          await event(socket, 'open');
          socket.send('who');
          const { data } = await event(socket, 'message');
          socket.close();
          return data;
        };
        const page = async () => (await fetch(location.href)).headers.get('x-backend');
        const distinct = (all) => [...new Set(all)];
        return [distinct(await Promise.all([page(), page(), page()])), distinct([await socket(), await socket()])];
    """)
