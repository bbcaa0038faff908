#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The machine's clock steps, for all programs of the relay at once: to and fro by a second all the
time, forward by an hour, back by an hour. (Devices and visitors have clocks of their own. httpd's
clock alone: cache.t.)

A tunnel ends when that clock says so, and no session ends before. Nobody sees another's device, and
no listen address comes twice.
"""
import os
import random
import time

from lib import DEVICE_GONE, events, fixture, live, tap, test, wait_for
from lib.clockrig import ClockRig


def ask_all(rig, tunnels):
    """Asks tunnels that are up. Returns what is wrong with their answers."""
    wrong = []
    for tunnel, ident in tunnels:
        status, _, body = rig.get(tunnel)
        if (status, body) != (200, ident.encode()):
            wrong.append((ident, status, body[:60]))
    return wrong


@fixture
def rig():
    rig = ClockRig()
    rig.expect("Failed publickey", DEVICE_GONE)
    yield rig
    rig.ends_cleanly()


@fixture
def devices(rig):
    return rig.devices_("one", "two", "three")


@fixture
def tunnels(rig, devices):
    return [(rig.open(d.url, ttl="9h"), d.id) for d in devices]


@fixture
def sessions(rig, tunnels):
    sessions = [rig.connect(t) for t, _ in tunnels]
    tap.is_(ask_all(rig, tunnels), [], "three tunnels")
    return sessions


@fixture
def rng():
    seed = os.environ.get("RELAY_SEED", str(random.SystemRandom().randrange(10**9)))
    tap.note(f"RELAY_SEED={seed}")
    return random.Random(seed)


@test
def to_and_fro(rig, devices, tunnels, sessions, rng):
    wrong, opened, until = [], 0, time.monotonic() + 4
    while time.monotonic() < until:
        rig.step(rng.choice((-1, 1)) if abs(rig.offset) < 3 else -rig.offset)
        wrong += ask_all(rig, tunnels)
        if rng.random() < 0.3:
            device = rng.choice(devices)
            new = rig.open(device.url)
            session = rig.connect(new)
            wrong += ask_all(rig, [(new, device.id)])
            rig.rly("close", new["id"])
            began = time.monotonic()
            wait_for(lambda: rig.get(new)[0] == 410 and not rig.listening(new),
                     "the closed tunnel's end", 5)
            if time.monotonic() - began > 1:
                wrong.append(f"a close took {time.monotonic() - began:.2f} s")
            session.stop()
            opened += 1
    tap.ok(opened > 2 and not wrong,
           f"a second to and fro: {opened} tunnels opened and closed, every answer right",
           wrong[:5])
    tap.is_([s.process.poll() for s in sessions], [None] * len(sessions),
            "a second to and fro: no session ends")


@test
def forward(rig, devices, tunnels, sessions):
    brief = rig.open(devices[0].url, ttl="30m")
    session = rig.connect(brief)
    tap.is_(rig.get(brief)[0], 200, "a tunnel for half an hour")
    rig.step(3600)
    began = time.monotonic()
    wait_for(lambda: rig.get(brief)[0] == 410, "410", 10)
    tap.ok(time.monotonic() - began < 2,
           "the clock goes forward by an hour: it is over, visitors are told",
           time.monotonic() - began)
    wait_for(lambda: session.process.poll() is not None, "its session's end", 20)
    tap.ok(time.monotonic() - began < 12, "and its session ends with the next look at all records",
           time.monotonic() - began)
    tap.is_(ask_all(rig, tunnels), [], "longer ones serve")
    tap.is_([s.process.poll() for s in sessions], [None] * len(sessions),
            "and their sessions go on")
    # rlyd's last word on which addresses are in use seems an hour old until it says it again
    wait_for(lambda: rig.rly("open", "80", check=False).returncode == 0, "rly opens", 12)
    tap.ok(time.monotonic() - began < 12, "rly opens again", time.monotonic() - began)
    new = rig.open(devices[1].url, ttl="2s")
    began = time.monotonic()
    rig.connect(new)
    tap.is_(ask_all(rig, [(new, devices[1].id)]), [], "a new one for 2 s serves")
    wait_for(lambda: rig.get(new)[0] == 410 and not rig.listening(new), "its end", 10)
    tap.between(time.monotonic() - began, 1, 4, "and ends in time")


@test
def rlyd_away(rig, devices):
    """rlyd judges what it finds at its start by its age. A clock that was put back makes tunnels
    younger than they are."""
    tunnel = rig.open(devices[0].url)
    session = rig.connect(tunnel)
    rig.servers["rlyd"].kill()
    rig.step(-60)
    rig.servers["rlyd"].start()
    wait_for(
        lambda: tunnel["routes"][0]["listen"] in live(rig) or session.process.poll() is not None,
        "it is found or ended", 10)
    time.sleep(1)
    tap.is_((session.process.poll(), rig.get(tunnel)[0]), (None, 200),
            "a minute back while rlyd is away: it ends no session")
    rig.step(60)
    rig.rly("close", tunnel["id"])
    wait_for(lambda: not rig.listening(tunnel), "its end", 5)


@test
def woken(rig, devices):
    """A tunnel that had ended seems open again when the clock is put back; what its visitors were
    told stays true."""
    tunnel = rig.open(devices[0].url, ttl="20s")
    tap.is_(rig.get(tunnel)[0], 503, "a tunnel for 20 s, without a device")
    rig.step(30)
    wait_for(lambda: rig.get(tunnel)[0] == 410, "410", 10)
    # Redis comes across it, and removes it
    rig.redis("EXISTS", f"relay:route:{tunnel['routes'][0]['name']}")
    rig.step(-30)
    result = rig.rly("extend", "-t", "1h", tunnel["id"], check=False)
    tap.is_((result.returncode, rig.get(tunnel)[0]), (1, 410),
            "half a minute forward and back: it has ended, and is not extended")
    tap.like(result.stderr, "expired", "and rly says why")


@test
def back(rig, devices, tunnels, sessions):
    addresses = [t["routes"][0]["listen"]
                 for t, _ in tunnels] + [rig.open("80")["routes"][0]["listen"] for _ in range(10)]
    counter = int(rig.redis("GET", "relay:next:relay1"))
    before = rig.redis_time()
    rig.step(-7200)
    tap.ok(rig.redis_time() < before - 7000, "the clock goes back by two hours, Redis's too",
           rig.redis_time() - before)
    tap.is_(ask_all(rig, tunnels), [], "all serve")
    later = [rig.open("80")["routes"][0]["listen"] for _ in range(10)]
    tap.is_((len(set(addresses + later)), int(rig.redis("GET", "relay:next:relay1")) > counter),
            (len(addresses) + 10, True), "no listen address comes twice")
    tap.is_([s.process.poll() for s in sessions], [None] * len(sessions), "sessions go on")
    new = rig.open(devices[1].url, ttl="2s")
    began = time.monotonic()
    session = rig.connect(new)
    tap.is_(ask_all(rig, [(new, devices[1].id)]), [], "a new one for 2 s serves")
    wait_for(lambda: rig.get(new)[0] == 410 and not rig.listening(new), "its end", 10)
    tap.between(time.monotonic() - began, 1, 4, "and ends in time")
    new = rig.open(devices[0].url)
    session = rig.connect(new)
    rig.rly("close", new["id"])
    began = time.monotonic()
    wait_for(lambda: rig.get(new)[0] == 410 and session.process.poll() is not None, "a close", 5)
    tap.ok(time.monotonic() - began < 1.5, "a close is a close at once", time.monotonic() - began)
    wait_for(lambda: {e["what"]
                      for e in events(rig, tunnel=new)} >= {"open", "up", "close"}, "its events", 5)
    tap.ok(True, "with its events")
    brief = rig.open(devices[0].url, ttl="3s")
    session = rig.connect(brief)
    began = time.monotonic()
    rig.step(-60)
    time.sleep(4)
    # the record lives for a minute more by Redis's clock: either is right, but both parts have to
    # agree in the end
    wait_for(lambda: (rig.get(brief)[0] == 200) == (session.process.poll() is None), "both agree",
             20)
    tap.note(f"a tunnel for 3 s, the clock a minute back: {rig.get(brief)[0]}, session "
             f"{session.process.poll()}")
    tap.ok(
        rig.get(brief)[0] in (200, 503, 410),
        "a tunnel that the clock gave a minute more is there or not, as a whole")
    rig.rly("close", brief["id"])
    wait_for(lambda: not rig.listening(brief), "its end", 3)


@test
def afterwards(rig, tunnels, sessions):
    wait_for(lambda: len(live(rig)) == 3, "live: is right", 10)
    tap.is_(ask_all(rig, tunnels), [], "after all that the first three serve")


@test
def same_address(devices):
    """A session that nobody ends, rlyd being away, has the only address of the listen space. Its
    tunnel was opened after rlyd's last look, but as the clock was set back in between its address
    is free again before that look is a cooldown old."""
    base = f"127.{64 + os.getpid() % 60}.{os.getpid() // 60 % 250}"
    rig = ClockRig(listen=f"{base}.10:21000-21000", cooldown="6s")
    looked = rig.redis("HGET", "relay:seen:relay1", "at")
    wait_for(lambda: rig.redis("HGET", "relay:seen:relay1", "at") != looked, "rlyd looks", 5)
    rig.servers["rlyd"].kill()
    rig.step(-2)
    old = rig.open(devices[0].url, ttl="1s")
    session = rig.connect(old, args=("-o", f"Port={rig.ssh_port}"))
    until, opened = time.monotonic() + 9, 0
    while time.monotonic() < until:
        opened += rig.rly("open",
                          "-k",
                          f"{rig.dir}/etc/ssh_host_ed25519_key.pub",
                          "80",
                          check=False).returncode == 0
    tap.is_((opened, rig.listening(old)), (0, True),
            "rlyd away and the clock set back: an address that is in use does not come back")
    rig.servers["rlyd"].start()
    wait_for(lambda: session.process.poll() is not None, "the old session's end", 5)
    wait_for(lambda: rig.rly("open", "80", check=False).returncode == 0, "rly opens", 10)
    tap.ok(True, "it comes back when rlyd has ended the session")
    rig.ends_cleanly("the small rig")


tap.run()
