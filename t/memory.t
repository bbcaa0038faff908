#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Browsers remember things of a name. They have to forget them after its tunnel's end, and when it
is another device's.

In Chromium: a service worker that answers by itself, pages and scripts that are cached for a year,
cookies, localStorage. By plain requests: who is told to forget what, which cookies reach a device,
which answers may be cached.
"""
import http.client
import re
import time

from lib import fixture, Rig, tap, test
from lib.browser import Browser, BrowserError, own_network_for_browsers
from lib.trap import Trap

WORKER = """self.addEventListener('install', e => { self.skipWaiting();
  e.waitUntil(caches.open('all').then(c => c.addAll(['/']))) });
self.addEventListener('activate', e => e.waitUntil(clients.claim()));
self.addEventListener('fetch', e => {
  if (e.request.mode == 'navigate') e.respondWith(caches.match('/')) });
"""
PAGE = """<!doctype html><meta charset="utf-8"><title>no worker</title><h1>%(id)s</h1>
<p id="app">no script</p><script src="/app.js"></script>
<script>%(worker)s</script>"""
REGISTER = """navigator.serviceWorker
  .register('/js/worker.js', {scope: '/', updateViaCache: 'all'})
  .then(() => navigator.serviceWorker.ready)
  .then(() => { document.title = 'worker' })"""
YEAR = ("Cache-Control", "public, max-age=31536000, immutable")


class Site(Trap):
    """A device's web site: it keeps what it was asked, and with which cookies."""
    def __init__(self, ident, worker=False, cached=False):
        self.id, self.worker, self.cached, self.asked = ident, worker, cached, []
        super().__init__()

    def page(self, request):
        """(status, type, headers, body) for a path"""
        path = request.target.partition("?")[0]
        if path == "/login":
            return 200, "text/plain", [("Set-Cookie",
                                        f"sid={self.id}; Path=/; HttpOnly; Max-Age=9999999"),
                                       ("Set-Cookie", f"seen-{self.id}=1; Path=/")], self.id
        if path == "/js/worker.js":
            return (200, "text/javascript", [("Service-Worker-Allowed", "/"), YEAR],
                    WORKER) if self.worker else (404, "text/html", [], "none")
        if path == "/app.js":
            return 200, "text/javascript", [
                YEAR
            ], f"document.getElementById('app').innerText = 'script of {self.id}'"
        if path == "/typed":
            spec = dict(re.findall(r"(\w+)=([^&]*)", request.target.partition("?")[2]))
            status = int(spec.get("status", 200))
            cc = {"none": [], "store": [("Cache-Control", "no-store")]}.get(spec.get("cc"), [YEAR])
            where = [("Location", "/")] if 300 < status < 400 else []
            kind = spec.get("type", "").replace("+", "/", 1) or None
            return status, kind, cc + where, "" if status == 304 else "x"
        return 200, "text/html", [
            YEAR
        ] if self.cached else [], PAGE % {"id": self.id, "worker": REGISTER if self.worker else ""}

    def answer(self, request):
        self.asked.append((request.target, dict(request.headers)))
        status, kind, headers, body = self.page(request)
        if kind:
            headers = headers + [("Content-Type", kind)]
        if status != 304:
            headers = headers + [("Content-Length", len(body))]
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}"]
        lines += [f"{key}: {value}" for key, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def cookies(self):
        return "; ".join(headers.get("Cookie", "") for _, headers in self.asked)


class Name:
    """A chosen name, and the tunnel that has it now."""
    def __init__(self, rig, name):
        self.rig, self.name, self.tunnel, self.session = rig, name, None, None
        self.url = f"https://{name}.{rig.domain}:{rig.https_port}/"

    def open(self, site, *args, label=True):
        self.tunnel = self.rig.open(site.url,
                                    name=self.name,
                                    device=site.id if label else None,
                                    args=args)
        self.session = self.rig.connect(self.tunnel)
        deadline = time.monotonic() + 5
        while self.rig.get(self.name)[0] != 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        site.asked.clear()

    def close(self):
        self.rig.rly("close", self.tunnel["id"])
        tap.is_(self.rig.status_after(self.name), 410, f"{self.name}: closed")
        self.session.wait_down()


def heading(browser):
    try:
        return browser.text("h1")
    except BrowserError:  # while a page is being replaced
        return None


def shows(browser, wanted, what, timeout=12):
    deadline = time.monotonic() + timeout
    while (got := heading(browser)) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return tap.is_(got, wanted, what)


def left(browser):
    """Returns what the browser holds of the name that it shows."""
    return browser.run(
        """return (async () => [(await navigator.serviceWorker.getRegistrations()).length,
        (await caches.keys()).length, localStorage.getItem('token')])()""")


def log_in(browser, site):
    browser.run("return fetch('/login').then(r => r.text())")
    browser.run("localStorage.setItem('token', arguments[0])", site.id)


def with_worker(browser, name):
    browser.open(name.url)
    browser.wait("return document.title == 'worker' && navigator.serviceWorker.controller !== null")


ENDED = "This tunnel has ended"

BOTH, CACHE = '"cache", "storage"', '"cache"'
NAV = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
SCRIPT = {
    "Service-Worker": "script", "Sec-Fetch-Dest": "serviceworker", "Sec-Fetch-Mode": "same-origin",
    "Sec-Fetch-Site": "same-origin"
}
IMAGE = {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"}
FRAME = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}
OWN_FRAME = dict(FRAME, **{"Sec-Fetch-Site": "same-origin"})
PLAIN = {}
OLD_SCRIPT = {"Service-Worker": "script"}
SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}
COOKIES = "sid=old; x; deep=1"


