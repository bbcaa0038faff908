# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The published stack: Debian's sshd as it comes, with a static authorized_keys and `ssh -N -R`;
before it Apache with RewriteMap prg: and [P].
"""
import os
import re
import subprocess

from field import MPM, Side
from lib import RigError, listeners, wait_for
from lib.righttpd import RewriteHttpd
from sshd import Sshd

OLD = "published stack"
# Debian's sshd_config, without its Include and the lines for terminals.
STOCK_SSHD = """\
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
GatewayPorts clientspecified
"""


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
            return wanted <= listeners()

        wait_for(up, "the stock tunnel", 20)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def stock_sshd(field):
    key = field.key("stock_key")
    with open(key + ".pub") as f:
        keys = field.authorized_keys("stock_authorized_keys", [f.read().strip()])
    return Sshd(field, "stock", STOCK_SSHD + f"AuthorizedKeysFile {keys}\n"), key


def published(field, tunnel, sshd, name=OLD):
    """Apache over a stock sshd. Its RewriteMap program is relayrewrite, the best of its kind that
    we know."""
    rig, plain = field.rig, field.port()
    # the plain virtual host beside the TLS one has the same text
    with open(rig.installed("/usr/share/mod_relay/apache-conf/relay-rewrite-vhost.conf")) as f:
        vhost = re.search(r"<VirtualHost \*:443>.*?</VirtualHost>", f.read(), re.S)[0]
    vhost = re.sub(r"^ *(SSL(Engine|Cert|Protocol|Cipher|Honor|Session)|Protocols).*\n",
                   "",
                   vhost,
                   flags=re.M)
    vhost = vhost.replace("*:443", f"*:{plain}").replace("relay-access", "plain-access")
    httpd = RewriteHttpd(rig,
                         "published",
                         changes=[(r"\Z", "\n" + _fill_rewrite(rig, vhost)),
                                  (r"\A", f"{MPM}Listen {rig.address}:{plain}\n")])
    return Side(name, rig.host(tunnel), plain, httpd.https_port,
                lambda: [httpd.pid, sshd.pid, rig.servers["redis"].pid])


def _fill_rewrite(rig, text):
    text = text.replace(r"relay\.example\.com",
                        rig.domain.replace(".", r"\.")).replace("relay.example.com", rig.domain)
    return re.sub(r"prg:\S+ -c \S+", f"prg:{rig.program('relayrewrite')} -c {rig.conf}", text)


def three_sides(field, device):
    """The sides of most benches, over two tunnels to one device: static ProxyPass and mod_relay
    share the project's own, the published stack has that of a stock sshd."""
    rig = field.rig
    fast, stock = rig.open(device.url, name="fast"), rig.open(device.url, name="stock")
    field.connect(fast)
    sshd, key = stock_sshd(field)
    StockClient(field, sshd, key, [(stock["routes"][0]["listen"], f"127.0.0.1:{device.port}")])
    return [field.static(fast), field.mod_relay(fast), published(field, stock, sshd)]
