#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""rlyd as a daemon: options, pid file, readiness, reload; its socket with good, bad and hostile
peers; admission."""
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import time

from lib import (alive, connection_pair, Door, fds, fixture, hand_over, live, log, monitor_of,
                 processes, read, Rig, run, Sources, tap, test, wait, within, write)

REFUSED = "relay1 refused key=SHA256:" + "A" * 43
LOGIN = ("relay1 login tunnel=abcdefghijklmnop key=SHA256:" + "A" * 43 +
         " expires=1900000000000 listen=127.77.0.5:10000")


def rlyd(rig, *args, conf=None, **kwargs):
    return subprocess.run([rig.program("rlyd"), *(["-c", conf] if conf else []), *args],
                          capture_output=True,
                          text=True,
                          stdin=subprocess.DEVNULL,
                          timeout=20,
                          **kwargs)


@fixture
def rig():
    rig = Rig(rlyd=True)
    # strangers that hang up, and those who were told to
    rig.expect("Connection (closed|reset)|kex_exchange|Connection from UNKNOWN|invalid")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


@test
def options(rig):
    r = rlyd(rig, "-h")
    tap.is_((r.returncode, r.stderr), (0, ""), "-h: exit status 0")
    tap.like(r.stdout, r"(?s)usage: rlyd .*--merge-exec.*SIGHUP", "-h: usage")
    tap.like(rlyd(rig, "--version").stdout, r"^rlyd \d", "--version")
    for bad in (["-x"], ["word"], ["-c"]):
        tap.is_(rlyd(rig, *bad).returncode, 2, f"{' '.join(bad)}: exit status 2")
    tap.is_(rlyd(rig, "-t", conf=rig.conf).returncode, 0, "-t: a good configuration")
    text = read(rig.conf)
    for what, changed, said in (("no such user",
                                 text.replace("user = relay\n", "user = nobodyatall\n"),
                                 "there is no user nobodyatall"),
                                ("the tunnel user is root",
                                 text.replace("user = relay\n", "user = root\n"), "root is root"),
                                ("an unknown key", text + "colour = red\n", "there is no such key"),
                                ("a bad switch", text + "merge = maybe\n", "must be on or off"),
                                ("a bad limit", text + "max-startups = 10\n", "START:RATE:FULL")):
        r = rlyd(rig, "-t", conf=write(f"{rig.dir}/etc/bad.conf", changed))
        tap.is_(r.returncode, 1, f"-t: {what}: exit status 1")
        tap.like(r.stderr, f"^rlyd: .*bad.conf.*{said}", f"-t: {what}: says what and where")
    r = rlyd(rig, "-f", conf=rig.conf)
    tap.is_(r.returncode, 1, "a second one with the same configuration does not start")
    tap.like(r.stderr, "another rlyd runs", "and says why")
    tap.ok(
        os.path.exists(f"{rig.dir}/run/rlyd.sock") and Door(rig), "the first one keeps its socket")
    r = rlyd(rig, "--merge-exec", "--", "/bin/echo", "run")
    tap.is_((r.returncode, r.stdout), (0, "run\n"), "--merge-exec runs the program")
    r = rlyd(rig, "--merge-exec", "--", "/bin/cat", "/proc/self/ksm_stat")
    if os.path.exists("/proc/self/ksm_stat"):
        tap.like(r.stdout, r"ksm_merge_any: yes", "with samepage merging")
    else:
        tap.skip("with samepage merging", "this kernel does not tell")
    tap.is_(
        rlyd(rig, "--merge-exec").returncode, 2, "--merge-exec without a program: exit status 2")


def other_conf(rig, **keys):
    """A configuration for a second rlyd: another relay on the same Redis, in a corner of its own.
    """
    text = read(rig.conf).replace("name = relay1",
                                  "name = relay2").replace(f"{rig.dir}/run/rlyd",
                                                           f"{rig.dir}/run/two")
    text = re.sub(r"listen = .*", f"listen = 127.127.{os.getpid() % 250}.0/28:21000-21010", text)
    return write(f"{rig.dir}/etc/two.conf", text + "".join(f"{k} = {v}\n" for k, v in keys.items()))


@test
def daemon(rig):
    conf = other_conf(rig)
    pidfile = f"{rig.dir}/run/two.pid"
    r = rlyd(rig, conf=conf)
    tap.is_((r.returncode, r.stdout), (0, ""), "in the background: the parent ends with 0")
    pid = int(read(pidfile))
    tap.ok(
        alive([pid]) and os.path.exists(f"{rig.dir}/run/two.sock"),
        "when it is ready: its pid file and its socket are there")
    tap.is_(os.getsid(pid), pid, "it has a session of its own")
    os.kill(pid, signal.SIGTERM)
    tap.ok(within(2, wait(lambda: not alive([pid]), 5)), "SIGTERM ends it")
    tap.ok(not os.path.exists(pidfile) and not os.path.exists(f"{rig.dir}/run/two.sock"),
           "and it cleans up")
    os.mkdir(f"{rig.dir}/run/dir")
    r = rlyd(rig,
             conf=write(f"{rig.dir}/etc/three.conf",
                        read(conf).replace("run/two.sock", "run/none/two.sock")))
    tap.is_(r.returncode, 1, "in the background: it cannot start: the parent ends with 1")
    tap.like(r.stderr, "two.sock: cannot listen: No such file", "and says why")


@test
def notify(rig):
    path = f"{rig.dir}/run/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(20)
        said = f"{rig.dir}/run/notify.err"
        with open(said, "w") as err:
            process = subprocess.Popen(
                [rig.program("rlyd"), "-f", "-c", other_conf(rig)],
                stderr=err,
                env=dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="1000000"))
        try:
            ready = s.recv(1000).decode()
        except TimeoutError:
            ready = f"nothing in 20 s. Exit status {process.poll()}; it said: {read(said)}"
        tap.like(ready, r"(?m)^READY=1$", "sd_notify: READY=1")
        tap.like(ready, rf"(?m)^MAINPID={process.pid}$", "sd_notify: MAINPID")
        tap.ok(os.path.exists(f"{rig.dir}/run/two.sock"), "not before the socket is there")
        tap.is_(s.recv(1000), b"WATCHDOG=1", "sd_notify: the watchdog is fed")
        process.send_signal(signal.SIGHUP)
        said = until(s, "READY=1")
        tap.like(said, r"RELOADING=1\nMONOTONIC_USEC=\d+",
                 "sd_notify: a reload is announced, and its end")
        process.terminate()
        tap.like(until(s, "STOPPING=1"), "STOPPING=1", "sd_notify: STOPPING=1")
        tap.is_(process.wait(5), 0, "SIGTERM: exit status 0")


def until(sock, word):
    said = ""
    while word not in said:
        said += sock.recv(1000).decode() + "\n"
    return said


@test
def reload(rig, device):
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    text = read(rig.conf)
    rig.expect("RLY451")
    write(rig.conf, text + "colour = red\n")
    rig.servers["rlyd"].signal(signal.SIGHUP)
    tap.ok(wait(lambda: re.search("RLY451 .*colour", log(rig)), 5),
           "HUP with a mistake: the log says what, the old one stays")
    write(rig.conf, text + "max-startups = 1:100:1\n")
    rig.servers["rlyd"].signal(signal.SIGHUP)
    tap.ok(wait(lambda: "RLY453" in log(rig), 5), "HUP: reloaded")
    client, server = connection_pair()
    hand_over(rig, server)
    tap.ok(client.recv(100).startswith(b"SSH-2.0"), "one may log in")
    second, server = connection_pair()
    rig.expect("RLY402")
    hand_over(rig, server)
    tap.is_(second.recv(100), b"Exceeded MaxStartups\r\n", "the new limit holds: a second may not")
    client.close()
    second.close()
    write(rig.conf, text)
    rig.servers["rlyd"].signal(signal.SIGHUP)
    wait(lambda: log(rig).count("RLY453") == 2, 5)
    tap.is_(session.process.poll(), None, "sessions go on over reloads")
    pids = processes(monitor_of(rig, tunnel))
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.0, wait(lambda: not alive(pids), 5)), "and are ended when they are closed")


@test
def messages(rig):
    """A message that is none of the protocol's drops the peer who sent it, and nobody else."""
    rig.expect("RLY405")
    good = Door(rig)
    bad = [
        b"\0", b"x", b"relay1", b"relay1 ", b"relay2 login", b"relay1 login",
        b"relay1  login tunnel=a", b"relay1 handoff", b"relay1 handoff way=direct",
        b"relay1 " + b"a" * 3000, b"relay1 login " + b"=" * 2000,
        LOGIN.encode() + b" tunnel=b",
        LOGIN.encode() + b" x=y",
        LOGIN.encode() + b"\n",
        LOGIN.replace("=127.77", "=999.77").encode(),
        LOGIN.replace("expires=1900000000000", "expires=-1").encode(),
        LOGIN.replace("A" * 43, "A" * 42).encode(), (LOGIN + ",127.0.0.1:1" * 40).encode(),
        bytes(range(256)), b"relay1 refused", f"{REFUSED} why=closed".encode(),
        f"{REFUSED} why=because".encode(), f"{REFUSED} why=redis why=redis".encode(),
        f"{REFUSED} why=closed tunnel=A/B".encode(), b"relay1 refused key=SHA256:A why=redis"
    ]
    for data in bad:
        door = Door(rig)
        door.send(data)
        tap.is_(door.answer(), b"", f"dropped: {data[:40]!r}")
        door.close()
    null = os.open("/dev/null", os.O_RDWR)
    before = fds(rig.servers["rlyd"].pid)
    for text, descriptors in (("relay1 handoff way=direct", [null, null]), (LOGIN, [null]),
                              ("rubbish", [null] * 4), ("relay1 handoff way=direct", [null] * 200),
                              ("relay1 handoff way=tls",
                               [null]), ("relay1 handoff way=tls peer=192.0.2.1:22",
                                         [null, null]), ("relay1 handoff way=tls", []),
                              ("relay1 handoff way=tls", [null] * 2), ("relay1 handoff way=direct",
                                                                       [null])):
        door = Door(rig)
        door.send(text, *descriptors)
        door.sock.shutdown(socket.SHUT_WR)
        tap.is_(door.answer(), b"", f"no harm: {text[:40]} with {len(descriptors)} descriptors")
        door.close()
    os.close(null)
    tap.ok(within(5, wait(lambda: fds(rig.servers["rlyd"].pid) <= before, 8)),
           "no descriptor is kept")
    good.send(LOGIN)
    tap.like(good.answer().decode(), "^relay1 no .*its parent is no sshd",
             "a login report from no child of sshd is refused")
    good.send(f"{REFUSED} why=unknown")
    tap.like(good.answer().decode(), "^relay1 no .*its parent is no sshd",
             "nor is one of a refused key taken")
    good.close()


