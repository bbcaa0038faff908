#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly: the bundle. Whole or absent, never over anything, for its owner alone, and used by stock ssh
as it is, from any path that ssh can take and from a copy. Real sshd and ssh."""
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

from lib import run, sockdiag, Store, tap, test, TOP
from lib.tap import is_, like, ok, unlike

store = Store()
ME = pwd.getpwuid(os.getuid()).pw_name
NASTY = [
    "with space", "quote\"d", "it's", "back\\slash", "back\\\\\"two", "100%h", "#comment",
    "dollar$HOME", "~tilde", "semi;colon", "ünïcode", "'", "\\", " lead", "%%", "-dash", "trailing "
]

FILES = [
    "config", "id_relay", "id_relay.dropbear", "id_relay.pub", "known_hosts",
    "relay-tunnel.service", "run"
]


def mode(path):
    return f"{os.stat(path).st_mode & 0o7777:o}"


def tunnels():
    return json.loads(store.rly("list", "--json").stdout)["tunnels"]


def leftovers(where=None):
    return [name for name in os.listdir(where or store.dir) if name.startswith(".relay-")]


class Sshd:
    """A real sshd that takes the keys of bundles; what keys may do is not this test's matter."""
    def __init__(self):
        os.makedirs("/run/sshd", exist_ok=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.keys = f"{store.dir}/authorized_keys"
        open(self.keys, "w").close()
        with open(f"{store.dir}/test_sshd_config", "w") as f:
            f.write(f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey "
                    f"{store.hostkey}\nAuthorizedKeysFile {self.keys}\n"
                    "UsePAM no\nPidFile none\nGatewayPorts clientspecified\nPermitRootLogin "
                    "prohibit-password\n")
        self.process = subprocess.Popen([
            "/usr/sbin/sshd", "-D", "-f", f"{store.dir}/test_sshd_config", "-E",
            f"{store.dir}/sshd.log"
        ])
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", self.port)) and time.monotonic() < deadline:
            time.sleep(0.05)

    def connects(self, argv, listen, **kwargs):
        """Says whether `ssh -N` with this command comes up: something listens on the address. It is
        looked at and not connected to: ssh would complain of the service that is not there."""
        def listens():
            return any(f"{ip}:{port}" == listen for ip, port, _ in sockdiag.listening())

        ssh = subprocess.Popen(argv,
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE,
                               env={"PATH": os.environ["PATH"], "HOME": store.dir},
                               **kwargs)
        deadline = time.monotonic() + 10
        try:
            while time.monotonic() < deadline and ssh.poll() is None:
                if listens():
                    return True
                time.sleep(0.05)
            return False
        finally:
            ssh.kill()
            self.error = ssh.communicate()[1].decode()
            while listens() and time.monotonic() < deadline:
                time.sleep(0.02)

    def permit(self, bundle):
        with open(f"{bundle}/id_relay.pub") as key, open(self.keys, "w") as keys:
            keys.write(key.read())


@test
def files():
    os.umask(0)
    t = store.open("80", "-o", "made/")
    os.umask(0o022)
    b = t["bundle"]
    is_(b, f"{store.dir}/made", "a slash at the end is no part of the name")
    is_(sorted(os.listdir(b)), FILES, "its files")
    is_((mode(b), mode(f"{b}/id_relay"), mode(f"{b}/id_relay.dropbear"), mode(f"{b}/run")),
        ("700", "600", "600", "755"), "modes of folder, private keys and runner, under umask 0")
    for name in ("config", "id_relay.pub", "known_hosts", "relay-tunnel.service"):
        is_(mode(f"{b}/{name}"), "644", f"mode of {name}")
    public = run(["ssh-keygen", "-y", "-P", "", "-f", f"{b}/id_relay"], check=False).stdout
    is_(public.split()[:2],
        open(f"{b}/id_relay.pub").read().split(), "ssh-keygen -y: private and public half match")
    dropbear = run(["dropbearkey", "-y", "-f", f"{b}/id_relay.dropbear"], check=False).stdout
    is_(
        dropbear.split("\n")[1].split()[:2],
        public.split()[:2], "dropbearkey -y: it is the same key in dropbear's format")
    with open(f"{TOP}/rly/run.sh") as one, open(f"{b}/run") as other:
        ok(one.read() == other.read(), "run is rly/run.sh, byte for byte")
    is_(
        open(f"{b}/known_hosts").read(),
        "relay1 " + " ".join(open(f"{store.hostkey}.pub").read().split()[:2]) + "\n",
        "known_hosts pins the relay's host key under its name")
    config = open(f"{b}/config").read()
    for line in (r"HostKeyAlias relay1", "StrictHostKeyChecking yes", "ExitOnForwardFailure yes",
                 "IdentitiesOnly yes", "ServerAliveInterval 27", "ServerAliveCountMax 2",
                 "Ciphers aes128-gcm@openssh.com,.*", "Port 2222", "User relay",
                 "HostName 127.0.0.1", f"# run: serves {t['routes'][0]['url']}"):
        like(config, f"(?m)^ *{line}$", f"config: {line}")
    like(
        config, rf"(?m)^# run: tunnel {t['id']} from \d{{10}} to \d{{10}} ask "
        rf"https://{t['routes'][0]['name']}.relay.localhost:8443/$", "config: what run goes by")
    here = f"exec \"grep -qs {t['id']} '{b}/config'\""
    like(
        config, f'(?m)^Match originalhost relay {here}\n    IdentityFile "{b}/id_relay"\n    '
        f'UserKnownHostsFile "{b}/known_hosts"\n'
        f"Match originalhost relay !{here}\n    IdentityFile id_relay\n    UserKnownHostsFile "
        "known_hosts\n$", "config: its files, here or in a copy")
    unlike(config, "ProxyCommand", "config: no proxy")
    is_(leftovers(), [], "no temporary folder is left")


@test
def tls():
    t = store.open("80", "-o", "tls", "--tls")
    config = open(f"{t['bundle']}/config").read()
    for line in ("HostName 127.0.0.1", "Port 8443",
                 "ProxyCommand openssl s_client -quiet -verify_quiet -alpn ssh -servername "
                 "ssh.relay.localhost -connect 127.0.0.1:8443", "HostKeyAlias relay1",
                 "StrictHostKeyChecking yes"):
        like(config, f"(?m)^ *{line}$", f"--tls: config: {line}")
    is_(t["ssh"]["command"], f"ssh -N -F {store.dir}/tls/config relay", "the command is as ever")


@test
def published_hostkeys():
    keys = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000000",
        "ssh-rsa AAAAB3Nz"
    ]
    store.redis("HSET", "relay:relay:relay1", "v", 1, "hostkeys", "\n".join(keys))
    b = store.open("80", "-o", "published")["bundle"]
    is_(
        open(f"{b}/known_hosts").read(), "".join(f"relay1 {key}\n" for key in keys),
        "host keys that rlyd published come first")
    store.redis("DEL", "relay:relay:relay1")
    with open(f"{store.dir}/more.conf", "w") as f:
        f.write(f"HostKey none\nHOSTKEY '{store.hostkey}.pub'\n")
    with open(f"{store.dir}/include.conf", "w") as f:
        f.write(f"Include /nonexistent/*.conf {store.dir}/more.c*f\n")
    conf = store.write_conf("include.relay.conf", rlyd={"sshd-config": f"{store.dir}/include.conf"})
    b = store.open("80", "-o", "included", conf=conf)["bundle"]
    is_(len(open(f"{b}/known_hosts").readlines()), 1,
        "HostKey is found through Include, and where it names the public half")


