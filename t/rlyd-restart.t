#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""Sessions outlive rlyd and are found again, and nobody else's process is ever taken for one."""
import itertools
import json
import os
import pwd
import signal
import socket
import subprocess
import time

from lib import (alive, events, fixture, listeners, live, log, monitor_of, processes, Rig, tap,
                 test, wait, within)

RELAY_UID = pwd.getpwnam("relay").pw_uid


@fixture
def rig():
    rig = Rig(rlyd=True)
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


@test
def found_again(rig, device):
    tunnels = [rig.open(device.url) for _ in range(8)] + [rig.open(device.url, device.url)]
    sessions = [rig.connect(t) for t in tunnels]
    monitors = [monitor_of(rig, t) for t in tunnels]
    before = live(rig)
    for how in ("kill", "stop"):
        getattr(rig.servers["rlyd"], how)()
        for s in sessions[:2]:
            s.stop()
        dead, tunnels, sessions = tunnels[:2], tunnels[2:], sessions[2:]
        ghosts = {r["listen"] for t in dead for r in t["routes"]}
        rig.servers["rlyd"].start()
        took = wait(lambda: set(live(rig)) == {r["listen"]
                                               for t in tunnels for r in t["routes"]}, 5)
        tap.ok(within(1.0, took),
               f"{how} and start: within 1 s live: holds what is there, and no more", took)
        tap.is_(live(rig), {a: e
                            for a, e in before.items() if a in live(rig)},
                f"{how} and start: as before, to the way in and the time")
        tap.ok(not ghosts & set(live(rig)), f"{how} and start: what ended meanwhile is not in it")
        tap.is_([s.process.poll() for s in sessions], [None] * len(sessions),
                f"{how} and start: no session was ended")
    tap.is_(len(events(rig, "up", tunnels[0])), 1, "to be found again is not to come up again")
    monitors = monitors[4:]
    for t, monitor, s in zip(tunnels, monitors, sessions):
        pids = processes(monitor)
        rig.rly("close", t["id"])
        tap.ok(within(1.0, wait(lambda: not alive(pids), 5)),
               "a session that was found again is ended by a close")
    tap.is_(live(rig), {}, "live: is empty")


@test
def transfer(rig, device):
    """A long transfer runs through a kill -9 and a restart."""
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    connection = rig.connection(tunnel)
    size = 30_000_000
    connection.request("GET", f"/big?n={size}&rate=5000000")
    response = connection.getresponse()
    got = len(response.read(1000))
    rig.servers["rlyd"].kill()
    got += len(response.read(5_000_000))
    rig.servers["rlyd"].start()
    while chunk := response.read(1 << 20):
        got += len(chunk)
    tap.is_((response.status, got, session.process.poll()), (200, size, None),
            "a transfer goes on over rlyd's kill -9 and restart")
    rig.rly("close", tunnel["id"])
    wait(lambda: session.process.poll() is not None, 5)


@test
def login_while_away(rig, device):
    """A listening sshd needs no rlyd for a login; the session is found afterwards."""
    tunnel, other = rig.open(device.url), rig.open(device.url)
    port = ("-o", f"Port={rig.ssh_port}")
    rig.servers["rlyd"].kill()
    session = rig.connect(tunnel, args=port)
    through_apache = rig.connect(other, wait=False)
    tap.ok(within(5, wait(lambda: through_apache.process.poll() is not None, 10)),
           "rlyd away: a connection to Apache's port is closed")
    rig.expect("RLY150")
    tap.is_(rig.get(tunnel)[0], 200, "rlyd away: HTTPS is not affected")
    rig.servers["rlyd"].start()
    address = tunnel["routes"][0]["listen"]
    tap.ok(within(1.0, wait(lambda: live(rig).get(address, {}).get("tunnel") == tunnel["id"], 5)),
           "a session that began without rlyd is found within 1 s")
    tap.is_(live(rig)[address]["way"], "listening", "with the way it came in")
    pids = processes(live(rig)[address]["pid"])
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), "and is ended by a close")
    session.stop()
    later = rig.connect(other)
    tap.is_(later.process.poll(), None, "rlyd back: Apache's port takes devices again")
    rig.rly("close", other["id"])


