# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The number of routes in Redis: hot names, cold names, and names that were never there."""
import re
import statistics
import time

import load
from device import nginx_device
from field import Field
from measure import Result, say

# Routes as `rly open` writes them, all to one device's listen address; ARGV: first, last, listen
# address, relay, prefix of names.
FILL = """
local now = redis.call('TIME')
local ends = now[1] * 1000 + 86400000
for i = ARGV[1], ARGV[2] do
    local key = 'relay:route:' .. ARGV[5] .. i
    redis.call('HSET', key, 'v', '1', 'tunnel', 'bench' .. ARGV[5] .. i, 'relay', ARGV[4],
        'listen', ARGV[3], 'scheme', 'http', 'expires', string.format('%.0f', ends),
        'device', 'device ' .. i, 'service', 'http://127.0.0.1:80')
    redis.call('PEXPIREAT', key, string.format('%.0f', ends))
end
"""

# Each request asks for another name below the domain.
UNKNOWN = """
local n = 0
request = function()
    n = n + 1
    wrk.headers["Host"] = string.format("u%d-%d.{domain}", {seed}, n)
    return wrk.format("GET", "/")
end
"""


def fill(field, first, last, listen, names="r"):
    step = 20_000
    for at in range(first, last + 1, step):
        field.rig.redis("EVAL", FILL, 0, at, min(last, at + step - 1), listen, "relay1", names)


def reads(field):
    """@return how often Redis has read from its clients' sockets: a round trip is one read"""
    return int(re.search(r"total_reads_processed:(\d+)", field.rig.redis("INFO", "stats"))[1])


def ask(field, names):
    """Sends a request for each name on one connection. @return the seconds that each took"""
    took = []
    connection = field.rig.connection("hot")
    connection.connect()
    for name in names:
        began = time.perf_counter()
        connection.request("GET", "/", headers={"Host": f"{name}.{field.rig.domain}"})
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - began)
        if answer.status != 200:
            raise load.LoadError(f"{name}: status {answer.status}")
    connection.close()
    return took


def round_trips(field, names):
    """@return the round trips to Redis that a request for each of these costs, less those that
    others make in that time"""
    before = reads(field)
    time.sleep(2)
    background = (reads(field) - before - 1) / 2  # less our own INFO
    before, began = reads(field), time.monotonic()
    ask(field, names)
    return max(0, reads(field) - before - 1 - background * (time.monotonic() - began)) / len(names)


def run(options):
    steps = options.pick(quick=[10, 10_000, 100_000],
                         normal=[10, 10_000, 1_000_000],
                         tiny=[10, 1000])
    rounds, runs = options.pick(quick=(5, 2), normal=(8, 4), tiny=(1, 1))
    sides = [f"{n:,} routes" for n in steps]
    result = Result("routes", "hot, cold and unknown names with so many routes in Redis", sides)
    field = Field()
    try:
        device = nginx_device(field)
        hot = field.rig.open(device.url, name="hot")
        field.connect(hot)
        listen, ours = hot["routes"][0]["listen"], field.mod_relay(hot)
        # The steps cannot be interleaved cheaply by filling, so routes beyond a step's number are
        # taken away and put back.
        hot_rounds(field, result, steps, sides, ours, listen, rounds, runs)
        cold(field, result, options, sides[-1])
        unknown(field, result, options, ours)
    finally:
        field.close()
    return result


def hot_rounds(field, result, steps, sides, ours, listen, rounds, runs):
    """Goes up and down the steps by turns, so that each step is measured early and late, each time
    in so many runs of a second."""
    have = 0
    load.wrk(field.rig.address, ours.tls, ours.host, 1)
    for n in range(rounds):
        for i in range(len(steps)) if n % 2 == 0 else reversed(range(len(steps))):
            have = set_number(field, have, steps[i], listen)
            say(f"routes: round {n + 1} of {rounds}, {sides[i]}")
            for _ in range(runs):
                found = load.wrk(field.rig.address, ours.tls, ours.host, 1)
                result.add(sides[i], "hot name", "1/s", found.rate)
                result.add(sides[i], "hot name, p99", "ms", found.p99)
    set_number(field, have, steps[-1], listen)
    result.target_ratio(sides[-1], sides[0], "hot name", ">=", 0.97,
                        f"hot name: {sides[-1]} / {sides[0]}")


def set_number(field, have, want, listen):
    """Makes the routes that are missing in Redis, and takes away the others. Returns when Redis and
    httpd's watchers, which hear of each, are done with that: it must not be measured."""
    if have < want:
        fill(field, have, want - 1, listen)
    elif have > want:
        for at in range(want, have, 50_000):
            field.rig.redis(
                "EVAL",
                "for i = ARGV[1], ARGV[2] do redis.call('UNLINK', 'relay:route:r' .. i) end", 0, at,
                min(have, at + 50_000) - 1)
    load.quiet([field.rig.servers[name].pid for name in ("redis", "httpd")])
    return want


def cold(field, result, options, side):
    count = options.pick(quick=300, normal=500, tiny=30)
    fill(field, 0, 4 * count, field.rig.redis("HGET", "relay:route:hot", "listen"), "cold")
    time.sleep(1)
    ask(field, ["hot"] * 20)
    result.add(side, "hot name, one after another", "ms",
               statistics.median(ask(field, ["hot"] * count)) * 1000)
    result.add(side, "cold name, one after another", "ms",
               statistics.median(ask(field, [f"cold{i}" for i in range(count)])) * 1000)
    result.add(side, "Redis round trips for a hot name", "each",
               round_trips(field, ["hot"] * count))
    more = round_trips(field, [f"cold{i}" for i in range(count, 2 * count)])
    result.add(side, "Redis round trips for a cold name", "each", more)
    extra = more - result.median(side, "Redis round trips for a hot name")
    result.target("Redis round trips for a cold name more than for a hot one", "<=", 1.02,
                  round(extra, 2))
    result.note(
        "a cold name's time includes the first connection to its device, which is no look-up's")


def unknown(field, result, options, ours):
    seconds = options.pick(quick=3, normal=6, tiny=1)
    httpd = field.rig.servers["httpd"].pid
    sizes, asked = [load.pss([httpd])], 0
    for n in range(4):
        script = UNKNOWN.replace("{domain}", field.rig.domain).replace("{seed}", str(n))
        # wrk counts a 404 as an error
        found = load.wrk(field.rig.address,
                         ours.tls,
                         field.rig.domain,
                         seconds,
                         script=script,
                         errors_allowed=True)
        asked += found.requests
        result.add("unknown names", "requests", "1/s", found.rate)
        sizes.append(load.pss([httpd]))
        result.add("unknown names", "Apache's memory after", "MiB", sizes[-1])
    result.target(f"MiB that Apache grew by in the last 3/4 of {asked:,} unknown names", "<", 5,
                  sizes[-1] - sizes[1])
