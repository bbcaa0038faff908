#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The portal in Chromium: signing in, the list, a tunnel that a device connects with what the page
shows, extending, closing; what goes wrong is said in words; nothing of a record becomes HTML. And
signing in by OpenID Connect, with the shipped relay-login.conf; then a device's page tries to act
in that name.
"""
import base64
import json
import os
import re
import secrets
import signal
import subprocess

from lib import fixture, RigError, riglog, tap, test, TOP, wait_for
from lib.apirig import ApiRig
from lib.browser import Browser, own_network_for_browsers
from lib.openidc import Provider
from lib.relayrig import MODULES, edit

HOSTILE = "<img src=x onerror=document.title='hit'><script>document.title='hit'</script>"
# What the page asks for is kept in the page; nothing of it is changed.
WATCH = """
window.asked = [];
const fetched = window.fetch;
window.fetch = (path, options) => {
    window.asked.push({path: String(path), ...options});
    return fetched(path, options);
};
"""


class Watched(Browser):
    capabilities = {"goog:loggingPrefs": {"browser": "ALL"}}

    def said(self):
        """What the console has, but for answers that are no success."""
        entries = self._call("POST", f"{self.session}/se/log", {"type": "browser"})
        return [e["message"] for e in entries if "Failed to load resource" not in e["message"]]

    def screen(self, width, height, mobile, dark):
        def cdp(cmd, **params):
            self._call("POST", f"{self.session}/goog/cdp/execute", {"cmd": cmd, "params": params})

        cdp("Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile)
        cdp("Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def keys(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", f"{self.session}/actions",
                   {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def cookies(self):
        return self._call("GET", f"{self.session}/cookie")

    def forget_cookies(self):
        self._call("DELETE", f"{self.session}/cookie")

    def run_later(self, script, *args):
        """As run(), for a script that calls its last argument with the value."""
        return self._call("POST", f"{self.session}/execute/async",
                          {"script": script, "args": list(args)})

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).click()", selector)

    def type(self, selector, text):
        self.run(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1]; "
            "e.dispatchEvent(new Event('input', {bubbles: true}))", selector, text)

    def visible(self, selector):
        return self.run(
            "const e = document.querySelector(arguments[0]); "
            "return e && e.checkVisibility()", selector)

    def until(self, selector, regex, timeout=10):
        """Waits for a text, and checks that it came."""
        try:
            wait_for(lambda: re.search(regex, self.text(selector) or ""), f"{regex}", timeout)
        except RigError as e:
            raise RigError(f"{selector} has: {self.text(selector)}") from e
        tap.ok(True, f"{selector}: {regex}")

    def devices(self):
        return self.run("return [...document.querySelectorAll('#rows .device')]"
                        ".map(e => e.firstChild.textContent)")


def new_key():
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + secrets.token_bytes(32)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def login(rig):
    """relay-login.conf, at a provider of the test's own."""
    rig.provider = Provider(rig)
    with open(rig.installed("/usr/share/mod_relay/apache-conf/relay-login.conf")) as f:
        return {
            "oidc":
            edit(f.read(), [
                (r"https://login\.example\.com/", f"{rig.provider.url}/"),
                ("SECRET OF THE CLIENT", rig.provider.secret),
                (r"^OIDCClientID .*$", f"OIDCClientID relay\nOIDCCABundlePath {rig.ca}"),
            ], "relay-login.conf")
        }


@fixture
def rig():
    rig = ApiRig(people=login,
                 rlyd=True,
                 httpd_conf=f"LoadModule auth_openidc_module {MODULES}/mod_auth_openidc.so")
    rig.expect(riglog.DEVICE_GONE, "AH01630: client denied")
    yield rig
    rig.provider.stop()
    rig.ends_cleanly()


@fixture
def url(rig):
    yield f"https://api.{rig.domain}:{rig.https_port}/portal/"


@fixture
def browser(rig):
    with Watched(rig) as browser:
        yield browser
        if keep := os.environ.get("RELAY_KEEP"):
            browser.screenshot(f"{keep}/portal.png")


def sign_in(browser, url, token):
    browser.open(url)
    browser.run("sessionStorage.clear()")
    browser.open(url)
    browser.wait("return document.getElementById('sign-in').checkVisibility()")
    browser.run(WATCH)
    browser.type("#token", token)
    browser.click("#sign-in button")


