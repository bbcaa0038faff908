#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""WebSockets and streams of events as a browser has them, with the threads of relay-threads.conf:
many in one page, some in each of many tabs, and what a browser sends as its first request to a name
while it has a connection for another."""
import os
import time

from lib import fixture, Rig, tap, test
from lib.browser import Browser, own_network_for_browsers

SOCKETS, STREAMS, TABS = 100, 30, 8
BODY = 3_000_000
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A device's page</title>
<h1>Streams</h1><p id="state">nothing yet</p>
<script>
const sockets = [], streams = [];
let echoes = 0, errors = 0, answered = null;
function show() {
  document.getElementById('state').innerText = location.host + ': ' + echoes + ' echoes, ' +
    streams.filter(s => s.events).length + ' streams, ' + errors + ' errors';
}
function open_all(many_sockets, many_streams) {
  for (let i = 0; i < many_sockets; i++) {
    const s = new WebSocket('wss://' + location.host + '/ws');
    s.onopen = () => s.send('hello');
    s.onmessage = () => { echoes++; show(); };
    s.onerror = () => { errors++; show(); };
    sockets.push(s);
  }
  for (let i = 0; i < many_streams; i++) {
    const s = new EventSource('/sse?n=100000&every=0.5&i=' + i);
    s.events = 0;
    s.onmessage = () => { s.events++; show(); };
    s.onerror = () => { errors++; show(); };
    streams.push(s);
  }
}
function again() { for (const s of sockets) s.send('again'); for (const s of streams) s.events = 0;
                   echoes = 0; }
function state() { return [echoes, streams.filter(s => s.events).length, errors]; }
function ask(many) {
  const began = performance.now();
  const fetches = Array.from({length: many},
                             () => fetch('/conns', {cache: 'no-store'}).then(r => r.text()));
  answered = null;
  Promise.all(fetches).then(() => { answered = performance.now() - began; });
}
function post(url, text) {
  const form = document.createElement('form'), area = document.createElement('textarea');
  form.method = 'POST'; form.action = url; form.enctype = 'text/plain';
  area.name = 'field'; area.value = text;
  form.append(area); document.body.append(form); form.submit();
}
</script></html>
"""


@fixture
def rig():
    rig = Rig(many=True)
    rig.expect(r"AH01110|AH01102|AH10034")  # pages are left while their streams go on
    yield rig
    rig.ends_cleanly()


@fixture
def names(rig):
    """The names of devices that are connected, each with PAGE; first_post has the last one."""
    page = f"{rig.dir}/page.html"
    with open(page, "w") as f:
        f.write(PAGE)
    devices = rig.devices_(*(f"dev-{i}" for i in range(TABS + 1)), page=page)
    for device in devices:
        rig.connect(rig.open(device, name=device.id), wait=False)
    for session in rig.sessions:
        session.wait_up()
    return [device.id for device in devices]


@fixture
def browser(rig):
    with Browser(rig) as browser:
        yield browser


def url(rig, name, path="/"):
    return f"https://{rig.host(name)}:{rig.https_port}{path}"


def reaches(browser, wanted, timeout=20):
    """Waits for a state of the page: (echoes, streams with an event, errors); the last one seen."""
    deadline = time.monotonic() + timeout
    while (state := tuple(browser.run("return state()"))) != wanted and \
            time.monotonic() < deadline:
        time.sleep(0.05)
    return state


def ask(browser, many=1):
    """@return the milliseconds of so many fetches of the page's at once, None if they are not all
    answered in time"""
    browser.run("ask(arguments[0])", many)
    deadline = time.monotonic() + 10
    while (took := browser.run("return answered")) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return took


def keep(browser, name):
    if os.environ.get("RELAY_KEEP"):
        browser.screenshot(f"{os.environ['RELAY_KEEP']}/{name}.png")


def answers(rig, name, status):
    """How many requests for a name had a status, and by which protocol, in the log of accesses."""
    with open(f"{rig.dir}/log/relay-access.log") as f:
        lines = [line for line in f if line.startswith(rig.host(name) + " ")]
    return sum(f'HTTP/2.0" {status} ' in line for line in lines)


def grow(browser):
    """mod_http2 has six places for a new connection, and doubles them at most each 100 ms, when an
    answer has ended. It does not count the answer when the visitor has its end before its worker
    has returned (h2_c2_abort() sets c2->aborted, which s_c2_done() asks for): about every other
    one. So there are more rounds than three, and each has some answers."""
    for _ in range(8):
        ask(browser, 6)
        time.sleep(0.15)


@test
def one_page(rig, names):
    with Browser(rig) as browser:  # of its own: the other tests ask for a browser's connections
        full_page(browser, url(rig, names[0]))


def full_page(browser, address):
    wanted = (SOCKETS, STREAMS, 0)
    browser.open(address)
    grow(browser)
    browser.run("open_all(arguments[0], arguments[1])", SOCKETS, STREAMS)
    tap.is_(reaches(browser, wanted), wanted,
            f"a page has {SOCKETS} WebSockets and {STREAMS} streams of events")
    took = [ask(browser) for _ in range(5)]
    tap.ok(None not in took and sorted(took)[2] < 2000, "… and fetches are answered beside them",
           f"{took} ms")
    tap.note(f"a fetch beside them takes {sorted(took)[2]} ms" if None not in took else "")
    browser.run("again()")
    tap.is_(reaches(browser, wanted), wanted, "… and all of them live")
    tap.is_(browser.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol"),
            "h2", "the page came over HTTP/2")
    keep(browser, "one-page")


@test
def tabs(rig, names, browser):
    there = []
    for name in names[:TABS]:
        there.append(browser.tab())
        browser.open(url(rig, name))
        browser.run("open_all(1, 1)")
    found = []
    for tab in there:
        browser.go(tab)
        found.append(reaches(browser, (1, 1, 0)))
    tap.is_(found, [(1, 1, 0)] * TABS,
            f"{TABS} tabs of {TABS} devices have a WebSocket and a stream of events each")
    found = []
    for tab in there:
        browser.go(tab)
        browser.run("again()")
        found.append((reaches(browser, (1, 1, 0)), ask(browser) is not None))
    tap.is_(found, [((1, 1, 0), True)] * TABS,
            "… all of them live at once, and fetches beside them")
    keep(browser, "tabs")
    tap.is_([answers(rig, name, 421) for name in names[1:TABS]], [1] * (TABS - 1),
            "each name but the first was asked for once on another one's connection")


@test(needs=["tabs"])
def first_post(rig, names, browser):
    """A form is a name's first request, and has a body."""
    name = names[-1]
    browser.run("post(arguments[0], arguments[1])", url(rig, name, "/upload"), "x" * BODY)
    text = browser.wait("return location.pathname === '/upload' && document.readyState === "
                        "'complete' && document.body.innerText")
    tap.like(text, rf'"device": "{name}", "bytes": {BODY + len("field=") + 2}\b',
             "a form of 3 MB that is a name's first request arrives whole")
    posts = [
        line for line in open(f"{rig.dir}/log/relay-access.log")
        if line.startswith(rig.host(name)) and "POST /upload" in line
    ]
    tap.is_([line.split('" ')[1].split()[0] for line in posts], ["421", "200"],
            "… on the name's own connection, and the device had it once")


own_network_for_browsers()
tap.run()
