#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""The newest of a tunnel's sessions that listens has the tunnel. A table of newcomers that do, and
of others that do not, while visitors come all the time; rlyd's end while a listener is parked; two
that evict each other.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from lib import (alive, ended, events, fixture, free_port, live, log, monitor_of, processes, Rig,
                 run, tap, test, wait, within)
from lib.sshclients import Raw

WINDOW = 1.5  # takeover.c, WAIT_MS; on loopback a round trip adds next to nothing
SLACK = 1.5  # a busy machine's


class Visitors:
    """Connect to a listen address, as mod_relay does, again and again; .gap() is the longest time
    without success."""
    def __init__(self, tunnel):
        ip, port = tunnel["routes"][0]["listen"].split(":")
        self.address, self.over = (ip, int(port)), False
        self.last = self.start = time.monotonic()
        self.longest = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over:
            try:
                with socket.create_connection(self.address, 5) as s:
                    s.settimeout(5)
                    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    if not s.recv(100).startswith(b"HTTP/1."):
                        raise OSError
            except OSError:
                time.sleep(0.01)
                continue
            now = time.monotonic()
            self.longest, self.last = max(self.longest, now - self.last), now
            time.sleep(0.01)

    def gap(self):
        self.over = True
        self.thread.join()
        return max(self.longest, time.monotonic() - self.last)


def plain(rig, tunnel, *args):
    """ssh by hand: the bundle's key, and none of its forwards."""
    b = tunnel["bundle"]
    return [
        "ssh", "-N", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "HostKeyAlias=relay1", "-o",
        f"UserKnownHostsFile={b}/known_hosts", "-o", "IdentitiesOnly=yes", "-i", f"{b}/id_relay",
        "-p",
        str(rig.https_port), *args, f"relay@{rig.address}"
    ]


def dropbear(rig, tunnel, *args):
    return [
        "dbclient", "-N", "-T", "-y", "-y", "-i", f"{tunnel['bundle']}/id_relay.dropbear", "-p",
        str(rig.https_port), *args, f"relay@{rig.address}"
    ]


def right(rig, tunnel, route=0):
    return f"{tunnel['routes'][route]['listen']}:127.0.0.1:{rig.devices[0].port}"


def wrong(rig, tunnel):
    return f"127.77.0.5:1:127.0.0.1:{rig.devices[0].port}"


EXIT = ("-o", "ExitOnForwardFailure=yes")
# name, the newcomer's command, whether it gets the tunnel, whether it stays
NEWCOMERS = [
    ("another address, and stays", lambda rig, t: plain(rig, t, "-R", wrong(rig, t)), False, True),
    ("every address, and stays",
     lambda rig, t: plain(rig, t, "-R", "*:" + right(rig, t).split(":", 1)[1]), False, True),
    ("another port of its own address, and stays",
     lambda rig, t: plain(rig, t, "-R",
                          right(rig, t).split(":")[0] + ":9:127.0.0.1:9"), False, True),
    ("no address, and stays",
     lambda rig, t: plain(rig, t, "-R", f"{right(rig, t).split(':', 1)[1]}"), False, True),
    ("nothing at all, and stays", plain, False, True),
    ("-L only, and stays",
     lambda rig, t: plain(rig, t, "-L", f"127.0.0.1:{free_port()}:127.0.0.1:22"), False, True),
    ("another address, and leaves", lambda rig, t: plain(rig, t, *EXIT, "-R", wrong(rig, t)), False,
     False),
    ("its address, with ExitOnForwardFailure",
     lambda rig, t: plain(rig, t, *EXIT, "-R", right(rig, t)), True, True),
    ("its address, without", lambda rig, t: plain(rig, t, "-R", right(rig, t)), True, True),
    ("its address and another one",
     lambda rig, t: plain(rig, t, "-R", wrong(rig, t), "-R", right(rig, t)), True, True),
    ("dropbear: another address, and stays", lambda rig, t: dropbear(rig, t, "-R", wrong(rig, t)),
     False, True),
    ("dropbear: its address", lambda rig, t: dropbear(rig, t, "-R", right(rig, t)), True, True),
]


def come(argv):
    process = subprocess.Popen(argv,
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE,
                               start_new_session=True)
    clients.append(process)
    return process


def serving(rig, device, **options):
    """(tunnel, the session that serves, the pids of its processes)"""
    tunnel = rig.open(device.url, **options)
    session = rig.connect(tunnel)
    return tunnel, session, processes(monitor_of(rig, tunnel))


def owner(rig, tunnel):
    return live(rig).get(tunnel["routes"][0]["listen"], {}).get("pid")


