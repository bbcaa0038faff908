#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: busy
"""Hostile visitors: requests that two readers take in two ways (smuggling), methods and headers
that are none of theirs, floods, and visitors who are slow on purpose. The device behind is as
strict a reader as can be: nothing that reaches it may be ambiguous, each request that it sees has
been asked for by somebody who gets its answer, and others are served. (Host, SNI, absolute URIs,
CONNECT: routing.t. Forged X-Forwarded-*: proxying.t.)"""
import concurrent.futures
import os
import re
import socket
import ssl
import threading
import time

import h2.connection
import h2.config
import h2.errors
import h2.exceptions

from lib import fixture, keeper, Rig, tap, test
from lib.trap import Trap

# The vhost's own limits, shortened for this test; one directive for each so that it is those that
# are tried.
VHOST = "RequestReadTimeout handshake=2 header=2-4,minrate=500 body=2,minrate=500\nTimeout 4"
CHUNKED = "Transfer-Encoding: chunked"
TAIL = "GET /smuggled-N HTTP/1.1\r\nHost: HOST\r\nX: "
INNER = "GET /smuggled-N HTTP/1.1\r\nHost: HOST\r\n\r\n"
TE_CL = "4\r\nabcd\r\n0\r\n\r\n"


def post(headers, body=TE_CL + TAIL, version="1.1", method="POST"):
    return f"{method} /case-N HTTP/{version}\r\nHost: HOST\r\n{headers}\r\n\r\n{body}"


