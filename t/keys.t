#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Invariant 2: a key opens its own door only.

The holder of a valid key tries everything, on the sshd of sshd-conf/ and on an administrators' sshd
with sshd-conf/'s Match block. A refusal is seen in what listens and runs, not in what the client
says.
"""
import http.client
import os
import pwd
import re
import socket
import subprocess
import threading
import time

import paramiko

from lib import edit, fixture, free_port, listeners, Rig, run, Server, tap, test, wait_for
from lib.privatelog import PrivateLog
from lib.sshclients import Attempt, Clients, look, Raw, string, Watch


class Bait:
    """A server on this host that a key must not reach; counts who came."""
    def __init__(self, family, address):
        self.socket = socket.socket(family)
        self.socket.bind(address)
        self.address = self.socket.getsockname()
        self.socket.listen(16)
        self.seen = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            peer, _ = self.socket.accept()
            self.seen += 1
            peer.close()


class Place:
    """Both sshds share it: a relay, a device, baits, and a folder in which whatever ran on the
    relay could leave a file. The tunnel user has a real shell and home here: no refusal must be
    owed to nologin."""
    def __init__(self):
        self.namespace = PrivateLog()
        with open("/etc/passwd") as f:
            self.namespace.replace(
                "/etc/passwd",
                re.sub(r"^(relay:.*):[^:]*:[^:]*$", r"\1:/:/bin/sh", f.read(), flags=re.M))
        self.rig = rig = Rig(start=False)
        self.namespace.collect()
        rig._start_redis()
        rig._start_sshd()
        self.hostkey = f"{rig.dir}/etc/ssh_host_ed25519_key.pub"
        self.device = rig.device("the-device")
        self.witness_dir = f"{rig.dir}/witness"
        os.mkdir(self.witness_dir)
        os.chmod(self.witness_dir, 0o1777)
        self.bait = Bait(socket.AF_INET, ("127.0.0.1", 0))
        self.bait.port = self.bait.address[1]
        self.unix_bait = Bait(socket.AF_UNIX, f"{rig.dir}/bait.sock")
        os.chmod(self.unix_bait.address, 0o777)


class Case:
    """One sshd, one tunnel with its key, and the clients for it."""
    def __init__(self, place, name, server, port):
        self.name, self.server, self.port = name, server, port
        self.rig, self.device, self.hostkey = place.rig, place.device, place.hostkey
        self.bait, self.unix_bait = place.bait, place.unix_bait
        self.witness_dir = place.witness_dir
        self.tunnel = self.rig.open(self.device.url)
        self.listen = self.tunnel["routes"][0]["listen"]
        self.ip, _, number = self.listen.partition(":")
        self.listen_port = int(number)
        self.key = f"{self.tunnel['bundle']}/id_relay"
        self.clients = Clients(self.key, "127.0.0.1", port, self.hostkey)
        self.target = f"127.0.0.1:{self.device.port}"

    def ok(self, condition, name, detail=None):
        tap.ok(condition, f"{self.name}: {name}", detail)

    def quiet(self):
        """Waits until no session is left."""
        wait_for(lambda: not look(self.server.pid)[0] and len(children(self.server.pid)) == 0,
                 "sessions end", 15)

    def refused(self, what, argv, listens=(), settle=True, **kwargs):
        """Runs a client; nothing but `listens` may come to listen, nothing may run, nothing may
        have left a trace. settle: its session is the only one, wait for its end."""
        before, sessions = (self.bait.seen,
                            self.unix_bait.seen), log_of(self.server).count("Starting session:")
        attempt = Attempt(self.server, argv, **kwargs)
        if settle:
            self.quiet()
        left = os.listdir(self.witness_dir)
        for name in left:
            os.unlink(f"{self.witness_dir}/{name}")
        self.ok(
            attempt.listens <= set(listens) and not attempt.programs and not left and
            before == (self.bait.seen, self.unix_bait.seen) and
            sessions == log_of(self.server).count("Starting session:"),
            f"{what}: nothing listens, nothing ran, nobody was reached",
            f"{attempt!r}, left {left}")
        return attempt

    def raw(self):
        return Raw(self.key, "127.0.0.1", self.port)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


def fetch(address):
    """The page of the device behind a listen address, as Apache would fetch it; its id is in it."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/")
    body = connection.getresponse().read().decode()
    connection.close()
    return body


