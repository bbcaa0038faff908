# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The load: wrk, h2load, curl; and its cost for the servers: CPU time and memory of processes."""
import os
import re
import subprocess
import tempfile
import time

from lib import RigError, keeper

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

WRK_DONE = """
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("RESULT %d %d %.1f %.1f %d\\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class LoadError(RigError):
    """A load generator failed, or some of its requests did."""


class NoHttp2(RigError):
    """The server chose another protocol."""


class Load:
    """The findings of one run of a load generator: requests, seconds, rate, p50 and p99 in ms (None
    where unknown)."""
    def __init__(self, requests, seconds, p50=None, p99=None, errors=0):
        self.requests, self.seconds, self.errors = requests, seconds, errors
        self.p50, self.p99 = p50, p99
        self.rate = requests / seconds


# wrk takes the name for SNI and Host from the URL and asks the system for its address. So it gets
# an /etc/hosts of its own.
WITH_HOSTS = [
    "unshare", "--mount", "--propagation", "private", "sh", "-c",
    'mount --bind "$0" /etc/hosts && exec "$@"'
]


def wrk(address, port, host, seconds, tls=True, connections=16, script="", errors_allowed=False):
    """HTTP/1.1 on kept connections. script: Lua that stands before ours."""
    url = f"http{'s' if tls else ''}://{host}:{port}/"
    with tempfile.NamedTemporaryFile(
            "w", suffix=".lua") as lua, tempfile.NamedTemporaryFile("w") as hosts:
        lua.write(script + WRK_DONE)
        lua.flush()
        hosts.write(f"{address} {host}\n")
        hosts.flush()
        argv = WITH_HOSTS + [
            hosts.name, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s",
            lua.name, url
        ]
        result = subprocess.run(argv,
                                capture_output=True,
                                text=True,
                                stdin=subprocess.DEVNULL,
                                timeout=seconds + 60)
    found = re.search(r"^RESULT (\d+) (\d+) (\S+) (\S+) (\d+)$", result.stdout, re.M)
    if not found or not int(found[1]):
        raise LoadError(f"wrk {url} failed:\n{result.stdout}{result.stderr}")
    load = Load(int(found[1]),
                int(found[2]) / 1e6,
                float(found[3]) / 1000,
                float(found[4]) / 1000, int(found[5]))
    if load.errors and not errors_allowed:
        raise LoadError(
            f"wrk {url}: {load.errors} of {load.requests} requests failed:\n{result.stdout}")
    return load


def h2load(address, port, host, path, seconds, clients=16, streams=1):
    """HTTP/2 over TLS."""
    argv = [
        "h2load", f"-c{clients}", f"-m{streams}", "-t1", "-D",
        str(int(seconds)), "--warm-up-time=0", f"--connect-to={address}:{port}",
        f"https://{host}:{port}{path}"
    ]
    result = subprocess.run(argv,
                            capture_output=True,
                            text=True,
                            stdin=subprocess.DEVNULL,
                            timeout=seconds + 60)
    found = re.search(r"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored", result.stdout,
                      re.M)
    protocol = re.search(r"^Application protocol: (\S+)", result.stdout, re.M)
    status = re.search(r"^status codes: (\d+) 2xx", result.stdout, re.M)
    if protocol and protocol[1] != "h2":
        raise NoHttp2(f"{host} does not speak HTTP/2: {protocol[1]} was chosen")
    if not found or not int(found[1]) or int(
            found[2]) or not protocol or int(status[1]) < int(found[1]):
        raise LoadError(f"h2load {host} failed:\n{result.stdout}{result.stderr}")
    return Load(int(found[1]), float(int(seconds)))


def curl(address, port, host, path, ca, streams=1, upload=None, args=()):
    """Runs so many curls at once. upload: a file that each sends. @return the seconds until the
    last one ended, and the bytes of all"""
    argv = [
        "curl", "-q", "-sS", "--fail", "--noproxy", "*", "--cacert", ca, "--http1.1", "--resolve",
        f"{host}:{port}:{address}", "-o", "/dev/null", "-w", "%{size_download} %{size_upload}\n",
        *args
    ]
    if upload:
        argv += ["-T", upload, "-X", "POST", "-H", "Expect:"]
    argv.append(f"https://{host}:{port}{path}")
    began = time.monotonic()
    running = [
        subprocess.Popen(argv,
                         stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE,
                         stdin=subprocess.DEVNULL,
                         text=True) for _ in range(streams)
    ]
    total = 0
    for process in running:
        out, err = process.communicate(timeout=300)
        if process.returncode:
            raise LoadError(f"curl {host}{path}: exit status {process.returncode}: {err}")
        total += sum(int(n) for n in out.split())
    return time.monotonic() - began, total


# --- the cost for the servers


def tree(roots):
    """@return these processes and the living ones below them"""
    return set(roots) | set(keeper.descendants(roots))


def cpu(roots):
    """@return the seconds of CPU that these processes and all below them have used, with children
    that have ended"""
    ticks = 0
    for pid in tree(roots):
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                fields = f.read().rpartition(b")")[2].split()
        except OSError:
            continue
        ticks += sum(int(n) for n in fields[11:15])
    return ticks / TICKS


def runtime(pids):
    """@return the seconds of CPU that these processes have used, to the nanosecond. cpu() sees
    little of the work of idle processes."""
    spent = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                    spent += int(f.read().split()[0])
        except OSError:
            continue
    return spent / 1e9


def quiet(roots, seconds=60):
    """Waits until these processes and all below them do next to nothing (5 % of a core), at most so
    long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = cpu(roots)
        time.sleep(0.4)
        if cpu(roots) - before <= 0.02:
            return


def pss(roots):
    """@return the MiB of memory of these processes and all below them, shared pages by their share
    """
    total = 0
    for pid in tree(roots):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
        except (OSError, TypeError):
            continue
    return total / 1024
