#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The bundle's runner, DIR/run, in a copy of the bundle on devices that have busybox, dash or bash,
OpenSSH's or dropbear's client, and curl, GNU wget, busybox's wget (with openssl) or nothing to ask
with. It comes back when its session was killed, does not give up while Redis is away, and stops for
good when the grant has ended; with the device's clock in 1970, too.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from lib import fixture, free_port, keeper, listeners, read, Rig, run, tap, test, TOP
from lib.box import Box
from lib.tap import between, is_, like, note, ok, unlike


def trust(relay):
    """The environment for curl, openssl and wget to trust a rig's CA."""
    wgetrc = f"{relay.dir}/etc/wgetrc"
    with open(wgetrc, "w") as f:
        f.write(f"ca_certificate={relay.ca}\n")
    return {"CURL_CA_BUNDLE": relay.ca, "SSL_CERT_FILE": relay.ca, "WGETRC": wgetrc}


REFUSED = r"Permission denied \(publickey\)|No auth methods could be used"
BASH, DASH, ASH = "bash --posix", "dash", "busybox sh"


def box(relay, name, shell, *programs, busybox=False, env=None):
    return Box(relay, name, shell, programs, busybox, {**relay.trusted, **(env or {})})


def answers(relay, tunnel):
    return relay.get(tunnel)[2].decode().strip() == "the-device"


def comes_back(rig, device, name, shell, *programs, busybox=False):
    t = rig.open(device.url)
    b = box(rig, name, shell, *programs, busybox=busybox)
    r = b.run(t)
    client = "ssh (openssh)" if programs[0] == "ssh" else "dbclient (dropbear)"
    ok(answers(rig, t), f"{name}: a copy of the bundle, run from /: the device answers")
    like(r.said(),
         rf"(?m)^relay-tunnel {t['id']}: connecting to 127\.0\.0\.1 with {re.escape(client)}$",
         f"{name}: it says what it does")
    connected = (rf"(?m)^relay-tunnel {t['id']}: connected: {re.escape(t['routes'][0]['url'])} is "
                 rf"served until {t['expires']}, unless it")
    r.wait_for(connected, 5)
    for _ in range(2):
        r.cut()
        started = time.monotonic()
        r.wait_up(15)
        between(time.monotonic() - started, 0, 8,
                f"{name}: its session is killed: it comes back within seconds")
    ok(answers(rig, t), f"{name}: and the device answers")
    r.wait_for(connected, 5, 3)
    is_(len(re.findall("connected:", r.said())), 3,
        f"{name}: for each of the three connections it says once that it is connected")
    unlike(r.said(), "debug|ssh_confirm|run-knows|no such identity",
           f"{name}: and nothing of how it knows")
    like(
        r.said(),
        r"(?m)^relay-tunnel \w{16}: the connection ended after \d+ s \(exit status \d+\); the "
        r"next try is in [12] s$", f"{name}: it says so")
    is_(os.listdir(b.home), [], f"{name}: nothing is written to the user's home")
    below = r.processes()
    rig.rly("close", t["id"])
    r.cut()
    is_(r.ended(60), 0, f"{name}: the tunnel is closed: run stops for good, exit status 0")
    like(r.said(), "the grant has ended, the relay says so: not connecting again",
         f"{name}: and says why")
    is_(keeper.kill_all(below, 0), {}, f"{name}: no process is left")
    is_(os.listdir(b.tmp), [], f"{name}: nor a file")


