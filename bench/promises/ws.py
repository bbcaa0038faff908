# Licensed under the Apache License, Version 2.0; see LICENSE.
"""200 WebSockets through HTTPS, each sending a small message when the last one has come back."""
import os
import subprocess

import load
from field import OURS, STATIC, Field
from lib import listeners, wait_for
from lib import run as run_command
from measure import Result, interleaved, say
from peers.published import OLD, three_sides


def compile_load(field):
    program = f"{field.rig.dir}/wsload"
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wsload.c")
    run_command(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, source, "-lssl", "-lcrypto"],
                "compiling wsload.c")
    return program


class Echo:
    """The device that echoes."""
    def __init__(self, field, program):
        self.port = field.port()
        self.process = subprocess.Popen([program, "serve", str(self.port)],
                                        stdin=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self.port}"
        field.rig.devices.append(self)
        wait_for(lambda: f"127.0.0.1:{self.port}" in listeners(), "the echo device")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def one(field, program, side, count, seconds):
    argv = [
        program, "run", field.rig.address,
        str(side.tls), side.host,
        str(count),
        str(seconds), "32"
    ]
    result = subprocess.run(argv,
                            capture_output=True,
                            text=True,
                            stdin=subprocess.DEVNULL,
                            timeout=seconds + 120)
    if result.returncode:
        raise load.LoadError(
            f"{side.name}: {' '.join(argv)} failed: {result.stdout}{result.stderr}")
    messages, took, p50, p99 = map(float, result.stdout.split())
    return load.Load(messages, took, p50 / 1000, p99 / 1000)


def run(options):
    count = options.pick(normal=200, tiny=20)
    result = Result(
        "ws",
        f"{count} WebSockets through HTTPS, each sends 32 bytes when the last ones have come back",
        (STATIC, OURS, OLD))
    rounds, more, seconds = options.pick(quick=(5, 1, 1), normal=(11, 11, 2), tiny=(1, 0, 1))
    field = Field()
    try:
        program = compile_load(field)
        device = Echo(field, program)
        sides = three_sides(field, device)
        say(f"ws: {rounds} rounds of {seconds} s for each of {len(sides)} sides")
        for n, side in interleaved(rounds, sides, more):
            before = load.cpu(side.roots())
            found = one(field, program, side, count, seconds)
            spent = load.cpu(side.roots()) - before
            result.add(side.name, "messages", "1/s", found.rate)
            result.add(side.name, "p99", "ms", found.p99)
            result.add(side.name, "server CPU per message", "us", spent / found.requests * 1e6)
        result.target_ratio(OURS, STATIC, "messages", ">=", 0.97)
        result.note(f"the tunnel of static ProxyPass and mod_relay: {field.way_in()}")
    finally:
        field.close()
    return result
