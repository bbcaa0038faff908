# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Idle tunnels: the memory of each, the CPU of all, and their effect on one that is in use.

The clients are one process (sshdevices.c), which is not counted. Memory is all that sshd and its
sessions make the kernel hold (a memory cgroup). Where there is no such cgroup it is their shares of
pages (PSS). OpenSSH 10 has no -r; there sshd-wrap/ lets sessions share their memory, handed off,
too.
"""
import os
import re
import resource
import signal
import subprocess
import sys
import time

import load
from device import nginx_device
from field import Field
from lib import RigError, keeper, listeners, wait_for
from machine import Cgroup, Merging, Setting, drop_caches, ksm_passes
from measure import Result, say
from sshd import ROOM, Sshd, merge_memory, set_nodelay, without
from sshdevices import SshDevices

MERGED, STOCK, HANDED = "listening -r, merging", "listening, re-exec", "handed off"
WRAPPED, HANDED_WRAPPED = "listening, merging", "handed off, merging"
AT_ONCE = 24
SLEEPING = "p99 beside sleeping processes, two in place of each idle tunnel"

SLEEP = """
import os, signal, sys
for _ in range(int(sys.argv[1])):
    if not os.fork():
        signal.pause()
print(flush=True)
signal.pause()
"""


class Sleepers:
    """Processes that do nothing. They show what so many tunnels' processes cost the machine even if
    they never run."""
    def __init__(self, count):
        self.parent = subprocess.Popen(
            [sys.executable, "-c", SLEEP, str(count)],
            stdout=subprocess.PIPE,
            start_new_session=True)
        self.parent.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.parent.pid, signal.SIGKILL)
        self.parent.wait()


def is_wrapped(text):
    return re.search(r"(?m)^SshdSessionPath ", text) is not None


class Way:
    """One way to hold tunnels: its processes in a memory cgroup of their own."""
    def __init__(self, field, name):
        self.name, self.field = name, field
        self.merges = name in (MERGED, WRAPPED, HANDED_WRAPPED)
        # Each has its own: rlyd stays in the one for what is handed off.
        self.cgroup = Cgroup("relay-bench-" + re.sub(r"\W+", "-", name))
        if name in (HANDED, HANDED_WRAPPED):
            self.port, self.pid, self.sshd = field.rig.https_port, field.rig.servers[
                "rlyd"].pid, None
            if self.cgroup.path:
                self.cgroup.enter(self.pid)
            return
        with open(f"{field.rig.dir}/etc/sshd_config") as f:
            config = without(f.read())
        self.sshd = Sshd(field, "scale", ROOM + config, ("-r", ) if name == MERGED else (),
                         self._prepare)
        self.port, self.pid = self.sshd.port, self.sshd.pid
        # rlyd does so for the listener of relay.conf's sshd-config.
        set_nodelay(self.pid, self.port)

    def _prepare(self):
        if self.cgroup.path:
            self.cgroup.enter()
        if self.merges:
            merge_memory()

    def memory(self, dropping=False):
        """MiB. dropping: without what the kernel keeps of /proc's files, which rlyd looks at."""
        if dropping:
            drop_caches()
        return self.cgroup.mebibytes() if self.cgroup.path else load.pss([self.pid])

    def end(self, orderly=True):
        if self.sshd:
            sessions = keeper.descendants([self.pid])
            self.sshd.stop()
            if not orderly:
                keeper.kill_all(sessions)
            wait_for(lambda: not keeper.kill_all(sessions, 0), "the sessions' end", 60, 0.2)
            self.cgroup.remove()


def tail(field, side, seconds):
    """@return the active tunnel's p99 in ms, over four connections"""
    return load.wrk(field.rig.address, side.tls, side.host, seconds, connections=4).p99


def settle(way, merging, seconds):
    """Waits until memory falls no more, so many seconds at most. Merging must come round a dozen
    times: with smart_scan ksmd skips pages for up to eight of them."""
    passes, last, began = ksm_passes(), way.memory(), time.monotonic()
    merging.pace(Merging.FASTEST)
    while time.monotonic() - began < seconds:
        time.sleep(3)
        memory = way.memory()
        if memory > last * 0.995 and (not way.merges or not merging.usable or
                                      ksm_passes() >= passes + 12):
            break
        last = memory


def idle_cpu(field, way, merging, seconds):
    """@return the per cent of a core, while nothing happens, of: sessions with their keepalives,
    ksmd, all other servers"""
    daemon = merging.daemon() if way.merges else None
    servers = {s.pid for s in field.rig.servers.values()} | ({way.pid} if way.sshd else set())
    groups = [set(keeper.descendants([way.pid])), {daemon} if daemon else set(), load.tree(servers)]
    groups[2] -= groups[0]
    before, began = [load.runtime(g) for g in groups], time.monotonic()
    time.sleep(seconds)
    return [(load.runtime(g) - b) / (time.monotonic() - began) * 100
            for g, b in zip(groups, before)]