# (what, the request; N is its number and HOST its name; what comes back first)
CASES = [
    # framing said twice
    ("CL.TE", post(f"Content-Length: {len(TE_CL) + 20}\r\n{CHUNKED}"), (200, )),
    ("TE.CL", post(f"{CHUNKED}\r\nContent-Length: 3"), (200, )),
    ("TE.CL, a request in the chunk",
     post(f"{CHUNKED}\r\nContent-Length: 4", "2a\r\n" + INNER[:42] + "\r\n0\r\n\r\n"), (200, 400)),
    ("two lengths that differ", post("Content-Length: 4\r\nContent-Length: 40"), (400, )),
    ("two lengths, 0 first", post("Content-Length: 0\r\nContent-Length: 40"), (400, )),
    ("a list of lengths", post("Content-Length: 4, 40"), (400, )),
    ("a list of equal lengths", post("Content-Length: 4, 4"), (400, )),
    *((f"length {value!r}", post(f"Content-Length: {value}"), (400, 413))
      for value in ("+4", "-4", "0x4", "4 4", "4;", "four", "1e1", "4\x0b", "18446744073709551620",
                    "9" * 40, "\xb4", "")),
    # chunked, or not
    *((f"{value!r}", post(value + "\r\nContent-Length: 4"), (400, 500, 501))
      for value in ("Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity",
                    "Transfer-Encoding: identity", 'Transfer-Encoding: "chunked"',
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
                    "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
                    "Transfer-Encoding: chunked\x0b", "Transfer-Encoding: \x00chunked",
                    "Transfer-Encoding: chunk", "Transfer-Encoding: gzip, chunked",
                    "Transfer-Encoding:", "X: y\rTransfer-Encoding: chunked",
                    "X: \x00\r\nTransfer-Encoding: chunked")),
    *((f"{value!r}", post(value + "\r\nContent-Length: 4"), (200, 400, 500, 501))
      for value in ("X: y\nTransfer-Encoding: chunked", "X: y\r\n Transfer-Encoding: chunked",
                    "X: y\r\n\tTransfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked",
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                    "TRANSFER-ENCODING: CHUNKED", "Transfer-Encoding:\tchunked\t",
                    "Transfer_Encoding: chunked", "Transfer-Encoding: chunked;x=y",
                    "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked, chunked")),
    *((f"chunk {value!r}", post(CHUNKED, value + "\r\n0\r\n\r\n" + TAIL),
       (200, 400, 408, 413, None))
      for value in ("4;x=y\r\nabcd", "4 \r\nabcd", "4\nabcd", "4\r\nabcdX", "0x4\r\nabcd",
                    "-4\r\nabcd", "+4\r\nabcd", "4\r\r\nabcd", "4\r\nabcd\n", "\r\n4\r\nabcd",
                    "10000000000000004\r\nabcd", "g\r\nabcd", "4;" + "x" * 9000 + "\r\nabcd",
                    "000000000000000000004\r\nabcd", " 4\r\nabcd", "ffffffffffffffff\r\nabcd",
                    "7fffffffffffffff\r\nabcd")),
    ("trailers with framing in them",
     post(CHUNKED,
          "0\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n" + TAIL),
     (200, 400)),
    ("chunks in HTTP/1.0", post(CHUNKED, version="1.0"), (200, 400, 411, 501)),
    ("a length with a GET", post(f"Content-Length: {len(INNER)}", INNER, method="GET"), (200, )),
    ("chunks with a GET", post(CHUNKED, method="GET"), (200, )),
    ("a body with HEAD", post(f"Content-Length: {len(INNER)}", INNER, method="HEAD"), (200, )),
    # hop-by-hop games: what is to reach the device may not be taken away
    *((f"Connection: {name}", post(f"Connection: {name}\r\nContent-Length: 4", "abcd"), (200, 400))
      for name in ("Content-Length", "Transfer-Encoding", "Host", "close, Content-Length, Host",
                   "Connection")),
    ("Connection: Transfer-Encoding, with chunks",
     post(f"Connection: Transfer-Encoding\r\n{CHUNKED}", TE_CL), (200, 400)),
    ("an upgrade to h2c",
     post(
         "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
         "AAMAAABkAARAAAAAAAIAAAAA",
         "",
         method="GET"), (101, 200)),
    ("an upgrade to a WebSocket that the device declines, and more",
     post(
         "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
         "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
         INNER,
         method="GET"), (200, )),
    ("an upgrade to TLS", post("Connection: Upgrade\r\nUpgrade: TLS/1.2", "",
                               method="GET"), (200, )),
    ("Expect: what nobody knows", post("Expect: 200-maybe\r\nContent-Length: 4",
                                       "abcd"), (417, 200)),
    # lines
    *((f"request line {line[:40]!r}", f"{line}\r\nHost: HOST\r\n\r\n",
       (200, 400, 404, 405, 414, 501, 505, None))
      for line in ("GET  /case-N HTTP/1.1", "GET\t/case-N\tHTTP/1.1", " GET /case-N HTTP/1.1",
                   "GET /case-N HTTP/1.1 x", "GET /case-N HTTP/1.1\r", "GET /case-N",
                   "GET /case-N HTTP/2.0", "GET /case-N HTTP/01.1", "GET /case-N http/1.1",
                   "GET /case N HTTP/1.1", "GET /case-N\x00 HTTP/1.1", "G\x00T /case-N HTTP/1.1",
                   "GET /case-N\xe9 HTTP/1.1", "get /case-N HTTP/1.1", "PRI * HTTP/2.0",
                   "TRACE /case-N HTTP/1.1", "TRACK /case-N\x7f HTTP/1.1",
                   "CONNECT /case-N HTTP/1.1", "CONNECT 127.0.0.1:22 HTTP/1.1",
                   "GET " + "/x" * 5000 + " HTTP/1.1", "A" * 9000 + " / HTTP/1.1",
                   "GET @/case-N HTTP/1.1", "GET case-N:22/ HTTP/1.1")),
    *((f"header line {line[:30]!r}", post(line, "", method="GET"), (400, None))
      for line in (": x", "X y: z", "X", "X\x00: y", "X: \x01", "X: a\x00b", "(x): y", "X: " +
                   "y" * 70000, "\r\n".join(f"X-{i}: y"
                                            for i in range(101)), "Host: evil.example", "Host:")),
    ("a folded header", post("X: a\r\n b: c", "", method="GET"), (200, 400)),
]