def signals(rig, device, name, shell, client):
    b = box(rig, f"signal-{name}", shell, client, "curl", busybox=shell == ASH)
    t = rig.open(device.url)
    bundle = b.copy(t)
    for number, state in ((signal.SIGTERM, "connected"), (signal.SIGINT, "connected"),
                          (signal.SIGHUP, "connected"), (signal.SIGTERM, "waiting")):
        if state == "waiting":
            out_of_reach(rig, bundle)
            r = b.run(t, bundle, wait=False).wait_for("the next try", times=3)
        else:
            r = b.run(t, bundle)
        below = r.processes()
        started = time.monotonic()
        r.process.send_signal(number)
        is_(r.ended(5), 128 + number,
            f"{name}: {number.name} while {state}: exit status {128 + number}")
        between(time.monotonic() - started, 0, 3, f"{name}: at once")
        r.wait(lambda: not keeper.kill_all(below, 0), "its children have ended", 3)
        ok(True, f"{name}: its children have ended")
        is_(os.listdir(b.tmp), [], f"{name}: nothing is left in TMPDIR")
        r.wait(lambda: not r.up(), "the tunnel is down", 5)


def hostkey(rig, device, name, shell, client, what, line):
    b = box(rig, f"hostkey-{name}-{len(line)}", shell, client, "curl", busybox=shell == ASH)
    t = rig.open(device.url)
    bundle = b.copy(t)
    with open(f"{bundle}/known_hosts", "w") as f:
        f.write(line)
    r = b.run(t, bundle, wait=False).wait_for("the next try", times=3)
    ok(not r.up(), f"{name}: {what} is pinned: no tunnel")
    like(r.said(), "(?i)host key|trusted hosts", f"{name}: for that reason")
    unlike(r.said(), "has ended, ", f"{name}: which is no reason to give up")
    r.stop()
    is_(os.listdir(b.home), [], f"{name}: nothing is written to the user's home")


def out_of_reach(rig, bundle):
    """Makes the bundle name a port on which nobody listens."""
    with open(f"{bundle}/config", "r+") as f:
        text = f.read().replace(f"Port {rig.ssh_port}", f"Port {free_port()}")
        f.seek(0)
        f.write(text)
        f.truncate()


def other_openssh(rig, name, before):
    """before: what a shell does with the arguments before it becomes ssh"""
    b = box(rig, name, DASH, "ssh")
    os.unlink(f"{b.bin}/ssh")
    with open(f"{b.bin}/ssh", "w") as f:
        f.write(f'#!/bin/sh\n{before}\nexec {shutil.which("ssh")} "$@"\n')
    os.chmod(f"{b.bin}/ssh", 0o755)
    return b


def old_openssh(rig, name):
    """OpenSSH from before LogVerbose."""
    return other_openssh(
        rig, name,
        'case "$*" in *LogVerbose*) echo "command-line line 0: Bad configuration option: '
        'logverbose" >&2; exit 255 ;; esac')


def clients(rig, name):
    return (box(rig, f"{name}-openssh", DASH, "ssh"), old_openssh(rig, f"{name}-old-openssh"),
            box(rig, f"{name}-dropbear", ASH, "dbclient", busybox=True))


def made(rig):
    """Declares the lines that both relays' logs will have."""
    rig.expect("RLY1")  # mod_relay complains when Redis is away
    rig.expect(r"AuthorizedKeysCommand .* failed|relay-authkeys")
    rig.expect("AH00957|AH01114")  # run asks whether somebody else has its tunnel, and nobody has
    rig.trusted = trust(rig)
    return rig


@fixture
def rig():
    rig = made(Rig())
    yield rig
    rig.ends_cleanly()


@fixture
def second():
    """A relay whose Redis is stopped and emptied."""
    second = made(Rig())
    yield second
    second.ends_cleanly("the second rig")


@fixture
def device(rig):
    return rig.device("the-device")


@fixture
def other_key(rig):
    """A line of known_hosts with another key than the relay's."""
    path = f"{rig.dir}/pki/other"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path])
    with open(f"{path}.pub") as f:
        return "relay1 " + f.read()


# The tests wait most of the time, for the next try and for patience to end: so all at once.


