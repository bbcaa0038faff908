# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rlyd as it is seen from outside: `live:`, events, its log, its socket, the processes of sessions.
"""
import array
import json
import os
import re
import signal
import socket

from . import keeper, sockdiag
from .basics import wait


def live(rig):
    """live:relay1 as {listen address: entry}."""
    words = rig.redis("--json", "HGETALL", "relay:live:relay1")
    return {address: json.loads(entry) for address, entry in json.loads(words).items()}


def events(rig, what=None, tunnel=None):
    """The events, oldest first, as dicts."""
    found = []
    for _, fields in json.loads(rig.redis("--json", "XRANGE", "relay:events", "-", "+")):
        event = dict(zip(fields[::2], fields[1::2])) if isinstance(fields, list) else fields
        if (what is None or event["what"] == what) and (tunnel is None or
                                                        event["tunnel"] == tunnel["id"]):
            found.append(event)
    return found


def log(rig, name="rlyd.out"):
    with open(f"{rig.dir}/log/{name}", errors="replace") as f:
        return f.read()


def ended(rig, tunnel):
    """The RLY410 lines of a tunnel: how its sessions ended."""
    return re.findall(rf"RLY410 tunnel {tunnel['id']}: session ended: (.*?);", log(rig))


def processes(monitor):
    """A session's processes: the monitor and its children."""
    return [monitor, *keeper.descendants([monitor])]


def alive(pids):
    table = keeper.process_table()
    return [pid for pid in pids if pid in table and table[pid][2] != "Z"]


def monitor_of(rig, tunnel):
    """The monitor's pid as live: has it, once the tunnel is there; None when it does not come."""
    address = tunnel["routes"][0]["listen"]
    if wait(lambda: live(rig).get(address, {}).get("tunnel") == tunnel["id"], 5) is None:
        return None
    return live(rig)[address]["pid"]


def holder(address):
    """The pid of the process that listens on an address; None if nobody does."""
    inode = next((inode for ip, port, inode in sockdiag.listening() if f"{ip}:{port}" == address),
                 None)
    if inode is None:
        return None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    return int(pid)
        except OSError:
            continue
    return None


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def rss_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


class Door:
    """A connection to rlyd's socket, as mod_relay or relay-authkeys makes it."""
    def __init__(self, rig):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(5)
        self.sock.connect(f"{rig.dir}/run/rlyd.sock")

    def send(self, text, *descriptors):
        data = text if isinstance(text, bytes) else text.encode()
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", descriptors))] if descriptors else []
        return self.sock.sendmsg([data], control)

    def answer(self):
        """The next packet; b"" when rlyd has closed."""
        try:
            return self.sock.recv(4096)
        except ConnectionResetError:
            return b""

    def close(self):
        self.sock.close()


def hand_over(rig, sock, way="direct", visitor=None):
    """Hands a connection to rlyd and forgets it. visitor: by TLS, the TCP connection that it came
    by."""
    door = Door(rig)
    door.send(f"relay1 handoff way={way}", sock.fileno(), *([visitor.fileno()] if visitor else []))
    door.close()
    sock.close()
    if visitor:
        visitor.close()


def kill(process):
    """SIGKILL to a process started in a session of its own, and to all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
