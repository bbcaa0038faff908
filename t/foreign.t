#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Somebody with an account on the relay, or with a service on all addresses, never gets a device's
visitors: not while the device is away, and not as it goes. No address is issued where somebody else
listens."""
import http.client
import itertools
import json
import os
import pwd
import re
import threading
import time

from lib import DEVICE_GONE, events, fixture, log, Rig, run, tap, test, TOP, wait, wait_for, within
from lib.squatter import Squatter

# Above the ports that connections leave from, and those of other rigs.
LOW = 61000 + os.getpid() % 38 * 100
SOCKET = (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")

# A listener: its name here, its user, its address (by a device's), how it listens; and the log's
# words for it.
KINDS = (
    ("nobody's", "nobody", "{ip}:{port}", "accepting", ""),
    ("root's", "root", "{ip}:{port}", "accepting", ""),
    ("one that accepts nothing", "nobody", "{ip}:{port}", "deaf", ""),
    ("one bound to lo", "root", "{ip}:{port}", "device", ""),
    ("IPv6's, mapped", "nobody", "[::ffff:{ip}]:{port}", "accepting", ""),
    ("all addresses", "nobody", "*:{port}", "accepting", " by listening on all addresses"),
    ("root's on all addresses", "root", "*:{port}", "accepting", " by listening on all addresses"),
    ("all addresses, IPv6's too", "nobody", "[::]:{port}", "accepting",
     " by listening on all addresses"),
    ("all addresses, bound to lo", "root", "*:{port}", "device", " by listening on all addresses"),
    ("the tunnel user's on all addresses", "relay", "*:{port}", "accepting",
     " by listening on all addresses"),
)


def addresses(tunnel, form):
    return [
        form.format(ip=ip, port=port)
        for ip, port in (r["listen"].split(":") for r in tunnel["routes"])
    ]


def upgrade(rig, name):
    with rig.tls(name, timeout=10) as sock:
        sock.sendall(b"GET /ws HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n%s\r\n" %
                     (rig.host(name).encode(), SOCKET))
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.headers[
            "Retry-After"], b"" if answer.status == 101 else answer.read()


def visits(rig, tunnel):
    """Every way of asking each service: (what, status, Retry-After, body)."""
    for route in tunnel["routes"]:
        scheme = route["service"].split(":")[0]
        for version in (1.1, 2):
            for method, body in (("GET", None), ("POST", b"secret=1")):
                status, headers, got = rig.get(
                    route["name"],
                    "/upload",
                    http=version,
                    method=method,
                    body=body,
                    headers={"Accept": "application/json", "Cookie": "secret=1"})
                yield f"{method}, HTTP/{version}, {scheme}", status, headers["Retry-After"], got
        if scheme != "h2c":
            yield (f"WebSocket, {scheme}", *upgrade(rig, route["name"]))


@test
def orders():
    """Orders of events that no visitor can time: the unit test, for t/mutations' sake."""
    build = os.environ.get("RELAY_BUILD", f"{TOP}/build")
    made = run(["make", "-s", "-C", build, "t/unit/test_owner"], check=False)
    said = run([f"{build}/t/unit/test_owner"], check=False) if made.returncode == 0 else made
    tap.is_((said.returncode, re.findall("(?m)^not ok.*", said.stdout)), (0, []),
            "the judgement of sockets, by table and by this kernel's own")


@fixture
def rig():
    rig = Rig(rlyd=True)
    rig.expect("RLY149|RLY44[01]|AH10034|RLY10[78]|RLY11|RLY430", DEVICE_GONE)
    yield rig
    rig.ends_cleanly()


@fixture
def tunnel(rig):
    plain, tls = rig.devices_("nas", "other"), rig.device("tls", tls=True)
    return rig.open(plain[0], tls, f"h2c://127.0.0.1:{plain[1].port}")


