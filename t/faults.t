#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""A part hangs, dies, or runs out of something: visitors, devices and operators see what is
promised, and all is well afterwards without anyone's help. (Redis away, hung or refusing:
redis-faults.t. A line that is cut, and rlyd without descriptors: rlyd-owner.t, rlyd.t.)"""
import concurrent.futures
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

from lib import DEVICE_GONE, fds, fixture, keeper, log, Rig, run, tap, test, timed, wait, wait_for

SMALL = ("ServerLimit 1\nStartServers 1\nThreadLimit 6\nThreadsPerChild 6\nMaxRequestWorkers 6\n"
         "MinSpareThreads 1\nMaxSpareThreads 6")


def status(rig, what, path="/", timeout=30):
    try:
        return rig.get(what, path, timeout=timeout)[0]
    except OSError as e:
        return repr(e)


def come(rig, tunnel, timeout=20, connect=Rig.connect):
    """Connects as DIR/run does, again after a while when it came to nothing: seconds, or None."""
    began = time.monotonic()
    while time.monotonic() < began + timeout:
        session = connect(rig, tunnel, wait=False)
        while session.process.poll() is None and time.monotonic() < began + timeout:
            if rig.listening(tunnel):
                return time.monotonic() - began
            time.sleep(0.02)
        time.sleep(0.3)
    return None


def still_up(rig, tunnel, name):
    seen = status(rig, tunnel)
    tap.ok(
        seen == 200, f"{name}: the tunnel that was up is up", lambda: f"{seen}; its ssh says: "
        f"{[s.output() for s in rig.sessions if s.tunnel is tunnel]}\n{rig.tail('rlyd')}")


def serves(rig, tunnel, name):
    """All is well: a new device gets in and is reached, the old one is still there, a close is a
    close."""
    still_up(rig, tunnel, name)
    new = rig.open(tunnel["routes"][0]["service"])
    took = come(rig, new)
    tap.ok(took is not None and took < 5, f"{name}: a device gets in at once", took)
    tap.is_(status(rig, new), 200, f"{name}: and is reached")
    rig.rly("close", new["id"])
    tap.is_(rig.status_after(new), 410, f"{name}: a close is a close")
    wait_for(lambda: not rig.listening(new), "the session's end", 2)


@fixture
def rig():
    rig = Rig(rlyd=True)
    rig.expect(
        r"RLY150 |RLY402 |RLY111 |RLY120 |RLY43[01] |the new maxmemory value|Too many open "
        r"files|AH02324|AH00098", DEVICE_GONE)
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


@fixture
def tunnel(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    still_up(rig, tunnel, "before it all")
    return tunnel


# --- rlyd hangs


@test
def rlyd_hangs(rig, tunnel):
    closing, late = rig.open(tunnel["routes"][0]["service"]), rig.open(
        tunnel["routes"][0]["service"])
    closed = rig.connect(closing)
    rig.servers["rlyd"].signal(signal.SIGSTOP)
    try:
        seen, took = timed(status, rig, tunnel)
        tap.ok(seen == 200 and took < 2, "rlyd hangs: visitors do not notice",
               f"{seen} after {took:.2f} s")
        rig.rly("close", closing["id"])
        tap.is_(rig.status_after(closing), 410, "rlyd hangs: a close is seen by visitors at once")
        session, took = timed(lambda: rig.connect(late, args=("-o", f"Port={rig.ssh_port}")))
        tap.ok(took < 8, "rlyd hangs: a login through the listening sshd works, a little later",
               f"{took:.2f} s")
        tap.is_(status(rig, late), 200, "rlyd hangs: and that device is reached")
        connections = [socket.create_connection((rig.address, rig.https_port)) for _ in range(300)]
        (_, took) = timed(lambda: [c.sendall(b"SSH-2.0-queue\r\n") for c in connections])
        seen, took = timed(status, rig, tunnel)
        tap.ok(seen == 200 and took < 2, "rlyd hangs and 300 devices come: visitors do not notice",
               f"{seen} after {took:.2f} s")
        refused = 0
        time.sleep(0.5)
        for c in connections:
            c.setblocking(False)
            try:
                refused += c.recv(1) == b""
            except BlockingIOError:
                pass
            except ConnectionError:
                refused += 1
        tap.ok(("RLY150" in log(rig, "relay-error.log")) == (refused > 0),
               f"those that find no room ({refused}) are closed, with a line", refused)
        for c in connections:
            c.close()
    finally:
        rig.servers["rlyd"].signal(signal.SIGCONT)
    took = timed(wait_for, lambda: closed.process.poll() is not None, "the closed session's end",
                 10)[1]
    tap.ok(took < 2, "rlyd goes on: what was closed meanwhile ends at once", f"{took:.2f} s")
    serves(rig, tunnel, "rlyd goes on")
    session.stop()
    rig.rly("close", late["id"])


@test
def maxmemory(rig, tunnel):
    """Redis holds all that it may: nothing new, but what is to end can be ended."""
    service = tunnel["routes"][0]["service"]
    closing, coming, brief = rig.open(service), rig.open(service), rig.open(service, ttl="10s")
    end = int(rig.redis("HGET", f"relay:tunnel:{brief['id']}", "expires")) / 1000
    closed, ending = rig.connect(closing), rig.connect(brief)
    rig.redis("CONFIG", "SET", "maxmemory", "1")
    try:
        refused = rig.rly("open", "80", check=False)
        tap.ok(refused.returncode == 3 and "maxmemory" in refused.stderr,
               "Redis is full: rly open says so", refused.stderr)
        tap.is_((status(rig, tunnel), status(rig, "unheard-of")), (200, 404),
                "visitors do not notice")
        took = come(rig, coming)
        tap.ok(took is not None and took < 5, "a device gets in", took)
        shut = rig.rly("close", closing["id"], check=False)
        tap.is_((shut.returncode, rig.status_after(closing)), (0, 410), "a tunnel can be closed")
        wait_for(lambda: closed.process.poll() is not None, "the session's end", 2)
        tap.is_(ending.process.poll(), None, "another one goes on")
        wait_for(lambda: ending.process.poll() is not None, "the expired session's end", 15)
        tap.between(time.time() - end, -0.3, 1.5, "until it expires, and no longer")
    finally:
        rig.redis("CONFIG", "SET", "maxmemory", "0")
    serves(rig, tunnel, "room in Redis")
    listed = wait_for(lambda: int(rig.redis("HLEN", "relay:live:relay1")) == 2,
                      "live: is put right", 20, 0.2)
    tap.ok(listed, "live: is put right")


# --- httpd's children


@test
def child_killed(rig, tunnel):
    for sig in (signal.SIGKILL, signal.SIGSEGV):
        name = signal.Signals(sig).name
        victims = sorted(keeper.descendants([rig.servers["httpd"].pid]))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            slow = [pool.submit(status, rig, tunnel, "/slow?s=0.5") for _ in range(4)]
            time.sleep(0.2)
            os.kill(victims[0], sig)
            # what reaches a child that is just dying dies with it
            wait_for(lambda: keeper.process_table().get(victims[0], (0, 0, "Z"))[2] == "Z",
                     "its end")
            seen, took = timed(status, rig, tunnel)
            after = [f.result() for f in slow]
        tap.ok(seen == 200 and took < 2, f"a child of httpd gets {name}: the next request works",
               f"{seen} after {took:.2f} s")
        tap.ok(all(s == 200 or isinstance(s, str) for s in after),
               f"{name}: the child's own requests end with it, no other", after)
        victims = keeper.descendants([rig.servers["httpd"].pid])
        keeper.kill_all(victims, sig)
        took = timed(wait_for, lambda: status(rig, tunnel) == 200, "service", 10)[1]
        tap.ok(took < 5, f"all children get {name}: service is back by itself", f"{took:.2f} s")
        tap.is_(fds(rig.servers["httpd"].pid) > 3, True, f"{name}: httpd itself goes on")
        serves(rig, tunnel, name)


@test
def httpd_descriptors(rig, tunnel):
    """More visitors than httpd has descriptors for: what it cannot serve it does not answer for
    wrongly."""
    httpd = rig.servers["httpd"].pid
    limits = resource.prlimit(httpd, resource.RLIMIT_NOFILE)
    most = max(map(fds, keeper.descendants([httpd])))
    resource.prlimit(httpd, resource.RLIMIT_NOFILE, (most + 12, limits[1]))
    rig.graceful()  # the children inherit it
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        seen = list(pool.map(lambda _: status(rig, tunnel, "/slow?s=0.3", timeout=10), range(120)))
    tap.ok("Too many open files" in log(rig, "httpd-error.log") + log(rig, "relay-error.log"),
           "httpd runs out of descriptors")
    counts = {s: seen.count(s) for s in seen}
    tap.ok(
        not [s for s in counts if isinstance(s, int) and s not in (200, 500, 502, 503)] and
        counts.get(200), "some visitors are served, others are not, none gets a wrong answer",
        counts)
    tap.diag(f"out of descriptors: {counts}")
    resource.prlimit(httpd, resource.RLIMIT_NOFILE, limits)
    # A child that cannot accept is taken for sick, and httpd gives up altogether where that befalls
    # the next one at once, too (AH02324). systemd starts it again then; sessions have nothing to do
    # with it.
    time.sleep(2)
    if not rig.servers["httpd"].alive():
        tap.diag("httpd has given up")
        rig.servers["httpd"].start()
    else:
        rig.graceful()
    serves(rig, tunnel, "after the rush")


@test
def workers():
    """MaxRequestWorkers reached: all wait, none is lost."""
    rig = Rig(rlyd=True, httpd_conf=SMALL)
    rig.expect("AH00484|AH03490|AH00485|AH10159")
    device = rig.device("small")
    tunnel, new = rig.open(device.url), rig.open(device.url)
    rig.connect(tunnel)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        slow = [pool.submit(status, rig, tunnel, "/slow?s=2") for _ in range(12)]
        time.sleep(0.5)
        quick = [pool.submit(timed, status, rig, tunnel) for _ in range(20)]
        arrival = pool.submit(come, rig, new)
        answers = [f.result() for f in slow]
        quick = [f.result() for f in quick]
        took = arrival.result()
    tap.is_(set(answers), {200}, "6 threads and 12 slow requests: each gets its answer")
    tap.ok({s
            for s, _ in quick} == {200} and max(t for _, t in quick) < 10,
           "20 more wait their turn and get theirs", quick)
    tap.ok(took is not None and took < 10, "a device that comes then gets in", took)
    serves(rig, tunnel, "after the rush")
    rig.ends_cleanly("the small rig")


@test
def one_thread():
    """ThreadsPerChild 1: each request may meet another process, with a cache and a watcher of its
    own."""
    rig = Rig(rlyd=True,
              httpd_conf=
              "ServerLimit 4\nStartServers 4\nThreadLimit 1\nThreadsPerChild 1\nMaxRequestWorkers "
              "4\nMinSpareThreads 1\nMaxSpareThreads 4")
    rig.expect("AH00484|AH03490|AH00485|AH10159")
    device = rig.device("single")
    tunnel, second = rig.open(device.url), rig.open(device.url)
    rig.connect(tunnel)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        arrival = pool.submit(come, rig, second)
        slow = [pool.submit(status, rig, tunnel, "/slow?s=0.5") for _ in range(8)]
        answers = {f.result() for f in slow}
    tap.is_(answers, {200},
            "a thread a process, 4 processes: 8 slow requests each get their answer")
    tap.ok((arrival.result() or 99) < 6, "a device that comes meanwhile gets in", arrival.result())
    rig.rly("close", second["id"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda who: status(rig, who), [second, tunnel, "unheard-of"] * 8))
    tap.is_((set(answers[::3]), set(answers[1::3]), set(answers[2::3])), ({410}, {200}, {404}),
            "after a close all processes know")
    serves(rig, tunnel, "a thread a process")
    rig.ends_cleanly("the rig with a thread a process")


# --- sshd


@test
def no_sshd():
    """The program is gone for a moment, as in an upgrade."""
    copy = "/usr/sbin/sshd"
    rig = Rig(rlyd=True, start=False)
    sshd = f"{rig.dir}/sshd"
    shutil.copy2(copy, sshd)
    rig.settings["rlyd"]["sshd"] = sshd
    rewrite_conf(rig)
    rig.start()
    rig.expect("RLY403|RLY463")
    device = rig.device("upgrade")
    tunnel, new = rig.open(device.url), rig.open(device.url)
    rig.connect(tunnel)
    os.unlink(sshd)
    session, took = timed(lambda: rig.connect(new, wait=False))
    _, took = timed(session.process.wait)
    tap.ok(took < 3 and session.process.returncode == 255,
           "sshd is not there: a device's connection is closed at once", f"{took:.2f} s")
    wanted = rf"RLY403 cannot start {sshd} for 127\.0\.0\.1:\d+: No such file"
    wait(lambda: re.search(wanted, log(rig)), 5)
    tap.like(log(rig), wanted, "and rlyd says why")
    tap.is_(status(rig, tunnel), 200, "sessions do not need it")
    shutil.copy2(copy, sshd)
    took = come(rig, new)
    tap.ok(took is not None and took < 3, "it is there again: devices get in", took)
    rig.rly("close", tunnel["id"])
    wait_for(lambda: not rig.listening(tunnel), "the end of a session whose program was replaced",
             2)
    tap.ok(True, "a session whose program was replaced is ended like any other")
    rig.ends_cleanly()


def rewrite_conf(rig):
    with open(rig.conf, "w") as f:
        for section, keys in rig.settings.items():
            f.write(f"[{section}]\n" + "".join(f"{k} = {v}\n"
                                               for k, v in keys.items() if v is not None))


def login_here(rig, tunnel, wait=True):
    """A device that comes to the listening sshd."""
    return rig.connect(tunnel, wait=wait, args=("-o", f"Port={rig.ssh_port}"))


@test
def sshd_descriptors():
    """The listening sshd, and then a session's, have no descriptor left."""
    rig = Rig(rlyd=True,
              sshd_conf="LoginGraceTime 3",
              vhost="RelayBackendTimeout 1s\nRelayBackendIdle 1s")
    # -r is what relay-sshd.service has. Without it OpenSSH 9.2 never stops counting a connection
    # that it had no descriptor for, and PerSourceMaxStartups of them lock their address out
    # (sshd.c, "reexec socketpair": no srclimit_done()).
    rig.servers["sshd"].argv.append("-r")
    rig.servers["sshd"].restart()
    rig.expect("Too many open files|Timeout before authentication|deprecated", DEVICE_GONE)
    device = rig.device("starved")
    tunnel, coming, waiting, direct = (rig.open(device.url) for _ in range(4))
    login_here(rig, tunnel)
    sshd = rig.servers["sshd"].pid
    limits = resource.prlimit(sshd, resource.RLIMIT_NOFILE)
    resource.prlimit(sshd, resource.RLIMIT_NOFILE, (16, limits[1]))
    strangers_hold_all(rig, tunnel, coming, direct)
    no_accept(rig, tunnel, waiting, sshd, limits)
    crowded_session(rig, coming, tunnel)
    serves(rig, tunnel, "sshd has descriptors")
    rig.ends_cleanly("the rig with a starved sshd")


