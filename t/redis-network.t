#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""Redis across a network: the network drops silently, Redis becomes read-only or takes no more
clients, and Sentinel fails over behind an address that moves (haproxy, which asks Sentinel).
Visitors, devices and operators see what is promised, and all is well afterwards without anyone's
help.
"""
import json
import os
import re
import socket
import time

from lib import (Asker, fixture, free_port, Namespace, one_child, Rig, run, Server, tap, test,
                 timed, wait, wait_for)

# Each process of httpd knows the routes that it has served: one, so that what is known is.
ONE_CHILD = one_child(25)


def status(rig, what):
    return rig.get(what)[0]


def login(rig, tunnel, within):
    """One attempt: 'up' or what became of ssh, and after how long."""
    began = time.monotonic()
    session = rig.connect(tunnel, wait=False)
    while time.monotonic() < began + within:
        if rig.listening(tunnel):
            return "up", time.monotonic() - began
        if session.process.poll() is not None:
            return session.output(), time.monotonic() - began
        time.sleep(0.02)
    return "neither", within


def live(rig, cli=None):
    return (cli or rig.redis)("HKEYS", "relay:live:relay1")


def all_well(rig, device, tunnel, session, what):
    """The old session is the same one and serves; new ones come and go."""
    tap.is_((session.process.poll(), status(rig, tunnel)), (None, 200),
            f"{what}: the session of before serves")
    opened = rig.rly("open",
                     "-o",
                     f"{rig.dir}/bundles/w{time.monotonic_ns()}",
                     "--json",
                     device.url,
                     check=False)
    tap.is_(opened.returncode, 0, f"{what}: rly opens") or tap.diag(opened.stderr)
    new = json.loads(opened.stdout)
    said, took = login(rig, new, 8)
    tap.ok(said == "up", f"{what}: a device gets in", f"{said} {took}")
    tap.is_(status(rig, new), 200, f"{what}: and is reached")
    began = time.monotonic()
    rig.rly("close", new["id"])
    wait_for(lambda: status(rig, new) == 410, "410", 2)
    wait_for(lambda: not rig.listening(new), "the session's end", 3)
    tap.ok(time.monotonic() - began < 1.5, f"{what}: a close is a close", time.monotonic() - began)
    tap.is_(status(rig, "unheard-of"), 404, f"{what}: 404 for an unknown name")


def visit(rig, tunnel):
    """Asks for a known route all the time."""
    return Asker(rig, tunnel, lambda path, status, body: status == 200)


def did_not_notice(visitor, what):
    visitor.stop()
    tap.ok(visitor.asked and not visitor.wrong and visitor.slowest < 1,
           f"{what}: visitors of known routes do not notice",
           f"{visitor.wrong[:5]} of {visitor.asked}, {visitor.slowest:.2f} s")


# --- a network that drops silently


class FarRig(Rig):
    """Its Redis is in a network of its own, at namespace.inside."""
    def __init__(self, namespace, **options):
        self.namespace, self.redis_port = namespace, 6379
        super().__init__(redis_conf="",
                         start=False,
                         relay_conf={"redis": {"url": f"redis://{namespace.inside}:6379"}},
                         **options)
        self.redis_extra = f"bind {namespace.inside}\nport 6379\nprotected-mode no"

    def _add(self, name, argv, ready, env=None):
        if name == "redis":
            with open(argv[1]) as f:
                text = f.read().replace("port 0\n", "", 1)
            with open(argv[1], "w") as f:
                f.write(text)
            argv = ["/usr/sbin/ip", "netns", "exec", self.namespace.name, *argv]
        super()._add(name, argv, ready, env)


@test
def silent():
    namespace = Namespace()
    rig = FarRig(namespace, rlyd=True, httpd_conf=ONE_CHILD)
    what = "the network drops silently"
    try:
        rig.start()
        rig.expect(r"RLY11[01] |RLY120 |RLY43[01] |AuthorizedKeysCommand .* failed|Failed "
                   r"publickey|AH00957|AH01114")
        device = rig.device("far")
        tunnel, unseen, waiting, brief = (rig.open(device.url, ttl=ttl)
                                          for ttl in (None, None, None, "8s"))
        ends = time.monotonic() + 8
        session = rig.connect(tunnel)
        rig.connect(unseen)
        ending = rig.connect(brief)
        tap.is_(status(rig, tunnel), 200, "Redis in another network: a route works")
        wait_for(lambda: live(rig).count(":") == 3, "live:", 5)
        namespace.inside_run("ip", "route", "add", "blackhole", f"{namespace.outside}/32")
        visitor = visit(rig, tunnel)
        got, took = timed(status, rig, "unheard-of")
        tap.ok(got == 503 and took < 1.3,
               f"{what}: 503 for a name that is not known, after [redis] timeout at most",
               f"{got} {took:.2f} s")
        got, took = timed(lambda: rig.rly("open", "80", check=False))
        tap.ok(
            got.returncode == 3 and took < 3 and
            re.search("did not answer|cannot connect", got.stderr), f"{what}: rly says so, in time",
            f"{got} {took:.2f} s")
        said, took = login(rig, waiting, 10)
        tap.ok("Permission denied" in said and took < 6,
               f"{what}: a key is refused rather than guessed, in time", f"{said} {took:.2f} s")
        got = [timed(status, rig, "unheard-of") for _ in range(10)]
        tap.ok({s
                for s, _ in got} == {503} and sorted(t for _, t in got)[5] < 0.2,
               f"{what}: later 503 at once", got)
        wait_for(lambda: ending.process.poll() is not None, "the end of what expires", 10)
        tap.between(time.monotonic() - ends, -1, 1.2, f"{what}: a session whose time is over ends")
        tap.is_(session.process.poll(), None, f"{what}: no other does")
        did_not_notice(visitor, what)
        namespace.inside_run("ip", "route", "del", "blackhole", f"{namespace.outside}/32")
        _, took = timed(wait_for, lambda: status(rig, "unheard-of") == 404, "404", 10)
        tap.ok(took < 4, "the network is back: so is the relay, by itself", f"{took:.2f} s")
        wait_for(lambda: live(rig).count(":") == 2, "live:", 5)
        all_well(rig, device, tunnel, session, "the network is back")
        rig.check_logs()
        tap.is_(rig.stop(), [], "the far rig ends cleanly")
    finally:
        rig.stop()
        namespace.close()


@fixture
def rig():
    rig = Rig(rlyd=True, httpd_conf=ONE_CHILD)
    rig.expect(
        r"RLY43[01] |RLY11[01] | # (Error condition on socket for SYNC|Setting secondary "
        r"replication ID|MASTER|Connection with master)|AuthorizedKeysCommand .* failed|RLY120 "
        r"|AH00957|AH01114|Failed publickey")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("reader")


@fixture
def tunnel(rig, device):
    return rig.open(device.url)


@fixture
def session(rig, tunnel):
    session = rig.connect(tunnel)
    tap.is_(status(rig, tunnel), 200, "a route works")
    return session


# --- read-only


@test
def read_only(rig, device, tunnel, session):
    """As a failover leaves an address that does not move: the master there is now another's
    replica."""
    unseen, waiting, brief = (rig.open(device.url, ttl=ttl) for ttl in (None, None, "4s"))
    ends = time.monotonic() + 4
    rig.connect(unseen)
    ending = rig.connect(brief)
    rig.redis("REPLICAOF", "127.0.0.1", "1")
    try:
        tap.is_([status(rig, t) for t in (tunnel, unseen, "unheard-of")], [200, 200, 404],
                "read-only: routes are served, known or not")
        said, took = login(rig, waiting, 8)
        tap.ok(said == "up", "read-only: a device whose tunnel is open gets in",
               f"{said} {took:.2f}")
        for command in (("open", "80"), ("close", waiting["id"]), ("extend", "-t", "9h",
                                                                   waiting["id"])):
            got = rig.rly(*command, check=False)
            tap.ok(
                got.returncode == 3 and
                "read-only replica: give [redis] url of the primary" in got.stderr,
                f"read-only: rly {command[0]} says what to do", got)
        wait_for(lambda: ending.process.poll() is not None, "the end of what expires", 8)
        tap.between(time.monotonic() - ends, -1, 1.2,
                    "read-only: a session whose time is over ends")
        tap.is_(status(rig, brief), 410, "read-only: and its name is 410")
        tap.is_(session.process.poll(), None, "read-only: no other session ends")
    finally:
        rig.redis("REPLICAOF", "NO", "ONE")
    all_well(rig, device, tunnel, session, "writable again")
    wait_for(lambda: live(rig).count(":") == 3, "live: is put right", 20)
    tap.ok(True, "writable again: live: is put right")
    rig.rly("close", unseen["id"], waiting["id"])


# --- no more clients


@test
def crowded(rig, device, tunnel, session):
    """Redis has as many clients as it may (maxclients), as when something else on the host uses it
    up."""
    waiting = rig.open(device.url)
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(rig.redis_sock)
        admin.sendall(b"CONFIG SET maxclients 1\r\n")
        tap.is_(admin.recv(100), b"+OK\r\n", "Redis takes no more clients")
        # Redis says why and hangs up; who is still writing then does not get to read it
        got, took = timed(lambda: rig.rly("open", "80", check=False))
        tap.ok(
            got.returncode == 3 and
            re.search("max number of clients|broke the connection", got.stderr) and took < 3,
            "no more clients: rly says so", got)
        said, took = login(rig, waiting, 8)
        tap.ok("Permission denied" in said and took < 6,
               "no more clients: a key is refused rather than guessed", f"{said} {took:.2f}")
        tap.is_((status(rig, tunnel), session.process.poll()), (200, None),
                "no more clients: known routes and sessions go on")
        tap.ok(
            status(rig, "never-heard") in (404, 503),
            "no more clients: who has a connection keeps it, others say 503")
        admin.sendall(b"CONFIG SET maxclients 10000\r\n")
        tap.is_(admin.recv(100), b"+OK\r\n", "Redis takes clients again")
    all_well(rig, device, tunnel, session, "clients again")
    rig.rly("close", waiting["id"])


# --- Sentinel


class Cluster:
    """Two redis-servers, a Sentinel, and haproxy as the address that moves."""
    def __init__(self):
        self.ports, taken = {}, []
        for name in ("a", "b", "sentinel", "front"):
            taken.append(free_port(taken))
            self.ports[name] = taken[-1]
        self.url = f"redis://127.0.0.1:{self.ports['front']}"

    def cli(self, name, *args):
        out = run(["redis-cli", "-p", str(self.ports[name]), *args], check=False)
        return (out.stdout + out.stderr).strip()

    def role(self, name):
        return self.cli(name, "ROLE").split("\n")[0]

    def offset(self, name, field):
        """Returns how much of the replication stream it has written, or read."""
        found = re.search(rf"^{field}:(\d+)", self.cli(name, "INFO", "replication"), re.M)
        return int(found[1]) if found else -1

    def state(self):
        """For who has to find out why something is missing."""
        said = [
            f"{n}: {self.cli(n, 'DBSIZE')} keys; {self.cli(n, 'INFO', 'replication')}"
            for n in ("a", "b")
        ]
        return "\n".join(said + [
            f"{n}'s log:\n{self.rig.tail(f'{self.rig.dir}/log/{n}.out')}"
            for n in ("a", "b", "sentinel")
        ])

    def start(self, rig):
        self.rig = rig
        for name in ("a", "b"):
            os.mkdir(f"{rig.dir}/redis-{name}")
            with open(f"{rig.dir}/etc/{name}.conf", "w") as f:
                f.write(f"bind 127.0.0.1\nport {self.ports[name]}\ndir "
                        f"{rig.dir}/redis-{name}\nappendonly yes\nappendfsync "
                        "always\nrepl-diskless-sync-delay 0\n" +
                        (f"replicaof 127.0.0.1 {self.ports['a']}\n" if name == "b" else ""))
            self.server(f"{name}", ["/usr/bin/redis-server", f"{rig.dir}/etc/{name}.conf"],
                        lambda name=name: self.cli(name, "PING") == "PONG")
        wait_for(lambda: "master_link_status:up" in self.cli("b", "INFO", "replication"),
                 "the replica", 20)
        with open(f"{rig.dir}/etc/sentinel.conf", "w") as f:
            f.write(
                f"bind 127.0.0.1\nport {self.ports['sentinel']}\ndir {rig.dir}/redis-a\nsentinel "
                f"monitor relay 127.0.0.1 {self.ports['a']} 1\n"
                "sentinel down-after-milliseconds relay 1500\nsentinel failover-timeout relay "
                "4000\n")
        self.server("sentinel",
                    ["/usr/bin/redis-server", f"{rig.dir}/etc/sentinel.conf", "--sentinel"],
                    lambda: "num-slaves\n1" in self.cli("sentinel", "SENTINEL", "MASTER", "relay"))
        with open(f"{rig.dir}/etc/haproxy.cfg", "w") as f:
            # Sentinel is asked who is master: the old one, when it comes back, takes itself for
            # that for some 10 s.
            f.write("defaults\n  mode tcp\n  timeout connect 500ms\n  timeout client 1h\n  timeout "
                    "server 1h\n  timeout check 500ms\n"
                    f"frontend redis\n  bind 127.0.0.1:{self.ports['front']}\n" +
                    "".join(f"  use_backend {n} if {{ nbsrv({n}) gt 0 }}\n" for n in ("a", "b")) +
                    "".join(
                        f"backend {n}\n  option tcp-check\n  tcp-check connect addr 127.0.0.1 port "
                        f"{self.ports['sentinel']}\n"
                        "  tcp-check send SENTINEL\\ get-master-addr-by-name\\ relay\\r\\n\n"
                        f"  tcp-check expect rstring [^0-9]{self.ports[n]}[^0-9]\n  tcp-check "
                        "connect\n  tcp-check send PING\\r\\n\n  tcp-check expect string PONG\n"
                        f"  server {n} 127.0.0.1:{self.ports[n]} check inter 200ms fall 1 rise 1 "
                        "on-marked-down shutdown-sessions\n" for n in ("a", "b")))
        self.server("front", ["/usr/sbin/haproxy", "-db", "-f", f"{rig.dir}/etc/haproxy.cfg"],
                    lambda: self.role("front") == "master")

    def server(self, name, argv, ready):
        self.rig.servers[name] = Server(self.rig, name, argv, ready,
                                        f"{self.rig.dir}/log/{name}.out").start()


class SentinelRig(Rig):
    def __init__(self, cluster):
        self.cluster = cluster
        super().__init__(rlyd=True,
                         start=False,
                         httpd_conf=ONE_CHILD,
                         relay_conf={"redis": {"url": cluster.url}})

    def _start_redis(self):
        self.cluster.start(self)


@test
def sentinel():
    cluster = Cluster()
    rig = SentinelRig(cluster)
    rig.start()
    rig.expect(r"RLY11[01] |RLY120 |RLY43[01] |AuthorizedKeysCommand .* failed|Failed "
               r"publickey|AH00957|AH01114")
    device = rig.device("clustered")
    tunnel, unseen, brief = (rig.open(device.url, ttl=ttl) for ttl in (None, None, "8s"))
    ends = time.monotonic() + 8
    session = rig.connect(tunnel)
    rig.connect(unseen)
    ending = rig.connect(brief)
    tap.is_(status(rig, tunnel), 200, "Redis behind Sentinel and haproxy: a route works")
    # Records that the replica has not got when the master dies are lost; that is Redis's affair,
    # and not tested here.
    written = cluster.offset("a", "master_repl_offset")
    caught_up = wait(lambda: cluster.offset("b", "slave_repl_offset") >= written > 0, 10, 0.05)
    there = [cluster.cli("b", "EXISTS", f"relay:tunnel:{t['id']}") for t in (tunnel, unseen, brief)]
    tap.is_((caught_up is not None, there, cluster.role("a"), cluster.role("b")),
            (True, ["1"] * 3, "master", "slave"),
            "the replica has all that was written, and Sentinel has not yet made it master"
            ) or tap.diag(cluster.state())
    visitor = visit(rig, tunnel)
    killed = time.monotonic()
    rig.servers["a"].kill()
    seen = []
    while (not seen or seen[-1] != 404) and time.monotonic() < killed + 30:
        seen.append(status(rig, "unheard-of"))
        time.sleep(0.05)
    took = time.monotonic() - killed
    tap.ok(
        set(seen[:-1]) <= {503} and seen[-1] == 404 and took < 15,
        "the master is killed: 503 for unknown names until Sentinel has made another one",
        f"{set(seen)} {took:.1f} s")
    tap.note(f"failover took {took:.1f} s")
    tap.is_(cluster.role("b"), "master", "which is the replica of before")
    tap.is_(status(rig, unseen), 200, "what was open there is open here") or tap.diag(
        cluster.state())
    did_not_notice(visitor, "failover")
    all_well(rig, device, tunnel, session, "after the failover")
    wait_for(lambda: ending.process.poll() is not None, "the end of what expires", 10)
    tap.between(
        max(time.monotonic(), ends) - max(ends, killed + took), -1, 2,
        "a session whose time was over has ended")
    visitor = visit(rig, tunnel)
    rig.servers["a"].start()
    all_well(rig, device, tunnel, session, "the old master is back")
    tap.is_((cluster.role("a"), cluster.role("b")), ("master", "master"),
            "(although it takes itself for the master still)")
    did_not_notice(visitor, "the old master is back")
    wait_for(lambda: len(live(rig, lambda *args: cluster.cli("b", *args)).split()) == 2, "live:",
             10)
    tap.ok(True, "live: is right on the new master")
    rig.check_logs()
    tap.is_(rig.stop(), [], "the clustered rig ends cleanly")


tap.run()
