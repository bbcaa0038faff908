# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Faults for never-wrong.t: each part of the relay is ended, stopped or started again, one at a
time."""
import asyncio
import os
import shutil
import signal

from .riglog import DEVICE_GONE

LINES = [
    # Redis went away or came back
    r" # CONFIG REWRITE|RLY111 |RLY120 |RLY43[015] |AuthorizedKeysCommand \S*relay-authkeys .* "
    r"failed, status",
    # rlyd went away
    r"RLY150 ",
    # one device that comes back again and again
    r"RLY46[01] ",
    DEVICE_GONE,
]


async def make_redis_lasting(rig):
    """From now on a restart finds all that was written before."""
    for pair in (("appendonly", "yes"), ("appendfsync", "always")):
        await asyncio.to_thread(rig.redis, "CONFIG", "SET", *pair)
    await asyncio.to_thread(rig.redis, "CONFIG", "REWRITE")


async def graceful(world, rng):
    await asyncio.to_thread(world.rig.graceful)


async def redis(world, rng):
    """kill -9, a while without it, and it is back with all its data."""
    over = world.judge.trouble()
    server = world.rig.servers["redis"]
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(rng.choice((0, 0.2, 1.5)))
    await asyncio.to_thread(server.start)
    over()


async def redis_hangs(world, rng):
    over = world.judge.trouble()
    world.rig.servers["redis"].signal(signal.SIGSTOP)
    await asyncio.sleep(rng.choice((0.1, 0.4, 1.5)))
    world.rig.servers["redis"].signal(signal.SIGCONT)
    over()


async def redis_empty(world, rng):
    """It comes back and has forgotten everything. The counter of listen addresses goes on from the
    clock then, and would come to the same addresses once more if that was set back at the same
    time: what happens then is not promised."""
    await world.steps.stop_going_back()
    over = world.judge.trouble()
    server = world.rig.servers["redis"]
    await asyncio.to_thread(server.kill)
    now = world.emptied = world.now()
    lost = [
        t for tunnels in world.judge.names.values() for t in tunnels
        if t.opened <= now and not t.lost
    ]
    for tunnel in lost:
        tunnel.closed_from = min(tunnel.closed_from, now)
        tunnel.lost = True
    for entry in os.listdir(f"{world.rig.dir}/redis"):
        path = f"{world.rig.dir}/redis/{entry}"
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    await asyncio.to_thread(server.start)
    for tunnel in lost:
        tunnel.closed = min(tunnel.closed, world.now())
    over()
    await asyncio.sleep(1)
    world.steps.only_forward = False


async def rlyd(world, rng):
    """kill -9, and another one that has to find the sessions."""
    span = [world.now(), float("inf")]
    world.fleet.rlyd_away.append(span)
    server = world.rig.servers["rlyd"]
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(rng.choice((0, 0.3, 1, 5)))  # 5: longer than the small space's cooldown
    await asyncio.to_thread(server.start)
    span[1] = world.now() + 1


async def sshd(world, rng):
    """The listening sshd; its sessions stay."""
    await asyncio.to_thread(world.rig.servers["sshd"].restart)


class Steps:
    """Steps of the clock that all programs of the relay have, beside all other faults. A tunnel
    ends when Redis's clock says so; that is sooner when the clock goes forward meanwhile, later
    when it goes back, and who reckoned it from an earlier reading is off by as much. So each of its
    bounds goes by the one of all readings since it was granted that takes the bound furthest, and
    that is all that steps excuse."""
    def __init__(self, world, limit):
        self.world, self.limit = world, limit
        self.offsets = [(0.0, 0)]  # [since when, by how many seconds the clock is off]
        self.latest = 0.0  # what the clock said before it was set back
        self.only_forward = False

    def since(self, start):
        """All that the clock has been off by since then."""
        known = self.offsets[-40:]
        return [
            offset for (_, offset), (until, _) in zip(known, known[1:] + [(float("inf"), 0)])
            if until >= start
        ]

    def granted(self, tunnel, began, ttl, surely=True):
        """At some time between began and now Redis gave the tunnel so many seconds from then on;
        surely, or perhaps."""
        now, off = self.world.now(), self.since(began)
        if tunnel.expires_from < now:
            if tunnel.expires_from:  # 0: it is new
                tunnel.over_until = now
            tunnel.opened = now  # before that it was over for who reckoned so
        tunnel.clock = max(tunnel.clock, now + ttl + max(off))
        tunnel.expires = max(tunnel.expires, tunnel.clock - min(off))
        if surely:
            tunnel.clock_from = max(tunnel.clock_from, began + ttl + min(off))
            tunnel.expires_from = max(tunnel.expires_from, tunnel.clock_from - max(off))

    def step(self, seconds):
        now, before = self.world.now(), self.offsets[-1][1]
        offset = before + seconds
        self.latest = max(self.latest, now + before)
        self.offsets.append((now, offset))
        for tunnels in self.world.judge.names.values():
            for tunnel in tunnels:
                # a step back may wake it once more
                if max(tunnel.expires, tunnel.clock - offset) > now:
                    tunnel.expires_from = min(tunnel.expires_from, tunnel.clock_from - offset)
                    tunnel.expires = max(tunnel.expires, tunnel.clock - offset)
        self.world.rig.step(seconds)
        self.world.counted["clock forward" if seconds > 0 else "clock back"] += 1

    async def stop_going_back(self):
        """Until only_forward is False again; returns when the clock says what it has never said
        before."""
        self.only_forward = True
        while self.world.now() + self.offsets[-1][1] <= self.latest:
            await asyncio.sleep(0.05)

    async def happen(self):
        rng = self.world.rng("clock")
        while not self.world.stopping:
            offset = self.offsets[-1][1]
            seconds = rng.choice((-1, 1)) if abs(offset) < self.limit else -1 if offset > 0 else 1
            if seconds > 0 or not self.only_forward:
                self.step(seconds)
            await asyncio.sleep(rng.choice((0.3, 1, 2, 4)))


KINDS = {
    "graceful": (graceful, 5), "redis": (redis, 3), "redis hangs": (redis_hangs, 2), "rlyd":
    (rlyd, 4), "sshd": (sshd, 2)
}


async def happen(world):
    """One fault after the other; each kind early once, then by chance. Redis is emptied late, and
    every 40 s from then on."""
    rng = world.rng("faults")
    await asyncio.sleep(2)
    first = list(KINDS)
    rng.shuffle(first)
    empty_at = world.began + world.seconds * 0.75
    while not world.stopping:
        if world.now() > empty_at and not first:
            empty_at = world.now() + 40
            name, fault = "redis empty", redis_empty
        else:
            name = first.pop() if first else rng.choices(list(KINDS),
                                                         [w for _, w in KINDS.values()])[0]
            fault = KINDS[name][0]
        span = [world.now(), float("inf"), name]
        world.happened.append(span)
        await fault(world, rng)
        span[1] = world.now() + 1
        world.counted[name] += 1
        # on a slow machine, too, each kind shall have its turn
        for _ in range(8 if first else rng.choice((8, 15, 30))):
            if world.stopping:
                return
            await asyncio.sleep(0.1)