def strangers_hold_all(rig, tunnel, coming, direct):
    """Each connection that has not logged in holds one of sshd's descriptors; until LoginGraceTime
    ends it."""
    began = time.monotonic()
    strangers = [
        socket.create_connection((rig.address, rig.ssh_port),
                                 source_address=(f"127.0.3.{i + 1}", 0)) for i in range(20)
    ]
    wait_for(lambda: "Too many open files" in log(rig, "sshd.log"), "sshd runs out of descriptors")
    refused, took = timed(login_here(rig, coming, wait=False).process.wait)
    tap.ok(refused == 255 and took < 2,
           "sshd is out of descriptors: a device is turned away at once",
           f"{refused} after {took:.2f} s")
    still_up(rig, tunnel, "sshd is out of descriptors")
    took = come(rig, direct)
    tap.ok(took is not None and took < 3, "devices at the HTTPS port get in", took)
    closing = rig.rly("close", direct["id"])
    wait_for(lambda: not rig.listening(direct), "the end of a session", 2)
    tap.is_((closing.returncode, rig.status_after(direct)), (0, 410), "a close is a close")
    tap.note(f"LoginGraceTime is 3 s, until here it took {time.monotonic() - began:.1f} s")
    # With the same few descriptors, and nobody has gone away of his own will.
    tap.ok(
        come(rig, coming, connect=login_here) is not None and time.monotonic() - began < 8,
        "LoginGraceTime ends the strangers: a device that tries on gets in",
        f"{time.monotonic() - began:.1f} s")
    tap.is_(status(rig, coming), 200, "and is reached")
    for stranger in strangers:
        stranger.close()


