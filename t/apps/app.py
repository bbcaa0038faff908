# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What an application is for t/apps.t: a program as its makers ship it, which is the service of a
device, and a check that uses it as people do.

    class Lamp(App):
        name = "lamp"
        needs = ("/usr/bin/lampd", )

        def start(self):
            self.serve([self.needs[0], "--port", self.port])

        def check(self, page):
            page.open("/")
            page.sees("Lamp")

What it needs from PyPI and npm is in CACHE, where script/bootstrap --apps puts it.
"""
import os
import urllib.error
import urllib.request

from lib import free_port, keeper, tap, wait
from lib.basics import tail
from lib.browser import BrowserError
from lib.server import Server

CACHE = os.environ.get("RELAY_APPS_CACHE", "/var/cache/relay-apps")
HERE = os.path.dirname(os.path.abspath(__file__))


class App:
    """name       of the test, too
    needs         files without which it is not installed
    quick         it is from Debian and soon done: it is tried without being asked for
    host          what rly open --host says; None: its default
    refuses       the status that it has for requests with the public name, where it checks that
    asks          the path, and header fields, with which that is tried

    self.port is the port that it has to listen on, self.dir a directory of its own, self.url the
    service. A URL of another form is set by start().
    """
    name, needs, quick, host, refuses, asks = None, (), False, None, None, ("/", {})

    def __init__(self, rig):
        self.rig, self.dir, self.servers = rig, f"{rig.dir}/apps/{self.name}", []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        os.makedirs(self.dir)

    @classmethod
    def missing(cls):
        """What is not installed."""
        return [path for path in cls.needs if not os.path.exists(path)]

    def start(self):
        """Starts it, and returns when it answers."""
        raise NotImplementedError

    def check(self, page):
        """Uses it; page: a Page. Each application makes one check at least."""
        raise NotImplementedError

    def serve(self, argv, ready=None, env=None):
        """Starts a program that stays; ready: when it answers, by default to HTTP."""
        environ = {"HOME": self.dir, "TMPDIR": self.dir, "no_proxy": "*", **(env or {})}
        argv = ["env", "-u", "http_proxy", "-u", "https_proxy", *map(str, argv)]
        log = f"{self.dir}/{len(self.servers)}.log"
        server = Server(self, self.name, argv, ready or self.answers, log, environ)
        self.servers.append(server)
        return server.start()

    def answers(self):
        """Whether the service says anything at all, without the relay."""
        try:
            self.direct("/")
        except OSError:
            return False
        return True

    def direct(self, path, data=None):
        """(status, body) of a request that does not go through the relay."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.url + path, data, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()

    def tail(self, path, lines=30):
        return tail(self.dir, path, lines)

    def stop(self):
        for server in reversed(self.servers):
            below = keeper.descendants([server.pid]) if server.process else {}
            server.stop()
            keeper.kill_all(below)


class GaveUp(Exception):
    """A check of a page has failed; what comes behind it would wait for nothing."""


class Page:
    """A visitor of an application: .url (without a slash), .browser, and checks. One that fails
    ends the application's test."""
    def __init__(self, app, browser, url):
        self.app, self.browser, self.url = app, browser, url
        self.host = url.partition("://")[2].partition(":")[0]

    def open(self, path="/"):
        self.browser.open(self.url + path)

    def is_(self, got, expected, what):
        """A check, with what the page shows where it fails."""
        self._ok(got == expected, what, lambda: f"got {got!r:.500}, expected {expected!r:.500}")

    def sees(self, text, timeout=20):
        """A check: this text comes to stand in the page."""
        self.becomes(f"document.body && document.body.innerText.includes({text!r})",
                     f"the page has `{text}'", timeout)

    def becomes(self, expression, what, timeout=20):
        """A check: this becomes true in the page."""
        why = None
        try:
            self.browser.wait(f"return !!({expression})", timeout)
        except BrowserError as e:
            why = e
        self._ok(not why, what, lambda: why)

    def holds(self, condition, what, timeout=20):
        """A check: this, a function, becomes true."""
        self._ok(wait(condition, timeout, 0.05), what, lambda: f"not within {timeout} s")

    def _ok(self, condition, what, why):
        if not tap.ok(condition, f"{self.app.name}: {what}", lambda: f"{why()}\n{self.shows()}"):
            raise GaveUp

    def shows(self):
        """What there is to be seen, for who has to find out why."""
        try:
            text = self.browser.run("return document.body && document.body.innerText")
        except BrowserError as e:
            text = str(e)
        return f"{text!r:.1000}\n" + "\n".join(self.browser.complaints())

    def leave(self):
        """A page that asks on for ever would be heard of later."""
        self.shot()
        self.browser.open("about:blank")
        self.browser.complaints()

    def shot(self):
        """A picture of the page, where RELAY_SCREENSHOTS names a directory."""
        directory = os.environ.get("RELAY_SCREENSHOTS")
        if directory:
            self.browser.screenshot(f"{directory}/{self.app.name}.png")