@test
def files(rig):
    """Strict to the letter: the policy, and pages that need no exception of it."""
    status, fields, page = rig.get(f"api.{rig.domain}", "/portal/")
    policy = fields["Content-Security-Policy"]
    tap.is_(status, 200, "the page is served")
    for part in ("default-src 'none'", "script-src 'self';", "frame-ancestors 'none'",
                 "require-trusted-types-for 'script'"):
        tap.ok(part in policy, f"its policy: {part}", policy)
    tap.is_(
        rig.get(f"api.{rig.domain}", "/")[1]["Location"].split("/", 3)[3], "portal/",
        "/ leads there")
    folder = f"{TOP}/apache-conf/portal"
    for name in sorted(os.listdir(folder)):
        with open(f"{folder}/{name}", encoding="utf-8") as f:
            text = f.read()
        tap.is_(
            re.findall(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|localStor"
                r"age|\son\w+=|\sstyle=|<style|unsafe-", text), [],
            f"{name}: no HTML of data, nothing inline, nothing kept")
    tap.is_(rig.get(f"api.{rig.domain}", "/portal/../portal.js")[0], 403, "nothing else is there")


@test(needs=["files"])
def signs_in(rig, browser, url):
    rig.open("80", device=HOSTILE, ttl="3h")
    sign_in(browser, url, "relay_nonsense")
    browser.until("#notice", "Please sign in: this token has ended")
    sign_in(browser, url, rig.token("--role", "operator"))
    browser.wait("return document.querySelectorAll('#rows tr').length === 1")
    tap.is_(browser.devices(), [HOSTILE], "a label is shown as it is")
    tap.isnt(browser.run("return document.title"), "hit", "… and is no HTML")
    tap.is_(browser.run("return [localStorage.length, document.cookie, location.search]"),
            [0, "", ""], "the token is kept for this tab alone")
    browser.until("#rows time", r"^2 h 59 min$")
    browser.click("#leave")
    tap.ok(browser.visible("#sign-in") and not browser.devices(), "signed out: nothing is left")


