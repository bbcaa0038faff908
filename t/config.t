#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The module in httpd: configtest's errors, its symbols, graceful restarts under load, clean ends,
under each MPM."""
import os
import re
import signal
import threading
import time

from lib import APACHE2, fixture, keeper, MODULES, Rig, run, tap, test, TOP


def configtest(rig, change):
    """`apache2 -t` with the rig's configuration changed: (exit status, what it said)."""
    with open(f"{rig.dir}/etc/httpd.conf") as f:
        text = change(f.read())
    with open(f"{rig.dir}/etc/changed.conf", "w") as f:
        f.write(text)
    result = run([APACHE2, "-d", rig.dir, "-f", f"{rig.dir}/etc/changed.conf", "-t"],
                 env=rig.servers["httpd"].env,
                 check=False)
    return result.returncode, result.stdout + result.stderr


def check(rig, what, change, wanted):
    """wanted: a regex that the error has to match; None: no error."""
    status, said = configtest(rig, change)
    if wanted is None:
        tap.ok(status == 0 and "Syntax OK" in said, f"configtest: {what}", said)
    else:
        tap.ok(status != 0 and re.search(wanted, said),
               f"configtest: {what}: refused, and says why",
               f"exit status {status}, lacks {wanted}\n{said}")


def in_vhost(line):
    return lambda text: text.replace("    RelayEngine on\n", f"    RelayEngine on\n    {line}\n")


def with_conf(rig, text):
    """A relay.conf of that text."""
    path = f"{rig.dir}/etc/other.conf"
    with open(path, "w") as f:
        f.write(text)
    return lambda httpd_conf: httpd_conf.replace(f"RelayConfig {rig.conf}", f"RelayConfig {path}")


@fixture
def rig():
    rig = Rig()
    yield rig
    rig.ends_cleanly()


@test
def directives(rig):
    """What httpd makes of a directive's error. t/unit/test_directives.c has all values, good and
    bad, of each directive."""
    check(rig, "as it is", lambda text: text, None)
    for name in ("RelayCacheTTL", "RelayBackendIdle"):
        check(
            rig, f"{name} 7 s", in_vhost(f'{name} "7 s"'),
            rf"line \d+ of [\s\S]*{name}: `7 s' is not a time span: write a whole number and "
            r"a unit, like 90s, 15m, 2h or 7d")
    check(rig, "RelayCacheTTL without a value", in_vhost("RelayCacheTTL"),
          "RelayCacheTTL takes one argument")
    check(rig, "RelayCacheTTL in a directory",
          lambda text: text + '<Directory "/x">\nRelayCacheTTL 7s\n</Directory>\n',
          "RelayCacheTTL not allowed (here|in <Directory)")
    check(rig, "RelayStaleMax 0s", in_vhost("RelayStaleMax 0s"), None)
    check(rig, "RelayCacheTTL 0s", in_vhost("RelayCacheTTL 0s"),
          "RelayCacheTTL must be longer than 0")
    check(rig, "RelayHideCookies", in_vhost("RelayHideCookies a b_* __Host-c"), None)
    check(rig, "RelayHideCookies a=b", in_vhost("RelayHideCookies ok a=b"),
          "RelayHideCookies: `a=b' is no name of a cookie: give names, which may end in")
    check(rig, "RelayTunnelThreads 10%", in_vhost("RelayTunnelThreads 10%"), None)
    check(
        rig, "RelayTunnelThreads 101%", in_vhost("RelayTunnelThreads 101%"),
        "RelayTunnelThreads: `101%' is neither a number from 0 .no limit. to 100000 nor a "
        "share of MaxRequestWorkers from 1% to 100%")
    check(rig, "RelaySSHWaitMax 0", in_vhost("RelaySSHWaitMax 0"),
          "RelaySSHWaitMax: `0' is not a number from 1 to 10000")
    check(rig, "RelayEngine maybe", in_vhost("RelayEngine maybe"), "RelayEngine must be On or Off")
    for name in ("RelayStaleMax", "RelayCacheTTL"):
        check(
            rig, f"{name} 15m, cooldown 15m", in_vhost(f"{name} 15m"),
            rf"RLY104 {name} \(15m\) must be shorter than \[relay\] cooldown \(15m\) in "
            rf"{rig.conf}: .* Shorten the first or lengthen the second")
        check(rig, f"{name} 14m, cooldown 15m", in_vhost(f"{name} 14m"), None)
    base = "[relay]\nname = r\ndomain = relay.localhost\n"
    check(rig, "a short cooldown with the defaults", with_conf(rig, base + "cooldown = 2s\n"), None)
    check(
        rig, "RelayEngine off, no relay.conf", lambda text: text.replace(
            "RelayEngine on", "RelayEngine off").replace(rig.conf, "/nonexistent"), None)


