#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""A session lives as long as its tunnel: close, expiry, extension; also with rlyd or Redis away in
between."""
import os
import signal
import time

from lib import (alive, ended, events, fixture, live, log, monitor_of, processes, Rig, tap, test,
                 wait, within)


def up(rig, device, **options):
    """A tunnel with a session; (tunnel, session, its processes on the relay)."""
    tunnel = rig.open(device.url, **options)
    session = rig.connect(tunnel)
    monitor = monitor_of(rig, tunnel)
    return tunnel, session, processes(monitor) if monitor else []


def gone(rig, tunnel, pids):
    """A function that says whether the session's processes, its listener and its entry in live: are
    away."""
    return lambda: not alive(pids) and not rig.listening(tunnel) and tunnel["routes"][0][
        "listen"] not in live(rig)


@fixture
def rig():
    rig = Rig(rlyd=True)
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device(id="nas")


@test
def comes_up(rig, device):
    took = []
    for _ in range(5):
        tunnel = rig.open(device.url)
        session = rig.connect(tunnel, wait=False)
        address = tunnel["routes"][0]["listen"]
        wait(lambda: rig.listening(tunnel), 10, 0.001)
        took.append(
            wait(lambda: rig.redis("HEXISTS", "relay:live:relay1", address) == "1", 2, 0.001) or 99)
        session.stop()
        down = wait(lambda: rig.redis("HEXISTS", "relay:live:relay1", address) == "0", 5)
        tap.ok(within(1.0, down), "a session that disconnects is out of live: within 1 s", down)
    # a busy machine lets a redis-cli wait for longer now and then
    tap.ok(
        sorted(took)[2] <= 0.1 and max(took) <= 1,
        "a tunnel that comes up is in live: within 100 ms", took)
    entry_tunnel, session, pids = up(rig, device)
    entry = live(rig)[entry_tunnel["routes"][0]["listen"]]
    tap.is_(entry["tunnel"], entry_tunnel["id"], "live: names the tunnel")
    tap.ok(abs(entry["since"] / 1000 - time.time()) < 5, "live: says since when", entry)
    tap.like(entry["peer"], r"^127\.0\.0\.1:\d+$", "live: says who is there")
    tap.is_(len(pids), 2, "a session is two processes")
    tap.is_([e["what"] for e in events(rig, tunnel=entry_tunnel)], ["open", "up"],
            "events: open, up")
    session.stop()
    wait(gone(rig, entry_tunnel, pids), 5)
    tap.is_([e["what"] for e in events(rig, tunnel=entry_tunnel)], ["open", "up", "down"],
            "events: and down")
    tap.is_(ended(rig, entry_tunnel), ["disconnected"], "one line in the log for the session")


@test
def monitor_killed(rig, device):
    tunnel, session, pids = up(rig, device)
    os.kill(pids[0], signal.SIGKILL)
    tap.ok(within(1.0, wait(gone(rig, tunnel, pids), 5)),
           "a session whose monitor process was killed is ended within 1 s")
    tap.is_(ended(rig, tunnel), ["its monitor process was ended"], "and the log says so")
    session.stop()


@test
def close(rig, device):
    tunnel, session, pids = up(rig, device)
    other, other_session, other_pids = up(rig, device)
    rig.rly("close", tunnel["id"])
    took = wait(gone(rig, tunnel, pids), 5)
    tap.ok(within(1.0, took), "close: processes, listener and live: are gone within 1 s", took)
    tap.ok(within(2.0, wait(lambda: session.process.poll() is not None, 5)),
           "close: the client notices")
    tap.is_(ended(rig, tunnel), ["closed"], "close: the log says so")
    tap.is_((alive(other_pids), other_session.process.poll()), (other_pids, None),
            "close: others are not touched")
    other_session.stop()


@test
def two_routes(rig, device):
    tunnel = rig.open(device.url, device.url)
    rig.connect(tunnel)
    addresses = {route["listen"] for route in tunnel["routes"]}
    tap.ok(within(1.0, wait(lambda: addresses <= set(live(rig)), 3)),
           "a tunnel of two routes is in live: with both")
    tap.is_(len(events(rig, "up", tunnel)), 1, "and came up once")
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(lambda: not addresses & set(live(rig)), 3)),
           "both are gone after the close")


@test
def expiry(rig, device):
    tunnel, session, pids = up(rig, device, ttl="3s")
    late = ended_late(rig, tunnel, gone(rig, tunnel, pids))
    tap.ok(late is not None and -0.3 <= late <= 1.0, "expiry: gone within 1 s, and not before",
           late)
    tap.is_(ended(rig, tunnel), ["expired"], "expiry: the log says so")
    tap.ok(within(3.0, wait(lambda: events(rig, "expire", tunnel), 5)),
           "an event tells of the expiry")
    tap.is_(rig.redis("ZSCORE", "relay:tunnels", tunnel["id"]), "",
            "an expired tunnel is off the list")
    session.stop()


def tunnel_ends(rig, tunnel):
    """When it ends, by the clock that Redis on this machine goes by, too."""
    return int(rig.redis("HGET", f"relay:tunnel:{tunnel['id']}", "expires")) / 1000


def ended_late(rig, tunnel, condition):
    """Returns how many seconds after a tunnel's end the condition became true, or None."""
    end = tunnel_ends(rig, tunnel)
    began = time.time()
    took = wait(condition, end - began + 4)
    return None if took is None else began + took - end


