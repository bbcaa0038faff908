#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""The parsers of input from outside, under libFuzzer with clang's address and undefined behaviour
sanitizers: the kept corpora, and a second of new input each. Longer runs: script/fuzz SECONDS.
Needs clang; make check replays without."""
import os
import re
import shutil
import subprocess
import tempfile

from lib import run, tap, test, TOP

SECONDS = os.environ.get("RELAY_FUZZ_SECONDS", "1")
BUILD = os.environ.setdefault("RELAY_FUZZ_BUILD", f"{TOP}/build-fuzz")


def canary(directory, *options, text=None):
    """Runs the target that has two faults; whether one was found, and what was said."""
    argv = [f"{BUILD}/t/fuzz/fuzz", f"-artifact_prefix={directory}/", *options]
    if text:
        with open(f"{directory}/input", "wb") as f:
            f.write(text)
        argv.append(f"{directory}/input")
    result = subprocess.run(argv,
                            stdin=subprocess.DEVNULL,
                            capture_output=True,
                            env=dict(os.environ, RELAY_FUZZ="canary"))
    said = result.stderr.decode(errors="replace")
    return result.returncode and "AddressSanitizer: heap-buffer-overflow" in said, said[-2000:]


@test
def targets():
    if not shutil.which("clang"):
        tap.skip_all("clang is not installed")
    result = run([f"{TOP}/script/fuzz", SECONDS], check=False)
    tap.is_(result.returncode, 0,
            "script/fuzz finds nothing") or tap.diag(result.stdout + result.stderr)
    lines = dict(
        line.split(": ", 1) for line in result.stdout.splitlines()
        if re.match(r"[a-z-]+: .*(no finding|FOUND)", line))
    corpora = sorted(os.listdir(f"{TOP}/t/fuzz/corpus"))
    tap.is_(sorted(lines), corpora, "each target was run, and each has a corpus")
    for name in corpora:
        match = re.match(r"(\d+) executions", lines.get(name, ""))
        kept = len(os.listdir(f"{TOP}/t/fuzz/corpus/{name}"))
        tap.ok(match and int(match.group(1)) > 10 * kept,
               f"{name}: {lines.get(name, 'was not run')}")


@test
def canaries():
    with tempfile.TemporaryDirectory() as directory:
        for text, where in ((b"heap", "in the input"), (b"pool", "in a pool")):
            found, said = canary(directory, text=text)
            tap.ok(found, f"one byte too many is noticed {where}", said)
        found, said = canary(directory, "-runs=5000000", "-max_len=8", "-seed=1")
        tap.ok(found, "the fuzzer finds its way to a fault by itself", said)


tap.run()
