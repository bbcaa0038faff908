#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly: the bundle. Whole or absent, never over anything, for its owner alone, and used by stock ssh as it is, from
any path that ssh can take and from a copy. Real sshd and ssh."""
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

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f"{TOP}/t/lib")
from store import Store  # noqa: E402
from tap import ok, is_, like, unlike, done  # noqa: E402

store = Store()
ME = pwd.getpwuid(os.getuid()).pw_name
NASTY = ["with space", "quote\"d", "it's", "back\\slash", "back\\\\\"two", "100%h", "#comment", "dollar$HOME", "~tilde",
         "semi;colon", "ünïcode", "'", "\\", " lead", "%%", "-dash", "trailing "]


FILES = ["config", "id_relay", "id_relay.dropbear", "id_relay.pub", "known_hosts", "relay-tunnel.service", "run"]


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
            f.write(f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {store.hostkey}\nAuthorizedKeysFile {self.keys}\n"
                    "UsePAM no\nPidFile none\nGatewayPorts clientspecified\nPermitRootLogin prohibit-password\n")
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", f"{store.dir}/test_sshd_config", "-E",
                                         f"{store.dir}/sshd.log"])
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", self.port)) and time.monotonic() < deadline:
            time.sleep(0.05)

    def connects(self, argv, listen, **kwargs):
        """Whether `ssh -N` with this command comes up: something listens on the address."""
        ip, port = listen.split(":")
        ssh = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env={"PATH": os.environ["PATH"], "HOME": store.dir}, **kwargs)
        deadline = time.monotonic() + 10
        try:
            while time.monotonic() < deadline and ssh.poll() is None:
                with socket.socket() as s:
                    if s.connect_ex((ip, int(port))) == 0:
                        return True
                time.sleep(0.05)
            ssh.kill()
            self.error = ssh.stderr.read().decode()
            return False
        finally:
            ssh.kill()
            ssh.wait()
            while socket.socket().connect_ex((ip, int(port))) == 0 and time.monotonic() < deadline:
                time.sleep(0.02)

    def permit(self, bundle):
        with open(f"{bundle}/id_relay.pub") as key, open(self.keys, "w") as keys:
            keys.write(key.read())


def test_files():
    os.umask(0)
    t = store.open("80", "-o", "made/")
    os.umask(0o022)
    b = t["bundle"]
    is_(b, f"{store.dir}/made", "a slash at the end is no part of the name")
    is_(sorted(os.listdir(b)), FILES, "its files")
    is_((mode(b), mode(f"{b}/id_relay"), mode(f"{b}/id_relay.dropbear"), mode(f"{b}/run")), ("700", "600", "600", "755"),
        "modes of folder, private keys and runner, under umask 0")
    for name in ("config", "id_relay.pub", "known_hosts", "relay-tunnel.service"):
        is_(mode(f"{b}/{name}"), "644", f"mode of {name}")
    public = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", f"{b}/id_relay"], capture_output=True, text=True).stdout
    is_(public.split()[:2], open(f"{b}/id_relay.pub").read().split(), "ssh-keygen -y: private and public half match")
    dropbear = subprocess.run(["dropbearkey", "-y", "-f", f"{b}/id_relay.dropbear"], capture_output=True, text=True).stdout
    is_(dropbear.split("\n")[1].split()[:2], public.split()[:2], "dropbearkey -y: it is the same key in dropbear's format")
    with open(f"{TOP}/rly/run.sh") as one, open(f"{b}/run") as other:
        ok(one.read() == other.read(), "run is rly/run.sh, byte for byte")
    is_(open(f"{b}/known_hosts").read(), "relay1 " + " ".join(open(f"{store.hostkey}.pub").read().split()[:2]) + "\n",
        "known_hosts pins the relay's host key under its name")
    config = open(f"{b}/config").read()
    for line in (r"HostKeyAlias relay1", "StrictHostKeyChecking yes", "ExitOnForwardFailure yes", "IdentitiesOnly yes",
                 "ServerAliveInterval 27", "ServerAliveCountMax 2", "Ciphers aes128-gcm@openssh.com,.*", "Port 2222",
                 "User relay", "HostName 127.0.0.1", "IdentityFile id_relay", f'IdentityFile "{b}/id_relay"',
                 f'UserKnownHostsFile "{b}/known_hosts" known_hosts'):
        like(config, f"(?m)^ *{line}$", f"config: {line}")
    like(config, rf"(?m)^# run: tunnel {t['id']} from \d{{10}} to \d{{10}} ask https://{t['routes'][0]['name']}.relay.localhost:8443/$",
         "config: what run goes by")
    unlike(config, "ProxyCommand", "config: no proxy")
    is_(leftovers(), [], "no temporary folder is left")


def test_tls():
    t = store.open("80", "-o", "tls", "--tls")
    config = open(f"{t['bundle']}/config").read()
    for line in ("HostName 127.0.0.1", "Port 8443", "ProxyCommand openssl s_client -quiet -verify_quiet -alpn ssh -servername "
                 "ssh.relay.localhost -connect 127.0.0.1:8443", "HostKeyAlias relay1", "StrictHostKeyChecking yes"):
        like(config, f"(?m)^ *{line}$", f"--tls: config: {line}")
    is_(t["ssh"]["command"], f"ssh -N -F {store.dir}/tls/config relay", "the command is as ever")


def test_published_hostkeys():
    keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000000", "ssh-rsa AAAAB3Nz"]
    store.redis("HSET", "relay:relay:relay1", "v", 1, "hostkeys", "\n".join(keys))
    b = store.open("80", "-o", "published")["bundle"]
    is_(open(f"{b}/known_hosts").read(), "".join(f"relay1 {key}\n" for key in keys), "host keys that rlyd published come first")
    store.redis("DEL", "relay:relay:relay1")
    with open(f"{store.dir}/more.conf", "w") as f:
        f.write(f"HostKey none\nHOSTKEY '{store.hostkey}.pub'\n")
    with open(f"{store.dir}/include.conf", "w") as f:
        f.write(f"Include /nonexistent/*.conf {store.dir}/more.c*f\n")
    conf = store.write_conf("include.relay.conf", rlyd={"sshd-config": f"{store.dir}/include.conf"})
    b = store.open("80", "-o", "included", conf=conf)["bundle"]
    is_(len(open(f"{b}/known_hosts").readlines()), 1, "HostKey is found through Include, and where it names the public half")


def test_no_overwrite():
    os.mkdir(f"{store.dir}/empty")
    os.mkdir(f"{store.dir}/full")
    open(f"{store.dir}/full/id_relay", "w").close()
    open(f"{store.dir}/file", "w").close()
    os.symlink("/nonexistent", f"{store.dir}/dangling")
    os.symlink("empty", f"{store.dir}/link")
    os.mkdir(f"{store.dir}/closed")
    os.chown(f"{store.dir}/closed", 0, 0)
    before, files = store.snapshot(), store.files()
    for what, path, error in (("an empty folder", "empty", "is there already"), ("a bundle", "full", "is there already"),
                              ("a file", "file", "is there already"), ("a dangling link", "dangling", "is there already"),
                              ("a link", "link", "is there already"), ("with a slash", "empty/", "is there already"),
                              (".", ".", "is there already"), ("..", "..", "is there already"), ("/", "/", "is there already"),
                              ("no name", "", "-o"), ("no such parent", "no/such", "No such file"),
                              ("a parent that is a file", "file/x", "Not a directory"),
                              ("a newline", "new\nline", "control characters"), ("a CR", "cr\r", "control characters"),
                              ("a tab", "t\tab", "control characters"), ("an escape", "e\x1b", "control characters"),
                              ("${", "env${HOME}", r"\$\{"), ("no UTF-8", b"lat\xefn", "UTF-8"),
                              ("a name that is too long", "x" * 300, "")):
        result = store.rly("open", "80", "-o", path)
        is_(result.returncode, 1, f"-o {what}: refused")
        like(result.stderr, f"^rly: .*{error}", f"-o {what}: and says why")
        is_((store.snapshot(), store.files()), (before, files), f"-o {what}: before anything is changed")
    is_(leftovers(), [], "no temporary folder is left")


def test_unwritable():
    before = store.snapshot()
    for args in (["-o", f"{store.dir}/closed/x"], []):
        result = store.rly("open", "80", *args, user="nobody", cwd=f"{store.dir}/closed")
        is_(result.returncode, 1, f"a folder that cannot be written {args}: refused")
        like(result.stderr, "^rly: cannot make a bundle in .*closed: Permission denied", "and says why")
        is_(store.snapshot(), before, "before anything is changed")
    os.mkdir(f"{store.dir}/in${{x}}")
    result = store.rly("open", "80", cwd=f"{store.dir}/in${{x}}")
    is_((result.returncode, store.snapshot()), (1, before), "./relay-ID where ssh cannot use the path: refused")


def test_write_fails():
    """A file size limit lets the other files be written, and not the configuration: that is after the tunnel was opened.
    A long path, which is there twice and quoted, makes it the largest of them."""
    size = os.path.getsize(f"{TOP}/rly/run.sh")
    deep = os.path.join(store.dir, *["%" * 200] * (size // 800 + 1))
    os.makedirs(deep)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    count = len(tunnels())
    result = store.rly("open", "-n", "limit", "80", "-o", f"{deep}/limit", preexec_fn=limit)
    is_(result.returncode, 1, "writing fails after the tunnel was opened: exit status 1")
    like(result.stderr, "^rly: cannot write config .*File too large; tunnel [a-z2-7]{16}.* is closed again", "and says so")
    is_(result.stdout, "", "nothing on stdout")
    is_(len(tunnels()), count, "the tunnel is closed again")
    is_(json.loads(store.rly("show", "--json", "limit").stdout)["state"], "closed", "as show says")
    is_(os.listdir(deep), [], "no bundle, and no temporary folder")


def test_race():
    count = len(tunnels())
    running = [subprocess.Popen([store.program, "open", "--json", "80", "-o", "race"], cwd=store.dir, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"RELAY_CONF": store.conf})
               for _ in range(12)]
    results = [(p.communicate(), p.returncode) for p in running]
    done_ = [out for (out, _), status in results if status == 0]
    is_(len(done_), 1, "twelve at once into the same folder: one gets it")
    ok(all(re.match("rly: .*(is there already|File exists)", err) for (_, err), status in results if status),
       "the others are refused", results)
    is_(len(tunnels()), count + 1, "and their tunnels are not left open")
    t = json.loads(done_[0])
    fp = subprocess.run(["ssh-keygen", "-lf", f"{store.dir}/race/id_relay"], capture_output=True, text=True).stdout
    is_(fp.split()[1], t["key"], "the bundle is the winner's own")
    like(open(f"{store.dir}/race/config").read(), f"RemoteForward {t['routes'][0]['listen']} ", "all of it")
    is_(leftovers(), [], "no temporary folder is left")


def test_signal():
    """SIGTERM between opening and writing: rly finishes first, so that nobody is left with half."""
    store.redis("CLIENT", "PAUSE", "600", "WRITE")
    process = subprocess.Popen([store.program, "open", "-n", "signal", "80", "-o", "signal"], cwd=store.dir,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"RELAY_CONF": store.conf})
    deadline = time.monotonic() + 5
    while not leftovers() and time.monotonic() < deadline:
        time.sleep(0.01)
    ok(leftovers(), "rly has begun to make the bundle")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    is_(process.returncode, -signal.SIGTERM, "it ends of the signal")
    is_(json.loads(store.rly("show", "--json", "signal").stdout)["state"], "open", "the tunnel is open")
    is_(sorted(os.listdir(f"{store.dir}/signal")), FILES, "and its bundle is whole")
    is_(leftovers(), [], "no temporary folder is left")


def test_ssh():
    sshd = Sshd()
    conf = store.write_conf("ssh.conf", relay={"ssh": f"127.0.0.1:{sshd.port}", "user": ME})
    os.mkdir(f"{store.dir}/paths")
    for name in NASTY:
        t = store.open("80", "-o", f"./{name}", conf=conf, cwd=f"{store.dir}/paths")
        sshd.permit(t["bundle"])
        # The command is for a shell; through one it goes. exec: what is ended is ssh itself.
        up = sshd.connects(["sh", "-c", "exec " + t["ssh"]["command"]], t["routes"][0]["listen"], cwd="/")
        ok(up, f"stock ssh uses the bundle in `{name}' as it is", None if up else sshd.error)
    bundle, listen = t["bundle"], t["routes"][0]["listen"]
    os.rename(bundle, f"{store.dir}/copy")
    up = sshd.connects(["ssh", "-N", "-F", "config", "relay"], listen, cwd=f"{store.dir}/copy")
    ok(up, "a copy elsewhere works after `cd` into it", None if up else sshd.error)
    with open(f"{store.dir}/copy/known_hosts", "r+") as f:
        text = f.read()
        f.seek(0)
        f.write(re.sub("[A-Za-z0-9+/]{8}$", "AAAAAAAA", text.rstrip("\n")) + "\n")
    ok(not sshd.connects(["ssh", "-N", "-F", "config", "relay"], listen, cwd=f"{store.dir}/copy"),
       "another host key than the pinned one: no connection")
    like(sshd.error, "(?i)host key", "for that reason")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{store.dir}/own"], check=True)
    shutil.copy(f"{store.dir}/own.pub", f"{store.dir}/device.pub")
    t = store.open("-k", "device.pub", "-o", "owned", "80", conf=conf)
    sshd.permit(t["bundle"])
    shutil.copy(f"{store.dir}/own", f"{t['bundle']}/id_relay")
    up = sshd.connects(["ssh", "-N", "-F", f"{t['bundle']}/config", "relay"], t["routes"][0]["listen"], cwd="/")
    ok(up, "-k: with the device's own key in the folder", None if up else sshd.error)
    sshd.process.terminate()
    sshd.process.wait()


for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
done()