@test
def silent_login_while_away(rig, device):
    """A client logs in while rlyd is away, and listens nowhere. Nobody knows whose session it is:
    it could listen long after the end of its grant."""
    tunnel, kept = rig.open(device.url), rig.open(device.url)
    rig.servers["rlyd"].kill()
    argv = [
        "ssh", "-N", "-F", f"{tunnel['bundle']}/config", "-o", f"Port={rig.ssh_port}", "-o",
        "ClearAllForwardings=yes", "-v", "relay"
    ]
    with open(f"{rig.dir}/log/silent.log", "wb") as out:
        silent = subprocess.Popen(argv, cwd=tunnel["bundle"], stdin=subprocess.DEVNULL, stderr=out)
    with open(f"{rig.dir}/log/silent.log") as said:
        tap.ok(
            wait(lambda: "Authenticated to" in said.read(), 10) is not None,
            "a client logs in while rlyd is away, without a forward")
    session = rig.connect(kept, args=("-o", f"Port={rig.ssh_port}"))
    rig.servers["rlyd"].start()
    tap.ok(within(15.0, wait(lambda: silent.poll() is not None, 20)),
           "rlyd ends the session that listens nowhere")
    silent.wait()
    why = "RLY410 tunnel (unknown): session ended: nobody reported its key, and it listens nowhere"
    tap.ok(wait(lambda: why in log(rig), 5), "and logs why", log(rig))
    tap.is_(session.process.poll(), None, "but not the one that listens")
    for t in (tunnel, kept):
        rig.rly("close", t["id"])


@test
def hanging(rig, device):
    """rlyd hangs: devices log in all the same through the listening sshd, and are found when it
    goes on."""
    tunnel = rig.open(device.url)
    rig.servers["rlyd"].signal(signal.SIGSTOP)
    start = time.monotonic()
    session = rig.connect(tunnel, args=("-o", f"Port={rig.ssh_port}"))
    took = time.monotonic() - start
    tap.ok(took < 4, "rlyd hangs: a login takes somewhat longer, and succeeds", f"{took:.1f} s")
    rig.servers["rlyd"].signal(signal.SIGCONT)
    monitor = monitor_of(rig, tunnel)
    tap.ok(monitor, "rlyd goes on: the session is found")
    pids = processes(monitor or 0)
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), "and ended by a close")
    session.stop()


@test
def two_relays(rig, device):
    """Another relay on this host with the same user and listen space, as it should not be."""
    direct, listening = rig.open(device.url), rig.open(device.url)
    sessions = [rig.connect(direct), rig.connect(listening, args=("-o", f"Port={rig.ssh_port}"))]
    pids = [p for t in (direct, listening) for p in processes(monitor_of(rig, t))]
    other = Rig(rlyd=True, listen=rig.settings["relay"]["listen"])
    tap.ok(wait(lambda: "RLY445" in log(other), 5),
           "two relays share a listen space: the log says so")
    time.sleep(1)
    tap.is_((alive(pids), live(other)), (pids, {}),
            "neither takes the other's sessions for its own")
    late = rig.connect(rig.open(device.url))
    time.sleep(1)
    tap.is_([s.process.poll() for s in [*sessions, late]], [None] * 3, "nor those that come later")
    other.servers["rlyd"].restart()
    wait(lambda: log(other).count("RLY445") == 2, 5)
    tap.is_(alive(pids), pids, "nor after a restart")
    tap.is_(other.stop(), [], "the other relay ends cleanly")
    for t in (direct, listening, late.tunnel):
        rig.rly("close", t["id"])
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), "their own relay ends them")


@test
def orphan(rig, device):
    """Somebody kills a monitor: the child alone still holds the address."""
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    pids = processes(monitor_of(rig, tunnel))
    os.kill(pids[0], signal.SIGKILL)
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)),
           "a child whose monitor was killed is ended")
    session.stop()
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    pids = processes(monitor_of(rig, tunnel))
    rig.servers["rlyd"].kill()
    os.kill(pids[0], signal.SIGKILL)
    rig.servers["rlyd"].start()
    wait(lambda: tunnel["routes"][0]["listen"] in live(rig), 3)
    tap.is_(alive(pids), pids[1:], "one found without its monitor goes on")
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), "until its tunnel is closed")
    session.stop()


def listen_as(uid, address):
    """A process of that user, named sshd, that listens there."""
    ip, port = address.split(":")
    code = (f"import os,socket,time; s=socket.socket(); s.bind(('{ip}',{port})); s.listen(); "
            f"os.setresgid({uid},{uid},{uid}); "
            f"os.setresuid({uid},{uid},{uid}); print('ready',flush=True); time.sleep(600)")
    p = subprocess.Popen(["sshd: relay@notty", "-c", code],
                         executable="/usr/bin/python3",
                         stdout=subprocess.PIPE)
    p.stdout.readline()
    return p