@test
def strangers(rig):
    rig.expect("RLY406")
    code = (
        "import os,socket,sys; os.setresuid({0},{0},{0}); s=socket.socket(socket.AF_UNIX, "
        "socket.SOCK_SEQPACKET); "
        "s.connect('{1}'); s.settimeout(5)\ntry:\n    s.send(b'{2}'); print(s.recv(100))\nexcept "
        "OSError: print('dropped')")
    said = {}
    for user in ("nobody", "www-data", "relay-authkeys"):
        said[user] = run([
            "/usr/bin/python3", "-c",
            code.format(pwd.getpwnam(user).pw_uid, f"{rig.dir}/run/rlyd.sock", LOGIN)
        ],
                         check=False).stdout.strip()
    tap.ok(said["nobody"] in ("dropped", "b''"), "another user is turned away", said)
    for user in ("www-data", "relay-authkeys"):
        tap.like(
            said[user],
            "relay1 no",
            f"{user} may speak, but is no child of sshd",
        )
    # sshd as a parent's name is not enough
    trick = run([
        "sshd: relay [priv]", "-c",
        "import subprocess,sys; subprocess.run([sys.executable, '-c', sys.argv[1]])",
        code.format(pwd.getpwnam("relay-authkeys").pw_uid, f"{rig.dir}/run/rlyd.sock", LOGIN)
    ],
                executable="/usr/bin/python3",
                check=False)
    tap.unlike(trick.stdout, "relay1 ok", "a parent that is only called sshd does not count")


