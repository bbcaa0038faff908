#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly open -n: a name belongs to its device's label for 90 days after its tunnel. Others get it
with --take-over; several names at once; what is remembered, and for how long.
"""
import json
import os

from lib import run, Store, tap, test
from lib.tap import between, is_, like, ok, unlike

store = Store()
DAY = 86400000
os.umask(0o022)


def rly_open(name, device, *more, port="80"):
    names = [name] if isinstance(name, str) else name
    label = ["-d", device] if device else []
    return store.rly("open",
                     "--json",
                     "-k",
                     "-",
                     *[a for n in names for a in ("-n", n)],
                     *label,
                     *more,
                     *[port] * len(names),
                     input=key())


keys = 0


def key():
    """Another public key each time."""
    global keys
    keys += 1
    path = f"{store.dir}/key{keys}"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path])
    with open(path + ".pub", "rb") as f:
        return f.read()


def field(record, name):
    return store.redis("HGET", f"relay:{record}", name)


# Each line: the tunnels that a name had, one after another, as (label, take over): what comes of
# the last one, and whether its visitors' browsers are told to forget.
SAME, WARNS, REFUSED, TAKEN = "same", "warns", "refused", "taken"
TABLE = [
    ([("A", 0)], SAME, False, "the first one"),
    ([("", 0)], SAME, False, "the first one, without a label"),
    ([("A", 1)], SAME, False, "the first one, told to take it over"),
    ([("A", 0), ("A", 0)], SAME, False, "the same label"),
    ([("A", 0), ("B", 0)], REFUSED, False, "another label"),
    ([("A", 0), ("a", 0)], REFUSED, False, "another label, by its case"),
    ([("A", 0), ("B", 1)], TAKEN, True, "another label, taken over"),
    ([("A", 0), ("", 0)], WARNS, False, "no label after one"),
    ([("", 0), ("A", 0)], WARNS, False, "a label after none"),
    ([("", 0), ("", 0)], WARNS, False, "no label twice"),
    ([("", 0), ("", 1)], TAKEN, True, "no label twice, taken over"),
    ([("A", 0), ("", 0), ("A", 0)], WARNS, False, "a label, none, the same again"),
    ([("A", 0), ("", 0),
      ("B", 0)], TAKEN, True, "a label, none, another: it warns, and that is another device"),
    ([("A", 0), ("B", 0), ("A", 0)], SAME, False, "what was refused is not remembered"),
    ([("A", 0), ("B", 1),
      ("B", 0)], SAME, True, "taken over, and then the same label: the same owner"),
    ([("A", 0), ("B", 1), ("A", 0)], REFUSED, True, "taken over, and then the first again"),
    ([("A", 0), ("B", 1), ("A", 1)], TAKEN, True, "taken over, and taken back"),
    ([("A", 0), ("A", 1)], TAKEN, True, "the same label, taken over: another device behind it"),
    ([("NAS in Z\u00fcrich' $(x)", 0),
      ("NAS in Bern", 0)], REFUSED, False, "labels of any characters"),
]


@test
def labels():
    for i, (tunnels, outcome, told, what) in enumerate(TABLE):
        name = f"name-{i}"
        for n, (label, over) in enumerate(tunnels, 1):
            result = rly_open(name, label, *["--take-over"] * over)
            tunnel = json.loads(result.stdout) if result.returncode == 0 else None
            if tunnel and n < len(tunnels):
                store.rly("close", tunnel["id"])
        if outcome == REFUSED:
            is_(result.returncode, 1, f"{what}: refused")
            like(
                result.stderr,
                f"^rly: the name `{name}' was last the device `.*browsers may hold .* remembered "
                "until 20.*--take-over", "and says who had it, until when, and what to do")
            like(result.stderr,
                 f"`{tunnels[0][0]}'" if len(tunnels) == 2 and "$" not in tunnels[0][0] else "`",
                 "who that was")
            is_(store.redis("EXISTS", f"relay:route:{name}"), "0", "nothing is opened")
            continue
        is_(
            result.returncode,
            0,
            f"{what}: opened",
        ) or print(result.stderr)
        owner = field(f"route:{name}", "owner")
        is_(bool(owner), told,
            "browsers are told to forget" if told else "browsers are not told to forget")
        is_(field(f"route:{name}", "chosen"), "1", "the route says that its name was chosen")
        if outcome in (WARNS, TAKEN):
            like(
                result.stderr, f"^rly: warning: the name `{name}' "
                f".*{'--take-over' if outcome == WARNS else 'forget'}", "it warns")
            is_(len(tunnel["warnings"]), 1, "and in the JSON")
        else:
            is_(result.stderr, "", "without a word")
            ok("warnings" not in tunnel, "and none in the JSON")
        if outcome == TAKEN:
            is_(owner, tunnel["id"], "a new owner")


def ttl(record):
    return int(store.redis("PTTL", f"relay:{record}"))


@test
def remembered():
    t = json.loads(rly_open("kept", "A", "-t", "1h").stdout)
    between(ttl("was:kept"), 90 * DAY + 3590000, 90 * DAY + 3600000,
            "a name is remembered for 90 days after its tunnel's expiry")
    store.rly("extend", "-t", "5h", t["id"])
    between(ttl("was:kept"), 90 * DAY + 17990000, 90 * DAY + 18000000,
            "after an extension from then on")
    store.rly("close", t["id"])
    between(ttl("was:kept"), 90 * DAY - 10000, 90 * DAY, "after a close from then on")
    is_(rly_open("kept", "B").returncode, 1, "within that time another device is refused")
    store.redis("PEXPIRE", "relay:was:kept", "300")
    like(rly_open("kept", "B").stderr, "`A'", "at its last moment, too")
    # as Redis does after 90 days
    store.redis("DEL", "relay:was:kept", "relay:gone:kept", f"relay:tunnel:{t['id']}")
    result = rly_open("kept", "B")
    is_((result.returncode, result.stderr), (0, ""), "after it the name is free")
    is_(field("was:kept", "device"), "B", "and remembered as the new one's")
    random = json.loads(store.rly("open", "--json", "-d", "A", "-k", "-", "80", input=key()).stdout)
    name = random["routes"][0]["name"]
    is_(store.redis("EXISTS", f"relay:was:{name}"), "0", "a random name is not remembered")
    is_(store.redis("HMGET", f"relay:route:{name}", "chosen", "owner"), "",
        "nor does its route say more than it did")


@test
def late_close():
    """A close that comes when the name is another tunnel's already touches nothing of that."""
    a = json.loads(rly_open("late", "A").stdout)
    store.redis("DEL", "relay:route:late")
    b = json.loads(rly_open("late", "B", "--take-over").stdout)
    store.redis("PEXPIRE", "relay:was:late", "1000000")
    store.rly("close", a["id"])
    between(ttl("was:late"), 1, 1000000,
            "a close of the earlier tunnel leaves the record of the later one")
    store.rly("extend", "-t", "5h", b["id"])
    between(ttl("was:late"), 90 * DAY, 91 * DAY, "an extension of the later one does not")