def goes_on(rig, name, tunnel, session, pids, visitors, most):
    gap = visitors.gap()
    tap.is_((alive(pids), session.process.poll(), owner(rig, tunnel)), (pids, None, pids[0]),
            f"{name}: the session that serves goes on")
    tap.between(gap, 0, most, f"{name}: and visitors waited for that time at most")
    tap.is_(rig.get(tunnel)[0], 200, f"{name}: and are served")
    return gap


def check_newcomer(rig, device, name, command, gets, stays):
    tunnel, session, pids = serving(rig, device)
    visitors = Visitors(tunnel)
    process = come(command(rig, tunnel))
    if gets:
        # The first attempt may come before rlyd: then the second, as a device makes it.
        def got():
            nonlocal process
            if process.poll() is not None:
                process = come(command(rig, tunnel))
            return owner(rig, tunnel) not in (None, pids[0])

        took = wait(got, 10, 0.05)
        # without ExitOnForwardFailure it was too early, and stayed
        if not within(4, took) and process.poll() is None:
            process.terminate()
            process.wait()
            took = wait(got, 10, 0.05)
        tap.ok(took is not None, f"{name}: it gets the tunnel")
        tap.ok(within(1.5, wait(lambda: not alive(pids), 5)), f"{name}: the older session is ended")
        tap.is_(ended(rig, tunnel)[-1:], ["superseded"], f"{name}: the log says how")
        time.sleep(WINDOW)
        tap.is_((rig.get(tunnel)[0], process.poll()), (200, None), f"{name}: it serves")
        tap.note(f"{name}: visitors waited {visitors.gap():.2f} s at most")
        return
    if stays:
        wait(lambda: re.search(rf"RLY460 tunnel {tunnel['id']}", log(rig)), WINDOW + 6)
        tap.is_(len(re.findall(rf"RLY460 tunnel {tunnel['id']}: a login from", log(rig))), 1,
                f"{name}: the log says that it does not listen")
        wait(lambda: events(rig, "idle", tunnel), 3)
        tap.is_([e["what"] for e in events(rig, "idle", tunnel)], ["idle"],
                f"{name}: an event, too")
    else:
        process.wait(20)
        time.sleep(0.3)
    gap = goes_on(rig, name, tunnel, session, pids, visitors, WINDOW + SLACK if stays else SLACK)
    tap.is_(process.poll() is None, stays,
            f"{name}: the newcomer {'may stay' if stays else 'left'}")
    tap.note(f"{name}: visitors waited {gap:.2f} s at most")


def check_frozen(rig, device, what, pid_of):
    """The older session's client, or its sshd, does nothing any more."""
    tunnel, session, pids = serving(rig, device)
    os.kill(pid_of(session, pids), signal.SIGSTOP)
    newcomer = rig.connect(tunnel, wait=False)

    def got():
        nonlocal newcomer
        if newcomer.process.poll() is not None:
            newcomer = rig.connect(tunnel, wait=False)
        return owner(rig, tunnel) not in (None, pids[0])

    tap.ok(
        wait(got, 10, 0.05) is not None,
        f"the older one's {what} is frozen: the newcomer has the tunnel")
    tap.ok(within(2, wait(lambda: not alive(pids), 5)),
           f"the older one's {what} is frozen: it is ended")
    tap.is_(rig.get(tunnel)[0], 200, f"the older one's {what} is frozen: visitors are served")
    os.kill(session.process.pid, signal.SIGCONT)


clients = []


@fixture
def rig():
    rig = Rig(rlyd=True)
    for line in ("RLY46[01]", "remote port forwarding failed", "Address already in use",
                 "cannot listen to port", "client_loop|packet_write|Broken pipe",
                 "Connection (reset|closed|timed out)", "Timeout, client not responding", "RLY1",
                 "AH0(1114|0957|0898)", "RLY4[34]"):
        rig.expect(line)
    yield rig
    rig.check_logs()
    for client in clients:
        if client.poll() is None:
            os.killpg(client.pid, signal.SIGKILL)
        client.wait()
    tap.is_(rig.stop(), [], "the rig ends cleanly")


@fixture
def device(rig):
    return rig.device(id="nas")


@test(thread="table")
def newcomers(rig, device):
    for rows in NEWCOMERS[:6], NEWCOMERS[6:]:
        tap.together(*[lambda row=row: check_newcomer(rig, device, *row) for row in rows])


@test(thread="frozen")
def frozen_client(rig, device):
    check_frozen(rig, device, "client", lambda session, pids: session.process.pid)


