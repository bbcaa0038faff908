# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Core hosts: Redis and Sentinel as redis-conf/ has them, each pair in a network namespace of its
own; the test's own namespace is one more host of that network."""
import atexit
import base64
import json
import os
import random
import re
import secrets
import shutil
import threading
import time

from .basics import TOP, read, run, tail, wait_for, write
from .server import Server, redis_answers

BUILD = os.environ.get("RELAY_BUILD", f"{TOP}/build")
PARTS = ("web", "authkeys", "rlyd", "rly", "api", "admin", "replica", "sentinel")


class Network:
    """A bridge, and namespaces that are plugged into it."""
    def __init__(self):
        self.net = f"10.{random.randint(150, 199)}.{random.randint(0, 255)}"
        self.name = f"b{random.randrange(16**8):08x}"
        self.spaces = []
        atexit.register(self.close)  # also where a test dies
        run(["ip", "link", "add", self.name, "type", "bridge"])
        run(["ip", "address", "add", f"{self.address(254)}/24", "dev", self.name])
        run(["ip", "link", "set", self.name, "up"])

    def address(self, n):
        return f"{self.net}.{n}"

    def plug(self, n):
        """A namespace with the address n; returns its name."""
        name, veth = f"{self.name}n{n}", f"{self.name}v{n}"
        run(["ip", "netns", "add", name])
        self.spaces.append(name)
        run(["ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", name])
        run(["ip", "link", "set", veth, "master", self.name, "up"])
        for words in ("link set lo up", f"address add {self.address(n)}/24 dev eth0",
                      "link set eth0 up"):
            run(["ip", "-n", name, *words.split()])
        return name

    def close(self):
        for name in self.spaces:
            run(["ip", "netns", "delete", name], check=False)
        run(["ip", "link", "delete", self.name], check=False)


