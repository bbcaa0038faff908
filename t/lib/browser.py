# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Headless Chromium by ChromeDriver (WebDriver over HTTP), trusting one certificate authority.

    own_network_for_browsers()      # before the rig
    with Browser(rig) as browser:
        browser.open(url)
        browser.wait("return document.readyState === 'complete'")
        browser.text("h1"); browser.screenshot("/tmp/page.png")
"""
import base64
import http.client
import json
import os
import shutil
import subprocess
import time

from .basics import free_port, run, wait_for
from .network import own_network

CHROMEDRIVER = "/usr/bin/chromedriver"
CHROMIUM = "/usr/bin/chromium"
ARGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
    "--no-first-run", "--no-proxy-server", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--window-size=1000,700"
]


def own_network_for_browsers():
    """Puts the test, with the rig that it starts, into a network of its own. Chromium closes its
    connections (ERR_NETWORK_CHANGED) whenever an address of its machine comes or goes, and other
    tests make interfaces meanwhile. Here is one with an address, so that the browser is online; it
    is too small for IPv6, which would give it another one a second later."""
    own_network()
    run("ip link add v0 mtu 1000 type veth peer name v1 mtu 1000".split())
    run("ip address add 198.18.255.1/24 dev v0".split())
    run("ip link set v0 up".split())
    run("ip link set v1 up".split())


class BrowserError(Exception):
    """The driver said no; the text is what it said."""


class Browser:
    args, capabilities = (), {}  # more of both, for a class that inherits this one

    def __init__(self, rig):
        # a home of its own, with the rig's authority in its certificate store
        self.home = f"{rig.dir}/browser"
        store = f"{self.home}/.pki/nssdb"
        shutil.rmtree(self.home, ignore_errors=True)
        os.makedirs(store)
        for argv in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "rig", "-i", rig.ca]):
            run(["certutil", "-d", f"sql:{store}", *argv])
        self.port = free_port()
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        env.update(HOME=self.home,
                   XDG_CONFIG_HOME=f"{self.home}/config",
                   XDG_CACHE_HOME=f"{self.home}/cache",
                   TMPDIR=self.home)
        with open(f"{rig.dir}/log/browser.log", "wb") as log:
            self.driver = subprocess.Popen([CHROMEDRIVER, f"--port={self.port}"],
                                           stdin=subprocess.DEVNULL,
                                           stdout=log,
                                           stderr=log,
                                           env=env,
                                           start_new_session=True)
        wait_for(self._ready, "chromedriver did not come up", 30)
        answer = self._call(
            "POST", "/session", {
                "capabilities": {
                    "alwaysMatch": {
                        "browserName": "chrome", "goog:chromeOptions": {
                            "binary": CHROMIUM, "args":
                            ARGS + [*self.args, f"--user-data-dir={self.home}/profile"]
                        }, "timeouts": {"pageLoad": 30000, "script": 30000}, **self.capabilities
                    }
                }
            })
        self.session = f"/session/{answer['sessionId']}"

    def _ready(self):
        try:
            return self._call("GET", "/status")["ready"]
        except OSError:
            return False

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise BrowserError(f"{value['error']}: {value['message'][:1000]}")
        return value

    def open(self, url):
        """Goes to a page and waits until it has loaded."""
        self._call("POST", f"{self.session}/url", {"url": url})

    def tab(self):
        """Opens one more tab and goes there; its handle, for go()."""
        handle = self._call("POST", f"{self.session}/window/new", {"type": "tab"})["handle"]
        return self.go(handle)

    def go(self, tab):
        """Goes to a tab: what follows happens in it."""
        self._call("POST", f"{self.session}/window", {"handle": tab})
        return tab

    def run(self, script, *args):
        """Runs JavaScript in the page; `return` gives a value."""
        return self._call("POST", f"{self.session}/execute/sync",
                          {"script": script, "args": list(args)})

    def wait(self, script, timeout=20):
        """Waits until the script returns something true, and returns that."""
        deadline = time.monotonic() + timeout
        while not (value := self.run(script)):
            if time.monotonic() > deadline:
                raise BrowserError(f"not within {timeout} s: {script}")
            time.sleep(0.05)
        return value

    def text(self, selector):
        return self.run("const e = document.querySelector(arguments[0]); return e && e.innerText",
                        selector)

    def screenshot(self, path):
        """A PNG of the window."""
        with open(path, "wb") as f:
            f.write(base64.b64decode(self._call("GET", f"{self.session}/screenshot")))
        return path

    def stop(self):
        try:
            self._call("DELETE", self.session)
        except (OSError, BrowserError, AttributeError):
            pass
        self.driver.terminate()
        self.driver.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
