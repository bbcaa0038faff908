#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly events, straight on Redis. api.t has the same by the API.
"""
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
            [("open", first, None), ("token", None, "bern"), ("close", first, None)],
            "the last ones, the oldest first")
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
