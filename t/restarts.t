#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""Browsers and 200 tunnels on one Apache port, while Apache, rlyd, sshd and Redis are restarted in
the middle of transfers: no session ends, no request to a tunnel that is up fails, and what has to
end ends within a second.

RELAY_TUNNELS: another number of tunnels.
"""
import asyncio
import hashlib
import os
import random
import signal
import threading
import time

from lib import faults, fixture, keeper, listeners, Rig, tap, test, wait_for
from lib.manydevices import Devices
from lib.visitor import Visitor

TUNNELS = int(os.environ.get("RELAY_TUNNELS", "200"))
TRANSFERS, SIZE = 4, 6_000_000  # each way; at a device's rate of 655 kB/s they take 9 s
BLOCK = bytes(range(256)) * 256
STARTUPS = {"rlyd": {"max-startups": "300:30:400", "per-source-startups": "0"}}


class Transfer(threading.Thread):
    """A slow download or upload; .result is None while it runs, then True or what went wrong."""
    def __init__(self, rig, tunnel, device, up):
        super().__init__(daemon=True)
        self.rig, self.tunnel, self.device, self.up, self.result = rig, tunnel, device, up, None
        self.start()

    def run(self):
        try:
            self.result = self.upload() if self.up else self.download()
        except Exception as e:
            self.result = f"{'upload' if self.up else 'download'}: {e!r}"

    def download(self):
        status, headers, body = self.rig.get(self.tunnel, f"/big?n={SIZE}&rate=655360", timeout=90)
        good = hashlib.sha256((BLOCK * (SIZE // len(BLOCK) + 1))[:SIZE]).digest()
        if (status,
                headers["X-Device"]) == (200,
                                         self.device.id) and hashlib.sha256(body).digest() == good:
            return True
        return f"download: {status}, {len(body)} bytes of {headers['X-Device']}"

    def upload(self):
        data = random.randbytes(65536)
        digest, connection = hashlib.sha256(), self.rig.connection(self.tunnel, timeout=90)

        def pieces():
            for _ in range(SIZE // len(data)):
                digest.update(data)
                yield data
                time.sleep(0.1)

        connection.request("PUT",
                           "/upload",
                           body=pieces(),
                           headers={"Content-Length": str(SIZE // len(data) * len(data))})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return True if answer.status == 200 and digest.hexdigest(
        ) in body else f"upload: {answer.status} {body[:200]}"


class Browser:
    """Asks for one tunnel after the other over one connection, all the time."""
    def __init__(self, rig, devices, tunnels, seed):
        self.devices, self.tunnels, self.rng = devices, tunnels, random.Random(seed)
        self.visitor, self.asked, self.unknown = Visitor(rig), 0, 0
        self.failed, self.stopping = [], False
        # set: a name that this connection has not asked for yet may get 503
        self.cold = threading.Event()

    async def run(self):
        known, connections = set(), 0
        while not self.stopping:
            n = self.rng.randrange(len(self.tunnels))
            began = time.monotonic()
            try:
                status, _, body = await self.visitor.get(self.tunnels[n]["routes"][0]["name"])
            except Exception as e:
                self.failed.append(f"{began:.3f}: {e!r}")
                continue
            if self.visitor.connections != connections:
                connections, known = self.visitor.connections, set()
            self.asked += 1
            if status == 503 and self.cold.is_set() and n not in known:
                # Redis is away, and this process of httpd has never heard of that name
                self.unknown += 1
            elif (status, body.decode()) != (200, self.devices.secret(n)):
                self.failed.append(f"{began:.3f}: tunnel {n}: {status} {body[:80]}")
            else:
                known.add(n)
            await asyncio.sleep(0.002)


class Browsers:
    """Several of them in a thread of their own, as a context: its checks are made at the end."""
    def __init__(self, rig, devices, tunnels, what, redis_away=False):
        self.what = what
        self.all = [Browser(rig, devices, tunnels, f"{what}-{i}") for i in range(4)]
        if redis_away:
            for browser in self.all:
                browser.cold.set()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.work()))

    async def work(self):
        await asyncio.gather(*(b.run() for b in self.all))

    def __enter__(self):
        self.thread.start()
        time.sleep(0.5)
        return self

    def __exit__(self, kind, *rest):
        if kind is None:
            time.sleep(0.5)
        for browser in self.all:
            browser.stopping = True
        self.thread.join()
        if kind is None:
            failed = [f for b in self.all for f in b.failed]
            asked, unknown = sum(b.asked for b in self.all), sum(b.unknown for b in self.all)
            tap.ok(
                asked > 20 and not failed, f"{self.what}: {asked} requests, none failed" +
                (f" ({unknown} for names that a process did not know yet)" if unknown else ""),
                "\n".join(failed[:10]))


class Sessions:
    """The tunnels' sessions, all of them: still the same?"""
    def __init__(self, rig, tunnels, clients):
        self.rig, self.clients = rig, clients
        self.addresses = {t["routes"][0]["listen"] for t in tunnels}
        self.processes = self.now()

    def now(self):
        """The processes of sshd's sessions, whoever their parent is by now."""
        found = set()
        for pid, start in keeper.descendants([os.getppid()]).items():
            try:
                with open(f"/proc/{pid}/comm") as f:
                    if f.read().strip() in ("sshd",
                                            "sshd-session") and pid != self.rig.servers["sshd"].pid:
                        found.add((pid, start))
            except OSError:
                pass
        return found

    def check(self, what):
        ended = [c.output() for c in self.clients if c.process.poll() is not None]
        gone = self.processes - self.now()
        tap.ok(
            not ended and not gone and self.addresses <= listeners(),
            f"{what}: all {len(self.clients)} sessions go on",
            f"{len(ended)} ssh ended, {len(gone)} processes gone, "
            f"{len(self.addresses - listeners())} do not listen: {ended[:3]}")