class Host:
    """One of them: .redis and .sentinel are servers; called with words it is redis-cli."""
    def __init__(self, core, number):
        self.core, self.number = core, number
        self.address = core.network.address(number)
        self.space = core.network.plug(number)
        self.dir = f"{core.dir}/core{number}"
        os.mkdir(self.dir)
        self.sock = f"{self.dir}/redis.sock"
        self.redis = self.sentinel = None

    def tail(self, path):
        return tail(self.dir, path)

    def _server(self, name, argv, ready):
        argv = ["ip", "netns", "exec", self.space, *argv]
        return Server(self, name, argv, ready, f"{self.dir}/{name}.out").start()

    def _conf(self, name, primary, part):
        text = read(f"{BUILD}/redis-conf/{name}")
        for old, new in (("/var/lib/relay-redis", self.dir), ("/etc/relay/redis.acl",
                                                              f"{self.dir}/redis.acl"),
                         ("/run/relay-redis/redis.sock", self.sock), ("unixsocketperm 770",
                                                                      "unixsocketperm 777")):
            text = text.replace(old, new)
        if primary is self:
            text = re.sub("(?m)^replicaof .*\n", "", text)
        for old, new in (("ADDRESS", self.address), ("PRIMARY", primary.address),
                         ("PASSWORD", self.core.passwords[part])):
            text = re.sub(rf"(?m)^(?!#)(.*)\b{old}\b", lambda m, new=new: m[1] + new, text)
        return write(f"{self.dir}/{name}", text)

    def start_redis(self, primary, extra=""):
        write(f"{self.dir}/redis.acl", self.core.acl)
        conf = self._conf("relay-redis-fleet.conf", primary, "replica")
        write(conf, read(conf) + extra)
        self.redis = self._server("redis", ["/usr/bin/redis-server", conf],
                                  lambda: redis_answers(self.sock))

    def hidden_replica(self):
        """One more replica of this host's Redis, which gives itself out for another host's."""
        other = self.core.others(self)[0].address
        conf = write(
            f"{self.dir}/hidden.conf", f"bind {self.address}\nport 6400\nprotected-mode no\n"
            f"replicaof {self.address} 6379\nreplica-announce-ip {other}\n"
            "replica-announce-port 6379\nmasteruser relay-replica\nmasterauth "
            f"{self.core.passwords['replica']}\nsave \"\"\ndir {self.dir}\n")
        return self._server(
            "hidden", ["/usr/bin/redis-server", conf], lambda: "master_link_status:up" in self.run(
                "redis-cli", "-h", self.address, "-p", "6400", "INFO", "replication").stdout)

    def start_sentinel(self, primary):
        conf = self._conf("relay-sentinel.conf", primary, "sentinel")
        self.sentinel = self._server("sentinel", ["/usr/bin/redis-server", conf, "--sentinel"],
                                     lambda: self.ask_sentinel("PING") == "PONG")

    def run(self, *argv, **kwargs):
        """Runs a program on this host."""
        return run(["ip", "netns", "exec", self.space, *argv], check=False, **kwargs)

    def __call__(self, *words):
        env = dict(os.environ, REDISCLI_AUTH=self.core.passwords["admin"])
        argv = ["redis-cli", "-s", self.sock, "--user", "relay-admin", *map(str, words)]
        out = run(["timeout", "2", *argv], check=False, env=env)
        return (out.stdout + out.stderr).strip()

    def ask_sentinel(self, *words):
        env = dict(os.environ, REDISCLI_AUTH=self.core.passwords["sentinel"])
        argv = ["redis-cli", "-h", self.address, "-p", "26379", "--user", "relay-sentinel", *words]
        return self.run("timeout", "2", *argv, env=env).stdout.strip()

    def role(self):
        """`master', or `slave connected' and the like."""
        said = self("ROLE").split("\n")
        return " ".join([said[0], said[3]] if said[0] == "slave" else said[:1])

    def cut(self, *others):
        """From now on nothing gets from here to those addresses, or back: all at once."""
        lines = "".join(f"route add blackhole {other}/32\n" for other in others)
        run(["ip", "-n", self.space, "-batch", "-"], input=lines)

    def mend(self):
        found = run(["ip", "-n", self.space, "route", "show", "type", "blackhole"]).stdout
        for line in found.splitlines():
            run(["ip", "-n", self.space, "route", "del", *line.split()[:2]])


class Core:
    """Three hosts, of which the first has the primary; start() waits until all know each other."""
    def __init__(self, hosts=3):
        self.network = Network()
        self.passwords = {part: secrets.token_hex(12) for part in PARTS}
        self.rig = self.dir = self.acl = None
        self.count, self.hosts, self.extra = hosts, [], []

    @property
    def url(self):
        addresses = ",".join(self.network.address(n + 1) for n in range(self.count))
        return f"sentinel://{addresses}/relay"

    def _write_acl(self):
        """The users, as relay-redis-setup makes them."""
        users = read(f"{BUILD}/librelay/redis-users.conf") + "user relay-admin on ~* &* +@all\n"
        lines = [re.search(rf"(?m)^user relay-{part} .*", users)[0] for part in PARTS]
        self.acl = "".join(f"{line} >{self.passwords[part]}\n" for part, line in zip(PARTS, lines))
        self.acl += "user default off allkeys allchannels +@all\n"

    def start(self, rig):
        self.rig, self.dir = rig, f"{rig.dir}/core"
        os.mkdir(self.dir)
        os.mkdir(f"{rig.dir}/etc/redis.d")
        for part, password in self.passwords.items():
            path = write(f"{rig.dir}/etc/redis.d/{part}", password + "\n", 0o640)
            if part == "authkeys":
                shutil.chown(path, group="relay-authkeys")
        self._write_acl()
        self.hosts = [Host(self, n + 1) for n in range(self.count)]
        first = self.hosts[0]
        for host in self.hosts:
            host.start_redis(first)
        wait_for(lambda: first("INFO", "replication").count("state=online") == self.count - 1,
                 "the replicas", 10)
        for host in self.hosts:
            host.start_sentinel(first)
        wait_for(self.complete, "the sentinels know each other", 15)

    def complete(self):
        known = f"num-slaves\n{self.count - 1}\nnum-other-sentinels\n{self.count - 1}\n"
        return all(known in host.ask_sentinel("SENTINEL", "MASTER", "relay") + "\n"
                   for host in self.hosts)

    def primary(self):
        """The host that most sentinels name."""
        named = [
            h.ask_sentinel("SENTINEL", "get-master-addr-by-name", "relay").split("\n")[0]
            for h in self.hosts if h.sentinel.alive()
        ]
        address = max(named, key=named.count)
        return next(h for h in self.hosts if h.address == address)

    def others(self, host):
        return [h for h in self.hosts if h is not host]

    def more(self, extra=""):
        """One more host, with a replica and no Sentinel: a relay's."""
        host = Host(self, len(self.hosts) + 10)
        self.extra.append(host)
        host.start_redis(self.primary(), extra)
        wait_for(lambda: host.role() == "slave connected", "one more replica", 10)
        return host

    def close(self):
        for host in self.hosts + self.extra:
            for server in (host.sentinel, host.redis):
                if server and server.alive():
                    server.process.kill()
                    server.process.wait()
        self.network.close()


