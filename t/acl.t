#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Least privilege: each part has a Redis user of its own (librelay/redis-users.conf.in) and a
relay.conf that only it can read. All parts work together so. No user can do more than its part, and
no password is seen where it should not be.
"""
import os
import pwd
import grp
import re
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile

from lib import fixture, keeper, Rig, run, tap, test, wait_for
from lib.store import snapshot

USERS = ("relay-web", "relay-authkeys", "relay-rlyd", "relay-rly", "relay-api")
FLEET = ("relay-replica", "relay-sentinel")  # no parts of a relay's
PASSWORDS = {user: secrets.token_hex(20) for user in USERS + FLEET + ("admin", )}
FILES = {  # user: file, group that may read it
    "relay-web": ("web.conf", "root"), "relay-authkeys": ("authkeys.conf", "relay-authkeys"),
    "relay-rlyd": ("rlyd.conf", "root"), "relay-rly": ("rly.conf", "root"),
    "relay-api": ("api.conf", "root"),
}


class GuardedRig(Rig):
    """A rig whose parts log in to Redis, each as itself; nobody gets in without a password."""
    def __init__(self):
        super().__init__(rlyd=True, start=False)
        with open(self.installed("/usr/share/mod_relay/redis-users.conf")) as f:
            self.users = f.read()
        lines = []
        for line in self.users.splitlines():
            match = re.match(r"user (\S+) ", line)
            lines.append(f"{line} >{PASSWORDS[match.group(1)]}" if match else line)
        self.redis_extra = "\n".join(
            lines) + f"\nuser default off\nuser admin on ~* &* +@all >{PASSWORDS['admin']}\n"
        with open(self.conf) as f:
            plain = f.read()
        for user, (name, group) in FILES.items():
            path = f"{self.dir}/etc/{name}"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o640), "w") as f:
                f.write(
                    plain.replace(f"unix://{self.redis_sock}",
                                  f"unix://{user}:{PASSWORDS[user]}@{self.redis_sock}"))
            os.chown(path, 0, grp.getgrnam(group).gr_gid)
        os.unlink(self.conf)
        self._start_redis()
        for part, user in (("sshd", "relay-authkeys"), ("rlyd", "relay-rlyd"),
                           ("httpd", "relay-web"), (None, "relay-rly")):
            self.conf = f"{self.dir}/etc/{FILES[user][0]}"
            if part:
                getattr(self, f"_start_{part}")()

    def redis_as(self, user, *args):
        """redis-cli with the password on stdin's side of the world: never on a command line."""
        result = run(["redis-cli", "-s", self.redis_sock, "--user", user, *map(str, args)],
                     env=dict(os.environ, REDISCLI_AUTH=PASSWORDS.get(user, "wrong")),
                     check=False)
        return (result.stdout + result.stderr).strip()

    def redis(self, *args):
        return self.redis_as("admin", *args)


@fixture
def rig():
    rig = GuardedRig()
    yield rig
    rig.ends_cleanly()


@test(gives="tunnel")
def works(rig):
    """The whole way: open, log in by both doors, requests, close, an expiry."""
    rig.expect(r"Failed publickey")
    rig.expect(r"AH00957|AH01114")  # while the short one is not connected
    device = rig.device("guarded")
    tunnel = rig.open(device, name="guarded", device="guarded")
    session = rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "with a user for each part a request reaches its device")
    tap.is_(rig.get("nobody-here")[0], 404, "an unknown name: 404")
    wait_for(lambda: rig.rly("list").stdout.count(" yes ") == 1, "rlyd writes live:, rly reads it",
             5)
    tap.ok(True, "rlyd says who is connected, and rly list shows it")
    rig.rly("extend", "-t", "3h", "guarded")
    tap.like(rig.rly("show", "guarded").stdout, r"(?m)^NAME", "rly show")
    listening = rig.open(device, name="listening")
    rig.connect(listening)
    tap.is_(rig.get(listening)[0], 200, "a second tunnel")
    rig.rly("close", "guarded")
    tap.is_(rig.status_after(tunnel), 410, "closed: 410 at once")
    tap.ok(session.wait_down(), "… and its session ends")
    short = rig.open(device, name="short", ttl="2s")
    tap.is_(rig.get("short")[0], 503, "not connected: 503")
    wait_for(lambda: rig.get("short")[0] == 410, "the expiry is seen", 6)
    wait_for(lambda: "short" not in rig.rly("list").stdout, "rly list", 5)
    wait_for(
        lambda: re.search(rf"(?m)^expire\ntunnel\n{short['id']}$",
                          rig.redis("XRANGE", "relay:events", "-", "+")), "rlyd records the expiry",
        30)
    tap.ok(True, f"the expiry of {short['id']} is recorded by rlyd")
    events = rig.redis("XRANGE", "relay:events", "-", "+")
    for what in ("open", "extend", "close", "up", "down", "expire"):
        tap.like(events, rf"(?m)^what\n{what}$", f"the event `{what}' was written")
    denied = rig.redis("ACL", "LOG")
    tap.is_(denied, "", "Redis had nothing to refuse")
    return listening