@test(thread="extended")
def extended(rig, device):
    """A session that was seen alive past the end in the bundle: it was extended, and an hour is not
    enough then."""
    b = box(rig, "extended", DASH, "ssh", env={"RELAY_PATIENCE": "1"})
    r = b.run(rig.open(device.url, ttl="20s"))
    rig.rly("extend", "-t", "1h", r.tunnel["id"])
    time.sleep(33)
    rig.rly("close", r.tunnel["id"])
    r.cut()
    # The third refusal comes at most six seconds and two logins after the first: far from the 24
    # seconds that end it.
    r.wait_for(REFUSED, 60, 3)
    is_(r.process.poll(), None, "extended: refused for longer than RELAY_PATIENCE: it goes on")
    is_(r.ended(90), 0, "extended: refused for 24 times as long: it stops")
    like(r.said(), "its time is over", "extended: and says why")


@test(thread="redis")
def redis(second, device):
    """Two ways for Redis to be away: it hangs, and it is down. The helper fails, sshd refuses the
    key."""
    redis = second.servers["redis"]
    for what, away, back in (("hangs", lambda: redis.signal(signal.SIGSTOP),
                              lambda: redis.signal(signal.SIGCONT)),
                             ("is down", lambda:
                              (second.redis("SAVE"), redis.kill()), redis.start)):
        runners = []
        for name, shell, client in (("openssh", DASH, "ssh"), ("dropbear", ASH, "dbclient")):
            b = box(second,
                    f"redis-{what.replace(' ', '-')}-{name}",
                    shell,
                    client,
                    "curl",
                    busybox=shell == ASH)
            runners.append(b.run(second.open(device.url), env={"RELAY_PATIENCE": "3"}))
        away()
        for r in runners:
            r.cut()
        for r in runners:
            r.wait_for(REFUSED, 60, 3)
            time.sleep(1)
            is_(r.process.poll(), None,
                f"{r.box.name}: Redis {what}: refused three times, it does not give up")
        back()
        for r in runners:
            r.wait_up(60)
            ok(answers(second, r.tunnel), f"{r.box.name}: Redis is back: so is the tunnel")
            unlike(r.said(), "has ended", f"{r.box.name}: it never said that it was over")
            r.stop()


@test(thread="redis")
def unknown(second, device):
    """404: the relay has never heard of it, as after a day or when Redis lost its data."""
    b = box(second, "unknown", DASH, "ssh", "curl", env={"RELAY_PATIENCE": "6"})
    t = second.open(device.url)
    r = b.run(t)
    second.redis("DEL", *second.redis("KEYS", "relay:*").split("\n"))
    r.cut()
    cut = time.monotonic()
    is_(r.ended(60), 0, "unknown to the relay: it stops for good")
    between(time.monotonic() - cut, 6, 50, "but not at once")
    like(r.said(), "the relay does not know it", "and says why")


@test(thread="nobody_to_ask")
def nobody_to_ask(rig, device):
    """Without curl and wget: the end in the bundle counts, and refusals for a time (an hour; 6 s
    here)."""
    b = {
        name: box(rig, name, shell, client, env={"RELAY_PATIENCE": "6"})
        for name, shell, client in (("mute-openssh", DASH, "ssh"), ("mute-dropbear", BASH,
                                                                    "dbclient"))
    }
    early = b["mute-openssh"].run(rig.open(device.url, ttl="2h"))
    rig.rly("close", early.tunnel["id"])
    early.cut()
    expired = b["mute-dropbear"].run(rig.open(device.url, ttl="4s"))
    time.sleep(4.5)
    expired.cut()
    cut = time.monotonic()
    is_(expired.ended(60), 0, "mute-dropbear: its time is over: it stops for good")
    between(time.monotonic() - cut, 6, 50,
            "mute-dropbear: but not before it was refused for the time that it takes")
    like(expired.said(), "the grant has ended, its time is over", "mute-dropbear: and says why")
    is_(early.process.poll(), None,
        "mute-openssh: closed before its time, and refused as long: it cannot know, and goes on")
    early.stop()