def connect_all(rig, devices):
    tunnels = [rig.open(devices.service(n), ttl="1h") for n in range(TUNNELS)]
    clients = []
    for at in range(0, TUNNELS, 25):
        clients += [rig.connect(t, wait=False) for t in tunnels[at:at + 25]]
        wanted = {t["routes"][0]["listen"] for t in tunnels[at:at + 25]}
        wait_for(lambda: wanted <= listeners(), "25 tunnels", 120, 0.1)
    return tunnels, clients


def live(rig):
    return int(rig.redis("HLEN", "relay:live:relay1"))


def rlyd_again(rig):
    rig.servers["rlyd"].kill()
    rig.servers["rlyd"].start()


def redis_again(rig):
    rig.servers["redis"].kill()
    time.sleep(0.3)
    rig.servers["redis"].start()


@fixture
def rig():
    rig = Rig(rlyd=True, relay_conf=STARTUPS)
    for line in faults.LINES + ["AH00098"]:  # httpd finds the pid file of the one that was killed
        rig.expect(line)
    asyncio.run(faults.make_redis_lasting(rig))
    yield rig
    rig.ends_cleanly()


@fixture
def devices(rig):
    devices = Devices()
    rig.devices.append(devices)
    return devices


@fixture
def connected(rig, devices):
    """(tunnels, ssh clients)"""
    return connect_all(rig, devices)


@fixture
def tunnels(connected):
    return connected[0]


@fixture
def clients(connected):
    return connected[1]


@fixture
def sessions(rig, tunnels, clients):
    sessions = Sessions(rig, tunnels, clients)
    tap.is_(len(sessions.processes), 2 * TUNNELS, f"{TUNNELS} sessions through the HTTPS port")
    return sessions


@test
def undisturbed(rig, devices, tunnels, sessions):
    with Browsers(rig, devices, tunnels, "nothing happens"):
        time.sleep(1)


@test
def transfers(rig, devices, tunnels, sessions):
    """One after the other in the middle of the same downloads and uploads."""
    stations = [rig.device(f"nas-{i}") for i in range(2 * TRANSFERS)]
    opened = [rig.open(device.url) for device in stations]
    for tunnel in opened:
        rig.connect(tunnel)
    transfers = [Transfer(rig, t, d, i % 2) for i, (t, d) in enumerate(zip(opened, stations))]
    time.sleep(0.5)
    for what, act in (("apachectl graceful", Rig.graceful), ("rlyd is killed and started",
                                                             rlyd_again),
                      ("sshd is restarted", lambda r: r.servers["sshd"].restart()),
                      ("Redis is killed and started", redis_again)):
        running = [t.result is None for t in transfers]
        with Browsers(rig, devices, tunnels, what, redis_away=act is redis_again):
            act(rig)
        tap.ok(all(running), f"{what}: in the middle of all transfers",
               [t.result for t in transfers])
        sessions.check(what)
    for transfer in transfers:
        transfer.join(120)
    tap.is_([t.result for t in transfers], [True] * len(transfers),
            f"{TRANSFERS} downloads and {TRANSFERS} uploads arrive whole")
    wait_for(lambda: live(rig) == TUNNELS + len(opened), "live:", 5)
    tap.is_(live(rig), TUNNELS + len(opened), "live: has all tunnels")
    for tunnel in opened:
        rig.rly("close", tunnel["id"])


