#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""relayrewrite: answers every line whatever it is and whatever Redis does, by itself and through a
real Apache."""
import json
import os
import pwd
import random
import re
import select
import signal
import subprocess
import threading
import time

from lib import fixture, keeper, Rig, rss_kb, run, tap, test, wait_for
from lib.privatelog import PrivateLog
from lib.righttpd import RewriteHttpd

TIMEOUT = 0.5  # relay.conf's default for Redis
ADDRESS = re.compile(rb"127\.\d+\.\d+\.\d+:\d+|NULL")


class Program:
    """relayrewrite with a pipe at each end, as httpd has it."""
    def __init__(self, rig, *args, conf=None):
        self.process = subprocess.Popen(
            [rig.program("relayrewrite"), "-c", conf or rig.conf, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0)
        self.pending = b""

    def send(self, data):
        self.process.stdin.write(data)

    def answer(self, timeout=5):
        """The next line, or None when there is none in time."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self.pending:
            if not select.select([self.process.stdout], [], [], max(
                    0, deadline - time.monotonic()))[0]:
                return None
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return None
            self.pending += piece
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode()

    def ask(self, host, timeout=5):
        self.send((host.encode() if isinstance(host, str) else host) + b"\n")
        return self.answer(timeout)

    def timed(self, host):
        began = time.monotonic()
        return self.ask(host), time.monotonic() - began

    def end(self):
        """Closes stdin; returns what it still said and the exit status."""
        self.process.stdin.close()
        rest = self.pending + self.process.stdout.read()
        self.process.stdout.close()
        return rest, self.process.wait(10)


@fixture
def log():
    """Made before any thread is."""
    return PrivateLog()


@fixture
def rig(log):
    rig = Rig()
    yield rig
    tap.is_(rig.stop(), [], "everything ended at the end")


@fixture
def where(rig):
    """The listen address of the name nas."""
    return rig.open("8080", name="nas")["routes"][0]["listen"]


@fixture
def program(rig):
    return Program(rig)


@test
def answers(rig, program, where):
    rig.open("https://127.0.0.1:8443", name="nas-tls")
    rig.open("tcp://127.0.0.1:22", name="nas-ssh")
    for host in ("nas.relay.localhost", "NAS.Relay.LOCALHOST", "nas.relay.localhost.",
                 "nas.relay.localhost:443", "nas.relay.localhost.:8443"):
        tap.is_(program.ask(host), where, f"{host}: its listen address, at once")
    for host in ("", "relay.localhost", "nas", "other.relay.localhost", "a.nas.relay.localhost",
                 "nas.relay.localhost.evil.test", "127.0.0.1", "[::1]:443", "nas.relay.localhost\r",
                 " nas.relay.localhost", "nas.relay.localhost ", "*.relay.localhost",
                 "-.relay.localhost", "ssh.relay.localhost", "www.relay.localhost",
                 "nas-ssh.relay.localhost", "NULL", "n" * 64 + ".relay.localhost",
                 "xn--nas.relay.localhost"):
        tap.is_(program.ask(host), "NULL", f"{host!r:.40}: NULL")
    tap.like(program.ask("nas-tls.relay.localhost"), r"^127\.",
             "without -s a device that speaks TLS is answered, too")
    for scheme, names in (("http", ["nas"]), ("https", ["nas-tls"]), ("h2c", [])):
        limited = Program(rig, "-s", scheme)
        got = [
            n for n in ("nas", "nas-tls", "nas-ssh")
            if limited.ask(f"{n}.relay.localhost") != "NULL"
        ]
        tap.is_(got, names, f"-s {scheme}: only routes of that scheme")
        tap.is_(limited.end(), (b"", 0), "… and it ends with stdin")
    rig.rly("close", "nas-tls")
    tap.is_(program.ask("nas-tls.relay.localhost"), "NULL", "a closed one: NULL")
    for what, field, value in (("another relay's", "relay", "relay2"),
                               ("one outside the listen space", "listen",
                                "127.0.0.1:6379"), ("a malformed one", "listen", "localhost:80"),
                               ("a newer one", "v", "2"), ("an unknown scheme", "scheme", "ftp")):
        rig.redis("COPY", "relay:route:nas", "relay:route:bad", "REPLACE")
        rig.redis("HSET", "relay:route:bad", field, value)
        tap.is_(program.ask("bad.relay.localhost"), "NULL", f"a record that is {what}: NULL")
    rig.redis("DEL", "relay:route:bad")
    rig.redis("SET", "relay:route:bad", "text", "EX", "60")
    tap.is_(program.ask("bad.relay.localhost"), "NULL", "a record that is no hash: NULL")
    tap.is_(program.ask("nas.relay.localhost"), where, "and it still knows the good one")


