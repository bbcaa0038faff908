#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""Newest owner wins: a device that comes back gets its tunnel. Somebody with only the public key
gets nothing and ends nothing.
"""
import base64
import ctypes
import os
import re
import signal
import subprocess
import time

import paramiko

from lib import (alive, ended, fixture, keeper, kill, live, log, monitor_of, Namespace, processes,
                 Rig, run, tap, test, wait, within)

CLONE_NEWNET = 0x40000000
handler_table = paramiko.auth_handler.AuthHandler._client_handler_table
LINES = [
    "Timeout, client not responding", "Connection (reset|closed|timed out)",
    "client_loop|packet_write_poll|Broken pipe", "Address already in use", "cannot listen to port",
    "RLY461"
]


def ssh(tunnel, *args):
    return ["ssh", "-N", "-F", f"{tunnel['bundle']}/config", *args, "relay"]


def retry_loop(tunnel):
    """A device without our runner tries on like that."""
    return ["/bin/sh", "-c", 'while :; do "$@"; sleep 1; done', "sh", *ssh(tunnel)]


def owner(rig, tunnel):
    return live(rig).get(tunnel["routes"][0]["listen"], {}).get("pid")


def attempt(rig, tunnel, args, old):
    """One ssh: (session, what came of it); what came of it is None when the tunnel has another
    owner than old by then."""
    start = time.monotonic()
    session = rig.connect(tunnel, wait=False, args=args)
    took = wait(lambda: session.process.poll() is not None or owner(rig, tunnel) not in (None, old),
                10)
    status = session.process.poll()
    if took is not None and status is None:
        return session, None
    return session, (f"attempt from {start:.3f} to {time.monotonic():.3f}: ssh's exit status "
                     f"{status}, owner {owner(rig, tunnel)} (was {old}); ssh said: "
                     f"{session.output().strip() or 'nothing'}")


def takeover(rig, tunnel, args, old, most):
    """A plain retry loop of at most so many attempts: (session, one text for each that failed). The
    promise is one failure."""
    failed = []
    while True:
        session, what = attempt(rig, tunnel, args, old)
        if what is None:
            return session, failed
        failed.append(what)
        if len(failed) == max(most, 5) or session.process.poll() is None:
            return None, failed
        time.sleep(0.3)


def history(rig, tunnel, lines=40):
    """Returns rlyd's last words about a tunnel."""
    return "rlyd's log:\n" + "\n".join(
        [line for line in log(rig).split("\n") if tunnel["id"] in line][-lines:])


def twenty_times(rig, tunnel, how, args, session, pids, most=2):
    """The newest session and the pids of its processes; session None: it came to nothing. Each may
    take `most` attempts."""
    attempts, slowest = [], 0
    for _ in range(20):
        old, old_pids = session, pids
        start = time.monotonic()
        session, failed = takeover(rig, tunnel, args, old_pids[0], most)
        slowest = max(slowest, time.monotonic() - start)
        attempts.append(len(failed) + 1)
        monitor = owner(rig, tunnel)
        there = None
        if session is not None and monitor is not None:
            pids = processes(monitor)
            there = wait(lambda: not alive(old_pids) and old.process.poll() is not None, 3)
        if len(failed) >= most or there is None:
            tap.diag("\n".join([
                f"{how}: takeover {len(attempts)} at {time.monotonic():.3f}", *failed,
                f"of the older one's processes {old_pids} there are {alive(old_pids)}, its ssh's "
                "exit status is "
                f"{old.process.poll()}; the newer one's owner is {monitor}; live: {live(rig)}",
                history(rig, tunnel)
            ]))
        if there is None:
            session = None
            break
    tap.ok(session,
           f"{how}: twenty times a newer session gets the tunnel, and the older one is ended",
           attempts)
    tap.ok(max(attempts) <= most, f"{how}: at attempt {most} at the latest", attempts)
    tap.ok(slowest <= 1.5 * most, f"{how}: each of the takeovers took at most {1.5 * most:g} s",
           f"{slowest:.2f}")
    tap.note(f"{how}: {attempts.count(1)} of 20 at the first attempt, slowest {slowest:.2f} s")
    return session, pids