def log_of(server):
    with open(server.log.replace(".out", ".log"), errors="replace") as f:
        return f.read()


# --- sessions that fell silent


class Silent:
    """A session whose client is frozen, and a connection that never says a word: both must end by
    themselves."""
    def __init__(self, case):
        self.case = case
        self.listen = case.listen
        self.mute = socket.create_connection(("127.0.0.1", case.port))
        self.process = subprocess.Popen(
            case.clients.openssh("-N", "-R", f"{self.listen}:{case.target}"))
        wait_for(lambda: self.up(), "the session that will fall silent")
        self.process.send_signal(19)
        self.frozen = time.monotonic()
        self.ended = self.mute_ended = None
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def up(self):
        return self.listen in listeners()

    def _watch(self):
        self.mute.settimeout(70)
        try:
            while self.mute.recv(1000):
                pass
            self.mute_ended = time.monotonic() - self.frozen
        except OSError:
            pass
        while self.up() and time.monotonic() - self.frozen < 70:
            time.sleep(0.2)
        if not self.up():
            self.ended = time.monotonic() - self.frozen

    def check(self):
        self.thread.join()
        self.process.kill()
        self.process.wait()
        self.case.ok(self.ended and self.ended <= 60,
                     "a session whose client fell silent ends within 60 s", self.ended)
        self.case.ok(self.mute_ended and self.mute_ended <= 30,
                     "a connection that never logs in is closed", self.mute_ended)


def administrators_sshd(rig, hostkey):
    """Debian's own sshd_config with sshd-conf/'s Match block dropped in."""
    port = free_port()
    with open(rig.installed("/usr/share/mod_relay/sshd-conf/sshd_config-match")) as f:
        match = edit(f.read(), [
            (r"^ *AuthorizedKeysCommand .*$",
             f"    AuthorizedKeysCommand {rig.program('relay-authkeys')} -c {rig.conf} %u %f %t %k")
        ], "sshd_config-match")
    with open("/usr/share/openssh/sshd_config") as f:
        debian = edit(f.read(), [(r"^Include .*$", f"Include {rig.dir}/etc/match.conf")],
                      "Debian's sshd_config")
    with open(f"{rig.dir}/etc/match.conf", "w") as f:
        f.write(match)
    # Outside of the block, as its remarks say; the tests' devices share an address.
    with open(f"{rig.dir}/etc/sshd_config") as f:
        penalties = re.findall(r"^PerSourcePenalties .*$", f.read(), re.M)
    conf = f"{rig.dir}/etc/sshd_admin_config"
    with open(conf, "w") as f:
        f.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {hostkey[:-4]}\nPidFile none\n"
                f"{penalties[0] if penalties else ''}\n{debian}")
    server, port = another_sshd(rig, "sshd-admin", conf, port)
    server.pam = True
    return server, port


def another_sshd(rig, name, conf, port):
    def ready():
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
            return True
        except ConnectionRefusedError:
            return False

    argv = [
        "/usr/sbin/sshd", "-D", "-f", conf, "-p",
        str(port), "-o", "PidFile=none", "-E", f"{rig.dir}/log/{name}.log"
    ]
    server = Server(rig, name, argv, ready, f"{rig.dir}/log/{name}.out")
    rig.servers[name] = server.start()
    return server, port


@fixture
def place():
    place = Place()
    tap.is_(pwd.getpwnam("relay").pw_shell, "/bin/sh", "(the tunnel user has a shell in this test)")
    yield place
    place.rig.ends_cleanly()