def say(rig, data, name, wait=0.4):
    """Sends data; returns what comes back, until nothing more does."""
    answer = b""
    with rig.tls(name, timeout=8) as sock:
        sock.sendall(data)
        try:
            while True:
                if answer:
                    sock.settimeout(wait)
                piece = sock.recv(65536)
                if not piece:
                    break
                answer += piece
        except (TimeoutError, ssl.SSLError, ConnectionError):
            pass
    return answer


@fixture
def rig():
    rig = Rig(vhost=VHOST, rlyd=True)
    # what httpd itself says of such visitors; ours (RLY…) are not expected
    rig.expect(r"AH0\d+|AH1\d+")
    yield rig
    rig.ends_cleanly()


@fixture
def trap():
    trap = Trap()
    yield trap
    trap.stop()


@fixture
def tunnel(rig, trap):
    tunnel = rig.open(trap.url)
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel, "/first")[2], b"trap /first", "a visitor who is not hostile")
    return tunnel


@test
def smuggling(rig, trap, tunnel):
    host = rig.host(tunnel)

    def one(number):
        what, text, expected = CASES[number]
        # the digits keep their place: lengths above count on it
        data = text.replace("-N", f"-{number:03}").replace("HOST", host).encode("latin-1")
        answer = say(rig, data, host)
        first = re.match(rb"HTTP/1\.1 (\d+)", answer)
        status = int(first[1]) if first else None
        seen = [r for r in trap.requests(f"-{number:03}")]
        problem = []
        if status not in expected:
            problem.append(f"status {status}, not one of {expected}")
        whole = [r for r in seen if "cut off" not in r.target]
        if len(whole) > answer.count(b"X-Trap: yes") + (status == 417):
            problem.append(f"the device saw {len(whole)} requests, the visitor "
                           f"{answer.count(b'X-Trap: yes')} answers")
        if [r for r in seen if r.problems]:
            problem.append("what the device got is ambiguous")
        tap.ok(not problem, f"{what[:90]}: {status}, {len(seen)} reached the device",
               f"{problem}\nsaid {data[:400]!r}\ngot {answer[:600]!r}\nseen {seen}")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(len(CASES))))
    tap.is_(trap.problems(), [], f"{len(CASES)} shapes: nothing ambiguous reached the device")
    wrong = []
    for i in range(40):
        body = rig.get(tunnel, f"/after-{i}")[2]
        if body != b"trap /after-%d" % i:
            wrong.append(body)
    tap.is_(wrong, [], "afterwards each gets the answer to his own question")