def warns(rig, what, change, wanted):
    """wanted: a regex of the warning; None: nothing is said. configtest succeeds."""
    status, said = configtest(rig, change)
    tap.ok(status == 0 and ("RLY11" not in said if wanted is None else re.search(wanted, said)),
           f"configtest: {what}", f"exit status {status}\n{said}")


@test
def eviction(rig):
    """A Redis that forgets tunnels when it is full. Without a right to INFO, or away, it is not
    judged, and nobody waits for it."""
    # t/unit/test_redis_policy.c has all policies.
    for memory, policy, evicts in (("0", "noeviction", False), ("0", "allkeys-lru", False),
                                   ("100mb", "noeviction", False), ("100mb", "allkeys-lru", True),
                                   ("100mb", "volatile-ttl", True)):
        rig.redis("CONFIG", "SET", "maxmemory", memory)
        rig.redis("CONFIG", "SET", "maxmemory-policy", policy)
        warns(
            rig, f"maxmemory {memory}, {policy}", lambda text: text,
            rf"RLY115 Redis at unix://{rig.redis_sock}, of {rig.conf}, has a maxmemory and the "
            rf"maxmemory-policy {policy}: .*"
            "Set `maxmemory-policy noeviction'" if evicts else None)
    rig.expect("RLY111")  # while Redis hangs
    base = ("[relay]\nname = r\ndomain = relay.localhost\n[redis]\n"
            f"url = unix://blind:s3cret@{rig.redis_sock}\n")
    rig.redis("ACL", "SETUSER", "blind", "on", ">s3cret", "~*", "+@all", "-info")
    warns(rig, "Redis does not let it ask", with_conf(rig, base), None)
    warns(rig, "Redis refuses the login", with_conf(rig, base.replace("s3cret", "wrong")), None)
    rig.redis("ACL", "SETUSER", "blind", "+info")
    status, said = configtest(rig, with_conf(rig, base))
    tap.ok("RLY115" in said and "s3cret" not in said,
           "configtest: with a password, which is not shown", said)
    rig.redis("ACL", "DELUSER", "blind")
    warns(rig, "Redis is away", with_conf(rig, base.replace(rig.redis_sock, "/nonexistent")), None)
    rig.servers["redis"].signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        warns(rig, "Redis hangs", with_conf(rig, base + "timeout = 60s\n"), None)
    finally:
        rig.servers["redis"].signal(signal.SIGCONT)
    tap.ok(time.monotonic() - began < 4, "configtest: and is not waited for",
           time.monotonic() - began)
    rig.redis("CONFIG", "SET", "maxmemory", "0")
    rig.redis("CONFIG", "SET", "maxmemory-policy", "noeviction")


@test
def names(rig):
    """A virtual host that no request for a device will come to."""
    def names(name, *aliases):
        lines = "".join(f"    ServerAlias {alias}\n" for alias in aliases)
        return lambda text: text.replace(
            "    ServerName relay.localhost\n    ServerAlias *.relay.localhost\n",
            f"    ServerName {name}\n{lines}")

    wanted = (r"RLY116 no virtual host with RelayEngine on \(.*changed.conf:\d+\) has a name below "
              r"`relay.localhost', the domain in .*It needs `ServerAlias \*.relay.localhost'")
    for good in (("relay.localhost", "*.relay.localhost"), ("x.example", "*.RELAY.localhost"),
                 ("x.example", "*.localhost"), ("x.example", "*"), ("x.example",
                                                                    "nas.relay.localhost"),
                 ("nas.relay.localhost", ), ("x.example", "y.example", "?*.relay.localhost")):
        warns(rig, f"names {' '.join(good)}", names(*good), None)
    for bad in (("relay.localhost", ), ("relay.example.com", "*.relay.example.com"),
                ("x.example", ), ("xrelay.localhost", "*.xrelay.localhost"),
                ("relay.localhost.example", "*.relay.localhost.example"), ("localhost", )):
        warns(rig, f"names {' '.join(bad)}", names(*bad), wanted)
    warns(rig, "names that do not fit, RelayEngine off", lambda text: names("x.example")
          (text).replace("RelayEngine on", "RelayEngine off"), None)


