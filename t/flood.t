#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A flood of connections to the HTTPS port that never log in, from one address and from many, while real devices connect:
these get in, visitors are served, no thread of httpd is held, and afterwards nothing is left of it.

RELAY_SOAK=SECONDS: how long each flood lasts, instead of 8 s.
"""
import asyncio
import os
import random
import re
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [f"{TOP}/script/lib", f"{TOP}/t/lib"]
import tap
import keeper
from relayrig import Rig, wait_for
from rlydlib import fds, rss_kb

SECONDS = float(os.environ.get("RELAY_SOAK", "8"))
SEED = os.environ.get("RELAY_SEED", str(random.SystemRandom().randrange(10 ** 9)))
CLIENTS = 400
STATUS = '<Location "/relay-status">\n    SetHandler server-status\n</Location>'
DEVICES = 8

# What each client says before it falls silent: nothing, half words, a greeting, and a greeting and rubbish. (Half a TLS
# greeting would hold a thread of httpd, as ever: mod_reqtimeout's handshake= is there for that.)
WORDS = {b"": 2, b"S": 2, b"SSH": 4, b"SSH-2.0-flood\r\n": 5, b"SSH-2.0-flood\r\n" + bytes(range(200)): 2,
         b"SSH-1.5-old\r\n": 1}


class Flood(threading.Thread):
    """Keeps so many connections open; one that is closed comes back."""

    def __init__(self, rig, sources):
        super().__init__(daemon=True)
        self.rig, self.sources = rig, sources
        self.made = self.refused = 0
        self.stopping = False
        self.start()

    def run(self):
        asyncio.run(self.all())

    async def all(self):
        await asyncio.gather(*(self.one(random.Random(f"{SEED}-{i}")) for i in range(CLIENTS)))

    async def one(self, rng):
        words = rng.choices(list(WORDS), list(WORDS.values()))[0]
        await asyncio.sleep(rng.random())
        while not self.stopping:
            writer = None
            try:
                reader, writer = await asyncio.open_connection(self.rig.address, self.rig.https_port, local_addr=(self.sources(rng), 0))
                self.made += 1
                for piece in ([words] if rng.random() < 0.5 else [words[:2], words[2:4], words[4:]]):
                    if not writer.is_closing():
                        writer.write(piece)
                    await asyncio.sleep(0.05)
                while not self.stopping and await self.still_open(reader):
                    pass
            except OSError:
                self.refused += 1
            finally:
                if writer:
                    writer.transport.abort()
            await asyncio.sleep(rng.random() * 0.5)

    @staticmethod
    async def still_open(reader):
        try:
            return await asyncio.wait_for(reader.read(4096), 0.5)
        except asyncio.TimeoutError:
            return True

    def stop(self):
        self.stopping = True
        self.join()


def one_address(rng):
    return "127.0.9.9"


def many_addresses(rng):
    return f"127.0.{rng.randrange(10, 250)}.{rng.randrange(1, 255)}"


def status(rig, what):
    return int(re.search(rf"^{what}: (\d+)", rig.get(rig.domain, "/relay-status?auto")[2].decode(), re.M)[1])


def children(rig):
    return sorted(keeper.descendants([rig.servers["httpd"].pid]))


def strangers(rig, known):
    """sshd's processes that are neither the listening one nor of a device's session."""
    found = []
    for pid in keeper.descendants([rig.servers["rlyd"].pid]):
        if pid not in known:
            found.append(pid)
    return found


class Comers:
    """Devices that connect as DIR/run has them do it: again after a while when it came to nothing."""

    def __init__(self, rig, tunnels):
        self.took, self.attempts = [], 0
        self.rig = rig
        self.threads = [threading.Thread(target=self.come, args=(t,), daemon=True) for t in tunnels]
        for thread in self.threads:
            thread.start()

    def come(self, tunnel):
        began = time.monotonic()
        while time.monotonic() < began + 60:
            self.attempts += 1
            session = self.rig.connect(tunnel, wait=False)
            while session.process.poll() is None:
                if self.rig.listening(tunnel):
                    self.took.append(time.monotonic() - began)
                    return
                time.sleep(0.05)
            time.sleep(0.5)

    def join(self):
        for thread in self.threads:
            thread.join()


def test_flood(rig, device, tunnel, sources, what):
    newcomers = [rig.open(device.url) for _ in range(DEVICES)]
    flood = Flood(rig, sources)
    time.sleep(2)
    began, asked, slow, busy = time.monotonic(), [], [], []
    comers = Comers(rig, newcomers)
    while time.monotonic() < began + SECONDS or any(t.is_alive() for t in comers.threads):
        at = time.monotonic()
        asked.append(rig.get(tunnel)[0])
        slow.append(time.monotonic() - at)
        busy.append(status(rig, "BusyWorkers"))
        time.sleep(0.05)
    comers.join()
    sessions = len(keeper.descendants([rig.servers["rlyd"].pid]))
    flood.stop()
    tap.diag(f"{what}: {flood.made} connections, {flood.refused} broken off, {sessions} processes below rlyd, {len(asked)} requests, "
             f"the slowest {max(slow):.2f} s, busy threads at most {max(busy)}; devices were in after "
             f"{', '.join(f'{t:.1f}' for t in sorted(comers.took))} s in {comers.attempts} attempts")
    tap.ok(flood.made > CLIENTS, f"{what}: {CLIENTS} connections at once, and more when those were closed")
    tap.is_(len(comers.took), DEVICES, f"{what}: all devices get in")
    tap.ok(comers.took and max(comers.took) < 15, f"{what}: within 15 s", comers.took)
    tap.is_(set(asked), {200}, f"{what}: visitors are served")
    tap.ok(sorted(slow)[len(slow) // 2] < 0.5 and max(slow) < 6, f"{what}: and in time", sorted(slow)[-5:])
    tap.ok(sorted(busy)[len(busy) // 2] <= 20, f"{what}: httpd's threads are free", busy)
    return newcomers


def test_afterwards(rig, tunnels, what):
    """Nothing is left of the flood. Returns what is there, to be compared."""
    wait_for(lambda: int(rig.redis("HLEN", "relay:live:relay1")) == len(tunnels), f"{what}: as many sessions as tunnels in live:")
    live = rig.redis("HVALS", "relay:live:relay1")
    known = set()
    for monitor in map(int, re.findall(r'"pid":(\d+)', live)):
        known |= {monitor} | set(keeper.descendants([monitor]))
    tap.is_(len(known), 2 * len(tunnels), f"{what}: the devices' sessions are all there")
    try:
        wait_for(lambda: not strangers(rig, known), "the end of what did not log in", 10)
    except Exception:
        pass
    tap.is_(strangers(rig, known), [], f"{what}: no process of the flood is left")
    rlyd = rig.servers["rlyd"].pid
    return {"rlyd's descriptors": fds(rlyd) - len(tunnels), "rlyd's memory": rss_kb(rlyd),
            "httpd's descriptors": max(map(fds, children(rig))), "httpd's memory": max(map(rss_kb, children(rig)))}


def main():
    tap.diag(f"RELAY_SEED={SEED}")
    rig = Rig(rlyd=True, vhost=STATUS)
    rig.expect("RLY40|AH02645|ssh_dispatch_run_fatal|Protocol major versions differ|AH00484|AH10159")
    device = rig.device("nas")
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    tunnels = [tunnel]
    before = test_afterwards(rig, tunnels, "before")
    counts = [before]
    for sources, what in ((one_address, "one address"), (many_addresses, "many addresses"), (many_addresses, "many addresses again")):
        tunnels += test_flood(rig, device, tunnel, sources, what)
        counts.append(test_afterwards(rig, tunnels, f"after {what}"))
    tap.diag("\n".join(map(str, counts)))
    for count in counts[1:]:
        tap.ok(count["rlyd's descriptors"] <= before["rlyd's descriptors"] + 4, "rlyd's descriptors are as they were", counts)
        tap.ok(count["httpd's descriptors"] <= before["httpd's descriptors"] + 40, "httpd's descriptors, too", counts)
    for name, grow in (("rlyd's memory", 300), ("httpd's memory", 4000)):
        what = f"{name} does not grow with a flood"
        if os.environ.get("RELAY_SANITIZER"):
            tap.skip(what, "AddressSanitizer keeps what was freed")
        else:
            tap.ok(counts[3][name] < counts[2][name] + grow, what, counts)
    rig.check_logs()
    tap.is_(rig.stop(), [], "the rig ends cleanly")
    tap.done()


main()
