# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Many devices reconnect at once after sshd was restarted: seconds until all routes answer."""
import http.client
import os
import re
import signal
import subprocess
import threading
import time

from device import nginx_device
from field import Field
from lib import RigError, keeper, listeners, wait_for
from measure import Result, interleaved, say
from sshdevices import SshDevices
from sshd import ROOM, Sshd, without

FILE = "stock sshd, static file"
HELPER, HANDED = "mod_relay, listening sshd", "mod_relay, handed off"
STOCK = "handed off, stock ssh here"


class Bundles:
    """A stock ssh for each tunnel. Each is started again when it has ended, as a bundle's runner
    does."""
    def __init__(self, _, tunnels, port):
        self.tunnels, self.port, self.running, self.ended = tunnels, port, {}, False
        self.starts = 0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._mind, daemon=True)
        for tunnel in tunnels:
            self._start(tunnel)
        self.thread.start()

    def _start(self, tunnel):
        self.starts += 1
        process = subprocess.Popen([
            "ssh", "-N", "-F", f"{tunnel['bundle']}/config", "-o", "ConnectTimeout=60", "-p",
            str(self.port), "relay"
        ],
                                   stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        self.running[process.pid] = (process, tunnel)

    def _mind(self):
        while not self.ended:
            with self.lock:
                gone = [
                    pid for pid, (process, _) in self.running.items() if process.poll() is not None
                ]
                for pid in gone:
                    if not self.ended:
                        self._start(self.running.pop(pid)[1])
            time.sleep(0.1)

    def tries(self):
        return self.starts

    def stop(self):
        self.ended = True
        self.thread.join()
        for process, _ in self.running.values():
            process.kill()
        for process, _ in self.running.values():
            process.wait()


def light_devices(field, tunnels, port):
    """Devices that take next to nothing of the server's cores."""
    devices = SshDevices(field, port, len(tunnels), again=True)
    devices.add(tunnels)
    return devices


def wait_all(tunnels, timeout):
    """Waits until sshd listens for all. @return the seconds"""
    wanted, began = {t["routes"][0]["listen"] for t in tunnels}, time.monotonic()
    while missing := wanted - listeners():
        if time.monotonic() - began > timeout:
            raise RigError(
                f"after {timeout} s {len(missing)} of {len(wanted)} tunnels are still down")
        time.sleep(0.05)
    return time.monotonic() - began


def drop_sessions(parents, listener):
    """Ends every session at once, and the listener with them, as when a machine goes down."""
    below = keeper.descendants(parents)
    if listener is not None:
        listener.process.kill()
        listener.process.wait()
    keeper.kill_all(below, signal.SIGKILL)
    wait_for(lambda: not keeper.kill_all(below, 0), "the sessions' end", 30, 0.005)


def fetch_all(field, tunnels):
    """Asks all routes through Apache, on one connection. @return how many do not answer"""
    rig, silent, connection = field.rig, 0, None
    for tunnel in tunnels:
        try:
            connection = connection or rig.connection(tunnels[0])
            connection.request("GET", "/", headers={"Host": rig.host(tunnel)})
            answer = connection.getresponse()
            answer.read()
            silent += answer.status != 200
        except (OSError, http.client.HTTPException):
            silent, connection = silent + 1, None
    return silent


class Way:
    """One way in: its listener (None where that is Apache), the parents of its sessions, and the
    path of its log."""
    def __init__(self, name, port, listener, parents, log):
        self.name, self.port, self.log = name, port, log
        self.listener, self.parents = listener, parents

    def refused(self):
        """Connections that were turned away for their number."""
        if not os.path.exists(self.log):
            return 0
        with open(self.log, errors="replace") as f:
            return len(re.findall(r"drop connection|MaxStartups throttling|RLY402", f.read()))


def ways(field, tunnels):
    rig = field.rig
    with open(f"{rig.dir}/etc/sshd_config") as f:
        config = f.read()
    base = without(config, r"AuthorizedKeys\w+")
    keys = field.grants("storm_authorized_keys", tunnels)
    command = "".join(re.findall(r"^AuthorizedKeys(?:Command|CommandUser|File) .*\n", config, re.M))
    file = Sshd(field, "storm-file", ROOM + base + f"AuthorizedKeysFile {keys}\n")
    helper = Sshd(field, "storm-helper", ROOM + base + command)
    found = [Way(s_name, s.port, s, None, s.log) for s_name, s in ((FILE, file), (HELPER, helper))]
    if field.has_rlyd:
        found.append(
            Way(HANDED, rig.https_port, None, [rig.servers["rlyd"].pid], f"{rig.dir}/log/rlyd.out"))
    return found


def storm(field, way, tunnels, kind):
    """@return (seconds until all are back, routes that do not answer then, connections made) of one
    storm"""
    devices = kind(field, tunnels, way.port)
    try:
        wait_all(tunnels, 300)
        before = devices.tries()
        drop_sessions(way.parents or [way.listener.pid], way.listener)
        began = time.monotonic()
        if way.listener:
            way.listener.start()
        wait_all(tunnels, 300)
        seconds = time.monotonic() - began
        return seconds, fetch_all(field, tunnels), devices.tries() - before
    finally:
        devices.stop()
        wait_for(lambda: not {t["routes"][0]["listen"]
                              for t in tunnels} & listeners(), "the devices' end", 60)


def run(options):
    count = options.pick(quick=40, normal=500, tiny=8)
    rounds = options.pick(quick=3, normal=5, tiny=1)
    result = Result("storm", f"{count} devices reconnect at once after sshd and all sessions ended",
                    (FILE, HELPER, HANDED, STOCK))
    field = Field(rig_options={
        "relay_conf": {"rlyd": {"max-startups": "1000:30:2000", "per-source-startups": 0}}
    })
    try:
        device = nginx_device(field)
        tunnels = field.open_many(device.url, count)
        sides = ways(field, tunnels)
        kinds = [(way.name, way, light_devices) for way in sides]
        if field.has_rlyd:
            kinds.append((STOCK, sides[-1], Bundles))
        for n, (name, way, kind) in interleaved(rounds, kinds):
            if kind is Bundles and n >= 2:
                continue
            say(f"storm: round {n + 1} of {rounds}, {name}")
            seconds, silent, starts = storm(field, way, tunnels, kind)
            result.add(name, "all tunnels up", "s", seconds)
            result.add(name, "routes that do not answer then", "routes", silent)
            result.add(name, "connections", "a device", starts / count)
        for way in sides[1:]:
            result.target_ratio(way.name, FILE, "all tunnels up", "<=", 1.15)
            result.target(f"{way.name}: connections refused for their number", "==", 0,
                          way.refused())
            result.target(f"{way.name}: routes that do not answer", "==", 0,
                          result.median(way.name, "routes that do not answer then"))
        if count == 500 and field.has_rlyd:
            result.target(f"{HANDED}: seconds until all are back", "<=", 15,
                          result.median(HANDED, "all tunnels up"))
        result.note(
            f"devices take next to no CPU (sshdevices.c); those of `{STOCK}' are stock ssh on "
            "the same cores")
        result.note(
            "all sides have room for all devices at once (MaxStartups); with sshd's default of "
            "10:30:100 most would be turned away")
    finally:
        field.close()
    return result