@test
def http2(rig, trap, tunnel):
    host = rig.host(tunnel)
    base = [(":method", "GET"), (":scheme", "https"), (":path", "/h2-base"), (":authority", host)]

    def changed(name, value, method="GET"):
        return [(k, value if k == name else method if k == ":method" else v) for k, v in base]

    length, crlf = [("content-length", "3")
                    ], "x\r\nTransfer-Encoding: chunked\r\n\r\nGET /h2-inner HTTP/1.1"
    cases = [
        ("transfer-encoding", base + [("transfer-encoding", "chunked")], TE_CL.encode()),
        ("connection", base + [("connection", "keep-alive")], None),
        ("a length that is too short", changed(":method", "POST", "POST") + length,
         b"abcdGET /h2-inner HTTP/1.1\r\n\r\n"),
        ("a length that is too long",
         changed(":method", "POST", "POST") + [("content-length", "300")], b"abcd"),
        ("two lengths", changed(":method", "POST", "POST") + length + [("content-length", "4")],
         b"abcd"),
        ("lines in a value", base + [("x", crlf)], None),
        ("a NUL in a value", base + [("x", "a\0b")], None),
        ("lines in a name", base + [("x: y\r\nz", "v")], None),
        ("a colon in a name", base + [("transfer-encoding: chunked", "v")], None),
        ("upper case", base + [("Transfer-Encoding", "chunked")], None),
        ("lines in :path", changed(":path", "/ HTTP/1.1\r\nHost: x\r\n\r\nGET /h2-inner"), None),
        ("a blank in :path", changed(":path", "/x HTTP/1.1 /h2-inner"), None),
        (":path without a slash", changed(":path", "h2-inner"), None),
        ("an empty :path", changed(":path", ""), None),
        ("lines in :method", changed(":method", "GET /h2-inner HTTP/1.1\r\nX:", "GET"), None),
        ("a blank in :method", [(":method", "GET /h2-inner")] + base[1:], None),
        ("lines in :method", [(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET")] + base[1:], None),
        ("lines in :authority", changed(":authority", f"{host}\r\nX: y"), None),
        ("a path in :authority", changed(":authority", f"{host}/h2-inner"), None),
        ("lines in :scheme", changed(":scheme", "https\r\nX: y"), None),
        ("another :scheme", changed(":scheme", "http://evil/h2-inner?"), None),
        ("two :path", base + [(":path", "/h2-inner")], None),
        ("an unknown pseudo-header", base + [(":x", "y")], None),
        ("TRACE", changed(":method", "TRACE", "TRACE"), None),
        ("CONNECT", [(":method", "CONNECT"), (":authority", "127.0.0.1:22")], None),
    ]
    tap.is_(rig.h2(base, name=host).body, b"trap /h2-base", "HTTP/2, nothing wrong: 200")
    for what, headers, body in cases:
        before = len(trap.seen)
        try:
            answer = rig.h2(headers, body, name=host)
            status = answer.status
        except (OSError, h2.exceptions.ProtocolError) as e:
            status = repr(e)
        new = trap.seen[before:]
        inner = [r for r in new if "inner" in r.target or r.problems]
        tap.ok(not inner and len([r for r in new if "cut off" not in r.target]) <= (status == 200),
               f"HTTP/2, {what}: {status}, {len(new)} reached the device", new)
    tap.is_(trap.problems(), [], "HTTP/2: nothing ambiguous reached the device")


def memory(rig):
    """kB that httpd's children have for themselves."""
    total = 0
    for pid in keeper.descendants([rig.servers["httpd"].pid]):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += sum(int(n) for n in re.findall(r"(?m)^Private_\w+: +(\d+) kB", f.read()))
        except OSError:
            pass
    return total


def timely(rig, tunnel, what, n=10):
    took = []
    for _ in range(n):
        began = time.monotonic()
        status = rig.get(tunnel, "/quick")[0]
        took.append((time.monotonic() - began, status))
    tap.ok({s
            for _, s in took} == {200} and sorted(took)[n // 2][0] < 0.5 and max(took)[0] < 4,
           f"{what}: others are served", took)


@test
def floods(rig, trap, tunnel):
    """Headers without end, streams that are opened and reset, frames that go on and on: each costs
    who sends it his connection."""
    host = rig.host(tunnel).encode()
    before = memory(rig)

    def headers_without_end(sock):
        sock.sendall(b"GET /flood HTTP/1.1\r\nHost: " + host + b"\r\n")
        while True:
            yield b"X-Flood: " + b"x" * 4000 + b"\r\n"

    def lines_without_end(sock):
        sock.sendall(b"GET /flood HTTP/1.1\r\nHost: " + host + b"\r\nX: ")
        while True:
            yield b"x" * 8000

    def resets(sock):
        conn = h2.connection.H2Connection(config=h2.config.H2Configuration(
            header_encoding="latin-1"))
        conn.initiate_connection()
        for i in range(1, 2**20, 2):
            conn.send_headers(i, [(":method", "GET"), (":scheme", "https"), (":path", "/flood"),
                                  (":authority", host.decode())],
                              end_stream=True)
            conn.reset_stream(i, h2.errors.ErrorCodes.CANCEL)
            yield conn.data_to_send()

    def continuations(sock):
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" +
                     b"\0\0\1\1\0\0\0\0\1\x82")
        while True:
            yield (50 * 261).to_bytes(
                3, "big") + b"\x09\0\0\0\0\1" + (b"\0\1x\x7f\x80\x01" + b"y" * 255) * 50

    for what, pieces, alpn in (("headers without end", headers_without_end,
                                None), ("a line without end", lines_without_end,
                                        None), ("HTTP/2 streams opened and reset", resets, ["h2"]),
                               ("HTTP/2 CONTINUATION without end", continuations, ["h2"])):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            running = [pool.submit(flood, rig, tunnel, pieces, alpn) for _ in range(4)]
            timely(rig, tunnel, what)
            got = [f.result() for f in running]
        tap.ok(max(t for t, _ in got) < 6, f"{what}: the connection is ended", got)
    tap.ok(
        len(trap.requests("flood")) < 2000, "few of them reach the device",
        len(trap.requests("flood")))
    grown = memory(rig) - before
    # a sanitizer keeps what is freed for a while
    tap.ok(grown < (600000 if os.environ.get("RELAY_SANITIZER") else 30000),
           "and httpd has not grown by much", f"{grown} kB")


def flood(rig, tunnel, pieces, alpn):
    """Sends until httpd has said the last word (it goes on to read for a while, so as to have that
    read): after how long, and how many pieces."""
    began, sent = time.monotonic(), 0
    with rig.tls(tunnel, alpn=alpn, timeout=1) as sock:
        try:
            for piece in pieces(sock):
                sock.sendall(piece)
                sent += 1
                if sent % 64 == 0 and (is_over(sock) or time.monotonic() > began + 8):
                    break
        except OSError:
            pass
    return time.monotonic() - began, sent


def is_over(sock):
    sock.settimeout(0)
    try:
        while sock.recv(65536):
            pass
        return True
    except ssl.SSLWantReadError:
        return False
    finally:
        sock.settimeout(1)


class Slow(threading.Thread):
    """A visitor who says a byte now and then; .ended says after how long httpd had enough."""
    def __init__(self, rig, tunnel, tls, first, drip):
        super().__init__(daemon=True)
        self.rig, self.tunnel, self.tls, self.first, self.drip = rig, tunnel, tls, first, drip
        self.ended, self.began = None, time.monotonic()
        self.start()

    def run(self):
        try:
            if self.tls:
                sock = self.rig.tls(self.tunnel, timeout=20)
            else:
                sock = socket.create_connection((self.rig.address, self.rig.https_port))
            with sock:
                sock.settimeout(0.3)
                self.began = time.monotonic()
                sock.sendall(self.first)
                while time.monotonic() < self.began + 20:
                    try:
                        if not sock.recv(4096):
                            break
                        continue
                    except (TimeoutError, ssl.SSLWantReadError):
                        sock.sendall(self.drip)
                self.ended = time.monotonic() - self.began
        except OSError:
            self.ended = time.monotonic() - self.began


@test
def slow(rig, tunnel):
    host = rig.host(tunnel).encode()
    kinds = [("TLS handshakes", False, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0"),
             ("heads", True, b"GET /slow HTTP/1.1\r\nHost: " + host + b"\r\nX: ", b"x"),
             ("bodies", True,
              b"POST /slow HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 100000\r\n\r\n", b"x")
             ]
    # Bodies go to the device: more than 37 would be more than this tunnel's share (shares.t).
    slow = {
        what: [Slow(rig, tunnel, tls, first, drip) for _ in range(30 if what == "bodies" else 40)]
        for what, tls, first, drip in kinds
    }
    time.sleep(0.7)
    timely(rig, tunnel, "40 slow TLS handshakes, 40 slow heads, 30 slow bodies")
    for what, threads in slow.items():
        for thread in threads:
            thread.join(25)
        ended = sorted(s.ended or 99 for s in threads)
        tap.ok(ended[-1] < 10, f"slow {what} are ended", ended[-5:])


@test
def afterwards(rig, tunnel):
    tap.is_(rig.get(tunnel, "/last")[2], b"trap /last", "and all is well at the end")


tap.run()
