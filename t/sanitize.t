#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""Everything built with AddressSanitizer and UndefinedBehaviorSanitizer (gcc's): the unit tests,
and tests of this directory with all programs and mod_relay so built. The ones below take minutes;
RELAY_SANITIZE=all runs all that do not measure memory or time, which such a build changes;
RELAY_SANITIZE="pool tls" those two."""
import os
import re
import shutil
import subprocess
import tempfile

from lib import fixture, tap, test, TOP

BUILD = os.environ.get("RELAY_SANITIZE_BUILD", f"{TOP}/build-asan")
USUAL = "routing answers api authkeys rly rlyd".split()
# Not these: they measure memory or time, preload a library of their own, or build or install by
# themselves.
NOT = ("acl bench cache clock fuzz growth install lint main rewrite rlyd-lifetime sanitize "
       "threads").split()


def run(argv, **env):
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "RELAY_ROOT", "RELAY_KEEP")
    }
    environment.update(env)
    result = subprocess.run(argv,
                            stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            env=environment)
    return result.returncode, result.stdout.decode(errors="replace")


@fixture
def runtime():
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True,
                           text=True).stdout.strip()
    if not os.path.exists(found):
        tap.skip_all("gcc has no libasan")
    return found


@fixture
def built(runtime):
    status, said = run([f"{TOP}/script/build", "--enable-sanitize", "CFLAGS=-g -O1"],
                       RELAY_BUILD=BUILD)
    tap.is_(status, 0, "builds with sanitizers") or tap.bail_out(said[-4000:])


@test
def unit_tests(built):
    status, said = run(["make", "-s", "-C", BUILD, "-j2", "check"])
    tap.is_(status, 0, "make check") or tap.diag(said[-6000:])


@fixture
def root(built):
    root = tempfile.mkdtemp(prefix="relay-sanitize-", dir="/run")
    os.chmod(root, 0o755)
    try:
        status, said = run(["make", "-s", "-C", BUILD, "install", f"DESTDIR={root}"])
        run(["chmod", "-R", "go-w", root])
        tap.is_(status, 0, "make install") or tap.diag(said[-3000:])
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@test
def module(root):
    symbols = subprocess.run(["nm", "-D", f"{root}/usr/lib/apache2/modules/mod_relay.so"],
                             capture_output=True,
                             text=True).stdout
    tap.like(symbols, "__asan_report", "mod_relay.so was built so")


@test
def tests(runtime, root):
    chosen = os.environ.get("RELAY_SANITIZE", "").split() or USUAL
    if chosen == ["all"]:
        chosen = sorted(
            set(name[:-2] for name in os.listdir(f"{TOP}/t") if name.endswith(".t")) - set(NOT))
    for name in chosen:
        status, said = run([f"{TOP}/t/{name}.t"],
                           RELAY_ROOT=root,
                           RELAY_BUILD=BUILD,
                           RELAY_SANITIZER=runtime)
        checks = len(re.findall(r"(?m)^ok ", said))
        tap.ok(status == 0 and not re.search(r"Sanitizer:|runtime error:", said),
               f"{name}.t: {checks} checks under sanitizers", said[-6000:])


tap.run()
