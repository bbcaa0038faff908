#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""RelayTunnelThreads: a thousand visitors of one tunnel hang, by requests, WebSockets, slow bodies,
pipelines and HTTP/2, and a neighbour notices nothing, with httpd's 150 threads as Debian ships it.

A share is given back at the end of a request, of a tunnel, and of a child that was killed. Requests
from before a graceful restart go on counting.
"""
import itertools
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from lib import DEVICE_GONE, fixture, keeper, Rig, SERVER_STATUS, tap, test, wait_for
from lib.hammer import Hammer

LIMIT = 37  # a quarter of 150
VISITORS = 1000
SECONDS = float(os.environ.get("RELAY_SOAK", "1"))


def under_way(rig):
    return int(rig.server_status()["RelayBusiestTunnel"])


class Hammered:
    """A tunnel of its own to the device that hangs, and visitors who hammer it."""
    def __init__(self, rig, device, kind, visitors, **options):
        self.rig, self.tunnel = rig, rig.open(device.url)
        rig.connect(self.tunnel)
        self.hammer = Hammer(rig, self.tunnel, kind, visitors, **options)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.hammer.__exit__()
        self.rig.rly("close", self.tunnel["id"])
        wait_for(lambda: under_way(self.rig) == 0, "the end of all that was counted", 10)

    def held(self, limit, timeout=20):
        """Waits until `limit` are with the device and all others have been refused. Returns how
        many are with it then."""
        until = time.monotonic() + timeout
        while True:
            counts = self.hammer.counts()
            if counts["held"] == limit and self.settled() or time.monotonic() > until:
                return counts["held"]
            time.sleep(0.05)

    def settled(self):
        counts = self.hammer.counts()
        return sum(counts.values()) >= self.hammer.asked() and counts


def ask(rig, tunnel, http, slow):
    at = time.monotonic()
    answer = rig.get(tunnel, http=http, timeout=20)[0]
    slow[http].append(time.monotonic() - at)
    return answer


def shown(times):
    median, slowest = sorted(times)[len(times) // 2], max(times)
    return f"median {median * 1000:.0f} ms, slowest {slowest * 1000:.0f} ms of {len(times)}"


def check_kind(rig, device, neighbour, kind):
    visitors = {"h2": VISITORS // 10, "body": 300, "pipeline": 300}.get(kind, VISITORS)
    answers, slow = set(), {1.1: [], 2: []}
    with Hammered(rig, device, kind, visitors) as it:
        until = None
        began = time.monotonic()
        while until is None or time.monotonic() < until:
            answers |= {ask(rig, neighbour, http, slow) for http in slow}
            # As many as have a share wait for a while before they are refused.
            over = it.settled() and (kind == "h2" or it.hammer.counts()["held"] <= LIMIT)
            if until is None and (over or time.monotonic() > began + 60):
                until = time.monotonic() + SECONDS
        counts = it.hammer.counts()
        # mod_http2 has some of them wait, behind those on the same connection that hang
        if kind == "h2":
            tap.ok(
                counts["held"] >= LIMIT and counts["refused"] > it.hammer.asked() / 2 and
                counts["failed"] == 0, f"{kind}: of {it.hammer.asked()} requests most are refused",
                counts)
        else:
            tap.is_(
                (counts["held"], counts["refused"]), (LIMIT, it.hammer.asked() - LIMIT),
                f"{kind}: of {it.hammer.asked()} requests {LIMIT} are with the device, the others "
                "are refused")
        tap.is_(under_way(rig), LIMIT, f"{kind}: and mod_status says so")
        tap.is_(answers, {200}, f"{kind}: a neighbour is served")
        # One of all may be this machine's, which runs other tests as well.
        tap.ok(
            sorted(slow[1.1] + slow[2])[-2] < 1, f"{kind}: within a second",
            f"{shown(slow[1.1])}; HTTP/2: {shown(slow[2])}")
        tap.diag(f"{kind}: neighbour: {shown(slow[1.1])}; HTTP/2: {shown(slow[2])}")
        if kind == "get":
            check_page(rig, it.tunnel)
    tap.is_(under_way(rig), 0, f"{kind}: afterwards nothing counts any more")


def check_page(rig, tunnel):
    asked = [{"headers": {"Accept": "application/json"}}, {"headers": {"Accept": "text/html"}},
             {"method": "POST", "body": b"x" * 10000}]
    with ThreadPoolExecutor(6) as pool:
        at = time.monotonic()
        answers = list(
            pool.map(lambda of: rig.get(tunnel, http=of[0], timeout=30, **of[1]),
                     itertools.product((1.1, 2), asked)))
        took = time.monotonic() - at
    for http, (as_json, as_html, posted) in ((1.1, answers[:3]), (2, answers[3:])):
        tap.is_((as_json[0], json.loads(as_json[2])["error"]), (503, "busy"),
                f"HTTP/{http}: above it 503, in JSON `busy'")
        tap.is_((as_json[1]["Retry-After"], as_json[1]["Cache-Control"]), ("5", "no-store"),
                f"HTTP/{http}: with Retry-After, not to be kept")
        tap.like(as_html[2].decode(), "too many requests to this device at once",
                 f"HTTP/{http}: the page says what it is")
        tap.is_(posted[0], 503, f"HTTP/{http}: a request with a body is told as well")
    tap.ok(took < 4, "at once, since none of the others has ended for a while", took)
    tap.like(
        open(f"{rig.dir}/log/relay-error.log").read(),
        r"RLY148 as many requests .* RelayTunnelThreads allows: name "
        rf"{tunnel['routes'][0]['name']}, tunnel {tunnel['id']}", "the log says which tunnel")


def children(rig):
    """The children of httpd."""
    return sorted(keeper.descendants([rig.servers["httpd"].pid]))


@fixture
def rig():
    rig = Rig(rlyd=True, vhost=SERVER_STATUS)
    rig.expect(DEVICE_GONE, "AH01095")  # the visitors are gone, too
    yield rig
    rig.ends_cleanly()


@fixture
def bad(rig):
    return rig.device("bad")


@fixture
def neighbour(rig):
    neighbour = rig.open(rig.device("good").url)
    rig.connect(neighbour)
    return neighbour


@test
def requests(rig, bad, neighbour):
    check_kind(rig, bad, neighbour, "get")


@test
def websockets(rig, bad, neighbour):
    check_kind(rig, bad, neighbour, "websocket")


@test
def bodies(rig, bad, neighbour):
    check_kind(rig, bad, neighbour, "body")


@test
def pipelines(rig, bad, neighbour):
    check_kind(rig, bad, neighbour, "pipeline")


@test
def http2(rig, bad, neighbour):
    check_kind(rig, bad, neighbour, "h2")


@test
def killed(rig, bad):
    """A child that is killed gives back what it held."""
    rig.expect("AH00052|AH10392")  # a child was killed; several were
    with Hammered(rig, bad, "get", 60) as it:
        tap.is_(it.held(LIMIT), LIMIT, "before: as many as may be are under way")
        for pid in children(rig):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: quietly(under_way, rig) == 0, "children that were killed hold nothing", 10)
        tap.ok(True, "all children killed: what they held is given back")
        with Hammer(rig, it.tunnel, "get", 60) as second:
            wait_for(lambda: second.counts()["refused"] >= 60 - LIMIT, "60 more", 20)
            tap.is_(second.counts()["held"], LIMIT, f"and {LIMIT} can be held again")


def quietly(function, *args):
    try:
        return function(*args)
    except (OSError, TypeError):
        return None


def configure(rig, line):
    """RelayTunnelThreads, by a graceful restart."""
    path = f"{rig.dir}/etc/httpd.conf"
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(
            re.sub(r"^ *RelayEngine on\n(?: *RelayTunnelThreads .*\n)?",
                   f"    RelayEngine on\n    {line}\n",
                   text,
                   flags=re.M))
    before = set(children(rig))
    rig.graceful()
    wait_for(lambda: not before & set(children(rig)),
             "the end of the children of before, with their limit", 20)


@test
def graceful(rig, bad):
    with Hammered(rig, bad, "websocket", 60) as it:
        tap.is_(it.held(LIMIT), LIMIT, "before a graceful restart")
        rig.graceful()
        tap.is_((under_way(rig), it.hammer.counts()["held"]), (LIMIT, LIMIT),
                "a graceful restart ends no WebSocket, and they go on counting")
        tap.is_(
            rig.get(it.tunnel)[0], 503,
            "the new children refuse what the old ones leave no room for")


@test
def directive(rig, bad):
    for value, limit in (("3", 3), ("2%", 16), ("20%", 30), ("0", 50)):
        configure(rig, f"RelayTunnelThreads {value}")
        with Hammered(rig, bad, "websocket", 50) as it:
            tap.is_(it.held(limit), limit,
                    f"RelayTunnelThreads {value}: {limit} of 50 are with the bad")


tap.run()
