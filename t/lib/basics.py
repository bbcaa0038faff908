# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The other modules stand on this one: programs that come to their end, waiting, ports, files."""
import os
import random
import socket
import subprocess
import time

from . import sockdiag

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class RigError(Exception):
    """The rig could not do its part: something is missing, did not start or did not answer."""


def run(argv, what=None, check=True, **kwargs):
    """Runs a program to its end, without input where none is given. Returns a CompletedProcess with
    what it said as text. check: another exit status than 0 is a RigError that shows it."""
    if "input" not in kwargs:
        kwargs.setdefault("stdin", subprocess.DEVNULL)
    result = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    if check and result.returncode:
        raise RigError(f"{what or argv[0]} failed ({' '.join(argv)}, exit status "
                       f"{result.returncode}):\n{result.stdout}{result.stderr}")
    return result


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


def timed(function, *args):
    """(result, seconds)"""
    began = time.monotonic()
    result = function(*args)
    return result, time.monotonic() - began


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


def tail(directory, path, lines=30):
    """The last lines of a log and of all others in the directory that belong to it."""
    text, stem = "", os.path.basename(path).split(".")[0]
    for name in sorted(os.listdir(directory)):
        if name.startswith(stem) and os.path.isfile(f"{directory}/{name}"):
            with open(f"{directory}/{name}", errors="replace") as f:
                last = f.read().split("\n")[-lines:]
            if any(last):
                text += f"--- {name}\n" + "\n".join(last).strip("\n") + "\n"
    return text or "(its log is empty)"


def read(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as f:
        return f.read()


def write(path, text, mode=0o644):
    """Writes a file that all may read; returns its path."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as f:
        f.write(text)
    os.chmod(path, mode)
    return path