@test
def no_overwrite():
    os.mkdir(f"{store.dir}/empty")
    os.mkdir(f"{store.dir}/full")
    open(f"{store.dir}/full/id_relay", "w").close()
    open(f"{store.dir}/file", "w").close()
    os.symlink("/nonexistent", f"{store.dir}/dangling")
    os.symlink("empty", f"{store.dir}/link")
    os.mkdir(f"{store.dir}/closed")
    os.chown(f"{store.dir}/closed", 0, 0)
    before, files = store.snapshot(), store.files()
    for what, path, error in (("an empty folder", "empty",
                               "is there already"), ("a bundle", "full", "is there already"),
                              ("a file", "file",
                               "is there already"), ("a dangling link", "dangling",
                                                     "is there already"), ("a link", "link",
                                                                           "is there already"),
                              ("with a slash", "empty/", "is there already"), (".", ".",
                                                                               "is there already"),
                              ("..", "..", "is there already"), ("/", "/", "is there already"),
                              ("no name", "", "-o"), ("no such parent", "no/such", "No such file"),
                              ("a parent that is a file", "file/x",
                               "Not a directory"), ("a newline", "new\nline",
                                                    "control characters"), ("a CR", "cr\r",
                                                                            "control characters"),
                              ("a tab", "t\tab", "control characters"), ("an escape", "e\x1b",
                                                                         "control characters"),
                              ("${", "env${HOME}", r"\$\{"), ("no UTF-8", b"lat\xefn",
                                                              "UTF-8"), ("a name that is too long",
                                                                         "x" * 300, "")):
        result = store.rly("open", "80", "-o", path)
        is_(result.returncode, 1, f"-o {what}: refused")
        like(result.stderr, f"^rly: .*{error}", f"-o {what}: and says why")
        is_((store.snapshot(), store.files()), (before, files),
            f"-o {what}: before anything is changed")
    is_(leftovers(), [], "no temporary folder is left")


