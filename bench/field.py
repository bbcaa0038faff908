# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The field that benches run on: one rig, its tunnels, and the two sides that decide a promise:
mod_relay, and a static ProxyPass in its place. peers/ has the other sides.

These two share one tunnel, as this project makes it: stock ssh with its bundle connects to Apache's
port, mod_relay hands the socket to rlyd, rlyd starts sshd -i. (In a build without rlyd: a listening
sshd whose listener got TCP_NODELAY from outside.)
"""
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

from lib import Rig, RigError, free_port
from lib import run as run_command
from lib.righttpd import ExtraHttpd
from lib.rigdevice import Session
from measure import say
from sshd import set_nodelay

OURS, STATIC = "mod_relay", "static ProxyPass"
# Every Apache has the same set-up, in which it serves best. It has one child, so that chance cannot
# spread a tunnel's connections over several, with room for 200 WebSockets. It does without
# mod_status's accounts: for them the kernel adds up the CPU time of all threads of a child twice a
# request.
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
    AllowEncodedSlashes NoDecode
    LimitRequestBody 0
    {way}
    CustomLog {dir}/log/plain-access.log relay
</VirtualHost>
"""
LOG = 'LogFormat "%V %h %u %t \\"%r\\" %>s %O %D" relay\n'
# A static ProxyPass has these lines in place of the module's. It tells the device no less of the
# visitor.
PROXYPASS = """\
ProxyPreserveHost On
    ProxyPass / http://{listen}/ nocanon upgrade=websocket
    RequestHeader set X-Forwarded-Proto {scheme}"""


class Side:
    """One way from a visitor to the device. host: the name to ask for; plain, tls: ports; roots():
    its servers' pids; restart(): starts its front anew, where a bench needs that; peer: its program
    comes from the environment (peers/named.py)."""

    peer = False

    def __init__(self, name, host, plain, tls, roots, restart=None):
        self.name, self.host, self.plain, self.tls = name, host, plain, tls
        self.roots, self.restart = roots, restart


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
        port = free_port(self._ports)
        self._ports.append(port)
        return port

    def close(self):
        self.rig.stop()

    # --- tunnels

    @property
    def handed_off(self):
        return self.has_rlyd

    def way_in(self):
        return ("handed from Apache's port to rlyd"
                if self.handed_off else "a listening sshd with TCP_NODELAY set from outside")

    def open_many(self, url, count):
        """Opens so many tunnels, with as many rly at once as there are cores."""
        def one(n):
            return self.rig.open(url, bundle=False, args=["-o", f"{self.rig.dir}/bundles/many-{n}"])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, range(count)))

    def connect(self, tunnel, args=(), delay=None):
        """A device's session. delay: the port of a line that leads to the usual one."""
        port = delay or self.ssh_in()
        session = Session(self.rig, tunnel, args=["-p", str(port), *args])
        self.rig.sessions.append(session)
        return session.wait_up()

    def ssh_in(self):
        """@return the port where devices connect"""
        if self.handed_off:
            return self.rig.https_port
        set_nodelay(self.rig.servers["sshd"].pid, self.rig.ssh_port)
        return self.rig.ssh_port

    def key(self, name):
        path = f"{self.rig.dir}/etc/{name}"
        run_command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path],
                    "ssh-keygen")
        return path

    def authorized_keys(self, name, lines):
        path = f"{self.rig.dir}/etc/{name}"
        with open(path, "w") as f:
            f.writelines(line + "\n" for line in lines)
        return path

    def grants(self, name, tunnels):
        """A file with what relay-authkeys would answer for these tunnels' keys."""
        lines = []
        for tunnel in tunnels:
            with open(f"{tunnel['bundle']}/id_relay.pub") as f:
                lines.append(
                    f'restrict,port-forwarding,permitlisten="{tunnel["routes"][0]["listen"]}" '
                    f'{f.read().strip()}')
        return self.authorized_keys(name, lines)

    # --- sides

    def sshd_roots(self):
        return [self.rig.servers[n].pid for n in ("sshd", "rlyd") if n in self.rig.servers]

    def mod_relay(self, tunnel, name=OURS):
        rig = self.rig
        return Side(
            name, rig.host(tunnel), self.plain, rig.https_port,
            lambda: [rig.servers["httpd"].pid, rig.servers["redis"].pid] + self.sshd_roots(),
            rig.servers["httpd"].restart)

    def static(self, tunnel, name=STATIC):
        rig, listen, plain = self.rig, tunnel["routes"][0]["listen"], self.port()
        conf = MPM + LOG + PLAIN.format(
            address=rig.address,
            domain=rig.domain,
            dir=rig.dir,
            port=plain,
            way=PROXYPASS.format(listen=listen, scheme="http")) + self._static_vhost(listen)
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
                                                      PROXYPASS.format(listen=listen,
                                                                       scheme="https")),
                                   (r"^ *RelaySSH .*\n", ""), (r"^ *LogLevel relay:.*\n", ""),
                                   (r"^( *Protocols .*) ssh$",
                                    r"\1"), (r"relay-(access|error)\.log", r"static-\1.log")):
            vhost, count = re.subn(regex, replacement, vhost, flags=re.M)
            if not count:
                raise RigError(f"relay-vhost.conf has nothing that matches {regex!r}")
        return vhost
