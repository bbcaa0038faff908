# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A whole relay on loopback: Redis, sshd, Apache httpd (and rlyd) in one scratch directory.

script/demo and the tests in t/ run on it. What it starts is the real thing with the tree's own
configuration: the files of apache-conf/ and sshd-conf/ as `make install` lays them down, with only
paths, ports and the domain replaced (see edit() below). Programs come from an install under the
scratch directory, never from the system's own directories.

    rig = Rig()
    device = rig.device(id="nas")
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    status, headers, body = rig.get(tunnel)
    problems = rig.stop()

Everything ends with stop(), and also when the program dies (keeper.py).

Environment: RELAY_BUILD is the build directory (default: build/ of the checkout); RELAY_ROOT is a
directory that `make install DESTDIR=…` has filled already, so that not each rig does it again;
RELAY_KEEP one that each rig's logs and configuration are copied to at its end.
"""
import atexit
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import time

from . import keeper, riglog, rigpki, tap
from .basics import RigError, TOP, free_port, listeners, run, tail, wait_for
from .rigclient import Client
from .rigdevice import Device, Session
from .server import Server, redis_answers, redis_cli

# AddressSanitizer keeps 256 MB of what was freed, to notice its use: not where what httpd itself
# holds is measured.
ASAN_KEEPS_LITTLE = "quarantine_size_mb=1:thread_local_quarantine_size_kb=16"
MODULES = "/usr/lib/apache2/modules"
MODS_AVAILABLE = "/etc/apache2/mods-available"
APACHE2 = "/usr/sbin/apache2"
# Debian's apache2 package enables these, apart from the MPM; relay.load says what else the module
# needs.
MODS_ENABLED = (
    "access_compat alias auth_basic authn_core authn_file authz_core authz_host authz_user "
    "autoindex "
    "deflate dir env filter mime negotiation reqtimeout setenvif status").split()

HTTPD_CONF = """\
ServerRoot "{dir}"
DefaultRuntimeDir "{dir}/run"
PidFile "{dir}/run/httpd.pid"
ServerName localhost
User www-data
Group www-data
ErrorLog "{dir}/log/httpd-error.log"
LogLevel warn relay:info
LogFormat "%h %l %u %t \\"%r\\" %>s %O" combined
HostnameLookups Off
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
Timeout 300
TypesConfig /etc/mime.types
SSLRandomSeed startup builtin
SSLSessionCache "shmcb:{dir}/run/ssl_scache(512000)"
Listen {address}:{http_port}
Listen {address}:{https_port}
<Directory />
    AllowOverride None
    Require all denied
</Directory>
<Directory {dir}/www>
    Require all granted