def check_takeover(rig, device, how, args, most=2):
    """The old session is alive; twenty times a newer one comes."""
    tunnel = rig.open(device.url)
    first = rig.connect(tunnel, args=args)
    session, pids = twenty_times(rig, tunnel, how, args, first, processes(monitor_of(rig, tunnel)),
                                 most)
    if session is None:
        rig.rly("close", tunnel["id"])
        return
    time.sleep(1.2)
    tap.is_((owner(rig, tunnel), alive(pids), session.process.poll()), (pids[0], pids, None),
            f"{how}: late clean-up of the older ones touches nothing of the newest")
    tap.is_(
        set(ended(rig, tunnel)) - {"disconnected"}, {"superseded"},
        f"{how}: the log says how they ended")
    tap.is_(rig.get(tunnel)[2].decode().strip(), "nas", f"{how}: the tunnel serves")
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), f"{how}: and closes")


def public_key(tunnel):
    with open(f"{tunnel['bundle']}/id_relay.pub") as f:
        return paramiko.Ed25519Key(data=base64.b64decode(f.read().split()[1]))


@fixture
def ns():
    ns = Namespace()
    yield ns
    ns.close()


@fixture
def rig(ns):
    rig = Rig(rlyd=True, address=ns.outside)
    for line in LINES:
        rig.expect(line)
    yield rig
    rig.ends_cleanly()


@fixture
def lonely(rig):
    """Another device's network."""
    lonely = Namespace()
    lonely.route_to(rig.address)
    yield lonely
    lonely.close()


@fixture
def device(rig):
    return rig.device(id="nas")


@fixture
def gate():
    gate = Gate()
    for line in LINES:
        gate.rig.expect(line)
    yield gate
    gate.rig.ends_cleanly("the rig whose rlyd slept")


@test(thread="near")
def handed_over(rig, device):
    check_takeover(rig, device, "handed over", ())


@test(thread="near")
def listening_sshd(rig, device):
    check_takeover(rig, device, "listening sshd", ("-o", f"Port={rig.ssh_port}"))


@test(thread="near")
def public_key_only(rig, device):
    """A client that offers the key, as often as it likes, but cannot sign with it."""
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    pids = processes(monitor_of(rig, tunnel))
    public = public_key(tunnel)
    offered = 0
    for _ in range(10):
        offered += offer(rig, public)
    tap.ok(offered >= 10, "sshd says of the public key that it would do", f"{offered} times")
    wait(lambda: log(rig).count("login not completed") >= 10, 5)
    tap.like(
        log(rig),
        rf"RLY411 tunnel {tunnel['id']}: login not completed: the client offered the key, which "
        r"is granted, and did not prove", "rlyd has seen the offers")
    other = rig.open(device.url)
    other_key = paramiko.Ed25519Key.from_private_key_file(f"{other['bundle']}/id_relay")
    for _ in range(5):  # offers the one, then proves another
        offer(rig, public, then=other_key)
    time.sleep(1)
    tap.is_((alive(pids), owner(rig, tunnel)), (pids, pids[0]),
            "the session of the key's owner goes on")
    rig.rly("close", tunnel["id"])
    rig.rly("close", other["id"])