@test(needs=["signs_in"])
def opens(rig, browser, url):
    """With a key that the browser made, and what the page shows, a device connects."""
    device = rig.device("cam")
    sign_in(browser, url, rig.token("--role", "operator"))
    browser.wait("return document.querySelectorAll('#rows tr').length")
    browser.run("document.getElementById('connect').focus()")
    browser.keys("\ue007")
    tap.is_(browser.run("return document.activeElement.id"), "device", "Enter opens the dialog")
    browser.keys("\ue00c")
    tap.ok(not browser.visible("#opening"), "… and Escape closes it")
    browser.click("#connect")
    browser.type("#services", "x://y")
    browser.click("#open-go")
    browser.until("#open-notice",
                  r"(?s)^Something is not right yet\. Services\.0: .*Request \w{24}")
    tap.is_(browser.run("return [document.activeElement.id, document.activeElement.className]"),
            ["services", "wrong"], "the field that is wrong has the focus")
    browser.type("#device", "Kamera")
    browser.type("#services", device.url)
    browser.click("#open-go")
    browser.wait("return document.getElementById('opened').checkVisibility()")
    command = browser.text("#opened-command")
    sent = json.loads(browser.run("return window.asked.at(-2).body ?? window.asked.at(-1).body"))
    tap.is_(sorted(sent), ["device", "public_key", "services", "ttl"], "what was sent …")
    tap.ok("PRIVATE" in command and "PRIVATE" not in json.dumps(sent), "… is no private key")
    browser.until("#opened-state", "Waiting for the device")
    with subprocess.Popen(["sh", "-c", f"cd {rig.dir}; {command.replace('ssh -F', 'exec ssh -F')}"],
                          stdin=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as ssh:
        browser.until("#opened-state", "The device is connected")
        got = rig.get(browser.run("return document.querySelector('#opened-routes a').href"))
        tap.is_((got[0], got[2]), (200, b"cam"), "the address that is shown is the device's")
        browser.keys("\ue00c")
        tap.ok(browser.visible("#opened"), "Escape throws no key away")
        browser.click("#opened-done")
        browser.wait("return document.querySelector('#rows .up')")
        tap.is_(browser.text("#opened-command"), "", "when it is done nothing is left of the key")
        browser.click("#rows .extend")
        browser.run("document.querySelector('#asking select').value = '1d'")
        browser.click("#asking-go")
        browser.until("#notice", "^Kamera goes on")
        browser.until("#rows tr:last-child time", r"^23 h 59 min$")
        browser.click("#rows tr:last-child .close")
        tap.is_(browser.text("#asking-title"), "Close Kamera?", "it asks before it closes")
        browser.click("#asking-go")
        browser.until("#notice", "^Kamera is closed")
        ssh.wait(10)
    browser.click("#connect")
    browser.click("#bring")
    browser.type("#public-key", new_key())
    browser.click("#open-go")
    browser.wait("return document.getElementById('opened').checkVisibility()")
    tap.unlike(browser.text("#opened-command"), "PRIVATE|/key", "a key that the device has")
    browser.click("#opened-done")


@test(needs=["opens"])
def pages(rig, browser, url):
    token = rig.token("--role", "operator", "--tenant", "many")
    for n in range(27):
        rig.call(
            "POST", "/v1/tunnels", token,
            {"services": ["80"], "public_key": new_key(), "device": f"d{n}", "ttl": f"{n + 60}m"})
    sign_in(browser, url, token)
    browser.wait("return document.querySelectorAll('#rows tr').length === 25")
    browser.click("#next")
    browser.wait("return document.querySelectorAll('#rows tr').length === 2")
    tap.is_(browser.devices(), ["d25", "d26"], "the second page")
    browser.click("#before")
    browser.wait("return document.querySelectorAll('#rows tr').length === 25")
    browser.type("#filter input", "d7")
    browser.click("#filter button")
    browser.wait("return document.querySelectorAll('#rows tr').length === 1")
    tap.is_(browser.devices(), ["d7"], "the filter")
    browser.type("#filter input", "d99")
    browser.click("#filter button")
    browser.until("#empty", "No open tunnel is like that")
    browser.click("#filter [type=reset]")
    browser.wait("return document.querySelectorAll('#rows tr').length === 25")
    for name, *screen in (("phone", 390, 844, True, True), ("desktop", 1200, 800, False, False)):
        browser.screen(*screen)
        tap.ok(browser.run("return document.documentElement.scrollWidth <= innerWidth"),
               f"{name}: nothing is cut off")
        back = browser.run("return getComputedStyle(document.body).backgroundColor")
        tap.is_(int(re.search(r"\d+", back)[0]) < 128, screen[3], f"{name}: dark or light")
        if keep := os.environ.get("RELAY_KEEP"):
            browser.screenshot(f"{keep}/portal-{name}.png")


DEVICE = """<!doctype html><title>device</title>
<form action="{api}" method="post" enctype="text/plain">
<input name='{{"services":["80"],"public_key":"{key}","device":"' value='"}}'></form>
"""
ATTACK = """
const [api, done] = arguments, options = {{credentials: 'include'}};
Promise.allSettled([
    fetch(api, {{...options, method: 'POST', mode: 'no-cors', body: '{body}'}}),
    fetch(api, {{...options, method: 'POST', body: '{body}',
        headers: {{'Content-Type': 'application/json'}}}}),
    fetch(api, options).then(answer => answer.json()),
]).then(got => done(got.map(one => one.value?.type ?? one.status)));
"""


@test(needs=["pages"])
def person(rig, browser, url):
    """Somebody whom httpd has logged in."""
    rig.provider.claims = {"sub": "hanna", "groups": ["bern", "x"]}
    url = url.replace("//api.", "//oidc.")
    browser.open(url)
    browser.wait("return document.getElementById('empty').checkVisibility()")
    tap.ok(not browser.visible("#sign-in") and not browser.visible("#leave"),
           "who comes from the provider is asked for no token")
    browser.click("#connect")
    browser.type("#device", "of Hanna")
    browser.click("#open-go")
    browser.wait("return document.getElementById('opened').checkVisibility()")
    browser.click("#opened-done")
    browser.wait("return document.querySelectorAll('#rows tr').length === 1")
    tap.is_(browser.text("#rows .device small"), "bern · relay1", "a tunnel of his tenant is open")
    mine = json.loads(rig.rly("list", "--json").stdout)["tunnels"]
    tap.is_([t["by"] for t in mine if t["device"] == "of Hanna"], ["person:hanna"], "… by him")
    cookies = browser.cookies()
    tap.is_([(c["name"], c["domain"], c["httpOnly"], c["secure"]) for c in cookies],
            [("__Host-relay-login", f"oidc.{rig.domain}", True, True)], "his login's cookie")
    tap.is_(browser.said(), [], "the console has had no complaint")
    attack(rig, browser, f"{url.replace('/portal/', '')}/v1/tunnels")
    tap.is_(json.loads(rig.rly("list", "--json").stdout)["tunnels"], mine, "nothing was opened")
    browser.open(url)
    browser.wait("return document.querySelectorAll('#rows tr').length === 1")
    browser.forget_cookies()
    browser.click("#filter button")
    browser.until("#notice", "^You are not signed in any more: load this page again")
    rig.provider.claims = {"sub": "emil", "groups": ["x"]}
    browser.open(url)
    browser.until("#notice", "logged in as emil, and nobody has given you a role here")


def attack(rig, browser, api):
    """A device's page, of the same site, asks in the name of who is logged in."""
    key = new_key()
    with open(f"{rig.dir}/attack.html", "w") as f:
        f.write(DEVICE.format(api=api, key=key))
    hostile = rig.device("hostile", page=f"{rig.dir}/attack.html")
    tunnel = rig.open(hostile, device="hostile")
    rig.connect(tunnel)
    browser.open(tunnel["routes"][0]["url"])
    body = json.dumps({"services": ["80"], "public_key": key})
    got = browser.run_later(ATTACK.format(body=body), api)
    tap.is_(got, ["opaque", "rejected", "rejected"], "a device's page reads no answer of the API")
    browser.run("document.forms[0].submit()")
    log = f"{rig.dir}/log/relay-api-error.log"

    def refused():
        with open(log, encoding="utf-8") as f:
            return f.read().count("RLY708")

    wait_for(lambda: refused() >= 3, "three calls of the device's page that came with a cookie", 10)
    tap.is_(refused(), 3, "what comes with the cookie is refused: two POSTs and a GET")
    rig.rly("close", tunnel["id"])
    browser.said()  # of that page


@test(needs=["person"])
def goes_wrong(rig, browser, url):
    """Problems in people's words."""
    viewer, operator = rig.token("--role", "viewer"), rig.token("--role", "operator")
    sign_in(browser, url, viewer)
    browser.wait("return document.querySelectorAll('#rows tr').length")
    browser.click("#rows .close")
    browser.click("#asking-go")
    browser.until("#notice", r"^You may not do that\. The role of this token, viewer, may not")
    rig.rly("token", "revoke", viewer.split("_")[1])
    browser.click("#filter button")
    browser.until("#notice", "^Please sign in: this token has ended")
    sign_in(browser, url, operator)
    browser.wait("return document.querySelectorAll('#rows tr').length")
    ids = [t["id"] for t in json.loads(rig.rly("list", "--json").stdout)["tunnels"]]
    rig.rly("close", ids[0])
    browser.click("#rows .close")
    browser.click("#asking-go")
    browser.until("#notice", "^This tunnel has ended already")
    rig.expect(f"RLY001 tunnel {ids[1]} is left out")
    rig.redis("DEL", f"relay:tunnel:{ids[1]}")
    browser.click("#rows .close")
    browser.click("#asking-go")
    browser.until("#notice", "^There is no such tunnel any more")
    away(rig, browser)
    tap.is_([m for m in browser.said() if "503" not in m], [], "the console has no complaint")
    sign_in(browser, url.replace("//api.", "//narrow."), operator)
    for _ in range(6):
        browser.click("#filter button")
    browser.until("#notice", r"^That was too much at once\. It goes on in \d+ s")


def away(rig, browser):
    """Redis is away while a tunnel is opened: asked again, it is the same request."""
    rig.expect(r"RLY718 ", r"RLY11[01] ", r"RLY43[01] ", "RLY120 ")
    browser.click("#connect")
    browser.type("#device", "later")
    browser.run("window.asked.length = 0")
    rig.servers["redis"].signal(signal.SIGSTOP)
    browser.click("#open-go")
    browser.until("#open-notice", "^The relay cannot do that at this moment")
    tap.is_(browser.text("#open-go"), "Ask again", "it can be asked again")
    rig.servers["redis"].signal(signal.SIGCONT)
    wait_for(lambda: rig.call("GET", "/v1/health").status == 200, "Redis is back", 10)
    browser.click("#open-go")
    browser.wait("return document.getElementById('opened').checkVisibility()")
    posts = browser.run("return window.asked.filter(one => one.method === 'POST')"
                        ".map(one => one.headers['Idempotency-Key'] + one.body)")
    tap.ok(
        len(posts) >= 3 and len(set(posts)) == 1, "each time under the same Idempotency-Key", posts)
    listed = json.loads(rig.rly("list", "--json").stdout)["tunnels"]
    tap.is_([t["device"] for t in listed].count("later"), 1, "… and one tunnel is open")


own_network_for_browsers()
tap.run()