@test(thread="frozen")
def frozen_sshd(rig, device):
    check_frozen(rig, device, "sshd", lambda session, pids: pids[-1])


@test(thread="one")
def looping(rig, device):
    """A loop of logins that never listen costs visitors a bounded share of a minute."""
    tunnel, session, pids = serving(rig, device)
    visitors = Visitors(tunnel)
    processes_ = []
    for _ in range(6):
        processes_.append(come(plain(rig, tunnel, "-R", wrong(rig, tunnel))))
        time.sleep(1.2)
        processes_[-1].terminate()
    gap = goes_on(rig, "a loop", tunnel, session, pids, visitors, 3 * (WINDOW + SLACK))
    tap.note(f"a loop: visitors waited {gap:.2f} s at most")
    visitors = Visitors(tunnel)
    come(plain(rig, tunnel, "-R", wrong(rig, tunnel)))
    time.sleep(WINDOW)
    gap = visitors.gap()
    tap.between(gap, 0, 0.8, "a loop: after three for nothing the listeners are left alone")


@test(thread="two")
def hangs(rig, device):
    """It hangs before it asks; when it does it is too late. And once the other one is gone it is
    not."""
    tunnel, session, pids = serving(rig, device)
    visitors = Visitors(tunnel)
    raw = Raw(f"{tunnel['bundle']}/id_relay", rig.address, rig.https_port)
    wait(lambda: re.search(rf"RLY460 tunnel {tunnel['id']}", log(rig)), WINDOW + 6)
    ip, port = tunnel["routes"][0]["listen"].split(":")
    tap.ok(not raw.listen(ip, int(port)), "hangs: asks when its time is over, and is refused")
    goes_on(rig, "hangs", tunnel, session, pids, visitors, WINDOW + SLACK)
    session.stop()
    wait(lambda: not alive(pids), 5)
    tap.ok(raw.listen(ip, int(port)), "hangs: asks when the tunnel is free, and listens")
    tap.ok(
        wait(lambda: owner(rig, tunnel) not in (None, pids[0]), 8) is not None,
        "hangs: which rlyd sees")
    raw.close()


@test(thread="one")
def several(rig, device):
    """Three that do not listen at once, and then one that does."""
    tunnel, session, pids = serving(rig, device)
    visitors = Visitors(tunnel)
    for _ in range(3):
        come(plain(rig, tunnel, "-R", wrong(rig, tunnel)))
    wait(lambda: re.search(rf"RLY460 tunnel {tunnel['id']}", log(rig)), 10)
    goes_on(rig, "several", tunnel, session, pids, visitors, 2 * WINDOW + SLACK)
    tap.ok(
        wait(lambda: ended(rig, tunnel).count("superseded") >= 2, 5) is not None,
        "several: of those that do not listen one is left")
    newcomer = rig.connect(tunnel, wait=False)

    def got():
        nonlocal newcomer
        if newcomer.process.poll() is not None:
            newcomer = rig.connect(tunnel, wait=False)
        return owner(rig, tunnel) not in (None, pids[0])

    tap.ok(wait(got, 10, 0.05) is not None, "several: the one that listens has the tunnel")
    tap.ok(within(2, wait(lambda: not alive(pids), 5)), "several: and the older one is ended")


@test(thread="two")
def routes(rig, device):
    """A tunnel of three routes: all of them come back."""
    tunnel = rig.open(device.url, device.url, device.url)
    rig.connect(tunnel)
    pids = processes(monitor_of(rig, tunnel))
    visitors = Visitors(tunnel)
    come(plain(rig, tunnel, "-R", wrong(rig, tunnel)))
    wait(lambda: re.search(rf"RLY460 tunnel {tunnel['id']}", log(rig)), 10)
    visitors.gap()
    tap.is_([rig.get(route["name"])[0] for route in tunnel["routes"]], [200] * 3,
            "three routes: all serve again")
    tap.is_(alive(pids), pids, "three routes: by the same session")


@test(thread="two")
def connections(rig, device):
    """Connections through the older session stay open while its listener is parked."""
    tunnel, _, _ = serving(rig, device)
    ip, port = tunnel["routes"][0]["listen"].split(":")
    with socket.create_connection((ip, int(port)), 5) as s:
        s.settimeout(5)
        for turn in range(2):
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            tap.ok(
                s.recv(65536).startswith(b"HTTP/1.1 200"),
                f"an open connection, {('before', 'while parked')[turn]}: an answer")
            if turn == 0:
                come(plain(rig, tunnel))
                tap.ok(
                    wait(lambda: not rig.listening(tunnel), 10) is not None,
                    "the listener is parked")


