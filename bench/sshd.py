# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An sshd of a bench's own, and two things that are set on an sshd from outside."""
import ctypes
import os
import re
import socket
import subprocess

from lib import RigError, wait_for

PR_SET_MEMORY_MERGE = 67
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
# As many may be at the door at once as there are devices. MaxStartups would drop some by its dice,
# and these come back later.
ROOM = "MaxStartups 2000\nPerSourceMaxStartups none\n"


def set_nodelay(pid, port):
    """Sets TCP_NODELAY on the listening socket of another process. What that accepts from then on
    inherits it."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    done = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
                continue
        except FileNotFoundError:
            continue  # closed since
        copy = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(fd), 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        with socket.socket(fileno=copy) as s:
            if s.family in (socket.AF_INET, socket.AF_INET6) and s.getsockname()[1] == port:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                done += 1
    os.close(pidfd)
    if not done:
        raise RigError(f"process {pid} has no socket that listens on port {port}")


def merge_memory():
    """For preexec: the program that follows, and all below it, takes part in samepage merging."""
    ctypes.CDLL(None).prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0)


def without(config, *more):
    """sshd_config without the lines that an Sshd has of its own, ROOM among them, and those whose
    names match."""
    names = "|".join(
        ("Port", "ListenAddress", "HostKey", "PidFile", "MaxStartups", r"PerSource\w+", *more))
    return re.sub(rf"^({names}) .*\n", "", config, flags=re.M)


class Sshd:
    """config comes without port, host key and pid file; preexec runs in the process before exec."""
    def __init__(self, field, name, config, args=(), preexec=None):
        rig = field.rig
        self.field, self.name, self.port = field, name, field.port()
        self.conf = f"{rig.dir}/etc/sshd-{name}.conf"
        self.log = f"{rig.dir}/log/bench-sshd-{name}.log"
        with open(self.conf, "w") as f:
            f.write(f"Port {self.port}\nListenAddress {rig.address}\nHostKey "
                    f"{rig.dir}/etc/ssh_host_ed25519_key\n"
                    f"PidFile {rig.dir}/run/sshd-{name}.pid\n{config}")
        self.argv = ["/usr/sbin/sshd", "-D", "-f", self.conf, "-E", self.log, *args]
        self.preexec = preexec
        rig.devices.append(self)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.argv,
                                        stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        start_new_session=True,
                                        preexec_fn=self.preexec)
        wait_for(self._answers, f"sshd {self.name}", 10)

    def _answers(self):
        if self.process.poll() is not None:
            raise RigError(f"sshd {self.name} ended at once; see {self.log}")
        try:
            with socket.create_connection((self.field.rig.address, self.port), 2) as s:
                return s.recv(4) == b"SSH-"
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