@test
def slow_peers(rig, device):
    """Peers who connect and say nothing, and many of them, keep nobody waiting."""
    silent = [Door(rig) for _ in range(300)]
    client, server = connection_pair()
    start = time.monotonic()
    hand_over(rig, server)
    tap.ok(
        client.recv(100).startswith(b"SSH-2.0") and time.monotonic() - start < 4,
        "300 silent peers: a hand-off goes through")
    client.close()
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    tap.ok(monitor_of(rig, tunnel), "and a login")
    rig.rly("close", tunnel["id"])
    silent[0].sock.settimeout(10)
    tap.is_(silent[0].answer(), b"", "a silent peer is dropped after a while")
    for door in silent:
        door.close()
    session.stop()


@test
def pipelined(rig, device):
    """Requests that arrive in one piece on a port with RelaySSH: the later ones wait in httpd, not
    on the socket."""
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    host = f"{tunnel['routes'][0]['name']}.{rig.domain}"
    with rig.tls(host, timeout=10) as sock:
        sock.sendall(f"GET /?SSH-2.0- HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 20)
        answer = b""
        while answer.count(b"HTTP/1.1 200") < 20:
            piece = sock.recv(65536)
            if not piece:
                break
            answer += piece
    tap.is_(answer.count(b"HTTP/1.1 200"), 20,
            "20 requests in one TLS record on the port that takes SSH: 20 answers")
    rig.rly("close", tunnel["id"])
    session.stop()


@test
def admission(rig):
    """Random early drop as sshd's MaxStartups, and a limit for each source."""
    rig.expect("RLY402")
    text = read(rig.conf)
    write(rig.conf, text + "max-startups = 10:50:30\nper-source-startups = 0\n")
    rig.servers["rlyd"].restart()
    clients = []
    refused = admitted = 0
    for i in range(120):
        client, server = connection_pair(source=f"127.9.{i}.1")
        hand_over(rig, server)
        first = client.recv(100)
        if first.startswith(b"SSH-2.0"):
            admitted += 1
            clients.append(client)
        else:
            refused += 1
            tap.is_(first, b"Exceeded MaxStartups\r\n",
                    "refused in sshd's words") if refused == 1 else None
            client.close()
        if i == 9:
            tap.is_((admitted, refused), (10, 0), "below start nobody is refused")
    tap.ok(10 < admitted <= 30, "between start and full some are, at full all",
           f"{admitted} admitted, {refused} refused")
    for client in clients:
        client.close()
    tap.ok(within(5, wait(lambda: admits(rig), 5, 0.2)), "when they are gone others may log in")
    write(rig.conf, text + "per-source-startups = 3\n")
    rig.servers["rlyd"].restart()
    sources = Sources()
    try:
        check_sources(rig, sources)
    finally:
        sources.close()
    write(rig.conf, text)
    rig.servers["rlyd"].restart()


def first_words(rig, pairs, way="direct"):
    """Hands connections over, one after the other, and returns what each client is told; the
    clients stay."""
    said = []
    for client, server in pairs:
        if way == "tls":
            ours, theirs = socket.socketpair()
            ours.settimeout(10)
            hand_over(rig, theirs, "tls", server)
            held.append(client)
            client = ours
        else:
            hand_over(rig, server)
        said.append(client.recv(100)[:7])
        held.append(client)
    return said


held = []


def check_sources(rig, sources):
    three = [b"SSH-2.0"] * 3
    said = first_words(rig, [sources.pair(sources.v4(1)) for _ in range(4)])
    tap.is_(said, [*three, b"Exceede"], "a fourth from one address is refused")
    tap.is_(first_words(rig, [sources.pair(sources.v4(2))]), three[:1], "another address is not")
    said = first_words(rig, [connection_pair(source=f"127.9.{i}.1")
                             for i in range(3)] + [connection_pair("::1")])
    tap.is_(said, [*three, b"Exceede"],
            "loopback is one source, whichever of its addresses it comes from")
    pairs = [sources.pair(sources.v6(f"2::{i:x}"))
             for i in range(1, 5)] + [sources.pair(sources.v6("3::1"))]
    tap.is_(first_words(rig, pairs, "tls"), [*three, b"Exceede", b"SSH-2.0"],
            "IPv6 counts by /64; by TLS where the visitor's connection comes from counts")
    for client in held:
        client.close()


def admits(rig):
    client, server = connection_pair(source="127.8.0.1")
    hand_over(rig, server)
    with client:
        return client.recv(100).startswith(b"SSH-2.0")


@test
def authenticated_do_not_count(rig, device):
    text = read(rig.conf)
    write(rig.conf, text + "max-startups = 1:100:1\n")
    rig.servers["rlyd"].restart()
    tunnels = [rig.open(device.url) for _ in range(3)]
    sessions = [rig.connect(t) for t in tunnels]
    tap.is_([s.process.poll() for s in sessions], [None] * 3,
            "who has authenticated does not count")
    for t in tunnels:
        rig.rly("close", t["id"])
    write(rig.conf, text)
    rig.servers["rlyd"].restart()


@test
def addresses(rig):
    """IPv6, and IPv4 as a socket for both shows it, which is how Apache accepts."""
    for host, listen, shown in (("::1", "::1", r"\[::1\]"), ("127.5.0.1", "::", r"127\.0\.0\.1")):
        client, server = connection_pair(host, listen=listen)
        port = client.getsockname()[1]
        hand_over(rig, server)
        tap.ok(client.recv(100).startswith(b"SSH-2.0"), f"a connection to {host} is taken")
        client.close()
        tap.ok(
            wait(lambda: re.search(rf"RLY411 .*peer {shown}:{port}, way in direct", log(rig)), 5),
            f"a connection to {host}: the log has the peer", lambda: log(rig)[-500:])


@test
def unit(rig, device):
    """With no more capabilities than rlyd.service leaves it, and no new privileges."""
    unit = read(rig.installed("/usr/share/mod_relay/sshd-conf/rlyd.service"))
    caps = re.search(r"(?m)^CapabilityBoundingSet=(.*)$",
                     unit).group(1).lower().replace("cap_", "").split()
    tap.ok("sys_admin" not in caps and len(caps) < 15, "rlyd.service leaves few capabilities", caps)
    server = rig.servers["rlyd"]
    server.stop()
    plain = server.argv
    server.argv = [
        "setpriv", "--no-new-privs", "--bounding-set=-all," + ",".join(f"+{c}" for c in caps),
        *plain
    ]
    server.start()
    with open(f"/proc/{server.pid}/status") as f:
        tap.like(f.read(), r"NoNewPrivs:\t1", "it runs with the unit's limits")
    tunnel = rig.open(device.url)
    for way, args in (("listening", ("-o", f"Port={rig.ssh_port}")), ("direct", ())):
        session = rig.connect(tunnel, args=args)
        tap.ok(wait(lambda: live(rig).get(tunnel["routes"][0]["listen"], {}).get("way") == way, 5),
               f"{way}: a login")
        pids = processes(monitor_of(rig, tunnel))
        if way == "listening":
            session.stop()
            wait(lambda: not alive(pids), 5)
    server.kill()
    server.start()
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.5, wait(lambda: not alive(pids), 5)), "a session is found again, and ended")
    tap.unlike(log(rig), "RLY443", "the kernel's process events are to be had")
    server.stop()
    server.argv = plain
    server.start()


