# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A relay whose programs have a clock that steps; the machine's own, and with it devices and
visitors, do not notice. relay-authkeys does not, either: sshd gives it an environment of its own.
"""
import mmap
import os
import struct

from .basics import run
from .relayrig import Rig

LIB = os.path.dirname(os.path.abspath(__file__))


class Shift:
    """A clock for programs whose environment has .env (clockshift.c). .set(seconds), at any time,
    is how far it is off."""
    def __init__(self, directory):
        shim, self.path = f"{directory}/clockshift.so", f"{directory}/clockshift"
        run([
            "gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter",
            "-Werror", "-o", shim, f"{LIB}/clockshift.c"
        ], "clockshift.c")
        self.env = {"LD_PRELOAD": shim, "CLOCKSHIFT": self.path}
        with open(self.path, "w+b") as f:
            f.write(bytes(8))
            f.flush()
            os.chmod(self.path, 0o644)  # also for what is executed as another user
            self.memory = mmap.mmap(f.fileno(), 8)

    def set(self, seconds):
        # in place: the programs look into this very memory
        self.memory[:] = struct.pack("q", seconds)


class ClockRig(Rig):
    """Its programs' idea of the date is off by .step(seconds)."""
    def __init__(self, **options):
        super().__init__(start=False, rlyd=True, **options)
        self.shift, self.offset = Shift(self.dir), 0
        self.start()

    def _add(self, name, argv, ready, env=None):
        super()._add(name, argv, ready, {**(env or {}), **self.shift.env})

    def rly(self, *args, **kwargs):
        os.environ.update(self.shift.env)
        try:
            return super().rly(*args, **kwargs)
        finally:
            for name in self.shift.env:
                del os.environ[name]

    def step(self, seconds):
        self.offset += seconds
        self.shift.set(self.offset)

    def shifted(self):
        """The servers whose clock goes by .step()."""
        found = []
        for name, pid in self.pids.items():
            with open(f"/proc/{pid}/maps") as f:
                if f" {self.shift.path}\n" in f.read():
                    found.append(name)
        return sorted(found)

    def redis_time(self):
        return int(self.redis("TIME").split("\n")[0])
