# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The device's side of a login, honest or hostile, and what sshd really did about it.

Whether something was refused is not asked of the client but seen in the kernel: Watch collects what
all processes below an sshd listen on and which programs run there. Clients: OpenSSH's ssh,
dropbear's dbclient, PuTTY's plink, and paramiko (Raw) for messages that no client sends.
"""
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import paramiko
from paramiko import common as ssh_numbers

from . import keeper, sockdiag
from .basics import run

# its complaints about refusals are the point here
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)

UNIX_LISTENING = 0x10000
# As the kernel has them, in 15 characters; the last two stand before sshd's own (sshd-wrap/).
OWN_PROGRAMS = {
    "sshd", "sshd-session", "sshd-auth", "relay-authkeys", "relay-sshd-sess", "relay-sshd-auth"
}


def _sockets():
    """{inode: address} of all that listens on this host."""
    found = {str(inode): f"{ip}:{port}" for ip, port, inode in sockdiag.listening()}
    found.update(
        (str(inode), f"[{ip}]:{port}") for ip, port, inode in sockdiag.listening(socket.AF_INET6))
    with open("/proc/net/unix") as f:
        next(f)
        for line in f:
            fields = line.split()
            if int(fields[3], 16) & UNIX_LISTENING:
                found[fields[6]] = "unix:" + (fields[7] if len(fields) > 7 else "")
    return found


def _program(pid, pam):
    """The name of a process that is no part of sshd, else None."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            name = f.read().strip()
        with open(f"/proc/{pid}/status") as f:
            uid = re.search(r"^Uid:\s+(\d+)", f.read(), re.M).group(1)
    except OSError:
        return None
    return None if name in OWN_PROGRAMS or (pam and uid == "0") else name


def _held(pid):
    """The inodes of a process's sockets, as far as it can be looked at."""
    held = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            match = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
            if match:
                held.add(match.group(1))
    except OSError:
        pass
    return held


def look(pid, pam=False):
    """(what the processes below pid listen on, the names of those that are no part of sshd) pam:
    that sshd has UsePAM yes, whose modules run programs as root for every login (update-motd.d)"""
    below = keeper.descendants([pid])
    sockets, listens, programs = _sockets(), set(), set()
    # a child has the listener's sockets as well until it has closed them, right after fork()
    own = _held(pid)
    for child in below:
        name = _program(child, pam)
        if name:
            programs.add(name)
        listens |= {sockets[inode] for inode in _held(child) - own if inode in sockets}
    return listens, programs


class Watch:
    """Collects look()'s findings for as long as it is open: .listens, .programs."""
    def __init__(self, server):
        self.pid, self.pam = server.pid, getattr(server, "pam", False)
        self.listens, self.programs = set(), set()
        self.stopping = threading.Event()

    def see(self):
        listens, programs = look(self.pid, self.pam)
        self.listens |= listens
        self.programs |= programs

    def _run(self):
        while not self.stopping.wait(0.01):
            self.see()

    def __enter__(self):
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.see()
        self.stopping.set()
        self.thread.join()


class Attempt:
    """One run of a client: .status, .output, .listens (what came to listen below sshd), .programs
    (what ran there)."""
    def __init__(self, server, argv, seconds=4.0, stdin=b"", until=None, env=None):
        self.argv = argv
        with Watch(server) as watch:
            process = subprocess.Popen(argv,
                                       stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT,
                                       start_new_session=True,
                                       env=dict(os.environ, **(env or {})))
            reader = threading.Thread(target=self._read, args=(process, ))
            self.output = ""
            reader.start()
            try:
                process.stdin.write(stdin)
                process.stdin.close()
            except BrokenPipeError:
                pass
            deadline = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < deadline and not (until and
                                                                                  until(watch)):
                time.sleep(0.02)
            watch.see()
            self.ended = process.poll() is not None
            if not self.ended:
                os.killpg(process.pid, signal.SIGKILL)
            self.status = process.wait()
            reader.join()
        self.listens, self.programs = watch.listens, watch.programs

    def _read(self, process):
        self.output = process.stdout.read().decode(errors="replace")
        process.stdout.close()

    def __repr__(self):
        return (f"{' '.join(self.argv)}\nstatus {self.status}{'' if self.ended else ' (killed)'}, "
                "listened on "
                f"{sorted(self.listens)}, ran {sorted(self.programs)}, said {self.output[-600:]!r}")