@fixture
def cases(place):
    """Both sshds, each with a tunnel of its own."""
    rig = place.rig
    return [
        Case(place, "sshd_config", rig.servers["sshd"], rig.ssh_port),
        Case(place, "sshd_config-match", *administrators_sshd(rig, place.hostkey))
    ]


def on_each_sshd(function):
    def on_both(cases):
        for case in cases:
            function(case)

    on_both.__name__ = function.__name__
    return on_both


@test(gives="silent")
def falls_silent(place):
    """It takes its minute on an sshd of its own, while the rest goes on."""
    conf = f"{place.rig.dir}/etc/sshd_config"
    return Silent(
        Case(place, "sshd_config", *another_sshd(place.rig, "sshd-silent", conf, free_port())))


# --- what must work


@test
@on_each_sshd
def right(case):
    for name, make in (("OpenSSH", case.clients.openssh), ("dropbear", case.clients.dropbear),
                       ("PuTTY", case.clients.plink)):
        pages = []
        attempt = Attempt(case.server,
                          make("-N", "-R", f"{case.listen}:{case.target}"),
                          seconds=10,
                          until=lambda watch: case.listen in watch.listens and
                          (pages.append(fetch(case.listen)) or True))
        case.ok(pages and "the-device" in pages[0],
                f"{name} listens where the key says, and the device answers", attempt)
        case.ok(attempt.listens == {case.listen}, f"{name}: on that address only", attempt)
        case.quiet()
    raw = case.raw()
    case.ok(
        raw.listen(case.ip, case.listen_port) and look(case.server.pid)[0] == {case.listen},
        "a raw tcpip-forward, too")
    case.ok(not raw.listen(case.ip, case.listen_port),
            "a second time on the same connection: the address is taken")
    case.ok(
        raw.cancel(case.ip, case.listen_port) and not look(case.server.pid)[0],
        "cancel-tcpip-forward ends it")
    case.ok(raw.listen(case.ip, case.listen_port), "and it can listen again")
    raw.close()
    case.quiet()


# --- sessions: shell, exec, subsystems, terminals


@test
@on_each_sshd
def sessions(case):
    touch = f"touch {case.witness_dir}/ran"
    line = (touch + "\n").encode()
    clients = case.clients
    case.refused("a shell", clients.openssh(), stdin=line)
    case.refused("a shell with a terminal", clients.openssh("-tt"), stdin=line)
    case.refused("a command", clients.openssh(command=[touch]))
    case.refused("a command beside a good forward",
                 clients.openssh("-R", f"{case.listen}:{case.target}", command=[touch]),
                 listens=[case.listen],
                 seconds=2)
    case.refused("a subsystem", clients.openssh("-s", command=["sftp"]))
    with open(f"{case.rig.dir}/put", "w") as f:
        f.write(f"put {case.rig.conf} {case.witness_dir}/ran\n")
    options = clients.options()
    case.refused(
        "sftp",
        ["sftp", *options, "-P",
         str(case.port), "-b", f"{case.rig.dir}/put", "relay@127.0.0.1"])
    case.refused("scp", [
        "scp", *options, "-P",
        str(case.port), case.rig.conf, f"relay@127.0.0.1:{case.witness_dir}/ran"
    ])
    case.refused("scp -O", [
        "scp", "-O", *options, "-P",
        str(case.port), case.rig.conf, f"relay@127.0.0.1:{case.witness_dir}/ran"
    ])
    case.refused("dropbear: a command", clients.dropbear(command=[touch]))
    case.refused("dropbear: a shell", clients.dropbear(), stdin=line)
    case.refused("PuTTY: a command", clients.plink(command=[touch]))
    case.refused("environment",
                 clients.openssh("-o", "SetEnv=LD_PRELOAD=/tmp/x LC_ALL=x", command=["env"]))
    with Watch(case.server) as watch:
        raw = case.raw()
        opened = [raw.open("session") for _ in range(30)]
        for channel in [c for c in opened if c]:
            channel.exec_command(touch)
        case.ok(not any(opened), "30 session channels: none opens", opened)
        case.ok(raw.alive(), "and the login stands all the same")
        raw.close()
    case.ok(not watch.programs and not os.listdir(case.witness_dir), "and nothing ran",
            watch.programs)
    master = f"{case.rig.dir}/run/master-{case.port}"
    process = subprocess.Popen(case.clients.openssh("-N", "-M", "-S", master, "-R",
                                                    f"{case.listen}:{case.target}"),
                               stderr=subprocess.DEVNULL)
    wait_for(lambda: case.listen in look(case.server.pid)[0], "the master's forward")
    for i in range(3):
        case.refused(f"a session over a connection that stands ({i + 1})",
                     ["ssh", "-F", "none", "-S", master, "relay@127.0.0.1", touch],
                     listens=[case.listen],
                     settle=False)
    case.refused("a forward added to it: another port", [
        "ssh", "-F", "none", "-S", master, "-O", "forward", "-R",
        f"{case.ip}:{case.listen_port + 1}:{case.target}", "relay@x"
    ],
                 listens=[case.listen],
                 settle=False)
    process.terminate()
    process.wait()
    case.quiet()


