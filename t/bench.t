#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""script/bench works: some benches run for seconds, and what it prints has its form. No figure is
judged.
"""
import json
import os
import re
import sys
import tempfile

from lib import fixture, run, tap, test, TOP

sys.path.append(f"{TOP}/bench")  # what is tested here
from main import MARK  # noqa: E402
from measure import Result, interleaved, spread  # noqa: E402

KSM = "/sys/kernel/mm/ksm/run"
NAMES = ("path", "tunnel", "ws", "routes", "login", "heads", "api")


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def bench(*args, **env):
    return run([f"{TOP}/script/bench", *args],
               timeout=300,
               env=dict(os.environ, **env),
               check=False)


@fixture
def host():
    """Is as it was afterwards."""
    before = set(os.listdir("/run"))
    with open(KSM) as f:
        merging = f.read()
    yield
    left = [d for d in set(os.listdir("/run")) - before if d.startswith("relay-bench-")]
    tap.is_(left, [], "nothing is left in /run")
    with open(KSM) as f:
        tap.is_(f.read(), merging, "samepage merging is as it was")


@test
def result():
    result = Result("x", "what")
    for a, b in ((10, 20), (30, 40), (5, 5)):
        result.add("a", "m", "1/s", a)
        result.add("b", "m", "1/s", b)
    tap.is_((result.median("a", "m"), result.median("b", "m"), result.ratio(
        "a", "b", "m"), result.ratio("a", "c", "m")), (10, 20, 0.75, None),
            "medians; ratios round by round")
    result.target_ratio("a", "b", "m", ">=", 0.75)
    result.target_ratio("a", "b", "m", "<=", 0.7)
    result.target_ratio("a", "c", "m", ">=", 1)
    tap.is_([t["holds"] for t in result.targets], [True, False],
            "a target holds, is missed, or is not there when it was not measured")
    tap.is_(result.json()["sides"][0],
            {"name": "a: m", "value": 10, "unit": "1/s", "min": 5, "max": 30}, "JSON of a side")
    tap.like(result.table(), r"(?s)\| a +\| +10 \|.*MISSED.*not measured here",
             "the table says all of that")
    tap.is_((spread([]), spread([2, 1, 3]), spread([1, 2, 3, 4, 5])),
            ("", "2.000", "3.000 (1.50 to 4.50)"),
            "a ratio is shown with its quartiles where there are enough rounds")
    order = list(interleaved(2, ["a", "b", "c"]))
    tap.is_(
        list(interleaved(1, ["a", "b", "c"], 2))[3:], [(1, "a"), (1, "b"), (2, "b"), (2, "a")],
        "further rounds are of the first two sides")
    tap.is_([s for _, s in order], ["a", "b", "c", "b", "a", "c"],
            "rounds are interleaved, start with another side each time, and turn round")


@test
def as_json(host):
    run = bench("--tiny", "--json", *NAMES, SISH="/bin/false")
    tap.like(run.stderr, "path: sish is left out: sish ended at once",
             "a peer that does not come up is left out")
    if not tap.is_(run.returncode, 0, f"script/bench --json {' '.join(NAMES)} runs"):
        tap.diag(run.stderr[-3000:])
        return
    tap.is_(run.stdout.count("\n"), 1, "its output is one line")
    found = json.loads(run.stdout)
    tap.is_((sorted(found), found["v"], [b["name"] for b in found["benches"]]),
            (["benches", "v"], 1, list(NAMES)), "v and benches")
    for entry in found["benches"]:
        bad = [
            s for s in entry["sides"] if sorted(s) != ["max", "min", "name", "unit", "value"] or
            not s["name"] or not s["unit"] or not all(
                number(s[k])
                for k in ("value", "min", "max")) or not s["min"] <= s["value"] <= s["max"]
        ]
        tap.ok(entry["sides"] and not bad,
               f"{entry['name']}: each side has name, value, unit, min and max", bad)
        bad = [
            t for t in entry["targets"]
            if sorted(t) != ["goal", "holds", "value", "what"] or not number(t["value"]) or
            not isinstance(t["holds"], bool) or not re.match(r"(<=|>=|<|==) [\d.]+$", t["goal"])
        ]
        tap.ok(entry["targets"] and not bad,
               f"{entry['name']}: each target has what, goal, value and holds", bad)
        tap.is_(sorted(entry), ["name", "sides", "targets"], f"{entry['name']}: nothing else")
    names = {s["name"].split(":")[0] for s in found["benches"][0]["sides"]}
    tap.ok({
        "static ProxyPass", "mod_relay", "published stack", "nginx regex, stock sshd",
        "haproxy map, stock sshd"
    } <= names, "path compares with all that Debian packages", names)


@test
def for_people(host):
    with tempfile.TemporaryDirectory() as scratch:
        path = f"{scratch}/RESULTS.md"
        with open(path, "w") as f:
            f.write(f"# What people wrote\n\n{MARK}\n\nold figures\n")
        run = bench("--tiny", "bulk", "storm", "--results", path)
        with open(path) as f:
            written = f.read()
        tap.is_(os.listdir(scratch), ["RESULTS.md"], "--results leaves nothing but its file")
    tap.is_(run.returncode, 0, "script/bench bulk storm runs")
    tap.ok(
        written.startswith(f"# What people wrote\n\n{MARK}\n\n## ") and
        "old figures" not in written,
        "--results keeps what stands before its mark, and nothing else", written[:300])
    tap.like(
        written,
        r"(?s)targets hold.*machine: .*command: .*## bulk: .*\| static ProxyPass +\|.*## storm: ",
        "it writes all that is printed")
    tap.is_([line for line in written.split("\n") if len(line) > 100], [],
            "no line is longer than 100 columns")
    tap.like(
        run.stdout,
        r"(?s)## bulk: .*\| static ProxyPass +\|.*## storm: .*\d+ of \d+ targets hold.*machine: "
        r".*versions: .*command: ", "it prints tables, targets, machine, versions and command")
    for args in (["nothing"], ["--wrong"]):
        run = bench(*args)
        tap.ok(run.returncode == 2 and run.stderr, f"{args[0]}: usage, status 2", run.stderr)
    tap.like(bench("--help").stdout, "usage: script/bench", "--help")


tap.run()