@test
def lines(program, where):
    program.send(b"nas.relay")
    tap.is_(program.answer(0.3), None, "half a line has no answer yet")
    tap.is_(program.ask(".localhost"), where, "… and the whole one has")
    program.send(b"nas.relay.localhost\n\nx\nnas.relay.localhost\n")
    tap.is_([program.answer() for _ in range(4)], [where, "NULL", "NULL", where],
            "four lines at once: four answers in order")
    for what, line in (("1 MB", b"n" * 1_000_000), ("1 MB that ends in a good name",
                                                    b"x" * 1_000_000 + b".nas.relay.localhost"),
                       ("NUL bytes", b"\0" * 100), ("a NUL after a good name",
                                                    b"nas.relay.localhost\0"),
                       ("a NUL in a name", b"nas\0.relay.localhost"), ("high bytes",
                                                                       bytes(range(128, 256))),
                       ("1024 bytes", b"n" * 1024), ("1025 bytes", b"n" * 1025),
                       ("a good name after 8 kB", b"n" * 8191 + b".relay.localhost")):
        tap.is_(program.ask(line), "NULL", f"{what}: NULL")
        tap.is_(program.ask("nas.relay.localhost"), where, "… and the next line is read as one")
    seed = int(os.environ.get("RELAY_SEED", random.randrange(1 << 30)))
    chance = random.Random(seed)
    good, sent = b"nas.relay.localhost", []
    for _ in range(3000):
        line = bytearray(
            chance.choice([good,
                           bytes(chance.randrange(256) for _ in range(chance.randrange(60)))]))
        for _ in range(chance.randrange(3)):
            line[chance.randrange(len(line) + 1):0] = bytes([chance.randrange(256)])
        sent.append(bytes(line).replace(b"\n", b""))
    threading.Thread(target=program.send, args=(b"\n".join(sent) + b"\n", )).start()
    answers = [program.answer() for _ in sent]
    wrong = [(s, a) for s, a in zip(sent, answers)
             if a is None or not ADDRESS.fullmatch(a.encode()) or
             (s == good) != (a == where) and s.lower() not in (good, good + b".") and b":" not in s]
    tap.is_(wrong[:3], [], f"3,000 lines of chance bytes: each its answer (RELAY_SEED={seed})")
    before = rss_kb(program.process.pid)
    threading.Thread(target=program.send,
                     args=(b"".join(b"name-%d.relay.localhost\n" % i
                                    for i in range(50_000)), )).start()
    tap.is_({program.answer() for _ in range(50_000)}, {"NULL"}, "50,000 names that are not there")
    tap.ok(
        rss_kb(program.process.pid) - before < 512, "… cost no memory",
        f"{before} kB, then {rss_kb(program.process.pid)} kB")
    for number in (signal.SIGHUP, signal.SIGPIPE):
        program.process.send_signal(number)
        tap.is_(program.ask("nas.relay.localhost"), where, f"{number.name} does not end it")
    program.send(b"nas.relay.localhost")
    tap.is_(program.end(), (where.encode() + b"\n", 0),
            "a last line without newline is answered; then it ends with status 0")


@test(needs=["where"])
def start(rig, log):
    def relayrewrite(*args):
        return run([rig.program("relayrewrite"), *args], input="", timeout=10, check=False)

    tap.is_(relayrewrite("-c", rig.conf).returncode, 0, "no line at all: status 0")
    for args in (["-x"], ["nas"], ["-s", "tcp"], ["-s", "ftp"]):
        result = relayrewrite(*args)
        tap.ok(result.returncode == 2 and "usage:" in result.stderr,
               f"{' '.join(args)}: usage, status 2", result)
    tap.like(relayrewrite("--help").stdout, "usage: relayrewrite", "--help")
    tap.like(relayrewrite("--version").stdout, r"^relayrewrite \d", "--version")
    conf = f"{rig.dir}/etc/late.conf"
    log.lines()
    program = Program(rig, conf=conf)
    tap.is_(program.ask("nas.relay.localhost"), "NULL", "without relay.conf: NULL, and it stays")
    tap.is_([f"{conf}: cannot be read" in text for _, _, text in log.lines()][:1], [True],
            "… and syslog tells why")
    with open(rig.conf) as f, open(conf, "w") as to:
        to.write(f.read())
    wait_for(lambda: program.ask("nas.relay.localhost") != "NULL", "an answer", 5, 0.1)
    tap.ok(True, "… until relay.conf is there")
    program.end()
    deaf = Program(rig)
    deaf.process.stdout.close()
    for _ in range(3):
        deaf.send(b"nas.relay.localhost\n")
        time.sleep(0.05)
    tap.is_(deaf.process.poll(), None, "a reader that is away does not end it")
    deaf.process.stdin.close()
    tap.is_(deaf.process.wait(5), 0, "… the end of stdin does")


