# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the tests of rlyd, and many others, have in common: its socket, the processes of sessions,
devices in network namespaces."""
import array
import concurrent.futures
import ctypes
import json
import os
import random
import re
import signal
import socket
import subprocess
import time

from . import keeper, sockdiag
from .basics import run


def wait(condition, timeout=10.0, every=0.005):
    """Seconds until condition() became true; None when it did not. They end where the look began
    that found it true: on a busy machine a look, with redis-cli for instance, takes longer than
    what it looks for."""
    start = time.monotonic()
    while True:
        looked = time.monotonic()
        if condition():
            return max(looked - start, 1e-6)
        if looked - start > timeout:
            return None
        time.sleep(every)


def within(limit, took):
    """For checks of what wait() returned."""
    return took is not None and took <= limit


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


def connection_pair(host="127.0.0.1", source=None, listen=None):
    """(client, server): the two ends of a TCP connection to host, accepted by a socket on listen.
    """
    def bound(address, port=0):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if sock.family == socket.AF_INET6:
            # IPV6_FREEBIND: for an address that only a route makes ours
            sock.setsockopt(socket.IPPROTO_IPV6, 78, 1)
        sock.settimeout(5)
        sock.bind((address, port))
        return sock

    with bound(listen or host) as listener:
        listener.listen()
        client = bound(source or ("::" if ":" in host else "0.0.0.0"))
        client.connect((host, listener.getsockname()[1]))
        server, _ = listener.accept()
    server.settimeout(None)
    client.settimeout(10)
    return client, server


def own_network():
    """Puts this thread into a network namespace of its own, and all that it starts; its loopback is
    up."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")
    Namespace.run("ip", "link", "set", "lo", "up")


class Sources:
    """Addresses that are no loopback's, to connect from: .v4(n), and .v6(n) with the last part n,
    :net::n. They are those of a network namespace in which a thread makes the connections."""
    def __init__(self):
        self.thread = concurrent.futures.ThreadPoolExecutor(1, initializer=self._begin)

    @staticmethod
    def _begin():
        own_network()
        for family, net in (("-4", "198.18.0.0/24"), ("-6", "2001:db8:1::/48")):
            Namespace.run("ip", family, "route", "add", "local", net, "dev", "lo")

    @staticmethod
    def v4(n):
        return f"198.18.0.{n}"

    @staticmethod
    def v6(n):
        return f"2001:db8:1:{n}"

    def pair(self, source):
        """(client, server) of a connection from there."""
        return self.thread.submit(connection_pair,
                                  self.v6("ffff::1") if ":" in source else self.v4(254),
                                  source).result()

    def close(self):
        self.thread.shutdown()


class Namespace:
    """A device's own network: a namespace with a veth pair; .inside and .outside are its addresses.
    """
    def __init__(self):
        self.name = f"rly{os.getpid()}n{random.randrange(10**6)}"
        self.net = f"10.{random.randint(200, 250)}.{random.randint(0, 255)}"
        self.inside, self.outside = f"{self.net}.2", f"{self.net}.1"
        self.veth = f"v{random.randrange(16**8):08x}"
        self.run("ip", "netns", "add", self.name)
        self.run("ip", "link", "add", self.veth, "type", "veth", "peer", "name", "eth0", "netns",
                 self.name)
        self.run("ip", "address", "add", f"{self.outside}/24", "dev", self.veth)
        self.run("ip", "link", "set", self.veth, "up")
        self.inside_run("ip", "link", "set", "lo", "up")
        self.inside_run("ip", "address", "add", f"{self.inside}/24", "dev", "eth0")
        self.restore()

    @staticmethod
    def run(*argv):
        run(argv)

    def inside_run(self, *argv):
        self.run("ip", "netns", "exec", self.name, *argv)

    def popen(self, argv, **kwargs):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *argv],
                                stdin=subprocess.DEVNULL,
                                start_new_session=True,
                                **kwargs)

    def route_to(self, address):
        """Makes an address of this host that is not .outside reachable from inside."""
        self.inside_run("ip", "route", "add", address, "via", self.outside)

    def cut(self):
        """From now on nothing gets through, and nobody is told."""
        self.inside_run("ip", "link", "set", "eth0", "down")

    def restore(self):
        self.inside_run("ip", "link", "set", "eth0", "up")

    def move(self, host=3):
        """Comes back elsewhere, as behind a new NAT: with another address; the old one answers no
        more."""
        self.inside = f"{self.net}.{host}"
        self.inside_run("ip", "address", "flush", "dev", "eth0")
        self.inside_run("ip", "address", "add", f"{self.inside}/24", "dev", "eth0")
        self.restore()

    def close(self):
        run(["ip", "netns", "delete", self.name], check=False)
        run(["ip", "link", "delete", self.veth], check=False)


def kill(process):
    """SIGKILL to a process started in a session of its own, and to all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