@test(thread="contest")
def contest(rig, device):
    """Two runners of one bundle; both logs say so."""
    tunnel = rig.open(device.url)
    copies = [f"{tunnel['bundle']}-{n}" for n in range(2)]
    for copy in copies:
        shutil.copytree(tunnel["bundle"], copy)
        with open(f"{copy}/log", "wb") as out:
            runners = subprocess.Popen([f"{copy}/run"],
                                       stdin=subprocess.DEVNULL,
                                       stdout=out,
                                       stderr=out,
                                       start_new_session=True,
                                       env=dict(os.environ,
                                                CURL_CA_BUNDLE=rig.ca,
                                                RELAY_PATIENCE="60"))
        clients.append(runners)
        wait(lambda: rig.listening(tunnel), 10)

    def said():
        for copy in copies:
            with open(f"{copy}/log") as f:
                if re.search("(?m)^relay-tunnel .*: another copy of this folder has the tunnel",
                             f.read()):
                    return copy
        return None

    tap.ok(
        wait(lambda: re.search(rf"RLY461 tunnel {tunnel['id']}: 3 times within a minute", log(rig)),
             30) is not None, "two runners of one bundle: the log says so")
    tap.ok(
        wait(lambda: events(rig, "contested", tunnel), 5) is not None,
        "two runners of one bundle: an event, too")
    took = wait(said, 30, 0.1)
    tap.ok(took is not None, "two runners of one bundle: one of them says so",
           [open(f"{copy}/log").read() for copy in copies])
    tap.like(
        open(f"{said() or copies[0]}/log").read(), r"the next try is in (1[5-9]\d|2\d\d|300) s$",
        "two runners of one bundle: and waits for minutes")
    tap.is_(len(re.findall(rf"RLY461 tunnel {tunnel['id']}", log(rig))), 1,
            "two runners of one bundle: the relay's log says it once")
    tap.is_(rig.get(tunnel)[0], 200, "two runners of one bundle: the other one serves")


@test
def rlyd_ends(rig, device):
    """rlyd stops, or is killed, while a listener is parked."""
    rlyd = rig.servers["rlyd"]
    for how in ("stopped", "killed"):
        tunnel, session, pids = serving(rig, device)
        come(plain(rig, tunnel))
        tap.ok(
            wait(lambda: not rig.listening(tunnel), 10, 0.002) is not None,
            f"rlyd is {how}: the listener is parked")
        if how == "stopped":
            rlyd.stop()
            tap.ok(rig.listening(tunnel), "rlyd is stopped: it gave the listener back")
            rlyd.start()
        else:
            rlyd.kill()
            tap.ok(not rig.listening(tunnel), "rlyd is killed: the listener is still parked")
            rlyd.start()
            tap.ok(within(1, wait(lambda: rig.listening(tunnel), 5)),
                   "rlyd is killed: the next one gives it back")
        tap.ok(
            wait(lambda: owner(rig, tunnel) == pids[0], 5) is not None,
            f"rlyd is {how}: live: has it")
        tap.is_((alive(pids), session.process.poll(), rig.get(tunnel)[0]), (pids, None, 200),
                f"rlyd is {how}: the session serves")


@test
def newcomer_without_rlyd(rig, device):
    """rlyd is killed while a listener is parked, and the newcomer listens before the next one
    starts."""
    tunnel, session, pids = serving(rig, device)
    control = f"{rig.dir}/run/newcomer"
    come(plain(rig, tunnel, "-M", "-S", control))
    tap.ok(wait(lambda: not rig.listening(tunnel), 10, 0.002), "the older one's listener is parked")
    rig.servers["rlyd"].kill()
    forward = ["ssh", "-F", "none", "-S", control, "-O", "forward", "-R", right(rig, tunnel)]
    tap.is_(run([*forward, "relay"], check=False).returncode, 0, "the newcomer asks, and is let")
    tap.is_((rig.listening(tunnel), alive(pids)), (True, pids), "it listens, and both are there")
    rig.servers["rlyd"].start()
    tap.ok(within(3, wait(lambda: not alive(pids) and session.process.poll() is not None, 20)),
           "the next rlyd ends the older one at its start")
    tap.ok(wait(lambda: owner(rig, tunnel), 5), "live: has the newcomer")
    tap.is_(rig.get(tunnel)[0], 200, "which serves")
    tap.is_(len(re.findall("RLY467 process", log(rig))), 1, "the log says so")


tap.run()
