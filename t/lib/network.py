# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Networks: connections from chosen addresses, and a device's network, which can be cut."""
import concurrent.futures
import ctypes
import os
import random
import socket
import subprocess

from .basics import run


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
