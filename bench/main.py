# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Does the work of script/bench; see there."""
import argparse
import importlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from lib import TOP, keeper, relayrig
from measure import items, say

# --results keeps what stands before this line in its file.
MARK = "<!-- From here on all is written by script/bench --results. -->"
# A bench that takes longer (seconds) is ended, except with --full.
LIMIT = 1800
NAMES = ["path", "tunnel", "far", "bulk", "ws", "routes", "login", "storm", "scale", "heads", "api"]


class Options:
    """size says how much is done: tiny (for the test of this program), quick, normal or full."""
    def __init__(self, size):
        self.size = size

    def pick(self, **sizes):
        """@return the value for this size, or that of `normal` where it has none of its own"""
        return sizes.get(self.size, sizes["normal"])


def version_of(*argv):
    try:
        result = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    text = (result.stdout + result.stderr).strip().split("\n")[0]
    found = re.search(r"\d+\.\d[\w.~+-]*", text)
    return found[0] if found else text


def machine():
    """@return a few lines about the machine and its programs"""
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read())[1]) / 1e6
    versions = {
        "httpd": version_of(relayrig.APACHE2, "-v"), "OpenSSH": version_of("ssh", "-V"), "Redis":
        version_of("redis-server", "--version"), "nginx": version_of("nginx", "-v"), "haproxy":
        version_of("haproxy", "-v"), "wrk": version_of("wrk", "-v"), "h2load":
        version_of("h2load", "--version"), "Chromium": version_of("chromium", "--version")
    }
    commit = version_of("git", "-C", TOP, "describe", "--always", "--dirty")
    return [
        f"machine: {os.cpu_count()} cores ({model[1].strip() if model else platform.machine()}), "
        f"{memory:.0f} GB, "
        f"Linux {platform.release()}",
        "versions: " + ", ".join(f"{k} {v}" for k, v in versions.items() if v),
        f"tree: {commit}; {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; load average "
        f"before: {os.getloadavg()[0]:.1f}"
    ]


def stop_on_signals():
    def handler(number, frame):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        say(f"ended by {signal.Signals(number).name}")
        sys.exit(128 + number)

    def too_long(*_):
        raise TimeoutError(f"it was not done after {LIMIT} s")

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, handler)
    signal.signal(signal.SIGALRM, too_long)


def install():
    """Installs once for all benches, below a directory that sshd trusts."""
    if os.environ.get("RELAY_ROOT"):
        return
    scratch = tempfile.mkdtemp(prefix="relay-bench-", dir="/run")
    keeper.remove_at_end(scratch)
    os.chmod(scratch, 0o755)
    build = os.environ.get("RELAY_BUILD", f"{TOP}/build")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    relayrig.run(["make", "-s", "-C", build, "install", f"DESTDIR={scratch}/root"],
                 "make install",
                 env=env)
    relayrig.run(["chmod", "-R", "go-w", f"{scratch}/root"], "chmod")
    os.environ["RELAY_ROOT"] = f"{scratch}/root"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    size = parser.add_mutually_exclusive_group()
    for name in ("tiny", "quick", "full"):
        size.add_argument(f"--{name}",
                          dest="size",
                          action="store_const",
                          const=name,
                          default="normal")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--results", metavar="FILE")
    options = parser.parse_args()
    stop_on_signals()
    keeper.keep()
    install()
    results, failed, began = [], [], time.monotonic()
    about = machine()
    for name in options.names or NAMES:
        result = one(name, options.size)
        if result is None:
            failed.append(name)
        else:
            results.append(result)
            if not options.json:
                print(result.table(), flush=True)
        if options.results:  # each time, so that nothing is lost when a later bench ends all
            write_results(options.results, results,
                          summary(results, failed, options, about,
                                  time.monotonic() - began))
    if options.json:
        print(json.dumps({"v": 1, "benches": [r.json() for r in results]}))
    else:
        print(summary(results, failed, options, about, time.monotonic() - began), end="")
    sys.exit(1 if failed else 0)


def one(name, size):
    """@return the bench's Result. None: it could not be run, and the reason has been said"""
    began = time.monotonic()
    signal.alarm(0 if size == "full" else LIMIT)
    try:
        result = importlib.import_module(f"promises.{name}").run(Options(size))
    # pylint: disable=broad-exception-caught  # the others shall run all the same
    except Exception as e:
        traceback.print_exc()
        say(f"{name} failed: {e}")
        return None
    finally:
        signal.alarm(0)
    say(f"{name}: done in {time.monotonic() - began:.0f} s")
    return result


def write_results(path, results, text):
    try:
        with open(path) as f:
            head = f.read().partition(MARK)[0]
    except FileNotFoundError:
        head = "# Results of script/bench\n\n"
    with open(f"{path}.new", "w") as f:
        f.write(f"{head}{MARK}\n\n{text}\n" + "\n".join(r.table() for r in results))
    os.replace(f"{path}.new", path)


def summary(results, failed, options, about, seconds):
    """@return the targets that are missed, the machine and the command, as Markdown"""
    targets = [(r.name, t) for r in results for t in r.targets]
    missed = [(name, t) for name, t in targets if not t["holds"]]
    flags = "" if options.size == "normal" else f" --{options.size}"
    lines = [
        f"missed: {name}: {t['what']}: {t['value']:g}, the goal is {t['goal']}"
        for name, t in missed
    ]
    lines += [f"{name} could not be run" for name in failed]
    lines += about + [
        f"load average at the end: {os.getloadavg()[0]:.1f}",
        f"command: script/bench{''.join(' ' + n for n in options.names)}{flags}, "
        f"{seconds / 60:.1f} minutes"
    ]
    return f"## {len(targets) - len(missed)} of {len(targets)} targets hold\n\n" + "".join(
        f"{item}\n" for item in items(lines))


if __name__ == "__main__":
    main()