class Gate:
    """A rig whose sshd, after relay-authkeys has done its work, waits until it is let through."""
    def __init__(self):
        self.rig = rig = Rig(
            rlyd=True,
            start=False,
            sshd_conf="LoginGraceTime 120",
            relay_conf={"rlyd": {"max-startups": "500:100:500", "per-source-startups": "0"}})
        self.fifo, script = f"{rig.dir}/run/gate", f"{rig.dir}/etc/gate"
        with open(script, "w") as f:
            # sshd reads until everybody has closed the pipe: the one in the background has it open
            # as long as nobody writes.
            f.write(f"#!/bin/sh\nif [ -p {self.fifo} ]; then ( : <{self.fifo} ) & fi\n"
                    f"exec {rig.program('relay-authkeys')} -c {rig.conf} \"$@\"\n")
        os.chmod(script, 0o755)
        rig.sshd_extra += f"\nAuthorizedKeysCommand {script} %u %f %t %k\n"
        rig.start()
        self.seen = set()

    def shut(self):
        os.mkfifo(self.fifo)
        os.chmod(self.fifo, 0o666)

    def waiting(self):
        """Waits until another relay-authkeys has reported and ended, and sshd stands before the
        gate."""
        def find():
            table = keeper.process_table()
            below = keeper.descendants([self.rig.servers["sshd"].pid])
            self.found = {
                pid
                for pid, (ppid, _, state) in table.items() if state == "Z" and ppid in below
            } - self.seen
            return self.found

        came = wait(find, 10)
        self.seen |= self.found
        return came is not None

    def let_through(self):
        def opened():
            try:
                os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:  # nobody is there yet
                return False
            return True

        return wait(opened, 10)


@test(thread="near")
def short_login(gate):
    """A login that succeeds and is over before rlyd comes to look: sshd could not listen, as the
    older session still did."""
    rig, args = gate.rig, ("-o", f"Port={gate.rig.ssh_port}")
    tunnel = rig.open("8080")
    rig.connect(tunnel, args=args)
    pids = processes(monitor_of(rig, tunnel))
    gate.shut()
    session = rig.connect(tunnel, wait=False, args=args)
    tap.ok(gate.waiting() and gate.let_through(), "short login: the key is offered")
    tap.ok(gate.waiting(), "short login: the key is about to be proved")
    rig.servers["rlyd"].signal(signal.SIGSTOP)
    gate.let_through()
    os.unlink(gate.fifo)
    wait(lambda: session.process.poll() is not None, 10)
    tap.like(session.output(), "remote port forwarding failed",
             "short login: the device is refused the address, and leaves")
    wait(lambda: len(keeper.descendants([rig.servers["sshd"].pid])) == len(pids), 5)
    tap.is_(alive(pids), pids, "short login: the older session is there, as rlyd could not end it")
    rig.servers["rlyd"].signal(signal.SIGCONT)
    time.sleep(1)
    tap.is_(alive(pids), pids, "short login: it listened nowhere, so the older session goes on")
    session, failed = attempt(rig, tunnel, args, pids[0])
    tap.is_(failed, None, "short login: the second attempt gets the tunnel")
    wait(lambda: len(ended(rig, tunnel)) > 1, 5)
    tap.is_(set(ended(rig, tunnel)), {"superseded", "disconnected"},
            "short login: the log has how both ended")
    rig.rly("close", tunnel["id"])


@test(thread="near")
def lost_report(gate):
    """A client offers a key that it cannot sign with and proves another while rlyd does not run:
    which it was nobody knows."""
    rig = gate.rig
    args = ("-o", f"Port={rig.ssh_port}")
    tunnel, other = rig.open("8080"), rig.open("8080")
    rig.connect(tunnel, args=args)
    pids = processes(monitor_of(rig, tunnel))
    public, other_key = public_key(tunnel), paramiko.Ed25519Key.from_private_key_file(
        f"{other['bundle']}/id_relay")
    for stays, what in ((True, "is there"), (False, "is gone")):
        before = log(rig).count("RLY413")
        tap.is_(offer(rig, public, other_key, asleep=True, stays=stays), 1,
                f"lost report: the client {what} when rlyd runs again")
        wait(lambda: log(rig).count("RLY413") > before, 5)
        tap.is_(
            log(rig).count(f"RLY413 tunnel {tunnel['id']}") - before, 1,
            "lost report: rlyd knows that it does not know")
        tap.is_((alive(pids), owner(rig, tunnel)), (pids, pids[0]),
                "lost report: the session of the key's owner goes on")
    rig.rly("close", tunnel["id"])


