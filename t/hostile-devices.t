#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""Hostile devices answer with what is no answer, with what two readers take in two ways, or without
end.

Their own visitors get an error or what the device said. httpd keeps its memory and its threads. A
neighbour's visitors get their neighbour's answers, each his own. (A device that closes early, says
nothing or hangs: answers.t. Redirects to inner addresses, cookies: routing.t.)
"""
import concurrent.futures
import os
import re
import threading
import time

from lib import ASAN_KEEPS_LITTLE, Asker, fixture, keeper, one_child, Rig, tap, test, wait_for
from lib.trap import frame, H2Listener, Trap

# One process, so that its memory can be watched.
ONE_CHILD = one_child(25)
VHOST = "RelayBackendTimeout 1s\nRelayStreamTimeout 1s"
MB = 1 << 20
# kB that httpd may grow by; a sanitizer keeps what is freed for a while
ROOM = 150000 if os.environ.get("RELAY_SANITIZER") else 6000

OK = b"HTTP/1.1 200 OK\r\n"
EVIL = OK + b"Content-Length: 4\r\nX-Evil: yes\r\n\r\nevil"
# Visitors of such a device may see any of these. Whatever it is, it comes in time.
ANY = (200, 500, 502, 504, "IncompleteRead", "BadStatusLine")
# (what, the bytes that the device answers, what its visitor may see)
ANSWERS = [
    # httpd takes what has no status line for HTTP/0.9: a body
    ("nothing but a line", b"\r\n", ANY),
    ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ANY),
    ("zeros", bytes(3000), ANY),
    ("HTTP/2's greeting", b"\0\0\0\4\0\0\0\0\0", ANY),
    ("HTTP/0.9", b"<html>hello</html>", ANY),
    *((f"status line {line[:40]!r}", line + b"\r\nContent-Length: 4\r\n\r\nbody", ANY + (999, ))
      for line in (b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 xyz OK", b"HTTP/1.1 -200 OK",
                   b"HTTP/1.1 2 OK", b"HTTP/1.1 20000000000 OK", b"HTTP/1.1 000 OK",
                   b"HTTP/9.9.9 200 OK", b"HTTP/1.1 999 OK", b"HTTP/1.1 200 \0OK",
                   b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 \x1b[2J", b"HTTP/1.1 200 " + b"x" * 8000,
                   b"HTTP/2.0 200 OK")),
    *((f"header {line[:40]!r}", OK + line + b"\r\nContent-Length: 4\r\n\r\nbody", (502, ))
      for line in (b"X: " + b"y" * 70000, b"Content-Length : 4")),
    *((f"header {line[:40]!r}", OK + line + b"\r\nContent-Length: 4\r\n\r\nbody", ANY)
      for line in (b": empty", b"X Y: z", b"X\0: y", b"X: a\0b", b"X: a\rb", b"X: a\r\n folded",
                   b"X: \x1b[2J", b"(x): y", b" Transfer-Encoding: chunked")),
    # framing said twice: whichever counts, nothing of it may be taken for another answer
    *((f"{line!r}", OK + line + b"\r\n\r\n4\r\nbody\r\n0\r\n\r\n" + EVIL, ANY)
      for line in (b"Content-Length: 4\r\nTransfer-Encoding: chunked",
                   b"Transfer-Encoding: chunked\r\nContent-Length: 400",
                   b"Content-Length: 4\r\nContent-Length: 14", b"Content-Length: 4, 14",
                   b"Content-Length: -1", b"Content-Length: 0x4",
                   b"Content-Length: 99999999999999999999", b"Content-Length:",
                   b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, chunked",
                   b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked")),
    *((f"chunk {piece[:20]!r}", OK + b"Transfer-Encoding: chunked\r\n\r\n" + piece, ANY)
      for piece in (b"x\r\nbody", b"-4\r\nbody\r\n0\r\n\r\n", b"ffffffffffffffff\r\nbody",
                    b"4;" + b"x" * 100000 + b"\r\nbody\r\n0\r\n\r\n", b"4\r\nbodyEVIL\r\n0\r\n\r\n",
                    b"0\r\nContent-Length: 4\r\nX: y\r\n\r\n",
                    b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n")),
    # more than was asked for
    ("two answers", OK + b"Content-Length: 4\r\n\r\nbody" + EVIL, (200, )),
    ("an answer to HEAD with a body", OK + b"Content-Length: 4\r\n\r\nevil", (200, )),
    ("204 with a body", b"HTTP/1.1 204 No Content\r\n\r\nevil" + EVIL, (204, )),
    ("304 with a body", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil" + EVIL,
     (304, )),
    ("101 unasked",
     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" +
     EVIL, ANY),
    ("101 to TLS",
     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n" + EVIL,
     ANY),
    ("100 and nothing", b"HTTP/1.1 100 Continue\r\n\r\n", (502, 504)),
    ("103 and an answer",
     b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK + b"Content-Length: 4\r\n\r\nbody",
     (103, 200)),
    ("100 interim answers",
     b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + OK + b"Content-Length: 4\r\n\r\nbody", (200, 502)),
    ("Connection: with names that matter",
     OK + b"Connection: Content-Length, Date, close\r\nContent-Length: 4\r\n\r\nbody", ANY),
]


def once(data):
    def answer(connection, request):
        connection.sendall(data)
        return False  # and closes

    return answer


def held(data):
    def answer(connection, request):
        connection.sendall(data)
        return True  # for the next request

    return answer


@fixture
def rig():
    rig = Rig(vhost=VHOST, httpd_conf=ONE_CHILD, asan=ASAN_KEEPS_LITTLE)
    rig.expect(r"AH0\d+|AH1\d+|AH00484|RLY132 ")  # what is said of such devices
    yield rig
    rig.ends_cleanly()


@fixture
def trap():
    trap = Trap()
    yield trap
    trap.stop()


@fixture
def good():
    good = Trap()
    yield good
    good.stop()


@fixture
def neighbour(rig, good):
    """The tunnel of a device that is not hostile."""
    neighbour = rig.open(good.url)
    rig.connect(neighbour)
    tap.is_(rig.get(neighbour, "/b")[2], b"trap /b", "the neighbour answers")
    return neighbour


@fixture
def tunnel(rig, trap):
    tunnel = rig.open(trap.url)
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel, "/a")[2], b"trap /a", "so does the device that will be hostile")
    return tunnel


def beside_a_neighbour(function):
    """A test during which somebody asks a neighbour: each answer must be the one to its question.
    """
    def both(rig, trap, tunnel, neighbour):
        asker = Asker(rig, neighbour, lambda path, status, body: (status, body) ==
                      (200, b"trap " + path.encode()), "/neighbour-#", 0.01)
        function(rig, trap, tunnel)
        asker.stop()
        tap.ok(
            asker.asked > 20 and not asker.wrong,
            f"{both.__name__}: {asker.asked} requests for a neighbour, each with its own answer",
            asker.wrong[:5])
        tap.ok(asker.slowest < 5, "… and in time", asker.slowest)

    both.__name__ = function.__name__
    return both


@test
@beside_a_neighbour
def answers(rig, trap, tunnel):
    """Each shape from a device that then closes, and from one that keeps the connection for the
    next request."""
    jobs = []
    for number, (what, data, expected) in enumerate(ANSWERS):
        for way, make in (("closes", once), ("keeps", held)):
            trap.answers[f"/{way}-{number}"] = make(data)
            jobs.append((f"{what}, {way}", f"/{way}-{number}", expected))

    def ask(job):
        what, path, expected = job
        began = time.monotonic()
        try:
            status, headers, body = rig.get(tunnel,
                                            path,
                                            method="HEAD" if "HEAD" in what else "GET",
                                            timeout=10)
        except Exception as e:  # the answer broke off, as the device's did
            status, headers, body = type(e).__name__, {}, b""
        took = time.monotonic() - began
        tap.ok(status in expected and "X-Evil" not in headers and took < 8,
               f"{what[:90]}: {status}", f"{headers} {body[:200]} after {took:.1f} s")

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(ask, jobs))


def resident(rig):
    """kB of the largest of httpd's children."""
    sizes = []
    for pid in keeper.descendants([rig.servers["httpd"].pid]):
        try:
            with open(f"/proc/{pid}/status") as f:
                sizes += [int(n) for n in re.findall(r"(?m)^RssAnon:\s+(\d+) kB", f.read())]
        except OSError:
            pass
    return max(sizes)


