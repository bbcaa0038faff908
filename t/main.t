#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The main job, end to end: script/demo's three forms; a page in a browser; ten devices; close."""
import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from lib import alive, fixture, keeper, listeners, Rig, run, tap, test, TOP
from lib.browser import Browser, own_network_for_browsers

DEMO = f"{TOP}/script/demo"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>The device's page</title>
<link rel="stylesheet" href="/style.css"><h1>Hello from behind the NAT</h1>
<p id="js">no script</p><p id="ws">no socket</p>
<script>
fetch('/echo').then(r => r.json())
  .then(j => { document.getElementById('js').innerText = 'asked ' + j.device; });
const ws = new WebSocket('wss://' + location.host + '/ws');
ws.onopen = () => ws.send('ping over a socket');
ws.onmessage = e => { document.getElementById('ws').innerText = e.data; };
</script></html>
"""


def demo(*args):
    """Runs script/demo to its end, watched for what it leaves behind."""
    result = subprocess.run([DEMO, *args], stdin=subprocess.DEVNULL, capture_output=True)
    result.err = result.stderr.decode(errors="replace")
    return result


@fixture
def scratch():
    with tempfile.TemporaryDirectory() as scratch:
        yield scratch


@test
def demo_once(scratch):
    page = f"{scratch}/page.bin"
    data = os.urandom(300_000) + b"\r\n\x00 last line without an end"
    with open(page, "wb") as f:
        f.write(data)
    result = demo("--once", "--page", page)
    tap.is_(result.returncode, 0, "demo --once: exit status") or tap.diag(result.err)
    tap.ok(result.stdout == data, "demo --once prints exactly the page's bytes",
           f"{len(result.stdout)} bytes, {len(data)} expected")
    tap.like(result.err, r"fetching the page through HTTPS",
             "demo --once: progress goes to standard error")
    open(f"{scratch}/empty", "w").close()
    result = demo("--once", "--page", f"{scratch}/empty")
    tap.is_((result.returncode, result.stdout), (0, b""), "demo --once with an empty page")
    for args in (["--page"], ["--once", "--page", "/nonexistent"], ["--for", "soon"], ["--what"],
                 ["--once", "--json"], ["--once", "--api"]):
        result = demo(*args)
        tap.is_((result.returncode, result.stdout), (2, b""),
                f"demo {' '.join(args)}: exit status 2")
        tap.like(result.err, r"^demo: .+\nusage: ",
                 f"demo {' '.join(args)}: says what is wrong, and its usage")


def start_demo_json(seconds, *args):
    process = subprocess.Popen(
        [DEMO, "--json", "--for", str(seconds), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    return process, json.loads(process.stdout.readline())


def demo_api(j):
    """What --api adds."""
    api, host = j["api"], f"api.{j['domain']}:{j['https_port']}"
    curl = ["curl", "-q", "-sS", "--noproxy", "*", "--cacert", j["ca"]]
    curl += ["--resolve", f"{host}:127.0.0.1"]
    token = f"Authorization: Bearer {j['token']}"
    listed = json.loads(run([*curl, "-H", token, f"{api}tunnels"]).stdout)
    tap.is_(listed["tunnels"], [], "demo --api: the token lets in (the tunnel is closed by now)")
    tunnel = json.loads(run([*curl, "-H", token, f"{api}tunnels/{j['id']}"]).stdout)
    tap.is_((tunnel["device"], tunnel["state"]), ("demo-nas", "closed"), "… and shows what was")
    tap.like(run([*curl, j["portal"]]).stdout, "<title>Tunnels", "the portal is served")


@test
def demo_json():
    process, j = start_demo_json(300, "--api")
    keys = {"url", "domain", "https_port", "ca", "conf", "bundle", "redis", "pids"}
    tap.ok(keys <= set(j), "demo --json: the line has all keys", f"missing: {keys - set(j)}")
    tap.ok(
        all(type(p) is int for p in j["pids"].values()) and
        len(alive(j["pids"].values())) == len(j["pids"]),
        "demo --json: the pids are of processes that run", j["pids"])
    host = j["url"].split("/")[2].split(":")[0]
    curl = [
        "curl", "-q", "-sS", "--noproxy", "*", "--cacert", j["ca"], "--resolve",
        f"{host}:{j['https_port']}:127.0.0.1", "-w", "%{http_code}", "-o", "/dev/null", j["url"]
    ]
    tap.is_(run(curl, check=False).stdout, "200", "demo --json: the URL answers")
    closed = subprocess.run([j["rly"], "close", host.split(".")[0]],
                            env=dict(os.environ, RELAY_CONF=j["conf"]))
    tap.is_(closed.returncode, 0, "demo --json: rly works with the named relay.conf")
    tap.is_(run(curl, check=False).stdout, "410", "… and the URL is gone after rly close")
    demo_api(j)
    below = keeper.descendants([process.pid])
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    tap.is_(rest, b"", "demo --json prints one line only")
    tap.is_((alive(list(below)), os.path.exists(j["dir"])), ([], False),
            "SIGTERM ends the demo's processes and removes its directory")
    process, j = start_demo_json(300)
    below = keeper.descendants([process.pid])
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while (alive(list(below)) or os.path.exists(j["dir"])) and time.monotonic() < deadline:
        time.sleep(0.05)
    tap.is_((alive(list(below)), os.path.exists(j["dir"])), ([], False), "so does SIGKILL")
    process, j = start_demo_json(0.5)
    process.communicate(timeout=30)
    tap.is_((process.returncode, os.path.exists(j["dir"])), (0, False),
            "demo --for ends by itself, exit status 0")


@test
def demo_plain():
    process = subprocess.Popen([DEMO],
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT,
                               text=True)
    text = ""
    while "Ctrl-C" not in text:
        line = process.stdout.readline()
        if not line:
            break
        text += line
    tap.like(text, r"\n    https://[a-z2-7]{24}\.relay\.localhost:\d+/\n",
             "plain demo shows the URL")
    tap.like(text, r"curl --cacert \S+ --resolve \S+ https://", "plain demo shows a curl command")
    tap.like(text, r"RELAY_CONF=\S+ \S+/rly close ", "plain demo shows how to close the tunnel")
    command = re.search(r"^    (curl .*)$", text, re.M).group(1)
    answer = run(f"{command} -q -sS --noproxy '*'", shell=True, check=False).stdout
    tap.like(answer, "Hello from the device", "the curl command as shown fetches the page")
    directory = re.search(r"(/run/relay-\w+)/", text).group(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    tap.is_((process.returncode, os.path.exists(directory)), (0, False),
            "Ctrl-C ends it and leaves nothing")


@fixture
def rig():
    rig = Rig()
    yield rig
    rig.ends_cleanly()


@test
def browser(rig, scratch):
    with open(f"{scratch}/page.html", "w") as f:
        f.write(PAGE)
    device = rig.device("nas-7", page=f"{scratch}/page.html")
    tunnel = rig.open(device, device="nas-7")
    rig.connect(tunnel)
    url = tunnel["routes"][0]["url"]
    with Browser(rig) as browser:
        browser.open(url)
        tap.is_(browser.text("h1"), "Hello from behind the NAT",
                "the page opens in Chromium at its subdomain")
        tap.is_(browser.run("return document.title"), "The device's page", "… with its title")
        tap.is_(
            browser.wait(
                "const t = document.getElementById('js').innerText; return t != 'no script' && t"),
            "asked nas-7", "its script reaches the device")
        tap.is_(
            browser.wait(
                "const t = document.getElementById('ws').innerText; return t != 'no socket' && t"),
            "ping over a socket", "its WebSocket reaches the device")
        tap.is_(browser.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol"),
                "h2", "… by HTTP/2")
        shot = browser.screenshot(f"{scratch}/page.png")
        tap.ok(os.path.getsize(shot) > 5000, "a screenshot was made", os.path.getsize(shot))
        rig.rly("close", tunnel["id"])
        rig.status_after(tunnel)
        browser.open(url)
        tap.like(browser.run("return document.body.innerText"), r"(?i)ended|closed|gone",
                 "after rly close the browser is told that it has ended")
        browser.screenshot(f"{scratch}/gone.png")
    keep = os.environ.get("RELAY_KEEP")
    if keep:
        for name in ("page.png", "gone.png"):
            run(["cp", f"{scratch}/{name}", keep])


@fixture
def ten(rig):
    """Ten devices and their tunnels, all connected."""
    devices = rig.devices_(*(f"dev-{i}" for i in range(10)))
    tunnels = [rig.open(d, name=d.id, device=d.id) for d in devices]
    for tunnel in tunnels:
        rig.connect(tunnel, wait=False)
    for session in rig.sessions[-10:]:
        session.wait_up()
    return devices, tunnels


@test
def ten_names(rig, ten):
    names = [device.id for device in ten[0]]
    wrong = []
    for http in (1.1, 2):
        for name in names:
            status, headers, body = rig.get(name, http=http)
            if (status, headers["X-Device"], body) != (200, name, name.encode()):
                wrong.append((name, http, status, headers["X-Device"], body[:80]))
    tap.is_(wrong, [], "ten names on ten devices each reach their own, by HTTP/1.1 and HTTP/2")
    blob = os.urandom(2_000_000)
    status, _, body = rig.get("dev-3", "/upload", method="POST", body=blob)
    tap.is_(json.loads(body),
            {"device": "dev-3", "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()},
            "an upload arrives whole")


@test
def close(rig, ten):
    rig.expect(r"Failed publickey")
    devices, tunnels = ten
    tunnel, session = tunnels[4], rig.sessions[-10:][4]
    before = devices[4].conns()["requests"]
    tap.is_(rig.get(tunnel)[0], 200, "before rly close the URL answers 200")
    rig.rly("close", tunnel["id"])
    tap.is_(rig.status_after(tunnel), 410, "at once after rly close it answers 410")
    tap.is_(rig.get(tunnel, http=2)[0], 410, "… by HTTP/2, too")
    tap.is_(devices[4].conns()["requests"], before + 1,
            "the device saw none of the requests after the close")
    tap.is_([rig.get(n)[0] for n in ("dev-3", "dev-5")], [200, 200], "the others still answer")
    session.stop()
    tap.ok(session.wait_down(), "the closed tunnel's session has ended with its ssh")
    again = rig.connect(tunnel, wait=False)
    tap.isnt(again.process.wait(20), 0, "its key does not log in any more")
    tap.like(again.output(), r"Permission denied", "… because it is refused")
    tap.ok(not rig.listening(tunnel), "… and nothing listens on its address")
    tap.is_(rig.get(tunnel)[0], 410, "the URL still answers 410")
    tap.is_(rig.get("never-heard-of-it")[0], 404, "a name that never was: 404")


@test
def not_connected(rig):
    mine = {route["listen"] for t in [rig.open("9")] for route in t["routes"]}
    tap.ok(not mine & listeners(), "a tunnel that no device has connected has no listener")


own_network_for_browsers()
tap.run()