@test
def hard(rig, devices, tunnels, sessions):
    """httpd ends what is under way then; what comes afterwards is as good as ever."""
    for what in ("apachectl restart", "httpd is killed and started"):
        if what == "apachectl restart":
            before = keeper.descendants([rig.servers["httpd"].pid])
            rig.servers["httpd"].signal(signal.SIGHUP)
            wait_for(lambda: not set(before) & set(keeper.descendants([rig.servers["httpd"].pid])),
                     what, 20)
            wait_for(rig._https_answers, what, 20)
        else:
            children = keeper.descendants([rig.servers["httpd"].pid])
            rig.servers["httpd"].kill()
            keeper.kill_all(children)
            wait_for(lambda: not keeper.kill_all(children, 0), "the children's end")
            rig.servers["httpd"].start()
        with Browsers(rig, devices, tunnels, what):
            pass
        sessions.check(what)


def ended_within(rig, tunnel, client, since):
    """Returns how long after `since` ssh had ended and nothing listened any more, counted to the
    look that found it so."""
    def ended():
        looked = time.monotonic()
        return client.process.poll() is not None and not rig.listening(tunnel) and looked

    return wait_for(ended, "the session's end", 10, 0.005) - since


@test
def ends(rig, devices):
    """Close and expiry, with rlyd as it is and just after it was restarted."""
    for when in ("", ", right after rlyd was restarted"):
        closing = rig.open(devices.service(1000))
        client = rig.connect(closing)
        if when:
            rlyd_again(rig)
        rig.rly("close", closing["id"])
        took = ended_within(rig, closing, client, time.monotonic())
        tap.ok(took < 1, f"close ends the session within a second{when}", f"{took:.3f} s")
        tap.is_(rig.status_after(closing), 410, f"… 410{when}")
    brief = rig.open(devices.service(1001), ttl="4s")
    began = time.monotonic()  # it ends a little earlier than 4 s from here
    client = rig.connect(brief)
    took = ended_within(rig, brief, client, began)
    tap.between(took, 3, 5, "expiry ends the session within a second")
    tap.is_(rig.get(brief)[0], 410, "… 410")
    for when, wait in (("expires while rlyd is away", 3), ("expires just as rlyd comes back", 2.2)):
        brief = rig.open(devices.service(1002), ttl="3s")
        began = time.monotonic()
        client = rig.connect(brief)
        rig.servers["rlyd"].kill()
        time.sleep(max(0, began + wait + 0.3 - time.monotonic()))
        rig.servers["rlyd"].start()
        since = max(time.monotonic(), began + 3)
        took = ended_within(rig, brief, client, since)
        tap.ok(took < 1, f"a session that {when} ends within a second of the later",
               f"{took:.3f} s")
    closing = rig.open(devices.service(1003))
    client = rig.connect(closing)
    rig.servers["rlyd"].kill()
    rig.rly("close", closing["id"])
    tap.is_(rig.status_after(closing), 410, "closed while rlyd is away: 410 all the same")
    rig.servers["rlyd"].start()
    took = ended_within(rig, closing, client, time.monotonic())
    tap.ok(took < 1, "… and its session ends within a second of rlyd's start", f"{took:.3f} s")


@test
def all_closed(rig, tunnels, clients, sessions):
    sessions.check("at last")
    rig.rly("close", *(t["id"] for t in tunnels))
    began = time.monotonic()
    wait_for(
        lambda: all(c.process.poll() is not None
                    for c in clients) and not sessions.addresses & listeners(),
        "the end of all sessions", 20, 0.02)
    took = time.monotonic() - began
    tap.ok(took < 2,
           f"{TUNNELS} tunnels are closed at once: all their sessions have ended 2 s later",
           f"{took:.3f} s")
    wait_for(lambda: not sessions.now(), "the end of all processes", 5)
    tap.is_((sessions.now(), live(rig)), (set(), 0), "no process and no live: entry is left")


tap.run()