def ask(rig, what, headers, path="/dir/page?q=/no"):
    status, got, body = rig.get(what, path, headers=headers)
    return status, got["Clear-Site-Data"], got.get_all("Set-Cookie") or [], body, got


def check_ended(rig, ended):
    for what, headers, status, clear in (("a page", NAV, 410, CACHE), ("an image", IMAGE, 410,
                                                                       CACHE), ("a frame", FRAME,
                                                                                410, CACHE),
                                         ("a worker's script", SCRIPT, 200,
                                          CACHE), ("of an old browser", PLAIN, 410,
                                                   BOTH), ("an old browser's worker's script",
                                                           OLD_SCRIPT, 410, BOTH)):
        got = ask(rig, ended, dict(headers, Cookie=COOKIES))
        tap.is_(got[:3], (status, clear, []),
                f"ended, {what}: {status}, and what is cleared; no cookie")
    status, clear, _, body, got = ask(rig, ended, SCRIPT)
    tap.like(body.decode(), "registration.unregister", "ended: the last worker ends itself")
    tap.is_((got["Content-Type"], got["Cache-Control"], got["Service-Worker-Allowed"]),
            ("text/javascript; charset=utf-8", "no-store", "/"), "… and may stand for any scope")
    tap.is_(
        ask(rig, ended, SCRIPT)[0],
        rig.get(ended, "/dir/page", headers=SCRIPT, http=2)[0], "over HTTP/2, too")
    for what, headers, status, clear in (("a page", NAV, 404, None), ("a worker's script", SCRIPT,
                                                                      200, CACHE),
                                         ("an old browser's worker's script", OLD_SCRIPT, 404,
                                          BOTH), ("of an old browser", PLAIN, 404, None)):
        tap.is_(
            ask(rig, "never-heard-of", headers)[:2], (status, clear),
            f"an unknown name, {what}: {status}")


def check_never_changed(rig, name, site):
    for what, headers in (("a page", NAV), ("a worker's script", SCRIPT), ("of an old browser",
                                                                           PLAIN)):
        site.asked.clear()
        got = ask(rig, name.name, dict(headers, Cookie=COOKIES))
        tap.is_(got[:3], (200, None, []),
                f"a name that never changed hands, {what}: nothing is cleared")
        tap.is_(site.asked[0][1].get("Cookie"), COOKIES,
                "and its cookies reach the device as they are")
    for sent, got in (("__Host-relay-owner=x", None), ("a=1; __Host-relay-owner=x; b=2",
                                                       "a=1; b=2"),
                      ("__Host-relay-owner=x;a=1", "a=1"), ("a=1;__Host-relay-owner=x", "a=1"),
                      ("a=1; __Host-relay-owner", "a=1; __Host-relay-owner"),
                      ("a=__Host-relay-owner=1", "a=__Host-relay-owner=1"),
                      ("__Host-relay-owners=1", "__Host-relay-owners=1"),
                      ("__Host-relay-owner=; __Host-relay-owner=y; c",
                       "c"), (";; a=1 ;;", ";; a=1 ;;"), (" ;__Host-relay-owner=x ;; a = 1 ;",
                                                          "a = 1")):
        site.asked.clear()
        ask(rig, name.name, {"Cookie": sent})
        tap.is_(site.asked[0][1].get("Cookie"), got,
                f"Cookie: {sent}: our own does not reach the device")


