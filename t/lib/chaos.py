# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The world of never-wrong.t: operators that open and close, devices that come and go, visitors
that ask, and faults.

All of them are tasks of one event loop, each with random numbers of its own, so that a seed repeats
what each decides.
"""
import asyncio
import collections
import json
import os
import random
import re
import time

from . import faults, keeper
from .fleet import Fleet
from .judge import GRACE, Judge, Tunnel
from .manydevices import Devices
from .visitor import Visitor, WebSocket

OPERATORS, VISITORS, SOCKETS = 5, 6, 4
MORE_OPERATORS = 12  # in a run that is to be long
NAMES = 40  # chosen names, which are taken again and again
OPEN = {False: 60, True: 38}  # so many tunnels at once, by whether the space is small
KEYS = 150


def expected_lines(rig):
    """Declares the lines that the faults make the servers write."""
    for line in faults.LINES:
        rig.expect(line)


class World:
    def __init__(self, rig, seed, seconds, small, cooldown, steps):
        """cooldown: the rig's, in seconds; steps: how far the rig's clock may be off, 0 where it
        cannot step."""
        self.rig, self.seed, self.seconds = rig, seed, seconds
        self.small, self.cooldown = small, cooldown
        self.counted = collections.Counter()
        self.most = collections.Counter()  # the longest that something took, in ms
        self.faults = []  # what went wrong that is no answer to a visitor
        self.leaks = []  # (what must not be left, what was left)
        self.open_tunnels = []
        self.numbers = 0
        self.names = [f"name-{i}" for i in range(NAMES)]
        self.recent = collections.deque(maxlen=60)
        self.tasks = set()
        self.stopping = False
        self.emptied = 0.0  # when Redis lost everything
        self.happened = []  # [from, to, which fault]
        self.steps = faults.Steps(self, steps)
        self.env = rig.shift.env if steps else {}
        self.lag = 0.0

    def rng(self, actor):
        return random.Random(f"{self.seed}-{actor}")

    def now(self):
        return time.monotonic()

    def blame(self, text):
        self.faults.append(f"{time.strftime('%H:%M:%S')} {text}")

    def took(self, what, seconds):
        self.most[what] = max(self.most[what], round(max(seconds, 0) * 1000))

    def totals(self):
        judge = self.judge
        return (
            f"{dict(sorted(self.counted.items()))}; answers "
            f"{dict(sorted(judge.answers.items()))}; at most, in ms: "
            f"{dict(self.most)}, last answer {max(0, round(judge.latest * 1000))} after an end; "
            f"{judge.excused} excused while Redis was away")

    def spawn(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.blame(f"a task of the test died: {task.exception()!r} {task.get_stack()}")

    # --- the whole run

    async def run(self):
        self.judge = Judge(self.now)
        self.devices = Devices()
        self.rig.devices.append(self.devices)
        self.fleet = Fleet(self)
        await self.fleet.make_keys(KEYS)
        await faults.make_redis_lasting(self.rig)
        self.began = self.now()
        self.tick = self.spawn(self.ticker())
        actors = [
            self.operator(i) for i in range(OPERATORS if self.seconds < 120 else MORE_OPERATORS)
        ]
        actors += [self.visitor(i) for i in range(VISITORS)]
        actors += [self.socket(i) for i in range(SOCKETS)]
        actors += [faults.happen(self)]
        if self.steps.limit:
            actors += [self.steps.happen()]
        running = [self.spawn(actor) for actor in actors]
        await asyncio.sleep(self.seconds)
        self.stopping = True
        await asyncio.wait(running, timeout=60)
        await self.end()
        self.tick.cancel()

    async def ticker(self):
        """Measures how late this test itself is, which is no fault of the relay's."""
        while True:
            before = self.now()
            await asyncio.sleep(0.05)
            self.lag = max(self.now() - before - 0.05, self.lag * 0.9)
            self.took("lag of the test", self.lag)

    async def end(self):
        """Closes all, and looks for what is left."""
        listed = json.loads((await self.rly("list", "--json"))[1])
        known = {t.id for t in self.open_tunnels}
        for entry in listed["tunnels"] if isinstance(listed, dict) else listed:
            if entry["id"] not in known:
                # its open got no answer because Redis went away
                await self.rly("close", entry["id"])
                self.counted["orphan"] += 1
        for tunnel in list(self.open_tunnels):
            await self.close(tunnel)
        for _ in range(200):
            if self.tasks <= {self.tick}:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5 + (self.cooldown if self.small else 2))
        await self.look_for_leaks()

    async def look_for_leaks(self):
        rig = self.rig
        stray = [str(t) for t in self.tasks - {self.tick} if not t.done()]
        self.leaks.append(("no task of the test hangs", stray))
        below = keeper.descendants([os.getppid()])
        sshd = rig.servers["sshd"].pid
        left = []
        for pid in below:
            try:
                with open(f"/proc/{pid}/comm") as f:
                    comm = f.read().strip()
            except OSError:
                continue
            if comm in ("sshd", "ssh", "relay-authkeys", "rly", "sshd-session") and pid != sshd:
                left.append((pid, comm))
        self.leaks.append(("no session's process is left", left))
        keys = rig.redis("KEYS", "*").split("\n")
        for kind in ("route", "key"):
            self.leaks.append((f"no {kind}: is left in Redis",
                               [k for k in keys if k.startswith(f"relay:{kind}:")]))
        self.leaks.append(
            ("no tunnel is listed as open", rig.redis("ZRANGE", "relay:tunnels", "0", "-1")))
        self.leaks.append(("nothing is live", rig.redis("HKEYS", "relay:live:relay1")))
        slots = [k for k in keys if k.startswith("relay:slot:")]
        if self.small:
            self.leaks.append(("no slot is left", slots))
        else:
            sample = slots[:200]
            script = "local r={} for i,k in ipairs(KEYS) do r[i]=redis.call('PTTL',k) end return r"
            ttls = rig.redis("EVAL", script, len(sample), *sample).split("\n") if sample else []
            most = 1000 * (self.cooldown + 2 * self.steps.limit)
            self.leaks.append(("each slot is given back after the cooldown",
                               [t for t in ttls if not 0 <= int(t) <= most]))

    # --- operators

    async def rly(self, *args):
        """rly's exit status, output and errors."""
        process = await asyncio.create_subprocess_exec(self.rig.program("rly"),
                                                       *map(str, args),
                                                       stdin=asyncio.subprocess.DEVNULL,
                                                       stdout=asyncio.subprocess.PIPE,
                                                       stderr=asyncio.subprocess.PIPE,
                                                       env=dict(os.environ,
                                                                RELAY_CONF=self.rig.conf,
                                                                **self.env))
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def operator(self, number):
        rng = self.rng(f"operator-{number}")
        while not self.stopping:
            choice = rng.random()
            crowd = len(self.open_tunnels) / OPEN[self.small]
            if choice < 0.75 - 0.5 * crowd:
                await self.open(rng)
            elif choice < 0.93 and self.open_tunnels:
                await self.end_somehow(rng, self.victim(rng))
            elif self.open_tunnels:
                await self.extend(rng, rng.choice(self.open_tunnels))
            await asyncio.sleep(rng.choice((0, 0, 0.01, 0.05)))

    def victim(self, rng):
        """Mostly one without a device: these come and go fast around those that stay."""
        idle = [t for t in self.open_tunnels if not t.session]
        return rng.choice(idle if idle and rng.random() < 0.85 else self.open_tunnels)

    async def open(self, rng):
        """One tunnel; what becomes of it is decided here, too."""
        name = rng.choice(self.names) if rng.random() < 0.5 and self.names else None
        ttl = rng.choice((1000, 1500, 2000, 3000)) if rng.random() < 0.25 else 120000
        connect, at_once, ask = rng.random() < 0.35, rng.random() < 0.3, rng.random() < 0.6
        if name:
            self.names.remove(name)
        key = await self.fleet.take_key()
        n, self.numbers = self.numbers, self.numbers + 1
        began = self.now()
        tunnel = Tunnel(n, name, self.devices.secret(n), began)
        if name:
            self.judge.add(tunnel)
        status, out, err = await self.rly("open", "--json", "-k", f"{key}.pub", "-t", f"{ttl}ms",
                                          *(["-n", name] if name else []), self.devices.service(n))
        now = self.now()
        if status:
            await self.not_opened(status, err, tunnel, key)
            return
        made = json.loads(out)
        if not name:
            tunnel.name = made["routes"][0]["name"]
            self.judge.add(tunnel)
        tunnel.id, tunnel.listen, tunnel.key, tunnel.opened = made["id"], made["routes"][0][
            "listen"], key, now
        tunnel.chosen = name
        tunnel.clock_from = tunnel.clock = tunnel.expires_from = tunnel.expires = 0.0
        self.steps.granted(tunnel, began, ttl / 1000)
        self.counted["open"] += 1
        if began <= self.emptied:
            # Redis has forgotten everything meanwhile: perhaps this one, too.
            tunnel.lost, tunnel.closed_from = True, began
            await self.rly("close", tunnel.id)
            if name:
                self.names.append(f"name-{NAMES + n}")
            return
        self.open_tunnels.append(tunnel)
        self.spawn(self.watch(tunnel))
        if ask:
            # whoever had its address before must not answer
            self.spawn(self.one_request(tunnel.name, "/"))
        if connect:
            self.fleet.connect(tunnel, rng)
        elif at_once:
            await self.end_somehow(rng, tunnel)

    async def not_opened(self, status, err, tunnel, key):
        refused = "rlyd on" in err or "Redis has lost" in err
        if status == 3 and not refused and self.starved(tunnel.opened_from):
            # name and key may be taken for two minutes: others instead
            self.counted["open unknown"] += 1
            if tunnel.name:
                # in case that it was opened: until when, nobody knows
                tunnel.closed_from = tunnel.opened_from
                self.names.append(f"name-{NAMES + tunnel.n}")
            return
        if tunnel.name:
            self.judge.names[tunnel.name].remove(tunnel)
            self.names.append(tunnel.name)
        unseen = refused and (self.rlyd_away(tunnel.opened_from - 5, self.now()) or
                              self.now() < self.emptied + 10)
        if self.small and (unseen or status == 1 and "used up" in err):
            self.counted["open unseen" if unseen else "open full"] += 1
            self.fleet.give_key(key)
            await asyncio.sleep(0.1)
            return
        if status == 1 and re.search(r"key.* tunnel|name.*taken|in use",
                                     err) and self.judge.troubles:
            self.counted["open taken"] += 1  # by one whose open got no answer
            return
        self.blame(f"rly open: exit status {status}: {err}")

    async def watch(self, tunnel):
        """Sees a tunnel to its end: notes it, and demands 410 from then on."""
        while self.now() < tunnel.ends and not tunnel.lost:
            await asyncio.sleep(min(0.1, max(0.001, tunnel.ends - self.now())))
        if tunnel in self.open_tunnels:
            self.open_tunnels.remove(tunnel)
            if not tunnel.lost:
                self.counted["expire"] += 1
        self.recent.append(tunnel.name)
        if not tunnel.lost:
            await self.demand_gone(tunnel)
        if tunnel.session:
            await tunnel.session
        if tunnel.chosen and tunnel.chosen not in self.names:
            self.names.append(tunnel.chosen)
        # Redis may give the key to its next tunnel once this one has ended by Redis's own clock.
        self.fleet.give_key(tunnel.key)

    async def demand_gone(self, tunnel):
        """410 within a second of the end, and the processes gone."""
        visitor = Visitor(self.rig)
        try:
            while True:
                start = self.now()
                status = await self.ask(visitor, tunnel.name, "/")
                if status in (404, 410):
                    self.took("410 after an end" + self.after(tunnel.ends, start),
                              start - tunnel.ends)
                    return
                if start - tunnel.ends > GRACE and not self.judge.troubled(tunnel.ends, self.now()):
                    self.blame(f"{tunnel}: {status} {start - tunnel.ends:.3f} s after its end")
                    return
                if start - tunnel.ends > 10:
                    self.blame(f"{tunnel}: {status} 10 s after its end")
                    return
                await asyncio.sleep(0.02)
        finally:
            visitor.close()

    async def end_somehow(self, rng, tunnel):
        """Closes it, in one of the ways that are races."""
        how = rng.random()
        if tunnel.ends_from < self.now() + 5:
            return  # it expires; or another operator is at it
        if how < 0.25:
            for _ in range(3):
                self.spawn(self.one_request(tunnel.name, "/"))
            self.counted["race"] += 1
        elif how < 0.5 and tunnel.session:
            self.spawn(self.one_request(tunnel.name, f"/slow?s={rng.choice((0.1, 0.3, 0.8, 1.5))}"))
            self.counted["slow"] += 1
            await asyncio.sleep(rng.choice((0.02, 0.1, 0.3)))
        if tunnel in self.open_tunnels:
            await self.close(tunnel)

    async def close(self, tunnel):
        if tunnel in self.open_tunnels:
            self.open_tunnels.remove(tunnel)
        before, tunnel.closed_from = tunnel.expires_from, min(tunnel.closed_from, self.now())
        while not tunnel.lost:
            began = self.now()
            status, _, err = await self.rly("close", tunnel.id)
            if status == 0 or status == 1 and ("ended" in err or "closed" in err or
                                               "expired" in err):
                tunnel.closed = min(tunnel.closed, self.now())
                self.counted["close" if status == 0 else "close twice"] += 1
                return
            if status != 3 or not self.starved(began):
                if not tunnel.lost and before > self.now():
                    self.blame(f"rly close {tunnel}: exit status {status}: {err}")
                return
            await asyncio.sleep(0.1)

    async def extend(self, rng, tunnel):
        """Sometimes of one that is just about to expire."""
        ttl = 3 if tunnel.ends_from < self.now() + 1 else rng.choice((122, 130, 300))
        if tunnel.extending:
            return
        tunnel.extending, began = True, self.now()
        status, _, err = await self.rly("extend", "-t", f"{ttl}s", tunnel.id)
        tunnel.extending = False
        if status not in (1, 2):
            self.steps.granted(tunnel, began, ttl, surely=status == 0)
        if status == 0:
            self.counted["extend"] += 1
        elif status == 3 and not self.starved(began) or status == 2:
            self.blame(f"rly extend {tunnel}: exit status {status}: {err}")

    # --- visitors

    async def ask(self, visitor, name, path):
        start = self.now()
        try:
            status, _, body = await visitor.get(name, path)
        except asyncio.CancelledError:
            raise
        except Exception as e:
            self.judge.blame(f"no answer to a request for {name}{path} of {start:.3f}: {e!r}")
            return None
        self.judge.judge(name, start, status, body)
        return status

    async def one_request(self, name, path):
        visitor = Visitor(self.rig)
        try:
            await self.ask(visitor, name, path)
        finally:
            visitor.close()

    def pick(self, rng):
        """A name to ask for: mostly of open tunnels, also of such that were, and of such that never
        were."""
        choice = rng.random()
        if choice < 0.6 and (up := self.fleet.connected()):
            return rng.choice(up).name
        if choice < 0.75 and self.open_tunnels:
            return rng.choice(self.open_tunnels).name
        if choice < 0.9 and self.recent:
            return rng.choice(self.recent)
        return rng.choice((f"never-{rng.randrange(10 ** 6)}", f"name-{rng.randrange(NAMES)}"))

    async def visitor(self, number):
        rng = self.rng(f"visitor-{number}")
        visitor = Visitor(self.rig)
        while not self.stopping:
            path = "/"
            if rng.random() < 0.08:
                path = f"/slow?s={rng.choice((0.05, 0.2, 0.6, 1.2))}"
            elif rng.random() < 0.02:
                path = "/quiet"
            await self.ask(visitor, self.pick(rng), path)
            await asyncio.sleep(rng.choice((0, 0.002, 0.01)))
        self.counted["retry"] += visitor.retries
        visitor.close()

    async def socket(self, number):
        """Holds a WebSocket to a device; it must end with its tunnel."""
        rng = self.rng(f"socket-{number}")
        while not self.stopping:
            up = self.fleet.connected()
            if up:
                await self.hold(rng, rng.choice(up))
            await asyncio.sleep(0.1)

    async def hold(self, rng, tunnel):
        web = WebSocket(self.rig)
        start = self.now()
        try:
            status = await web.open(tunnel.name)
            if status != 101:
                return
            self.counted["websocket"] += 1
            until = self.now() + rng.choice((1, 3, 8))
            while self.now() < until and not self.stopping:
                asked = self.now()
                who = await asyncio.wait_for(web.ask(), 3)
                if who is None:
                    return
                if who != tunnel.secret:
                    self.judge.blame(
                        f"THE WRONG DEVICE on a WebSocket of {start:.3f}: {who}, not {tunnel}")
                if asked - tunnel.ends > GRACE + 0.5 + self.lag and not self.rlyd_away(
                        tunnel.ends, asked):
                    self.blame(
                        f"{tunnel} still answers on a WebSocket, {asked - tunnel.ends:.3f} s "
                        "after its end")
                    return
                if asked > tunnel.ends:
                    self.took("WebSocket after an end" + self.after(tunnel.ends, asked),
                              asked - tunnel.ends)
                await asyncio.sleep(0.05)
        except asyncio.TimeoutError:
            pass  # a frozen device
        except (OSError, asyncio.IncompleteReadError):
            self.counted["websocket refused"] += 1
        finally:
            web.close()

    def starved(self, start):
        """Says whether Redis was away meanwhile, or this machine too busy for its deadlines, some
        of which go by the clock that steps."""
        return self.judge.troubled(start,
                                   self.now()) or self.lag > 0.3 or len(self.steps.since(start)) > 1

    def calm(self, start, end):
        return not any(a <= end and start <= b for a, b, _ in self.happened[-20:])

    def recent_faults(self):
        spans = (f"{what} {start:.3f}-{end:.3f}" for start, end, what in self.happened)
        return "faults: " + ", ".join(spans)

    def after(self, start, end):
        return " and a fault" if self.rlyd_away(start, end) else ""

    def rlyd_away(self, start, end):
        """Says whether rlyd or Redis was away in that time: sessions end when both are back."""
        return self.judge.troubled(start, end) or any(a <= end and start <= b
                                                      for a, b in self.fleet.rlyd_away[-20:])
