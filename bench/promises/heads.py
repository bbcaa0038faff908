# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The cost of the worst heads for httpd: a visitor's of 64 kB (with limits raised so far), a
device's of up to 256 kB."""
import re
import time

import load
from lib import Rig, keeper
from lib.trap import Trap
from measure import Result, say

# One process, so that its memory can be watched; heads of 64 kB, where httpd's own limits are 8 kB
# a field.
HTTPD = ("ServerLimit 1\nStartServers 1\nThreadsPerChild 64\nMaxRequestWorkers 64\nMinSpareThreads "
         "1\nMaxSpareThreads 64\n"
         "LimitRequestLine 65536\nLimitRequestFieldSize 65536")
SMALL = "a small head"
SIZE = 64000


def fill(begin, piece, size=SIZE, end=""):
    return begin + piece * ((size - len(begin)) // len(piece)) + end


def visitors():
    """name -> (path, fields): each about 64 kB."""
    return {
        SMALL: ("/", ""), "Connection": ("/", fill("Connection: ", "a,") + "\r\n"), "Cookie":
        ("/", fill("Cookie: ", "a=1;") + "\r\n"), "hidden cookies":
        ("/", fill("Cookie: ", "mod_auth_openidc_state_1=1;a=1;") + "\r\n"), "Accept":
        ("/", fill("Accept: ", "a/b;q=0,") + "\r\n"), "Authorization":
        ("/", fill("Authorization: ", "NTL,") + "\r\n"), "X-Forwarded-* fields":
        ("/", "".join(f"X-Forwarded-{i}: {'y' * 660}\r\n"
                      for i in range(94))), "fields": ("/", "".join(f"Xa{i}: {'y' * 660}\r\n"
                                                                    for i in range(94))), "a path":
        (fill("/", "a/../%2f;"), ""), "Host": ("/", "X: " + "y" * SIZE + "\r\n")
    }


def devices():
    """name -> the head of an answer."""
    ok = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
    cookie = "Set-Cookie: a=1" + ";domain" * 500 + ";" + "x" * 4080 + "\r\n"
    return {
        SMALL: ok, "Set-Cookie with Domain": ok + cookie * 30, "fields":
        ok + "".join(f"Xa{i}: y\r\n"
                     for i in range(490)), "Vary": ok + (fill("Vary: ", "%x,", 8000) + "\r\n") * 30,
        "Connection": ok + (fill("Connection: ", "a,", 8000) + "\r\n") * 30, "Location":
        ok + (fill("Location: ", "https://10.", 8000) + "\r\n") * 30, "interim answers":
        ("HTTP/1.1 103 Early Hints\r\n" + cookie * 3 + "\r\n") * 9 + ok
    }


def anonymous(rig):
    """@return the kB of httpd's own memory"""
    total = 0
    for pid in keeper.descendants([rig.servers["httpd"].pid]):
        try:
            with open(f"/proc/{pid}/status") as f:
                total += int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])
        except (OSError, TypeError):
            pass
    return total


def ask(rig, tunnel, path, fields):
    """@return a connection on which the request has been sent"""
    sock = rig.tls(tunnel)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\n{fields}\r\n".encode())
    return sock


def cost(rig, tunnel, path, fields, count):
    """@return the milliseconds of httpd's CPU for one request with a new connection"""
    before = load.cpu([rig.servers["httpd"].pid])
    for _ in range(count):
        with ask(rig, tunnel, path, fields) as sock:
            sock.recv(100)
    return (load.cpu([rig.servers["httpd"].pid]) - before) * 1000 / count


def held(rig, tunnel, path, fields, count, hold):
    """@return the kB of each of so many requests at the same time, whose answers have begun and do
    not end"""
    before = anonymous(rig)
    socks = [ask(rig, tunnel, path, fields) for _ in range(count)]
    time.sleep(hold * 0.6)
    grown = anonymous(rig) - before
    for sock in socks:
        sock.close()
    return grown / count


class Device(Trap):
    """Sends `head`, and the last byte so many seconds later."""
    def __init__(self):
        super().__init__()
        self.head, self.hold = "", 0

    def answer(self, request):
        return self._send

    def _send(self, connection, request):
        connection.sendall(self.head.encode() + b"\r\n")
        time.sleep(self.hold)
        connection.sendall(b"x")
        return True


def run(options):
    count, hold = options.pick(normal=(100, 2.5), quick=(30, 2.5), tiny=(3, 0.5))
    result = Result("heads", "the worst heads: visitors' of 64 kB, devices' of up to 256 kB",
                    (SMALL, ))
    with Rig(httpd_conf=HTTPD) as rig:
        device = Device()
        tunnel = rig.open(device.url)
        rig.connect(tunnel)
        rig.expect(r"AH\d+|RLY13\d")
        small = device.head = devices()[SMALL]
        cost(rig, tunnel, "/", "", count)
        for who, heads in (("a visitor's", visitors()), ("a device's", devices())):
            say(f"heads: {who}")
            for name, head in heads.items():
                path, fields = head if who == "a visitor's" else ("/", "")
                device.head = small if who == "a visitor's" else head
                device.hold = 0
                result.add(name, f"{who} head, CPU of httpd", "ms",
                           cost(rig, tunnel, path, fields, count))
                device.hold = hold
                result.add(name, f"{who} head, memory while it is under way", "kB",
                           held(rig, tunnel, path, fields, min(count, 20), hold))
                time.sleep(hold * 0.6)
        for who, heads in (("a visitor's", visitors()), ("a device's", devices())):
            measure = f"{who} head, CPU of httpd"
            worst = max(
                result.median(name, measure) - result.median(SMALL, measure) for name in heads)
            result.target(f"ms that {who} worst head costs more than a small one", "<=", 20, worst)
            measure = f"{who} head, memory while it is under way"
            result.target(f"kB that {who} worst head takes", "<", 1000,
                          max(result.median(name, measure) for name in heads))
        device.stop()
        result.note("each request has a TLS connection of its own")
    return result