@test
def kinds(rig, tunnel):
    for what, user, form, how, where in KINDS:
        rig_log = log(rig, "relay-error.log")
        squatter = Squatter(user, addresses(tunnel, form), how)
        wrong = [(v, s, after, body) for v, s, after, body in visits(rig, tunnel)
                 if s != 503 or after != "5" or json.loads(body)["error"] != "offline"]
        tap.is_(wrong, [], f"{what}: each visitor is told that the device is not connected")
        met = squatter.met()
        tap.is_(met[1], 0, f"{what}: not a byte reaches it")
        if how != "deaf":
            tap.ok(met[0], f"{what}: though connections do", met)
        squatter.stop()
        lines = re.findall(
            r"RLY149 (\S+) is .* process of uid (\d+) answers there(.*?), not sshd as user relay",
            log(rig, "relay-error.log")[len(rig_log):])
        tap.ok({(uid, by)
                for _, uid, by in lines} <= {(str(pwd.getpwnam(user).pw_uid), where)},
               f"{what}: the log says whose it is", lines)
        tap.ok(len(lines) < 20, f"{what}: the log is not flooded", len(lines))
    tap.ok("RLY149" in log(rig, "relay-error.log"), "the log says so")


def connected(rig, tunnel):
    """The tunnel's session: the one that is up, or a new one."""
    return rig.sessions[-1] if rig.listening(tunnel) else rig.connect(tunnel)


@test
def back(rig, tunnel):
    rig.connect(tunnel)
    got = {v: s for v, s, *_ in visits(rig, tunnel) if "h2c" not in v}
    tap.is_({v: s
             for v, s in got.items() if s != (101 if v.startswith("WebSocket") else 200)}, {},
            "the device is there: all that it was asked reaches it")


@test
def change_of_hands(rig, tunnel):
    """A connection of the pool belongs to the device; who listens there after it meets no request.
    """
    name, form = tunnel["routes"][0]["name"], "{ip}:{port}"
    session = connected(rig, tunnel)
    statuses, bytes_met, bodies = [], [], set()
    for _ in range(3):
        visitor = rig.connection(name)
        visitor.request("GET", "/")
        bodies.add(visitor.getresponse().read())
        session.stop()
        squatter = None
        while squatter is None:
            try:
                squatter = Squatter("nobody", addresses(tunnel, form)[:1])
            except RuntimeError:
                pass
        for _ in range(3):
            visitor.request("GET", "/", headers={"Authorization": "Basic c2VjcmV0"})
            answer = visitor.getresponse()
            statuses.append(answer.status)
            bodies.add(b"squatted" if b"SQUATTER" in answer.read() else b"nas")
        visitor.close()
        bytes_met.append(squatter.met()[1])
        squatter.stop()
        session.wait_down()
        session = rig.connect(tunnel)
        statuses.append(rig.get(name)[0])
    tap.is_((statuses, bytes_met, bodies), ([503, 503, 503, 200] * 3, [0] * 3, {b"nas"}),
            "the address changes hands behind a pooled connection: 503, not a byte reaches the new "
            "one; the device is back: 200")