@test(needs=["no_overwrite"])
def unwritable():
    before = store.snapshot()
    for args in (["-o", f"{store.dir}/closed/x"], []):
        result = store.rly("open", "80", *args, user="nobody", cwd=f"{store.dir}/closed")
        is_(result.returncode, 1, f"a folder that cannot be written {args}: refused")
        like(result.stderr, "^rly: cannot make a bundle in .*closed: Permission denied",
             "and says why")
        is_(store.snapshot(), before, "before anything is changed")
    os.mkdir(f"{store.dir}/in${{x}}")
    result = store.rly("open", "80", cwd=f"{store.dir}/in${{x}}")
    is_((result.returncode, store.snapshot()), (1, before),
        "./relay-ID where ssh cannot use the path: refused")


NOBODY = pwd.getpwnam("nobody")


def own(path, who=NOBODY, mode=0o755):
    os.chown(path, who.pw_uid, who.pw_gid)
    os.chmod(path, mode)


def link(target, path, who):
    os.symlink(target, path)
    os.lchown(path, who.pw_uid, who.pw_gid)


@test(needs=["no_overwrite"])
def links():
    """On the way to the folder only links are followed that nobody but root (or who runs rly) can
    have made."""
    root = pwd.getpwuid(0)
    top, real = f"{store.dir}/ways", f"{store.dir}/ways/real"
    for name, who, mode_ in (("", root, 0o755), ("real", root, 0o700), ("bob", NOBODY, 0o755),
                             ("sticky", root, 0o1777), ("shared", root, 0o777),
                             ("group", root, 0o775), ("bob-sticky", NOBODY, 0o1777)):
        os.mkdir(f"{top}/{name}")
        own(f"{top}/{name}", who, mode_)
    for folder in ("", "bob", "sticky", "shared", "group", "bob-sticky"):
        for who in (root, NOBODY):
            link(real, f"{top}/{folder}/{who.pw_name}", who)
            link("../real" if folder else "real", f"{top}/{folder}/{who.pw_name}-relative", who)
    link(f"{top}/bob/nobody", f"{top}/chain", root)
    link("loop", f"{top}/loop", root)
    os.mkdir(f"{top}/bob/own")
    own(f"{top}/bob/own")
    good = 0
    for way in ("root", "root-relative", "sticky/root", "sticky/root-relative", "bob/../root",
                "real/../root", "bob/own/../../root", "./root//."):
        t = store.open("80", "-o", f"{top}/{way}/b{good}")
        is_(t["bundle"], f"{real}/b{good}",
            f"-o in {way}, a link of root's: followed, and named as it really is")
        good += 1
    for cwd, where in ((f"{top}/root", "c1"), (f"{top}/bob", "../root/c2")):
        is_(
            store.open("80", "-o", where, cwd=cwd)["bundle"], f"{real}/{os.path.basename(where)}",
            f"-o {where}: the same")
    made, before = sorted(os.listdir(real)), store.snapshot()
    for way in ("nobody", "nobody-relative", "bob/nobody", "bob/nobody-relative", "bob/root",
                "bob/root-relative", "sticky/nobody", "sticky/nobody-relative", "shared/root",
                "shared/nobody", "group/root", "bob-sticky/root", "bob-sticky/nobody", "chain",
                "bob/own/../nobody"):
        result = store.rly("open", "80", "-o", f"{top}/{way}/b")
        is_(result.returncode, 1, f"-o in {way}, a link that others can change: refused")
        like(
            result.stderr,
            f"^rly: cannot make a bundle in {top}/{way}: {top}/.*is a symbolic link that others "
            "than root and you can "
            "change; name the folder that it leads to", "and says which, and what to do")
    result = store.rly("open", "80", "-o", f"{top}/loop/b")
    like(result.stderr, "^rly: cannot make a bundle in .*/loop: Too many levels of symbolic links",
         "-o in a loop: refused")
    is_((sorted(os.listdir(real)), store.snapshot()), (made, before),
        "nothing was made, neither there nor in Redis")
    result = store.rly("open", "80", "-o", f"{top}/bob/nobody-relative/b", user="nobody", cwd="/")
    like(result.stderr, "Permission denied",
         "nobody's own link: nobody may follow it, as far as his rights go")
    os.mkfifo(f"{top}/bob/fifo")
    os.link(f"{store.dir}/file", f"{top}/bob/hardlink")
    for name in ("fifo", "hardlink", "nobody", "own", "own/", "nobody/"):
        result = store.rly("open", "80", "-o", f"{top}/bob/{name}")
        like(result.stderr, "^rly: .* is there already", f"-o where there is a {name}: refused")


