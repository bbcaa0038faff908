#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""The holder of one valid key does his worst in numbers, by both ways in: many sessions at once,
thousands of forwards, forwards that come and go, handshakes that take their time, keys tried one
after the other. Visitors of a neighbour do not notice. (A key by itself: keys.t. Strangers:
flood.t.)
"""
import os
import re
import signal
import socket
import threading
import time

import paramiko

from lib import (alive, Asker, DEVICE_GONE, events, fds, fixture, keeper, live, monitor_of,
                 processes, Rig, run, tap, test, wait_for)
from lib.sshclients import look, Raw, string

GRACE = 4  # LoginGraceTime here
JITTER = 4  # sshd 9.8 and newer wait up to so much longer (sshd.c, grace_alarm)
SESSIONS, FORWARDS, CYCLES = 40, 3000, 200


def count(pid):
    with open(f"/proc/{pid}/status") as f:
        rss = int(re.search(r"^RssAnon:\s+(\d+)", f.read(), re.M)[1])
    return fds(pid), rss


@fixture
def rig():
    rig = Rig(rlyd=True, sshd_conf=f"LoginGraceTime {GRACE}")
    # the test's threads all come from one address: what it may have under way at once is not what
    # is tried here
    rig.expect(
        r"RLY46[01]|Failed publickey|RLY40\d|Timeout before authentication|maximum "
        r"authentication attempts|beginning MaxStartups|error: ", DEVICE_GONE)
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("crowded")


@fixture
def neighbour(rig):
    neighbour = rig.open(rig.device("good").url)
    rig.connect(neighbour)
    return neighbour


def beside_a_neighbour(function):
    """A test of both ways in, while visitors ask a neighbour."""
    def both(rig, device, neighbour):
        for way, port in (("handed over", rig.https_port), ("listening sshd", rig.ssh_port)):
            asker = Asker(rig, neighbour, lambda path, status, body: (status, body) ==
                          (200, b"good"))
            function(rig, device, way, port)
            asker.stop()
            tap.ok(asker.asked and not asker.wrong and asker.slowest < 2,
                   f"{way}, {both.__name__}: a neighbour's visitors do not notice",
                   f"{asker.wrong[:5]} of {asker.asked}, {asker.slowest:.2f} s")

    both.__name__ = function.__name__
    return both


@test
@beside_a_neighbour
def sessions(rig, device, way, port):
    """All at once with the same key: one ends up with the tunnel, and nothing is left of the
    others."""
    tunnel = rig.open(device.url)
    raws, lock = [], threading.Lock()

    def come():
        try:
            raw = Raw(f"{tunnel['bundle']}/id_relay", rig.address, port)
            raw.granted = raw.listen(*ip_port(tunnel))
            with lock:
                raws.append(raw)
        except (paramiko.SSHException, EOFError, OSError, TimeoutError):
            pass  # refused at the door, or ended by a newer one

    threads = [threading.Thread(target=come) for _ in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tap.ok(
        len(raws) >= 5,
        f"{way}: of {SESSIONS} logins at once with one key {len(raws)} come through")
    newest = rig.connect(tunnel, wait=False, args=("-o", f"Port={port}"))
    wait_for(
        lambda: newest.process.poll() is not None or
        (rig.listening(tunnel) and not any(r.alive() for r in raws)),
        f"{way}: the newest one has it", 10)
    # it met one that had just bound the address: as DIR/run, again
    if newest.process.poll() is not None:
        newest = rig.connect(tunnel, args=("-o", f"Port={port}"))
    wait_for(lambda: not any(r.alive() for r in raws), "the end of the older sessions", 10)
    monitor = monitor_of(rig, tunnel)
    tap.ok(monitor and newest.process.poll() is None, f"{way}: the newest session has the tunnel")
    tap.is_(rig.get(tunnel)[0], 200, f"{way}: and serves")
    sshd = [rig.servers["rlyd"].pid, rig.servers["sshd"].pid]
    kept = {p for address in live(rig).values() for p in processes(address["pid"])}
    wait_for(lambda: set(keeper.descendants(sshd)) <= kept, "no other process of sshd is left", 10)
    tap.ok(True, f"{way}: no process is left of the others")
    rig.rly("close", tunnel["id"])
    wait_for(lambda: not alive([monitor]), "its end", 2)


def ip_port(tunnel):
    ip, port = tunnel["routes"][0]["listen"].split(":")
    return ip, int(port)


def forward(raw, ip, port, name="tcpip-forward", reply=False):
    message = paramiko.Message()
    message.add_bytes(b"\x50" + string(name) + bytes([reply]) + string(ip) +
                      port.to_bytes(4, "big"))
    raw.transport._send_user_message(message)


@test
@beside_a_neighbour
def forwards(rig, device, way, port):
    """Thousands of requests in one session."""
    tunnel = rig.open(device.url)
    ip, number = ip_port(tunnel)
    raw = Raw(f"{tunnel['bundle']}/id_relay", rig.address, port)
    tap.ok(raw.listen(ip, number), f"{way}: a session listens")
    wait_for(lambda: monitor_of(rig, tunnel), "live:", 5)
    monitor = monitor_of(rig, tunnel)
    child = [p for p in processes(monitor) if p != monitor][0]
    before, rlyd_before = count(child), count(rig.servers["rlyd"].pid)
    for i in range(FORWARDS):
        forward(
            raw,
            *((ip, number) if i % 3 == 0 else (ip, 10000 + i) if i % 3 == 1 else
              (f"127.{i % 200}.{i % 256}.1", number)))
    raw.transport.global_response = None
    tap.ok(not raw.listen(ip, number),
           f"{way}: {FORWARDS} more forwards in one session: the address is taken, as ever")
    tap.is_(raw.alive(), True, f"{way}: sshd has answered them all")
    after = count(child)
    tap.ok(after[0] <= before[0] + 1 and after[1] < before[1] + 2000, f"{way}: and has not grown",
           f"{before} -> {after}")
    tap.is_(look(monitor)[0], {tunnel["routes"][0]["listen"]}, f"{way}: nothing more listens")
    for _ in range(CYCLES):
        forward(raw, ip, number, "cancel-tcpip-forward")
        forward(raw, ip, number)
    tap.ok(
        raw.cancel(ip, number) and raw.listen(ip, number),
        f"{way}: {CYCLES} times cancelled and listening again")
    wait_for(lambda: rig.listening(tunnel) and monitor_of(rig, tunnel) == monitor, "live: is right",
             5)
    said = len(events(rig, tunnel=tunnel))
    tap.ok(said < 100,
           f"{way}: of which the events, a list of limited length, do not tell each time", said)
    tap.note(f"{said} events")
    grown = count(rig.servers["rlyd"].pid)
    tap.ok(grown[0] <= rlyd_before[0] + 2 and grown[1] < rlyd_before[1] + 2000,
           f"{way}: rlyd has not grown", f"{rlyd_before} -> {grown}")
    tap.ok(raw.cancel(ip, number), f"{way}: cancelled")
    wait_for(lambda: not rig.listening(tunnel), "nothing listens", 2)
    tap.is_(
        rig.get(tunnel)[0], 503,
        f"{way}: a session that listens no more is a device that is not connected")
    pids = processes(monitor)
    rig.rly("close", tunnel["id"])
    wait_for(lambda: not alive(pids), "the session's end", 3)
    tap.ok(True, f"{way}: and the session is ended with its tunnel all the same")
    raw.close()


class Slow(threading.Thread):
    """A client that says a byte of its handshake now and then."""
    def __init__(self, rig, port):
        super().__init__(daemon=True)
        self.address, self.ended = (rig.address, port), None
        self.start()

    def run(self):
        began = time.monotonic()
        with socket.create_connection(self.address) as sock:
            sock.settimeout(0.2)
            try:
                sock.sendall(b"SSH-2.0-slow\r\n\0\0\5\xdc\4\x14")
                while time.monotonic() < began + 20:
                    try:
                        if not sock.recv(4096):
                            break
                    except TimeoutError:
                        sock.sendall(b"\0")
            except OSError:
                pass
        self.ended = time.monotonic() - began


@test
@beside_a_neighbour
def slow(rig, device, way, port):
    slow = [Slow(rig, port) for _ in range(15)]
    time.sleep(0.5)
    tunnel = rig.open(device.url)
    began = time.monotonic()
    rig.connect(tunnel, args=("-o", f"Port={port}"))
    tap.ok(time.monotonic() - began < 5,
           f"{way}: beside 15 slow handshakes from its own address a device gets in",
           time.monotonic() - began)
    for thread in slow:
        thread.join()
    ended = [t.ended for t in slow]
    tap.ok(
        max(ended) < GRACE + JITTER + 3,
        f"{way}: a handshake that takes its time is ended after LoginGraceTime, {GRACE} s, "
        "though it says something all the time", ended)
    rig.rly("close", tunnel["id"])


@test
@beside_a_neighbour
def tries(rig, device, way, port):
    """Keys tried one after the other on one connection, a good one last."""
    tunnel = rig.open(device.url)
    directory = f"{rig.dir}/keys-{port}"
    os.mkdir(directory)
    names = [f"{directory}/{i}" for i in range(6)]
    for name in names:
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name])
    transport = paramiko.Transport(socket.create_connection((rig.address, port), 10))
    transport.start_client(timeout=20)
    tries = 0
    for name in [*names, f"{tunnel['bundle']}/id_relay"]:
        try:
            transport.auth_publickey("relay", paramiko.Ed25519Key.from_private_key_file(name))
        except paramiko.AuthenticationException:
            tries += 1
        except (paramiko.SSHException, EOFError):
            break
    tap.ok(tries <= 3 and not transport.is_authenticated(),
           f"{way}: who tries keys is cut off after 3", tries)
    transport.close()
    rig.rly("close", tunnel["id"])


@test
def refused(rig, device, neighbour):
    """A device whose tunnel was closed goes on trying, and while Redis is away all are refused: who
    shares their address gets in afterwards (PerSourcePenalties). A handed over connection has no
    sshd that would remember it."""
    known = run(["/usr/sbin/sshd", "-T", "-f", f"{rig.dir}/etc/sshd_config"]).stdout
    if "persourcepenalties" not in known:
        tap.skip("refused logins lock nobody out", "this sshd has no PerSourcePenalties")
        return
    rig.expect("RLY111|RLY430|RLY204|AuthorizedKeysCommand .* failed, status")
    redis, port = rig.servers["redis"], ("-o", f"Port={rig.ssh_port}")
    for what in ("closed", "Redis is away"):
        tunnel, good = rig.open(device.url), rig.open(device.url)
        if what == "closed":
            rig.rly("close", tunnel["id"])
        else:
            redis.signal(signal.SIGSTOP)
        for _ in range(5):  # four would have been one too many
            said = run(["ssh", "-N", "-F", f"{tunnel['bundle']}/config", *port, "relay"],
                       check=False).stderr
        redis.signal(signal.SIGCONT)
        tap.like(said, r"Permission denied \(publickey\)", f"{what}: refused each time, as ever")
        session = rig.connect(good, args=port)
        tap.ok(rig.listening(good), f"{what}: a neighbour gets in at once")
        session.stop()


tap.run()
