# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The API beside rly on Redis: opening a tunnel, looking one up, a page of 50 among 100,000."""
import base64
import secrets
import subprocess
import time

import load
from field import MPM
from lib.apirig import ApiRig
from measure import Result, interleaved, say

RLY, ONE, MANY = "rly on Redis", "API, one connection", "API, 16 connections"
SIDES = {ONE: 1, MANY: 16}
OPENS, LOOKUPS, PAGES = "opens", "lookups", "pages of 50"
PAGE_TIME = "a page of 50, one after another"

# Open tunnels, as `rly open' writes them; ARGV: first, last.
FILL = """
local t = redis.call('TIME')
for i = ARGV[1], ARGV[2] do
    local id, ends = string.format('bench%07d', i), string.format('%.0f', t[1] * 1000 + 9e7 + i)
    redis.call('HSET', 'relay:tunnel:' .. id, 'v', 1, 'id', id, 'device', 'd' .. i % 1000, 'relay',
        'relay1', 'key', 'SHA256:x', 'created', t[1] * 1000, 'expires', ends, 'state', 'open',
        'by', 'x', 'tenant', 'bench', 'routes', 1, 'name.0', id, 'listen.0', '127.77.0.5:10000',
        'service.0', 'http://127.0.0.1')
    redis.call('ZADD', 'relay:tunnels', ends, id)
    redis.call('ZADD', 'relay:tenant:bench', ends, id)
    redis.call('ZADD', 'relay:label:bench:d' .. i % 1000, ends, id)
end
"""
FIELDS = """
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
"""
GET = FIELDS + 'request = function() return wrk.format("GET", "{path}") end\n'
# Each with a key of its own.
POST = FIELDS + """
local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
math.randomseed({seed})
request = function()
    local key = {{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA"}}
    for i = 2, 43 do
        local n = math.random(64)
        key[i] = letters:sub(n, n)
    end
    return wrk.format("POST", "/v1/tunnels", nil,
        '{{"services":["80"],"public_key":"' .. table.concat(key) .. '"}}')
end
"""


def fill(rig, count):
    for at in range(1, count + 1, 10_000):
        rig.redis("EVAL", FILL, 0, at, min(count, at + 9_999))


class Bench:
    def __init__(self, rig, result, seconds):
        self.rig, self.result, self.seconds = rig, result, seconds
        # Of all tenants: rly sees all, too.
        self.token = rig.token("--role", "operator")
        self.shown = rig.open("80")["id"]

    def wrk(self, script, connections):
        rig = self.rig
        return load.wrk(rig.address,
                        rig.https_port,
                        f"api.{rig.domain}",
                        max(1, int(self.seconds)),
                        connections=connections,
                        script=script)

    def api(self, side):
        connections = SIDES[side]
        found = self.wrk(POST.format(token=self.token, seed=secrets.randbits(30)), connections)
        self.result.add(side, OPENS, "1/s", found.rate)
        path = f"/v1/tunnels/{self.shown}"
        found = self.wrk(GET.format(token=self.token, path=path), connections)
        self.result.add(side, LOOKUPS, "1/s", found.rate)
        path = f"/v1/tunnels?limit=50&cursor={self.cursor()}"
        found = self.wrk(GET.format(token=self.token, path=path), connections)
        self.result.add(side, PAGES, "1/s", found.rate)
        if connections == 1:
            self.result.add(side, PAGE_TIME, "ms", found.p50)

    def cursor(self):
        """In the middle of all."""
        rig, key = self.rig, "relay:tenant:bench"
        at = int(rig.redis("ZCARD", key)) // 2
        id, ends = rig.redis("ZRANGE", key, at, at, "WITHSCORES").split("\n")
        return f"{ends}-{id}"

    def keys(self, count):
        path = f"{self.rig.dir}/keys"
        for n in range(count):
            blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + secrets.token_bytes(32)
            with open(f"{path}-{n}", "w") as f:
                f.write(f"ssh-ed25519 {base64.b64encode(blob).decode()}\n")
            yield f"{path}-{n}"

    def rly(self):
        """One after another, as a script would."""
        began, count = time.monotonic(), 0
        for key in self.keys(100_000):
            self.once("open", "-k", key, "80")
            count += 1
            if time.monotonic() - began > self.seconds:
                break
        self.result.add(RLY, OPENS, "1/s", count / (time.monotonic() - began))
        began, count = time.monotonic(), 0
        while time.monotonic() - began < self.seconds:
            self.once("show", self.shown)
            count += 1
        self.result.add(RLY, LOOKUPS, "1/s", count / (time.monotonic() - began))

    def once(self, *args):
        subprocess.run([self.rig.program("rly"), "-c", self.rig.conf, *args],
                       check=True,
                       stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)


def run(options):
    rounds, seconds = options.pick(normal=(7, 3), quick=(5, 2), tiny=(1, 0.5))
    tunnels = options.pick(normal=100_000, tiny=1000)
    result = Result("api", f"opens, lookups and pages, with {tunnels:,} open tunnels",
                    [RLY, ONE, MANY])
    say("setting up: Redis, sshd, Apache with mod_relay and mod_relay_api")
    rig = ApiRig(rate=0, others=False, rlyd=True, httpd_conf=MPM)
    rig.expect(r".")
    try:
        fill(rig, tunnels)
        bench = Bench(rig, result, seconds)
        sides = options.pick(normal=[RLY, ONE, MANY], tiny=[RLY, ONE])
        for n, side in interleaved(rounds, sides):
            say(f"api: round {n + 1} of {rounds}, {side}")
            if side == RLY:
                bench.rly()
            else:
                bench.api(side)
    finally:
        rig.stop()
    result.target_ratio(ONE, RLY, OPENS, ">=", 1)
    result.target_ratio(ONE, RLY, LOOKUPS, ">=", 1)
    result.target(f"ms that a page of 50 among {tunnels:,} takes", "<", 100,
                  result.median(ONE, PAGE_TIME))
    result.note(
        "rly is started for each tunnel, one after another; the API is asked on connections "
        "that are kept, over HTTPS")
    return result
