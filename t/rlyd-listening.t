#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""TCP options of the listening sshd and of every session; and 500 logins that leave nothing behind.
"""
import ctypes
import os
import signal
import socket
import subprocess
import time

from lib import (alive, fds, fixture, live, log, monitor_of, processes, Rig, rss_kb, tap, test,
                 wait, within)

PIDFD_GETFD = 438
TCP_USER_TIMEOUT = 18
libc = ctypes.CDLL(None, use_errno=True)
LOGINS = int(os.environ.get("RELAY_TEST_LOGINS", "500"))


def sockets_of(pid):
    """Copies of the TCP sockets of a process."""
    found = []
    pidfd = os.pidfd_open(pid)
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            copy = libc.syscall(PIDFD_GETFD, pidfd, int(fd), 0)
            if copy < 0:
                continue
            try:
                s = socket.socket(fileno=copy)
            except OSError:
                os.close(copy)
                continue
            if s.family in (socket.AF_INET, socket.AF_INET6):
                found.append(s)
            else:
                s.close()
    finally:
        os.close(pidfd)
    return found


def listener_has_nodelay(rig):
    found = [
        s for s in sockets_of(rig.servers["sshd"].pid)
        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ]
    on = [bool(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) for s in found]
    for s in found:
        s.close()
    return bool(on) and all(on)


def options(pid):
    """Returns the options of a monitor's one connection, which it may have more than once."""
    s, *copies = sockets_of(pid)
    for copy in copies:
        copy.close()
    with s:
        return (bool(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
                bool(s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
                0 < s.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT) <= 40000)


@fixture
def rig():
    rig = Rig(rlyd=True)
    rig.expect("Received SIGHUP|Connection (closed|reset)|Bye Bye")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


@test
def listener(rig, device):
    took = wait(lambda: listener_has_nodelay(rig), 5)
    tap.ok(within(1.0, took), "the listening sshd's socket has TCP_NODELAY", took)
    for what in ("restart", "reload"):
        if what == "restart":
            rig.servers["sshd"].restart()
        else:
            inode = sorted(
                os.readlink(f"/proc/{rig.servers['sshd'].pid}/fd/{n}") for n in (3, 4)
                if os.path.exists(f"/proc/{rig.servers['sshd'].pid}/fd/{n}"))
            rig.servers["sshd"].signal(signal.SIGHUP)
            wait(
                lambda: sorted(
                    os.readlink(f"/proc/{rig.servers['sshd'].pid}/fd/{n}") for n in (3, 4)
                    if os.path.exists(f"/proc/{rig.servers['sshd'].pid}/fd/{n}")) != inode, 5, 0.05)
            wait(lambda: rig._banner().startswith(b"SSH-"), 5, 0.05)
        took = wait(lambda: listener_has_nodelay(rig), 5)
        tap.ok(within(1.0, took), f"after sshd's {what} it has it again", took)
    for way, args in (("listening", ("-o", f"Port={rig.ssh_port}")), ("direct", ())):
        tunnel = rig.open(device.url)
        session = rig.connect(tunnel, args=args)
        pids = processes(monitor_of(rig, tunnel))
        tap.is_(
            live(rig)[tunnel["routes"][0]["listen"]]["way"], way, f"{way}: live: has the way in")
        tap.is_(options(pids[0]), (True, True, True),
                f"{way}: TCP_NODELAY, keepalive and a user timeout")
        rig.rly("close", tunnel["id"])
        tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), f"{way}: and a close ends it")
        session.stop()


@test
def late(rig, device):
    """A connection that sshd accepted before rlyd could set anything gets its options at the login.
    """
    rig.servers["rlyd"].stop()
    rig.servers["sshd"].restart()
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel, args=("-o", f"Port={rig.ssh_port}"))
    rig.servers["rlyd"].start()
    monitor = monitor_of(rig, tunnel)
    tap.is_(options(monitor), (True, True, True),
            "a session that began without rlyd gets the options when it is found")
    rig.rly("close", tunnel["id"])
    wait(lambda: session.process.poll() is not None, 5)


@test
def alone(rig, device):
    """The listening sshd is killed and started again: its sessions go on, and are still owned."""
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel, args=("-o", f"Port={rig.ssh_port}"))
    pids = processes(monitor_of(rig, tunnel))
    rig.servers["sshd"].kill()
    rig.servers["sshd"].start()
    tap.is_((alive(pids), session.process.poll()), (pids, None),
            "the listening sshd is killed: its sessions go on")
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), "and end when they are closed")


@test
def leak(rig, device):
    tunnels = [rig.open(device.url) for _ in range(10)]
    pid = rig.servers["rlyd"].pid

    def logins(n):
        """n logins, ten at a time, over both ways in."""
        for i in range(0, n, 10):
            args = ("-o", f"Port={rig.ssh_port}") if i % 20 else ()
            running = [
                subprocess.Popen(["ssh", "-N", "-F", f"{t['bundle']}/config", *args, "relay"],
                                 stdin=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL) for t in tunnels
            ]
            up = wait(lambda: all(rig.listening(t) for t in tunnels), 20, 0.02)
            for p in running:
                p.kill()
                p.wait()
            if up is None or wait(lambda: not any(rig.listening(t)
                                                  for t in tunnels), 20, 0.02) is None:
                return i
        return n

    tap.is_(logins(60), 60, "60 logins to warm up")
    wait(lambda: not live(rig), 5)
    time.sleep(1)
    before, lines = (fds(pid), rss_kb(pid)), log(rig).count("RLY410")
    tap.is_(logins(LOGINS), LOGINS, f"{LOGINS} logins")
    tap.ok(wait(lambda: not live(rig), 5), "live: is empty afterwards")
    time.sleep(1)
    after = fds(pid), rss_kb(pid)
    tap.is_(after[0], before[0], "rlyd has as many descriptors as before")
    if before[1] > 15000:
        tap.skip("and as much memory", "built with a sanitizer, which keeps what was freed")
    else:
        tap.ok(after[1] <= before[1] + 1024, "and as much memory",
               f"{before[1]} kB, then {after[1]} kB")
    tap.note(f"{before[0]} descriptors, {before[1]} kB before; {after[1]} kB after")
    tap.is_(
        sum(
            open(f"/proc/{p}/stat").read().split()[3] == str(pid) for p in os.listdir("/proc")
            if p.isdigit() and os.path.exists(f"/proc/{p}/stat")), 0,
        "and no child, not even a dead one")
    tap.is_(log(rig).count("RLY410") - lines, LOGINS, "the log has one line for each session")


tap.run()
