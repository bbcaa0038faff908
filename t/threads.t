#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""The module's threads under ThreadSanitizer, against a real Redis: t/threads/threads.c says how
and why. Seconds in CI; RELAY_THREADS_SECONDS=600 for longer."""
import os
import re
import shutil
import subprocess

from lib import run, Store, tap, test, TOP

SECONDS = os.environ.get("RELAY_THREADS_SECONDS", "6")
BUILD = os.environ.get("RELAY_THREADS_BUILD", f"{TOP}/build-tsan")


def build():
    env = dict(os.environ, RELAY_BUILD=BUILD, RELAY_CC="clang")
    env.pop("MAKEFLAGS", None)
    subprocess.run([f"{TOP}/script/build", "--enable-sanitize=thread", "CFLAGS=-g -O1"],
                   env=env,
                   check=True,
                   stderr=subprocess.DEVNULL)
    run(["make", "-s", "-C", BUILD, "t/threads/threads"], env=env)
    return f"{BUILD}/t/threads/threads"


@test
def no_data_race():
    if not shutil.which("clang"):
        tap.skip_all("clang is not installed")
    program = build()
    store = Store()
    env = dict(os.environ, TSAN_OPTIONS="halt_on_error=0 exitcode=66")
    result = run([program, store.conf, SECONDS], env=env, check=False)
    tap.ok(result.returncode == 0, "no data race, and no answer that was wrong for a second",
           f"exit status {result.returncode}\n{result.stderr[-8000:]}")
    tap.note(result.stdout.strip())
    n = dict(re.findall(r"(\w+) (\d+)", result.stdout))
    tap.ok(int(n.get("found", 0)) > 10000, "many routes were found", result.stdout)
    tap.ok(int(n.get("absent", 0)) > 1000, "and many were not there", result.stdout)
    store.redis.stop()


tap.run()
