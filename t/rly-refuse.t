#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly: bad input, rules that say no, and a Redis that cannot serve. Each gets its exit status and
an error that says what to do, in time, and changes nothing: neither in Redis nor on disk."""
import os
import re
import socket
import time

from lib import run, Store, tap, test
from lib.store import Redis
from lib.tap import is_, like, ok, unlike

store = Store()
REFUSED, USAGE, UNREACHABLE = 1, 2, 3


def refused(what, status, error, *args, redis=None, bundle=True, **kwargs):
    """Runs rly and checks: exit status, error, nothing printed, nothing changed."""
    keys, files = store.snapshot(redis), store.files()
    if args and args[0] == "open" and bundle:
        args += ("-o", "refused")
    started = time.monotonic()
    result = store.rly(*args, **kwargs)
    took = time.monotonic() - started
    is_(result.returncode, status, f"{what}: exit status {status}")
    like(result.stderr, f"^rly: .*{error}", f"{what}: the error says so")
    is_(result.stdout, "", f"{what}: nothing on stdout")
    is_((store.snapshot(redis), store.files()), (keys, files), f"{what}: nothing has changed")
    ok(took < 5, f"{what}: in time", f"{took:.1f} s")
    return result


def write(name, data):
    with open(f"{store.dir}/{name}", "wb") as f:
        f.write(data)
    return f"{store.dir}/{name}"


def keygen(name, *args):
    run(["ssh-keygen", "-q", "-N", "", "-f", f"{store.dir}/{name}", *args])
    with open(f"{store.dir}/{name}.pub", "rb") as f:
        return f.read()


@test
def usage():
    """t/unit/test_options.c has each form of a wrong option."""
    rows = [
        ("no command", "command is missing", []),
        ("an unknown command", "no command `frobnicate'", ["frobnicate"]),
        ("an unknown option", "invalid option", ["open", "--frobnicate", "80"]),
        ("an unknown option before the command", "no option -x", ["-x", "list"]),
        ("an option of another command", "invalid option", ["close", "-o", "x", "nas"]),
        ("-c without a file", "-c needs", ["-c"]),
        ("no service", "which service", ["open"]),
        ("more names than services", "2 names .* for 1 service",
         ["open", "-n", "a", "-n", "b", "80"]),
        ("a name twice", "given twice", ["open", "-n", "a", "-n", "a", "80", "81"]),
        ("close nothing", "which tunnel", ["close"]),
        ("extend without -t", "for how long", ["extend", "nas"]),
        ("extend two", "one tunnel", ["extend", "-t", "1h", "a", "b"]),
        ("show nothing", "which tunnel", ["show"]),
        ("list with an operand", "rly show nas", ["list", "nas"]),
        ("help for an unknown command", "no command", ["help", "frobnicate"]),
        ("33 services", "1 to 32 services", ["open", *map(str, range(8000, 8033))]),
    ]
    for what, error, args in rows:
        refused(what, USAGE, error, *args, bundle="33" in what)


@test
def values():
    """One or two values of each kind. The tables of all that is refused are in t/unit:
    test_duration.c, test_options.c, test_name.c, test_service.c and test_tunnel_args.c."""
    for ttl in ("0s", "1h30m"):
        refused(f"TTL `{ttl}'", USAGE, f"-t {ttl}: ", "open", "80", "-t", ttl)
    refused("a TTL over the limit", REFUSED, r"31d is over the limit of 30d \(\[relay\] ttl-max\)",
            "open", "80", "-t", "31d")
    for name in ("", "a_b"):
        refused(f"name `{name}'", USAGE, f"-n {name}: ", "open", "80", "-n", name)
    refused("a reserved name", REFUSED, "reserved", "open", "80", "-n", "www")
    for service, error in (("", "write a URL"), ("ftp://x", "the scheme must be"),
                           ("http://x -R 0.0.0.0:1:x:1", "a space")):
        refused(f"service `{service}'", USAGE, error, "open", "--", service, bundle=False)
    for option, value, error in (("--host", "http://nas", "no host: .*`public', `device', or"),
                                 ("--host", "nas\r\nX: y", "no host"), ("--forwarded", "no",
                                                                        "neither `on' nor `off'"),
                                 ("--upgrade", "h2c", "none that a device may switch to"),
                                 ("--upgrade", "tcp/", "no name of a protocol")):
        refused(f"{option} `{value}'", USAGE, f"{option}: .*{error}", "open", "80", option, value)
    refused("a device name of 201 bytes", USAGE, "200", "open", "80", "-d", "x" * 201)
    for what, name in (("a control character", "a\x1bb"), ("no UTF-8", b"\xff\xfe")):
        refused(f"a device name that has {what}", USAGE, "UTF-8", "open", "80", "-d", name)
    device = "サーバー"
    is_(
        store.open("80", "-d", device, "-o", "text")["device"], device,
        "a device name in Japanese is taken")


@test
def rules():
    keygen("one", "-t", "ed25519")
    t = store.open("-n", "nas", "-k", "one.pub", "80")
    refused("a taken name", REFUSED, "`nas' is taken", "open", "-n", "nas", "80")
    refused("the second name is taken", REFUSED, "`nas' is taken", "open", "-n", "free", "-n",
            "nas", "80", "81")
    refused("a key that has a tunnel", REFUSED, f"belongs to tunnel {t['id']}", "open", "-k",
            "one.pub", "80")
    for command in (["show"], ["close"], ["extend", "-t", "1h"]):
        for what in ("nope", "", "a" * 300, "../x", "*", "relay:*", "x\n"):
            refused(f"{command[0]} `{what[:10]}'", REFUSED, "no tunnel", *command, "--", what)
    refused("extend over the limit", REFUSED, "over the limit", "extend", "-t", "31d", "nas")
    refused("extend by 0", USAGE, "-t 0s", "extend", "-t", "0s", "nas")
    small = store.write_conf("small.conf",
                             relay={"listen": "127.0.0.1:20000-20001", "cooldown": "1m"})
    first = store.open("80", "-o", "small1", conf=small)
    refused("two services, one address left", REFUSED, "used up", "open", "80", "81", conf=small)
    store.open("80", "-o", "small2", conf=small)
    refused("a full listen space",
            REFUSED,
            r"used up.*\[relay\] listen.*cooldown of 1m",
            "open",
            "80",
            conf=small)
    store.rly("close", first["id"])
    refused("a space that is still cooling down", REFUSED, "cooling", "open", "80", conf=small)


@test
def keys():
    good, other = keygen("good", "-t", "ed25519"), keygen("other", "-t", "ecdsa")
    weak = keygen("weak", "-t", "rsa", "-b", "1024")
    keygen("ca", "-t", "ed25519")
    run(["ssh-keygen", "-q", "-s", "ca", "-I", "x", "-n", "relay", "good.pub"], cwd=store.dir)
    # t/unit/test_key.c has all that is no key.
    for what, error, data in (("options", "options", b'command="sh" ' + good), ("RSA 1024",
                                                                                "1024 bits", weak)):
        refused(f"a key with {what}", REFUSED, f"bad.pub: .*{error}", "open", "80", "-k",
                write("bad.pub", data))
    for what, error, data in (("several lines", "more than one line", good + other),
                              ("an empty file", "empty", b""), ("16 kB of something", "too long",
                                                                b"x" * 20000)):
        refused(f"a key with {what}, on stdin",
                REFUSED,
                f"standard input: .*{error}",
                "open",
                "80",
                "-k",
                "-",
                input=data)
    result = refused("a private key", REFUSED, "private key", "open", "80", "-k", "good")
    with open(f"{store.dir}/good") as f:
        secret = f.read().split("\n")[1]
    unlike(result.stderr, re.escape(secret[:20]), "and nothing of it is shown")
    refused("a certificate", REFUSED, "certificate", "open", "80", "-k", "good-cert.pub")
    os.mkfifo(f"{store.dir}/fifo")
    os.symlink("fifo", f"{store.dir}/to-fifo")
    for name in ("fifo", "to-fifo"):
        refused("a pipe that nobody writes to, in a folder where others could put one", REFUSED,
                f"{name}: it is not a regular file", "open", "80", "-k", name)
    refused("a folder", REFUSED, "Is a directory", "open", "80", "-k", store.dir)
    refused("a device", REFUSED, "not a regular file", "open", "80", "-k", "/dev/zero")
    read, write_ = os.pipe()
    os.write(write_, other)
    os.close(write_)
    t = store.open("80", "-k", f"/dev/fd/{read}", pass_fds=[read])
    is_(t["bundle"], None, "-k <(command) works")
    os.close(read)
    refused("a key file that is missing", REFUSED, "/nonexistent.pub", "open", "80", "-k",
            "/nonexistent.pub")


@test
def conf():
    bad = store.write_conf("bad.conf", extra="[relay]\nfrobnicate = 1\n")
    refused("an unknown key", REFUSED, r"bad\.conf:\d+: .*frobnicate", "open", "80", conf=bad)
    bad = store.write_conf("bad.conf", extra="[frob]\nx = 1\n")
    refused("an unknown section", REFUSED, r"bad\.conf:\d+: .*frob", "list", conf=bad)
    bad = store.write_conf("bad.conf", relay={"listen": "10.0.0.0/8:1-2"})
    refused("a bad value", REFUSED, r"bad\.conf:\d+: \[relay\] listen", "list", conf=bad)
    bad = store.write_conf("bad.conf", redis={"url": "redis://user:geheim@host:99999/"})
    unlike(
        refused("a bad URL", REFUSED, r"bad\.conf:\d+: \[redis\] url", "list", conf=bad).stderr,
        "geheim", "without the password")
    refused("a file that is missing", REFUSED, "/nonexistent", "list", conf="/nonexistent")
    refused("a directory", REFUSED, re.escape(store.dir), "list", "-c", store.dir)
    os.chmod(bad, 0)
    if os.getuid() == 0:
        refused("an unreadable file", REFUSED, "bad.conf", "list", conf=bad, user="nobody", cwd="/")


@test
def hostkeys():
    none = store.write_conf("none.conf", rlyd={"sshd-config": "/nonexistent/sshd_config"})
    refused("no host key",
            REFUSED,
            "cannot pin .*/nonexistent/sshd_config.*rlyd",
            "open",
            "80",
            conf=none)
    refused("no host key, without -o", REFUSED, "cannot pin", "open", "80", conf=none, bundle=False)
    store.redis("HSET", "relay:relay:relay1", "v", 2, "hostkeys", "x")
    refused("a relay: record of a newer version",
            REFUSED,
            "version 2.*upgrade",
            "open",
            "80",
            conf=none)
    store.redis("HSET", "relay:relay:relay1", "v", 1, "hostkeys", "evil.example ssh-ed25519 AAAA\n")
    refused("malformed host keys", REFUSED, "malformed: field hostkeys", "open", "80", conf=none)
    store.redis("DEL", "relay:relay:relay1")
    keygen("device", "-t", "ed25519")
    is_(
        store.rly("open", "-k", "device.pub", "80", conf=none).returncode, 0,
        "-k without a bundle needs none")


@test
def records():
    t = store.open("-n", "rec", "-o", "rec", "80")
    key = f"relay:tunnel:{t['id']}"
    for what, error, fields in (("of a newer version", "version 9.*upgrade",
                                 ["v", "9"]), ("without its version", "version", ["v", ""]),
                                ("with 0 routes", "malformed", ["v", "1", "routes", "0"]),
                                ("with a wrong listen address", "malformed",
                                 ["routes", "1", "listen.0", "0.0.0.0"])):
        store.redis("HSET", key, *fields)
        refused(f"show: a record {what}", REFUSED, error, "show", "rec")
        result = store.rly("list")
        is_(result.returncode, 0, f"list: a record {what} is left out")
        like(result.stderr, f"RLY001 tunnel {t['id']} is left out: .*{error}", "with a warning")
        unlike(result.stdout, t["id"], "of course")
    for what, command in (("that is not a hash", ["SET", key,
                                                  "x"]), ("that is missing", ["DEL", key])):
        store.redis(*command)
        result = store.rly("list")
        is_(result.returncode, 0, f"list: a record {what} is left out")
        like(result.stderr, f"RLY001 tunnel {t['id']} is left out: .*{what[5:]}", "with a warning")


@test(needs=["rules"])
def redis():
    for what, url, error in (("Redis down", f"unix://{store.dir}/none.sock", "none.sock"),
                             ("no such port", "redis://127.0.0.1:1/", "127.0.0.1:1")):
        conf = store.write_conf("down.conf", redis={"url": url})
        for args in (["open", "80"], ["close", "nas"], ["extend", "-t", "1h",
                                                        "nas"], ["show", "nas"], ["list"]):
            refused(f"{what}: {args[0]}", UNREACHABLE, error, *args, conf=conf)
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen()
        conf = store.write_conf("hung.conf",
                                redis={"url": f"redis://127.0.0.1:{hung.getsockname()[1]}/"})
        refused("Redis that does not answer", UNREACHABLE, "", "open", "80", conf=conf)

    locked = Redis(store, "locked", "--requirepass", "geheim")
    for what, url, error in (("a wrong password", f"unix://:falsch@{locked.sock}",
                              r"password.*wrong"), ("no password", f"unix://{locked.sock}",
                                                    "wants a password")):
        result = store.rly("open", "80", conf=store.write_conf("locked.conf", redis={"url": url}))
        is_(result.returncode, UNREACHABLE, f"{what}: exit status 3")
        like(result.stderr, error, f"{what}: the error says so")
        unlike(result.stderr, "falsch", f"{what}: and does not show it")
    is_(locked("DBSIZE", password="geheim"), "0", "nothing was written")
    locked.stop()

    replica = Redis(store, "replica", "--replicaof", "127.0.0.1", "1")
    conf = store.write_conf("replica.conf", redis={"url": f"unix://{replica.sock}"})
    refused("a read-only replica",
            UNREACHABLE,
            "read-only replica",
            "open",
            "80",
            conf=conf,
            redis=replica)
    replica.stop()

    store.redis("CONFIG", "SET", "maxmemory", "1")
    refused("out of memory: open", UNREACHABLE, "out of memory", "open", "80")
    refused("out of memory: extend", UNREACHABLE, "out of memory", "extend", "-t", "20d", "nas")
    is_(store.rly("show", "nas").returncode, 0, "out of memory: show still works")
    store.redis("CONFIG", "SET", "maxmemory", "0")
    is_(
        store.rly("extend", "-t", "20d", "nas").returncode, 0,
        "and when there is memory again, everything does")


tap.run()
