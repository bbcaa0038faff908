# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Peers that Debian does not package. The environment names their programs: SISH=, FRPS= with
FRPC=, SANDHOLE=. Each is set up as its own documentation advises for this job, with logging to
clients off. Their tunnels go straight to the same device."""
import os
import shutil
import subprocess

from field import Side
from lib import RigError, listeners, wait_for
from measure import say
from peers.published import StockClient

# This is the bundle's order. OpenSSH's own puts chacha20-poly1305 first, which costs more where the
# processor has AES instructions.
CIPHERS = ("aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
           "aes128-ctr,aes256-ctr")


class Server:
    """A peer's server or client process; ends with the rig."""
    def __init__(self, field, name, argv, ports):
        rig = field.rig
        self.name, self.log = name, f"{rig.dir}/log/bench-{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv,
                                            stdin=subprocess.DEVNULL,
                                            stdout=log,
                                            stderr=log,
                                            cwd=rig.dir,
                                            start_new_session=True)
        rig.devices.insert(0, self)

        def up():
            if self.process.poll() is not None:
                with open(self.log, errors="replace") as f:
                    raise RigError(f"{name} ended at once: {f.read()[-2000:]}")
            return {str(p) for p in ports} <= listening_ports()

        wait_for(up, f"{name} did not come up", 20)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def listening_ports():
    """@return the ports of IPv4 and IPv6, as text"""
    found = {a.rpartition(":")[2] for a in listeners()}
    with open("/proc/net/tcp6") as f:
        next(f)
        found |= {
            str(int(line.split()[1].split(":")[1], 16))
            for line in f if line.split()[3] == "0A"
        }
    return found


class SshClient(StockClient):
    """Stock ssh to a peer. A peer has no listen address to wait for: the tunnel is up when the name
    answers."""
    def __init__(self, field, name, port, key, forward):
        rig = field.rig
        self.log = f"{rig.dir}/log/bench-ssh-{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([
                "ssh", "-F", "none", "-N", "-p",
                str(port), "-i", key, "-o", "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-c",
                CIPHERS, "-R", forward, f"relay@{rig.address}"
            ],
                                            stdin=subprocess.DEVNULL,
                                            stdout=log,
                                            stderr=log,
                                            start_new_session=True)
        rig.devices.insert(0, self)


def wait_answer(field, side):
    """Waits until the peer serves the device's page."""
    url = f"http://{side.host}:{side.plain}/"

    def answers():
        return subprocess.run([
            "curl", "-q", "-sf", "--noproxy", "*", "-o", "/dev/null", "--resolve",
            f"{side.host}:{side.plain}:{field.rig.address}", url
        ]).returncode == 0

    wait_for(answers, f"{side.name}: its tunnel", 20, 0.2)
    return side


def directory(field, name, files):
    """Makes files below the rig's directory, {path: text}. @return the directory's path"""
    base = f"{field.rig.dir}/{name}"
    for path, text in files.items():
        full = f"{base}/{path}"
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
        os.chmod(full, 0o600)
    return base


def read(path):
    with open(path) as f:
        return f.read()


def sish(field, device, program):
    rig, ssh, plain, tls = field.rig, field.port(), field.port(), field.port()
    key = field.key("sish_key")
    base = directory(
        field, "sish", {
            f"ssl/{rig.domain}.crt": read(rig.cert), f"ssl/{rig.domain}.key": read(
                rig.key), "pubkeys/key.pub": read(key + ".pub"), "keys/ssh_key":
            read(f"{rig.dir}/etc/ssh_host_ed25519_key")
        })
    server = Server(field, "sish", [
        program, f"--ssh-address={rig.address}:{ssh}", f"--http-address={rig.address}:{plain}",
        "--https=true", f"--https-address={rig.address}:{tls}",
        f"--https-certificate-directory={base}/ssl",
        f"--authentication-keys-directory={base}/pubkeys", f"--private-keys-directory={base}/keys",
        "--bind-random-ports=false", "--bind-random-subdomains=false", "--log-to-client=false",
        "--load-templates=false", "--idle-connection=false", f"--domain={rig.domain}"
    ], (ssh, plain, tls))
    SshClient(field, "sish", ssh, key, f"sish:80:127.0.0.1:{device.port}")
    return wait_answer(field, Side("sish", f"sish.{rig.domain}", plain, tls, lambda: [server.pid]))