def check_changed(rig, name, site, owner):
    know = f"__Host-relay-owner={owner}"
    paths = ["/", "/dir", "/dir/", "/dir/page"]
    # in the order of the cookies: the one without `=` is a value without a name
    deletions = [f"{n}=x; Path={p}; Max-Age=0; Secure" for n in ("sid", "", "deep") for p in paths]
    mark = f"{know}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000"
    for what, headers, status, clear, cookies, reaches in (("a page", NAV, 200, BOTH,
                                                            deletions + [mark],
                                                            True), ("of an old browser", PLAIN, 200,
                                                                    BOTH, deletions + [mark], True),
                                                           ("a frame of its own", OWN_FRAME, 200,
                                                            BOTH, deletions + [mark],
                                                            True), ("a frame elsewhere", FRAME, 200,
                                                                    CACHE, [], True),
                                                           ("an image", IMAGE, 200, None, [],
                                                            True), ("an old browser's WebSocket",
                                                                    SOCKET, 200, None, [], True),
                                                           ("a worker's script", SCRIPT, 200, CACHE,
                                                            [], False),
                                                           ("an old browser's worker's script",
                                                            OLD_SCRIPT, 404, BOTH, [], False)):
        for stale in ("", "; __Host-relay-owner=someoneelses0000"):
            site.asked.clear()
            got = ask(
                rig, name.name,
                dict(headers,
                     Cookie=COOKIES + stale,
                     **{"If-None-Match": '"1"', "If-Modified-Since": "x", "If-Range": '"1"'}))
            tap.is_(
                got[:3], (status, clear, cookies),
                f"changed hands, {what}{' with an older owner' if stale else ''}: what is cleared")
            if clear:
                tap.like(", ".join(got[4].get_all("Cache-Control")), "no-store",
                         "… and no cache on the way keeps that for others")
            if tap.is_(bool(site.asked), reaches, "it reaches the device"
                       if reaches else "it does not reach the device") and reaches:
                seen = site.asked[0][1]
                tap.is_([
                    h for h in ("Cookie", "If-None-Match", "If-Modified-Since", "If-Range")
                    if h in seen
                ], [], "… without cookies, and without what its cache has")
        site.asked.clear()
        got = ask(rig, name.name,
                  dict(headers, Cookie=f"a=1; {know}; b=2", **{"If-None-Match": '"1"'}))
        tap.is_(got[1:3], (None, []), f"… one that knows, {what}: nothing is cleared")
        tap.is_([site.asked[0][1].get(h) for h in ("Cookie", "If-None-Match")], ["a=1; b=2", '"1"'],
                "… its own cookies reach the device")
    got = ask(rig, name.name, dict(NAV, Cookie="; ".join(f"c{i}=1" for i in range(300))),
              path="/")[2]
    tap.is_(len(got), 60,
            "cookies without end: as many as fit are deleted, the rest with the next page")
    tap.ok(not any("relay-owner" in c for c in got),
           "… which is why the browser does not count as told")
    got = ask(rig, name.name, dict(NAV, Cookie="c=1"), path="/a" * 40)[2]
    tap.between(len(got), 2, 13, "a path without end: a dozen of its directories")
    got = rig.raw(
        f"GET /x;y HTTP/1.1\r\nHost: {name.name}.{rig.domain}\r\nCookie: c=1\r\nConnection: "
        "close\r\n\r\n".encode(), name.name)
    tap.unlike(got.decode(errors="replace"), r"Path=/x;y", "a path with `;' makes no attribute")