</Directory>
"""


def one_child(threads):
    """httpd's directives for one process with so many threads, and room for the next ones in a
    graceful restart."""
    return (f"ServerLimit 4\nStartServers 1\nThreadsPerChild {threads}\nMaxRequestWorkers {threads}"
            f"\nMinSpareThreads 1\nMaxSpareThreads {threads}")


def edit(text, changes, what):
    """Applies (regex, replacement) pairs; one that matches nothing is an error: the drop-in has
    changed."""
    for regex, replacement in changes:
        text, count = re.subn(regex, lambda m, r=replacement: r, text, flags=re.M)
        if not count:
            raise RigError(
                f"{what} has nothing that matches {regex!r}: relayrig.py and the file have "
                "drifted apart")
    return text


class Rig(Client):
    """See the module's text. Parameters:

    listen, cooldown    relay.conf's; the default is a random /22 of the loopback network, so that
                        rigs that run side by side do not meet
    relay_conf          {section: {key: value}} laid over the generated relay.conf; None as value
                        leaves a key out
    mpm                 event, worker or prefork
    vhost, httpd_conf   directives added to the HTTPS vhost and at server level
    redis_conf          lines added to redis.conf
    sshd_conf           lines put at the top of sshd's configuration (sshd keeps the first value it
                        meets)
    http2               False: without mod_http2's protocols
    many                True: with the threads of apache-conf/relay-threads.conf, not Debian's 150
    rlyd                True: run rlyd, with RelaySSH on, and let devices connect to the HTTPS port;
                        the listening sshd is there as well, on ssh_port. "auto": if the build has
                        it
    address             where Apache and sshd listen
    domain              the domain of the names. Applications treat names below .localhost as their
                        own: not where Host, Origin or cookies are judged
    asan                options of AddressSanitizer for httpd, where RELAY_SANITIZER has it there
    say                 a function that is told each step, for people
    """

    domain = "relay.localhost"

    def __init__(self,
                 listen=None,
                 cooldown=None,
                 mpm="event",
                 relay_conf=None,
                 vhost="",
                 httpd_conf="",
                 sshd_conf="",
                 http2=True,
                 rlyd=None,
                 address="127.0.0.1",
                 say=None,
                 start=True,
                 redis_conf="",
                 asan="",
                 many=False,
                 domain=None):
        if os.geteuid() != 0:
            raise RigError("root is needed: sshd starts the processes of other users")
        self.say = say or (lambda text: None)
        self.domain = domain or self.domain
        self.mpm, self.vhost_extra, self.httpd_extra = mpm, vhost, httpd_conf
        self.many = many
        self.redis_extra, self.asan = redis_conf, asan
        self.sshd_extra, self.http2, self.with_rlyd, self.address = sshd_conf, http2, rlyd, address
        self.servers, self.devices, self.sessions, self.opened = {}, [], [], itertools.count(1)
        self.problems = riglog.Expected()
        self.stopped = False
        keeper.keep()
        atexit.register(self.stop)
        # sshd refuses to run an AuthorizedKeysCommand below a directory that others can write to,
        # so not /tmp.
        self.dir = tempfile.mkdtemp(prefix="relay-", dir="/run")
        keeper.remove_at_end(self.dir)
        os.chmod(self.dir, 0o755)
        for name in ("etc", "log", "run", "pki", "bundles", "redis", "www"):
            os.mkdir(f"{self.dir}/{name}", 0o755)
        self.www = f"{self.dir}/www"  # DocumentRoot
        self.redis_sock = f"{self.dir}/run/redis.sock"
        self.conf = f"{self.dir}/etc/relay.conf"
        ports = []
        for _ in range(3):
            ports.append(free_port(ports))
        self.http_port, self.https_port, self.ssh_port = ports
        if listen is None:
            # Ports apart from those of other rigs, too: where there is room they go by the clock.
            port = random.randint(10000, 20000)
            net = f"127.{random.randint(64, 126)}.{random.randrange(0, 256, 4)}.0/22"
            listen = f"{net}:{port}-{port + 39999}"
        self.root = os.environ.get("RELAY_ROOT") or self._install()
        if rlyd == "auto":
            self.with_rlyd = os.path.exists(f"{self.root}/usr/sbin/rlyd")
        self.ca, self.cert, self.key = rigpki.make(f"{self.dir}/pki", self.domain)
        self._write_relay_conf(listen, cooldown, relay_conf or {})
        if start:
            self.start()

    # --- what it is made of

    def _install(self):
        build = os.environ.get("RELAY_BUILD", f"{TOP}/build")
        if not os.path.exists(f"{build}/Makefile"):
            raise RigError(f"{build} holds no build: run script/build first (or set RELAY_BUILD)")
        root = f"{self.dir}/root"
        self.say("installing the build into the scratch directory")
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        run(["make", "-s", "-C", build, "install", f"DESTDIR={root}"], "make install", env=env)
        run(["chmod", "-R", "go-w", root], "chmod")
        return root

    def installed(self, *candidates):
        """The first of these paths, given as of an installed system, that is there."""
        for path in candidates:
            if os.path.exists(self.root + path):
                return self.root + path
        raise RigError(f"none of {', '.join(candidates)} was installed below {self.root}")

    def program(self, name):
        return self.installed(f"/usr/bin/{name}", f"/usr/sbin/{name}", f"/usr/libexec/{name}",
                              f"/usr/libexec/mod_relay/{name}")

    def _write_relay_conf(self, listen, cooldown, changes):
        conf = {
            "relay": {
                "name": "relay1", "domain": self.domain, "ssh":
                f"{self.address}:{self.https_port if self.with_rlyd else self.ssh_port}", "user":
                "relay", "listen": listen, "https-port": self.https_port
            },
            "redis": {"url": f"unix://{self.redis_sock}"},
            "rlyd": {
                "socket": f"{self.dir}/run/rlyd.sock", "pid-file": f"{self.dir}/run/rlyd.pid",
                "sshd-config": f"{self.dir}/etc/sshd_config", "sshd-log":
                f"{self.dir}/log/sshd-i.log"
            },
        }
        if cooldown:
            conf["relay"]["cooldown"] = cooldown
        for section, keys in changes.items():
            conf.setdefault(section, {}).update(keys)
        self.settings = conf
        with open(self.conf, "w") as f:
            for section, keys in conf.items():
                f.write(f"[{section}]\n")
                for key, value in keys.items():
                    if value is not None:
                        f.write(f"{key} = {value}\n")
        os.chmod(self.conf, 0o644)

    def start(self):
        self._start_redis()
        self._start_sshd()
        if self.with_rlyd:
            self._start_rlyd()
        self._start_httpd()

    def _start_redis(self):
        self.say("starting a private Redis")
        conf = f"{self.dir}/etc/redis.conf"
        with open(conf, "w") as f:
            f.write(f"port 0\nunixsocket {self.redis_sock}\nunixsocketperm 777\ndir "
                    f"{self.dir}/redis\nsave \"\"\n"
                    f"appendonly no\nlogfile {self.dir}/log/redis.log\ndaemonize "
                    f"no\n{self.redis_extra}\n")
        self._add("redis", ["/usr/bin/redis-server", conf], lambda: redis_answers(self.redis_sock))

    def _start_sshd(self):
        self.say("starting a private sshd")
        # sshd insists on it; Debian makes it at boot
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
        hostkey = f"{self.dir}/etc/ssh_host_ed25519_key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "relay", "-f", hostkey],
            "ssh-keygen")
        conf = f"{self.dir}/etc/sshd_config"
        self._write_sshd_conf(conf, hostkey)
        self._add("sshd", ["/usr/sbin/sshd", "-D", "-f", conf, "-E", f"{self.dir}/log/sshd.log"],
                  lambda: self._banner().startswith(b"SSH-"))

    def _write_sshd_conf(self, conf, hostkey):
        """sshd-conf/'s file with paths, port and host key replaced."""
        with open(
                self.installed("/etc/relay/sshd_config",
                               "/usr/share/mod_relay/sshd-conf/sshd_config",
                               "/usr/share/mod_relay/sshd_config")) as f:
            text = f.read()
        text = edit(text, [
            (r"^Port \d+$", f"Port {self.ssh_port}\nListenAddress {self.address}"),
            (r"^HostKey .*$", f"HostKey {hostkey}"),
            (r"^AuthorizedKeysCommand .*$",
             f"AuthorizedKeysCommand {self.program('relay-authkeys')} -c {self.conf} %u %f %t %k"),
            (r"^PidFile .*$", f"PidFile {self.dir}/run/sshd.pid"),
        ], "sshd_config")
        # Only where the sshd here knows them.
        text = re.sub(r"(?m)^(Sshd(Session|Auth)Path) .*/(.*)$",
                      lambda m: f"{m[1]} {self.program(m[3])}", text)
        line = f"HostKey {hostkey}\n"
        if text.count(line) > 1:
            text = text.replace(line, "") + line
        with open(conf, "w") as f:
            f.write(f"{self.sshd_extra}\n{text}")

    def _banner(self):
        try:
            with socket.create_connection((self.address, self.ssh_port), 2) as s:
                return s.recv(100)
        except OSError:
            return b""

    def _rlyd_listens(self):
        """The socket's file alone may be the last rlyd's."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(f"{self.dir}/run/rlyd.sock") == 0

    def _start_rlyd(self):
        self.say("starting rlyd")
        self._add("rlyd", [self.program("rlyd"), "-f", "-c", self.conf], self._rlyd_listens)

    def _start_httpd(self):
        self.say(f"starting a private Apache ({self.mpm}) with mod_relay")
        conf = f"{self.dir}/etc/httpd.conf"
        with open(conf, "w") as f:
            f.write(self._httpd_modules())
            f.write(
                HTTPD_CONF.format(dir=self.dir,
                                  address=self.address,
                                  http_port=self.http_port,
                                  https_port=self.https_port))
            if self.many:
                threads = self.installed("/usr/share/mod_relay/apache-conf/relay-threads.conf")
                f.write(f"Include {threads}\n")
            f.write(self.httpd_extra + "\n")
            f.write(self._vhost())
        env = {
            "APACHE_LOG_DIR": f"{self.dir}/log", "APACHE_RUN_DIR": f"{self.dir}/run", "LANG": "C",
            **self._sanitizer()
        }
        self.httpd_argv = [APACHE2, "-d", self.dir, "-f", conf]
        run(self.httpd_argv + ["-t"], "apache2 -t", env=dict(os.environ, **env))
        self._add("httpd", self.httpd_argv + ["-D", "FOREGROUND"], self._https_answers, env)

    def _sanitizer(self):
        """Returns what httpd's environment needs for a mod_relay with sanitizers: their runtime has
        to be loaded first. Nobody looks for leaks in httpd: pools hold what looks lost, and OpenSSL
        leaves things at its end (t/growth.t is for that)."""
        runtime = os.environ.get("RELAY_SANITIZER")
        return {"LD_PRELOAD": runtime, "ASAN_OPTIONS": f"detect_leaks=0:{self.asan}"
                } if runtime else {}

    def _httpd_modules(self):
        """LoadModule lines: Debian's usual modules, and what relay.load's Depends line asks for, as
        a2enmod does; and Debian's configuration of them."""
        lines, seen = [
            f"LoadModule mpm_{self.mpm}_module {MODULES}/mod_mpm_{self.mpm}.so",
            f"Include {MODS_AVAILABLE}/mpm_{self.mpm}.conf"
        ], set()
        configured = []

        def load(name, path):
            if name in seen:
                return
            seen.add(name)
            with open(path) as f:
                text = f.read()
            for depends in re.findall(r"^# Depends: (.*)$", text, re.M):
                for other in depends.split():
                    load(other, f"{MODS_AVAILABLE}/{other}.load")
            lines.extend(re.findall(r"^\s*LoadModule .*$", text, re.M))
            conf = f"{MODS_AVAILABLE}/{name}.conf"
            if os.path.exists(conf):
                configured.append(f"Include {conf}")

        for name in MODS_ENABLED:
            load(name, f"{MODS_AVAILABLE}/{name}.load")
        if not self.http2:
            seen.update(("http2", "proxy_http2"))
        load("relay", self.installed("/usr/share/mod_relay/apache-conf/relay.load"))
        text = "\n".join(lines + configured) + "\n"
        return text.replace(f"{MODULES}/mod_relay.so", f"{self.root}{MODULES}/mod_relay.so")

    def _vhost(self):
        """apache-conf/relay-vhost.conf with ports, domain, certificate and relay.conf replaced."""
        with open(self.installed("/usr/share/mod_relay/apache-conf/relay-vhost.conf")) as f:
            text = f.read()
        text = edit(text, [
            (r"relay\.example\.com", self.domain),
            (r"<VirtualHost \*:80>", f"<VirtualHost *:{self.http_port}>"),
            (r"<VirtualHost \*:443>", f"<VirtualHost *:{self.https_port}>"),
            (r"^ *SSLCertificateFile .*$", f"    SSLCertificateFile {self.cert}"),
            (r"^ *SSLCertificateKeyFile .*$", f"    SSLCertificateKeyFile {self.key}"),
            (r"^ *DocumentRoot .*$", f"    DocumentRoot {self.www}"),
            (r"^RelayConfig .*$", f"RelayConfig {self.conf}"),
        ], "relay-vhost.conf")
        if not self.with_rlyd:
            text = edit(text, [(r"^ *RelaySSH on$", "    RelaySSH off")], "relay-vhost.conf")
        if not self.http2:
            text = edit(text, [(r"^ *Protocols .*$", "    Protocols http/1.1")], "relay-vhost.conf")
        head, end, tail = text.rpartition("</VirtualHost>")
        return f"{head}{self.vhost_extra}\n{end}{tail}"

    def _https_answers(self):
        try:
            with self.tls(self.domain, timeout=2):
                return True
        except (OSError, ssl.SSLError):
            return False

    def _add(self, name, argv, ready, env=None):
        self.servers[name] = Server(self, name, argv, ready, f"{self.dir}/log/{name}.out", env)
        self.servers[name].start()

    # --- what a test does with it

    @property
    def pids(self):
        return {name: server.pid for name, server in self.servers.items() if server.alive()}

    def tail(self, path, lines=30):
        return tail(f"{self.dir}/log", path, lines)

    def rly(self, *args, check=True, stdin=None):
        """Runs rly; check=True makes another exit status than 0 an error."""
        result = run([self.program("rly"), *map(str, args)],
                     input=stdin if stdin is not None else "",
                     cwd=self.dir,
                     env=dict(os.environ, RELAY_CONF=self.conf),
                     check=False)
        if check and result.returncode:
            raise RigError(f"rly {' '.join(map(str, args))}: exit status {result.returncode}\n"
                           f"{result.stdout}{result.stderr}")
        return result

    def redis(self, *args):
        """redis-cli; its output without the last newline."""
        return redis_cli(self.redis_sock, *args)

    def open(self, *services, name=None, ttl=None, device=None, key=None, bundle=True, args=()):
        """rly open --json, with a bundle below rig.dir; returns its JSON."""
        argv = ["open", "--json"]
        for flag, value in (("-n", name), ("-t", ttl), ("-d", device), ("-k", key)):
            if value is not None:
                argv += [flag, str(value)]
        if bundle and key is None:
            argv += ["-o", f"{self.dir}/bundles/{next(self.opened)}"]
        argv += list(args) + [str(getattr(s, "url", s)) for s in services]
        return json.loads(self.rly(*argv).stdout)

    def device(self, id="device", **options):
        """Starts a device's web server (t/lib/device.py); see rigdevice.Device."""
        return self.devices_(id, **options)[0]

    def devices_(self, *ids, **options):
        """Several devices, each with a port of its own, in one process."""
        made = Device.start(self, ids, **options)
        self.devices += made[:1]
        return made

    def connect(self, tunnel, wait=True, **options):
        """Stock ssh with the tunnel's bundle, as a device does it; see rigdevice.Session."""
        session = Session(self, tunnel, **options)
        self.sessions.append(session)
        if wait:
            session.wait_up()
        return session

    def listening(self, tunnel):
        """Says whether sshd listens on all addresses of a tunnel. Looks, and does not connect."""
        return {route["listen"] for route in tunnel["routes"]} <= listeners()

    def graceful(self):
        """apachectl graceful; returns when new children are up."""
        before = set(keeper.descendants([self.servers["httpd"].pid]))
        self.servers["httpd"].signal(signal.SIGUSR1)
        wait_for(
            lambda: set(keeper.descendants([self.servers["httpd"].pid])) - before and self.
            _https_answers(), "httpd's graceful restart", 20)

    # --- the end

    def expect(self, *regexes):
        """Declares lines of servers' logs that would otherwise count as unexpected."""
        self.problems.expect(*regexes)

    def check_logs(self):
        """A TAP check: no server wrote an error or a warning that was not declared."""
        found = self.log_problems()
        tap.ok(not found, "no unexpected error or warning in the servers' logs",
               "\n".join(found[:40]))

    def ends_cleanly(self, name="the rig"):
        """Two TAP checks, that of the logs and that everything ends."""
        self.check_logs()
        tap.is_(self.stop(), [], f"{name} ends cleanly")

    def log_problems(self):
        return self.problems.find(f"{self.dir}/log")

    def stop(self):
        """Ends everything; returns unexpected lines of the logs, and what had to be killed."""
        if self.stopped:
            return []
        self.stopped = True
        problems = []
        for thing in self.sessions + self.devices:
            thing.stop()
        order = [self.servers[n] for n in ("httpd", "rlyd", "sshd", "redis") if n in self.servers]
        below = keeper.descendants([s.pid for s in order if s.process])
        for server in order:
            if not server.stop():
                problems.append(f"{server.name} did not end on SIGTERM")
        deadline = time.monotonic() + 5
        while (left := keeper.kill_all(below, 0)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            problems.append(
                f"a process of the rig was still there at the end: {pid} {command_line(pid)}")
        keeper.kill_all(left)
        problems += self.log_problems()
        keep_dir = os.environ.get("RELAY_KEEP")
        if keep_dir:
            for name in ("log", "etc"):
                shutil.copytree(f"{self.dir}/{name}",
                                os.path.join(keep_dir, os.path.basename(self.dir), name))
        shutil.rmtree(self.dir, ignore_errors=True)
        return problems

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for problem in self.stop():
            sys.stderr.write(f"# {problem}\n")


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "(gone)"