@test
def before():
    """Tunnels that were opened before there was a was: record, and random names that somebody
    chooses."""
    t = json.loads(rly_open("old", "A").stdout)
    store.redis("DEL", "relay:was:old")
    store.rly("close", t["id"])
    result = rly_open("old", "B")
    is_(result.returncode, 1, "no record, but the last tunnel's: another label is refused")
    like(result.stderr, "`A'.*until 20", "and named")
    is_(rly_open("old", "A").returncode, 0, "the same label is not")
    random = json.loads(store.rly("open", "--json", "-d", "A", "-k", "-", "80", input=key()).stdout)
    name = random["routes"][0]["name"]
    store.rly("close", random["id"])
    is_(
        rly_open(name, "B").returncode, 1,
        "a name that was random, chosen for another device, is refused as well")
    store.redis("DEL", f"relay:tunnel:{random['id']}")
    like(
        rly_open(name, "B").stderr, "warning: .*without a label",
        "a last tunnel of which nothing is known has no label")


@test
def several():
    for name, label in (("one", "A"), ("two", "B")):
        store.rly("close", json.loads(rly_open(name, label).stdout)["id"])
    before = store.snapshot()
    result = rly_open(["free", "one", "two"], "A")
    is_(result.returncode, 1, "several names, one of them another's: refused")
    like(result.stderr, "`two' was last the device `B'", "it says which")
    is_(store.snapshot(), before, "and nothing has changed")
    result = rly_open(["free", "one", "two"], "A", "--take-over")
    tunnel = json.loads(result.stdout)
    is_(result.returncode, 0, "taken over")
    is_([bool(field(f"route:{n}", "owner")) for n in ("free", "one", "two")], [False, True, True],
        "those that were somebody's")
    is_(len(tunnel["warnings"]), 2, "a word on each of them")
    result = store.rly("open", "-n", "one", "-k", "-", "80", "--take-over", input=key())
    like(result.stderr, "taken by another tunnel", "one that is open is taken over by nobody")
    text = store.rly("open",
                     "-d",
                     "C",
                     "--take-over",
                     "-n",
                     "one",
                     "-k",
                     "-",
                     "80",
                     "-c",
                     store.conf,
                     input=key())
    is_(text.returncode, 1, "nor without --json")
    store.rly("close", tunnel["id"])
    text = store.rly("open", "-d", "C", "--take-over", "-n", "one", "-k", "-", "80", input=key())
    like(text.stderr, "^rly: warning: the name `one' is taken over from the device `A'",
         "without --json it warns on stderr")
    unlike(text.stdout, "taken over", "and not in between")


@test
def hostile():
    store.rly("close", json.loads(rly_open("odd", "A").stdout)["id"])
    store.redis("HSET", "relay:was:odd", "v", "2")
    like(
        rly_open("odd", "A").stderr, "was:odd has version 2.*upgrade",
        "a record of a later version is refused")
    store.redis("DEL", "relay:was:odd")
    store.redis("SET", "relay:was:odd", "x")
    result = rly_open("odd", "A")
    is_((result.returncode, result.stdout), (3, ""), "a record that is no hash: an error")
    is_(store.redis("EXISTS", "relay:route:odd"), "0", "and nothing is opened")
    store.redis("DEL", "relay:was:odd")
    store.redis("HSET", "relay:was:odd", "v", "1", "device", "A\x1b[31m", "label", "A\x1b[31m",
                "owner", "")
    unlike(
        rly_open("odd", "B").stderr, "\x1b",
        "control characters of a record do not reach the terminal")


tap.run()
