#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Listen spaces on 127.0.0.1, where clients spell loopback in several ways.

A spelling that means 127.0.0.1 works, and ends up on loopback only. Nothing else works. So it is
with sshd_config as it is installed, with its lines for `GatewayPorts no', and with half of those
forgotten.
"""
import random

from lib import fixture, Rig, tap, test, wait_for
from lib.sshclients import Attempt, Clients, look, Raw, Watch

# sshd 9.2p1 with DEBUG3 shows what clients send: OpenSSH, dropbear and PuTTY say `localhost` for a
# port alone; `:PORT` is the empty address with all three, and so is `*:PORT` with OpenSSH.
ALWAYS = ["localhost", "127.0.0.1", "LOCALHOST"]
NEVER = [
    "*", "0.0.0.0", "::", "::1", "ip6-localhost", "127.0.0.2", "127.1", "0", "0x7f000001",
    "localhost.", "::ffff:127.0.0.1", "localhost ", " ", "127.0.0.1 ", "[127.0.0.1]", "127.0.0.0",
    "127.255.255.255"
]
BLOCK = ("GatewayPorts no", "PermitListen any",
         "AuthorizedKeysCommand {program} -l -c {conf} %u %f %t %k")

bases = random.sample(range(15000, 31000, 50), 3)  # apart, for the cases run side by side


class Case:
    def __init__(self, name, lines):
        self.name = name
        base = bases.pop()
        self.rig = Rig(start=False, listen=f"127.0.0.1:{base}-{base + 49}")
        self.rig._start_redis()
        self.rig.sshd_extra = "\n".join(lines).format(program=self.rig.program("relay-authkeys"),
                                                      conf=self.rig.conf)
        self.rig._start_sshd()
        self.sshd = self.rig.servers["sshd"]
        self.device = self.rig.device("a-device")
        tunnel = self.rig.open(self.device.url)
        self.port = int(tunnel["routes"][0]["listen"].rpartition(":")[2])
        self.key = f"{tunnel['bundle']}/id_relay"
        self.clients = Clients(self.key, "127.0.0.1", self.rig.ssh_port,
                               f"{self.rig.dir}/etc/ssh_host_ed25519_key.pub")
        self.loopback = {f"127.0.0.1:{self.port}", f"[::1]:{self.port}"}

    def quiet(self):
        wait_for(lambda: not look(self.sshd.pid)[0], "the session's end")

    def client(self, name, make, spec, works):
        """One login with -R spec: listens on loopback (127.0.0.1 at least), or nowhere."""
        attempt = Attempt(self.sshd,
                          make("-N", "-R", f"{spec}:127.0.0.1:{self.device.port}"),
                          seconds=10 if works else 1.5,
                          until=lambda watch: works and f"127.0.0.1:{self.port}" in watch.listens)
        if works:
            good = f"127.0.0.1:{self.port}" in attempt.listens and attempt.listens <= self.loopback
        else:
            good = not attempt.listens
        tap.ok(
            good, f"{self.name}: {name} -R {spec.replace(str(self.port), 'PORT')}: " +
            ("loopback and nothing else" if works else "nothing listens"), attempt)
        self.quiet()

    def raw(self, address, port, works):
        raw = Raw(self.key, "127.0.0.1", self.rig.ssh_port)
        with Watch(self.sshd) as watch:
            granted = raw.listen(address, port)
            watch.see()
        raw.close()
        self.quiet()
        if works:
            good = granted and watch.listens and watch.listens <= self.loopback
        else:
            good = not granted and not watch.listens
        which = "PORT" if port == self.port else f"PORT{port - self.port:+}" if port else "0"
        tap.ok(
            good, f"{self.name}: raw {address!r} {which}: " +
            ("loopback and nothing else" if works else "refused"),
            f"granted: {granted}, {watch.listens}")

    def run(self, empty):
        """empty: whether the empty address works here, as loopback."""
        port = self.port
        makes = (("OpenSSH", self.clients.openssh), ("dropbear", self.clients.dropbear),
                 ("PuTTY", self.clients.plink))
        for name, make in makes:
            for spec in (f"{port}", f"localhost:{port}", f"127.0.0.1:{port}"):
                self.client(name, make, spec, True)
            self.client(name, make, f":{port}", empty)
            # OpenSSH's client sends the empty address for it: nothing tells the two apart, but it
            # is loopback all the same
            self.client(name, make, f"*:{port}", empty and name == "OpenSSH")
            for spec in (f"0.0.0.0:{port}", f"127.0.0.2:{port}", f"{port + 1}",
                         f"localhost:{port + 1}", f"127.0.0.1:{port + 1}"):
                self.client(name, make, spec, False)
        for address in ALWAYS:
            self.raw(address, port, True)
        self.raw("", port, empty)
        for address in NEVER:
            self.raw(address, port, False)
        for other in (0, 1, 22, port - 1, port + 1, port + 65536):
            for address in ("", "localhost", "127.0.0.1", "*"):
                self.raw(address, other, False)
        self.rig.ends_cleanly(f"{self.name}: the rig")


# Most of the time they wait for something to come to listen that must not: so all three at once.


@fixture
def installed():
    return Case("as installed", ())


@fixture
def no():
    return Case("GatewayPorts no", BLOCK)


@fixture
def mistake():
    """-l without GatewayPorts no would grant the empty address where it means every interface:
    PermitListen stands behind it."""
    return Case("-l by mistake", BLOCK[2:])


@test(thread="installed")
def as_installed(installed):
    with open(installed.rig.installed("/etc/relay/sshd_config")) as f:
        text = f.read()
    tap.ok(all("\n#" + line.split("{")[0] in text for line in BLOCK),
           "the lines for `GatewayPorts no` stand in the installed file")
    installed.run(False)


@test(thread="no")
def gateway_ports_no(no):
    no.run(True)


@test(thread="mistake")
def by_mistake(mistake):
    mistake.run(False)


tap.run()