@test
def foreign(rig, device):
    rig.expect("RLY440")
    for uid in (0, RELAY_UID):
        tunnel = rig.open(device.url)
        address = tunnel["routes"][0]["listen"]
        squatter = listen_as(uid, address)
        took = wait(lambda: f"RLY440 {address} " in log(rig), 5)
        tap.ok(within(2.0, took),
               f"a process of uid {uid} that listens where a tunnel should is reported", took)
        tap.ok(any(e.get("listen") == address for e in events(rig, "foreign")),
               "and an event tells of it")
        tap.ok(address not in live(rig), "it is not in live:")
        rig.servers["rlyd"].restart()
        rig.rly("close", tunnel["id"])
        time.sleep(1.5)
        tap.is_(squatter.poll(), None,
                "it is never signalled, neither after a restart nor by a close")
        squatter.kill()
        squatter.wait()
        tunnel = rig.open(device.url)
        session = rig.connect(tunnel)
        tap.ok(monitor_of(rig, tunnel), "other tunnels are not disturbed")
        rig.rly("close", tunnel["id"])
        session.stop()


@test
def wildcard(rig, device):
    rig.expect("RLY441")

    def used_port():
        """A port that a tunnel has had, and a listener there on all addresses. Somebody else on
        this machine may have the port, for a connection, too: then another one."""
        while True:
            tunnel = rig.open(device.url)
            session = rig.connect(tunnel)
            rig.rly("close", tunnel["id"])
            port = int(tunnel["routes"][0]["listen"].split(":")[1])
            if wait(lambda: not any(a.endswith(f":{port}") for a in listeners()), 2) is None:
                continue
            try:
                return session, port, socket.create_server(("0.0.0.0", port))
            except OSError:
                session.stop()

    session, port, everywhere = used_port()
    with everywhere:
        tap.ok(wait(lambda: f"on port {port} of all addresses" in log(rig), 15),
               "a process that listens on a tunnel's port of all addresses is reported")
    session.stop()


@test
def same_address(device):
    """In a tiny space an address comes back, but not while a session may hold it whose end rlyd has
    missed."""
    base = f"127.{64 + os.getpid() % 60}.{os.getpid() // 60 % 250}"
    rig = Rig(rlyd=True, listen=f"{base}.8:21000-21001", cooldown="2s")
    number = itertools.count()

    def rly_open():
        return rig.rly("open",
                       "--json",
                       "-o",
                       f"{rig.dir}/again-{next(number)}",
                       device.url,
                       check=False)

    old = rig.open(device.url)
    address = old["routes"][0]["listen"]
    session = rig.connect(old)
    pids = processes(monitor_of(rig, old))
    wait(lambda: rig.redis("HGET", "relay:seen:relay1", "at"), 5)
    rig.servers["rlyd"].kill()
    rig.rly("close", old["id"])
    time.sleep(2.3)
    refused = rly_open()
    tap.is_(
        (refused.returncode, len(alive(pids))), (3, 2),
        "rlyd away for longer than the cooldown, an old session still there: no tunnel is opened")
    tap.like(
        refused.stderr,
        r"rlyd on relay1 last looked \d+s ago .* longer ago than half the cooldown of 2s.* start "
        r"rlyd there", "rly says why")
    tap.is_(rig.redis("KEYS", "relay:route:*"), "", "and leaves nothing in Redis")
    rig.servers["rlyd"].start()
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)),
           "rlyd is back: the old session is ended within 1 s")
    session.stop()
    opened = []
    for _ in range(100):
        result = rly_open()
        if result.returncode == 0:
            opened.append(json.loads(result.stdout))
            if opened[-1]["routes"][0]["listen"] == address:
                break
        else:
            time.sleep(0.05)
    tap.is_(opened[-1:] and opened[-1]["routes"][0]["listen"], address, "the address comes back")
    rig.connect(opened[-1])
    tap.ok(wait(lambda: live(rig).get(address, {}).get("tunnel") == opened[-1]["id"], 5),
           "and its device listens there")
    # As in a Redis that was restored from an old copy: who has the address is not known.
    for tunnel in opened[:-1]:
        rig.rly("close", tunnel["id"])
    time.sleep(2.1)
    rig.redis("DEL", f"relay:slot:relay1:{address}")
    results = [rly_open() for _ in range(2)]
    tap.is_([r.returncode for r in results], [0, 1],
            "an address on which a session listens is not given out")
    tap.ok(json.loads(results[0].stdout)["routes"][0]["listen"] != address, "the other one is")
    tap.is_(rig.stop(), [], "the small rig ends cleanly")