# --- listening elsewhere


@test
@on_each_sshd
def addresses(case):
    ip, port = case.ip, case.listen_port
    other = ip.rsplit(".", 1)[0] + "." + str(int(ip.rsplit(".", 1)[1]) ^ 1)
    free = free_port()
    specs = [
        f"{ip}:{port + 1}", f"{ip}:22", f"{ip}:0", f"{other}:{port}", f"{port}",
        f"localhost:{port}", f"127.0.0.1:{port}", f"0.0.0.0:{port}", f"*:{port}", f":{port}",
        f"[::]:{port}", f"[::1]:{port}", f"ip6-localhost:{port}", f"0:{port}", f"{free}", "0",
        f"{socket.gethostname()}:{port}", f"/{case.witness_dir}/sock"
    ]
    for spec in specs:
        attempt = case.refused(f"-R {spec}",
                               case.clients.openssh("-N", "-R", f"{spec}:{case.target}"),
                               seconds=20)
        case.ok(attempt.ended and attempt.status, f"-R {spec}: ssh is told", attempt)
    for spec in (f"{ip}:{port + 1}", f"{port}", f"*:{port}", f":{port}"):
        case.refused(f"dropbear -R {spec}",
                     case.clients.dropbear("-N", "-R", f"{spec}:{case.target}"),
                     seconds=2)
        case.refused(f"PuTTY -R {spec}",
                     case.clients.plink("-N", "-R", f"{spec}:{case.target}"),
                     seconds=2)
    case.refused("-R (SOCKS on the relay)", case.clients.openssh("-N", "-R", f"{ip}:{port + 1}"))
    case.refused("two forwards, one good",
                 case.clients.openssh("-N", "-o", "ExitOnForwardFailure=no", "-R",
                                      f"{case.listen}:{case.target}", "-R",
                                      f"{ip}:{port + 1}:{case.target}"),
                 listens=[case.listen],
                 seconds=2)
    case.quiet()


