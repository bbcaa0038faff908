#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Redis hangs for a while (SIGSTOP, as a machine that swaps or is moved does): what rly gave up is
not carried out when Redis goes on.

Redis stands still before rly has asked anything, or between rly's question for the time and its
script; a proxy on the way brings that about.
"""
import json
import os
import signal
import socket
import threading
import time

from lib import fixture, Store, tap, test
from lib.tap import between, is_, like, ok

store = Store()
REDIS = store.redis.process.pid


class Proxy:
    """Passes bytes on to Redis, and does something before it passes on a script."""
    def __init__(self, name, before_script):
        self.before_script = before_script
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{store.dir}/{name}.sock")
        self.listener.listen()
        self.conf = store.write_conf(f"{name}.conf",
                                     redis={"url": f"unix://{store.dir}/{name}.sock"})
        self.seen = b""
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            redis = socket.socket(socket.AF_UNIX)
            redis.connect(store.redis.sock)
            threading.Thread(target=self.pump, args=(client, redis, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(redis, client, False), daemon=True).start()

    def pump(self, source, target, to_redis):
        try:
            while data := source.recv(65536):
                if to_redis and b"EVAL" in data:
                    self.before_script()
                    self.seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def settle():
    """Waits until Redis has read all that was sent to it: the last connections are closed then."""
    deadline = time.monotonic() + 5
    while len(store.redis("CLIENT", "LIST").split("\n")) > 1 and time.monotonic() < deadline:
        time.sleep(0.02)


def tunnels():
    return {
        t["id"]: t["expires"]
        for t in json.loads(store.rly("list", "--json").stdout)["tunnels"]
    }


def stop():
    os.kill(REDIS, signal.SIGSTOP)


def go_on():
    os.kill(REDIS, signal.SIGCONT)
    settle()


def gives_up(what, error, *args, conf=None):
    """rly while Redis stands still, and what there is when it goes on."""
    before, files = store.snapshot(), store.files()
    if not conf:
        stop()
    started = time.monotonic()
    result = store.rly(*args, conf=conf)
    took = time.monotonic() - started
    go_on()
    is_(result.returncode, 3, f"{what}: exit status 3")
    like(result.stderr, error, f"{what}: the error says what is known")
    between(took, 0.8, 4, f"{what}: after [redis] timeout, 1 s")
    is_((store.snapshot(), store.files()), (before, files),
        f"{what}: nothing has changed when Redis goes on")


@fixture
def kept():
    """A tunnel of that name."""
    return store.open("80", "-n", "kept", "-t", "1h", "-o", "kept")


@test
def stopped(kept):
    for what, args in (("open", ["80", "-o", "b"]), ("extend", ["-t", "2h", "kept"]),
                       ("close", ["kept"]), ("show", ["kept"]), ("list", [])):
        gives_up(f"stopped before `{what}'", "did not answer in time", what, *args)


@test
def stopped_between(kept):
    proxy = Proxy("stops", stop)
    gives_up("stopped before open's script",
             "did not answer in time.*if `open' has not been carried out by now it will not be",
             "open",
             "80",
             "-o",
             "b",
             conf=proxy.conf)
    like(proxy.seen.decode(), "Opens a tunnel",
         "the script had been sent, and Redis had it before it went on")
    gives_up("stopped before extend's script",
             "if `extend' has not been",
             "extend",
             "-t",
             "2h",
             "kept",
             conf=proxy.conf)


@test
def late_answer(kept):
    """The answer comes in time, and the script began too late for that to be sure."""
    proxy = Proxy("slow", lambda: time.sleep(0.85))
    before = store.snapshot()
    result = store.rly("open", "80", "-o", "late", conf=proxy.conf)
    is_((result.returncode, store.snapshot()), (3, before),
        "a script that begins late: refused by Redis, nothing has changed")
    like(result.stderr, r"took too long \(\[redis\] timeout\), and did not `open'",
         "and the error says so")
    ok(not os.path.exists(f"{store.dir}/late"), "no bundle is left")
    proxy = Proxy("slower", lambda: time.sleep(0.3))
    result = store.rly("open", "80", "-o", "intime", conf=proxy.conf)
    is_((result.returncode, len(tunnels())), (0, 2),
        "a Redis that is slow, but not too slow, opens it")


@test
def close_late(kept):
    """A close that is carried out late is what was asked for; rly says that it does not know."""
    id = kept["id"]
    proxy = Proxy("closes", stop)
    result = store.rly("close", "kept", conf=proxy.conf)
    go_on()
    is_(result.returncode, 3, "stopped before close's script: exit status 3")
    like(result.stderr, "whether `close' was carried out is not known",
         "the error says what is known")
    ok(id not in tunnels(), "the tunnel is closed when Redis goes on")


tap.run()