@test
def extend(rig, device):
    tunnel, session, pids = up(rig, device, ttl="3s")
    rig.rly("extend", "-t", "1h", tunnel["id"])
    time.sleep(4)
    tap.is_(len(alive(pids)), 2, "an extended session goes on after its first end")
    rig.redis("HSET", f"relay:tunnel:{tunnel['id']}", "expires", str(int(time.time() * 1000) + 500))
    took = wait(gone(rig, tunnel, pids), 12)
    tap.ok(within(10, took), "a change that no event tells of is seen by the sweep", took)
    session.stop()


@test
def sweep(rig, device):
    """With more sessions than one sweep asks about each has its turn."""
    tunnels = [rig.open(device.url) for _ in range(30)]
    sessions = [rig.connect(tunnel) for tunnel in tunnels]
    addresses = {tunnel["routes"][0]["listen"] for tunnel in tunnels}
    tap.ok(wait(lambda: addresses <= set(live(rig)), 20), "30 sessions are up")
    for tunnel in tunnels:
        rig.redis("HSET", f"relay:tunnel:{tunnel['id']}", "expires",
                  str(int(time.time() * 1000) + 500))
    took = wait(lambda: not addresses & set(live(rig)), 15)
    tap.ok(within(10, took),
           "changes that no event tells of are seen by the sweep for each of them", took)
    for session in sessions:
        session.stop()


@test
def record_lost(rig, device):
    tunnel, session, pids = up(rig, device)
    rig.redis("DEL", f"relay:tunnel:{tunnel['id']}")
    took = wait(gone(rig, tunnel, pids), 12)
    tap.ok(within(10, took), "a session whose tunnel has no record any more is ended", took)
    session.stop()
    tunnel, session, pids = up(rig, device)
    rig.expect(f"RLY433 record tunnel:{tunnel['id']}")
    rig.expect("malformed|version")
    rig.redis("HSET", f"relay:tunnel:{tunnel['id']}", "v", "9")
    time.sleep(2)
    tap.is_(len(alive(pids)), 2, "one whose record a newer version wrote goes on")
    tap.like(log(rig), rf"RLY433 record tunnel:{tunnel['id']} was written by another version",
             "and the log says so")
    rig.redis("HSET", f"relay:tunnel:{tunnel['id']}", "v", "1")
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(gone(rig, tunnel, pids), 5)), "and is ended when it is closed")


@test
def rlyd_away(rig, device):
    tunnel, session, pids = up(rig, device)
    other, other_session, other_pids = up(rig, device)
    short, _, short_pids = up(rig, device, ttl="4s")
    rig.servers["rlyd"].kill()
    rig.rly("close", tunnel["id"])
    time.sleep(max(0, tunnel_ends(rig, short) - time.time()) + 0.5)
    tap.is_(len(alive(pids + short_pids)), 4, "rlyd away: nothing ends a session")
    rig.servers["rlyd"].start()
    took = wait(lambda: gone(rig, tunnel, pids)() and gone(rig, short, short_pids)(), 5)
    tap.ok(within(1.0, took),
           "closed and expired while rlyd was away: ended within 1 s of its start", took)
    tap.is_((alive(other_pids), other_session.process.poll()), (other_pids, None), "others go on")
    tap.is_(rig.get(other)[2].decode().strip(), "nas", "and serve")
    rig.rly("close", other["id"])
    tap.ok(within(1.0, wait(gone(rig, other, other_pids), 5)),
           "a close right after the restart holds")


