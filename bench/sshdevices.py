# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Many devices in one process, sshdevices.c."""
import os
import subprocess

from lib import RigError
from lib import run as run_command


class SshDevices:
    """The process. It is a part of the field's rig until stop()."""
    def __init__(self, field, port, at_once, again=False):
        self.field, program = field, f"{field.rig.dir}/sshdevices"
        if not os.path.exists(program):
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sshdevices.c")
            run_command(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, source, "-lssh", "-lpthread"],
                        "compiling sshdevices.c")
        self.log = f"{field.rig.dir}/log/bench-sshdevices.log"
        argv = [program, field.rig.address, str(port), "relay", str(at_once)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(argv + (["again"] if again else []),
                                            stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE,
                                            stderr=log,
                                            text=True)
        field.rig.devices.insert(0, self)

    def add(self, tunnels):
        for tunnel in tunnels:
            address, port = tunnel["routes"][0]["listen"].split(":")
            self.process.stdin.write(f"{address} {port} {tunnel['bundle']}/id_relay\n")
        self.process.stdin.flush()

    def _ask(self, what, answer):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().split()
        if said[:1] != [answer]:
            with open(self.log) as f:
                raise RigError(f"the devices' process has ended: {f.read()[-2000:]}")
        return int(said[1])

    def come_up(self):
        """@return how many are up, when each is or has failed five times"""
        return self._ask("go", "done")

    def tries(self):
        """@return how many connections they have made so far"""
        return self._ask("tries", "tries")

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self in self.field.rig.devices:
            self.field.rig.devices.remove(self)