@test
@on_each_sshd
def raw_addresses(case):
    ip, port = case.ip, case.listen_port
    a, b, c, d = ip.split(".")
    raw = case.raw()
    addresses = [
        "", "*", "0.0.0.0", "::", "::1", "localhost", "LOCALHOST", "ip6-localhost", "127.0.0.1",
        "127.1", "0", "0x7f000001", "2130706433", f"[{ip}]", f"::ffff:{ip}", f" {ip}", f"{ip} ",
        f"{ip}.", f"{a}.{b}.{c}.0{d}", f"0x7f.{b}.{c}.{d}", f"{a}.{b}.{c}.*", f"{a}.{b}.{c}.?",
        f"!{ip}", f"{ip},*", f"{ip}:{port}", f"{ip}\n", f"{ip}%lo", f"{ip}/8", f"{ip}/32",
        "a" * 1024, "a" * 30000, "%s%n%s%n", "*" * 2000,
        socket.gethostname(), "\u00e9", "localhost.", f"{ip}\t*"
    ]
    with Watch(case.server) as watch:
        said = [address for address in addresses if raw.listen(address, port)]
        case.ok(not said,
                f"{len(addresses)} spellings of other addresses in raw tcpip-forward: all refused",
                said)
        ports = [
            0, 1, 22, 80, port - 1, port + 1, port + 65536, 65535, 65536, 2**31 - 1, 2**31,
            2**31 + port, 2**32 - 1
        ]
        said = [(address, number) for number in ports for address in (ip, "", "localhost", "*")
                if raw.listen(address, number)]
        case.ok(not said, f"{len(ports)} other ports: all refused", said)
        case.ok(raw.alive(), "and the login stands")
        case.ok(
            not raw.cancel("0.0.0.0", 22) and not raw.cancel(ip, port) and not raw.cancel("", 0),
            "nothing of others can be cancelled")
    case.ok(not watch.listens, "nothing came to listen at any moment", watch.listens)
    raw.close()
    for name, body in (("a NUL inside", string(f"{ip}\0x") + port.to_bytes(4, "big")),
                       ("half an address", b"\0\0\0\xff127"), ("no body", b"")):
        with Watch(case.server) as watch:
            raw = case.raw()
            try:
                granted = raw.request("tcpip-forward", body)
            except (TimeoutError, EOFError):
                granted = False
            raw.close()
        case.ok(not granted and not watch.listens, f"tcpip-forward with {name}: refused",
                watch.listens)
    case.quiet()


# --- the other kinds of forwarding


def reach(case, what, argv, connect):
    """A client that listens here and forwards into the relay: connects to it, and looks whether the
    bait was reached."""
    def use(_):
        try:
            with socket.create_connection(("127.0.0.1", connect), 1) as s:
                s.settimeout(1)
                s.sendall(b"\x05\x01\x00" if "-D" in argv else b"x")
                if "-D" in argv and s.recv(2) == b"\x05\x00":
                    s.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" +
                              case.bait.port.to_bytes(2, "big"))
                s.recv(10)
        except OSError:
            return False
        time.sleep(0.3)
        return True

    attempt = case.refused(what, argv, seconds=6, until=use)
    case.ok(not attempt.ended, f"{what}: (the login itself stood)", attempt)


@test
@on_each_sshd
def forwardings(case):
    clients = case.clients
    local = free_port()
    reach(case, "-L", clients.openssh("-N", "-L", f"127.0.0.1:{local}:127.0.0.1:{case.bait.port}"),
          local)
    reach(case, "-D", clients.openssh("-N", "-D", f"127.0.0.1:{local}"), local)
    reach(case, "-L to a streamlocal socket",
          clients.openssh("-N", "-L", f"127.0.0.1:{local}:{case.unix_bait.address}"), local)
    reach(case, "dropbear -L",
          clients.dropbear("-N", "-L", f"127.0.0.1:{local}:127.0.0.1:{case.bait.port}"), local)
    case.refused("-W", clients.openssh("-W", f"127.0.0.1:{case.bait.port}"), stdin=b"x")
    case.refused("-J through it", [
        "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o",
        "ProxyCommand=" + " ".join(clients.openssh("-W", f"127.0.0.1:{case.bait.port}")), "x@y"
    ])
    case.refused("-R to a streamlocal socket",
                 clients.openssh("-N", "-R", f"{case.witness_dir}/sock:{case.target}"))
    case.refused("-A",
                 clients.openssh("-A", command=["true"]),
                 env={"SSH_AUTH_SOCK": case.unix_bait.address})
    case.refused("-X", clients.openssh("-X", command=["true"]), env={"DISPLAY": "127.0.0.1:0"})
    case.refused("-Y", clients.openssh("-Y", command=["true"]), env={"DISPLAY": "127.0.0.1:0"})
    case.refused("-w", clients.openssh("-N", "-w", "any:77"))
    case.ok(not [n for n in os.listdir("/sys/class/net") if n in ("tun77", "tap77")],
            "-w: no such interface appears")
    case.quiet()


