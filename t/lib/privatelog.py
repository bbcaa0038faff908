# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Catches what programs hand to syslog(3), without a syslog daemon and without disturbing the
host's.

PrivateLog() moves this process, and what it starts from then on, into a mount namespace with a /dev
of its own, whose /dev/log is a socket that it reads. Make it before any thread is started. In that
namespace other files can be replaced, too.
"""
import ctypes
import os
import select
import socket
import stat
import tempfile
import threading
import time

from .basics import run

CLONE_NEWNS = 0x20000


class PrivateLog:
    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(),
                          "unshare(CLONE_NEWNS), which needs root and CAP_SYS_ADMIN")
        run(["mount", "--make-rprivate", "/"])
        new = tempfile.mkdtemp(prefix="relay-dev-", dir="/run")
        run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", new])
        for name in os.listdir("/dev"):
            old = os.lstat(f"/dev/{name}")
            if stat.S_ISLNK(old.st_mode):
                os.symlink(os.readlink(f"/dev/{name}"), f"{new}/{name}")
            elif stat.S_ISCHR(old.st_mode):
                open(f"{new}/{name}", "w").close()
                run(["mount", "--bind", f"/dev/{name}", f"{new}/{name}"])
            elif stat.S_ISDIR(old.st_mode):
                os.mkdir(f"{new}/{name}")
                run(["mount", "--rbind", f"/dev/{name}", f"{new}/{name}"])
        run(["mount", "--move", new, "/dev"])
        os.rmdir(new)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        self.socket.setblocking(False)
        self.collected = None

    def replace(self, path, text):
        """Puts a file with this text in the place of path, for this test only."""
        mode = os.stat(path).st_mode & 0o7777
        fd, new = tempfile.mkstemp(prefix="relay-file-", dir="/run")
        with os.fdopen(fd, "w") as f:
            f.write(text)
        os.chmod(new, mode)
        run(["mount", "--bind", new, path])
        os.unlink(new)

    def lines(self):
        """Returns what has arrived since the last call: a list of (facility, severity, text)."""
        if self.collected is not None:
            time.sleep(0.2)
            found, self.collected[:] = list(self.collected), []
            return found
        return self._receive()

    def collect(self):
        """Reads all the time from now on: a dozen lines that nobody reads make the next syslog(3)
        wait. Starts a thread."""
        def run():
            while True:
                select.select([self.socket], [], [])
                self.collected += self._receive()

        self.collected = []
        self.collector = threading.Thread(target=run, daemon=True)
        self.collector.start()

    def _receive(self):
        found = []
        while True:
            try:
                line = self.socket.recv(65536).decode(errors="replace")
            except BlockingIOError:
                return found
            priority, _, text = line.partition(">")
            number = int(priority[1:])
            found.append((number >> 3, number & 7, text.rstrip("\0\n")))
