#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly token: makes, lists and revokes tokens of the API; nobody has a token but who was given it.
"""
import hashlib
import json
import re
import time

from lib import fixture, Store, tap, test, wait_for
from lib.store import snapshot

TOKEN = r"relay_[a-z2-7]{16}_[a-z2-7]{52}"


@fixture
def store():
    yield Store()


def made(store, *args):
    return json.loads(store.rly("token", "new", "--json", *args).stdout)


def record(store, id):
    words = store.redis("HGETALL", f"relay:token:{id}").split("\n")
    return dict(zip(words[::2], words[1::2]))


@test
def new(store):
    before = time.time()
    t = made(store, "--role", "operator", "--tenant", "bern", "-t", "2h", "portal of Bern")
    tap.like(t["token"], f"^{TOKEN}$", "the token")
    tap.is_(t["token"].split("_")[1], t["id"], "… has its id in it")
    got = {k: t[k] for k in ("v", "role", "tenant", "label")}
    tap.is_(got, {"v": 1, "role": "operator", "tenant": "bern", "label": "portal of Bern"}, "JSON")
    tap.ok(re.search("@", t["by"]), "… says who made it")
    kept = record(store, t["id"])
    tap.is_(kept["hash"], hashlib.sha256(t["token"].encode()).hexdigest(), "Redis has its SHA-256")
    everything = "\n".join(
        store.redis(
            "EVAL", "local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do "
            "r[#r + 1] = redis.call('DUMP', k) end return r", "0").split("\n"))
    tap.ok(t["token"].split("_")[2] not in everything, "… and not the secret")
    tap.ok(t["id"] in everything, "(its id is found in the same way)")
    ends = int(kept["expires"]) / 1000 - before
    tap.ok(7195 < ends < 7260, "it ends in two hours", ends)
    tap.ok(0 < int(store.redis("PTTL", f"relay:token:{t['id']}")) <= 7200000, "… by Redis, too")
    said = store.rly("token", "new", "me").stdout
    tap.like(said, rf"(?s)Role +viewer\nTenant +all\nEnds .*shown this once:\n  {TOKEN}\n$",
             "text: a viewer of all tenants, unless it is said")
    events = store.redis("XRANGE", "relay:events", "-", "+")
    tap.like(events, rf"(?s)what\ntoken\n.*token\n{t['id']}\n", "an event tells of it")
    tap.ok("\nrequest\n" not in events, "… which did not come by the API")


@test
def refused(store):
    before = snapshot(store.redis)
    for args, status, said in (((), 2, "There are new, list and revoke"), (("make", ), 2,
                                                                           "There are new, list"),
                               (("new", "a", "b"), 2,
                                "one label"), (("new", "--role", "root"), 2, "`root' is no role: "
                                               "there are viewer, operator, support, admin"),
                               (("new", "--tenant", "*"), 2, "cannot be a tenant"),
                               (("new", "--tenant", "A"), 2,
                                "cannot be a tenant"), (("new", "a\x1b"), 2, "the label must be"),
                               (("new", "x" * 201), 2,
                                "at most 200 bytes"), (("new", "-t", "0s"), 2,
                                                       "live for some time"), (("new", "-t", "x"),
                                                                               2, "-t x"),
                               (("list", "x"), 2, "no operands"), (("revoke", ), 2, "which token?"),
                               (("revoke", "aaaaaaaaaaaaaaaa"), 1,
                                "there is no token"), (("revoke", "../x"), 1, "there is no token")):
        result = store.rly("token", *args)
        tap.is_(result.returncode, status, f"rly token {args}: exit status {status}")
        tap.ok(said in result.stderr, f"… and says: {said}", result.stderr)
    tap.is_(snapshot(store.redis), before, "nothing has changed")


@test
def lists(store):
    short = made(store, "-t", "1500ms", "--tenant", "chur")
    listed = json.loads(store.rly("token", "list", "--json").stdout)["tokens"]
    tap.is_(listed[0]["id"], short["id"], "list: the one that ends first on top")
    tap.ok(all("token" not in t and "hash" not in t for t in listed), "… without any secret")
    some = json.loads(store.rly("token", "list", "--json", "--tenant", "bern").stdout)["tokens"]
    tap.is_([t["tenant"] for t in some], ["bern"], "list --tenant")
    tap.like(store.rly("token", "list").stdout, r"(?m)^ID +ROLE +TENANT .*\n(.*\n)*.*chur", "text")
    wait_for(lambda: not record(store, short["id"]), "the end of a token", 5)
    listed = json.loads(store.rly("token", "list", "--json").stdout)["tokens"]
    tap.ok(short["id"] not in [t["id"] for t in listed], "one that has ended is not listed")
    broken = made(store)
    store.redis("HSET", f"relay:token:{broken['id']}", "tenant", "")
    result = store.rly("token", "list", "--json")
    tap.ok(broken["id"] not in result.stdout, "one without a tenant does not count as all")
    tap.like(result.stderr, "RLY003", "… and the log tells of it")
    store.redis("DEL", f"relay:token:{broken['id']}")


@test
def revoke(store):
    first, other = made(store, "--role", "admin"), made(store)
    children = [made(store) for _ in range(3)]
    for child, by in zip(children, (first, first, children[0])):
        store.redis("HSET", f"relay:token:{child['id']}", "by", f"token:{by['id']}")
    result = store.rly("token", "revoke", first["id"])
    tap.is_(result.returncode, 0, "rly token revoke")
    for t in [first, *children]:
        tap.ok(t["id"] in result.stdout, "it says what it has revoked")
        tap.is_(record(store, t["id"]), {}, "… which is gone")
    tap.ok(record(store, other["id"]), "another one is there")
    ids = store.redis("ZRANGE", "relay:tokens", "0", "-1").split("\n")
    tap.is_([t["id"] in ids for t in [first, *children, other]], [False] * 4 + [True],
            "nor is it in the list of all")
    events = store.redis("XRANGE", "relay:events", "-", "+")
    tap.is_(events.count("\nrevoke\n"), 4, "each has its event")
    tap.is_(store.rly("token", "revoke", first["id"]).returncode, 1, "it cannot be revoked twice")


tap.run()
