#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Pids that come again: rlyd touches a session's own processes only. t/identity/identity.c says
how, and makes the checks."""
import os
import shutil
import tempfile

from lib import run, tap, test, TOP

BUILD = os.environ.get("RELAY_BUILD", f"{TOP}/build")


@test
def pids_that_come_again():
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    made = run(["make", "-s", "-C", BUILD, "t/identity/identity"], env=env, check=False)
    if not tap.ok(made.returncode == 0, "the program is built", made.stdout + made.stderr):
        return
    with tempfile.TemporaryDirectory(dir="/run") as directory:
        os.chmod(directory, 0o755)
        for name in ("identity", "sshd", "other"):
            shutil.copy(f"{BUILD}/t/identity/identity", f"{directory}/{name}")
        result = run([f"{directory}/identity", directory], timeout=60, check=False)
    for line in result.stdout.splitlines():
        words = line.partition(" - ")
        if line.startswith(("ok ", "not ok ")):
            tap.ok(line.startswith("ok "), words[2])
        elif line.startswith("#"):
            tap.diag(line[1:].strip())
    tap.is_((result.returncode, result.stderr), (0, ""), "all checks were made")


tap.run()