@test
def in_turns(rig, tunnel):
    """A device that comes and goes, somebody who takes every gap, and visitors all the while."""
    session = connected(rig, tunnel)
    name, place = tunnel["routes"][0]["name"], addresses(tunnel, "{ip}:{port}")[:1]
    over, seen, met, turns = threading.Event(), [], [0, 0], [0, 0]

    def visit():
        while not over.is_set():
            status, _, body = rig.get(name)
            seen.append((status, b"SQUATTER" in body))

    def squat():
        while not over.is_set():
            try:
                squatter = Squatter("nobody", place)
            except RuntimeError:
                continue
            time.sleep(0.15)
            turns[0] += 1
            for i, n in enumerate(squatter.met()):
                met[i] += n
            squatter.stop()
            time.sleep(0.1)

    threads = [threading.Thread(target=f) for f in (visit, visit, visit, squat)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        session.stop()
        session.wait_down(1)
        time.sleep(0.1)
        session = rig.connect(tunnel, wait=False)
        turns[1] += wait(lambda: session.process.poll() is not None or rig.listening(tunnel),
                         3) is not None and session.process.poll() is None
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    tap.note(f"{len(seen)} visits, {turns[0]} turns of the squatter, who met {met[0]} connections, "
             f"{turns[1]} of the device")
    tap.ok(
        met[1] == 0 and not any(bad for _, bad in seen) and {s
                                                             for s, _ in seen} <= {200, 502, 503},
        "device and squatter in turns: not a byte reaches him, and no visitor sees him",
        (met, {s
               for s, _ in seen}))
    tap.ok(len(seen) > 50 and min(turns) > 1, "both had their turns", (len(seen), turns))
    session.stop()


@test
def why(rig):
    """The device cannot connect: rlyd says why at once."""
    tunnel = rig.open("80")
    squatter = Squatter("nobody", addresses(tunnel, "*:{port}"))
    wait(lambda: told(rig), 5)
    tap.passes(
        "the device is refused by sshd",
        lambda: wait_for(lambda: rig.connect(tunnel, wait=False).process.wait(10), "ssh's end"))
    port = tunnel["routes"][0]["listen"].split(":")[1]
    tap.ok(
        wait(
            lambda: re.search(
                rf"RLY441 .*on port {port} of all addresses: a tunnel of that port cannot come up",
                log(rig)), 3), "rlyd's log says why it cannot come up")
    tap.ok(any(e.get("listen") == f"0.0.0.0:{port}" for e in events(rig, "foreign")),
           "and an event, with the port")
    squatter.stop()


def rly_open(rig, number=itertools.count(), elsewhere=False):
    """elsewhere: as on another host, where rly sees no listener of the relay's."""
    argv = [rig.program("rly"), "open", "--json", "-o", f"{rig.dir}/skip-{next(number)}", "80"]
    return run((["unshare", "-n"] if elsewhere else []) + argv,
               env=dict(os.environ, RELAY_CONF=rig.conf),
               check=False)


def opened(result):
    return json.loads(result.stdout)["routes"][0]["listen"]


def told(rig):
    return rig.redis("HGET", "relay:relay:relay1", "taken").split()


@test
def narrow():
    """One address with ten ports, of which others have six: the other four are found, and then rly
    says why not."""
    base = f"127.{64 + os.getpid() % 60}.{os.getpid() // 60 % 250}.10"
    rig = Rig(rlyd=True, listen=f"{base}:{LOW}-{LOW + 9}", cooldown="2s")
    rig.expect("RLY44[01]")
    squatter = Squatter("nobody", [f"{base}:{LOW + n}"
                                   for n in (0, 3, 4)] + [f"*:{LOW + n}" for n in (1, 7, 9)],
                        "deaf")
    tap.ok(within(5, wait(lambda: len(told(rig)) == 6, 10)),
           "rlyd tells of exact addresses and of ports", told(rig))
    wait(lambda: rig.redis("HGET", "relay:seen:relay1", "at"), 5)
    got = [rly_open(rig, elsewhere=True) for _ in range(5)]
    tap.is_((sorted(opened(r) for r in got[:4]), got[4].returncode),
            ([f"{base}:{LOW + n}" for n in (2, 5, 6, 8)], 1),
            "a narrow space: what nobody has is issued, and no more")
    tap.like(got[4].stderr,
             r"other processes listen there \(6 of them; on the relay `ss -ltnp' shows",
             "rly says why")
    squatter.stop()
    tap.ok(
        wait(lambda: rly_open(rig).returncode == 0, 5) is not None,
        "they are gone: addresses are issued again")
    tap.is_(rig.stop(), [], "the narrow rig ends cleanly")


@test
def used_up():
    """All ports of a space have a listener on all addresses, too many to look at each: refused
    soon."""
    base = f"127.{64 + os.getpid() % 60}.{os.getpid() // 60 % 250}.0"
    rig = Rig(rlyd=True, listen=f"{base}/24:{LOW}-{LOW + 599}")
    rig.expect("RLY44[01]")
    squatter = Squatter("nobody", [f"*:{p}" for p in range(LOW, LOW + 600)], "deaf")
    wait(lambda: rig.redis("HGET", "relay:seen:relay1", "at"), 5)
    began = time.monotonic()
    result = rly_open(rig)
    tap.ok(result.returncode == 1 and time.monotonic() - began < 2,
           "all 600 ports are taken: rly refuses, soon", result)
    tap.like(result.stderr, r"other processes listen there", "and says why")
    squatter.stop()
    tap.is_(rig.stop(), [], "the rig ends cleanly")


# A process that may not have sockets of AF_NETLINK, 16, and what it starts: a filter of seccomp(2).
NO_NETLINK = r"""
import ctypes, os, struct, sys
def op(code, jt, jf, k): return struct.pack("=HBBL", code, jt, jf, k)
nr = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
code = (op(0x20, 0, 0, 0) + op(0x15, 0, 3, nr) + op(0x20, 0, 0, 16) + op(0x15, 0, 1, 16)
        + op(0x06, 0, 0, 0x00050000 | 97) + op(0x06, 0, 0, 0x7fff0000))
buf = ctypes.create_string_buffer(code)
libc = ctypes.CDLL(None, use_errno=True)
program = ctypes.create_string_buffer(struct.pack("@HP", 6, ctypes.addressof(buf)))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
"""


@test
def cannot_ask(rig, tunnel):
    """httpd cannot ask the kernel: it takes nobody for the device, not even the device."""
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "the device is connected")
    httpd = rig.servers["httpd"]
    httpd.stop()
    plain, httpd.argv = httpd.argv, ["/usr/bin/python3", "-c", NO_NETLINK, *httpd.argv]
    httpd.start()
    tap.like(
        log(rig, "httpd.out") + log(rig, "httpd-error.log"), "RLY107 .*tcp_diag",
        "httpd may not ask the kernel: it says so at its start")
    tap.is_(rig.get(tunnel)[0], 503, "and no request reaches a device")
    tap.like(log(rig, "relay-error.log"), "RLY108 ", "and says so again")
    httpd.stop()
    httpd.argv = plain
    httpd.start()
    tap.is_(rig.get(tunnel)[0], 200, "as it did: all is well")