def no_accept(rig, tunnel, waiting, sshd, limits):
    """Not even one for the connection itself."""
    resource.prlimit(sshd, resource.RLIMIT_NOFILE, (5, limits[1]))
    session = login_here(rig, waiting, wait=False)
    wait_for(lambda: "accept: Too many open files" in log(rig, "sshd.log"), "sshd cannot accept")
    time.sleep(1)
    tap.is_(session.process.poll(), None, "sshd cannot accept: a device that comes waits")
    still_up(rig, tunnel, "sshd cannot accept")
    tap.ok(
        log(rig, "sshd.log").count("accept: Too many") < 60, "sshd does not fill its log",
        log(rig, "sshd.log").count("accept: Too many"))
    resource.prlimit(sshd, resource.RLIMIT_NOFILE, limits)
    took = timed(wait_for, lambda: rig.listening(waiting), "the device that waited", 10)[1]
    tap.ok(took < 2 and session.process.poll() is None,
           "there are descriptors again: the one that waited gets in", f"{took:.2f} s")
    tap.is_(status(rig, waiting), 200, "and is reached")


def crowded_session(rig, tunnel, neighbour):
    """More visitors than the device's own session, which began with 16, has descriptors for. It
    accepts no more until some are free; what httpd keeps open for later holds them for
    RelayBackendIdle."""
    before = log(rig, "sshd.log").count("accept: Too many open files")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        slow = [pool.submit(timed, status, rig, tunnel, "/slow?s=0.3") for _ in range(16)]
        time.sleep(0.2)
        seen, took = timed(status, rig, neighbour)
        slow = [f.result() for f in slow]
    answers = [s for s, _ in slow]
    served = answers.count(200)
    tap.diag(f"a session out of descriptors: {served} served, {len(answers) - served} not")
    tap.ok(
        log(rig, "sshd.log").count("accept: Too many open files") > before,
        "a session runs out of descriptors")
    tap.ok(200 in answers and set(answers) <= {200, 502, 504},
           "of 16 visitors of its device some are served, to others it gives no answer", answers)
    # mod_proxy_http waits twice: an empty line before the first is allowed
    tap.ok(max(t for _, t in slow) < 3, "within twice RelayBackendTimeout", slow)
    tap.ok(seen == 200 and took < 1, "the neighbour's visitors do not notice",
           f"{seen} after {took:.2f} s")
    began = time.monotonic()
    wait_for(lambda: {status(rig, tunnel)
                      for _ in range(8)} == {200}, "the crowded device's answers", 12)
    tap.ok(time.monotonic() - began < 10, "when the rush is over all are served",
           f"{time.monotonic() - began:.1f} s")