@test(thread="near")
def crowd(gate):
    """The same in a crowd of 150 who have offered a key, and wait; and an honest device comes into
    it."""
    rig = gate.rig
    args = ("-o", f"Port={rig.ssh_port}")
    tunnel, other, honest = rig.open("8080"), rig.open("8080"), rig.open("8080")
    rig.connect(tunnel, args=args)
    pids = processes(monitor_of(rig, tunnel))
    public, other_key = public_key(tunnel), paramiko.Ed25519Key.from_private_key_file(
        f"{other['bundle']}/id_relay")
    before, crowd, offered = log(rig).count(f"RLY413 tunnel {tunnel['id']}"), [], []
    offer(rig,
          public,
          other_key,
          asleep=True,
          stays=True,
          between=lambda: offered.extend(offer(rig, public, keep=crowd) for _ in range(150)))
    tap.is_(sum(offered), 150, "crowd: 150 logins of those who offered a key are under way")
    wait(lambda: log(rig).count(f"RLY413 tunnel {tunnel['id']}") > before, 5)
    tap.is_(
        log(rig).count(f"RLY413 tunnel {tunnel['id']}") - before, 1,
        "crowd: of the one before them rlyd knows that it does not know")
    tap.is_((alive(pids), owner(rig, tunnel)), (pids, pids[0]),
            "crowd: the session of the key's owner goes on")
    start = time.monotonic()
    rig.connect(honest)
    tap.ok(monitor_of(rig, honest), "crowd: an honest device gets its tunnel",
           f"{time.monotonic() - start:.1f} s")
    tap.unlike(log(rig), rf"RLY413 tunnel {honest['id']}", "crowd: and its report counts")
    for transport in crowd:
        transport.close()
    for t in (tunnel, other, honest):
        rig.rly("close", t["id"])


def offer(rig, public, then=None, asleep=False, stays=False, between=None, keep=None):
    """Asks sshd whether that public key would do; 1 if it said yes. then: a key to log in with.
    asleep: rlyd does not run meanwhile; stays: the client does until rlyd has run for a while.
    between: what happens before that; keep: a list of connections that stay, to which this one is
    added."""
    rlyd = rig.servers["rlyd"]
    from paramiko import Message
    from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
    transport = paramiko.Transport((rig.address, rig.https_port))
    seen = []
    try:
        transport.start_client(timeout=10)
        handler = paramiko.auth_handler.AuthHandler
        auth = transport.auth_handler = handler(transport)
        # of functions, and from paramiko 3.0 on a property, of methods
        table = handler._client_handler_table
        table = dict(table.fget(auth) if isinstance(table, property) else table)
        table[60] = lambda *args: seen.append(60)  # USERAUTH_PK_OK
        table[51] = lambda *args: seen.append(51)  # USERAUTH_FAILURE
        type(auth)._client_handler_table = table
        request = Message()
        request.add_byte(cMSG_SERVICE_REQUEST)
        request.add_string("ssh-userauth")
        auth._parse_service_accept = lambda m: seen.append(6)
        table[6] = lambda *args: seen.append(6)
        transport._send_message(request)
        wait(lambda: 6 in seen, 5)
        query = Message()
        query.add_byte(cMSG_USERAUTH_REQUEST)
        query.add_string("relay")
        query.add_string("ssh-connection")
        query.add_string("publickey")
        query.add_boolean(False)
        query.add_string("ssh-ed25519")
        query.add_string(public.asbytes())
        transport._send_message(query)
        wait(lambda: 60 in seen or 51 in seen, 5)
        if between:
            between()
        if asleep:
            rlyd.signal(signal.SIGSTOP)
        if then is not None:
            type(auth)._client_handler_table = handler_table
            try:
                transport.auth_publickey("relay", then)
            except paramiko.SSHException:
                pass
        if asleep and not stays:
            transport.close()
            wait(lambda: not keeper.descendants([rlyd.pid]), 5)
        elif asleep:
            rlyd.signal(signal.SIGCONT)
            time.sleep(1)
    finally:
        rlyd.signal(signal.SIGCONT)
        paramiko.auth_handler.AuthHandler._client_handler_table = handler_table
        if keep is None:
            transport.close()
        else:
            keep.append(transport)
    return int(60 in seen)