def check_caching(rig, name, site, random):
    year = YEAR[1]
    ask_again = f"{year}, no-cache"
    for kind, headers, wanted in (("text+html", IMAGE, ask_again), ("text+html;charset=x", PLAIN,
                                                                    ask_again), ("TEXT+HTML", IMAGE,
                                                                                 ask_again),
                                  ("image+svg%2bxml", IMAGE, None), ("image+xml", IMAGE, ask_again),
                                  ("application+xhtml+xml", IMAGE,
                                   ask_again), ("", IMAGE, ask_again), ("multipart+x-mixed-replace",
                                                                        IMAGE, ask_again),
                                  ("unknown+unknown", IMAGE, ask_again), ("nonsense", IMAGE,
                                                                          ask_again),
                                  ("text+css", PLAIN, year), ("text+javascript", IMAGE, year),
                                  ("image+png", IMAGE, year), ("application+json", IMAGE,
                                                               year), ("image+png", NAV, ask_again),
                                  ("text+plain", NAV,
                                   ask_again), ("text+javascript", SCRIPT,
                                                ask_again), ("image+png&status=301", IMAGE,
                                                             ask_again), ("image+png&status=308",
                                                                          PLAIN, ask_again),
                                  ("image+png&status=404", IMAGE,
                                   year), ("image+png&cc=none", NAV,
                                           "no-cache"), ("text+html&cc=none", IMAGE, "no-cache"),
                                  ("text+html&cc=store", IMAGE,
                                   "no-store, no-cache"), ("image+png&cc=none", IMAGE,
                                                           None), ("&status=304", NAV, None),
                                  ("&status=304", IMAGE, None), ("&status=304&cc=store", IMAGE,
                                                                 "no-store, no-cache")):
        got = ask(rig, name.name, headers, path=f"/typed?type={kind}")[4]
        if "%2b" not in kind:
            tap.is_(
                got["Cache-Control"], wanted, f"Cache-Control of {kind or 'no type'} as "
                f"{headers.get('Sec-Fetch-Dest', 'whatever')}")
    for kind in ("text+html", "", "&status=301"):
        tap.is_(
            ask(rig, random, NAV, path=f"/typed?type={kind}")[4]["Cache-Control"], year,
            "a random name: as the device says")
    tap.is_(
        ask(rig, random, SCRIPT, path="/typed?type=text+javascript")[4]["Cache-Control"], ask_again,
        "… but for a worker's script")


@fixture
def rig():
    rig = Rig(rlyd=True)
    # the browser asks a device that is just leaving
    rig.expect(r"AH00957|AH01114|AH01102|AH00898|AH01110")
    yield rig
    rig.ends_cleanly()


@fixture
def browser(rig):
    with Browser(rig) as browser:
        yield browser


@test
def requests(rig):
    a, b = Site("a"), Site("b")
    name = Name(rig, "table")
    name.open(a)
    check_never_changed(rig, name, a)
    random = rig.open(a.url, device="a")
    rig.connect(random)
    check_caching(rig, name, a, random)
    name.close()
    check_ended(rig, name.name)
    name.open(b, "--take-over")
    check_changed(rig, name, b, name.tunnel["id"])
    owner = name.tunnel["id"]
    name.close()
    name.open(b)
    got = ask(rig, name.name, dict(NAV, Cookie=f"__Host-relay-owner={owner}"))
    tap.is_(got[1:3], (None, []), "the same device again: who was told need not be told again")
    name.close()
    name.tunnel = rig.open(b.url, name="table", device="b")
    got = ask(rig, name.name, dict(NAV, Cookie=COOKIES))
    tap.is_((*got[:2], got[2][-1].partition(";")[0]), (503, BOTH, f"__Host-relay-owner={owner}"),
            "a device that is not connected: a browser is told all the same")
    rig.connect(name.tunnel)
    tap.is_(rig.get("table")[0], 200, "it is connected")
    rig.redis("HSET", "relay:route:table", "owner", "evil; Path=/\r\nX: y")
    deadline = time.monotonic() + 3
    while rig.get("table")[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.02)
    rig.expect("RLY120")
    tap.is_(rig.get("table")[0], 503, "an owner that is no id: the record is refused")


