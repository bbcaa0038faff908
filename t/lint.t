#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""script/lint sees what it should: a unit with a fault in it fails, by each of the tools that read
C. (A step of script/test sees to it that the tree has none.)
"""
import tempfile

from lib import fixture, run, tap, test, TOP

HEAD = ("/* Licensed under the Apache License, Version 2.0; see LICENSE. */\n"
        "#include <stdlib.h>\n#include <string.h>\n")
FAULTS = {
    "a use after free":
    ("int f(int n)\n{\n    char *p = malloc(10);\n\n    if (!p)\n        return 0;\n    p[0] = "
     "(char)n;\n    free(p);\n    return p[0];\n}\n", ("clang-analyzer-unix.Malloc",
                                                       "analyzer-use-after-free")),
    "a NULL that is not looked at":
    ("char *f(char c)\n{\n    char *p = malloc(10);\n\n    p[0] = c;\n    return p;\n}\n",
     ("analyzer-possible-null-dereference", )),
    "a sizeof of the wrong thing":
    ("void f(char *p)\n{\n    memset(p, 0, sizeof(p));\n}\n",
     ("bugprone-sizeof-expression|clang-diagnostic-sizeof-pointer|Wsizeof-pointer|=sizeof-pointer",
      )),
}


@fixture
def path():
    with tempfile.TemporaryDirectory() as directory:
        yield f"{directory}/fault.c"


def lint(path, code):
    """script/lint's result for a unit of this code."""
    with open(path, "w") as f:
        f.write(HEAD + code)
    return run([f"{TOP}/script/lint", path], check=False)


@test
def faults(path):
    for what, (code, expected) in FAULTS.items():
        result = lint(path, code)
        tap.ok(result.returncode, f"{what}: script/lint fails")
        for tool in expected:
            tap.like(result.stdout + result.stderr, tool, f"{what}: {tool} is said")


@test
def no_fault(path):
    result = lint(
        path, "int f(const char *p);\nint f(const char *p)\n{\n    return strcmp(p, \"x\") == "
        "0;\n}\n")
    tap.is_((result.returncode, result.stdout + result.stderr), (0, ""),
            "a unit without a fault passes, and nothing is said")


tap.run()