def denied(rig, user, *command):
    said = rig.redis_as(user, *command)
    tap.like(said, r"^NOPERM", f"{user} may not: {' '.join(map(str, command))[:70]}")


@test
def limits(rig, tunnel):
    route, key = f"relay:route:{tunnel['routes'][0]['name']}", f"relay:key:{tunnel['key']}"
    record = f"relay:tunnel:{tunnel['id']}"
    before = snapshot(rig.redis)
    tap.like(rig.redis_as("relay-web", "HGETALL", route), "guarded|listening|127",
             "relay-web may read a route")
    tap.like(rig.redis_as("relay-authkeys", "HGETALL", key), tunnel["id"],
             "relay-authkeys may read a grant")
    for user in USERS:
        for command in (("KEYS", "*"), ("SCAN", "0"), ("FLUSHALL", ), ("CONFIG", "GET", "*"),
                        ("ACL", "LIST"), ("SAVE", ), ("SHUTDOWN", "NOSAVE"), ("CLIENT", "LIST"),
                        ("CLIENT", "KILL", "ID", "1"), ("MONITOR", ), ("REPLICAOF", "h", "1"),
                        ("SCRIPT", "FLUSH"), ("GET", "other:key"), ("SET", "other:key", "1"),
                        ("PUBLISH", "c", "m"), ("MODULE", "LIST"), ("DUMP", record),
                        ("RANDOMKEY", ), ("SUBSCRIBE", "other"), ("PSUBSCRIBE", "*")):
            denied(rig, user, *command)
    for user in ("relay-web", "relay-authkeys"):
        for command in (("HSET", route, "listen",
                         "127.0.0.1:22"), ("DEL", route), ("HSET", key, "listen", "127.0.0.1:22"),
                        ("DEL", key), ("SET", "relay:next:relay1",
                                       "0"), ("XADD", "relay:events", "*", "a",
                                              "b"), ("EVAL", "return 1", "0"), ("HGETALL", record),
                        ("ZRANGE", "relay:tunnels", "0", "-1"), ("PEXPIRE", route, "1"),
                        ("HGETALL", "relay:live:relay1"), ("XREAD", "STREAMS", "relay:events",
                                                           "0")):
            denied(rig, user, *command)
    was = "relay:was:listening"
    tap.like(rig.redis_as("admin", "HGETALL", was), "owner", "a chosen name is remembered")
    for user in ("relay-web", "relay-authkeys", "relay-rlyd"):
        for command in (("HGETALL", was), ("HSET", was, "owner", "x"), ("DEL", was), ("PTTL", was),
                        ("PEXPIRE", was, "1")):
            denied(rig, user, *command)
    tap.like(rig.redis_as("relay-rly", "HGETALL", was), "owner", "relay-rly may read that")
    denied(rig, "relay-web", "HGETALL", key)
    denied(rig, "relay-authkeys", "HGETALL", route)
    denied(rig, "relay-authkeys", "CLIENT", "TRACKING", "ON", "BCAST")
    for command in (("HSET", key, "listen", "127.0.0.1:22"), ("HSET", route, "listen",
                                                              "127.0.0.1:22"),
                    ("HSET", record, "state", "open"), ("SET", "relay:slot:relay1:127.0.0.1:1",
                                                        "x"), ("HGETALL", key), ("DEL", route)):
        denied(rig, "relay-rlyd", *command)
    said = rig.redis_as("relay-rlyd", "EVAL",
                        "return redis.call('HSET', ARGV[1], 'listen', '127.0.0.1:22')", "1",
                        "relay:", key)
    tap.like(said,
             "can't access at least one of the keys|ACL failure in script: No permissions|NOPERM",
             "relay-rlyd may not: write a grant from a script")
    said = rig.redis_as("relay-rly", "EVAL", "return redis.call('SET', 'other:key', '1')", "1",
                        "relay:")
    tap.like(said,
             "can't access at least one of the keys|ACL failure in script: No permissions|NOPERM",
             "relay-rly may not: write another's key from a script")
    denied(rig, "relay-rly", "HSET", "relay:relay:relay1", "hostkeys", "x")
    denied(rig, "relay-rly", "HSET", "relay:live:relay1", "x", "y")
    denied(rig, "relay-rly", "SET", "relay:seen:relay1", "1")
    for command in (("HSET", "relay:relay:relay1", "hostkeys", "x"), ("HSET", "relay:live:relay1",
                                                                      "x", "y")):
        denied(rig, "relay-api", *command)
    denied(rig, "relay-api", "ZADD", "relay:relays", "1", "relay9")
    for user in ("relay-web", "relay-authkeys", "relay-rlyd"):
        for command in (("HGETALL", "relay:token:x"), ("HSET", "relay:token:x", "role", "admin"),
                        ("GET", "relay:rate:x"), ("HGETALL", "relay:once:x:y"),
                        ("HGETALL", "relay:code:x"), ("HSET", "relay:device:x", "approved", "on"),
                        ("HSET", "relay:drain:relay1", "draining", "on")):
            denied(rig, user, *command)
    result = run(["redis-cli", "-s", rig.redis_sock, "GET", "x"], check=False)
    tap.like(result.stdout + result.stderr, "NOAUTH", "without a password nobody gets in")
    gone = {
        line
        for line in set(before) ^ set(snapshot(rig.redis))
        if not re.match(r"relay:(live:|seen:|relay:|relays )", line)
    }  # what rlyd writes all the time
    tap.is_(gone, set(), "all that changed nothing")


