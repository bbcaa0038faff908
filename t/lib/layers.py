#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Finds which file of a program uses which, and circles among them.

usage: t/lib/layers.py FOLDER BUILD [ORDER] [PAIR...]

A unit is a .c with the .h of the same name. It uses another one when it includes its header, or
when its object needs a symbol that the other's object defines (nm). ORDER names the folders of
FOLDER from the bottom up, with commas, `.` for FOLDER itself: a unit uses those of its own folder
and of those below. PAIR (`A=B`) are two units that may use each other; ARCHITECTURE.md says why.
BUILD is where the tree was built.

Exit status: 0 when all is well, 1 when not, with a line for each fault.
"""
import os
import re
import subprocess
import sys


def units_of(folder, apart=()):
    """@return {unit: [its files]}, by their paths inside the folder; the headers of units that are
    `apart' are units of their own, with `.h' in their names"""
    units = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith((".c", ".h")):
                path = os.path.relpath(os.path.join(where, name), folder)
                is_apart = path.endswith(".h") and path[:-2] in apart
                units.setdefault(path if is_apart else path[:-2], []).append(path)
    return units


def includes(folder, units):
    """Yields (unit, the one it includes, the line)."""
    for unit, paths in units.items():
        for path in paths:
            with open(os.path.join(folder, path), encoding="utf-8") as f:
                text = f.read()
            for name in re.findall(r'(?m)^#include "([^"]+)\.h"', text):
                for found in (os.path.normpath(os.path.join(os.path.dirname(path), name)), name):
                    owner = found + ".h" if found + ".h" in units else found
                    if owner in units and found + ".h" in units[owner]:
                        if owner != unit:
                            yield unit, owner, f'#include "{name}.h"'
                        break


def object_of(build, unit):
    """@return the path of a unit's object: automake puts `PROGRAM-` before its name, and libtool
    has one in .libs/, too"""
    where, name = os.path.split(os.path.join(build, unit))
    for folder in (os.path.join(where, ".libs"), where):
        if os.path.isdir(folder):
            for entry in sorted(os.listdir(folder)):
                if entry.endswith(".o") and entry[:-2].split("-", 1)[-1] == name:
                    return os.path.join(folder, entry)
    return None


def symbols_of(path):
    """@return (the names that an object defines for others, those that it needs)"""
    said = subprocess.run(["nm", "-g", path], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in said.splitlines()]
    return ({row[2]
             for row in rows
             if len(row) == 3}, {row[1]
                                 for row in rows if len(row) == 2 and row[0] == "U"})


def calls(build, units):
    """Yields (unit, the one whose symbol it needs, the symbol).

    @raise ValueError when a unit is not built"""
    defines, needs = {}, {}
    for unit, paths in units.items():
        if unit + ".c" not in paths:
            continue
        found = object_of(build, unit)
        if not found:
            raise ValueError(f"{unit}.c: there is no object of it in {build}")
        own, needs[unit] = symbols_of(found)
        defines.update({name: unit for name in own})
    for unit, names in needs.items():
        for name in sorted(names):
            if defines.get(name, unit) != unit:
                yield unit, defines[name], name


def circles(uses):
    """@return the sets of units that reach each other"""
    def reach(start):
        seen, todo = set(), [start]
        while todo:
            for other in uses.get(todo.pop(), {}):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    reached = {unit: reach(unit) for unit in uses}
    found = []
    for unit in sorted(uses):
        circle = {other for other in reached[unit] if unit in reached.get(other, ())}
        if circle and circle not in found:
            found.append(circle)
    return found


def faults(folder, build, order=(), pairs=(), apart=(), common=()):
    """@return (a sentence for each fault, how many uses there are)

    apart: units whose header stands for itself; common: symbols that any unit may need"""
    units, uses = units_of(folder, apart), {}
    for source in (includes(folder, units),
                   calls(os.path.join(build, os.path.basename(os.path.normpath(folder))), units)):
        for unit, other, how in source:
            if how in common:
                continue
            uses.setdefault(unit, {}).setdefault(other, []).append(how)
    said = []
    for circle in circles(uses):
        if circle in [set(pair) for pair in pairs]:
            continue
        said.append(f"circle: {', '.join(sorted(circle))}")
        for unit in sorted(circle):
            said += [
                f"  {unit} -> {other}: {', '.join(how)}"
                for other, how in sorted(uses[unit].items()) if other in circle
            ]
    floors = {name: n for n, name in enumerate(order)}
    for unit in sorted(units) if order else ():
        here = os.path.dirname(unit) or "."
        if here not in floors:
            said.append(f"{unit}: its folder is none of {', '.join(order)}")
            continue
        for other, how in sorted(uses.get(unit, {}).items()):
            if floors.get(os.path.dirname(other) or ".", -1) > floors[here]:
                said.append(f"{unit} uses {other}, which lies above it: {', '.join(how)}")
    return said, sum(len(others) for others in uses.values())


def main():
    if len(sys.argv) < 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    order = sys.argv[3].split(",") if len(sys.argv) > 3 else ()
    said, _ = faults(sys.argv[1], sys.argv[2], order, [pair.split("=") for pair in sys.argv[4:]])
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