@test
def relay_conf(rig):
    base = "[relay]\nname = r\ndomain = relay.localhost\n"
    path = f"{rig.dir}/etc/other.conf"
    check(
        rig, "relay.conf is missing",
        lambda text: text.replace(f"RelayConfig {rig.conf}", "RelayConfig /nonexistent/relay.conf"),
        r"RLY103 RelayConfig: /nonexistent/relay\.conf: cannot be read: No such file")
    check(rig, "relay.conf is a directory",
          lambda text: text.replace(f"RelayConfig {rig.conf}", f"RelayConfig {rig.dir}"),
          rf"RLY103 RelayConfig: {rig.dir}: cannot be read: Is a directory")
    if not os.path.exists("/etc/relay/relay.conf"):  # a host that is a relay has one
        check(rig, "no RelayConfig and no default",
              lambda text: text.replace(f"RelayConfig {rig.conf}", ""),
              r"RLY103 RelayConfig: /etc/relay/relay\.conf: cannot be read")
    # t/unit/test_config.c has all that is wrong in a relay.conf.
    for what, text, wanted in (("an unknown key", base + "colour = red\n",
                                ":4: .relay. colour: there is no such key"),
                               ("a password in a bad URL",
                                base + "[redis]\nurl = redis://u:s3cret@:6379\n",
                                ":5: .redis. url: "), ("no domain", "[relay]\nname = r\n",
                                                       r"\[relay\] domain: is missing"),
                               ("a binary file", "\x7fELF\x01\x02\n\n", ":1: ")):
        check(rig, f"relay.conf with {what}", with_conf(rig, text),
              f"RLY103 RelayConfig: {path}.*{wanted}")
    check(rig, "relay.conf with a user that does not exist",
          with_conf(rig, base + "user = nobodyatall\n"),
          rf"RLY106 {path}: .relay. user: there is no user `nobodyatall' on this host")
    status, said = configtest(rig, with_conf(rig, base + "[redis]\nurl = redis://u:s3cret@:6379\n"))
    tap.unlike(said, "s3cret", "the password is not shown")


@test
def listed(rig):
    """`httpd -L' has each row of directives.def, with its text."""
    with open(f"{TOP}/mod_relay/directives.def") as f:
        rows = re.findall(r'^DIRECTIVE\((\w+), "([^"]+)",.*?BRIEF\(((?:\s*"[^"]*")+)\)', f.read(),
                          re.M | re.S)
    result = run([APACHE2, "-d", rig.dir, "-f", f"{rig.dir}/etc/httpd.conf", "-L"],
                 env=rig.servers["httpd"].env,
                 check=False)
    listed = dict(re.findall(r"^(Relay\w+) \(mod_relay\.c\)\n(\t.*\n\t.*)", result.stdout, re.M))
    tap.is_(sorted(listed), sorted(name for name, _, _ in rows),
            "httpd -L: the directives of the table, and no others")
    for name, syntax, brief in rows:
        text = f"{syntax}; default ", "".join(re.findall(r'"([^"]*)"', brief))
        said = listed.get(name, "")
        tap.ok(
            said.startswith("\t" + text[0]) and text[1] in said and
            "Allowed in *.conf only outside <Directory>" in said, f"httpd -L: {name} has its text",
            said)