def frp(field, device, frps, frpc):
    """frps passes TLS through by its name; frpc's plugin ends it at the device's side."""
    rig, bind, plain, tls = field.rig, field.port(), field.port(), field.port()
    base = directory(
        field, "frp", {
            "frps.toml":
            f'bindAddr = "{rig.address}"\nbindPort = {bind}\nproxyBindAddr = '
            f'"{rig.address}"\nvhostHTTPPort = {plain}\n'
            f'vhostHTTPSPort = {tls}\nsubDomainHost = "{rig.domain}"\ntransport.maxPoolCount = '
            '50\nlog.level = "warn"\n'
            'auth.token = "bench"\n', "frpc.toml":
            f'serverAddr = "{rig.address}"\nserverPort = {bind}\nauth.token = '
            '"bench"\ntransport.poolCount = 16\nlog.level = "warn"\n'
            '[[proxies]]\nname = "plain"\ntype = "http"\nlocalIP = "127.0.0.1"\nlocalPort = '
            f'{device.port}\nsubdomain = "frp"\n'
            '[[proxies]]\nname = "tls"\ntype = "https"\nsubdomain = '
            '"frp"\n[proxies.plugin]\ntype = "https2http"\n'
            f'localAddr = "127.0.0.1:{device.port}"\ncrtPath = "{rig.cert}"\nkeyPath = '
            f'"{rig.key}"\n'
        })
    server = Server(field, "frps", [frps, "-c", f"{base}/frps.toml"], (bind, plain, tls))
    Server(field, "frpc", [frpc, "-c", f"{base}/frpc.toml"], ())
    return wait_answer(field, Side("frp", f"frp.{rig.domain}", plain, tls, lambda: [server.pid]))


def sandhole(field, device, program):
    rig, ssh, plain, tls = field.rig, field.port(), field.port(), field.port()
    key = field.key("sandhole_key")
    base = directory(
        field, "sandhole", {
            "certificates/relay/fullchain.pem": read(rig.cert), "certificates/relay/privkey.pem":
            read(rig.key), "users/relay": read(key + ".pub"), "admins/.keep": "", "server_key":
            read(f"{rig.dir}/etc/ssh_host_ed25519_key")
        })
    os.unlink(f"{base}/admins/.keep")
    server = Server(field, "sandhole", [
        program, f"--domain={rig.domain}", f"--user-keys-directory={base}/users",
        f"--admin-keys-directory={base}/admins", f"--certificates-directory={base}/certificates",
        f"--acme-cache-directory={base}/acme", f"--private-key-file={base}/server_key",
        f"--listen-address={rig.address}", f"--ssh-port={ssh}", f"--http-port={plain}",
        f"--https-port={tls}", "--allow-requested-subdomains", "--disable-http-logs",
        "--disable-tcp-logs"
    ], (ssh, plain, tls))
    SshClient(field, "sandhole", ssh, key, f"sandhole:80:127.0.0.1:{device.port}")
    return wait_answer(field,
                       Side("sandhole", f"sandhole.{rig.domain}", plain, tls, lambda: [server.pid]))


def sides(field, device, result):
    """@return the peers whose programs the environment names. One that does not come up is left
    out, and result says so."""
    found = []
    for name, make, variables in (("sish", sish, ["SISH"]), ("frp", frp, ["FRPS", "FRPC"]),
                                  ("sandhole", sandhole, ["SANDHOLE"])):
        programs = [os.environ.get(v) for v in variables]
        if not any(programs):
            continue
        if not all(p and shutil.which(p) for p in programs):
            raise RigError(
                f"{name}: {' and '.join(variables)} must each name a program that can be run")
        say(f"path: {name} joins")
        try:
            side = make(field, device, *(os.path.abspath(shutil.which(p)) for p in programs))
            side.peer = True
            found.append(side)
        except RigError as e:
            say(f"path: {name} is left out: {e}")
            result.note(f"{name} did not come up: {str(e).splitlines()[0][:200]}")
    return found
