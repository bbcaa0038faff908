# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The field that benches run on: one rig, one fast device, two tunnels to it, and the sides.

fast    the tunnel as this project does it: stock ssh with its bundle to Apache's port, mod_relay
hands the socket to rlyd, sshd -i.
        In a build without rlyd: a listening sshd whose listener got TCP_NODELAY from outside.
stock   the tunnel as the published account has it: Debian's sshd as it comes, a static
authorized_keys, `ssh -N -R`

The sides static and mod_relay use fast, all others stock; each device answers with the same
kilobyte.
"""
import ctypes
import os
import re
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import fronts
from lib import relayrig
from measure import say
from lib.relayrig import Rig, RigError, wait_for
from lib.righttpd import ExtraHttpd, RewriteHttpd
from lib.rigdevice import Session

# The same for every Apache, and as it serves best: one child, over which a tunnel's connections
# cannot be spread by chance, with room for 200 WebSockets; and without mod_status's accounts, for
# which the kernel adds up the CPU time of all of a child's threads twice a request.
MPM = """\
StartServers 1
ServerLimit 8
ThreadLimit 256
ThreadsPerChild 256
MaxRequestWorkers 2048
MinSpareThreads 16
MaxSpareThreads 2048
MaxConnectionsPerChild 0
ExtendedStatus Off
"""
PLAIN = """\
Listen {address}:{port}
<VirtualHost *:{port}>
    ServerName {domain}
    ServerAlias *.{domain}
    ProxyPreserveHost On
    AllowEncodedSlashes NoDecode
    LimitRequestBody 0
    {way}
    CustomLog {dir}/log/plain-access.log relay
</VirtualHost>
"""
LOG = 'LogFormat "%V %h %u %t \\"%r\\" %>s %O %D" relay\n'
# What a static ProxyPass has in place of the module: it tells the device no less of the visitor.
STATIC = """\
ProxyPass / http://{listen}/ nocanon upgrade=websocket
    RequestHeader set X-Forwarded-Proto {scheme}"""
# Debian's sshd_config, less its include and what has to do with terminals.
STOCK_SSHD = """\
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
GatewayPorts clientspecified
"""
PR_SET_MEMORY_MERGE = 67
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438


def set_nodelay(pid, port):
    """TCP_NODELAY on another process's listening socket: what it accepts from then on inherits
    that."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    done = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
                continue
        except FileNotFoundError:
            continue  # closed since
        copy = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(fd), 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        with socket.socket(fileno=copy) as s:
            if s.family in (socket.AF_INET, socket.AF_INET6) and s.getsockname()[1] == port:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                done += 1
    os.close(pidfd)
    if not done:
        raise RigError(f"process {pid} has no socket that listens on port {port}")


def merge_memory():
    """For preexec: what is executed then, and all below it, takes part in samepage merging."""
    ctypes.CDLL(None).prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0)


class Sshd:
    """An sshd of its own: config (without port, host key, pid file), args; preexec runs in it
    before exec."""
    def __init__(self, field, name, config, args=(), preexec=None):
        rig = field.rig
        self.field, self.name, self.port = field, name, field.port()
        self.conf = f"{rig.dir}/etc/sshd-{name}.conf"
        self.log = f"{rig.dir}/log/bench-sshd-{name}.log"
        with open(self.conf, "w") as f:
            f.write(f"Port {self.port}\nListenAddress {rig.address}\nHostKey "
                    f"{rig.dir}/etc/ssh_host_ed25519_key\n"
                    f"PidFile {rig.dir}/run/sshd-{name}.pid\n{config}")
        self.argv = ["/usr/sbin/sshd", "-D", "-f", self.conf, "-E", self.log, *args]
        self.preexec = preexec
        rig.devices.append(self)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.argv,
                                        stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        start_new_session=True,
                                        preexec_fn=self.preexec)
        wait_for(self._answers, f"sshd {self.name}", 10)

    def _answers(self):
        if self.process.poll() is not None:
            raise RigError(f"sshd {self.name} ended at once; see {self.log}")
        try:
            with socket.create_connection((self.field.rig.address, self.port), 2) as s:
                return s.recv(4) == b"SSH-"
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class StockClient:
    """`ssh -N -R` as people type it, with a key in the sshd's authorized_keys."""
    def __init__(self, field, sshd, key, forwards, args=()):
        rig = field.rig
        self.log = f"{rig.dir}/log/bench-ssh-{sshd.name}-{os.path.basename(key)}.log"
        argv = [
            "ssh", "-F", "none", "-N",
            *(args if "-p" in args else ["-p", str(sshd.port), *args]), "-i", key, "-o",
            "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes", "-o",
            f"UserKnownHostsFile={rig.dir}/etc/known_hosts", "-o",
            "StrictHostKeyChecking=accept-new"
        ]
        for listen, target in forwards:
            argv += ["-R", f"{listen}:{target}"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv + [f"relay@{rig.address}"],
                                            stdin=subprocess.DEVNULL,
                                            stdout=log,
                                            stderr=log,
                                            start_new_session=True)
        rig.devices.insert(0, self)
        wanted = {listen for listen, _ in forwards}

        def up():
            if self.process.poll() is not None:
                with open(self.log) as f:
                    raise RigError(f"ssh ended: {f.read()}")
            return wanted <= relayrig.listeners()

        wait_for(up, "the stock tunnel", 20)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Side:
    """One way from a visitor to the device. host: the name to ask for; plain, tls: ports; roots():
    its servers' pids; restart(): starts its front anew, where a bench needs that. peer: one of the
    environment's, see peers.py."""

    peer = False

    def __init__(self, name, host, plain, tls, roots, restart=None):
        self.name, self.host, self.plain, self.tls, self.roots, self.restart = name, host, plain, tls, roots, restart


