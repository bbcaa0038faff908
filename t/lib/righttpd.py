# Licensed under the Apache License, Version 2.0; see LICENSE.
"""More Apaches beside a rig's own, on its Redis, sshd and certificates: without mod_relay, for
comparison.

    old = RewriteHttpd(rig)        # relayrewrite with apache-conf/relay-rewrite-vhost.conf
    old.get(tunnel)
"""
import os
import re

from . import relayrig
from .rigclient import Client


class ExtraHttpd(Client):
    """An Apache of its own: name (for logs), modules (Debian's names, with what they depend on),
    conf (the rest, where {http_port} and {https_port} stand for its ports). Ends with the rig."""
    def __init__(self, rig, name, modules, conf, mpm="event", wait=None):
        self.rig, self.name, self.mpm = rig, name, mpm
        self.ca, self.address, self.domain, self.dir = rig.ca, rig.address, rig.domain, rig.dir
        taken = [rig.http_port, rig.https_port, rig.ssh_port]
        self.http_port = relayrig.free_port(taken)
        self.https_port = relayrig.free_port(taken + [self.http_port])
        self.run = f"{rig.dir}/run/{name}"
        os.mkdir(self.run)
        path = f"{rig.dir}/etc/httpd-{name}.conf"
        text = relayrig.HTTPD_CONF.format(dir=rig.dir,
                                          address=rig.address,
                                          http_port=self.http_port,
                                          https_port=self.https_port)
        text = text.replace(f"{rig.dir}/run/",
                            f"{self.run}/").replace(f'DefaultRuntimeDir "{rig.dir}/run"',
                                                    f'DefaultRuntimeDir "{self.run}"')
        text = text.replace("/log/httpd-error.log",
                            f"/log/httpd-{name}-error.log").replace(" relay:info", "")
        with open(path, "w") as f:
            f.write(
                self._load(modules) + text + conf.replace("{http_port}", str(
                    self.http_port)).replace("{https_port}", str(self.https_port)))
        env = {"APACHE_LOG_DIR": f"{rig.dir}/log", "LANG": "C"}
        env.update(APACHE_RUN_DIR=self.run, APACHE_LOCK_DIR=self.run)
        argv = [relayrig.APACHE2, "-d", rig.dir, "-f", path]
        relayrig.run(argv + ["-t"], "apache2 -t", env=dict(os.environ, **env))
        self.server = relayrig.Server(rig, f"httpd-{name}", argv + ["-D", "FOREGROUND"], wait or
                                      self._answers, f"{rig.dir}/log/httpd-{name}.out", env)
        rig.devices.append(self)  # what the rig stops first
        self.server.start()

    def _load(self, modules):
        """As for the rig's own Apache, with Debian's configuration of the modules."""
        lines, seen = [
            f"LoadModule mpm_{self.mpm}_module {relayrig.MODULES}/mod_mpm_{self.mpm}.so",
            f"Include {relayrig.MODS_AVAILABLE}/mpm_{self.mpm}.conf"
        ], set()
        configured = []

        def load(name):
            if name in seen:
                return
            seen.add(name)
            with open(f"{relayrig.MODS_AVAILABLE}/{name}.load") as f:
                text = f.read()
            for depends in re.findall(r"^# Depends: (.*)$", text, re.M):
                for other in depends.split():
                    load(other)
            lines.extend(re.findall(r"^\s*LoadModule .*$", text, re.M))
            conf = f"{relayrig.MODS_AVAILABLE}/{name}.conf"
            if os.path.exists(conf):
                configured.append(f"Include {conf}")

        for name in relayrig.MODS_ENABLED + list(modules):
            load(name)
        return "\n".join(lines + configured) + "\n"

    def _answers(self):
        try:
            with self.tls(self.domain, timeout=2):
                return True
        except OSError:
            return False

    @property
    def pid(self):
        return self.server.pid

    def stop(self):
        self.server.stop()


class RewriteHttpd(ExtraHttpd):
    """The way without the module: relayrewrite and its virtual host. changes: (regex, replacement)
    pairs for it."""

    MODULES = ("rewrite", "proxy", "proxy_http", "proxy_wstunnel", "ssl", "http2", "headers")

    def __init__(self, rig, name="rewrite", changes=(), extra="", mpm="event"):
        with open(rig.installed("/usr/share/mod_relay/apache-conf/relay-rewrite-vhost.conf")) as f:
            text = f.read()
        domain = rig.domain.replace(".", r"\.")
        text = relayrig.edit(text, [
            (r"relay\\\.example\\\.com", domain),
            (r"relay\.example\.com", rig.domain),
            (r"<VirtualHost \*:80>", "<VirtualHost *:{http_port}>"),
            (r"<VirtualHost \*:443>", "<VirtualHost *:{https_port}>"),
            (r"^ *SSLCertificateFile .*$", f"    SSLCertificateFile {rig.cert}"),
            (r"^ *SSLCertificateKeyFile .*$", f"    SSLCertificateKeyFile {rig.key}"),
            (r"^ *DocumentRoot .*$", f"    DocumentRoot {rig.www}"),
            (r"prg:\S+ -c \S+", f"prg:{rig.program('relayrewrite')} -c {rig.conf}"),
            (r"relay-access\.log", f"relay-{name}-access.log"),
            (r"relay-error\.log", f"relay-{name}-error.log"),
            *changes,
        ], "relay-rewrite-vhost.conf")
        head, end, tail = text.rpartition("</VirtualHost>")
        super().__init__(rig, name, self.MODULES, f"{head}{extra}\n{end}{tail}", mpm)