@test(thread="clock")
def clock(rig, device):
    """A clock without battery: 1970. The time that run has run counts instead."""
    b = box(rig, "1970", DASH, "ssh", env={"RELAY_PATIENCE": "4"})
    os.unlink(f"{b.bin}/date")
    with open(f"{b.bin}/date", "w") as f:
        f.write("#!/bin/sh\necho 42\n")
    os.chmod(f"{b.bin}/date", 0o755)
    r = b.run(rig.open(device.url, ttl="20s"))
    started = time.monotonic()
    rig.rly("close", r.tunnel["id"])
    r.cut()
    is_(r.ended(60), 0, "1970: it stops for good")
    between(time.monotonic() - started, 17, 50,
            "1970: when it has run for as long as the tunnel was to live")
    like(r.said(), "its time is over", "1970: and says why")


@test(thread="backoff")
def backoff(rig, device):
    b = box(rig, "backoff", ASH, "ssh", busybox=True)
    t = rig.open(device.url)
    bundle = b.copy(t)
    out_of_reach(rig, bundle)
    r = b.run(t, bundle, wait=False)
    time.sleep(16)
    delays = [int(d) for d in re.findall(r"the next try is in (\d+) s", r.said())]
    note(f"delays: {delays}")
    ok(len(delays) >= 4, "unreachable: it tries again and again", r.said())
    for delay, (low, high) in zip(delays, ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32))):
        between(delay, low, high, f"a delay from {low} to {high} s")
    unlike(r.said(), "has ended, ", "not being reached is no refusal")
    r.stop()


@test(thread="jitter")
def jitter(rig):
    """run throws dice with whatever the device has: each source alone."""
    with open(f"{TOP}/rly/run.sh") as f:
        text = f.read()
    functions = "\n".join(re.findall(r"(?ms)^(?:setting|draw)\(\) \{.*?\n?\}$", text))
    for source, programs in (("od", ["od"]), ("hexdump", ["hexdump"]), ("awk", ["awk"]),
                             ("the process id", [])):
        b = Box(rig, f"jitter-{source.replace(' ', '-')}")
        for name in ("od", "awk"):
            os.unlink(f"{b.bin}/{name}")
        for name in programs:
            os.symlink("/bin/busybox", f"{b.bin}/{name}")
        seen = set()
        for _ in range(30):
            config = f"{b.dir}/config"
            with open(config, "w") as f:
                f.write("    RemoteForward 127.77.0.5:10000 127.0.0.1:80\n")
            out = run(["/bin/busybox", "sh", "-uc", f"{functions}\ndraw; echo $random"],
                      cwd=b.dir,
                      env=b.env,
                      check=False)
            seen.add(out.stdout.strip(
            ) if out.stdout.strip().isdigit() and int(out.stdout) < 1 << 22 else f"bad: {out}")
        ok(
            len(seen) > 20 and not [s for s in seen if "bad" in s],
            f"chance from {source}: numbers, and not the same", seen)


@test(thread="own_key")
def own_key(rig, device):
    """-k: the device's own key, as id_relay in OpenSSH's and in dropbear's format."""
    own = f"{rig.dir}/pki/own"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own])
    run(["dropbearconvert", "openssh", "dropbear", own, f"{own}.db"])
    for name, shell, programs, key in (("own-openssh", DASH, ["ssh"], own),
                                       ("own-converted", ASH, ["dbclient", "dropbearconvert"],
                                        own), ("own-dropbear", DASH, ["dbclient"], f"{own}.db")):
        b = box(rig, name, shell, *programs, busybox=shell == ASH)
        t = rig.open(device.url, key=f"{own}.pub", args=["-o", f"{rig.dir}/bundles/{name}"])
        bundle = b.copy(t)
        shutil.copy(key, f"{bundle}/id_relay")
        os.chmod(f"{bundle}/id_relay", 0o644)
        r = b.run(t, bundle)
        ok(answers(rig, t), f"{name}: the device's own key is used")
        r.stop()
        rig.rly("close", t["id"])


