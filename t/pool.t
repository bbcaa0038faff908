#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""The pools of connections to devices: one round trip a request, no longer than the tunnel, no lost
requests."""
import os
import random
import statistics
import threading
import time

from lib import fixture, one_child, Rig, run, SERVER_STATUS, tap, test, wait_for
from lib.delayline import DelayLine

ONE_CHILD = one_child(50)
DELAY = 0.025  # seconds each way
RTT = 2 * DELAY
VHOST = """
    RelayBackendIdle 2s
    LogLevel relay:debug
    IncludeOptional {dir}/etc/direct.conf
"""


def backends(rig):
    return int(rig.server_status()["RelayBackends"])


def fetch(connection, path="/", method="GET", body=None):
    connection.request(method, path, body=body)
    answer = connection.getresponse()
    answer.read()
    return answer.status


@fixture
def rig():
    rig = Rig(start=False, httpd_conf=ONE_CHILD + SERVER_STATUS)
    rig.vhost_extra = VHOST.format(dir=rig.dir)
    rig.start()
    rig.expect("AH01102: error reading status line|AH00898: Error reading from remote server")
    yield rig
    rig.ends_cleanly()


@fixture
def line(rig):
    """A slow line to the listening sshd."""
    with DelayLine(rig.address, rig.ssh_port, DELAY) as line:
        yield line


@fixture
def device(rig):
    return rig.device("far")


@fixture
def tunnel(rig, line, device):
    """The tunnel of a device at the end of the slow line."""
    tunnel = rig.open(device.url)
    rig.connect(tunnel, args=("-o", f"Port={line.port}"))
    return tunnel


@test
def round_trips(rig, device, tunnel):
    """A warm request costs one round trip; the same way without a pool about two: so much for the
    check."""
    with open(f"{rig.dir}/etc/direct.conf", "w") as f:
        f.write(f'ProxyPass "/direct/" "http://{tunnel["routes"][0]["listen"]}/" disablereuse=on\n')
    rig.graceful()
    rounds = 20
    took = {}
    for what, who, prefix in (("pooled", tunnel, "/"), ("not pooled", rig.domain, "/direct/")):
        for method, body in (("GET", None), ("POST", b"x" * 100)):
            connection = rig.connection(who)
            tap.is_({fetch(connection, f"{prefix}upload", method, body)
                     for _ in range(3)}, {200}, f"{what}, {method}: warm")
            accepted = device.conns()["accepted"]
            statuses, times = set(), []
            for _ in range(rounds):
                began = time.monotonic()
                statuses.add(fetch(connection, f"{prefix}upload", method, body))
                times.append(time.monotonic() - began)
            took[what] = statistics.median(times) / RTT
            more = device.conns()["accepted"] - accepted
            connection.close()
            tap.note(
                f"{what}, {method}: {took[what]:.2f} round trips and {more / rounds} connections "
                "a request")
            if what == "pooled":
                tap.ok(statuses == {200} and 1 <= took[what] < 1.5,
                       f"pooled, {method}: one round trip a request",
                       f"{took[what]:.2f}, {statuses}")
                tap.is_(more, 0, f"pooled, {method}: {rounds} requests open no connection")
            else:
                tap.ok(statuses == {200} and 1.9 <= took[what], f"without a pool, {method}: two",
                       f"{took[what]:.2f}, {statuses}")
                tap.is_(more, rounds, f"without a pool, {method}: a connection each")
    rig.get(tunnel)  # RelayBackendIdle has passed
    connections = [rig.connection(tunnel) for _ in range(10)]
    times, accepted = [], device.conns()["accepted"]
    for connection in connections:
        connection.connect()
        began = time.monotonic()
        tap.is_(fetch(connection), 200, "another visitor's first request")
        times.append(time.monotonic() - began)
        connection.close()
    tap.is_(device.conns()["accepted"] - accepted, 0,
            "visitors share the pool: ten new ones open no connection")
    tap.between(statistics.median(times) / RTT, 1, 1.5, "and wait for one round trip each")


def parallel(rig, tunnel, n, path):
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(rig.get(tunnel, path)[0])) for _ in range(n)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@test
def end(rig, device, tunnel):
    """Connections end with the tunnel and after RelayBackendIdle."""
    accepted = device.conns()["accepted"]
    tap.is_(parallel(rig, tunnel, 10, "/slow?s=0.5"), [200] * 10, "ten slow requests at once")
    tap.ok(device.conns()["accepted"] - accepted >= 9, "have a connection each", device.conns())
    began = time.monotonic()
    wait_for(lambda: device.conns()["open"] == 0, "the end of idle connections", 6)
    tap.between(time.monotonic() - began, 1, 4.5,
                "which end after RelayBackendIdle, 2 s, and a little")
    tap.is_(backends(rig), 0, "the pool is gone, too")
    for _ in range(8):
        rig.get(tunnel)
        time.sleep(0.5)
    tap.is_(device.conns()["open"], 1, "one that is used now and then stays")
    tap.is_(parallel(rig, tunnel, 5, "/slow?s=0.3"), [200] * 5, "five at once")
    rig.rly("close", tunnel["id"])
    closed = time.monotonic()
    wait_for(lambda: backends(rig) == 0 and device.conns()["open"] == 0, "the end of the pool", 6)
    tap.between(time.monotonic() - closed, 0, 2.5,
                "the pool of a closed tunnel is gone within 2.5 s, not only when idle")
    tap.is_(rig.get(tunnel)[0], 410, "and the route, too")


def count_retries(rig):
    with open(f"{rig.dir}/log/relay-error.log") as f:
        return f.read().count("RLY131")


@test
def impatient_device(rig, line):
    """A device that closes idle connections early, on a slow line: requests meet the closing
    half-way."""
    idle = 0.3
    device = rig.device("hasty", idle=idle)
    tunnel = rig.open(device.url)
    rig.connect(tunnel, args=("-o", f"Port={line.port}"))
    answers, stop = [], time.monotonic() + 5

    def visitor():
        rng = random.Random(threading.get_ident())
        connection = rig.connection(tunnel)
        while time.monotonic() < stop:
            try:
                answers.append(fetch(connection))
            except Exception as e:
                answers.append(repr(e))
                connection.close()
            time.sleep(idle + rng.uniform(-0.5 * RTT, RTT))
        connection.close()

    threads = [threading.Thread(target=visitor) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    retries = count_retries(rig)
    tap.note(f"{len(answers)} requests, {retries} met the closing and were sent again")
    tap.is_(set(answers), {200}, "no request is lost to a device that closes idle connections")
    tap.ok(retries > 0, "though some met the closing")


@test
def extend_keeps(rig):
    device = rig.device("kept")
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    for _ in range(3):
        rig.get(tunnel)
    accepted = device.conns()["accepted"]
    rig.rly("extend", "-t", "5h", tunnel["id"])
    tap.is_({rig.get(tunnel)[0] for _ in range(3)}, {200}, "an extended tunnel works on")
    time.sleep(1.5)
    tap.is_(rig.get(tunnel)[0], 200, "also later")
    tap.is_(device.conns()["accepted"] - accepted, 0, "with the connections that it had")


@test
def post_after_a_pause(rig):
    """A request that cannot be sent again takes no connection that has long been idle."""
    device = rig.device("form")
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    rig.get(tunnel)
    accepted = device.conns()["accepted"]
    tap.is_(rig.get(tunnel, "/upload", method="POST", body=b"x")[0], 200, "a POST after one GET")
    tap.is_(device.conns()["accepted"] - accepted, 1,
            "gets a new connection: the device may close the other one")
    rig.get(tunnel)
    tap.is_(
        rig.get(tunnel, "/upload", method="POST", body=b"x")[0], 200, "a POST after two answers")
    tap.is_(device.conns()["accepted"] - accepted, 1, "uses the connection that had both")
    accepted += 1
    time.sleep(1.2)
    tap.is_(rig.get(tunnel, "/upload", method="POST", body=b"x")[0], 200, "a POST after a pause")
    tap.is_(device.conns()["accepted"] - accepted, 1, "gets a new one")
    time.sleep(1.2)
    tap.is_(rig.get(tunnel)[0], 200, "a GET after a pause")
    tap.is_(device.conns()["accepted"] - accepted, 1, "does not: it could be sent again")


@test
def address_again():
    """An address comes back to another tunnel while connections to the first one's device are still
    open."""
    rig = Rig(httpd_conf=ONE_CHILD,
              cooldown="2s",
              listen=f"127.{64 + os.getpid() % 60}.{os.getpid() // 60 % 250}.9:21000-21000")
    first, second = rig.device("first"), rig.device("second")
    tunnel = rig.open(first.url)
    address = tunnel["routes"][0]["listen"]
    control = f"{rig.dir}/run/control"
    rig.connect(tunnel, args=("-o", "ControlMaster=yes", "-o", f"ControlPath={control}"))
    slow = threading.Thread(target=lambda: rig.get(tunnel, "/slow?s=8"))
    slow.start()
    time.sleep(0.3)
    tap.is_(
        rig.get(tunnel)[2].decode().strip(), "first",
        "the first tunnel's device, with a request under way beside it")
    forward = f"{address}:{first.url.partition('//')[2]}"
    run(["ssh", "-S", control, "-O", "cancel", "-R", forward, "relay"])
    wait_for(lambda: not rig.listening(tunnel), "the end of the first tunnel's listener")
    rig.rly("close", tunnel["id"])
    time.sleep(2.2)
    again = rig.open(second.url)
    tap.is_(again["routes"][0]["listen"], address, "the second tunnel has the same address")
    rig.connect(again)
    tap.is_({rig.get(again)[2].decode().strip()
             for _ in range(5)}, {"second"},
            "its visitors reach its own device: no connection is shared with the first tunnel")
    slow.join()
    rig.ends_cleanly("the rig with one address")


tap.run()
