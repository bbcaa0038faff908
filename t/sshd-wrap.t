#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""relay-sshd-session and relay-sshd-auth: what they change before they become OpenSSH's programs,
and where they change nothing. With OpenSSH 10: its processes, and the memory of their sessions.
"""
import ctypes
import os
import re
import socket

from lib import (Rig, TOP, ended, fixture, monitor_of, processes, read, run, tap, test, wait,
                 wait_for)
from lib.keeper import descendants

BUILD = os.environ.get("RELAY_BUILD", f"{TOP}/build")
KSM = "/sys/kernel/mm/ksm"
# Merges at once what can be merged.
EAGER = {"run": 1, "smart_scan": 0, "pages_to_scan": 20000, "sleep_millisecs": 20}
PR_SET_MEMORY_MERGE = 67
RANDOM, ALIKE = "00000000", "00040000"  # /proc/PID/personality; ADDR_NO_RANDOMIZE
SESSIONS = 16
# Stands in for both programs of OpenSSH's, and says how it was started. The first starts the
# second as sshd does.
PROBE = r"""#!/bin/sh
merged=$(sed -n 's/^ksm_merge_any: //p' /proc/self/ksm_stat)
echo "${0##*/}: $(cat /proc/self/personality), $merged, $GLIBC_TUNABLES, $MARK, $*," \
    "$(readlink /proc/self/fd/9)"
case $0 in *session) exec "$NEXT" "$@" ;; esac
"""
# $1: where OpenSSH's programs are; $2: PROBE, or nothing; then the command.
VIEW = """mount -t tmpfs none "$1" && dir=$1 probe=$2 && shift 2
[ -z "$probe" ] || for name in sshd-session sshd-auth; do
    printf %s "$probe" >"$dir/$name" && chmod 755 "$dir/$name" || exit 99