@test
def modules(rig):
    def without(*names):
        pattern = "|".join(f"{name}_module" for name in names)
        lines = rf"^LoadModule ({pattern}) .*\n" + (r"|^ *Proxy.*\n" if "proxy" in names else "")
        return lambda text: re.sub(lines, "", text, flags=re.M)

    check(rig, "without mod_proxy", without("proxy", "proxy_http", "proxy_http2"),
          "RLY105 mod_relay: it needs mod_proxy and mod_proxy_http: `a2enmod proxy proxy_http`")
    check(rig, "without mod_proxy_http", without("proxy_http"),
          "RLY105 mod_relay: it needs mod_proxy and mod_proxy_http")

    def late(text):
        lines = re.findall(r"^LoadModule (?:proxy|proxy_http|proxy_http2)_module .*\n", text, re.M)
        for line in lines:
            text = text.replace(line, "")
        return re.sub(r"^(LoadModule relay_module .*\n)",
                      lambda m: m.group(1) + "".join(lines),
                      text,
                      flags=re.M)

    check(
        rig, "mod_proxy loaded after it", late,
        "RLY105 mod_relay: the LoadModule line of proxy_module must stand before that of "
        "relay_module")
    check(rig, "without mod_http2", without("http2", "proxy_http2"), None)
    check(rig, "without mod_status", lambda text: without("status")
          (text).replace("SetHandler server-status", ""), None)
    symbols = run(["nm", "-D", "--defined-only", f"{rig.root}{MODULES}/mod_relay.so"],
                  check=False).stdout
    tap.is_([line.split()[-1] for line in symbols.splitlines()], ["relay_module"],
            "mod_relay.so exports relay_module and nothing else")


class Load:
    """Visitors that ask all the time, a connection for each request and one for many."""
    def __init__(self, rig, tunnel, n=4):
        self.rig, self.tunnel, self.over = rig, tunnel, threading.Event()
        self.answers = {}
        self.threads = [threading.Thread(target=self.visit)
                        for _ in range(n)] + [threading.Thread(target=self.slow) for _ in range(2)]

    def count(self, what):
        self.answers[what] = self.answers.get(what, 0) + 1

    def visit(self):
        while not self.over.is_set():
            try:
                self.count(self.rig.get(self.tunnel)[0])
            except Exception as e:
                self.count(repr(e))

    def slow(self):
        """Requests that are under way when httpd restarts."""
        while not self.over.is_set():
            try:
                status, headers, body = self.rig.get(self.tunnel, "/big?n=200000&rate=200000")
                self.count(200 if len(body) == 200000 else "short")
            except Exception as e:
                self.count(repr(e))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self.threads:
            thread.join()


def check_restarts(mpm):
    rig = Rig(mpm=mpm, http2=mpm != "prefork", httpd_conf="MaxConnectionsPerChild 200")
    device = rig.device("nas")
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    with Load(rig, tunnel) as load:
        for _ in range(4):
            time.sleep(0.4)
            rig.graceful()
    tap.ok(
        set(load.answers) == {200} and load.answers[200] > 100,
        f"{mpm}: four graceful restarts lose no request of {sum(load.answers.values())}",
        load.answers)
    # an end while requests are under way and Redis hangs; httpd waits for devices, but kills its
    # children after 8 s
    rig.expect("RLY111|RLY120")
    stuck = [
        threading.Thread(target=lambda: quietly(rig.get, tunnel, "/slow?s=3")) for _ in range(3)
    ]
    for thread in stuck:
        thread.start()
    time.sleep(0.5)
    rig.servers["redis"].signal(signal.SIGSTOP)
    time.sleep(1.2)
    children = keeper.descendants([rig.servers["httpd"].pid])
    began = time.monotonic()
    rig.servers["httpd"].stop(30)
    took = time.monotonic() - began
    rig.servers["redis"].signal(signal.SIGCONT)
    with open(f"{rig.dir}/log/httpd-error.log") as f:
        log = f.read()
    tap.ok(took < 6, f"{mpm}: httpd ends while requests are under way and Redis hangs",
           f"{took:.1f} s")
    tap.unlike(log, r"still did not exit|exit signal|AH00045|AH00046|AH0005[012]",
               f"{mpm}: no child crashed or had to be killed")
    tap.ok(len(children) > 0 and not keeper.kill_all(children, 0), f"{mpm}: no process is left")
    for thread in stuck:
        thread.join()
    rig.servers["httpd"].start()
    tap.is_(rig.get(tunnel)[0], 200, f"{mpm}: and starts again")
    rig.ends_cleanly(f"{mpm}: the rig")


def quietly(function, *args):
    try:
        function(*args)
    except Exception:
        pass


@test
def restarts_event():
    check_restarts("event")


@test
def restarts_worker():
    check_restarts("worker")


@test
def restarts_prefork():
    check_restarts("prefork")


tap.run()