@test(thread="several")
def several(rig, device):
    for b in clients(rig, "several"):
        t = rig.open(device.url, f"tcp://localhost:{device.port}", device.url)
        r = b.run(t).wait_for("connected: ", 5)
        ok(True, f"{b.name}: three services: all listen")
        urls = " ".join(route["url"] for route in t["routes"] if route["url"])
        like(r.said(), f"connected: {re.escape(urls)} is served until",
             f"{b.name}: and it names those that have a URL")
        r.stop()
        is_(len(re.findall("connected:", r.said())), 1, f"{b.name}: once")
        t = rig.open(f"tcp://localhost:{device.port}")
        r = b.run(t).wait_for("connected: the tunnel is served until", 5)
        ok(True, f"{b.name}: no service has a URL: it says that the tunnel is open")
        r.stop()


@test(thread="not_connected")
def not_connected(rig, device):
    """It never says so while the relay does not listen on all addresses."""
    for b in clients(rig, "taken"):
        t = rig.open(device.url, device.url)
        for route in t["routes"]:  # one of two is taken, the first or the second
            ip, port = route["listen"].split(":")
            with socket.create_server((ip, int(port))):
                bundle = f"{b.dir}/copy-{port}-{route['name']}"
                shutil.copytree(t["bundle"], bundle)
                r = b.run(t, bundle, wait=False).wait_for("forward.* failed", 30, 2)
                unlike(
                    r.said(), "connected:",
                    f"{b.name}: one of two addresses is taken: it does not say that it is connected"
                )
                like(r.said(), r"the connection ended after \d s .*the next try",
                     f"{b.name}: it tries again")
            r.wait_for("connected: ", 60)
            ok(r.up() and answers(rig, t), f"{b.name}: and says so when the address is free")
            r.stop()
            r.wait(lambda: not r.listens & listeners(), "the addresses are free", 10)
        rig.rly("close", t["id"])
    rig.expect("bind|cannot listen|port forwarding")


@test(thread="places")
def places(rig, device):
    b = box(rig, "places", ASH, "ssh", busybox=True)
    t = rig.open(device.url)
    bundle = b.copy(t, "-n; touch x")
    r = b.run(t, bundle, cwd=bundle, env={"TMPDIR": "/nonexistent"})
    ok(answers(rig, t),
       "a folder whose name looks like options and commands; a TMPDIR that is not there")
    r.stop()
    os.symlink(f"{bundle}/run", f"{b.dir}/link")
    linked = subprocess.Popen(
        ["env", "-i", *(f"{k}={v}" for k, v in b.env.items()), *b.shell, f"{b.dir}/link"],
        cwd="/",
        stderr=subprocess.DEVNULL)
    r.wait(r.up, "the tunnel is up through a link")
    ok(True, "a link to run")
    linked.terminate()
    is_(linked.wait(5), 143, "which ends on SIGTERM, too")


def point_at(bundle, target):
    """Has a bundle's config lead to another target."""
    with open(f"{bundle}/config", "r+") as f:
        text = re.sub(r"(RemoteForward \S+) .*", rf"\1 {target}", f.read())
        f.seek(0)
        f.write(text)
        f.truncate()


