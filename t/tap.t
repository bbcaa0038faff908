#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""lib.tap runs a file's functions, or the one that is named: fixtures are made once and end behind
the last test that needs them, and what a test needs comes first.
"""
import os
import tempfile

from lib import fixture, run, tap, test, TOP

HEAD = "import threading\nfrom lib import fixture, tap, test\n"
# Each part says when it runs.
FILE = HEAD + """
@fixture
def thing():
    tap.note("thing is made")
    yield 5
    tap.note("thing ends")

@test(gives="one")
def first(thing):
    tap.is_(thing, 5, "first has the thing")
    return 1

@test
def other():
    tap.ok(True, "other")

@test
def second(thing, one):
    tap.is_((thing, one), (5, 1), "second has both")

@test(needs=["second"])
def third():
    tap.ok(True, "third")

@test
def last():
    tap.ok(True, "last")

tap.run()
"""
TWO = HEAD + """
meeting = threading.Barrier(2)

@test(thread="a")
def one():
    tap.passes("one meets the other", meeting.wait, 10)

@test(thread="b")
def two():
    tap.passes("two meets the other", meeting.wait, 10)

tap.run()
"""


@fixture
def path():
    with tempfile.TemporaryDirectory() as directory:
        yield f"{directory}/small.t"


def said(path, text, *names):
    """Runs a test file of that text: (exit status, lines, what went to stderr)"""
    with open(path, "w") as f:
        f.write(text)
    result = run(["/usr/bin/python3", "-B", path, *names],
                 check=False,
                 env=dict(os.environ, PYTHONPATH=f"{TOP}/t"))
    return result.returncode, result.stdout.splitlines(), result.stderr


@test
def all_of_them(path):
    tap.is_(
        said(path, FILE)[:2], (0, [
            "# thing is made", "# --- first", "ok 1 - first has the thing", "# --- other",
            "ok 2 - other", "# --- second", "ok 3 - second has both", "# --- third", "ok 4 - third",
            "# thing ends", "# --- last", "ok 5 - last", "1..5"
        ]), "the functions run in their order; the fixture ends behind the last that needs it")


@test
def one_of_them(path):
    tap.is_(
        said(path, FILE, "other")[:2], (0, ["# --- other", "ok 1 - other", "1..1"]),
        "one is named: it alone runs")
    tap.is_(
        said(path, FILE, "third")[:2], (0, [
            "# thing is made", "# --- first", "ok 1 - first has the thing", "# --- second",
            "ok 2 - second has both", "# --- third", "ok 3 - third", "# thing ends", "1..3"
        ]), "what it needs comes first, and no more")
    status, lines, errors = said(path, FILE, "other", "fourth", "thing")
    tap.is_((status, lines, errors),
            (1, [], "no test fourth, thing; there are: first other second third last\n"),
            "an unknown name, or a fixture's: an error lists the names, and nothing runs")


@test
def faults(path):
    for what, text, words in (("a parameter that names nothing",
                               "@test\ndef a(b):\n    pass\ntap.run()",
                               "a needs b: nothing above it is named so"),
                              ("a name twice",
                               "@test\ndef a():\n    pass\n@test\ndef a():\n    pass\ntap.run()",
                               "a stands there twice")):
        status, lines, errors = said(path, HEAD + text)
        tap.ok(status and words in errors, f"{what} is an error", errors)
    text = HEAD + "@test\ndef a():\n    1 / 0\n@test\ndef b():\n    tap.ok(True, 'b')\ntap.run()"
    status, lines, errors = said(path, text)
    tap.is_((status, lines), (1, ["# --- a", "not ok 1 - a died: ZeroDivisionError"]),
            "a test that dies is a failed check, and the next one does not run")
    text = HEAD + "@test\ndef a():\n    tap.is_(1, 2, 'one')\ntap.run()"
    tap.is_(said(path, text)[:2], (1, ["# --- a", "not ok 1 - one", "1..1"]), "a failed check")
    text = HEAD + "@test\ndef a():\n    pass\ntap.run()"
    tap.is_(said(path, text)[0], 1, "no check at all fails, too")


@test
def threads(path):
    status, lines, errors = said(path, TWO)
    tap.ok(status == 0 and lines[-1] == "1..2", "tests with other threads run at the same time",
           lines + [errors])


tap.run()