def without_end(first, piece, most):
    """A device that goes on and on; stops by itself after `most` bytes, so that a relay without a
    limit lives."""
    def answer(connection, request):
        connection.settimeout(20)
        answer.sent = len(first)
        connection.sendall(first)
        while answer.sent < most:
            connection.sendall(piece)
            answer.sent += len(piece)
        return False

    answer.sent = 0
    return answer


@test
@beside_a_neighbour
def answers_without_end(rig, trap, tunnel):
    line = b"X-Endless-%d: " + b"x" * 4000 + b"\r\n"
    block = b"".join(line % i for i in range(100))
    interim = b"HTTP/1.1 103 Early Hints\r\n" + block[:200000] + b"\r\n"
    for what, answer, limit in (("headers", without_end(OK, block, 200 * MB), 3 * MB),
                                ("a header line", without_end(OK + b"X: ", b"x" * 65536, 200 * MB),
                                 3 * MB), ("one folded header",
                                           without_end(OK + b"X: x", b"\r\n x" * 10000, 200 * MB),
                                           3 * MB), ("a status line",
                                                     without_end(b"HTTP/1.1 200 ", b"x" * 65536,
                                                                 200 * MB), 3 * MB),
                                ("interim answers", without_end(b"", interim, 200 * MB),
                                 6 * MB), ("chunk extensions",
                                           without_end(OK + b"Transfer-Encoding: chunked\r\n\r\n4;",
                                                       b"x" * 65536, 200 * MB), 3 * MB),
                                ("trailers",
                                 without_end(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", block,
                                             200 * MB), 3 * MB)):
        trap.answers["/endless"] = answer
        before, peak, over = resident(rig), 0, threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asking = pool.submit(lambda: rig.get(tunnel, "/endless", timeout=20)[0])
            while not asking.done():
                peak = max(peak, resident(rig))
                over.wait(0.05)
            status = asking.exception() or asking.result()
        # what is on its way, in the session's windows and in sockets, counts as sent
        tap.ok(answer.sent < limit + 12 * MB, f"{what} without end: the device is cut off",
               f"{answer.sent} bytes, {status}")
        tap.ok(peak - before < ROOM, f"{what} without end: httpd's memory stays",
               f"{before} -> {peak} kB, {status}")
        tap.note(f"{what}: {status!r}, {answer.sent} bytes, {before} -> {peak} kB")
    few = b"".join(b"X-Long-%d: " % i + b"x" * 7000 + b"\r\n" for i in range(400))
    trap.answers["/large"] = OK + few + b"Content-Length: 2\r\n\r\nok"
    tap.is_(rig.get(tunnel, "/large")[0], 502, "a head of 400 lines and 2.8 MB is too large")
    body = trap.answers["/endless"] = without_end(OK + b"\r\n", b"x" * 65536, 10**12)
    before = resident(rig)
    connection = rig.connection(tunnel)
    connection.request("GET", "/endless")
    answer = connection.getresponse()
    for _ in range(600):
        answer.read(65536)
    tap.ok(
        resident(rig) - before < ROOM, "a body without end: httpd's memory stays",
        f"{before} -> {resident(rig)} kB")
    connection.close()
    time.sleep(0.5)
    sent = body.sent
    time.sleep(0.5)
    tap.ok(sent == body.sent, "a body without end ends when the visitor leaves",
           f"{sent}, {body.sent}")