@test
def forgetful_redis(device):
    """In a tiny space, when Redis has lost or forgotten who has which address: none comes back
    before the cooldown is over."""
    base = f"127.{64 + os.getpid() % 60}.{os.getpid() // 60 % 250}"
    rig = Rig(rlyd=True, listen=f"{base}.9:21000-21003", cooldown="3s")
    rig.expect("RLY111 |RLY43[05] ")
    redis, rlyd = rig.servers["redis"], rig.servers["rlyd"]
    number = itertools.count()

    def rly_open():
        return rig.rly("open",
                       "--json",
                       "-o",
                       f"{rig.dir}/lost-{next(number)}",
                       device.url,
                       check=False)

    def close_all():
        for entry in json.loads(rig.rly("list", "--json").stdout)["tunnels"]:
            rig.rly("close", entry["id"])

    def refused(why, what):
        result = rly_open()
        tap.is_((result.returncode, rig.redis("KEYS", "relay:route:*")), (3, ""),
                f"{what}: no tunnel is opened")
        tap.like(result.stderr, why, f"{what}: rly says why")

    def opens_after_cooldown(what):
        """Each of the four addresses comes back, once."""
        start = time.monotonic()
        wait(lambda: (result := rly_open()).returncode == 0 or "lost" not in result.stderr, 10)
        tap.ok(time.monotonic() - start < 4, f"{what}: after the cooldown tunnels are opened again",
               time.monotonic() - start)
        tap.is_([rly_open().returncode for _ in range(4)], [0, 0, 0, 1],
                f"{what}: one for each address")

    session = rig.connect(rig.open(device.url))
    pids = [pid for entry in live(rig).values() for pid in processes(entry["pid"])]
    wait(lambda: rig.redis("HGET", "relay:seen:relay1", "at"), 5)
    rlyd.signal(signal.SIGSTOP)
    redis.kill()
    redis.start()
    refused("rlyd on relay1 has not looked .* since Redis started.* start rlyd there",
            "Redis empty, rlyd not back yet")
    tap.is_(len(alive(pids)), 2,
            "while the session lives on an address that Redis does not know of")
    rlyd.signal(signal.SIGCONT)
    tap.ok(wait(lambda: "RLY435 " in log(rig), 5), "rlyd's log says that Redis has lost its data")
    refused("Redis has lost what it knew of relay1.* cooldown is over in [123]s", "Redis empty")
    tap.ok(wait(lambda: not alive(pids), 3), "the session whose tunnel is forgotten is ended")
    session.stop()
    opens_after_cooldown("Redis empty")

    tap.is_(rig.redis("SAVE"), "OK", "a copy of Redis's data is made")
    at = rig.redis("HGET", "relay:seen:relay1", "at")
    wait(lambda: rig.redis("HGET", "relay:seen:relay1", "at") != at, 5)
    rlyd.signal(signal.SIGSTOP)
    redis.kill()
    redis.start()
    close_all()
    tap.like(rly_open().stderr, "rlyd on relay1 has not looked",
             "Redis has an old copy, rlyd not back yet: no tunnel is opened")
    rlyd.signal(signal.SIGCONT)
    refused("Redis has lost what it knew", "Redis has an old copy")
    rig.redis("FLUSHALL")
    refused("Redis has lost what it knew", "Redis was emptied beneath rlyd")
    opens_after_cooldown("Redis emptied")

    close_all()
    time.sleep(3.1)
    session = rig.connect(rig.open(device.url))
    rlyd.kill()
    redis.kill()
    os.unlink(f"{rig.dir}/redis/dump.rdb")
    redis.start()
    rlyd.start()
    refused("Redis has lost what it knew",
            "Redis empty, and rlyd has just begun, but there is a session")
    session.stop()
    opens_after_cooldown("Redis empty, rlyd new")

    close_all()
    time.sleep(3.1)
    warned = log(rig).count("RLY435 ")
    rig.redis("SHUTDOWN", "SAVE")
    wait(lambda: redis.process.poll() is not None, 5)
    redis.start()
    tap.is_([rly_open().returncode for _ in range(4)], [0] * 4,
            "a Redis that comes back with all its data: tunnels are opened")
    tap.is_(log(rig).count("RLY435 "), warned, "and nothing is lost")
    tap.is_(rig.stop(), [], "the forgetful rig ends cleanly")


tap.run()