@test
@on_each_sshd
def raw_channels(case):
    there = string("127.0.0.1") + case.bait.port.to_bytes(
        4, "big") + string("127.0.0.1") + (1).to_bytes(4, "big")
    zero = (0).to_bytes(4, "big")
    kinds = [("session", b""), ("direct-tcpip", there),
             ("direct-streamlocal@openssh.com", string(case.unix_bait.address) + string("") + zero),
             ("tun@openssh.com", (1).to_bytes(4, "big") + (77).to_bytes(4, "big")),
             ("tun@openssh.com", (2).to_bytes(4, "big") + (78).to_bytes(4, "big")),
             ("x11", string("127.0.0.1") + zero), ("auth-agent@openssh.com", b""),
             ("auth-agent", b""), ("forwarded-tcpip", there),
             ("forwarded-streamlocal@openssh.com", string(case.unix_bait.address) + string("")),
             ("dynamic-tcpip", there), ("", b""), ("x" * 5000, b"")]
    seen = (case.bait.seen, case.unix_bait.seen)
    interfaces = set(os.listdir("/sys/class/net"))
    with Watch(case.server) as watch:
        raw = case.raw()
        for kind, body in kinds:
            case.ok(raw.open(kind, body) is None, f"channel {kind[:40] or '(empty)'}: refused")
        case.ok(raw.alive(), "the login stands")
        for name, body in (("streamlocal-forward@openssh.com",
                            string(f"{case.witness_dir}/raw")), ("streamlocal-forward@openssh.com",
                                                                 string("\0abstract")),
                           ("cancel-streamlocal-forward@openssh.com",
                            string(case.unix_bait.address)), ("auth-agent-req@openssh.com", b""),
                           ("x11-req", b"\0" + string("MIT-MAGIC-COOKIE-1") + string("00") + zero),
                           ("keepalive@openssh.com", b""), ("env", string("A") + string("B")),
                           ("shell", b""), ("exec",
                                            string(f"touch {case.witness_dir}/ran")), ("", b"")):
            try:
                granted = raw.request(name, body)
            except TimeoutError:
                granted = False
            case.ok(not granted, f"global request {name or '(empty)'}: refused")
            if not raw.alive():  # sshd hangs up on what it cannot parse: as good
                raw = case.raw()
        raw.close()
    new = {
        n
        for n in set(os.listdir("/sys/class/net")) - interfaces
        if n in ("tun77", "tap77", "tun78", "tap78")
    }
    case.ok(
        not watch.listens and not watch.programs and not new and
        seen == (case.bait.seen, case.unix_bait.seen) and not os.listdir(case.witness_dir) and
        os.path.exists(case.unix_bait.address),
        "nothing listened, nothing ran, nothing was reached", (watch.listens, watch.programs, new))
    case.quiet()


# --- who gets in