@test
def cached(rig, browser):
    a, b = Site("a", cached=True), Site("b", cached=True)
    name = Name(rig, "cached")
    name.open(a)
    browser.open(name.url)
    tap.is_((heading(browser), browser.text("#app")), ("a", "script of a"),
            "a page and a script, cached for a year")
    a.asked.clear()
    browser.open(name.url)
    tap.is_([path for path, _ in a.asked if path != "/favicon.ico"], ["/"],
            "the page is asked for again, the script is not")
    name.close()
    browser.open(name.url)
    tap.is_(heading(browser), ENDED, "ended: the 410, not the page from the cache")
    name.open(a)
    browser.open(name.url)
    name.close()
    name.open(b, "--take-over")
    browser.open(name.url)
    tap.is_((heading(browser), browser.text("#app")), ("b", "script of b"),
            "taken over: the new device's page and script at once")


@test
def worker(rig, browser):
    a, b = Site("a", worker=True), Site("b")
    name, neighbour = Name(rig, "nas"), Name(rig, "neighbour")
    neighbour.open(b, label=False)
    browser.open(neighbour.url)
    log_in(browser, b)
    name.open(a)
    with_worker(browser, name)
    log_in(browser, a)
    name.close()
    browser.open(name.url)
    shows(browser, ENDED, "the tunnel has ended: the worker's page gives way to the 410 by itself")
    tap.is_(left(browser), [0, 0, "a"],
            "no worker and no cache is left; what a login is made of is")
    browser.open(name.url)
    tap.is_(heading(browser), ENDED, "from then on the 410 at once")

    name.open(a)
    with_worker(browser, name)
    tap.is_(heading(browser), "a", "the same device under the same name again: its page")
    tap.like(a.cookies(), r"\bsid=a\b", "its visitors' logins are there: the cookie")
    tap.is_(left(browser), [1, 1, "a"], "… and what is in localStorage; its worker is there again")
    browser.open(name.url)
    tap.is_((heading(browser), left(browser)), ("a", [1, 1, "a"]), "… and stays")

    name.close()
    name.open(b, "--take-over")
    browser.open(name.url)
    shows(
        browser, "b",
        "taken over by another device: the old worker's page gives way to the new device's by "
        "itself")
    tap.is_(left(browser), [0, 0, None], "nothing is left of the old one's worker, caches, storage")
    tap.is_(browser.text("#app"), "script of b", "… and of its scripts that were cached for a year")
    tap.is_(browser.run("return document.cookie"), "", "… and of its cookies that scripts see")
    tap.unlike(b.cookies(), "=a|seen-a|__Host",
               "the new device was shown no cookie of the old one, nor the relay's")
    tap.ok(b.asked, "(it was asked)")
    log_in(browser, b)
    b.asked.clear()
    for _ in range(3):
        browser.open(name.url)
    tap.is_((heading(browser), left(browser)), ("b", [0, 0, "b"]),
            "a login at the new device stays")
    tap.like(b.cookies(), r"\bsid=b\b", "… and its cookie")
    tap.unlike(b.cookies(), "__Host", "the relay's own cookie never reaches the device")
    b.worker = True
    with_worker(browser, name)
    browser.open(name.url)
    time.sleep(2)
    tap.is_((heading(browser), left(browser)), ("b", [1, 1, "b"]),
            "the new device's own worker may stay")

    name.close()
    name.open(b)
    browser.open(name.url)
    browser.run("return fetch('/page').then(r => r.text())")
    tap.like(b.cookies(), r"\bsid=b\b",
             "the new device again, under its label: its visitors' logins are there")
    tap.is_(left(browser)[2], "b", "… all of them")
    b.asked.clear()
    browser.open(neighbour.url)
    tap.like(b.cookies(), r"\bsid=b\b", "the neighbour's visitors have lost no login meanwhile")
    tap.is_(browser.run("return localStorage.getItem('token')"), "b",
            "… nor what is in localStorage")


own_network_for_browsers()
tap.run()