def squat(rig, form, tries=5):
    """@return an address, its port, and a squatter on that port and the next one; others where
    somebody else on this machine has one of the ports"""
    address = opened(rly_open(rig))
    port = int(address.split(":")[1])
    try:
        return address, port, Squatter("nobody", [form.format(port=p) for p in (port, port + 1)],
                                       "deaf")
    except RuntimeError:
        if tries == 1:
            raise
        return squat(rig, form, tries - 1)


@test
def not_issued(rig):
    """The port at which the counter stands gets a listener on all addresses: the next address has
    another."""
    had, rlyd = [], rig.servers["rlyd"]
    for form, elsewhere in (("*:{port}", False), ("[::]:{port}", True)):
        first, port, squatter = squat(rig, form)
        where = "all addresses" + (", IPv6's too" if "::" in form else "")
        if elsewhere:
            took = wait(lambda: {f"*:{port}", f"*:{port + 1}"} <= set(told(rig)), 5)
            tap.ok(within(1.5, took), f"a listener on {where}: rlyd tells within a second or so",
                   took)
        else:
            rlyd.kill()
            rig.redis("HDEL", "relay:relay:relay1", "taken")
        got = [opened(rly_open(rig, elsewhere=elsewhere)) for _ in range(3)]
        tap.ok(
            not {port, port + 1} & {int(a.split(":")[1])
                                    for a in got},
            f"a listener on {where}: {'rlyd knows, and' if elsewhere else 'rlyd is away, and'} "
            "no address of its port is issued", got)
        had += [first, *got]
        if elsewhere:
            rig.servers["redis"].kill()
            rig.servers["redis"].start()
            wait(lambda: told(rig), 5)
            had += [opened(rly_open(rig, elsewhere=True)) for _ in range(3)]
        else:
            rlyd.start()
        squatter.stop()
    tap.is_(len(set(had)), len(had), "and none twice, though Redis has lost its counter meanwhile")
    took = wait(lambda: not told(rig), 5)
    tap.ok(within(1.5, took), "nobody listens any more: rlyd tells that, too", took)


@test
def prefork():
    rig = Rig(mpm="prefork", http2=False)
    rig.expect("RLY149", DEVICE_GONE)
    device = rig.device("nas")
    tunnel = rig.open(device)
    squatter = Squatter("nobody", addresses(tunnel, "{ip}:{port}"))
    statuses = {rig.get(tunnel)[0] for _ in range(20)}
    tap.is_((statuses, squatter.met()[1]), ({503}, 0), "prefork: 503, not a byte reaches another")
    squatter.stop()
    rig.connect(tunnel)
    tap.is_({rig.get(tunnel)[0] for _ in range(20)}, {200}, "prefork: the device is there: 200")
    tap.is_(rig.stop(), [], "prefork: the rig ends cleanly")


tap.run()