class Writer(threading.Thread):
    """Opens tunnels one after the other until stop(): .done has (when it was asked, when it was
    answered, exit status, the tunnel's id or what rly said) of each."""
    def __init__(self, rig, on=None):
        """@param on the host that it is on, in place of the relay"""
        super().__init__(daemon=True)
        self.rig, self.done, self.stopping = rig, [], False
        self.argv = ["ip", "netns", "exec", on.space] if on else []
        self.argv += [rig.program("rly"), "open", "-t", "1h", "--json", "80"]
        self.start()

    def run(self):
        while not self.stopping:
            asked = time.monotonic()
            bundle = f"{self.rig.dir}/bundles/w{time.monotonic_ns()}"
            said = run([*self.argv, "-o", bundle],
                       check=False,
                       env=dict(os.environ, RELAY_CONF=self.rig.conf))
            what = json.loads(said.stdout)["id"] if said.returncode == 0 else said.stderr.strip()
            self.done.append((asked, time.monotonic(), said.returncode, what))

    def stop(self):
        self.stopping = True
        self.join()

    def acknowledged(self):
        return [what for _, _, status, what in self.done if status == 0]

    def refused(self):
        return [what for _, _, status, what in self.done if status != 0]

    def gap(self):
        """The longest time in seconds from one success to the end of the next."""
        ends = [answered for _, answered, status, _ in self.done if status == 0]
        return max((b - a for a, b in zip(ends, ends[1:])), default=0)


class ApiWriter(Writer):
    """The same by the API, each tunnel under an Idempotency-Key, which is tried again until it is
    acknowledged. The status and the problem take the place of rly's."""
    def __init__(self, rig, token):
        self.token = token
        super().__init__(rig)

    def run(self):
        while not self.stopping:
            body, fields = {"services": ["80"], "public_key": any_key(), "ttl": "1h"}, once()
            while self._post(body, fields) != 201:
                time.sleep(0.05)

    def _post(self, body, fields):
        asked = time.monotonic()
        answer = self.rig.call("POST", "/v1/tunnels", self.token, body, fields)
        opened = answer.status == 201
        self.done.append((asked, time.monotonic(), 0 if opened else answer.status,
                          answer.json["id"] if opened else answer.json["detail"]))
        return answer.status


def once():
    """The field of a request that happens once."""
    return {"Idempotency-Key": secrets.token_hex(8)}


def any_key():
    """A public key, of which nobody has the private half."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + os.urandom(32)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"
