# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A device as far as its software goes: which programs it has, its own /etc/hosts, home and scratch
directory.

    box = Box(rig, "router", shell="busybox sh", programs=["dbclient"], busybox=True)
    runner = box.run(tunnel)           # a copy of the bundle, DIR/run started from /
    runner.wait_for(r"next try")       # a line of what it says
    runner.stop()
"""
import os
import re
import shutil
import signal
import subprocess
import time

from . import keeper
from .basics import listeners, run
from .sessions import holder

# run needs these of a system, all of them POSIX, besides a shell, a client and something that asks
# over HTTPS.
POSIX = "awk chmod cut date dirname grep head mkdir mkfifo od rm sed sleep tail tr".split()


class Box:
    def __init__(self, rig, name, shell="/bin/sh", programs=(), busybox=False, env=None):
        self.rig, self.name, self.shell = rig, name, shell.split()
        self.shell[0] = shutil.which(self.shell[0])
        self.dir = f"{rig.dir}/box-{name}"
        self.home, self.bin, self.tmp = (f"{self.dir}/{d}" for d in ("home", "bin", "tmp"))
        for path in (self.home, self.bin, self.tmp):
            os.makedirs(path)
        if busybox:
            for applet in run(["busybox", "--list"]).stdout.split():
                os.symlink("/bin/busybox", f"{self.bin}/{applet}")
        for program in [*programs] if busybox else [*POSIX, *programs]:
            link = f"{self.bin}/{os.path.basename(program)}"
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(shutil.which(program), link)
        self.env = {
            "PATH": self.bin, "HOME": self.home, "TMPDIR": self.tmp, "LANG": "C", **(env or {})
        }

    def copy(self, tunnel, name=None):
        """The bundle in another place; the original is gone, as on a device."""
        target = f"{self.dir}/{name or tunnel['id'] + chr(39) + 's $(folder)'}"
        shutil.move(tunnel["bundle"], target)
        return target

    def run(self, tunnel, bundle=None, wait=True, env=None, cwd="/"):
        return Runner(self, tunnel, bundle or self.copy(tunnel), wait, env or {}, cwd)


class Runner:
    """DIR/run as a process: .process, .said(), .wait_up() …"""
    def __init__(self, box, tunnel, bundle, wait, env, cwd):
        self.box, self.tunnel, self.bundle = box, tunnel, bundle
        self.listens = {route["listen"] for route in tunnel["routes"]}
        self.log = f"{box.rig.dir}/log/run-{box.name}-{tunnel['id']}.log"
        hosts = f"{box.dir}/hosts"
        with open(hosts, "w") as f:
            f.write("127.0.0.1 localhost\n" + "".join(f"127.0.0.1 {r['name']}.{box.rig.domain}\n"
                                                      for r in tunnel["routes"]))
        # A mount namespace, for its own /etc/hosts. All of them exec: the process is the shell in
        # the end.
        argv = [
            "unshare", "--mount", "/bin/sh", "-c",
            'mount --bind "$1" /etc/hosts && shift && exec env -i --default-signal=HUP,INT,TERM '
            '"$@"', "sh", hosts, *(f"{k}={v}" for k, v in {**box.env, **env}.items()), *box.shell,
            f"{bundle}/run"
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv,
                                            stdin=subprocess.DEVNULL,
                                            stdout=log,
                                            stderr=log,
                                            cwd=cwd,
                                            start_new_session=True)
        box.rig.sessions.append(self)
        if wait:
            self.wait_up()

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def up(self):
        return self.listens <= listeners()

    def wait(self, condition, what, timeout=30):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.box.name}: {what}: not within {timeout} s; it "
                                   f"said:\n{self.said()}\n{self.box.rig.tail('sshd')}")
            time.sleep(0.02)
        return self

    def wait_up(self, timeout=30):
        return self.wait(self.up, "the tunnel is up", timeout)

    def wait_for(self, regex, timeout=30, times=1):
        return self.wait(lambda: len(re.findall(regex, self.said())) >= times, f"{regex} is said",
                         timeout)

    def ended(self, timeout=30):
        """Its exit status, or None if it goes on."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def cut(self):
        """Kills the session on the relay; returns when its address is free."""
        os.kill(holder(next(iter(self.listens))), signal.SIGKILL)
        return self.wait(lambda: not self.listens & listeners(), "the address is free", 10)

    def processes(self):
        return keeper.descendants([self.process.pid])

    def stop(self):
        below = self.processes()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        keeper.kill_all(below)