@test
def as_distributed(rig):
    """redis-users.conf as it is: loads, and lets nobody in."""
    conf = f"{rig.dir}/etc/plain-redis.conf"
    sock = f"{rig.dir}/run/plain.sock"
    with open(conf, "w") as f:
        f.write(f"port 0\nunixsocket {sock}\ndir {rig.dir}/redis\nsave \"\"\nlogfile "
                f"{rig.dir}/log/plain.out\n{rig.users}\n")
    server = subprocess.Popen(["redis-server", conf], stdin=subprocess.DEVNULL)
    try:

        def ask(*args):
            return run(["redis-cli", "-s", sock, *args], check=False).stdout.strip()

        wait_for(lambda: ask("PING") == "PONG", "redis-server with redis-users.conf as it is", 10)
        tap.is_(sorted(ask("ACL", "USERS").split("\n")), sorted(USERS + FLEET + ("default", )),
                "redis-users.conf loads as it is")
        for user in USERS:
            for password in ("", user, "PASSWORD"):
                tap.like(ask("AUTH", user, password), "WRONGPASS",
                         f"{user} cannot log in with `{password}' before it has a password")
    finally:
        server.terminate()
        server.wait()


def readable(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


@test
def passwords(rig):
    """The rig's passwords: not in any command line, environment, log, bundle; and not to be had
    from a process."""
    procs = keeper.descendants([os.getpid()])
    tap.ok(len(procs) > 5, "there are processes to look at", procs)
    found = []
    secret = [p.encode() for p in PASSWORDS.values()]
    for pid in procs:
        for what in ("cmdline", "environ"):
            data = readable(f"/proc/{pid}/{what}")
            found += [f"{pid} {what}: {data[:200]!r}" for s in secret if s in data]
    for top in ("log", "bundles", "www", "run"):
        for directory, _, names in os.walk(f"{rig.dir}/{top}"):
            for name in names:
                path = os.path.join(directory, name)
                if os.path.isfile(path):
                    found += [path for s in secret if s in readable(path)]
    tap.is_(found, [],
            "no password in any process's command line or environment, in any log or bundle")
    wrong = f"{rig.dir}/etc/wrong.conf"
    with open(rig.conf) as f, open(os.open(wrong, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
        out.write(f.read().replace(PASSWORDS["relay-rly"], "not-the-password"))
    result = run([rig.program("rly"), "list"], env=dict(os.environ, RELAY_CONF=wrong), check=False)
    tap.is_(result.returncode, 3, "a wrong password: exit status 3")
    tap.unlike(result.stdout + result.stderr, "not-the-password", "… and it is not repeated")
    rlyd = rig.servers["rlyd"].pid
    nobody = pwd.getpwnam("www-data")
    code = f"import sys; sys.exit(0 if open('/proc/{rlyd}/environ').read() is None else 0)"
    result = run([
        "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
        sys.executable, "-c", code
    ],
                 check=False)
    tap.like(result.stderr, "PermissionError", "www-data cannot look into rlyd")
    for name in ("web.conf", "rlyd.conf", "rly.conf", "authkeys.conf"):
        result = subprocess.run([
            "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
            "cat", f"{rig.dir}/etc/{name}"
        ],
                                capture_output=True)
        tap.is_((result.returncode, result.stdout), (1, b""),
                f"httpd's children cannot read {name}")


def dies(argv, settled, env=None, stdin=subprocess.DEVNULL):
    """Starts a program that may leave core files of any size, waits until it is settled, and ends
    it as a crash would. Whether the kernel has written one."""
    directory = tempfile.mkdtemp(prefix="relay-core-", dir="/run")
    process = subprocess.Popen(
        argv,
        cwd=directory,
        env=env,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, ) * 2))
    try:
        wait_for(lambda: settled(process.pid), f"{argv[0]} is at work", 10)
        os.kill(process.pid, signal.SIGSEGV)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = status
        return os.WCOREDUMP(status), os.listdir(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def talks(pid):
    """It has a connection by now, to Redis that is."""
    return any(
        os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        for fd in os.listdir(f"/proc/{pid}/fd"))


@test
def dumpable(rig):
    """The programs that read a password leave no core file, and cannot be looked into by their own
    user."""
    if not dies(["sleep", "60"], lambda pid: True)[0]:
        tap.skip("no program leaves a core file",
                 "this kernel writes none, wherever it is asked to (core_pattern)")
    relay = pwd.getpwnam("relay-authkeys")
    authkeys, rly = f"{rig.dir}/etc/authkeys.conf", f"{rig.dir}/etc/rly.conf"
    os.chmod(authkeys, 0o640)
    fingerprint = "SHA256:" + "A" * 43
    rig.servers["redis"].signal(signal.SIGSTOP)
    try:
        for name, argv, env in (("rly", [rig.program("rly"), "list"],
                                 dict(os.environ, RELAY_CONF=rly)), ("relay-authkeys", [
                                     rig.program("relay-authkeys"), "-c", authkeys, "relay",
                                     fingerprint, "ssh-ed25519", "AAAA"
                                 ], None)):
            tap.is_(dies(argv, talks, env), (False, []),
                    f"{name}, waiting for Redis, leaves no core file")
    finally:
        rig.servers["redis"].signal(signal.SIGCONT)
    with open(rig.conf) as f:
        text = f.read()
    second = f"{rig.dir}/etc/second.conf"
    with open(os.open(second, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(re.sub(r"rlyd\.(sock|pid)", r"second.\1", text))
    tap.is_(
        dies([rig.program("rlyd"), "-f", "-c", second],
             lambda pid: os.path.exists(f"{rig.dir}/run/second.sock")), (False, []),
        "rlyd leaves no core file")
    process = subprocess.Popen([
        "setpriv", f"--reuid={relay.pw_uid}", f"--regid={relay.pw_gid}", "--clear-groups",
        rig.program("relayrewrite"), "-c", authkeys
    ],
                               stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(b"x\n")
        process.stdin.flush()
        tap.is_(process.stdout.readline(), b"NULL\n", "relayrewrite answers")
        tap.is_(
            os.stat(f"/proc/{process.pid}/environ").st_uid, 0,
            "relayrewrite can leave no core file, nor be looked into by its own user")
    finally:
        process.stdin.close()
        process.wait()
    child = keeper.descendants([rig.servers["httpd"].pid])
    tap.is_({os.stat(f"/proc/{pid}/environ").st_uid
             for pid in child}, {0},
            "nor can httpd's children, where no CoreDumpDirectory says that they shall")


@test
def permissions(rig):
    """A relay.conf with a password in it that everybody can read: each part says so, and works."""
    path = f"{rig.dir}/etc/open.conf"
    with open(rig.conf) as f, open(path, "w") as out:
        out.write(f.read())
    warning = (rf"RLY002 {re.escape(path)}: it has Redis's password in it and every user of this "
               "host can read it")
    programs = {
        "rly": [rig.program("rly"), "list"],
        "rlyd": [rig.program("rlyd"), "-t", "-c", path],
        "relay-authkeys": [
            rig.program("relay-authkeys"), "-c", path, "relay", "SHA256:" + "A" * 43, "ssh-ed25519",
            "AAAA"
        ],
        "relayrewrite": [rig.program("relayrewrite"), "-c", path],
    }
    for mode, expected in ((0o644, True), (0o640, False), (0o600, False)):
        os.chmod(path, mode)
        for name, argv in programs.items():
            result = run(argv, env=dict(os.environ, RELAY_CONF=path), check=False)
            said = re.search(warning, result.stdout + result.stderr) is not None
            tap.is_(
                said, expected,
                f"{name} {'warns' if expected else 'says nothing'} about a relay.conf of mode "
                f"{mode:o}")
            tap.unlike(result.stdout + result.stderr, PASSWORDS["relay-rly"],
                       f"{name} does not show the password")
    os.chmod(path, 0o644)
    conf = f"{rig.dir}/etc/httpd-open.conf"
    with open(f"{rig.dir}/etc/httpd.conf") as f, open(conf, "w") as out:
        out.write(f.read().replace(f"{rig.dir}/etc/web.conf", path))
    server = rig.servers["httpd"]
    argv = [conf if a.endswith("/httpd.conf") else a for a in rig.httpd_argv]
    result = run(argv + ["-t"], env=server.env, check=False)
    tap.like(result.stdout + result.stderr, warning, "apachectl configtest warns, too")
    tap.is_(result.returncode, 0, "… and goes on")
    os.unlink(path)


@test(needs=["tunnel"])
def folder(rig):
    """[redis] passwords: one relay.conf that all may read, and a file for each part that this part
    alone can read."""
    folder, path = f"{rig.dir}/etc/redis.d", f"{rig.dir}/etc/folder.conf"
    os.mkdir(folder)
    for user in USERS:
        name = f"{folder}/{user.removeprefix('relay-')}"
        with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o640), "w") as f:
            f.write(PASSWORDS[user] + "\n")
        os.chown(name, 0, grp.getgrnam(FILES[user][1]).gr_gid)
    with open(rig.conf) as f, open(path, "w") as out:
        out.write(re.sub(r"unix://[^@]*@(.*)", rf"unix://\1\npasswords = {folder}", f.read()))
    relay = pwd.getpwnam("relay-authkeys")
    as_relay = ["setpriv", f"--reuid={relay.pw_uid}", f"--regid={relay.pw_gid}", "--clear-groups"]
    rly = [rig.program("rly"), "list"]
    authkeys = [
        rig.program("relay-authkeys"), "-c", path, "relay", "SHA256:" + "A" * 43, "ssh-ed25519",
        "AAAA"
    ]
    rewrite = [rig.program("relayrewrite"), "-c", path, "-s", "http"]

    def said(argv, text=""):
        result = run(argv,
                     input=text,
                     env=dict(os.environ, RELAY_CONF=path),
                     timeout=20,
                     check=False)
        return f"{result.returncode} {result.stdout}{result.stderr}"

    tap.like(said(rly), r"^0 ID", "rly logs in with its file")
    tap.like(said(as_relay + authkeys), r"^0 (\S+ RLY220\D.* its parent is no sshd)?$",
             "relay-authkeys with its own, as its user")
    tap.like(
        said(as_relay + rly),
        rf"^1 rly: {re.escape(path)}: \[redis\] passwords: {folder}/rly: cannot be read: "
        r"Permission denied", "… which cannot read rly's")
    tap.is_(said([rig.program("rlyd"), "-t", "-c", path]).split()[0], "0", "rlyd -t reads its own")
    tap.like(said(rewrite, "listening.relay.localhost\n"), r"^0 127\.",
             "relayrewrite logs in with Apache's")
    os.chmod(f"{folder}/rly", 0o644)
    tap.like(
        said(rly),
        rf"RLY002 {folder}/rly: it has Redis's password in it and every user of this host can "
        r"read it", "a file that all can read is warned of")
    with open(f"{folder}/rly", "w") as f:
        f.write("not-the-password\n")
    wrong = said(rly)
    tap.like(
        wrong, r"(?s)^3 .*user or password is wrong, in \[redis\] url or in the file of \[redis\] "
        r"passwords", "a wrong password: what to look at")
    tap.unlike(wrong, "not-the-password", "… and it is not repeated")
    os.unlink(f"{folder}/rly")
    tap.like(said(rly),
             r"^1 .*/rly: cannot be read: No such file or directory. relay-redis-setup makes",
             "no file: what makes it")


@test
def still_works(rig, tunnel):
    tap.is_(rig.get(tunnel)[0], 200, "after all that the tunnel still works")


tap.run()
