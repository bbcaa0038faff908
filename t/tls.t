#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""SSH inside TLS on the HTTPS port: bundles of `rly open --tls` with OpenSSH's and dropbear's
client, by ALPN and by name alone, through a network that inspects TLS (a proxy that ends it and
starts its own), beside HTTPS on the same port; how many are let in, and how it ends: tunnel closed,
Apache restarted, rlyd away.
"""
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time

from lib import fixture, keeper, listeners, log, Rig, rigpki, run, tap, test, wait_for
from lib.box import Box
from lib.tap import between, is_, like, ok, unlike
from lib.trap import Listener

MAX = 3


def proxy_command(rig):
    return ("openssl s_client -quiet -verify_quiet -alpn ssh "
            f"-servername ssh.{rig.domain} -connect 127.0.0.1:{rig.https_port}")


def tls_open(rig, device, **options):
    return rig.open(device.url, args=["--tls"], **options)


def answers(rig, device, tunnel):
    return rig.get(tunnel)[2].decode().strip() == device.id


def change(tunnel, old, new):
    with open(f"{tunnel['bundle']}/config", "r+") as f:
        text = f.read()
        assert old in text, text
        f.seek(0)
        f.write(text.replace(old, new))
        f.truncate()
    return tunnel


@fixture
def rig():
    rig = Rig(
        rlyd=True,
        vhost=f"    RelaySSHTLSMax {MAX}",
        httpd_conf=
        "ServerLimit 2\nStartServers 1\nThreadsPerChild 25\nMaxRequestWorkers 25\nMinSpareThreads "
        "1\nMaxSpareThreads 75")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("the-device")


@test
def openssh(rig, device):
    t = tls_open(rig, device)
    s = rig.connect(t)
    ok(answers(rig, device, t), "a bundle of --tls, stock ssh: the device answers")
    is_(rig.get(t, http=2)[0], 200, "beside it, HTTP/2 on the same port")
    live = rig.redis("HGET", "relay:live:relay1", t["routes"][0]["listen"])
    like(live, r'"peer":"127\.0\.0\.1:\d+"', "rlyd knows the address that the device came from")
    s.stop()
    for what, old, new in (("by its name alone, where ALPN is lost", " -alpn ssh",
                            ""), ("by ALPN alone", f"ssh.{rig.domain}", f"whatever.{rig.domain}"),
                           ("by ALPN alone, without SNI", f"-servername ssh.{rig.domain}",
                            "-noservername"), ("with TLS 1.2", "-quiet", "-quiet -tls1_2")):
        t = change(tls_open(rig, device), old, new)
        s = rig.connect(t)
        ok(answers(rig, device, t), f"recognised {what}" if "TLS" not in what else what)
        s.stop()
        s.wait_down()


@test
def not_ssh(rig):
    """A connection that is not meant for sshd stays HTTP."""
    with rig.tls(f"ssh.{rig.domain}", alpn=["http/1.1"]) as sock:
        sock.sendall(
            f"GET /none HTTP/1.1\r\nHost: ssh.{rig.domain}\r\nConnection: close\r\n\r\n".encode())
        like(sock.recv(100).decode(), "^HTTP/1.1 ", "HTTP to ssh.DOMAIN is answered by httpd")
    with rig.tls("other", alpn=["http/1.1"]) as sock:
        sock.sendall(b"SSH-2.0-x\r\n\r\n")
        like(
            sock.recv(100).decode(), "^HTTP/1.1 400 |<title>400 ",
            "`SSH-' inside TLS to another name is a bad request")


@test
def command(rig, device):
    """The command that is printed for -k works as a shell reads it."""
    own = f"{rig.dir}/pki/own"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own])
    t = rig.open(device.url, key=f"{own}.pub", args=["--tls"])
    command = t["ssh"]["command"].replace(
        "ssh -N", f"exec ssh -N -F none -i {own} -o StrictHostKeyChecking=no "
        f"-o UserKnownHostsFile=/dev/null -o ExitOnForwardFailure=yes", 1)
    process = subprocess.Popen(["sh", "-c", command],
                               stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_for(lambda: rig.listening(t), f"{command} is up")
    ok(answers(rig, device, t), "the command that is printed for -k --tls works")
    process.terminate()
    process.wait()


@test
def runner(rig, device):
    for name, shell, programs in (("busybox-dropbear", "busybox sh", ["dbclient", "openssl"]),
                                  ("dash-openssh", "dash", ["ssh", "sh", "openssl", "curl"])):
        b = Box(rig,
                name,
                shell,
                programs,
                busybox=name.startswith("busybox"),
                env={"CURL_CA_BUNDLE": rig.ca, "SSL_CERT_FILE": rig.ca})
        r = b.run(tls_open(rig, device))
        ok(answers(rig, device, r.tunnel), f"{name}: DIR/run through TLS: the device answers")
        r.cut()
        started = time.monotonic()
        r.wait_up(20)
        between(time.monotonic() - started, 0, 8,
                f"{name}: its session is killed: it comes back within seconds")
        below = r.processes()
        rig.rly("close", r.tunnel["id"])
        closed = time.monotonic()
        r.wait(lambda: not r.listens & listeners(), "rlyd ends the session", 5)
        between(time.monotonic() - closed, 0, 1.5,
                f"{name}: the tunnel is closed: rlyd ends the session within a second")
        is_(r.ended(60), 0, f"{name}: and run stops for good")
        like(r.said(), "the grant has ended, the relay says so", f"{name}: and says why")
        r.wait(lambda: not [p for p in below if os.path.exists(f"/proc/{p}")],
               "no process is left on the device", 5)
        ok(True, f"{name}: no process is left on the device, openssl neither")


class Inspector(Listener):
    """A network that inspects: ends TLS with a certificate of its own and starts TLS anew to where
    it was meant to go. ALPN is lost on the way, the name is kept."""
    def __init__(self, rig, upstream):
        self.upstream = upstream
        cert = f"{rig.dir}/pki/inspector.pem"
        rigpki.self_signed(cert)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert)
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        self.names = []
        super().__init__()

    def _serve(self, sock):
        try:
            inside = self.context.wrap_socket(sock, server_side=True)
            outside = self.upstream(self.names[-1])
        except OSError:
            return
        threading.Thread(target=self.pump, args=(inside, outside), daemon=True).start()

    @classmethod
    def pump(cls, inside, outside):
        """Both ways in one thread: OpenSSL lets no two use one connection at the same time."""
        try:
            while True:
                for source, target in ((inside, outside), (outside, inside)):
                    while data := cls.read(source):
                        target.sendall(data)
                select.select([inside, outside], [], [])
        except OSError:
            pass
        for sock in (inside, outside):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def read(sock):
        """Returns what is there, b"" for nothing; OSError at the end."""
        sock.settimeout(0)
        try:
            data = sock.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            return b""
        finally:
            sock.settimeout(20)
        if not data:
            raise OSError("the end")
        return data


@test
def inspected(rig, device):
    inspector = Inspector(rig, lambda name: rig.tls(name))
    t = change(tls_open(rig, device), f"-connect 127.0.0.1:{rig.https_port}",
               f"-connect 127.0.0.1:{inspector.port}")
    s = rig.connect(t)
    ok(answers(rig, device, t), "through a network that replaces the certificate: the tunnel is up")
    is_(inspector.names, [f"ssh.{rig.domain}"], "and it was that network that it went through")
    s.stop()
    # and one that puts another sshd in the relay's place
    false_key = f"{rig.dir}/pki/false"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", false_key])

    with open(f"{rig.dir}/etc/sshd_config") as f:
        text = re.sub("(?m)^HostKey .*$", f"HostKey {false_key}", f.read())
    with open(f"{rig.dir}/etc/false_config", "w") as f:
        f.write(text)
    inspector = Inspector(rig, lambda name: false_sshd(rig))
    t = change(tls_open(rig, device), f"-connect 127.0.0.1:{rig.https_port}",
               f"-connect 127.0.0.1:{inspector.port}")
    s = rig.connect(t, wait=False)
    s.process.wait(20)
    like(s.output(), "(?i)host key verification failed|host identification has changed",
         "one that puts its own sshd there, too: "
         "the pinned host key refuses it")


def false_sshd(rig):
    """A connection to an sshd with another host key."""
    ours, theirs = socket.socketpair()
    subprocess.Popen([
        "/usr/sbin/sshd", "-i", "-f", f"{rig.dir}/etc/false_config", "-E",
        f"{rig.dir}/log/false.log"
    ],
                     stdin=theirs,
                     stdout=theirs,
                     stderr=subprocess.DEVNULL)
    theirs.close()
    return ours


@test
def limit(rig, device):
    rig.expect("RLY155 SSH inside TLS is refused: RelaySSHTLSMax")
    sessions = [rig.connect(tls_open(rig, device)) for _ in range(MAX)]
    extra = tls_open(rig, device)
    started = time.monotonic()
    s = rig.connect(extra, wait=False)
    is_(s.process.wait(20), 255, f"the {MAX + 1}th is refused: ssh ends")
    between(time.monotonic() - started, 0, 5, "at once")
    unlike(s.output(), "Permission denied",
           "before sshd has seen it: run does not take it for an answer about the grant")
    like(
        log(rig, "relay-error.log") + log(rig, "httpd-error.log"),
        rf"RLY155 .*RelaySSHTLSMax \({MAX} in each process\)", "Apache's log says which limit")
    ok(all(answers(rig, device, s.tunnel) for s in sessions), "the others go on")
    is_(rig.get(sessions[0].tunnel, http=2)[0], 200, "so does HTTPS")
    plain = rig.open(device.url)
    s = rig.connect(plain)
    ok(answers(rig, device, plain), "SSH without TLS on the same port is not counted")
    s.stop()
    sessions[0].stop()
    s = rig.connect(extra)
    ok(answers(rig, device, extra), "one has ended: the next is let in")
    for s in [*sessions, s]:
        s.stop()


@test
def graceful(rig, device):
    """The second of two graceful restarts finds no room for new processes, unless the first one's
    sessions have ended."""
    b = Box(rig, "graceful", "dash", ["ssh", "sh", "openssl", "curl"])
    busy, idle = (b.run(tls_open(rig, device)) for _ in range(2))
    answer = {}
    visitor = threading.Thread(target=lambda: answer.update(
        zip(("status", "headers", "body"), rig.get(busy.tunnel, "/slow?s=8"))))
    visitor.start()
    wait_for(lambda: device.conns()["open"], "the request is at the device")
    httpd = set(keeper.descendants([rig.servers["httpd"].pid]))
    rig.graceful()
    ok(answers(rig, device, idle.tunnel), "apachectl graceful: the device answers")
    visitor.join()
    is_(answer.get("status"), 200, "a request that waits for its device is not broken off")
    for r in (busy, idle):
        r.wait_for("the connection ended", 40)
        r.wait_up(20)
        ok(answers(rig, device, r.tunnel),
           "then its session ends at a pause, and comes back through a new process")
    wait_for(lambda: not httpd & set(keeper.descendants([rig.servers["httpd"].pid])),
             "the old processes end", 20)
    ok(True, "the old processes end")
    rig.graceful()
    ok(answers(rig, device, idle.tunnel), "so that there is room for the next restart")
    idle.stop()
    busy.stop()


@test
def rlyd_away(rig, device):
    rig.expect("RLY154 SSH inside TLS is refused|AH00957|AH01114")
    rig.servers["rlyd"].signal(signal.SIGKILL)
    rig.servers["rlyd"].process.wait()
    t = tls_open(rig, device)
    started = time.monotonic()
    s = rig.connect(t, wait=False)
    is_(s.process.wait(20), 255, "rlyd is away: ssh ends")
    between(time.monotonic() - started, 0, 5, "at once")
    like(
        log(rig, "relay-error.log") + log(rig, "httpd-error.log"),
        "RLY154 SSH inside TLS is refused: ", "one line in Apache's log")
    is_(rig.get(t)[0], 503, "HTTPS is not affected")
    rig.servers["rlyd"].start()
    s = rig.connect(t)
    ok(answers(rig, device, t), "rlyd is back: so are tunnels")
    s.stop()


tap.run()