def programs(httpd):
    found = {}
    for pid in keeper.descendants([httpd.pid]):
        with open(f"/proc/{pid}/status") as f:
            text = f.read()
        if "Name:\trelayrewrite" in text:
            found[pid] = int(re.search(r"Uid:\s+\d+\s+(\d+)", text)[1])
    return found


@test
def httpd(rig):
    device, tls = rig.device("plain"), rig.device("tls", tls=True)
    tunnel, tls_tunnel = rig.open(device), rig.open(tls)
    session = rig.connect(tunnel)
    rig.connect(tls_tunnel)
    httpd = RewriteHttpd(rig)
    www = pwd.getpwnam("www-data").pw_uid
    tap.is_(sorted(programs(httpd).values()), [www, www], "Apache runs two of it, as www-data")
    for http in (1.1, 2):
        tap.is_(httpd.get(tunnel, http=http)[2], b"plain", f"HTTP/{http} reaches the device")
        tap.is_(
            httpd.get(tls_tunnel, http=http)[2], b"tls", f"HTTP/{http} reaches one that speaks TLS")
    status, headers, body = httpd.get(tunnel, "/nothing/a%2Fb%3Fc;%C3%A4?q=%20&x=?y")
    tap.is_(body, b"plain: no /nothing/a%2Fb%3Fc;%C3%A4\n",
            "the path arrives as it was sent; the device's own 404 comes back")
    echo = json.loads(
        httpd.get(tunnel,
                  "/echo?q=%20&x=?y%2F",
                  method="POST",
                  body=b"12345",
                  headers={
                      "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "evil.test", "Forwarded":
                      "for=192.0.2.1", "X-Real-IP": "192.0.2.1", "Connection":
                      "X-Forwarded-For, X-Forwarded-Proto", "X-Forwarded-Proto": "gopher"
                  })[2])
    seen = {}
    for key, value in echo["headers"]:
        seen.setdefault(key.lower(), []).append(value)
    tap.is_((echo["target"], echo["method"], echo["body"]), ("/echo?q=%20&x=?y%2F", "POST", 5),
            "the query and the body, too")
    host = f"{rig.host(tunnel)}:{httpd.https_port}"
    tap.is_((seen["host"], seen["x-forwarded-for"], seen["x-forwarded-host"],
             seen["x-forwarded-proto"]), ([host], ["127.0.0.1"], [host], ["https"]),
            "X-Forwarded-* are Apache's, not the visitor's")
    tap.ok(not {"forwarded", "x-real-ip"} & set(seen), "others like them are taken away", seen)
    check_websocket(httpd, tunnel)
    status, headers, body = httpd.get("nobody")
    tap.ok(status == 404 and b"no such device" in body, "an unknown name: 404 with a page",
           (status, body))
    rig.expect(r"AH01276")
    tap.is_(httpd.get(rig.domain)[0], 403, "the bare domain is the vhost's own")
    rig.expect(r"proxy:error.*attempt to connect|proxy_http:error.*AH01114")
    session.stop()
    session.wait_down()
    status, headers, body = httpd.get(tunnel)
    tap.ok((status, headers["Retry-After"]) == (503, "5") and b"not connected" in body,
           "a device that is away: 503 with a page", (status, dict(headers), body))
    rig.connect(tunnel)
    tap.is_(httpd.get(tunnel)[2], b"plain", "it is back at once when the device is")
    check_httpd_redis(rig, httpd, tunnel)
    before = set(programs(httpd))
    httpd.server.signal(signal.SIGUSR1)
    wait_for(lambda: len(programs(httpd)) == 2 and not before & set(programs(httpd)),
             "the programs of a graceful restart", 10)
    tap.ok(True, "apachectl graceful starts them anew and leaves none of the old")
    tap.is_(httpd.get(tunnel)[2], b"plain", "… and all goes on")
    os.kill(min(programs(httpd)), signal.SIGKILL)
    os.kill(max(programs(httpd)), signal.SIGKILL)
    tap.is_(
        httpd.get(tunnel)[0], 404, "when the program has been killed no request goes anywhere: 404")
    httpd.stop()
    wait_for(lambda: not programs(httpd), "the programs' end", 5)
    tap.ok(True, "they end with Apache")