def measure(field, result, name, counts, tunnels, target, options):
    """Measures one way, which is filled step by step."""
    rig, merging = field.rig, Merging()
    way = Way(field, name)
    rounds, seconds = options.pick(quick=(5, 1), normal=(7, 2), tiny=(1, 1))
    try:
        field_active = wait_for(lambda: rig.open(target.url), "a tunnel")
        active = field.connect(field_active, delay=way.port)
        side = field.mod_relay(field_active)
        tail(field, side, 1)
        alone = [tail(field, side, seconds) for _ in range(rounds)]
        for count in counts:
            say(f"scale: {name}, {2 * count} processes that sleep")
            with Sleepers(2 * count):
                # new processes cost more than old ones
                time.sleep(options.pick(quick=5, normal=20, tiny=1))
                for _ in range(rounds):
                    result.add(f"{name}, {count}", SLEEPING, "ms", tail(field, side, seconds))
        empty, clients, have = way.memory(True), SshDevices(field, way.port, AT_ONCE), 0
        before = 0
        for count in counts:
            say(f"scale: {name}, {count} tunnels")
            merging.pace(Merging.FAST)
            began = time.monotonic()
            clients.add(tunnels[have:count])
            have = clients.come_up()
            result.add(f"{name}, {count}", "logins", "1/s",
                       (count - before) / (time.monotonic() - began))
            if have != count:
                raise RigError(f"{name}: {have} of {count} idle tunnels came up; see {clients.log}")
            before = count
            settle(way, merging, options.pick(quick=30, normal=180, full=300))
            result.add(f"{name}, {count}", "memory of an idle tunnel", "MiB",
                       (way.memory(True) - empty) / count)
            merging.pace(Merging.SLOW)
            parts = idle_cpu(field, way, merging, options.pick(quick=10, normal=28, tiny=2))
            result.add(f"{name}, {count}", "CPU while idle", "% of a core", sum(parts))
            result.add(f"{name}, {count}", "of that: sshd's sessions and their keepalives",
                       "% of a core", parts[0])
            if way.merges:
                result.add(f"{name}, {count}", "of that: ksmd", "% of a core", parts[1])
            for _ in range(rounds):
                result.add(f"{name}, {count}", "p99 of an active tunnel", "ms",
                           tail(field, side, seconds))
        clients.stop()
        left = {t["routes"][0]["listen"] for t in tunnels[:have]}
        wait_for(lambda: not left & listeners(), "the idle tunnels' end", 180, 0.5)
        for p99 in alone + [tail(field, side, seconds) for _ in range(rounds)]:
            result.add(f"{name}, alone", "p99 of an active tunnel", "ms", p99)
        active.stop()
    except Exception:
        way.end(orderly=False)
        raise
    finally:
        merging.restore()
    way.end()
    return way.cgroup.usage if hasattr(way.cgroup, "usage") else None, merging.usable


def run(options):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counts = options.pick(quick=[200],
                          normal=[100, 1000, 4000],
                          full=[100, 1000, 4000, 16000],
                          tiny=[5])
    few = options.pick(quick=[100], normal=[100, 1000], tiny=[5])
    settings = [Setting("/proc/sys/kernel/pid_max", 4_000_000)] if counts[-1] > 5000 else []
    with open(f"{os.environ['RELAY_ROOT']}/etc/relay/sshd_config") as f:
        wrapped = is_wrapped(f.read())
    if wrapped:
        ways = {HANDED_WRAPPED: counts, WRAPPED: few, STOCK: few[:1]}
    else:
        ways = {MERGED: counts, STOCK: few, HANDED: [*few, 4000] if options.size == "full" else few}
    result = Result("scale", "idle tunnels, each with a key and an address of its own",
                    [f"{name}, {n}" for name in ways for n in ["alone"] + counts])
    field = Field(
        rig_options={
            "relay_conf": {
                "rlyd": {
                    "max-startups": "1000:30:2000", "per-source-startups": 0, "merge":
                    "on" if wrapped else "off"
                }
            }
        })
    try:
        device = nginx_device(field)
        say(f"scale: opening {counts[-1]} tunnels")
        tunnels = field.open_many(device.url, counts[-1])
        for name, steps in ways.items():
            usage, mergeable = measure(field, result, name, steps, tunnels, device, options)
        judge(result, ways, usage, mergeable)
    finally:
        field.close()
        for setting in settings:
            setting.restore()
    return result


def judge(result, ways, usage, mergeable):
    main, counts = next(iter(ways.items()))
    most = counts[-1]
    if mergeable:
        for count in counts[1:] or counts:
            result.target(f"MiB for each of {count} tunnels, {main}", "<=",
                          0.50 if main == HANDED_WRAPPED else 0.55,
                          result.median(f"{main}, {count}", "memory of an idle tunnel"))
    else:
        result.note("this kernel does not let us merge pages")
    idle = 4000 if 4000 in counts else most
    result.target(f"% of a core that {idle} idle tunnels take, ksmd included", "<", 2,
                  result.median(f"{main}, {idle}", "CPU while idle"))
    if counts[1:]:
        result.target(f"logins a second from {counts[-2]} to {most}", ">=", 50,
                      result.median(f"{main}, {most}", "logins"))
    for name, steps in ways.items():
        alone = result.median(f"{name}, alone", "p99 of an active tunnel")
        if alone and name != STOCK:
            result.target(f"{name}: p99 beside {steps[-1]} idle tunnels / alone", "<=", 1.1,
                          result.median(f"{name}, {steps[-1]}", "p99 of an active tunnel") / alone)
            result.target(
                f"{name}: the same / beside {2 * steps[-1]} sleeping processes", "<=", 1.1,
                result.median(f"{name}, {steps[-1]}", "p99 of an active tunnel") /
                result.median(f"{name}, {steps[-1]}", SLEEPING))
    memory = "PSS: kernel memory is not in it"
    if usage:
        memory = f"a cgroup of sshd and its sessions ({usage}, less what could be dropped at once)"
    result.note(f"memory: {memory}; the listener's own is not counted")
    paces = [
        f"{pages} pages each {ms} ms" for pages, ms in (Merging.FAST, Merging.FASTEST, Merging.SLOW)
    ]
    result.note(
        f"ksmd: {paces[0]} while tunnels come, {paces[1]} until memory falls no more, {paces[2]} "
        "while idle CPU and p99 are measured")
    result.note(
        "the published figure for this design was 7 MB a tunnel and a pegged machine at 1,100")
