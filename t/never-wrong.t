#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""Never the wrong device: random operations on many tunnels, and faults, while visitors keep
asking; every answer is judged. The clock of the relay's programs steps by a second all the while
(not with RELAY_STEPS=0, nor where RELAY_SANITIZER preloads a library of its own). In a listen space
like the default one, and in one of 50 addresses that come back after 4 s; after 2 s if no clock
steps.

An address comes back when Redis's clock says that its cooldown is over. So that no cache outlives
that, and what rlyd and rly know of old sessions holds, steps may add up to half of the cooldown: in
the small space the clock is off by 1 s at most, so that of 4 s there are 2 s left whatever it does,
and RelayStaleMax is 1 s.

RELAY_SEED repeats a run's decisions (each actor has its own random numbers; what the machine makes
of it differs). RELAY_SOAK=SECONDS runs that long in each space instead of 25 s; each is a test.
"""
import asyncio
import os
import random
import re
import time

from lib import chaos, log, Rig, tap, test
from lib.clockrig import ClockRig

SECONDS = float(os.environ.get("RELAY_SOAK", "25"))
SEED = os.environ.get("RELAY_SEED", str(random.SystemRandom().randrange(10**9)))
STEPS = os.environ.get("RELAY_STEPS") != "0" and not os.environ.get("RELAY_SANITIZER")
VHOST = "RelayStaleMax 1s\nRelayBackendConnectTimeout 2s\nRelayBackendTimeout 4s"


def spaces(rng):
    # the default's size, so that its counter goes by the clock, but apart from the spaces that
    # other rigs take
    wide = f"127.{rng.randrange(128, 192, 2)}.0.0/15:10000-59999"
    low = rng.randrange(10000, 59000)
    small = f"127.{rng.randrange(192, 198)}.{rng.randrange(256)}.7:{low}-{low + 49}"
    return {"wide": (wide, 900, 3), "small":
            (small, 4, 1)} if STEPS else {"wide": (wide, 900, 0), "small": (small, 2, 0)}


def with_log(rig, fault):
    """A fault with what rlyd said last of the tunnel that it names."""
    found = re.search(r"tunnel \d+ ([a-z2-7]{16})", fault)
    if not found:
        return fault
    lines = [line for line in log(rig).split("\n") if found[1] in line]
    return "\n    ".join([f"{fault}; rlyd:", *lines[-8:]])


def check_space(space):
    tap.diag(f"RELAY_SEED={SEED}")
    os.nice(5)
    listen, cooldown, steps = spaces(random.Random(SEED))[space]
    options = dict(listen=listen,
                   cooldown=f"{cooldown}s",
                   vhost=VHOST,
                   httpd_conf="LogLevel warn relay:warn")
    rig = ClockRig(**options) if steps else Rig(rlyd=True, **options)
    chaos.expected_lines(rig)
    began = time.monotonic()
    world = chaos.World(rig, f"{SEED}-{space}", SECONDS, space == "small", cooldown, steps)
    asyncio.run(world.run())
    counted, answers = world.counted, world.judge.answers
    tap.diag(f"{space} ({listen}), {time.monotonic() - began:.0f} s: {world.totals()}")
    tap.ok(
        not world.judge.wrong,
        f"{space}: {answers.total()} answers, each from the right device or the right error page",
        "\n".join([*world.judge.wrong[:20], world.recent_faults()]))
    for status in (200, 404, 410, 503):
        tap.ok(answers[status] >= 10, f"{space}: among them {status}s", answers)
    tap.ok(
        not world.faults,
        f"{space}: {counted['open']} opened, {counted['close']} closed, {counted['expire']} "
        "expired, "
        f"{counted['connect']} sessions; all as it should be",
        "\n".join(with_log(rig, fault) for fault in world.faults[:20]))
    if steps:
        tap.is_(rig.shifted(), sorted(rig.servers), f"{space}: the clock of each server steps")
    for what in ("open", "close", "expire", "extend", "connect", "drop", "freeze", "graceful",
                 "redis", "rlyd", "websocket", "slow", "race",
                 *(("clock forward", "clock back") if steps else ())):
        tap.ok(counted[what] > 0, f"{space}: {what} was done", counted)
    for name, leaked in world.leaks:
        tap.ok(not leaked, f"{space}: {name}", leaked)
    rig.ends_cleanly(f"{space}: the rig")


@test
def wide():
    check_space("wide")


@test
def small():
    check_space("small")


tap.run()
