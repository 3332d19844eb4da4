"""The admin API seen by a browser: pages of other origins and rebound names get nothing and change nothing."""

import json
import urllib.request

from suite.check import check, demand, equal


def revision(stand):
    return ask(stand, "/v1/status")["revision"]


def ask(stand, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{stand.weir.ports['admin']}{path}", timeout=5) as answer:
        return json.load(answer)


def denied(stand):
    """How many calls the admin API has denied."""
    lines = stand.weir.metrics().splitlines()
    counts = (line for line in lines if line.startswith("weir_admin_requests_total{") and 'result="denied"' in line)
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


@check("chromium: a page of another origin cannot change anything by the admin API", 60, lane="browser")
def _(stand):
    browser, route = stand.browser(), ask(stand, "/v1/routes")["routes"][0]["name"]
    browser.load(stand.weir.url("/page/index.html", "clear", "shop.test"))
    before, denials = revision(stand), denied(stand)
    api = f"http://127.0.0.1:{stand.weir.ports['admin']}"
    seen = browser.run("""
        const [api, route, revision] = args;
        const outcome = (promise) => promise.then((answer) => `${answer.type} ${answer.status}`, () => 'refused');
        const plain = { method: 'POST', mode: 'no-cors', body: '{}', headers: { 'content-type': 'text/plain' } };
        const frame = document.createElement('iframe');
        frame.name = 'sink';
        document.body.append(frame);
        const form = document.createElement('form');
        Object.assign(form, { method: 'POST', action: `${api}/v1/revisions/${revision}/restore`, target: 'sink' });
        document.body.append(form);
        const loaded = new Promise((resolve) => { frame.onload = resolve; setTimeout(resolve, 5000); });
        form.submit();
        await loaded;
        return {
          read: await outcome(fetch(`${api}/v1/status`)),
          put: await outcome(fetch(`${api}/v1/routes/${route}/kill-switch`, { method: 'PUT' })),
          patch: await outcome(fetch(`${api}/v1/routes/${route}/weights`, { method: 'PATCH', body: '{}' })),
          post: await outcome(fetch(`${api}/v1/revisions/${revision}/restore`, plain)),
        };
    """, api, route, before)  # fmt: skip
    browser.complaints()
    equal((seen["read"], seen["put"], seen["patch"]), ("refused", "refused", "refused"), "what scripts may see")
    # It is sent; the answer's Cross-Origin-Resource-Policy keeps even an opaque one from the page.
    equal(seen["post"], "refused", "a request that a script may send and not see")
    equal(revision(stand), before, "the revision")
    demand(denied(stand) >= denials + 2, "the form and the request were not counted as denied")


@check("chromium: a name that was rebound to the admin API gets nothing", 60, lane="browser")
def _(stand):
    browser, before = stand.browser(), revision(stand)
    route = ask(stand, "/v1/routes")["routes"][0]["name"]
    address = f"http://rebound.test:{stand.weir.ports['admin']}/v1/status"
    script = """
        const [route] = args;
        const status = (path, init) => fetch(path, init).then((answer) => answer.status, () => 'refused');
        return {
          page: document.body.innerText.includes('host-not-allowed'),
          read: await status('/v1/status'),
          kill: await status(`/v1/routes/${route}/kill-switch`, { method: 'PUT', body: '{}' }),
        };
    """
    browser.load(address)
    seen = browser.run(script, route)
    equal(seen, {"page": True, "read": "refused", "kill": "refused"}, "what the answers' own policy lets a page do")
    # A page that was there before its name was rebound has no such policy.
    browser.heed_policies(False)
    try:
        browser.load(address)
        seen = browser.run(script, route)
    finally:
        browser.heed_policies(True)
    browser.complaints()
    equal(seen, {"page": True, "read": 403, "kill": 403}, "what a page with the rebound name sees")
    equal(revision(stand), before, "the revision")