@test
@on_each_sshd
def logins(case):
    clients = case.clients

    def shut_out(what, argv, **kwargs):
        accepted = log_of(case.server).count("\nAccepted ")
        attempt = case.refused(what, argv, **kwargs)
        case.ok(attempt.status and log_of(case.server).count("\nAccepted ") == accepted,
                f"{what}: sshd accepts nothing", attempt)

    forward = ("-N", "-R", f"{case.listen}:{case.target}")
    for user in ("root", "relay-authkeys", "www-data", "nobody", "RELAY", "relay ", "relay\\",
                 "-oProxyCommand=x", "no-such-user"):
        shut_out(f"login as {user!r}", [*clients.openssh()[:-1], *forward, "-l", user, "127.0.0.1"])
    stranger = f"{case.rig.dir}/stranger-{case.port}"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger])
    shut_out("a key nobody granted",
             Clients(stranger, "127.0.0.1", case.port, case.hostkey).openssh(*forward))
    run(["ssh-keygen", "-q", "-s", stranger, "-I", "x", "-n", "relay", f"{case.key}.pub"])
    shut_out("the key's certificate by somebody, without the key", [
        *clients.openssh(*forward)[:-1], "-o", f"CertificateFile={case.key}-cert.pub", "-o",
        "PubkeyAcceptedAlgorithms=ssh-ed25519-cert-v01@openssh.com", "relay@127.0.0.1"
    ])
    os.remove(f"{case.key}-cert.pub")
    for what, login in (("a password", lambda t: t.auth_password("relay", "relay")),
                        ("an empty password", lambda t: t.auth_password("relay", "")),
                        ("keyboard-interactive",
                         lambda t: t.auth_interactive("relay", lambda *_: ["relay"])),
                        ("nothing", lambda t: t.auth_none("relay"))):
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", case.port), 10))
        transport.start_client(timeout=20)
        try:
            login(transport)
            allowed = None
        except paramiko.BadAuthenticationType as e:
            allowed = e.allowed_types
        except paramiko.AuthenticationException:
            allowed = "(refused)"
        case.ok(not transport.is_authenticated() and allowed == ["publickey"],
                f"{what}: no login, publickey is all there is", allowed)
        transport.close()
    with Watch(case.server) as watch:
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", case.port), 10))
        transport.start_client(timeout=20)
        transport.authenticated = True  # a client that only says so
        message = paramiko.Message()
        message.add_bytes(b"\x50" + string("tcpip-forward") + b"\x01" + string(case.ip) +
                          case.listen_port.to_bytes(4, "big"))
        transport._send_message(message)
        time.sleep(1)
        transport.close()
    case.ok(not watch.listens, "a forward before any login: nothing listens", watch.listens)
    case.quiet()


@test
@on_each_sshd
def ends(case):
    """A key after close and after expiry; the bundles of both tunnels knew the way in before."""
    for what, end in (("closed", lambda t: case.rig.rly("close", t["id"])),
                      ("expired", lambda t: time.sleep(2.2))):
        tunnel = case.rig.open(case.device.url, ttl="2s" if what == "expired" else None)
        listen = tunnel["routes"][0]["listen"]
        clients = Clients(f"{tunnel['bundle']}/id_relay", "127.0.0.1", case.port, case.hostkey)
        argv = clients.openssh("-N", "-R", f"{listen}:{case.target}")
        attempt = Attempt(case.server, argv, until=lambda watch: listen in watch.listens)
        case.ok(listen in attempt.listens, f"before it was {what} the key listens", attempt)
        end(tunnel)
        case.quiet()
        attempt = case.refused(f"a key whose tunnel was {what}", argv, seconds=20)
        case.ok(attempt.status == 255 and "Permission denied (publickey)" in attempt.output,
                f"{what}: told so", attempt)
    case.rig.servers["redis"].stop()
    case.rig.expect(r"AuthorizedKeysCommand .* failed, status 1")
    attempt = case.refused("Redis is away: nobody gets in",
                           case.clients.openssh("-N", "-R", f"{case.listen}:{case.target}"),
                           seconds=20)
    case.ok("Permission denied" in attempt.output, "Redis away: told so", attempt)
    case.rig.servers["redis"].start()


@test
def silence_ends(silent):
    silent.check()


@test(needs=["ends"])
def reports(place):
    said = [text for _, _, text in place.namespace.lines() if "relay-authkeys" in text]
    tap.ok(said and all("RLY204" in text for text in said),
           "relay-authkeys had nothing to report but that Redis was away", "\n".join(said))


tap.run()
