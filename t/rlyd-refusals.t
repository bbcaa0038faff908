#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rlyd's log says why a login came to nothing, and why nobody can log in: sshd's configuration, its
directory, the tunnel user's account.
"""
import os
import re
import signal
import socket
import time

from lib import fixture, keeper, log, read, Rig, run, tap, test, wait, write


def key(rig, name):
    path = f"{rig.dir}/pki/{name}"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path])
    return path


def fingerprint(path):
    return run(["ssh-keygen", "-lf", path]).stdout.split()[1]


def login(rig, identity, user="relay"):
    """An attempt, to its end."""
    return run([
        "ssh", "-N", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i", identity, "-p",
        str(rig.https_port), f"{user}@{rig.address}"
    ],
               timeout=30,
               check=False)


def said_of(rig, what, attempt, regex):
    """Each line about a login that came to nothing says why."""
    before = len(re.findall("RLY411", log(rig)))
    attempt()
    wait(lambda: len(re.findall("RLY411", log(rig))) > before, 10)
    line = re.findall(r"RLY411 .*", log(rig))[before:]
    tap.is_(len(line), 1, f"{what}: one line")
    tap.like("".join(line), regex, f"{what}: it says why")


def give_up(rig):
    with socket.create_connection((rig.address, rig.https_port), 5) as s:
        s.sendall(b"SSH-2.0-nobody\r\n")
        s.recv(100)


def rlyd_t(rig):
    return run([rig.program("rlyd"), "-t", "-c", rig.conf], timeout=60, check=False)


@fixture
def rig():
    rig = Rig(rlyd=True)
    for expected in ("RLY46[356]", "RLY20[456]", "RLY1", "AuthorizedKeysCommand .* failed", "RLY43",
                     "Bad configuration", "not allowed because account is locked",
                     "terminating, . bad configuration options",
                     "error: Could not load host key|no hostkeys"):
        rig.expect(expected)
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device(id="nas")


@fixture
def unknown(rig):
    """A key that no tunnel has."""
    return key(rig, "unknown")


@test(thread="reasons")
def reasons(rig, unknown):
    closed, expired, other, bad, away = (rig.open("8080", ttl=ttl)
                                         for ttl in ("1h", "3s", "1h", "1h", "1h"))
    opened = time.monotonic()
    identity = {t["id"]: f"{t['bundle']}/id_relay" for t in (closed, expired, other, bad, away)}
    fp = re.escape(fingerprint(unknown))
    said_of(
        rig, "a key that no tunnel has", lambda: login(rig, unknown),
        rf"RLY411 no tunnel: login not completed: key {fp} belongs to no tunnel, nor to one that "
        r"ended within a day; peer ")
    rig.rly("close", closed["id"])
    said_of(
        rig, "a closed tunnel", lambda: login(rig, identity[closed["id"]]),
        rf"login not completed: key {re.escape(closed['key'])} is that of tunnel {closed['id']}, "
        r"which was closed; peer ")
    rig.redis("HSET", f"relay:key:{other['key']}", "relay", "relay2")
    said_of(rig, "another relay's", lambda: login(rig, identity[other["id"]]),
            "is that of a tunnel of another relay; peer ")
    rig.redis("HSET", f"relay:key:{bad['key']}", "v", "9")
    said_of(rig, "a record of another version", lambda: login(rig, identity[bad["id"]]),
            "the record of key .* cannot be used; relay-authkeys says more")
    rig.servers["redis"].signal(signal.SIGSTOP)
    try:
        said_of(rig, "Redis does not answer", lambda: login(rig, identity[away["id"]]),
                "relay-authkeys could not ask Redis about key SHA256:")
    finally:
        rig.servers["redis"].signal(signal.SIGCONT)
    rig.redis("HSET", f"relay:gone:{fingerprint(unknown)}", "v", "1", "why", "closed", "tunnel",
              "x why=redis")
    said_of(rig, "a record with words in it", lambda: login(rig, unknown),
            f"key {fp} belongs to no tunnel")
    said_of(
        rig, "another login name", lambda: login(rig, unknown, "daemon"),
        "relay-authkeys was asked about no key: the client left first, or offered none as user "
        "relay; ")
    said_of(
        rig, "a client that gives up", lambda: give_up(rig),
        "relay-authkeys was asked about no key: the client left first, or offered none as user "
        "relay; ")
    time.sleep(max(0, 3.2 - (time.monotonic() - opened)))
    said_of(rig, "an expired tunnel", lambda: login(rig, identity[expired["id"]]),
            f"of tunnel {expired['id']}, which has expired; peer ")
    tap.is_(rig.redis("EXISTS", f"relay:gone:{closed['key']}", f"relay:gone:{away['key']}"), "2",
            "why a key ends is kept beyond its end")
    extended = int(rig.redis("PTTL", f"relay:gone:{away['key']}"))
    rig.rly("extend", "-t", "9h", away["id"])
    tap.between((int(rig.redis("PTTL", f"relay:gone:{away['key']}")) - extended) / 3600000, 7.9,
                8.1, "and for longer when the tunnel is extended")


@test(thread="hang")
def hang(rig):
    """A program that does not end: -t is bounded, and so is the start."""
    hang, conf = f"{rig.dir}/etc/hang", f"{rig.dir}/etc/hang.conf"
    write(hang, "#!/bin/sh\necho thinking >&2\nexec sleep 60\n")
    os.chmod(hang, 0o755)
    write(conf, read(rig.conf).replace("[rlyd]", f"[rlyd]\nsshd = {hang}"))
    start = time.monotonic()
    r = run([rig.program("rlyd"), "-t", "-c", conf], timeout=60, check=False)
    tap.like(r.stderr, "hang -t -f .* does not end: thinking", "-t: an sshd that hangs")
    tap.between(time.monotonic() - start, 9, 15, "-t: ends all the same")


@test
def killed(rig):
    """An sshd that a signal ends."""
    with socket.create_connection((rig.address, rig.https_port), 5) as s:
        s.sendall(b"SSH-2.0-nobody\r\n")
        s.recv(100)
        children = [
            pid for pid, (ppid, _, _) in keeper.process_table().items()
            if ppid == rig.servers["rlyd"].pid
        ]
        os.kill(children[-1], signal.SIGSEGV)
        tap.ok(
            wait(
                lambda: re.search(r"error: RLY466 the sshd for \S+ was ended by signal 11", log(rig)
                                  ), 5) is not None, "an sshd that crashes has a line of its own")


# what is put at the top of sshd's configuration, and what is said of it
MISTAKES = [("a bad keyword", "NoSuchThing yes\n", r"Bad configuration option: NoSuchThing"),
            ("a bad value", "PermitTTY perhaps\n", r"perhaps"),
            ("no such cipher", "Ciphers rot13\n", r"Bad SSH2 cipher spec"),
            ("a command for keys without a user",
             "AuthorizedKeysCommandUser none-such\nMatch all\nAuthorizedKeysCommand relative\n",
             r"AuthorizedKeysCommand")]


@test
def configuration(rig, unknown):
    conf, server = f"{rig.dir}/etc/sshd_config", rig.servers["rlyd"]
    good = read(conf)
    tap.is_((rlyd_t(rig).returncode, rlyd_t(rig).stderr), (0, ""), "-t: all is well")
    for what, line, regex in MISTAKES:
        write(conf, line + good)
        r = rlyd_t(rig)
        tap.is_((r.returncode, r.stdout), (1, ""), f"-t: {what}: exit status 1")
        tap.like(r.stderr,
                 rf"(?m)^rlyd: `/usr/sbin/sshd -t -f {conf}` fails with status \d+: .*{regex}",
                 f"-t: {what}: says what sshd says")
    os.rename(conf, f"{conf}.away")
    tap.like(rlyd_t(rig).stderr, r"sshd_config: No such file", "-t: no configuration")
    write(conf, MISTAKES[0][1] + good)

    def count(how):
        return len(
            re.findall(
                rf"error: RLY463 {how}: no device can log in: .*Bad configuration option: "
                r"NoSuchThing", log(rig)))

    server.restart()
    tap.ok(wait(lambda: count("started") == 1, 5) is not None, "at start the log says so")
    server.signal(signal.SIGHUP)
    tap.ok(wait(lambda: count("reloaded") == 1, 5) is not None, "after a reload, too")
    for _ in range(3):
        login(rig, unknown)
    tap.ok(
        wait(lambda: count("an sshd has ended with an error"), 5) is not None,
        "an sshd that ends at once is looked into")
    time.sleep(0.5)
    tap.is_(count("an sshd has ended with an error"), 1, "but not for each connection")
    write(conf, good)
    before = log(rig).count("RLY463")
    server.signal(signal.SIGHUP)
    time.sleep(0.5)
    tap.is_(log(rig).count("RLY463"), before, "mended: nothing is said")
    tap.is_([pid for pid in keeper.descendants([server.pid])], [], "no process is left")


def in_namespace(rig, *commands):
    """Starts rlyd with mounts of its own."""
    server = rig.servers["rlyd"]
    server.stop()
    plain = server.argv
    server.argv = [
        "unshare", "-m", "--propagation", "private", "/bin/sh", "-ec",
        "; ".join(commands) + '; exec "$@"', "sh", *plain
    ]
    server.start()
    return plain


@test
def directory(rig, device):
    """Debian's ssh.service takes /run/sshd with it when it is stopped."""
    tunnel = rig.open(device.url)
    server, keep = rig.servers["rlyd"], f"{rig.dir}/etc/keep"
    os.mkdir(keep)
    # In that namespace /run has nothing but this rig and its programs, so no sshd.
    folders = [path for path in (rig.dir, rig.root) if path.startswith("/run/")]
    plain = in_namespace(
        rig, "mount --rbind /run /mnt", "mount -t tmpfs -o mode=755 none /run",
        *(f"mkdir -p {path}; mount --bind /mnt/{path.removeprefix('/run/')} {path}"
          for path in folders))
    root = f"/proc/{server.pid}/root"
    tap.ok(
        wait(lambda: os.path.isdir(f"{root}/run/sshd"), 5) is not None,
        "/run/sshd is not there when rlyd starts: it makes it")
    tap.is_((os.stat(f"{root}/run/sshd").st_mode & 0o7777, os.stat(f"{root}/run/sshd").st_uid),
            (0o755, 0), "root's, 0755")
    time.sleep(1)  # the test at start is over, which would make it, too
    os.rmdir(f"{root}/run/sshd")
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "/run/sshd goes while rlyd runs: a device can log in")
    rig.rly("close", tunnel["id"])
    server.stop()
    server.argv = plain
    server.start()


@test
def locked(rig, device):
    shadow, server = f"{rig.dir}/etc/shadow", rig.servers["rlyd"]
    text = read("/etc/shadow")
    write(shadow, re.sub(r"(?m)^relay:[^:]*:", "relay:!:", text))
    os.chmod(shadow, 0o600)
    plain = in_namespace(rig, f"mount --bind {shadow} /etc/shadow")
    tap.ok(
        wait(
            lambda: re.search(r"error: RLY465 user relay is locked .*: usermod -p '\*' relay",
                              log(rig)), 5) is not None, "a locked tunnel user: said at start")
    tunnel = rig.open(device.url)
    said_of(rig, "a locked tunnel user", lambda: login(rig, f"{tunnel['bundle']}/id_relay"),
            "login not completed: user relay is locked ")
    r = run(
        ["nsenter", "-t",
         str(server.pid), "-m", "-r",
         rig.program("rlyd"), "-t", "-c", rig.conf],
        check=False)
    tap.is_(r.returncode, 1, "a locked tunnel user: -t: exit status 1")
    tap.like(r.stderr, "^rlyd: user relay is locked", "a locked tunnel user: -t says so")
    server.stop()
    server.argv = plain
    server.start()


tap.run()