@test(thread="cannot_run")
def cannot_run(rig, device):
    t = rig.open(device.url)
    for name, programs, prepare, status, error in (
        ("no client", [], lambda d: [], 1, "neither ssh .* nor dbclient .* is installed"),
        ("no config", ["ssh"], lambda d: os.unlink(f"{d}/config"), 1,
         "no config and known_hosts beside .*/run"), ("no line of ours in config", ["ssh"],
                                                      lambda d: open(f"{d}/config", "w").close(), 1,
                                                      "config has no line"),
        ("no key for dropbear", ["dbclient"],
         lambda d: [os.unlink(f"{d}/{k}") for k in ("id_relay", "id_relay.dropbear")], 1,
         "no private key"), ("IPv6 with dropbear", ["dbclient"
                                                    ], lambda d: point_at(d, "[::1]:8080"), 1,
                             r"cannot forward to \[::1\]:8080, an IPv6 address")):
        b = box(rig, name.replace(" ", "-"), DASH, *programs)
        bundle = f"{b.dir}/copy"
        shutil.copytree(t["bundle"], bundle)
        prepare(bundle)
        r = b.run(t, bundle, wait=False)
        is_(r.ended(10), status, f"{name}: exit status {status}")
        like(r.said(), error, f"{name}: and an error")
    result = run([f"{t['bundle']}/run", "--help"], check=False)
    is_((result.returncode, result.stdout), (2, ""), "arguments: exit status 2")
    like(result.stderr, "^usage: ", "and how it is used")


@test(thread="openssh_on_busybox")
def openssh_on_busybox(rig, device):
    comes_back(rig, device, "busybox-openssh", ASH, "ssh", "curl", busybox=True)


@test(thread="dropbear_on_busybox")
def dropbear_on_busybox(rig, device):
    comes_back(rig, device, "busybox-dropbear", ASH, "dbclient", "openssl", busybox=True)


@test(thread="dropbear_on_dash")
def dropbear_on_dash(rig, device):
    comes_back(rig, device, "dash-dropbear", DASH, "dbclient", "wget")


@test(thread="openssh_on_bash")
def openssh_on_bash(rig, device):
    comes_back(rig, device, "bash-openssh", BASH, "ssh", "wget")


@test(thread="quick_key_exchange")
def quick_key_exchange(rig, device):
    """An ssh that has the quick key exchange, another one by that name here, begins with it; one
    that has not is not told to."""
    told = 'for a; do shift; [ "$a" != "KexAlgorithms=^mlkem768x25519-sha256" ] || a=' \
        'KexAlgorithms=^ecdh-sha2-nistp256; set -- "$@" "$a"; done'
    known = "mlkem768x25519-sha256" in run(["ssh", "-Q", "kex"]).stdout.split()
    for name, b, found in (("with", other_openssh(rig, "kex", told), ["^ecdh-sha2-nistp256"]),
                           ("here", box(rig, "stock", DASH,
                                        "ssh"), ["^mlkem768x25519-sha256"] * known)):
        r = b.run(rig.open(device.url))
        is_(
            re.findall(r"KexAlgorithms=([^\0]*)",
                       "".join(read(f"/proc/{p}/cmdline") for p in r.processes())), found,
            f"{name}: the key exchange that ssh is told to begin with")
        r.stop()


@test(thread="signals_to_openssh_on_busybox")
def signals_to_openssh_on_busybox(rig, device):
    signals(rig, device, "busybox-openssh", ASH, "ssh")


@test(thread="signals_to_dropbear_on_dash")
def signals_to_dropbear_on_dash(rig, device):
    signals(rig, device, "dash-dropbear", DASH, "dbclient")


@test(thread="signals_to_openssh_on_bash")
def signals_to_openssh_on_bash(rig, device):
    signals(rig, device, "bash-openssh", BASH, "ssh")


@test(thread="wrong_hostkey_openssh")
def wrong_hostkey_openssh(rig, device, other_key):
    hostkey(rig, device, "dash-openssh", DASH, "ssh", "another key", other_key)


@test(thread="no_hostkey_openssh")
def no_hostkey_openssh(rig, device):
    hostkey(rig, device, "busybox-openssh", ASH, "ssh", "none", "")


@test(thread="wrong_hostkey_dropbear")
def wrong_hostkey_dropbear(rig, device, other_key):
    hostkey(rig, device, "busybox-dropbear", ASH, "dbclient", "another key", other_key)


@test(thread="no_hostkey_dropbear")
def no_hostkey_dropbear(rig, device):
    hostkey(rig, device, "dash-dropbear", DASH, "dbclient", "none", "")


tap.run()