# As nobody, in a folder of his own: whatever rly makes there is swapped at once for what the first
# argument says.
SWAPPER = """
import os, sys
how, base, victim = sys.argv[1:4]
os.setgroups([]); os.setgid(65534); os.setuid(65534); os.chdir(base)
n = 0
print('ready', flush=True)
while True:
    for name in os.listdir('parent'):
        if not name.startswith('.relay-') or os.path.islink('parent/' + name):
            continue
        n += 1
        try:
            if how == 'parent':
                os.rename('parent', f'moved{n}'); os.symlink(victim, 'parent')
                os.unlink('parent'); os.rename(f'moved{n}', 'parent')
                continue
            os.rename('parent/' + name, f'parent/moved{n}')
            if how == 'link':
                os.symlink(victim, 'parent/' + name)
            elif how == 'own':
                os.mkdir('parent/' + name, 0o777)
            elif how == 'old':
                os.rename('parent/old', 'parent/' + name)
            elif how == 'back':
                os.symlink(victim, 'parent/' + name)
                os.unlink('parent/' + name)
                os.rename(f'parent/moved{n}', 'parent/' + name)
        except OSError:
            pass
"""


def contents(folder):
    """Every file below a folder, with what it holds."""
    return {
        os.path.join(d, f): open(os.path.join(d, f), "rb").read()
        for d, _, names in os.walk(folder) for f in names
    }