class Field:
    def __init__(self, httpd_conf="", rig_options=None):
        say("setting up: Redis, sshd, Apache with mod_relay")
        self._ports = []
        self.has_rlyd = shutil.which("rlyd",
                                     path=f"{os.environ['RELAY_ROOT']}/usr/sbin") is not None
        plain = self.port()
        way = "RelayEngine on"
        self.rig = Rig(rlyd=self.has_rlyd or None,
                       **(rig_options or {}),
                       httpd_conf=MPM + LOG + PLAIN.format(address="127.0.0.1",
                                                           port=plain,
                                                           domain=Rig.domain,
                                                           way=way,
                                                           dir="${APACHE_LOG_DIR}/..") + httpd_conf)
        self.plain = plain
        self._ports += [self.rig.http_port, self.rig.https_port, self.rig.ssh_port]
        self.www = f"{self.rig.dir}/device-www"
        os.mkdir(self.www, 0o755)
        self.rig.expect(r".")  # tests judge logs; here a failed request does

    def port(self):
        port = relayrig.free_port(self._ports)
        self._ports.append(port)
        return port

    def close(self):
        self.rig.stop()

    # --- tunnels

    @property
    def handed_off(self):
        return self.has_rlyd

    def way_in(self):
        return "handed from Apache's port to rlyd" if self.handed_off else "a listening sshd with TCP_NODELAY set from outside"

    def open_many(self, url, count):
        """So many tunnels, by as many rly at once as there are cores."""
        def one(n):
            return self.rig.open(url, bundle=False, args=["-o", f"{self.rig.dir}/bundles/many-{n}"])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, range(count)))

    def connect(self, tunnel, args=(), delay=None):
        """A device's session, the fast way. delay: a port to connect to instead, which leads there.
        """
        port = delay or self.ssh_in()
        session = Session(self.rig, tunnel, args=["-p", str(port), *args])
        self.rig.sessions.append(session)
        return session.wait_up()

    def ssh_in(self):
        """The port where devices connect."""
        if self.handed_off:
            return self.rig.https_port
        set_nodelay(self.rig.servers["sshd"].pid, self.rig.ssh_port)
        return self.rig.ssh_port

    def key(self, name):
        path = f"{self.rig.dir}/etc/{name}"
        relayrig.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path],
                     "ssh-keygen")
        return path

    def authorized_keys(self, name, lines):
        path = f"{self.rig.dir}/etc/{name}"
        with open(path, "w") as f:
            f.writelines(line + "\n" for line in lines)
        return path

    def stock_sshd(self):
        key = self.key("stock_key")
        with open(key + ".pub") as f:
            keys = self.authorized_keys("stock_authorized_keys", [f.read().strip()])
        return Sshd(self, "stock", STOCK_SSHD + f"AuthorizedKeysFile {keys}\n"), key

    # --- sides

    def sshd_roots(self):
        return [self.rig.servers[n].pid for n in ("sshd", "rlyd") if n in self.rig.servers]

    def mod_relay(self, tunnel, name="mod_relay"):
        rig = self.rig
        return Side(
            name, rig.host(tunnel), self.plain, rig.https_port,
            lambda: [rig.servers["httpd"].pid, rig.servers["redis"].pid] + self.sshd_roots(),
            rig.servers["httpd"].restart)

    def static(self, tunnel, name="static ProxyPass"):
        rig, listen, plain = self.rig, tunnel["routes"][0]["listen"], self.port()
        conf = MPM + LOG + PLAIN.format(
            address=rig.address,
            domain=rig.domain,
            dir=rig.dir,
            port=plain,
            way=STATIC.format(listen=listen, scheme="http")) + self._static_vhost(listen)
        httpd = ExtraHttpd(
            rig, "static" + str(plain),
            ("proxy", "proxy_http", "proxy_http2", "ssl", "http2", "headers", "rewrite"), conf)
        return Side(name, rig.host(tunnel), plain, httpd.https_port,
                    lambda: [httpd.pid] + self.sshd_roots(), httpd.server.restart)

    def _static_vhost(self, listen):
        """apache-conf's virtual host for HTTPS as the rig uses it, with a ProxyPass in place of the
        module's lines."""
        vhost = "<VirtualHost" + self.rig._vhost().rpartition("<VirtualHost")[2]
        for regex, replacement in ((r"(?<=<VirtualHost \*:)\d+",
                                    "{https_port}"), (r"RelayEngine on$",
                                                      STATIC.format(listen=listen, scheme="https")),
                                   (r"^ *RelaySSH .*\n", ""), (r"^ *LogLevel relay:.*\n", ""),
                                   (r"^ *ProxyPassInterpolateEnv .*\n",
                                    ""), (r"ProxyPassReverse .*$",
                                          "ProxyPassReverse / http://127.0.0.1/"),
                                   (r" env=RELAY_TUNNEL$", ""), (r"^( *Protocols .*) ssh$", r"\1"),
                                   (r"relay-(access|error)\.log", r"static-\1.log")):
            vhost, count = re.subn(regex, replacement, vhost, flags=re.M)
            if not count:
                raise RigError(f"relay-vhost.conf has nothing that matches {regex!r}")
        return vhost

    def published(self, tunnel, sshd, name="published stack"):
        """RewriteMap prg: with [P] over a stock sshd; relayrewrite is the best program of its kind
        that we know."""
        rig, plain = self.rig, self.port()
        # a plain virtual host beside the TLS one: the same text
        with open(rig.installed("/usr/share/mod_relay/apache-conf/relay-rewrite-vhost.conf")) as f:
            vhost = re.search(r"<VirtualHost \*:443>.*?</VirtualHost>", f.read(), re.S)[0]
        vhost = re.sub(r"^ *(SSL(Engine|Cert|Protocol|Cipher|Honor|Session)|Protocols).*\n",
                       "",
                       vhost,
                       flags=re.M)
        vhost = vhost.replace("*:443", f"*:{plain}").replace("relay-access", "plain-access")
        httpd = RewriteHttpd(rig,
                             "published",
                             changes=[(r"\Z", "\n" + self._fill_rewrite(vhost)),
                                      (r"\A", f"{MPM}Listen {rig.address}:{plain}\n")])
        return Side(name, rig.host(tunnel), plain, httpd.https_port,
                    lambda: [httpd.pid, sshd.pid, rig.servers["redis"].pid])

    def _fill_rewrite(self, text):
        rig = self.rig
        text = text.replace(r"relay\.example\.com",
                            rig.domain.replace(".", r"\.")).replace("relay.example.com", rig.domain)
        return re.sub(r"prg:\S+ -c \S+", f"prg:{rig.program('relayrewrite')} -c {rig.conf}", text)

    def nginx(self, port, sshd):
        front = fronts.nginx_peer(self)
        return Side("nginx regex, stock sshd", f"p{port}.{self.rig.domain}", front.plain, front.tls,
                    lambda: [front.pid, sshd.pid])

    def haproxy(self, port, sshd):
        host = f"nas.{self.rig.domain}"
        front = fronts.haproxy_peer(self, {host: port})
        return Side("haproxy map, stock sshd", host, front.plain, front.tls,
                    lambda: [front.pid, sshd.pid])
