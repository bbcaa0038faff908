#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""script/test: its lanes keep tests apart that disturb each other, and it bootstraps when something
has changed. It runs in a small tree here, whose tests only write down when they ran.
"""
import os
import shutil
import subprocess
import tempfile

from lib import fixture, tap, test, TOP

BUILD = """#!/bin/sh
mkdir -p "$RELAY_BUILD" && cd "$RELAY_BUILD" &&
    printf 'check:\\ninstall:\\n\\tmkdir $(DESTDIR)\\n' >Makefile
"""
# Takes 0.5 s, so that tests of two lanes overlap.
TEST = """#!/bin/sh
# Licensed under the Apache License, Version 2.0; see LICENSE.
%s
echo "begin ${0##*/}" >>times; sleep 0.5; echo "end ${0##*/}" >>times
echo 1..1; echo ok 1
"""
LANES = {"a": "# lane: busy", "b": "# lane: judging", "c": "#", "d": "# lane: busy", "e": "#"}


class Tree:
    def __init__(self, directory):
        self.dir = directory
        for name in ("script", "t"):
            os.mkdir(f"{directory}/{name}")
        shutil.copy(f"{TOP}/script/test", f"{directory}/script")
        self.write("script/bootstrap", "#!/bin/sh\necho ran >>bootstraps\n")
        self.write("script/build", BUILD)
        for name, line in LANES.items():
            self.write(f"t/{name}.t", TEST % line)

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w") as f:
            f.write(text)
        os.chmod(f"{self.dir}/{name}", 0o755)

    def lines(self, name):
        """Returns what was written down there since the last time."""
        try:
            with open(f"{self.dir}/{name}") as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            return []
        os.unlink(f"{self.dir}/{name}")
        return lines

    def run(self, *args, before=()):
        return subprocess.run([*before, "script/test", *args],
                              cwd=self.dir,
                              stdin=subprocess.DEVNULL,
                              capture_output=True,
                              text=True,
                              timeout=60)

    def bootstraps(self, *args, **kwargs):
        """@return whether script/test NAME bootstraps"""
        result = self.run("a.t", *args, **kwargs)
        tap.is_(result.returncode, 0, "script/test NAME passes") or tap.diag(result)
        return self.lines("bootstraps") == ["ran"]


@fixture
def tree():
    with tempfile.TemporaryDirectory() as directory:
        yield Tree(directory)


def together(times):
    """@return the pairs of tests that ran at the same time"""
    running, pairs = set(), set()
    for line in times:
        what, name = line.split()
        if what == "begin":
            pairs |= {frozenset((name, other)) for other in running}
            running.add(name)
        else:
            running.remove(name)
    return pairs


@test
def lanes(tree):
    tap.is_(
        tree.run("--list").stdout, "t/a.t busy\nt/b.t judging\nt/c.t\nt/d.t busy\nt/e.t\n",
        "--list prints each test with its lane")
    tap.is_(tree.lines("times"), [], "--list runs nothing")
    result = tree.run(".t")
    tap.is_(result.returncode, 0, "all tests ran") or tap.diag(result)
    times = tree.lines("times")
    tap.is_(len(times), 10, "each of them once")
    pairs = together(times)
    first = {"a.t", "b.t", "d.t"}
    tap.ok(pairs, "two lanes run at the same time", times)
    tap.is_([sorted(pair) for pair in pairs if pair <= first or not pair & first], [],
            "two tests of one lane never do")
    tap.is_(tree.run("c.t").returncode, 0, "a run without a test of the first lane")
    tap.is_(tree.run("a.t").returncode, 0, "a run without a test of the second lane")
    tree.lines("times")


@test
def wrong_lane(tree):
    for line in ("# lane: bsy", "# lane busy", "# Lane: busy", "# lane: busy judging",
                 "#lane: busy", "# lanes: busy"):
        tree.write("t/f.t", TEST % line)
        result = tree.run("f.t")
        tap.is_(result.returncode, 2, f"{line}: exit status 2")
        tap.like(result.stderr, f"test: t/f.t says `{line}'; a lane is `# lane: busy' or",
                 f"{line}: the error names file and line")
    tap.is_(tree.lines("times"), [], "nothing runs then")
    os.unlink(f"{tree.dir}/t/f.t")


@test
def bootstrap(tree):
    shutil.rmtree(f"{tree.dir}/build-test", ignore_errors=True)
    tree.lines("bootstraps")
    tap.ok(tree.bootstraps(), "a tree without a build bootstraps")
    tap.ok(not tree.bootstraps(), "the second time it is left out")
    tree.write("script/bootstrap", "#!/bin/sh\n\necho ran >>bootstraps\n")
    tap.ok(tree.bootstraps(), "another script/bootstrap runs")
    for path in ("/var/lib/dpkg/status", "/etc/passwd", "/etc/shadow"):
        tap.ok(not tree.bootstraps(), "and is left out the second time")
        copy = f"{tree.dir}/copy"
        shutil.copy(path, copy)
        changed = ("unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"',
                   "sh", copy, path)
        tap.ok(tree.bootstraps(before=changed), f"it runs when {path} has changed")
        tap.ok(tree.bootstraps(), "and when it has changed back")
    tree.write("script/bootstrap", "#!/bin/sh\necho ran >>bootstraps; exit 1\n")
    tap.is_(tree.run("a.t").returncode, 1, "a bootstrap that fails ends the run")
    tap.is_(tree.run("a.t").returncode, 1, "and is tried again")
    tap.is_(tree.lines("bootstraps"), ["ran", "ran"], "each time")


tap.run()