@test
def starved(rig, device):
    """Out of descriptors: one line, nobody else suffers, and it recovers by itself."""
    rig.expect("RLY407|RLY405|RLY403|RLY420")
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    pids = processes(monitor_of(rig, tunnel))
    pid = rig.servers["rlyd"].pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (fds(pid) + 3 + 64, limits[1]))
    doors = []
    for _ in range(20):
        doors.append(Door(rig))
    tap.ok(wait(lambda: "RLY407" in log(rig), 5), "out of descriptors: the log says so")
    time.sleep(1)
    tap.is_(log(rig).count("RLY407"), 1, "once")
    late = rig.open(device.url)
    came = rig.connect(late, args=("-o", f"Port={rig.ssh_port}"))
    tap.is_(
        rig.get(late)[0], 200,
        "a login through the listening sshd works, and the device is reached")
    rig.rly("close", tunnel["id"])
    tap.ok(within(1.2, wait(lambda: not alive(pids), 5)), "a close still ends its session")
    for door in doors:
        door.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    tap.ok(within(3, wait(lambda: admits(rig), 5, 0.2)),
           "when there are descriptors again all is well")
    tap.ok(wait(lambda: "RLY408" in log(rig), 5), "and the log says that, too")
    tap.ok(within(3, wait(lambda: monitor_of(rig, late), 10, 0.1)),
           "who logged in meanwhile is known")
    pids = processes(monitor_of(rig, late))
    rig.rly("close", late["id"])
    tap.ok(within(1.2, wait(lambda: not alive(pids), 5)), "and ended by a close")
    came.stop()
    session.stop()


@test
def nothing_is_left(rig):
    tap.is_(live(rig), {}, "nothing is left in live:")


tap.run()