class Endless(H2Listener):
    """Answers a request over HTTP/2 with `first`, and with `again` over and over."""
    def __init__(self, first, again, most):
        self.first, self.again, self.most, self.sent = first, again, most, 0
        super().__init__()

    def answer(self, connection, stream):
        connection.sendall(self.first(stream))
        while self.sent < self.most:
            piece = self.again(stream)
            connection.sendall(piece)
            self.sent += len(piece)
        return False


@test
@beside_a_neighbour
def http2(rig, trap, tunnel):
    # HPACK, not indexed
    field = b"".join(b"\0\7x-end%02d\x7f\x80\x1e" % i + b"y" * 3967 for i in range(4))
    kinds = [
        ("interim answers", lambda n: b"", lambda n: frame(1, 4, n, b"\x08\x03103" + field)),
        # 1,024 bytes each: what is left out of the middle, as httpd reads by kilobytes, is likely
        # to be whole frames
        ("small interim answers", lambda n: b"",
         lambda n: frame(1, 4, n, b"\x08\x03103\0\7x-end00\x7f\xe7\6" + b"y" * 998)),
        ("continued headers", lambda n: frame(1, 0, n, b"\x88" + field),
         lambda n: frame(9, 0, n, field)),
        # HPACK: a byte for a field of 4 kB, once the table has it; or for one of the fields that it
        # always has
        ("one field again and again",
         lambda n: frame(1, 0, n, b"\x88\x40\3abc\x7f\xbd\x1d" + b"y" * 3900),
         lambda n: frame(9, 0, n, b"\xbe" * 4000)),
        ("a small field again and again", lambda n: frame(1, 0, n, b"\x88"),
         lambda n: frame(9, 0, n, b"\x90" * 16000)),
        ("one name again and again",
         lambda n: frame(1, 0, n, b"\x88\x40" + b"\x7f\xbd\x1d" + b"n" * 3900 + b"\0"),
         lambda n: frame(9, 0, n, b"\x0f\x2f\0" * 4000)),
        ("trailers", lambda n: frame(1, 4, n, b"\x88"), lambda n: frame(1, 4, n, field)),
        ("settings", lambda n: b"", lambda n: frame(4, 0, 0, b"\0\1\0\0\0\1") * 100),
        ("pings", lambda n: b"", lambda n: frame(6, 0, 0, b"12345678") * 100),
        ("promised answers", lambda n: b"", lambda n: frame(5, 4, n,
                                                            (n + 1).to_bytes(4, "big") + b"\x82")),
    ]
    for what, first, again in kinds:
        device = Endless(first, again, 100 * MB)
        mine = rig.open(device.url)
        rig.connect(mine)
        before, peak = resident(rig), 0
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asking = pool.submit(lambda mine=mine: rig.get(mine, "/endless", timeout=12)[0])
            while not asking.done():
                peak = max(peak, resident(rig))
                time.sleep(0.05)
            status = asking.exception() or asking.result()
        tap.note(f"HTTP/2 {what}: {status!r}, {device.sent} bytes, {before} -> {peak} kB")
        tap.ok(peak - before < 2 * ROOM, f"HTTP/2, {what} without end: httpd's memory stays",
               f"{before} -> {peak} kB, {status}, {device.sent}")
        device.stop()
        rig.rly("close", mine["id"])


