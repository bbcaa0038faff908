# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From starting ssh to the bound port: relay-authkeys against the same line in an authorized_keys
file. Then many logins at once, of clients that take no CPU worth counting (sshdevices.c). And the
cost of relay-authkeys itself, against /bin/true."""
import os
import subprocess
import time

from device import nginx_device
from field import Field
from lib import RigError, listeners, wait_for
from measure import Result, interleaved, say
from sshd import ROOM, Sshd, without
from sshdevices import SshDevices

AT_ONCE = 24
HELPER, FILE, HANDED = "relay-authkeys", "authorized_keys", "relay-authkeys, handed off"


def static_copy(field, tunnels):
    """The rig's sshd with the answers of relay-authkeys in a file instead."""
    rig = field.rig
    with open(f"{rig.dir}/etc/sshd_config") as f:
        config = f.read()
    config = without(config, r"AuthorizedKeys\w+")
    keys = field.grants("login_authorized_keys", tunnels)
    return Sshd(field, "login", ROOM + config + f"AuthorizedKeysFile {keys}\n")


def login(field, tunnel, port):
    """@return the seconds until the client knows that sshd listens"""
    config = f"{tunnel['bundle']}/config"
    began = time.monotonic()
    process = subprocess.Popen(["ssh", "-v", "-N", "-F", config, "-p",
                                str(port), "relay"],
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE,
                               start_new_session=True)
    said = []
    try:
        for line in process.stderr:
            said.append(line.decode(errors="replace"))
            if b"remote forward success" in line:
                return time.monotonic() - began
        raise RuntimeError("ssh did not get its forward: " + "".join(said[-10:]))
    finally:
        process.terminate()
        process.stderr.close()
        process.wait()
        while field.rig.listening(tunnel):
            time.sleep(0.005)


def used(pid):
    """@return the CPU seconds of a process and of all that it waited for, with what these had
    waited for"""
    with open(f"/proc/{pid}/stat") as f:
        return sum(map(int, f.read().rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


def crowd(field, tunnels, port, server):
    """Devices log in, so many at once, and go.
    @return (logins a second, CPU seconds of the server's processes for each)"""
    wanted, before, began = {t["routes"][0]["listen"]
                             for t in tunnels}, used(server), time.monotonic()
    devices = SshDevices(field, port, AT_ONCE)
    try:
        devices.add(tunnels)
        if devices.come_up() != len(tunnels):
            raise RigError(f"not all devices could log in; see {devices.log}")
        seconds = time.monotonic() - began
    finally:
        devices.stop()
    wait_for(lambda: not wanted & listeners(), "the sessions' end", 60)
    time.sleep(0.5)  # until the last has been waited for
    return len(tunnels) / seconds, (used(server) - before) / len(tunnels)


def cost(argv):
    """@return the CPU seconds of one run of a program, by the kernel's own account"""
    null = os.open(os.devnull, os.O_RDWR)
    pid = os.posix_spawn(argv[0],
                         argv, {"PATH": "/usr/bin:/bin"},
                         file_actions=[(os.POSIX_SPAWN_DUP2, null, n) for n in (0, 1, 2)])
    status, usage = os.wait4(pid, 0)[1:]
    os.close(null)
    if status:
        raise RuntimeError(f"{' '.join(argv)}: status {status}")
    return usage.ru_utime + usage.ru_stime


def run(options):
    rounds = options.pick(quick=15, normal=40, tiny=3)
    runs = options.pick(quick=150, normal=600, tiny=20)
    count, times = options.pick(quick=(50, 3), normal=(200, 5), tiny=(4, 1))
    result = Result("login", "from starting ssh to the bound port, one after another",
                    (FILE, "/bin/true", HELPER, HANDED))
    field = Field(rig_options={
        "relay_conf": {"rlyd": {"max-startups": "1000:30:2000", "per-source-startups": 0}}
    })
    try:
        rig, device = field.rig, nginx_device(field)
        tunnel, tunnels = rig.open(device.url, name="login"), field.open_many(device.url, count)
        sshd = static_copy(field, [tunnel, *tunnels])
        sides = [(FILE, sshd.port),
                 (HELPER, rig.ssh_port)] + ([(HANDED, rig.https_port)] if field.has_rlyd else [])
        say(f"login: {rounds} logins for each of {len(sides)} sides")
        for n, (side, port) in interleaved(rounds + 1, sides):
            took = login(field, tunnel, port)
            if n:
                result.add(side, "time to the bound port", "ms", took * 1000)
        result.target_ratio(HELPER, FILE, "time to the bound port", "<=", 1.10)
        if field.has_rlyd:
            result.target_ratio(HANDED, FILE, "time to the bound port", "<=", 1.10)
        many = [(FILE, sshd.port, sshd.pid)]
        if field.has_rlyd:
            many.append((HANDED, rig.https_port, rig.servers["rlyd"].pid))
        for n, (side, port, server) in interleaved(times, many):
            say(f"login: {count} logins, {AT_ONCE} at once: round {n + 1} of {times}, {side}")
            rate, seconds = crowd(field, tunnels, port, server)
            result.add(side, f"logins, {AT_ONCE} at once", "1/s", rate)
            result.add(side, "CPU of a login", "ms", seconds * 1000)
        if field.has_rlyd:
            result.target(f"{HANDED}: logins a second", ">=", 50,
                          result.median(HANDED, f"logins, {AT_ONCE} at once"))
        with open(f"{tunnel['bundle']}/id_relay.pub") as f:
            kind, blob = f.read().split()[:2]
        argv = [
            rig.program("relay-authkeys"), "-c", rig.conf, "relay",
            tunnel_fingerprint(rig, tunnel), kind, blob
        ]
        programs = [("/bin/true", ["/bin/true"]), (HELPER, argv)]
        for n, (side, command) in interleaved(runs, programs):
            result.add(side, "CPU of one run", "ms", cost(command) * 1000)
        result.target_ratio(HELPER, "/bin/true", "CPU of one run", "<=", 3)
        result.note("sshd runs relay-authkeys twice a login; the file side is the same sshd "
                    "configuration with the same line in a file")
    finally:
        field.close()
    return result


def tunnel_fingerprint(rig, tunnel):
    return rig.redis("HGET", f"relay:tunnel:{tunnel['id']}", "key")
