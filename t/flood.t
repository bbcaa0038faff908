#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""A flood of connections to the HTTPS port that never log in, from one address and from many, while
real devices connect: these get in, visitors are served, no thread of httpd is held, and afterwards
nothing is left of it. And more connections than httpd has threads that say too little and stay: a
visitor and a device get through in a second.

RELAY_SOAK=SECONDS: how long each flood lasts, instead of 8 s.
"""
import asyncio
import os
import random
import re
import select
import socket
import ssl
import threading
import time

from lib import (fds, fixture, keeper, own_network, Rig, rss_kb, run, SERVER_STATUS, tap, test,
                 wait_for)

SECONDS = float(os.environ.get("RELAY_SOAK", "8"))
SEED = os.environ.get("RELAY_SEED", str(random.SystemRandom().randrange(10**9)))
CLIENTS = 500  # more than httpd accepts: see test_silent
SILENT = 600
DEVICES = 8

# Words that a client says before it falls silent: nothing, half words, a greeting, a greeting and
# rubbish. (A whole ClientHello and no more would hold a thread of httpd, as ever: mod_reqtimeout's
# handshake= is there for that.)
WORDS = {
    b"": 2, b"S": 2, b"SSH": 4, b"SSH-2.0-flood\r\n": 5, b"SSH-2.0-flood\r\n" + bytes(range(200)):
    2, b"SSH-1.5-old\r\n": 1
}


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
                reader, writer = await asyncio.open_connection(self.rig.address,
                                                               self.rig.https_port,
                                                               local_addr=(self.sources(rng), 0))
                self.made += 1
                for piece in ([words]
                              if rng.random() < 0.5 else [words[:2], words[2:4], words[4:]]):
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


# Not the loopback's, all of which is one source to rlyd: main() makes a network in which they are
# this host's.
ELSEWHERE = "198.18.0.0/16"


def one_address(rng):
    return "198.18.9.9"


def many_addresses(rng):
    return f"198.18.{rng.randrange(10, 250)}.{rng.randrange(1, 255)}"


def children(rig):
    return sorted(keeper.descendants([rig.servers["httpd"].pid]))


class Comers:
    """Devices that connect as DIR/run has them do it: again after a while when it came to nothing.
    """
    def __init__(self, rig, tunnels):
        self.took, self.attempts = [], 0
        self.rig = rig
        self.threads = [
            threading.Thread(target=self.come, args=(t, ), daemon=True) for t in tunnels
        ]
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


def strangers(rig, known):
    """sshd's processes that are neither the listening one nor of a device's session."""
    found = []
    for pid in keeper.descendants([rig.servers["rlyd"].pid]):
        if pid not in known:
            found.append(pid)
    return found


def afterwards(rig, tunnels, what):
    """Nothing is left of the flood. Returns what is there, to be compared."""
    wait_for(lambda: int(rig.redis("HLEN", "relay:live:relay1")) == len(tunnels),
             f"{what}: as many sessions as tunnels in live:")
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
    return {
        "rlyd's descriptors": fds(rlyd) - len(tunnels), "rlyd's memory": rss_kb(rlyd),
        "httpd's descriptors": max(map(fds, children(rig))), "httpd's memory":
        max(map(rss_kb, children(rig)))
    }


def client_hello():
    """The first words of a browser."""
    context, out = ssl.create_default_context(), ssl.MemoryBIO()
    context.check_hostname = False
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="x.relay.localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


class Silent:
    """Connections, all at once, that say so much and nothing more."""
    def __init__(self, rig, words, sources, n):
        self.began, self.sockets = time.monotonic(), []
        rng = random.Random(SEED)
        for _ in range(n):
            s = socket.socket()
            s.bind((sources(rng), 0))
            s.setblocking(False)
            s.connect_ex((rig.address, rig.https_port))
            self.sockets.append(s)
        time.sleep(0.2)
        for s in self.sockets:
            try:
                s.send(words)
            except OSError:
                pass

    def left(self):
        """Returns how many the relay has not ended."""
        poll = select.poll()
        for s in self.sockets:
            poll.register(s, select.POLLIN | select.POLLRDHUP)
        return len(self.sockets) - len(poll.poll(0))

    def close(self):
        for s in self.sockets:
            s.close()


class Crowd:
    """The tunnels that are connected, and what there is on the relay by when: before it all, and
    after each flood."""
    def __init__(self, rig, tunnels):
        self.rig, self.tunnels, self.counts = rig, tunnels, []
        self.count("before")

    def count(self, what):
        after = what if what == "before" else f"after {what}"
        self.counts.append(afterwards(self.rig, self.tunnels, after))


@fixture
def rig():
    tap.diag(f"RELAY_SEED={SEED}")
    own_network()
    run(["ip", "route", "add", "local", ELSEWHERE, "dev", "lo"])
    rig = Rig(rlyd=True, vhost=SERVER_STATUS)
    rig.expect(
        "RLY40|AH02645|ssh_dispatch_run_fatal|Protocol major versions differ|AH00484|AH10159")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


@fixture
def tunnel(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    return tunnel


@fixture
def crowd(rig, tunnel):
    return Crowd(rig, [tunnel])


@test
def slow_hello(rig, tunnel):
    """A ClientHello that comes a byte at a time is a ClientHello."""
    for size in (1, 100):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = rig.tls_context().wrap_bio(incoming, outgoing, server_hostname=rig.host(tunnel))
        with socket.create_connection((rig.address, rig.https_port), 10) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            done = False
            while not done:
                try:
                    tls.do_handshake()
                    done = True
                except ssl.SSLWantReadError:
                    pass
                words = outgoing.read()
                for i in range(0, len(words), size):
                    sock.sendall(words[i:i + size])
                    time.sleep(0.001)
                if not done:
                    incoming.write(sock.recv(65536))
        tap.ok(done, f"a handshake in pieces of {size} bytes succeeds")


@test
def silent(rig, device, tunnel):
    """httpd as Debian ships it has 150 threads and stops accepting at 450 connections. One process
    lets 12 wait, of one address 6, and there are two to begin with."""
    hello = client_hello()
    last = None
    for what, words, sources, most in (("a TLS record's first byte, one address", hello[:1],
                                        one_address, 6), ("two of its bytes, many addresses",
                                                          hello[:2], many_addresses, 12),
                                       ("its head and half a ClientHello, many addresses",
                                        hello[:150], many_addresses, 12), ("`S', one address", b"S",
                                                                           one_address, 6),
                                       ("`SS', many addresses", b"SS", many_addresses, 12)):
        if last:
            last.close()
        last = Silent(rig, words, sources, SILENT)
        slow = []
        while time.monotonic() < last.began + 1.5:
            at = time.monotonic()
            status_is = rig.get(tunnel, timeout=15)[0]
            slow.append(time.monotonic() - at)
        # Promised is a second, where the machine has nothing else to do; without it a visitor waits
        # for longer than 15 s.
        tap.ok(status_is == 200 and max(slow) < 4,
               f"{SILENT} connections, {what}: a visitor is served at once",
               sorted(slow)[-5:])
        newcomer, at = rig.open(device.url), time.monotonic()
        session = rig.connect(newcomer)
        took = time.monotonic() - at
        tap.ok(took < 5, "… and a device is in, which takes an ssh client some 0.3 s", took)
        session.stop()
        rig.rly("close", newcomer["id"])
        tap.between(last.left(), 1, most * int(rig.server_status()["Processes"]),
                    f"… only some of them may wait, {most} in each process")
    wait_for(lambda: not last.left(), "the end of those that wait", 25)
    took = time.monotonic() - last.began
    tap.between(took, 19.5, 22, "who has said too little for 20 s is let go")
    last.close()
    half, at = socket.create_connection((rig.address, rig.https_port), 10), time.monotonic()
    half.sendall(hello[:150])
    tap.is_(half.recv(1), b"", "half a ClientHello is let go, too")
    tap.between(time.monotonic() - at, 5.5, 7.5, "after 6 s")
    half.close()
    with open(f"{rig.dir}/log/relay-error.log") as f:
        tap.ok(len(re.findall("RLY158", f.read())) < 30, "the log has no line for each of them")


def check_flood(rig, device, tunnel, crowd, sources, what):
    newcomers = [rig.open(device.url) for _ in range(DEVICES)]
    flood = Flood(rig, sources)
    time.sleep(2)
    began, asked, slow, busy = time.monotonic(), [], [], []
    comers = Comers(rig, newcomers)
    while time.monotonic() < began + SECONDS or any(t.is_alive() for t in comers.threads):
        at = time.monotonic()
        asked.append(rig.get(tunnel)[0])
        slow.append(time.monotonic() - at)
        busy.append(int(rig.server_status()["BusyWorkers"]))
        time.sleep(0.05)
    comers.join()
    sessions = len(keeper.descendants([rig.servers["rlyd"].pid]))
    flood.stop()
    tap.diag(
        f"{what}: {flood.made} connections, {flood.refused} broken off, {sessions} processes "
        f"below rlyd, {len(asked)} requests, "
        f"the slowest {max(slow):.2f} s, busy threads at most {max(busy)}; devices were in after "
        f"{', '.join(f'{t:.1f}' for t in sorted(comers.took))} s in {comers.attempts} attempts")
    tap.ok(flood.made > CLIENTS,
           f"{what}: {CLIENTS} connections at once, and more when those were closed")
    tap.is_(len(comers.took), DEVICES, f"{what}: all devices get in")
    tap.ok(comers.took and max(comers.took) < 15, f"{what}: within 15 s", comers.took)
    tap.is_(set(asked), {200}, f"{what}: visitors are served")
    tap.ok(
        sorted(slow)[len(slow) // 2] < 0.5 and max(slow) < 6, f"{what}: and in time",
        sorted(slow)[-5:])
    tap.ok(sorted(busy)[len(busy) // 2] <= 20, f"{what}: httpd's threads are free", busy)
    crowd.tunnels += newcomers
    crowd.count(what)


@test
def flood_from_one_address(rig, device, tunnel, crowd):
    check_flood(rig, device, tunnel, crowd, one_address, "one address")


@test
def flood_from_many_addresses(rig, device, tunnel, crowd):
    check_flood(rig, device, tunnel, crowd, many_addresses, "many addresses")


@test
def flood_again(rig, device, tunnel, crowd):
    check_flood(rig, device, tunnel, crowd, many_addresses, "many addresses again")


@test(needs=["flood_from_one_address", "flood_from_many_addresses", "flood_again"])
def nothing_grows(crowd):
    before, *counts = crowd.counts
    tap.diag("\n".join(map(str, crowd.counts)))
    for count in counts:
        tap.ok(count["rlyd's descriptors"] <= before["rlyd's descriptors"] + 4,
               "rlyd's descriptors are as they were", counts)
        tap.ok(count["httpd's descriptors"] <= before["httpd's descriptors"] + 40,
               "httpd's descriptors, too", counts)
    for name, grow in (("rlyd's memory", 300), ("httpd's memory", 4000)):
        what = f"{name} does not grow with a flood"
        if os.environ.get("RELAY_SANITIZER"):
            tap.skip(what, "AddressSanitizer keeps what was freed")
        else:
            tap.ok(counts[2][name] < counts[1][name] + grow, what, counts)


tap.run()
