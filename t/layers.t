#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rlyd's files lie in layers (ARCHITECTURE.md): none uses one above it, and no two use each other.
Each part alone writes what it knows of a session. Made files show first that a circle, a use from
below and a foreign hand are noticed.
"""
import os
import re
import tempfile

from lib import layers, run, tap, test, TOP

BUILD = os.environ.get("RELAY_BUILD", f"{TOP}/build")
ORDER = ("ground", "session", ".")
# Three files of a program; each case adds to one of them.
MADE = {
    "low/a.h": "int a(void);\n",
    "low/a.c": '#include "a.h"\nint a(void)\n{\n    return 1;\n}\n',
    "low/b.c": '#include "a.h"\nint b(void);\nint b(void)\n{\n    return a();\n}\n',
    "top.c": '#include "low/a.h"\nint top(void);\nint top(void)\n{\n    return a();\n}\n',
}
# A line that writes a member of the struct named %s.
WRITES = (r"(?:\.|->)%s\.\w+(?:\[[^]]*\])?\s*(?:[-+|&]?=(?!=)|\+\+|--)"
          r"|(?:\+\+|--)[\w>.-]*(?:\.|->)%s\.\w+")


def made(**added):
    """@return what is said of the program when `added` stands at the ends of its files, whose names
    have `_' for the dot there"""
    with tempfile.TemporaryDirectory() as directory:
        for path, text in MADE.items():
            file = f"{directory}/prog/{path}"
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w", encoding="utf-8") as f:
                f.write(text + added.get(os.path.basename(path).replace(".", "_"), ""))
            if path.endswith(".c"):
                where, name = os.path.split(f"{directory}/build/prog/{path}")
                out = f"{where}/prog-{name[:-2]}.o"
                os.makedirs(os.path.dirname(out), exist_ok=True)
                run(["gcc", "-c", "-iquote", f"{directory}/prog", "-o", out, file])
        return layers.faults(f"{directory}/prog", f"{directory}/build", ("low", "."))[0]


def foreign_hands(folder):
    """@return (the parts that have a struct in a session, where another file writes into one)"""
    with open(f"{folder}/session/sessions.h", encoding="utf-8") as f:
        parts = re.findall(r"(?m)^    session_\w+ (\w+);", f.read())
    parts, found = [part for part in parts if part not in ("state", "way")], []
    for unit, paths in layers.units_of(folder).items():
        for path in paths:
            with open(f"{folder}/{path}", encoding="utf-8") as f:
                for number, line in enumerate(f, 1):
                    found += [
                        f"{path}:{number} writes what {part} knows" for part in parts
                        if unit != f"session/{part}" and re.search(WRITES % (part, part), line)
                    ]
    return parts, found


@test
def circle():
    tap.is_(made(), [], "a program in layers: nothing is said")
    again = "int b(void);\nint again(void);\nint again(void)\n{\n    return b();\n}\n"
    tap.is_(made(a_c=again),
            ["circle: low/a, low/b", "  low/a -> low/b: b", '  low/b -> low/a: #include "a.h", a'],
            "a circle of calls is noticed")


@test
def upwards():
    up = "int top(void);\nint up(void);\nint up(void)\n{\n    return top();\n}\n"
    tap.is_(
        made(a_c=up)[-1], "low/a uses top, which lies above it: top", "a use from below is noticed")


@test
def hands():
    for line, writes in (("s->live.announced = 1;", 1), ("s->live.count++;", 1),
                         ("++s->live.count;", 1), ("s->live.at[0] += 2;", 1),
                         ("if (s->live.announced == 1)", 0), ("x = s->live.announced;", 0)):
        tap.is_(bool(re.search(WRITES % ("live", "live"), line)), bool(writes),
                f"`{line}' {'writes' if writes else 'reads'}")


@test
def rlyd():
    said, uses = layers.faults(f"{TOP}/rlyd", BUILD, ORDER)
    tap.is_(said, [], "no file uses one above it, and no two use each other")
    tap.ok(uses > 100, "which is so for many uses", uses)


@test
def mod_relay():
    # mod_relay.h is the ground of all files and mod_relay.c the top of them; that has to be so for
    # httpd, which knows a module by the name of the file with its record.
    said, uses = layers.faults(f"{TOP}/mod_relay",
                               BUILD,
                               apart=["mod_relay"],
                               common=["relay_module"])
    tap.is_(said, [], "no two files use each other")
    tap.ok(uses > 100, "which is so for many uses", uses)


@test
def rlyd_sessions():
    parts, found = foreign_hands(f"{TOP}/rlyd")
    tap.is_(found, [], "what a part knows of a session only that part writes")
    tap.ok(len(parts) >= 8, "which is so for many parts", parts)


tap.run()
