# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The devices' ssh clients: real ones, a bounded number at once, that come, go, freeze, and come
back."""
import asyncio
import os
import random
import signal

from .judge import FOREVER, GRACE

AT_ONCE, LOGINS = 24, 4
WAYS = ("drop", "kill", "freeze", "take over")


class Fleet:
    def __init__(self, world):
        self.world, self.rig = world, world.rig
        self.keys, self.made = [], 0
        self.slots = AT_ONCE
        self.logins = asyncio.Semaphore(LOGINS)
        self.tunnels = []
        self.ways = []  # of losing a session: each once before chance decides
        self.rlyd_away = []  # [from, to] of times without rlyd
        self.hosts = f"{self.rig.dir}/etc/known_hosts"
        with open(f"{self.rig.dir}/etc/ssh_host_ed25519_key.pub") as f, open(self.hosts,
                                                                             "w") as out:
            out.write("relay " + " ".join(f.read().split()[:2]) + "\n")

    async def make_keys(self, count):
        os.mkdir(f"{self.rig.dir}/keys")
        gate = asyncio.Semaphore(4)

        async def make():
            async with gate:
                return await self.make_key()

        self.keys = sorted(await asyncio.gather(*(make() for _ in range(count))))
        rng = self.world.rng("keys")
        rng.shuffle(self.keys)
        self.ways = rng.sample(WAYS, len(WAYS))

    async def make_key(self):
        self.made += 1
        path = f"{self.rig.dir}/keys/{self.made}"
        process = await asyncio.create_subprocess_exec("ssh-keygen", "-q", "-t", "ed25519", "-N",
                                                       "", "-C", "", "-f", path)
        await process.wait()
        return path

    async def take_key(self):
        """One that no open tunnel has; those whose fate is unknown do not come back."""
        return self.keys.pop(0) if self.keys else await self.make_key()

    def give_key(self, key):
        self.keys.append(key)

    def connected(self):
        return [t for t in self.tunnels if t.up_from < FOREVER]

    def connect(self, tunnel, rng):
        """Gives the tunnel a device, if there is room for one more."""
        if self.slots > 0:
            self.slots -= 1
            tunnel.session = self.world.spawn(self.device(tunnel, random.Random(rng.random())))

    async def device(self, tunnel, rng):
        self.tunnels.append(tunnel)
        tunnel.refused = 0  # attempts in a row that found the address taken
        clients = []
        try:
            while self.world.now() < tunnel.ends and not tunnel.lost:
                client = await self.log_in(tunnel, rng, clients)
                if client is None:
                    await asyncio.sleep(rng.choice((0.05, 0.2, 0.5)))
                    continue
                clients.append(client)
                await self.live(tunnel, rng, client, clients)
                tunnel.up_from, tunnel.up = FOREVER, self.world.now()
        finally:
            tunnel.up_from, tunnel.up = FOREVER, self.world.now()
            await self.farewell(tunnel, clients)
            self.tunnels.remove(tunnel)
            self.slots += 1

    async def log_in(self, tunnel, rng, older):
        """Starts ssh and waits until the device is reached by it; None when it ended or took too
        long."""
        port = self.rig.https_port if rng.random() < 0.75 else self.rig.ssh_port
        argv = [
            "ssh", "-N", "-F", "none", "-i", tunnel.key, "-p",
            str(port), "-R", f"{tunnel.listen}:{self.world.devices.target(tunnel.n)}"
        ]
        for option in ("IdentitiesOnly=yes", "IdentityAgent=none",
                       f"UserKnownHostsFile={self.hosts}", "HostKeyAlias=relay",
                       "StrictHostKeyChecking=yes", "ExitOnForwardFailure=yes",
                       "ServerAliveInterval=5", "BatchMode=yes", "ConnectTimeout=10",
                       "LogLevel=ERROR"):
            argv += ["-o", option]
        async with self.logins:
            if self.world.now() >= tunnel.ends:
                return None
            began = self.world.now()
            tunnel.log = f"{self.rig.dir}/log/ssh-{tunnel.n}-{len(older)}.log"
            with open(tunnel.log, "wb") as log:
                client = await asyncio.create_subprocess_exec(*argv,
                                                              f"relay@{self.rig.address}",
                                                              stdin=asyncio.subprocess.DEVNULL,
                                                              stderr=log,
                                                              start_new_session=True)
            self.world.counted["login"] += 1
            self.world.spawn(self.see_off(client))
            while client.returncode is None and self.world.now() < began + 15:
                # An older one that lives would answer for it; rlyd ends that when this one has
                # proved its key.
                if not any(c.returncode is None and not self.frozen(c)
                           for c in older) and await self.reached(tunnel):
                    tunnel.up = FOREVER
                    tunnel.up_from = self.world.now()
                    tunnel.refused = 0
                    self.world.counted["connect"] += 1
                    return client
                await asyncio.sleep(0.02)
        if client.returncode is None:
            client.kill()
            if self.world.now() < tunnel.ends_from:
                self.world.blame(f"{tunnel}: ssh has not come up within 15 s")
        else:
            why = self.why(tunnel)
            self.world.counted[f"login failed: {why}"] += 1
            tunnel.refused = tunnel.refused + 1 if why == "forwarding failed" else 0
            # While an older session is alive the first attempt may come to nothing, but not the
            # next ones.
            if self.world.calm(began - 1, self.world.now(
            )) and self.world.now() < tunnel.ends_from and not 0 < tunnel.refused < 3:
                self.world.blame(f"{tunnel}: a login failed: {self.said(tunnel)}")
        await client.wait()
        return None

    async def see_off(self, client):
        """Notes when it ended."""
        client.exited = FOREVER
        await client.wait()
        client.exited = self.world.now()

    def why(self, tunnel):
        said = self.said(tunnel).strip()
        for words in ("forwarding failed", "Connection refused", "Permission denied", "closed",
                      "reset"):
            if words in said:
                return words
        return said or "silence"

    def said(self, tunnel):
        with open(tunnel.log, errors="replace") as f:
            return f.read()[-500:]

    async def reached(self, tunnel):
        """Says whether the listen address leads to the tunnel's own device; asks it directly, not
        through Apache."""
        ip, port = tunnel.listen.rsplit(":", 1)
        writer = None
        try:
            reader, writer = await asyncio.open_connection(ip, int(port))
            writer.write(b"GET /quiet HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 1)
            return answer.decode().endswith(tunnel.secret)
        except (OSError, asyncio.TimeoutError):
            return False
        finally:
            if writer:
                writer.transport.abort()

    async def live(self, tunnel, rng, client, clients):
        """The time until it drops, freezes, is taken over, or the tunnel ends."""
        what, until = rng.choice(WAYS), self.world.now() + rng.choice((0.5, 1.5, 4, 10, 30))
        if self.ways:
            what, until = self.ways.pop(), self.world.now() + 0.2
        while self.world.now() < min(
                until, tunnel.ends_from) and not tunnel.lost and not self.world.stopping:
            if client.returncode is not None:
                if self.world.now() < tunnel.ends_from and not tunnel.lost:
                    self.world.blame(
                        f"{tunnel}: its session ended though nobody ended it: {self.said(tunnel)}")
                return
            await asyncio.sleep(0.05)
        if self.world.now() >= tunnel.ends_from or tunnel.lost or self.world.stopping:
            while self.world.now() < tunnel.ends and not tunnel.lost and client.returncode is None:
                await asyncio.sleep(0.02)
            return
        tunnel.up = self.world.now()
        self.world.counted[what] += 1
        if what == "drop":
            client.terminate()
            await client.wait()
        elif what == "kill":
            client.kill()
            await client.wait()
        elif what == "freeze":
            client.send_signal(signal.SIGSTOP)
            await asyncio.sleep(rng.choice((0, 0.5, 2)))
        # take over: the next one comes while this one lives

    async def farewell(self, tunnel, clients):
        """All sessions end with the tunnel; those that were cut by ourselves cannot say so."""
        end = min(tunnel.ends, self.world.now())
        for client in clients:
            while client.returncode is None and not self.frozen(client):
                await asyncio.sleep(0.01)
                away = self.world.now() - end
                if away > GRACE + self.world.lag and not self.world.rlyd_away(
                        end, self.world.now()):
                    self.world.blame(
                        f"{tunnel}: ssh {client.pid} is still connected {away:.3f} s after the end")
                    break
                if away > 15:
                    self.world.blame(
                        f"{tunnel}: ssh {client.pid} is still connected 15 s after the end")
                    break
            if end < client.exited < FOREVER:
                self.world.took("session after an end" + self.world.after(end, client.exited),
                                client.exited - end)
            if client.returncode is None:
                client.kill()
                await client.wait()

    @staticmethod
    def frozen(client):
        try:
            with open(f"/proc/{client.pid}/stat") as f:
                return f.read().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False