def swapped(how, rounds=12):
    base, victim = f"{store.dir}/swap-{how}", f"{store.dir}/victim-{how}"
    os.mkdir(victim, 0o700)
    for path in (base, f"{base}/parent"):
        os.mkdir(path)
        own(path)
    old = store.open("80", "-o", f"{base}/parent/old")["bundle"] if how == "old" else None
    before = contents(old) if old else None
    swapper = subprocess.Popen([sys.executable, "-c", SWAPPER, how, base, victim],
                               stdout=subprocess.PIPE)
    swapper.stdout.readline()
    touched = os.stat(victim).st_ctime_ns
    # Every other time with a pause after mkdirat(), so that the swap falls between that and the
    # opening, too.
    results = [
        store.rly("open", "80", "-o", f"{base}/parent/b{i}", slow=i % 2) for i in range(rounds)
    ]
    swapper.kill()
    swapper.wait()
    is_((os.listdir(victim), os.stat(victim).st_ctime_ns), ([], touched),
        f"{how}: root has written nothing into a folder that only root may enter, not even for a "
        "moment")
    ok(all(r.returncode in (0, 1) for r in results), f"{how}: rly has succeeded or refused",
       results)
    refused = [r for r in results if r.returncode]
    ok(
        all(
            re.match(
                "rly: cannot (make|write) .*(somebody moves things|No such file|is there "
                "already|a symbolic link|File exists|"
                "Not a directory|Permission)", r.stderr)
            for r in refused), f"{how}: and said why", refused)
    if how in ("link", "own", "gone", "old"):
        late = sum("is closed again" in r.stderr for r in results[1::2])
        ok(late <= rounds / 4, f"{how}: what was swapped at once was not written into", results)
    theirs = [
        d for d, _, names in os.walk(base) for f in names
        if "id_relay" in f and os.stat(d).st_uid != os.getuid()
    ]
    is_(theirs, [], f"{how}: no private key lies in a folder that is another's")
    keys = [(d, mode(d)) for d, _, names in os.walk(base) if "id_relay" in names]
    ok(all(m == "700" for _, m in keys), f"{how}: those that were written are for their owner only",
       keys)
    if old:
        kept = next(d for d in (f"{base}/parent/{n}" for n in os.listdir(f"{base}/parent"))
                    if os.path.isdir(d) and "config" in os.listdir(d) and
                    open(f"{d}/config", "rb").read() == before[f"{old}/config"])
        is_({os.path.basename(f): data
             for f, data in contents(kept).items()},
            {os.path.basename(f): data
             for f, data in before.items()},
            f"{how}: an older bundle that was put in its place is as it was")
    return len(refused)


@test
def swapped_links():
    if os.getuid() != 0:
        return
    hits = sum(swapped(how) for how in ("link", "own", "gone", "old", "back", "parent"))
    ok(hits >= 6, "the swapper was quick enough to be noticed", hits)


@test
def swapped_while_open():
    """Between the first half and the second, while Redis is asked: the same, but for certain."""
    for how in ("link", "own", "parent"):
        base, victim = f"{store.dir}/held-{how}", f"{store.dir}/held-victim-{how}"
        os.mkdir(victim, 0o700)
        for path in (base, f"{base}/parent"):
            os.mkdir(path)
            own(path)
        count = len(tunnels())
        store.redis("CLIENT", "PAUSE", "500", "WRITE")
        process = subprocess.Popen([store.program, "open", "80", "-o", f"{base}/parent/b"],
                                   cwd=store.dir,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE,
                                   text=True,
                                   env={"RELAY_CONF": store.conf})
        deadline = time.monotonic() + 5
        while not leftovers(f"{base}/parent") and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.1)
        name = leftovers(f"{base}/parent")[0]
        if how == "parent":
            os.rename(f"{base}/parent", f"{base}/moved")
            os.symlink(victim, f"{base}/parent")
        else:
            os.rename(f"{base}/parent/{name}", f"{base}/parent/moved")
            if how == "link":
                os.symlink(victim, f"{base}/parent/{name}")
            else:
                os.mkdir(f"{base}/parent/{name}")
        _, err = process.communicate()
        is_(os.listdir(victim), [],
            f"{how} swapped while Redis was asked: nothing is written elsewhere")
        if how == "parent":
            is_(sorted(os.listdir(f"{base}/moved/b")), FILES,
                "the bundle is in the folder that was meant")
            continue
        is_(process.returncode, 1, "refused")
        like(
            err,
            "^rly: cannot make a bundle in .*somebody moves things.*choose one that is yours.*is "
            "closed again", "and says why")
        is_((len(tunnels()), os.listdir(f"{base}/parent/moved")), (count, []),
            "the tunnel is closed again, and its files are removed")
        like(" ".join(os.listdir(f"{base}/parent")), re.escape(name), "what is another's stays")


