# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The device's side of a rig: its web server, and the stock ssh client that connects it."""
import json
import os
import ssl
import subprocess
import time
import urllib.request

from . import rigpki
from .basics import listeners
from .server import Child

DEVICE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "device.py")


class Device:
    """A device's web server in a process of its own: .id, .port, .url (the service), .stop().

    start(…, page=FILE) serves FILE at /; tls=True: HTTPS with a self-signed certificate; port=: not
    a free one; idle=S: closes a connection after S seconds without a request.
    """
    def __init__(self, ident, port, scheme, child):
        self.id, self.port, self.child, self.scheme = ident, port, child, scheme
        self.url = f"{scheme}://127.0.0.1:{port}"

    @classmethod
    def start(cls, rig, ids, page=None, tls=False, port=0, idle=None):
        argv = ["/usr/bin/python3", DEVICE, "--port", str(port)]
        for ident in ids:
            argv += ["--id", ident]
        if page:
            argv += ["--page", os.path.abspath(page)]
        if idle:
            argv += ["--idle", str(idle)]
        if tls:
            cert = f"{rig.dir}/pki/device.pem"
            if not os.path.exists(cert):
                rigpki.self_signed(cert)
            argv += ["--tls", cert]
        child = Child(argv, "the device's web server")
        return [
            cls(ident, port, "https" if tls else "http", child)
            for ident, port in json.loads(child.line).items()
        ]

    @property
    def pid(self):
        return self.child.pid

    def stop(self):
        """Ends the process, and so all devices in it."""
        self.child.stop()

    def conns(self):
        """Asks the device directly, not through the relay: {"accepted": …, "open": …, "requests":
        …}; this question's own connection and request are not counted."""
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl._create_unverified_context()))
        with opener.open(self.url + "/conns") as answer:
            counts = json.load(answer)
        self.asked = getattr(self, "asked", 0) + 1
        counts["accepted"] -= self.asked
        counts["requests"] -= self.asked
        counts["open"] -= 1
        return counts


class Session:
    """`ssh -N -F BUNDLE/config relay`: .process (Popen), .stop(), .output() (what ssh said)."""
    def __init__(self, rig, tunnel, args=(), bundle=None):
        self.rig, self.tunnel = rig, tunnel
        self.log = f"{rig.dir}/log/ssh-{len(rig.sessions)}-{tunnel['id']}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["ssh", "-N", "-F", f"{bundle or tunnel['bundle']}/config", *args, "relay"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def wait_up(self, timeout=20):
        """Waits until sshd listens on the tunnel's addresses; an error when ssh ends before."""
        deadline = time.monotonic() + timeout
        while not self.rig.listening(self.tunnel):
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"ssh ended with status {self.process.returncode}: {self.output()}\n" +
                    self.rig.tail("sshd"))
            if time.monotonic() > deadline:
                raise RuntimeError(f"the tunnel did not come up: {self.output()}\n" +
                                   self.rig.tail("sshd"))
            time.sleep(0.02)
        return self

    def wait_down(self, timeout=10):
        """Waits until sshd listens on none of the tunnel's addresses; whether it came to that."""
        deadline = time.monotonic() + timeout
        mine = {route["listen"] for route in self.tunnel["routes"]}
        while mine & listeners():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
