#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What browsers forgive a device, the relay forgives: bad lines, line ends, lengths that are said
twice, answers without a status line. What could be read in two ways gives the relay's own page.

Fields and URLs of 64 kB go through, both ways.
"""
import concurrent.futures
import ssl

from lib import fixture, Rig, rigpki, tap, test
from lib.trap import Listener, Trap

VHOST = "RelayBackendTimeout 3s\nSSLProxyEngine on\nSSLProxyVerify none\nSSLProxyCheckPeerName off"
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 4\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# A body that breaks off gives the page if nothing of the answer has gone to the visitor by then.
FINE, PAGE, BROKEN = (200, b"body"), (502, "page"), (502, "page or nothing whole")


def with_line(line):
    return OK + b"X-A: a\r\n" + line + b"\r\nX-B: b\r\n" + LENGTH + b"\r\nbody"


def with_status(line):
    return line + b"\r\nX-A: a\r\nX-B: b\r\n" + LENGTH + b"\r\nbody"


def chunks(body):
    return OK + b"X-A: a\r\nX-B: b\r\n" + CHUNKED + b"\r\n" + body


# (what the device answers before it closes, what a visitor gets)
ANSWERS = [
    # lines that are no fields
    *((with_line(line), FINE)
      for line in (b"no colon", b"no colon " * 900, b"X y: z", b"X : y", b"X\t: y", b": y", b":",
                   b"X: a\0b", b"X: \x1b[2J", b"X: a\rb", b"X\x80: y", b"X\0: y", b"(x): y",
                   b"X: a\r\n folded", b"X: a\r\n\tfolded", b"X: a\r\n \x01folded", b"X: a\r\n ",
                   b"Nothing: Content-Length", b"X: \x7f", b"HTTP/1.1 200 OK", b"<html>",
                   b"Set-Cookie : a=b", b"Location : http://evil/", b"X-Content-Length : 4",
                   b"Content_Length : 400", b"X: \xe4\xff", b"Content-Length-Of : 400")),
    # those that could say how long the body is
    *((with_line(line), PAGE)
      for line in (b"Content-Length : 4", b"Content-Length\t: 4", b"Content-Length 4",
                   b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked",
                   b"Transfer-Encoding\0: chunked", b"Content-Length\0: 4",
                   b"\x0bContent-Length: 4", b"Content\0-Length: 4", b"X: a\rContent-Length: 400",
                   b"X: a\0\rTransfer-"
                   b"Encoding: chunked", b"X: a\r\n Content-Length: 400",
                   b"X: a\r\n\tTransfer-Encoding: chunked", b": Content-Length: 4", b"\r",
                   b"Content-Length: 4\r", b"Content-Length: 4\0", b"Content-Length:\r\n 4",
                   b"Content-Length: -4", b"Content-Length: +4", b"Content-Length: 0x4",
                   b"Content-Length: 4x", b"Content-Length: 4 4", b"Content-Length: 4,",
                   b"Content-Length: 5", b"Content-Length: 4, 5", b"Content-Length: 4;",
                   b"Content-Length: 99999999999999999999", b"Transfer-Encoding: xchunked",
                   b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip",
                   b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chunked\x0b")),
    (OK + b" Content-Length: 400\r\n" + LENGTH + b"\r\nbody", PAGE),
    (OK + b"\tTransfer-Encoding: chunked\r\n" + LENGTH + b"\r\nbody", PAGE),
    (OK + b" X: y\r\nX-A: a\r\nX-B: b\r\n" + LENGTH + b"\r\nbody", FINE),
    # lengths that agree
    *((with_line(line), FINE)
      for line in (b"Content-Length: 4", b"Content-Length: 4, 4", b"Content-Length: 4,4 ,\t4",
                   b"content-length:4", b"Content-Length:", b"Content-Length: 04",
                   b"Transfer-Encoding: identity", b"Transfer-Encoding:")),
    (OK + b"X-A: a\r\nX-B: b\r\nContent-Length: 4, 4\r\n\r\nbody and more", FINE),
    (OK + b"X-A: a\r\nX-B: b\r\nContent-Length:\r\n\r\nbody", FINE),
    (OK + b"X-A: a\r\nX-B: b\r\n\r\nbody", FINE),
    # status lines
    *((with_status(line), FINE)
      for line in (b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200OK",
                   b"HTTP/1.1  200  OK", b"HTTP/1.1\t200\tOK", b"http/1.1 200 ok", b"ICY 200 OK",
                   b"HTTP/1.1 200 " + b"x" * 8200, b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 \0OK",
                   b"HTTP/1.1 200 \x1b[2J", b"HTTP/1 200 OK", b"HTTP/2 200 OK", b"HTTP 200 OK",
                   b"HTTP/2.0 200 OK", b"\r\nHTTP/1.1 200 OK", b"\n\r\n\nHTTP/1.1 200 OK",
                   b" HTTP/1.1 200 OK", b"\xef\xbb\xbfHTTP/1.1 200 OK", b"HTTP/1.1 200 \xe4")),
    *((with_status(line), PAGE)
      for line in (b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 OK", b"HTTP/1.1 20", b"HTTP/1.1 2000",
                   b"HTTP/1.1 999 X", b"HTTP/1.1 099 X", b"HTTP/1.1 000 X", b"HTTP/1.1 600 X",
                   b"HTTP/1.1 -200 X", b"HTTP/1.1200 OK", b"HTTP/9.9.9 200 OK",
                   b"HTTP/1.1 200 O\rContent-Length: 400", b"SSH-2.0-OpenSSH_9.2", b"220 ftp",
                   b"\r\n" * 30 + b"HTTP/1.1 200 OK", b"\x15\x03\x01\x00\x02\x02\x46",
                   b"Content-Type: text/html")),
    # no status line
    (b"<html>body</html>", (200, b"<html>body</html>")),
    (b"<html>\r\nbody\r\n</html>\n", (200, b"<html>\r\nbody\r\n</html>\n")),
    (b"\r\n<p>" + b"y" * 20000, (200, b"<p>" + b"y" * 20000)),
    # LF alone
    (with_line(b"X: y").replace(b"\r\n", b"\n"), FINE),
    (with_line(b"X : y").replace(b"\r\n", b"\n"), FINE),
    *((chunks(body).replace(b"\r\n", end), FINE) for end in (b"\n", b"\r\n")
      for body in (b"4\r\nbody\r\n0\r\n\r\n", b"2\r\nbo\r\n2\r\ndy\r\n000\r\n\r\n",
                   b"4;x=y\r\nbody\r\n0;x\r\n\r\n", b"4  \r\nbody\r\n0\r\nX: y\r\n\r\n",
                   b"4\r\nbody\r\n0\r\nno colon\r\n: y\r\nContent-Length: 400\r\nX: \x01\r\n\r\n",
                   b"4\r\nbody\r\n0\r\n")),
    (chunks(b"4\r\nbody\n0\n\n"), FINE),
    (chunks(b"2\nbo\r\n2\r\ndy\n0\r\n\n"), FINE),
    (chunks(b"04\r\nbody\r\n0\r\nX: y\r\n"), FINE),
    (chunks(b"5\nbo\ndy\n0\n\n"), (200, b"bo\ndy")),
    (chunks(b"5\r\nbo\ndy\r\n0\r\n\r\n"), (200, b"bo\ndy")),
    (OK + CHUNKED + CHUNKED + b"\r\n4\r\nbody\r\n0\r\n\r\n", FINE),
    (OK + b"Transfer-Encoding: Chunked, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", FINE),
    # bodies that break off
    *((chunks(body), BROKEN) for body in (b"x\r\nbody", b"-4\r\nbody", b"", b"\n4\nbody")),
    (OK + b"Content-Length: 4\r\n\r\n", BROKEN),
    # interim answers
    (b"HTTP/1.1 103 Early\nX : y\nno colon\n\n" + with_line(b"X: y"), FINE),
    (b"HTTP/1.1 103 Early\r\nContent-Length : 4\r\n\r\n" + with_line(b"X: y"), PAGE),
]


class Device(Listener):
    """Answers by the number in the path; by pieces of some bytes where `slow' is in it."""
    def __init__(self, answers, context=None):
        self.answers, self.context = answers, context
        super().__init__()

    def _serve(self, connection):
        try:
            connection.settimeout(20)
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                line = stream.readline(70000)
                while stream.readline(70000) not in (b"\r\n", b""):
                    pass
                way, _, number = line.split(b" ")[1][1:].partition(b"-")
                data = self.answers[int(number)]
                step = 7 if way == b"slow" and len(data) < 1000 else len(data) or 1
                for at in range(0, len(data), step):
                    connection.sendall(data[at:at + step])
        except (OSError, ValueError, IndexError):
            pass


@fixture
def rig():
    rig = Rig(vhost=VHOST)
    rig.expect(r"AH0\d+|AH1\d+")  # what mod_proxy says of such devices
    yield rig
    rig.ends_cleanly()


@fixture
def device():
    device = Device([answer for answer, _ in ANSWERS])
    yield device
    device.stop()


@fixture
def trap():
    trap = Trap()
    yield trap
    trap.stop()


@fixture
def tunnel(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    return tunnel


def judge(answer, expected, got):
    """@return what is wrong, or None"""
    status, headers, body = got
    if status != expected[0]:
        return f"status {status}"
    if expected in (PAGE, BROKEN):
        return None if b"The device's answer cannot be used" in body else "another page"
    if body != expected[1]:
        return "another body"
    if b"X-A: a" in answer and (headers["X-A"], headers["X-B"]) != ("a", "b"):
        return "without its good fields"
    known = {
        "x-a", "x-b", "x", "nothing", "content-length", "content-type", "date", "server",
        "referrer-policy", "transfer-encoding", "connection", "keep-alive", "vary"
    }
    return f"fields {headers.keys()}" if {k.lower() for k in headers.keys()} - known else None


def ask_all(rig, tunnel, what, way, http):
    def one(number):
        answer, expected = ANSWERS[number]
        try:
            got = rig.get(tunnel, f"/{way}-{number}", http=http, timeout=15)
            wrong = judge(answer, expected, got)
        except Exception as e:  # broken off
            got, wrong = type(e).__name__, None if expected == BROKEN else str(e)
        return wrong and f"{answer[:120]!r}: {wrong}: {str(got)[:300]}"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        # http.client takes 103 for the answer
        numbers = [i for i, (a, _) in enumerate(ANSWERS) if http == 2 or b"103" not in a]
        # mod_ssl gives no part of a line when the connection ends
        numbers = [i for i in numbers if "https" not in what or b"\n" in ANSWERS[i][0]]
        wrong = [line for line in pool.map(one, numbers) if line]
    tap.ok(not wrong, f"{len(numbers)} answers, {what}", "\n".join(wrong))


@test
def answers(rig, tunnel):
    ask_all(rig, tunnel, "HTTP/1.1", "fast", 1.1)
    ask_all(rig, tunnel, "some bytes at a time", "slow", 1.1)


@test
def broken_bodies(rig, tunnel):
    """What is wrong at once gives the page, unless its packet was torn apart on the way."""
    for number in [i for i, (a, e) in enumerate(ANSWERS) if e == BROKEN and a.endswith(b"body")]:
        for http in (1.1, 2):
            pages = []
            while not any(pages) and len(pages) < 10:
                try:
                    body = rig.get(tunnel, f"/fast-{number}", http=http)[2]
                    pages.append(b"The device's answer cannot be used" in body)
                except Exception:
                    pages.append(False)
            tap.ok(any(pages), f"{ANSWERS[number][0][-9:]!r}, HTTP/{http}: the page", pages)


@test
def answers_over_tls(rig):
    """mod_ssl's lines are gone when more is read."""
    rigpki.self_signed(f"{rig.dir}/device.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{rig.dir}/device.pem")
    device = Device([answer for answer, _ in ANSWERS], context)
    tunnel = rig.open(device.url.replace("http:", "https:"))
    rig.connect(tunnel)
    ask_all(rig, tunnel, "an https:// device", "fast", 1.1)
    device.stop()


@test
def kept_connections(rig, trap):
    """A connection is used again behind an answer that was mended, and the log says it once."""
    tunnel, connections = rig.open(trap.url), set()
    rig.connect(tunnel)

    def mended(connection, request):
        connections.add(connection)
        connection.sendall(chunks(b"4\nbody\n0\nbad\n\n").replace(b"X-A", b"Bad : x\r\nbad\r\nX-A"))
        return True

    trap.answers["/mended"] = mended
    visitor = rig.connection(tunnel)
    bodies = []
    for _ in range(5):
        visitor.request("GET", "/mended")
        bodies.append(visitor.getresponse().read())
    visitor.close()
    tap.is_(bodies, [b"body"] * 5, "five answers on one connection of a visitor")
    tap.is_(len(connections), 1, "and on one to the device")
    with open(f"{rig.dir}/log/relay-error.log", encoding="utf-8") as f:
        said = [line for line in f if "RLY137" in line and tunnel["id"] in line]
    tap.ok(
        len(said) == 5 and "2 bad header lines (the first has a blank before the colon)" in said[0],
        "one line an answer says that two were left out", said)


@test
def answers_over_http2(rig, tunnel):
    ask_all(rig, tunnel, "HTTP/2", "fast", 2)


KB = 1024
# (what, the path, fields, the status, or () where the visitor is refused)
VISITORS = [
    ("a URL of 10 kB", "/?" + "x" * 10000, {}, True),
    ("a URL of 64 kB", "/" + "x" * (64 * KB - 10), {}, True),
    ("a URL of 70 kB", "/" + "x" * 70000, {}, False),
    ("3 cookies of 4 kB", "/", {"Cookie":
                                "; ".join(f"c{i}=" + "y" * 4000 for i in range(3))}, True),
    ("15 cookies of 4 kB", "/", {"Cookie":
                                 "; ".join(f"c{i}=" + "y" * 4000 for i in range(15))}, True),
    ("a field of 64 kB", "/", {"X-Long": "y" * (64 * KB - 1)}, True),
    ("a field of 70 kB", "/", {"X-Long": "y" * 70000}, False),
    ("3 fields of 30 kB", "/", {f"X-{i}": "y" * 30000
                                for i in range(3)}, True),
    ("6 fields of 60 kB", "/", {f"X-{i}": "y" * 60000
                                for i in range(6)}, False),
]


def pseudo(rig, tunnel, path):
    return [(":method", "GET"), (":scheme", "https"), (":path", path),
            (":authority", rig.host(tunnel))]


@test
def long_requests(rig, trap):
    tunnel = rig.open(trap.url)
    rig.connect(tunnel)
    for what, path, fields, passes in VISITORS:
        for http in (1.1, 2):
            before = len(trap.seen)
            try:
                if http == 1.1:
                    status = rig.get(tunnel, path, headers=fields)[0]
                else:
                    status = rig.h2(pseudo(rig, tunnel, path) + [(k.lower(), v)
                                                                 for k, v in fields.items()],
                                    name=rig.host(tunnel),
                                    timeout=3).status
            except OSError as e:  # the connection was ended
                status = str(e)
            seen = trap.seen[before:]
            if passes:
                whole = seen and seen[0].target == path and all(seen[0].all(k.lower()) == [v]
                                                                for k, v in fields.items())
                tap.ok(status == 200 and whole, f"{what}, HTTP/{http}: comes whole", status)
            else:
                tap.ok(status != 200 and not seen, f"{what}, HTTP/{http}: {status}", seen)
    tap.is_(trap.problems(), [], "nothing ambiguous reached the device")


# (what, the fields, whether they pass). HPACK packs a field that comes again into a byte.
REPEATED = [
    ("85 cookies", [("cookie", f"c{i}=1") for i in range(85)], True),  # LimitRequestFields is 100
    ("2000 cookies", [("cookie", f"c{i}=1") for i in range(2000)], False),
    ("3 fields, 16 times 3.8 kB each", [(f"x-{i}", "e" * 3900) for i in range(3)
                                        for _ in range(16)], True),
    ("6 fields, 16 times 3.8 kB each", [(f"x-{i}", "e" * 3900) for i in range(6)
                                        for _ in range(16)], False),
]


@test
def repeated_fields(rig, trap):
    """mod_http2 joins the fields of one name, and copies what it has for each that it joins."""
    tunnel = rig.open(trap.url)
    rig.connect(tunnel)
    for what, fields, passes in REPEATED:
        try:
            status = rig.h2(pseudo(rig, tunnel, "/") + fields, name=rig.host(tunnel)).status
        except OSError as e:
            status = str(e)
        tap.ok((status == 200) == passes, f"{what} over HTTP/2: {status}")


@test
def long_answers(rig):
    """A field that is too long for mod_proxy goes round it. HTTP/2 has no room for a head of more
    than 64 kB (libnghttp2's own bound)."""
    policy = b"default-src " + b"https://x.example " * 600
    answers = [
        (b"Content-Security-Policy: " + policy, {"Content-Security-Policy": policy.strip()}),
        (b"Location: https://idp.example.com/?SAMLRequest=" + b"x" * 9000 + b"&END",
         {"Location": b"https://idp.example.com/?SAMLRequest=" + b"x" * 9000 + b"&END"}),
        (b"X: " + b"y" * 8180, {"X": b"y" * 8180}),
        (b"X: " + b"y" * 7996, {"X": b"y" * 7996}),
        (b"X: y" + b"\r\n z" * 400 + b"y" * 9000, {"X": b"y" + b" z" * 400 + b"y" * 9000}),
        (b"X: " + b"y" * 60 * KB, {"X": b"y" * 60 * KB}),
        (b"Content-Type: " + b"y" * 9000, {"Content-Type": None}),
        (b"X: " + b"y" * (64 * KB - 8), {"X": b"y" * (64 * KB - 8)}),
        (b"X: " + b"y" * 70000, None),
        (b"Content-Length: " + b"0" * 9000 + b"4", None),
    ]
    device = Device([with_line(line) for line, _ in answers])
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    rig.expect("RLY132")
    for number, (line, fields) in enumerate(answers):
        for http in (1.1, 2) if len(line) < 63 * KB else (1.1, ):
            status, headers, body = rig.get(tunnel, f"/fast-{number}", http=http)
            what = f"{line[:30]!r} ({len(line)}), HTTP/{http}"
            if fields is None:
                tap.is_(judge(b"", PAGE, (status, headers, body)), None, what + ": the page")
                continue
            got = {name: headers[name] for name in fields}
            wanted = {name: value and value.decode() for name, value in fields.items()}
            tap.ok((status, got, headers["X-A"], body) == (200, wanted, "a", b"body"), what,
                   f"{status} {str(got)[:200]}")
    device.stop()


tap.run()