@test
@beside_a_neighbour
def slow(rig, trap, tunnel):
    """A device that says a byte now and then holds its own visitors, up to a point, and nobody
    else's."""
    def drip(connection, request):
        connection.sendall(OK + b"X: ")
        try:
            for _ in range(30):
                connection.sendall(b"x")
                time.sleep(0.1)
            connection.sendall(b"\r\nContent-Length: 4\r\n\r\nslow")
        except OSError:
            pass
        return False

    trap.answers["/drip"] = drip
    with concurrent.futures.ThreadPoolExecutor(15) as pool:
        got = list(pool.map(lambda _: rig.get(tunnel, "/drip")[::2], range(15)))
    tap.is_(got, [(200, b"slow")] * 15,
            "a device that says a byte now and then gets its answers through")


@test
def afterwards(rig, tunnel, good, neighbour):
    """A device may leave rubbish on its connections: it harms its own visitors at most, and not for
    long."""
    wait_for(
        lambda: [rig.get(tunnel, f"/own-{i}")[2]
                 for i in range(10)] == [b"trap /own-%d" % i for i in range(10)],
        "own visitors get their answers", 5)
    tap.is_([r.target for r in good.seen if not r.target.startswith(("/b", "/neighbour"))], [],
            "the neighbour has seen its own requests only")


tap.run()
