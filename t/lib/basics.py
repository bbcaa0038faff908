# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the other modules stand on: running a program, waiting, ports, and who listens."""
import os
import random
import socket
import subprocess
import time

from . import sockdiag

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class RigError(Exception):
    """The rig could not do its part: something is missing, did not start or did not answer."""


def run(argv, what, **kwargs):
    """Runs a program to its end; a failure is a RigError that shows its output."""
    result = subprocess.run(argv,
                            stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            text=True,
                            **kwargs)
    if result.returncode:
        raise RigError(
            f"{what} failed ({' '.join(argv)}, exit status {result.returncode}):\n{result.stdout}")
    return result.stdout


def wait_for(condition, what, timeout=10.0, every=0.02):
    """Waits until condition() is true and returns what it returned; a RigError after timeout."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise RigError(f"{what}: not within {timeout:g} s")
        time.sleep(every)


def free_port(taken=()):
    """A free port on loopback, below the range that outgoing connections get theirs from."""
    for _ in range(1000):
        port = random.randint(15000, 31999)
        if port in taken:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise RigError("no free port was found on loopback")


def listeners():
    """The set of addresses, `127.0.0.1:80`, that something listens on (IPv4)."""
    return {f"{ip}:{port}" for ip, port, _ in sockdiag.listening()}
