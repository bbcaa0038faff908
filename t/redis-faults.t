#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""Redis is away, stopped, refuses, or is a replica: mod_relay goes on with known routes, and
answers 503 to others, in time.
"""
import os
import shutil
import re
import signal
import threading
import time

from lib import (DEVICE_GONE, fixture, free_port, log, one_child, Rig, run, Server, SERVER_STATUS,
                 tap, test, wait_for)

VHOST = """
    RelayStaleMax 4s
""" + SERVER_STATUS
ONE_CHILD = one_child(25)


def link(rig):
    return rig.server_status()["RelayLink"]


def cached(rig):
    return int(rig.server_status()["RelayCachedRoutes"])


def timed(rig, who):
    began = time.monotonic()
    status, headers, _ = rig.get(who)
    return status, time.monotonic() - began


def up(rig):
    wait_for(lambda: link(rig) == "up", "the link to Redis")


def crowd(rig, who, n=20):
    """n requests at once: the statuses, and how long they took: half of them, the slowest. Where
    they wait for Redis, all do; on a busy machine a few are late for other reasons."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(timed(rig, who))) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = sorted(t for _, t in results)
    return {s for s, _ in results}, took[n // 2], took[-1]


@fixture
def rig():
    rig = Rig(vhost=VHOST, httpd_conf=ONE_CHILD)
    rig.expect(
        r" # (Diskless rdb transfer|Connection with replica)|RLY002 |RLY11[01] |RLY120 route \S+ "
        r"cannot be looked up: (cannot connect|Redis at)", DEVICE_GONE)
    up(rig)
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


@fixture
def tunnel(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    return tunnel


@fixture
def unseen(rig, device):
    """A tunnel for which nobody has asked yet."""
    unseen = rig.open(device.url)
    rig.connect(unseen)
    return unseen


@test
def killed(rig, device, tunnel, unseen):
    tap.is_(rig.get(tunnel)[0], 200, "Redis is up: a route works")
    rig.redis("SAVE")
    rig.servers["redis"].kill()
    killed = time.monotonic()
    status, took = timed(rig, tunnel)
    tap.ok(status == 200 and took < 1.5, "the moment it is killed a known route works on",
           f"{status} after {took:.2f} s")
    status, took = timed(rig, unseen)
    tap.ok(status == 503 and took < 1.5, "a route that this process has not seen: 503, not 404",
           f"{status} after {took:.2f} s")
    status, headers, body = rig.get("unheard-of", headers={"Accept": "text/plain"})
    tap.is_((status, headers["Retry-After"]), (503, "5"),
            "an unknown name: 503, not 404, with Retry-After")
    tap.like(body.decode(), "^503 The relay cannot look this address up at the moment\n",
             "… and it is the relay's fault")
    wait_for(lambda: link(rig) == "down", "mod_status says that the link is down")
    tap.is_(rig.get(tunnel)[0], 200, "a known route works on")
    while time.monotonic() < killed + 3:
        if rig.get(tunnel)[0] != 200:
            break
        time.sleep(0.1)
    tap.ok(time.monotonic() >= killed + 3, "for all of 3 s",
           f"until {time.monotonic() - killed:.2f} s")
    while rig.get(tunnel)[0] == 200 and time.monotonic() < killed + 10:
        time.sleep(0.05)
    tap.between(time.monotonic() - killed, 3.5, 6, "and no longer than RelayStaleMax, 4 s")
    tap.is_(rig.get(tunnel)[0], 503, "then it is 503, too")
    rig.servers["redis"].start()
    back = time.monotonic()
    wait_for(lambda: rig.get(tunnel)[0] == 200, "the route is back")
    tap.ok(time.monotonic() - back < 3, "all is well by itself when Redis is back",
           f"after {time.monotonic() - back:.2f} s")
    tap.is_((rig.get(unseen)[0], rig.get("unheard-of")[0]), (200, 404), "the others, too")
    up(rig)
    rig.rly("close", tunnel["id"])
    wait_for(lambda: rig.get(tunnel)[0] == 410, "410 after a close", 1)
    tap.ok(True, "and changes are seen again")


@test
def restarted_between(rig, device):
    """A close that nobody could report: the cache must not outlive the gap."""
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "a known route")
    rig.redis("SAVE")
    rig.servers["redis"].kill()
    rig.servers["redis"].start()
    rig.rly("close", tunnel["id"])
    wait_for(lambda: rig.get(tunnel)[0] == 410, "410", 2)
    tap.ok(True, "a route that was closed while the link was away is not served from the cache")


@test
def stopped(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "a known route")
    rig.servers["redis"].signal(signal.SIGSTOP)
    try:
        statuses, half, last = crowd(rig, tunnel)
        tap.ok(statuses == {200} and half < 0.4, "Redis hangs: known routes do not wait",
               f"{statuses} {half:.2f} s {last:.2f} s")
        statuses, half, last = crowd(rig, "unheard-of")
        tap.ok(statuses == {503} and half < 0.9 and last < 2.5,
               "20 requests for an unknown name wait for [redis] timeout, 500 ms, at most",
               f"{statuses} {half:.2f} s {last:.2f} s")
        time.sleep(1)
        took = [timed(rig, "unheard-of") for _ in range(20)]
        quick = [t for s, t in took if s == 503 and t < 0.3]
        tap.ok(
            len(quick) >= 15 and all(s == 503 and t < 2 for s, t in took),
            "later most of them do not wait at all", took)
        tap.is_(link(rig), "down", "the link counts as down")
        statuses, half, last = crowd(rig, tunnel)
        tap.ok(statuses == {200} and half < 0.4, "known routes still do not wait",
               f"{statuses} {half:.2f} s {last:.2f} s")
    finally:
        rig.servers["redis"].signal(signal.SIGCONT)
    wait_for(lambda: rig.get("unheard-of")[0] == 404, "recovery", 3)
    up(rig)
    tap.is_(rig.get(tunnel)[0], 200, "and all is well when Redis goes on")


def write_conf(rig, **redis):
    """relay.conf with another [redis]; httpd reads it when it restarts, rly each time."""
    rig.settings["redis"].update(redis)
    os.chmod(rig.conf, 0o640)
    shutil.chown(rig.conf, "root", "relay-authkeys")
    with open(rig.conf, "w") as f:
        for section, keys in rig.settings.items():
            f.write(f"[{section}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()))


def httpd_with(rig, url):
    """Has httpd read another [redis] url; rly keeps the first one."""
    write_conf(rig, url=url)
    rig.graceful()
    write_conf(rig, url=f"unix://{rig.redis_sock}")


def log_has(rig, regex):
    return re.search(regex, log(rig, "httpd-error.log") + log(rig, "relay-error.log"))


@test
def passwords(rig, unseen):
    tap.is_(rig.get(unseen)[0], 200, "a known route")
    rig.redis("CONFIG", "SET", "requirepass", "s3cret-w0rd")
    os.environ["REDISCLI_AUTH"] = "s3cret-w0rd"
    rig.redis("CLIENT", "KILL", "TYPE", "normal")
    rig.redis("CLIENT", "KILL", "TYPE", "pubsub")
    tap.is_((rig.get(unseen)[0], rig.get("unheard-of")[0]), (200, 503),
            "Redis suddenly wants a password: known routes work, others are 503")
    wait_for(lambda: log_has(rig, "RLY111 .*it wants a password: give one by"), "the log says so")
    httpd_with(rig, f"unix://:wrong-w0rd@{rig.redis_sock}")
    tap.is_(rig.get(unseen)[0], 503, "a wrong password: 503")
    tap.ok(
        wait_for(
            lambda: log_has(rig, "RLY111 .*(user or password is wrong|the password, in .* is wrong)"
                            ), "the log says so"), "and the log says why")
    tap.ok(not log_has(rig, "w0rd"), "no password is in a log")
    httpd_with(rig, f"unix://:s3cret-w0rd@{rig.redis_sock}")
    up(rig)
    tap.is_((rig.get(unseen)[0], rig.get("unheard-of")[0]), (200, 404),
            "the right password: all is well")
    rig.redis("CONFIG", "SET", "requirepass", "")
    del os.environ["REDISCLI_AUTH"]


@test
def acl(rig, device):
    """mod_relay needs a few rights in Redis; it says so when it has less."""
    rig.redis("ACL", "SETUSER", "httpd", "reset", "on", ">pw", "%R~relay:route:*",
              "%R~relay:gone:*", "&__redis__:invalidate", "+hgetall", "+pttl", "+ping",
              "+subscribe", "+client|id", "+client|tracking")
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    httpd_with(rig, f"unix://httpd:pw@{rig.redis_sock}")
    up(rig)
    tap.is_((rig.get(tunnel)[0], rig.get("unheard-of")[0], cached(rig)), (200, 404, 1),
            "a user that may only read routes and track is enough")
    rig.redis("ACL", "SETUSER", "httpd", "-client|tracking")
    httpd_with(rig, f"unix://httpd:pw@{rig.redis_sock}")
    wait_for(lambda: link(rig) == "untracked", "untracked")
    tap.is_((rig.get(tunnel)[0], rig.get(tunnel)[0], rig.get("unheard-of")[0], cached(rig)),
            (200, 200, 404, 0), "without CLIENT TRACKING routes work, uncached")
    tap.ok(
        log_has(
            rig,
            "RLY110 routes cannot be cached, each request asks Redis: .*this user lacks a right"),
        "and the log says so")
    rig.rly("close", tunnel["id"])
    tap.is_(rig.status_after(tunnel), 410, "a close is seen at once")
    rig.redis("ACL", "SETUSER", "httpd", "-hgetall")
    tap.is_(rig.get(tunnel)[0], 503, "a user that may not read routes: 503")
    tap.ok(log_has(rig, "RLY120 route .*this user lacks a right"), "and the log says why")
    rig.redis("ACL", "SETUSER", "httpd", "+hgetall", "+client|tracking")
    wait_for(lambda: link(rig) == "up", "tracking is tried again", 8)
    tap.ok(True, "when the right is given tracking comes by itself")


@test
def replica(rig, device):
    port = free_port()
    rig.redis("CONFIG", "SET", "port", str(port))
    sock = f"{rig.dir}/run/replica.sock"
    os.makedirs(f"{rig.dir}/replica")

    def synced():
        out = run(["redis-cli", "-s", sock, "INFO", "replication"], check=False).stdout
        return "master_link_status:up" in out

    rig.servers["replica"] = Server(rig, "replica", [
        "/usr/bin/redis-server", "--port", "0", "--unixsocket", sock, "--unixsocketperm", "777",
        "--dir", f"{rig.dir}/replica", "--save", "", "--replicaof", "127.0.0.1",
        str(port)
    ], synced, f"{rig.dir}/log/replica.out").start()
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    # A replica follows in its own time, and a loaded machine gives it little.
    wait_for(
        lambda: run(
            ["redis-cli", "-s", sock, "EXISTS", "relay:route:" + tunnel["routes"][0]["name"]],
            check=False).stdout.strip() == "1", "the route on the replica", 20)
    httpd_with(rig, f"unix://{sock}")
    up(rig)
    tap.is_((rig.get(tunnel)[0], cached(rig)), (200, 1),
            "a read-only replica serves routes, and they are cached")
    write_conf(rig, url=f"unix://{sock}")
    refused = rig.rly("open", "80", check=False)
    tap.ok(refused.returncode == 3 and "read-only replica" in refused.stderr,
           "rly open there says what to do", refused.stderr)
    write_conf(rig, url=f"unix://{rig.redis_sock}")
    rig.rly("close", tunnel["id"])
    wait_for(lambda: rig.get(tunnel)[0] == 410, "410", 1)
    tap.ok(True, "what the primary changes is seen at once")
    brief = rig.open(device.url, ttl="2s")
    rig.connect(brief)
    tap.is_(rig.get(brief)[0], 200, "a tunnel for 2 s")
    time.sleep(2.1)
    tap.is_(rig.get(brief)[0], 410, "ends in time there, too")
    rig.graceful()
    rig.servers.pop("replica").stop()


tap.run()