def expect_redis_away(rig):
    for line in ("RLY430 Redis", "RLY431 Redis", r"\[relay:", "RLY204"):
        rig.expect(line)


@test
def redis_away(rig, device):
    expect_redis_away(rig)
    tunnel, session, pids = up(rig, device)
    other, other_session, other_pids = up(rig, device)
    short, _, short_pids = up(rig, device, ttl="4s")
    end = tunnel_ends(rig, short)
    rig.redis("SAVE")
    rig.servers["redis"].kill()
    began = time.time()
    took = wait(lambda: not alive(short_pids), 8)
    tap.ok(took is not None and -0.3 <= began + took - end <= 1.0,
           "Redis away: a known deadline holds", f"{took}, {end - began}")
    tap.is_(len(alive(pids + other_pids)), 4, "Redis away: nothing else ends")
    other_session.stop()
    wait(lambda: not alive(other_pids), 3)
    rig.servers["redis"].start()
    took = wait(
        lambda: tunnel["routes"][0]["listen"] in live(rig) and
        not {r["listen"]
             for t in (other, short) for r in t["routes"]} & set(live(rig)), 5)
    tap.ok(within(1.0, took), "Redis back: live: is right within 1 s", f"{took} {live(rig)}")
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(gone(rig, tunnel, pids), 5)), "Redis back: close holds at once")
    tap.like(log(rig), r"RLY430 Redis at .* away|RLY430", "the log says that Redis went")
    tap.like(log(rig), r"RLY432 Redis at .* is back", "and that it came back")


@test
def redis_and_rlyd_away(rig, device):
    tunnel, session, pids = up(rig, device)
    other, other_session, other_pids = up(rig, device)
    rig.servers["rlyd"].kill()
    rig.rly("close", tunnel["id"])
    rig.redis("SAVE")
    rig.servers["redis"].kill()
    rig.servers["rlyd"].start()
    time.sleep(1.5)
    tap.is_(len(alive(pids + other_pids)), 4, "rlyd started without Redis: it guesses nothing")
    rig.servers["redis"].start()
    took = wait(gone(rig, tunnel, pids), 5)
    tap.ok(within(1.0, took), "the closed one is ended within 1 s of Redis's return", took)
    tap.ok(within(1.0, wait(lambda: other["routes"][0]["listen"] in live(rig), 3)),
           "the other one is in live: again")
    tap.is_(len(alive(other_pids)), 2, "and goes on")
    rig.rly("close", other["id"])
    wait(gone(rig, other, other_pids), 5)


@test
def redis_hangs(rig, device):
    tunnel, session, pids = up(rig, device, ttl="5s")
    other, other_session, other_pids = up(rig, device)
    end = tunnel_ends(rig, tunnel)
    rig.servers["redis"].signal(signal.SIGSTOP)
    noticed = wait(lambda: "no answer in time" in log(rig), 4)
    tap.ok(within(2.0, noticed), "Redis hangs: rlyd notices by its own deadline", noticed)
    began = time.time()
    took = wait(lambda: not alive(pids), 9)
    tap.ok(took is not None and -0.3 <= began + took - end <= 1.0,
           "Redis hangs: a known deadline holds", f"{took}, {end - began}")
    tap.is_(len(alive(other_pids)), 2, "Redis hangs: nothing else ends")
    rig.servers["redis"].signal(signal.SIGCONT)
    rig.rly("close", other["id"])
    tap.ok(within(2.0, wait(gone(rig, other, other_pids), 5)), "Redis goes on: close holds")


@test
def redis_empty(rig, device):
    tunnel, session, pids = up(rig, device)
    rig.servers["redis"].kill()
    for name in os.listdir(f"{rig.dir}/redis"):
        os.unlink(f"{rig.dir}/redis/{name}")
    rig.servers["redis"].start()
    took = wait(lambda: not alive(pids), 5)
    tap.ok(within(2.0, took),
           "Redis came back empty: sessions that nothing grants any more are ended", took)
    fresh, session, pids = up(rig, device)
    tap.is_(len(alive(pids)), 2, "and new ones come up")


@test(needs=["sweep"])
def noise(rig):
    with open(f"{rig.dir}/log/sshd-i.log", errors="replace") as f:
        noise, ends = f.read().count("accept: Invalid argument"), log(rig).count("session ended")
    tap.ok(ends > 5 and noise < ends, "sshd does not complain of each listener that is taken away",
           f"{noise} lines, {ends} ends")


tap.run()
