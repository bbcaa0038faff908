#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Real applications, as their makers ship them, as devices: Chromium, or a client of the
application's own, uses them through the relay.

RELAY_APPS says which: `all', `quick', as script/test does, or names with commas between. They have
to be installed then (script/bootstrap --tests, and --apps for all). Without it the quick ones are
tried, where they are installed. So is one that the command line names.

RELAY_SCREENSHOTS=DIR  keeps a picture of each page
RELAY_APPS_DIRECT=1    visits the applications without the relay: is it the application's fault?
"""
import os
import re
import sys

import apps
from apps.app import GaveUp, Page
from apps.chromium import AppBrowser
from lib.browser import BrowserError, own_network_for_browsers
from lib import Rig, fixture, tap, test

ASKED = os.environ.get("RELAY_APPS", "")
DIRECT = os.environ.get("RELAY_APPS_DIRECT")
CUT_OFF = r"proxy(_http)?:error.* (AH01110|AH01102|AH00898|AH01106|AH10155|AH02613): "


class AppRig(Rig):
    # Applications take names below .localhost for their own.
    domain = "relay.test"


@fixture
def rig():
    rig = AppRig(rlyd=True)
    yield rig
    accept_ends(rig)
    rig.ends_cleanly()


@fixture
def browser(rig):
    with AppBrowser(rig) as browser:
        yield browser


def accept_ends(rig):
    """What httpd has said of requests that were under way when an application ended (long polls,
    streams) is no problem; what it says while one is used is."""
    for problem in rig.log_problems():
        if re.search(CUT_OFF, problem):
            rig.expect(re.escape(problem.partition(": ")[2]))


def wanted(app):
    """Why an application is not tried: a text; None where it is."""
    words = [app.name, "all", *(["quick"] if app.quick else [])]
    if {*ASKED.split(","), *sys.argv[1:]} & {*words}:
        return None
    if ASKED or not app.quick:
        return "RELAY_APPS=all tries it"
    missing = app.missing()
    return f"{missing[0]} is not installed" if missing else None


def visit(rig, browser, app):
    """One application behind a tunnel of its own."""
    args = ["--host", app.host] if app.host else []
    if DIRECT:
        return use(app, Page(app, browser, app.url))
    tunnel = rig.open(app.url, args=args)
    rig.connect(tunnel)
    if app.refuses:
        plain = rig.open(app.url)
        session = rig.connect(plain)
        path, headers = app.asks
        tap.is_(
            rig.get(plain, path, headers)[0], app.refuses,
            f"{app.name}: it refuses the public name")
        session.stop()
    accept_ends(rig)
    use(app, Page(app, browser, f"https://{rig.host(tunnel)}:{rig.https_port}"))


def use(app, page):
    try:
        app.check(page)
    except GaveUp:
        pass  # it has said so
    except BrowserError as e:
        tap.ok(False, f"{app.name}: the browser goes along", f"{e}\n{page.shows()}")
    finally:
        page.leave()


def add(application):
    """Makes a test of an application."""
    def tries(rig, browser):
        reason = wanted(application)
        if reason:
            return tap.skip(application.name, reason)
        missing = application.missing()
        if missing:
            return tap.ok(False, f"{application.name} is installed", f"missing: {missing}")
        app = application(rig)
        try:
            app.start()
            visit(rig, browser, app)
        finally:
            app.stop()

    tries.__name__ = application.name
    test(tries)


unknown = {*filter(None, ASKED.split(","))} - {"all", "quick", *(app.name for app in apps.ALL)}
if unknown:
    sys.exit(f"no application {' '.join(unknown)}; there are: "
             f"{' '.join(app.name for app in apps.ALL)}")
for application in apps.ALL:
    add(application)

own_network_for_browsers()
tap.run()