# --- disk and memory


def fill(path):
    with open(f"{path}/filler", "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass


@test
def disk_full():
    """The file systems of the logs and of Redis's data are full."""
    rig = Rig(rlyd=True, start=False)
    for name in ("log", "redis"):
        run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", f"{rig.dir}/{name}"])
    try:
        rig.start()
        device = rig.device("full")
        tunnel = rig.open(device.url)
        rig.connect(tunnel)
        rig.redis("CONFIG", "SET", "appendonly", "yes")
        fill(f"{rig.dir}/log")
        for _ in range(20):
            rig.get(tunnel)
        serves(rig, tunnel, "no room for logs")
        os.unlink(f"{rig.dir}/log/filler")
        fill(f"{rig.dir}/redis")
        wait_for(lambda: rig.rly("open", "80", check=False).returncode,
                 "Redis notices that its disk is full", 10)
        refused = rig.rly("open", "80", check=False)
        tap.ok(
            refused.returncode == 3 and refused.stderr.startswith("rly: ") and
            len(refused.stderr) > 30, "Redis's disk is full: rly open is refused and says why",
            refused.stderr)
        tap.diag(refused.stderr.strip())
        time.sleep(1.5)
        tap.is_((status(rig, tunnel), status(rig, "unheard-of")), (200, 404),
                "visitors do not notice")
        os.unlink(f"{rig.dir}/redis/filler")
        wait_for(lambda: not rig.rly("open", "80", "-t", "1m", check=False).returncode,
                 "Redis has room again", 10)
        serves(rig, tunnel, "room again")
        rig.expect(r"RLY431 .*MISCONF| # (Short write|Error writing to the AOF|AOF write "
                   r"error|Asynchronous AOF fsync)")
        rig.ends_cleanly()
    finally:
        rig.stop()
        for name in ("log", "redis"):
            subprocess.run(["umount", "-l", f"{rig.dir}/{name}"], stderr=subprocess.DEVNULL)


tap.run()