class Clients:
    """Command lines of each client for one private key (OpenSSH's format) and one server."""
    def __init__(self, key, host, port, hostkey, user="relay"):
        self.key, self.host, self.port, self.user = key, host, port, user
        run(["dropbearconvert", "openssh", "dropbear", key, key + ".db"])
        run(["puttygen", key, "-O", "private", "-o", key + ".ppk"])
        self.fingerprint = run(["ssh-keygen", "-lf", hostkey]).stdout.split()[1]

    def options(self, user=None):
        return [
            "-F", "none", "-i", self.key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
            "LogLevel=ERROR", "-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes", "-o",
            "ConnectTimeout=10"
        ]

    def openssh(self, *args, user=None, command=()):
        return [
            "ssh", *self.options(), "-p",
            str(self.port), *args, f"{user or self.user}@{self.host}", *command
        ]

    def dropbear(self, *args, command=()):
        return [
            "dbclient", "-y", "-y", "-o", "ExitOnForwardFailure=yes", "-i", self.key + ".db", "-p",
            str(self.port), *args, f"{self.user}@{self.host}", *command
        ]

    def plink(self, *args, command=()):
        return [
            "plink", "-batch", "-hostkey", self.fingerprint, "-i", self.key + ".ppk", "-P",
            str(self.port), *args, f"{self.user}@{self.host}", *command
        ]


class Raw:
    """A logged-in connection that says what it is told to."""
    def __init__(self, key, host, port, user="relay"):
        self.transport = paramiko.Transport(socket.create_connection((host, port), 10))
        self.transport.start_client(timeout=20)
        self.transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(key))

    def request(self, name, body=b""):
        """A global request with want_reply: whether it was granted."""
        message = paramiko.Message()
        message.add_byte(ssh_numbers.cMSG_GLOBAL_REQUEST)
        message.add_string(name)
        message.add_boolean(True)
        message.add_bytes(body)
        self.transport.completion_event = threading.Event()
        self.transport._send_user_message(message)
        if not self.transport.completion_event.wait(10):
            raise TimeoutError(f"no answer to {name!r}")
        return self.transport.is_active() and self.transport.global_response is not None

    def listen(self, address, port):
        """tcpip-forward"""
        return self.request("tcpip-forward", string(address) + struct.pack(">I", port))

    def cancel(self, address, port):
        return self.request("cancel-tcpip-forward", string(address) + struct.pack(">I", port))

    def open(self, kind, body=b""):
        """Asks for a channel of any kind: the channel, or None when it was refused."""
        transport = self.transport
        transport.lock.acquire()
        try:
            number = transport._next_channel()
            channel = paramiko.Channel(number)
            transport._channels.put(number, channel)
            transport.channel_events[number] = event = threading.Event()
            transport.channels_seen[number] = True
            channel._set_transport(transport)
            channel._set_window(1 << 20, 1 << 15)
        finally:
            transport.lock.release()
        message = paramiko.Message()
        message.add_byte(ssh_numbers.cMSG_CHANNEL_OPEN)
        message.add_string(kind)
        message.add_int(number)
        message.add_int(1 << 20)
        message.add_int(1 << 15)
        message.add_bytes(body)
        transport._send_user_message(message)
        if not event.wait(10):
            raise TimeoutError(f"no answer to a channel {kind!r}")
        refusal = transport.get_exception()
        return None if refusal or not transport.is_active() else channel

    def alive(self):
        return self.transport.is_active() and self.transport.is_authenticated()

    def close(self):
        self.transport.close()


def string(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(value)) + value
