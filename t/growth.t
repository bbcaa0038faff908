#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""Nothing grows: memory and descriptors of httpd, rlyd, sshd and Redis over many requests, unknown
names, logins and tunnels. Thousands in CI; the figures in RUNS.md are of RELAY_GROWTH=10
(requests: 100,000)."""
import os
import re

from lib import fixture, keeper, Rig, run, tap, test, wait_for

TIMES = int(os.environ.get("RELAY_GROWTH", "1"))
# One child with all threads from the start: what httpd starts and ends by itself is not what is
# measured.
ONE_CHILD = """
StartServers 1
ServerLimit 1
ThreadLimit 32
ThreadsPerChild 32
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
"""


def private(pid):
    """Returns the memory that a process has written for itself, in kB. Pages of its program are not
    counted: they become its own when another test's server of the same program ends."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(kb) for kb in re.findall(r"(?m)^Private_Dirty: +(\d+) kB", f.read()))


def measure(rig):
    """{what: (kB, descriptors, processes)} of each server with its processes, sshd's sessions
    apart."""
    # While a child of Redis writes its snapshot, its pages are the child's as well.
    wait_for(lambda: "rdb_bgsave_in_progress:0" in rig.redis("INFO", "persistence"), "no snapshot")
    result = {}
    for name in ("httpd", "rlyd", "redis"):
        pids = [rig.servers[name].pid]
        if name == "httpd":
            pids += keeper.descendants(pids)
        kb = fds = 0
        for pid in set(pids):
            kb += private(pid)
            fds += len(os.listdir(f"/proc/{pid}/fd"))
        result[name] = (kb, fds, len(set(pids)))
    return result


def compare(before, after, what, kb=1500, fds=8):
    for name, (kb0, fds0, n0) in before.items():
        kb1, fds1, n1 = after[name]
        tap.note(f"{what}: {name}: {kb0} -> {kb1} kB, {fds0} -> {fds1} descriptors, {n0} -> {n1} "
                 "processes")
        tap.ok(kb1 - kb0 < kb, f"{what}: {name}'s memory stays", f"{kb0} -> {kb1} kB")
        tap.ok(fds1 - fds0 < fds, f"{what}: {name}'s descriptors stay", f"{fds0} -> {fds1}")


def load(rig, tunnel, n):
    """n requests over HTTP/1.1 with keep-alive; all must be answered 200. httpd itself keeps some
    30 bytes of each request (of a static file, too) until its connection ends, so connections do
    not last for ever here."""
    host = f"{tunnel['routes'][0]['name']}.{rig.domain}"
    total = [0, 0, 0, 0]
    for at in range(0, n, 10000):
        out = run([
            "h2load", "--h1", "-n",
            str(min(10000, n - at)), "-c", "8", "-t", "1", f"https://{host}:{rig.https_port}/",
            f"--connect-to={rig.address}:{rig.https_port}"
        ],
                  check=False).stdout
        done = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        total = [t + int(g) for t, g in zip(total, done.groups())] if done else out
    tap.is_(total, [n, 0, 0, 0], f"{n} requests, each answered 200")


def unknown(rig, first, n):
    """n names that nobody has, many at once on a connection (see load()); how many were answered
    404."""
    return sum(
        unknown_on_one(rig, at, min(10000, first + n - at))
        for at in range(first, first + n, 10000))


def unknown_on_one(rig, first, n):
    answered = 0
    with rig.tls(rig.domain) as sock:
        for at in range(first, first + n, 200):
            sock.sendall(b"".join(b"HEAD / HTTP/1.1\r\nHost: probe-%d.%s\r\n\r\n" %
                                  (i, rig.domain.encode()) for i in range(at, at + 200)))
            answer, count = b"", 0
            while count < 200:
                piece = sock.recv(262144)
                if not piece:
                    return answered
                answer += piece
                count = len(re.findall(rb"HTTP/1\.1 404[^\0]*?\r\n\r\n", answer))
            answered += count
    return answered


def tunnels(rig, device, n):
    """n tunnels, each opened, connected, asked and closed."""
    right = 0
    for i in range(n):
        tunnel = rig.open(device)
        session = rig.connect(tunnel)
        right += rig.get(tunnel)[0] == 200
        rig.rly("close", tunnel["id"])
        right += session.wait_down() is not False
        session.stop()
        rig.sessions.remove(session)
    return right


@fixture
def rig():
    rig = Rig(rlyd=True, httpd_conf=ONE_CHILD)
    rig.expect(r"Failed publickey|Connection (reset|closed)|ended by|AH0095[79]|AH01114")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("grows")


@fixture
def tunnel(rig, device):
    """One that stays, with an httpd whose threads have each got their share of the heap: that takes
    about 50,000 requests in the long run."""
    tunnel = rig.open(device, name="steady")
    rig.connect(tunnel)
    load(rig, tunnel, 3000 * TIMES)
    n = 6000 * TIMES
    tap.is_(unknown(rig, 10_000_000, n), n, f"{n} unknown names, for a start")
    return tunnel


@test
def many_requests(rig, tunnel):
    before = measure(rig)
    load(rig, tunnel, 10_000 * TIMES)
    compare(before, measure(rig), f"{10_000 * TIMES} requests")


@test
def many_unknown_names(rig, tunnel):
    before, n = measure(rig), 10_000 * TIMES
    tap.is_(unknown(rig, 0, n), n, f"{n} unknown names, each answered 404")
    compare(before, measure(rig), f"{n} unknown names")


@test
def many_tunnels(rig, device, tunnel):
    n = 10 * TIMES
    tap.is_(tunnels(rig, device, n), 2 * n, f"{n} tunnels for a start")
    before = measure(rig)
    sessions = len(keeper.descendants([rig.servers["rlyd"].pid]))
    n = 20 * TIMES
    tap.is_(tunnels(rig, device, n), 2 * n, f"{n} tunnels opened, connected, asked and closed")
    wait_for(lambda: len(keeper.descendants([rig.servers["rlyd"].pid])) <= sessions, "sessions end",
             10)
    tap.ok(True, "their processes are gone")
    compare(before, measure(rig), f"{n} tunnels", kb=1500 + 10 * n)
    keys = {kind: 0 for kind in ("route", "key")}
    for key in rig.redis("KEYS", "*").split("\n"):
        kind = key.split(":")[1] if ":" in key else key
        keys[kind] = keys.get(kind, 0) + 1
    tap.is_((keys["route"], keys["key"]), (1, 1),
            "of all closed tunnels no route and no key is left in Redis")
    tap.is_(rig.get(tunnel)[0], 200, "the first tunnel still works")


tap.run()