@test(thread="far", gives="cut_off")
def cut(rig, device, ns):
    """The line is cut and comes back with another address; the old session still looks alive."""
    tunnel = rig.open(device.url)
    client = ns.popen(ssh(tunnel), stderr=subprocess.DEVNULL)
    pids = processes(monitor_of(rig, tunnel) or 0)
    tap.is_(len(pids), 2, "a device in a network of its own is connected")
    with open(f"{rig.dir}/log/sshd-i.log") as f:
        text = f.read()
    tap.like(text, rf"Connection from {re.escape(ns.inside)} port",
             "sshd's log has its real address")
    tap.ok(
        live(rig)[tunnel["routes"][0]["listen"]]["peer"].startswith(ns.inside + ":"),
        "live: has it, too")
    time.sleep(1)
    ns.cut()
    kill(client)
    time.sleep(3)
    ns.move()
    tap.is_(alive(pids), pids, "after a cut of 3 s the old session still looks alive")
    start = time.monotonic()
    client = ns.popen(retry_loop(tunnel), stderr=subprocess.DEVNULL)
    took = wait(lambda: owner(rig, tunnel) not in (None, pids[0]), 10)
    tap.ok(within(3.0, took), "the device has its tunnel back within 3 s of a plain retry loop",
           took)
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), "the old session is gone")
    tap.note(f"back after {time.monotonic() - start:.2f} s")
    return tunnel, client


@test(thread="far")
def silent(rig, ns, cut_off):
    """The same, but the line was away for longer than a living peer can be silent."""
    tunnel, client = cut_off
    wait(lambda: owner(rig, tunnel) is not None, 5)
    pids = processes(owner(rig, tunnel))
    ns.cut()
    kill(client)
    begin = time.monotonic()
    time.sleep(29.5)
    ns.move(4)
    if len(alive(pids)) < 2:
        tap.note("the kernel was quicker")
    client = ns.popen(ssh(tunnel), stderr=subprocess.DEVNULL)
    took = wait(lambda: owner(rig, tunnel) not in (None, pids[0]) or client.poll() is not None, 10)
    tap.ok(took is not None and client.poll() is None,
           "after 29 s of silence the first attempt gets the tunnel", f"{took} {client.poll()}")
    tap.ok(within(60, wait(lambda: not alive(pids), 60 - (time.monotonic() - begin))),
           "the old session is gone")
    tap.like(" ".join(ended(rig, tunnel)), r"silent|disconnected",
             "and not by the newcomer's proof")
    kill(client)


@test(thread="lonely")
def half_open(rig, device, lonely):
    """The device does not come back: a half-open session ends by itself."""
    tunnel = rig.open(device.url)
    client = lonely.popen(ssh(tunnel), stderr=subprocess.DEVNULL)
    pids = processes(monitor_of(rig, tunnel) or 0)
    tap.is_(len(pids), 2, "another device in a network of its own is connected")
    time.sleep(1)
    lonely.cut()
    kill(client)
    took = wait(lambda: not alive(pids), 70)
    tap.ok(within(60, took), "a half-open session ends by itself within 60 s", took)
    tap.note(f"after {took:.1f} s" if took else "never")
    tap.ok(within(1.0, wait(lambda: tunnel["routes"][0]["listen"] not in live(rig), 3)),
           "and live: is right")


@test(needs=["rig"], thread="polling")
def polling():
    """In a network namespace of its own, as in a container, the kernel does not tell rlyd which
    processes begin and authenticate. Nothing promises then that a login is noticed that is over in
    milliseconds; who tries on gets in. (On a busy machine five in a row went unnoticed once.)"""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):  # this thread, and what it starts
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    run(["ip", "link", "set", "lo", "up"])
    rig = Rig(rlyd=True)
    for line in LINES:
        rig.expect(line)
    tap.like(log(rig), "RLY443", "polling: rlyd's log says that it has no proc connector")
    check_takeover(rig, rig.device(id="nas"), "polling", ("-o", f"Port={rig.ssh_port}"), 15)
    tap.is_(rig.stop(), [], "the rig in a namespace of its own ends cleanly")


tap.run()
