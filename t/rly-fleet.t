#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly code, device, relay and events, straight on Redis. api.t has the same by the API,
and rly-api.t that rly says the same over it.
"""
import hashlib
import json
import subprocess

from lib import fixture, Store, tap, test, wait_for


@fixture
def store():
    yield Store()


def said(store, *args):
    return json.loads(store.rly(*args, "--json").stdout)


@test
def events(store):
    tap.like(store.rly("events").stdout, "^Nothing has happened", "events: none yet")
    first = store.open("-d", "NAS in Bern", "80")["id"]
    place = said(store, "events")["next"]
    token = said(store, "token", "new", "--tenant", "bern")["id"]
    store.rly("close", first)
    all = said(store, "events")
    tap.is_([(e["what"], e["tunnel"], e["tenant"]) for e in all["events"]],
            [("open", first, None), ("token", None, "bern"),
             ("close", first, None)], "the last ones, the oldest first")
    e = all["events"][0]
    tap.ok("@" in e["by"] and e["details"]["device"] == "NAS in Bern" and e["from"] is None,
           "who did it, and to what", e)
    tap.like(e["details"]["expires"], r"^\d{4}-\d\d-\d\dT.*Z$", "a time is one")
    tap.is_([e["what"] for e in said(store, "events", "--since", place)["events"]],
            ["token", "close"], "--since")
    tap.is_([e["details"]["token"] for e in said(store, "events", "--tenant", "bern")["events"]],
            [token], "--tenant")
    store.redis("XADD", "relay:events", "*", "what", "up", "tunnel", "\x1b[31m", "why", "\u202e")
    store.redis(
        "EVAL", "for i = 1, 1200 do redis.call('XADD', 'relay:events', '*', 'what', 'x', 'tunnel', "
        "'', 'tenant', 'other') end", "0")
    tap.is_(len(said(store, "events", "--since", "0")["events"]), 1204, "all that are kept")
    tap.is_(len(said(store, "events")["events"]), 50, "… or the last 50")
    text = store.rly("events", "--since", "0").stdout
    tap.like(text, r"(?m)^AT +WHAT +TUNNEL .*\n.* open +" + first, "text")
    tap.ok("\x1b" not in text and "\u202e" not in text, "… without what a terminal acts on")
    for args, status in ((("x", ), 2), (("--since", "x"), 2), (("--since", "1-2-3"), 2)):
        tap.is_(store.rly("events", *args).returncode, status, f"{args}: usage")


@test
def codes(store):
    code = said(store, "code", "new", "--uses", "2", "--approval", "--tenant", "bern", "tills")
    tap.like(code["code"], "^[a-z2-7]{5}(-[a-z2-7]{5}){3}$", "code new: the code")
    got = {k: code[k] for k in ("v", "tenant", "label", "uses", "used", "approval")}
    tap.is_(got,
            {"v": 1, "tenant": "bern", "label": "tills", "uses": 2, "used": 0, "approval": True},
            "… and what it is for")
    record = store.redis("HGETALL", f"relay:code:{code['id']}")
    word = code["code"].replace("-", "")
    tap.ok(
        hashlib.sha256(word.encode()).hexdigest() in record and word not in record,
        "Redis has its SHA-256 alone")
    text = store.rly("code", "new").stdout
    tap.like(text,
             r"(?s)Tenant +nobody's\nDevices +1\nApproved +at once\nEnds +.*in 7 d.*once:\n  ",
             "text: one device within 7 days, unless it is said")
    tenants = {c["tenant"] for c in said(store, "code", "list")["codes"]}
    tap.is_(tenants, {None, "bern"}, "list")
    tap.is_([c["id"] for c in said(store, "code", "list", "--tenant", "bern")["codes"]],
            [code["id"]], "list --tenant")
    tap.like(store.rly("code", "list").stdout, r"(?m)^ID +TENANT.*\n(.*\n)*.*tills +0 of 2", "text")
    tap.is_(store.rly("code", "revoke", code["id"]).returncode, 0, "revoke")
    tap.is_(store.rly("code", "revoke", code["id"]).returncode, 1, "… not twice")
    tap.is_(store.redis("EXISTS", f"relay:code:{code['id']}", "relay:codes:bern"), "0",
            "it is gone")
    before = store.snapshot()
    for args, status in (((), 2), (("x", ), 2), (("new", "a", "b"), 2), (("new", "-u", "x"), 2),
                         (("new", "-u", "0"), 2), (("new", "--tenant", "A"), 2),
                         (("new", "x\x1b"), 2), (("list", "x"), 2), (("revoke", ),
                                                                     2), (("revoke", "../x"), 1)):
        tap.is_(store.rly("code", *args).returncode, status, f"rly code {args}: {status}")
    tap.is_(store.snapshot(), before, "… and nothing has changed")


DEVICE = ("v", "1", "hash", "x", "tenant", "bern", "label", "till 7", "approved", "off", "created",
          "1700000000000", "seen", "1700000000000", "by", "code:x", "from", "192.0.2.1")


def device(store, id, **fields):
    changed = dict(zip(DEVICE[::2], DEVICE[1::2]), **fields)
    store.redis("HSET", f"relay:device:{id}", "id", id, *[w for f in changed.items() for w in f])
    for index in ("relay:devices", f"relay:devices:{changed['tenant']}"):
        store.redis("ZADD", index, changed["created"], id)


@test
def devices(store):
    tap.like(store.rly("device", "list").stdout, "^No device", "none yet")
    for id in ("first", "second", "third"):
        device(store, id)
    device(store, "other", tenant="chur", created="1600000000000")
    ids = [d["id"] for d in said(store, "device", "list")["devices"]]
    tap.is_(ids, ["other", "first", "second", "third"], "list: the oldest first")
    ids = [d["id"] for d in said(store, "device", "list", "--tenant", "chur")["devices"]]
    tap.is_(ids, ["other"], "list --tenant")
    shown = said(store, "device", "show", "first")
    tap.is_(
        shown, {
            "v": 1, "id": "first", "label": "till 7", "tenant": "bern", "approved": False, "by":
            "code:x", "from": "192.0.2.1", "created": "2023-11-14T22:13:20Z", "seen":
            "2023-11-14T22:13:20Z"
        }, "show")
    tap.is_(
        store.rly("device", "approve", "first", "second").stdout,
        "approved first\napproved second\n", "approve")
    tap.is_([d["approved"] for d in said(store, "device", "list", "--tenant", "bern")["devices"]],
            [True, True, False], "… those, and no other")
    store.rly("device", "suspend", "first")
    store.rly("device", "label", "second", "till 8")
    tap.like(
        store.rly("device", "list").stdout,
        r"(?m)^first +bern +till 7 +no .*\nsecond +bern +till 8 +yes ", "suspend, label")
    tap.is_(
        store.rly("device", "remove", "first", "nobody", "second").returncode, 1,
        "remove: one of three is not there")
    tap.is_([d["id"] for d in said(store, "device", "list")["devices"]], ["other", "third"],
            "… the others are gone")
    whats = [e["what"] for e in said(store, "events")["events"]][-6:]
    tap.is_(whats, ["approve", "approve", "suspend", "label", "remove", "remove"], "events")
    for field, value in (("tenant", "A B"), ("approved", "perhaps"), ("created", "x"), ("v", "9")):
        device(store, "odd")
        store.redis("HSET", "relay:device:odd", field, value)
        result = store.rly("device", "list", "--json")
        tap.ok(
            "odd" not in result.stdout and "RLY003" in result.stderr and "other" in result.stdout,
            f"a record that cannot be used ({field}) is left out", result.stderr)
        tap.is_(store.rly("device", "show", "odd").returncode, 1, "… and not shown")
    store.redis("DEL", "relay:device:odd")
    for args, status in (((), 2), (("x", ), 2), (("list", "x"), 2), (("show", ), 2),
                         (("approve", ), 2), (("label", "third"), 2), (("label", "third", ""), 2),
                         (("label", "third", "\x1b"), 2), (("label", "nobody", "x"), 1),
                         (("approve", "../x"), 1), (("show", "A"), 1)):
        tap.is_(store.rly("device", *args).returncode, status, f"rly device {args}: {status}")


@test
def relays(store):
    tap.like(store.rly("relay", "list").stdout, "^No relay", "none yet")
    store.redis("ZADD", "relay:relays", "1700000000000", "relay2", "1700000000000", "relay1")
    store.redis("HSET", "relay:relay:relay2", "v", "1", "ssh", "relay.example.com:443", "load",
                "0.42", "sessions", "7", "versions", "rlyd 1\x1b, Linux 6.1")
    got = said(store, "relay", "list")["relays"]
    tap.is_([(r["name"], r["state"], r["sessions"], r["load"]) for r in got],
            [("relay1", "silent", None, None), ("relay2", "up", 7, 0.42)], "list: by their names")
    tap.is_(got[1]["versions"], None, "what a terminal acts on is not taken")
    tap.is_(
        store.rly("relay", "drain", "relay2", "relay1").stdout,
        "draining relay2\ndraining relay1\n", "drain")
    tap.like(
        store.rly("relay", "list").stdout,
        r"(?m)^relay1 +silent, draining .*\nrelay2 +up, draining +7 +0.42 +relay.example.com:443 ",
        "text")
    tap.is_(store.rly("relay", "undrain", "relay2").returncode, 0, "undrain")
    tap.is_([r["draining"] for r in said(store, "relay", "list")["relays"]], [True, False],
            "… that one")
    events = said(store, "events")["events"][-3:]
    tap.is_([(e["what"], e["relay"]) for e in events], [("drain", "relay2"), ("drain", "relay1"),
                                                        ("undrain", "relay2")], "events")
    store.redis("HSET", "relay:relay:relay2", "v", "9")
    tap.is_(
        said(store, "relay", "list")["relays"][1]["state"], "silent",
        "a newer version's record is not read")
    for args, status in (((), 2), (("x", ), 2), (("list", "x"), 2), (("drain", ), 2),
                         (("drain", "relay9"), 1), (("undrain", "A b"), 1)):
        tap.is_(store.rly("relay", *args).returncode, status, f"rly relay {args}: {status}")


@test
def follow(store):
    with open(f"{store.dir}/followed", "w") as out:
        process = subprocess.Popen([store.program, "events", "--follow", "--json"],
                                   stdout=out,
                                   env={"RELAY_CONF": store.conf})
    try:
        wait_for(lambda: "blocked_clients:1" in store.redis("INFO", "clients"), "it waits", 5)
        id = store.open("80")["id"]
        with open(f"{store.dir}/followed") as f:
            wait_for(lambda: f.seek(0) == 0 and id in f.read(), "the event", 5)
        tap.ok(process.poll() is None, "--follow: it is told, and goes on")
    finally:
        process.kill()
        process.wait()


tap.run()