done
exec "$@" 9</dev/zero"""


def setting(name, value):
    with open(f"{KSM}/{name}", "w", encoding="ascii") as f:
        f.write(str(value))


@fixture
def ksm():
    """Whether this kernel merges pages. It does so eagerly until the end."""
    names = [name for name in EAGER if os.access(f"{KSM}/{name}", os.W_OK)]
    before = {name: read(f"{KSM}/{name}").strip() for name in names}
    for name in names:
        setting(name, EAGER[name])
    yield "run" in names and os.path.exists("/proc/self/ksm_stat")
    for name in reversed(names):
        setting(name, before[name])


@fixture
def rig(ksm):
    """None where sessions are as they always were."""
    if not ksm or "\nSshdSessionPath " not in read(f"{BUILD}/sshd-conf/sshd_config"):
        yield None
        return
    rig = Rig(rlyd=True, relay_conf={"rlyd": {"merge": "on", "per-source-startups": 0}})
    rig.expect("Connection (closed|reset)|kex_exchange|RLY456")
    yield rig
    rig.ends_cleanly()


def merged():
    ctypes.CDLL(None).prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0)


def alone(*args, probe=PROBE, merge=True, program="session"):
    """What the wrappers say that stand before the probe."""
    real = re.search(r'^#define RELAY_SSHD_SESSION "(.*)/', read(f"{BUILD}/config.h"), re.M)[1]
    return run(
        [
            "unshare", "-m", "--propagation", "private", "/bin/sh", "-c", VIEW, "view", real, probe,
            f"{BUILD}/relay-sshd-{program}", *args
        ],
        check=False,
        preexec_fn=merged if merge else None,
        env={
            "MARK": "its own", "NEXT": f"{BUILD}/relay-sshd-auth", "PATH": "/usr/bin:/bin",
            "GLIBC_TUNABLES": "glibc.malloc.tcache_count=7"
        })


@test
def switched_on(ksm):
    if not ksm:
        return tap.skip("merging is on", "this kernel does not merge pages")
    r = alone("-R", "a b", "")
    tap.is_(
        r.stdout.split("\n"), [
            f"sshd-session: {ALIKE}, yes, glibc.malloc.tcache_count=0, its own, -R a b , /dev/zero",
            f"sshd-auth: {RANDOM}, no, , its own, -R a b , /dev/zero", ""
        ],
        "merging is on: sshd-session is laid out like all others, sshd-auth at random; arguments, "
        "descriptors and the rest of the environment are as they were")
    tap.is_((r.returncode, r.stderr), (0, ""), "and nothing is said")


@test
def switched_off(ksm):
    if not ksm:
        return tap.skip("merging is off", "this kernel does not merge pages")
    same = "glibc.malloc.tcache_count=7, its own, , /dev/zero"
    tap.is_(
        alone(merge=False).stdout, f"sshd-session: {RANDOM}, no, {same}\nsshd-auth: {RANDOM}, "
        f"no, {same}\n", "sshd takes no part in merging: nothing is changed")
    setting("run", 0)
    tap.is_(alone().stdout, f"sshd-session: {RANDOM}, yes, {same}\nsshd-auth: {RANDOM}, no, "
            f"{same}\n", "the kernel merges nothing: addresses stay random")
    setting("run", 1)


@test
def pace(ksm):
    """relay-ksm.conf, which systemd-tmpfiles reads, and which ignores what fails."""
    lines = [
        line.split() for line in read(f"{TOP}/sshd-conf/relay-ksm.conf").split("\n")
        if line and not line.startswith("#")
    ]
    tap.is_([line for line in lines if line[0] != "w-" or line[2:6] != ["-"] * 4], [],
            "relay-ksm.conf: each line writes one value")
    tap.is_(lines[-1][1:], [f"{KSM}/run", "-", "-", "-", "-", "1"], "the last one is the switch")
    if not os.path.exists(f"{KSM}/advisor_mode"):
        return tap.skip("the kernel knows all that it sets", "it is older than Linux 6.8")
    tap.is_([line[1] for line in lines if not os.path.exists(line[1])], [],
            "the kernel knows all that it sets")


@test
def missing(ksm):
    for program in ("session", "auth"):
        r = alone(probe="", program=program)
        tap.is_(r.returncode, 127, f"no sshd-{program}: exit status 127")
        tap.like(
            r.stderr, rf"^relay-sshd-{program}\[\d+\]: RLY601: no device can log in: cannot run "
            rf"/.*/sshd-{program}: No such file", "it says what is missing")


@test
def authkeys():
    """sshd-session starts it, too, and it reads what strangers send."""
    r = run([
        "setarch", "-R", "strace", "-f", "-qq", "-s", "4096", "-e",
        "trace=execve,personality,prctl", f"{BUILD}/relay-authkeys", "--version"
    ],
            preexec_fn=merged)
    tap.like(
        r.stderr, r"(?s)prctl\((0x43|PR_SET_MEMORY_MERGE).*, 0, .*personality\(PER_LINUX\).*"
        r'execve\("/proc/self/exe", \["[^"]*relay-authkeys", "--version"\]',
        "relay-authkeys starts itself anew, at random addresses")
    tap.like(r.stdout, r"^relay-authkeys \d", "and does its work")
    r = run(["strace", "-f", "-qq", "-e", "trace=execve", f"{BUILD}/relay-authkeys", "--version"])
    tap.is_(r.stderr.count("execve("), 1, "once where there is nothing to undo")


def personality(pid):
    return read(f"/proc/{pid}/personality").strip()


def kilobytes(pids):
    """Their shares of pages, and their page tables."""
    return sum(
        int(re.search(r"(?m)^Pss: +(\d+)", read(f"/proc/{pid}/smaps_rollup"))[1]) +
        int(re.search(r"(?m)^VmPTE:\s+(\d+)", read(f"/proc/{pid}/status"))[1]) for pid in pids)


def door(rig):
    """A client that connects and goes no further. @return the socket, its sshd-auth"""
    before = descendants([rig.servers["rlyd"].pid])
    sock = socket.create_connection((rig.address, rig.https_port))
    sock.sendall(b"SSH-2.0-OpenSSH_10.0\r\n")

    def auth():
        new = set(descendants([rig.servers["rlyd"].pid])) - set(before)
        return next((pid for pid in new if os.readlink(f"/proc/{pid}/exe").endswith("/sshd-auth")),
                    None)

    return sock, wait_for(auth, "sshd-auth")


WHY_NOT = "it takes an sshd that knows SshdSessionPath (OpenSSH 10), and a kernel that merges pages"


@test
def of_sshd(rig):
    if not rig:
        return tap.skip("OpenSSH's processes", WHY_NOT)
    tunnel = rig.open("80")
    session = rig.connect(tunnel)
    pids = processes(monitor_of(rig, tunnel))
    tap.is_([(os.path.basename(os.readlink(f"/proc/{pid}/exe")), personality(pid)) for pid in pids],
            [("sshd-session", ALIKE)] * 2, "handed off: monitor and session are laid out alike")
    tap.like(read(f"{rig.dir}/log/sshd-i.log"), "Accepted publickey", "sshd-session logs as ever")
    sock, auth = door(rig)
    tap.is_((personality(auth), "ksm_merge_any: no" in read(f"/proc/{auth}/ksm_stat")),
            (RANDOM, True), "what strangers speak with has random addresses, and is not merged")
    sock.close()
    rig.rly("close", tunnel["id"])
    tap.ok(wait(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 5),
           "rlyd knows the session for an sshd, and ends it")
    tap.is_(ended(rig, tunnel), ["closed"], "for the right reason")
    session.stop()


@test
def memory(rig):
    if not rig:
        return tap.skip("memory of sessions", WHY_NOT)
    found = {}
    for way, port in (("listening, not merged", rig.ssh_port), ("handed off, merged",
                                                                rig.https_port)):
        tunnels = [rig.open("80") for _ in range(SESSIONS)]
        for tunnel in tunnels:
            rig.connect(tunnel, args=["-p", str(port), "-o", "KexAlgorithms=curve25519-sha256"])
        found[way] = [pid for t in tunnels for pid in processes(monitor_of(rig, t))]
    plain, ours = found.values()
    tap.is_({personality(pid) for pid in plain}, {RANDOM}, "the listening sshd merges nothing here")
    tap.is_((len(plain), len(ours)), (2 * SESSIONS, 2 * SESSIONS), "two processes a session")
    wait(lambda: kilobytes(ours) < 0.4 * kilobytes(plain), 30, 0.2)
    tap.between(
        kilobytes(ours) / kilobytes(plain), 0, 0.5,
        "a merged session takes less than half of the memory of one that is not")


tap.run()