def check_websocket(httpd, tunnel):
    with httpd.tls(tunnel["routes"][0]["name"]) as sock:
        sock.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {httpd.host(tunnel)}\r\nUpgrade: "
            "websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".
            encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        sock.sendall(b"\x81\x82\0\0\0\0id")
        frame = sock.recv(100)
    tap.ok(
        head.startswith(b"HTTP/1.1 101") and frame == b"\x81\x05plain",
        "a WebSocket reaches the device", (head, frame))


def check_httpd_redis(rig, httpd, tunnel):
    redis = rig.servers["redis"]
    rig.expect(r"relay:\w+.*RLY1\d\d")  # the rig's own Apache notices, too
    redis.signal(signal.SIGSTOP)
    took = []

    def visit():
        began = time.monotonic()
        status = httpd.get(tunnel)[0]
        took.append((status, time.monotonic() - began))

    threads = [threading.Thread(target=visit) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    redis.signal(signal.SIGCONT)
    tap.is_({status for status, _ in took}, {404}, "Redis hangs: 30 visitors at once get a page")
    # two programs, each one deadline
    tap.ok(
        max(t for _, t in took) < 2 * TIMEOUT + 1, "… and do not queue for a deadline each",
        sorted(took)[-3:])
    wait_for(lambda: httpd.get(tunnel)[0] == 200, "an answer after SIGCONT", 5, 0.1)
    tap.ok(True, "… and the device when Redis goes on")


@test
def redis(rig, log, where):
    rig.check_logs()  # until here; Redis will be killed
    redis = rig.servers["redis"]
    program = Program(rig)
    tap.is_(program.ask("nas.relay.localhost"), where, "Redis is there: an address")
    log.lines()
    redis.signal(signal.SIGSTOP)
    answer, took = program.timed("nas.relay.localhost")
    tap.ok(answer == "NULL" and took < TIMEOUT + 1,
           f"Redis hangs: NULL within its deadline ({took:.2f} s)", (answer, took))
    began = time.monotonic()
    answers = {program.ask("nas.relay.localhost") for _ in range(200)}
    tap.ok(answers == {"NULL"} and time.monotonic() - began < 1.5,
           "the next 200 questions do not wait for it", (answers, time.monotonic() - began))
    began, slow = time.monotonic(), []
    while time.monotonic() - began < 5:
        took = program.timed("nas.relay.localhost")[1]
        slow += [took] if took > 0.8 * TIMEOUT else []
        time.sleep(0.01)
    tap.ok(1 <= len(slow) <= 3 and max(slow) < TIMEOUT + 1,
           "in 5 s two questions try again, each for one deadline", slow)
    redis.signal(signal.SIGCONT)
    wait_for(lambda: program.ask("nas.relay.localhost") == where, "an answer after SIGCONT", 5,
             0.05)
    tap.ok(True, "Redis goes on: so do the answers")
    lines = [text for _, severity, text in log.lines() if "RLY502" in text and severity <= 3]
    tap.ok(1 <= len(lines) <= 3, "syslog has a few lines of that, not one a request", lines)
    rig.expect(r".")
    redis.kill()
    tap.is_(program.ask("nas.relay.localhost"), "NULL", "Redis is killed: NULL")
    began = time.monotonic()
    tap.is_({program.ask("nas.relay.localhost") for _ in range(100)}, {"NULL"}, "… each time")
    tap.ok(time.monotonic() - began < 2, "… without waiting", time.monotonic() - began)
    redis.start()
    again = rig.open("8080", name="nas")["routes"][0]["listen"]
    tap.is_(
        wait_for(lambda: (a := program.ask("nas.relay.localhost")) != "NULL" and a, "an answer", 3),
        again, "Redis is back, empty, and filled again: the new address")
    rig.redis("CONFIG", "SET", "requirepass", "secret")
    rig.redis("-a", "secret", "CLIENT", "KILL", "TYPE", "normal")
    tap.is_(program.ask("nas.relay.localhost"), "NULL", "Redis wants a password: NULL")
    rig.redis("-a", "secret", "CONFIG", "SET", "requirepass", "")
    tap.is_(
        wait_for(lambda: (a := program.ask("nas.relay.localhost")) != "NULL" and a, "an answer", 3),
        again, "… until it does not")
    tap.is_(program.end(), (b"", 0), "after all that it ends with stdin, status 0")


tap.run()