@test
def write_fails():
    """A file size limit lets the other files be written, and not the configuration: that is after
    the tunnel was opened. A long path, which is there twice and quoted, makes it the largest of
    them."""
    size = os.path.getsize(f"{TOP}/rly/run.sh")
    deep = os.path.join(store.dir, *["%" * 200] * (size // 800 + 1))
    os.makedirs(deep)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    count = len(tunnels())
    result = store.rly("open", "-n", "limit", "80", "-o", f"{deep}/limit", preexec_fn=limit)
    is_(result.returncode, 1, "writing fails after the tunnel was opened: exit status 1")
    like(result.stderr,
         "^rly: cannot write config .*File too large; tunnel [a-z2-7]{16}.* is closed again",
         "and says so")
    is_(result.stdout, "", "nothing on stdout")
    is_(len(tunnels()), count, "the tunnel is closed again")
    is_(json.loads(store.rly("show", "--json", "limit").stdout)["state"], "closed", "as show says")
    is_(os.listdir(deep), [], "no bundle, and no temporary folder")


@test
def race():
    count = len(tunnels())
    running = [
        subprocess.Popen([store.program, "open", "--json", "80", "-o", "race"],
                         cwd=store.dir,
                         text=True,
                         stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE,
                         env={"RELAY_CONF": store.conf}) for _ in range(12)
    ]
    results = [(p.communicate(), p.returncode) for p in running]
    done_ = [out for (out, _), status in results if status == 0]
    is_(len(done_), 1, "twelve at once into the same folder: one gets it")
    ok(
        all(
            re.match("rly: .*(is there already|File exists)", err) for (_, err), status in results
            if status), "the others are refused", results)
    is_(len(tunnels()), count + 1, "and their tunnels are not left open")
    t = json.loads(done_[0])
    fp = run(["ssh-keygen", "-lf", f"{store.dir}/race/id_relay"], check=False).stdout
    is_(fp.split()[1], t["key"], "the bundle is the winner's own")
    like(
        open(f"{store.dir}/race/config").read(), f"RemoteForward {t['routes'][0]['listen']} ",
        "all of it")
    is_(leftovers(), [], "no temporary folder is left")


@test
def interrupted():
    """SIGTERM between opening and writing: rly finishes first, so that nobody is left with half."""
    store.redis("CLIENT", "PAUSE", "600", "WRITE")
    process = subprocess.Popen([store.program, "open", "-n", "signal", "80", "-o", "signal"],
                               cwd=store.dir,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE,
                               env={"RELAY_CONF": store.conf})
    deadline = time.monotonic() + 5
    while not leftovers() and time.monotonic() < deadline:
        time.sleep(0.01)
    ok(leftovers(), "rly has begun to make the bundle")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    is_(process.returncode, -signal.SIGTERM, "it ends of the signal")
    is_(
        json.loads(store.rly("show", "--json", "signal").stdout)["state"], "open",
        "the tunnel is open")
    is_(sorted(os.listdir(f"{store.dir}/signal")), FILES, "and its bundle is whole")
    is_(leftovers(), [], "no temporary folder is left")


def folders(conf):
    """Ways to use a bundle from other folders than its own: what, the tunnel, the current folder,
    its config from there."""
    place = f"{store.dir}/place"
    os.mkdir(place)
    a = store.open("80", "-o", "place/a", conf=conf)
    other = store.open("80", "-o", "place/other", conf=conf)
    yield "from /", a, "/", f"{place}/a/config"
    yield "from the folder above", a, place, "a/config"
    yield "from its own folder", a, f"{place}/a", "config"
    yield "from another bundle's folder", a, f"{place}/other", "../a/config"
    shutil.copytree(f"{place}/a", f"{store.dir}/copy of a")
    yield "a copy, in its folder, while the first is there", a, f"{store.dir}/copy of a", "config"
    os.rename(f"{place}/a", f"{store.dir}/moved")
    yield "moved, in its folder", a, f"{store.dir}/moved", "config"
    os.rename(f"{place}/other", f"{place}/a")
    yield "moved, and another bundle is where it was", a, f"{store.dir}/moved", "config"
    yield "that other, which was moved as well", other, f"{place}/a", "config"


@test
def ssh():
    sshd = Sshd()
    conf = store.write_conf("ssh.conf", relay={"ssh": f"127.0.0.1:{sshd.port}", "user": ME})
    os.mkdir(f"{store.dir}/paths")
    for name in NASTY:
        t = store.open("80", "-o", f"./{name}", conf=conf, cwd=f"{store.dir}/paths")
        sshd.permit(t["bundle"])
        # The command is for a shell; through one it goes. exec: what is ended is ssh itself.
        up = sshd.connects(["sh", "-c", "exec " + t["ssh"]["command"]],
                           t["routes"][0]["listen"],
                           cwd="/")
        ok(up, f"stock ssh uses the bundle in `{name}' as it is", None if up else sshd.error)
        is_(sshd.error, "", f"stock ssh with the bundle in `{name}': and complains of nothing")
        os.rename(t["bundle"], f"{store.dir}/copy-{name}")
        up = sshd.connects(["ssh", "-N", "-F", "config", "relay"],
                           t["routes"][0]["listen"],
                           cwd=f"{store.dir}/copy-{name}")
        is_((up, sshd.error), (True, ""),
            f"and when it was moved from `{name}', after `cd` into it")
    for what, bundle_, cwd, config in folders(conf):
        sshd.permit(f"{cwd}/{os.path.dirname(config)}")
        up = sshd.connects(["ssh", "-N", "-F", config, "relay"],
                           bundle_["routes"][0]["listen"],
                           cwd=cwd)
        is_((up, sshd.error), (True, ""), f"{what}: it connects, and complains of nothing")
    t = store.open("80", "-o", "to-copy", conf=conf)
    bundle, listen = t["bundle"], t["routes"][0]["listen"]
    sshd.permit(bundle)
    os.rename(bundle, f"{store.dir}/copy")
    with open(f"{store.dir}/copy/known_hosts", "r+") as f:
        text = f.read()
        f.seek(0)
        f.write(re.sub("[A-Za-z0-9+/]{8}$", "AAAAAAAA", text.rstrip("\n")) + "\n")
    ok(not sshd.connects(["ssh", "-N", "-F", "config", "relay"], listen, cwd=f"{store.dir}/copy"),
       "another host key than the pinned one: no connection")
    like(sshd.error, "(?i)host key", "for that reason")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{store.dir}/own"])
    shutil.copy(f"{store.dir}/own.pub", f"{store.dir}/device.pub")
    t = store.open("-k", "device.pub", "-o", "owned", "80", conf=conf)
    sshd.permit(t["bundle"])
    shutil.copy(f"{store.dir}/own", f"{t['bundle']}/id_relay")
    up = sshd.connects(["ssh", "-N", "-F", f"{t['bundle']}/config", "relay"],
                       t["routes"][0]["listen"],
                       cwd="/")
    ok(up, "-k: with the device's own key in the folder", None if up else sshd.error)
    sshd.process.terminate()
    sshd.process.wait()


tap.run()
