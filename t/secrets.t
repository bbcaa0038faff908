#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A secret stays with whom it was given to. What a visitor proves to httpd reaches no device; what
he proves to a device serves no other visitor; what a device sets in a browser is for its own name
alone. No other spelling of a path gets round a rule for it.
"""
import base64
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import threading
import time

from lib import fixture, free_port, listeners, Rig, run, tap, test, wait_for
from lib.browser import Browser, own_network_for_browsers
from lib.ntlm import first, NtlmDevice, NtlmVisitor
from lib.trap import frame, H2Listener, Trap

STAFF = "Basic " + base64.b64encode(b"staff:s3cret").decode()
OTHER = "Basic " + base64.b64encode(b"admin:device").decode()
VHOST = """
    RelayHideCookies our_login our_more_*
    H2EarlyHints on
    <Location "/basic">
        AuthType Basic
        AuthName relay
        AuthUserFile "{dir}/etc/htpasswd"
        Require user staff
    </Location>
    <Location "/digest">
        AuthType Digest
        AuthName relay
        AuthUserFile "{dir}/etc/htdigest"
        Require valid-user
    </Location>
    <Location "/anybody">
        AuthType Basic
        AuthName relay
        AuthUserFile "{dir}/etc/htpasswd"
        <RequireAny>
            Require ip 127.0.0.1
            Require user staff
        </RequireAny>
    </Location>
    <Location "/basic/open">
        Require all granted
    </Location>
    <Location "/anon">
        AuthType Basic
        AuthName relay
        AuthBasicProvider anon
        Anonymous "*"
        Require valid-user
    </Location>
    <Location "/fixed">
        AuthType Basic
        AuthName relay
        AuthUserFile "{dir}/etc/htpasswd"
        Require user staff
        RequestHeader set Authorization "Basic Zml4ZWQ6Zml4ZWQ="
    </Location>
    <Location "/own">
        Session On
        SessionCookieName own_session path=/
        SessionEnv On
        SessionMaxAge 100
    </Location>
    <Location "/admin">
        Require all denied
    </Location>
    <Location "/admin/public">
        Require all granted
    </Location>
    <LocationMatch "^/match/.*\\.cgi$">
        Require user staff
        AuthType Basic
        AuthName relay
        AuthUserFile "{dir}/etc/htpasswd"
    </LocationMatch>
"""
HTTPD = "".join(f"<IfModule !{module}_module>\nLoadModule {module}_module "
                f"/usr/lib/apache2/modules/mod_{module}.so\n</IfModule>\n"
                for module in ("auth_basic", "authn_core", "authn_file", "authn_anon",
                               "auth_digest", "authz_user", "authz_host", "headers", "session",
                               "session_cookie"))


def write_passwords(rig):
    made = run(["openssl", "passwd", "-apr1", "s3cret"]).stdout
    with open(f"{rig.dir}/etc/htpasswd", "w") as f:
        f.write("staff:" + made)
    with open(f"{rig.dir}/etc/htdigest", "w") as f:
        f.write("staff:relay:" + hashlib.md5(b"staff:relay:s3cret").hexdigest() + "\n")


def echoed(rig, tunnel, path, headers, http=1.1):
    """(status, what the device got: a list of pairs with lower-case names)"""
    status, _, body = rig.get(tunnel, path, headers, http=http)
    return status, [(k.lower(), v) for k, v in json.loads(body)["headers"]] if status == 200 else []


def curl(rig, tunnel, path, *args):
    host = rig.host(tunnel)
    return run([
        "curl", "-q", "-sS", "--noproxy", "*", "--cacert", rig.ca, "--max-time", "20",
        "--path-as-is", "--resolve", f"{host}:{rig.https_port}:{rig.address}", *args,
        f"https://{host}:{rig.https_port}{path}"
    ],
               check=False)


@fixture
def rig():
    rig = Rig(httpd_conf=HTTPD, start=False)
    rig.vhost_extra = VHOST.replace("{dir}", rig.dir)
    write_passwords(rig)
    rig.start()
    rig.expect(r"AH0\d+|AH1\d+|RLY132 ")  # what httpd says of refused visitors and cut off answers
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
    return tunnel


@fixture
def echo(rig):
    """The tunnel of a device that says what it was asked."""
    echo = rig.open(rig.device("nas").url)
    rig.connect(echo)
    return echo


# --- what a visitor proves to httpd


@test
def authorization(rig, trap, tunnel):
    """A device gets an Authorization, or none, by the place that is asked for."""
    cases = [("/basic/x", STAFF, []), ("/basic/open", STAFF, []), ("/basic/open", OTHER, []),
             ("/anybody", STAFF, []), ("/anybody", OTHER, []),
             ("/anon", "Basic " + base64.b64encode(b"anonymous:a@b.c").decode(), []),
             ("/fixed", STAFF, ["Basic Zml4ZWQ6Zml4ZWQ="]), ("/", STAFF, [STAFF]),
             ("/elsewhere", "Bearer abc", ["Bearer abc"]),
             ("/elsewhere", 'Digest username="x"', ['Digest username="x"']),
             ("/own", OTHER, [OTHER])]
    for path, sent, expected in cases:
        for http in (1.1, 2):
            status = rig.get(tunnel,
                             path, {"Authorization": sent, "Proxy-Authorization": STAFF},
                             http=http)[0]
            if status != 200:
                tap.ok(False, f"{path}: {status}", rig.tail("relay-error"))
            request = trap.requests(path)[-1]
            tap.is_(request.all("authorization"), expected,
                    f"HTTP/{http} {path} with {sent[:12]}…: what the device gets")
            tap.ok("proxy-authorization" not in [k.lower() for k, _ in request.headers],
                   "and no Proxy-Authorization")
    got = curl(rig, tunnel, "/digest", "--digest", "-u", "staff:s3cret", "-o", "/dev/null", "-w",
               "%{http_code}").stdout
    tap.is_((got, trap.requests("/digest")[-1].all("authorization")), ("200", []),
            "Digest that httpd has checked does not reach the device")
    tap.is_(
        rig.get(tunnel, "/basic", {"Authorization": OTHER})[0], 401,
        "a wrong password is httpd's to refuse")


@test
def h2c(rig):
    """The same for a device that is reached by HTTP/2: mod_proxy_http2 sends what r->headers_in
    has, without mod_proxy's fixups."""
    nghttpd = run(["which", "nghttpd"], check=False).stdout.strip()
    if not nghttpd:
        tap.note("no nghttpd")
        return
    port = free_port()
    with open(f"{rig.dir}/log/nghttpd.log", "wb") as log:
        process = subprocess.Popen(
            [nghttpd, "-v", "--no-tls", "--echo-upload", f"--htdocs={rig.www}",
             str(port)],
            stdout=log,
            stderr=log)
    try:
        wait_for(lambda: any(a.endswith(f":{port}") for a in listeners()) or time.sleep(0.1),
                 "nghttpd", 10)
        tunnel = rig.open(f"h2c://127.0.0.1:{port}")
        rig.connect(tunnel)
        rig.get(tunnel, "/basic/h2c",
                {"Authorization": STAFF, "Cookie": "a=1; our_login=S3SSION; b=2"})
        rig.get(tunnel, "/free/h2c", {"Authorization": OTHER})
        time.sleep(0.3)
        with open(f"{rig.dir}/log/nghttpd.log", errors="replace") as f:
            text = f.read()
        tap.ok("/basic/h2c" in text and STAFF.split()[1] not in text and "S3SSION" not in text,
               "a device by HTTP/2 gets neither password nor cookie", text[-2000:])
        tap.like(text, "a=1; b=2", "but the other cookies")
        tap.like(text, OTHER.split()[1], "and its own password")
    finally:
        process.terminate()
        process.wait()


@test
def websocket(rig, tunnel, trap):
    def upgrade(connection, request):
        accept = base64.b64encode(
            hashlib.sha1(
                request.all("sec-websocket-key")[0].encode() +
                b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                           b"Upgrade\r\nSec-WebSocket-Accept: " + accept +
                           b"\r\n\r\nHTTP/1.1 1: raw")
        return False

    trap.answers["/basic/ws"] = upgrade
    key = base64.b64encode(os.urandom(16)).decode()
    answer = rig.raw(
        (f"GET /basic/ws HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\nUpgrade: "
         "websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         f"Sec-WebSocket-Key: {key}\r\nAuthorization: {STAFF}\r\nCookie: our_login=1; a=b\r\n\r\n"
         ).encode(), tunnel)
    request = trap.requests("/basic/ws")[-1]
    tap.like(answer.decode("latin-1"), r"(?s)^HTTP/1.1 101 .*\r\n\r\nHTTP/1.1 1: raw$",
             "a WebSocket is set up, and what follows goes on as it is")
    tap.is_((request.all("authorization"), request.all("cookie")), ([], ["a=b"]),
            "its request brings the device no password and no login")


@test
def again(rig, tunnel, trap):
    """A request that is sent a second time, on a new connection, has no secrets either."""
    tries = []

    def close_once(connection, request):
        tries.append(request)
        if len(tries) == 1:
            return False
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    trap.answers["/basic/again"] = close_once
    for _ in range(20):  # so that each process of httpd's has a connection
        rig.get(tunnel, "/warm")
    status = rig.get(tunnel, "/basic/again", {"Authorization": STAFF, "Cookie": "our_login=1"})[0]
    tap.is_((status, len(tries), [r.all("authorization") + r.all("cookie") for r in tries]),
            (200, 2, [[], []]), "a request that is tried again")


@test
def cookies(rig, echo):
    for sent, expected in (("a=1; our_login=x; b=2", ["a=1; b=2"]), ("our_login=x", []),
                           ("our_more_1=x; our_more=y", ["our_more=y"]), ("own_session=x; a=1",
                                                                          ["a=1"]),
                           ("mod_auth_openidc_session=x; mod_auth_openidc_session_0=y; "
                            "mod_auth_openidc_session_chunks=2; mod_auth_openidc_state_abc=z; a=1",
                            ["a=1"]), ("a=\"x;our_login=1; y\"", ["a=\"x; y\""]),
                           ("OUR_LOGIN=1;  b = 2", ["OUR_LOGIN=1;  b = 2"
                                                    ]), ("session=theirs; mod_auth_openidc=1",
                                                         ["session=theirs; mod_auth_openidc=1"])):
        for http in (1.1, 2):
            got = [
                v for k, v in echoed(rig, echo, "/echo", {"Cookie": sent}, http)[1] if k == "cookie"
            ]
            tap.is_(got, expected, f"HTTP/{http} Cookie: {sent[:60]}")
    crumbs = [(":method", "GET"), (":scheme", "https"), (":authority", rig.host(echo)),
              (":path", "/echo"), ("cookie", "a=1"), ("cookie", "our_login=2"), ("cookie", "b=3")]
    got = dict(json.loads(rig.h2(crumbs, name=rig.host(echo)).body)["headers"])
    tap.is_(got.get("Cookie"), "a=1; b=3", "cookies in fields of their own, as HTTP/2 has them")
    raw = rig.raw(
        f"GET /echo HTTP/1.1\r\nHost: {rig.host(echo)}\r\nCookie: a=1\r\nCookie: "
        "our_login=2\r\nCookie: b=3\r\nConnection: close\r\n\r\n".encode(), echo)
    tap.ok(b"our_login" not in raw and b"a=1, b=3" in raw, "two Cookie fields in HTTP/1",
           raw[-500:])


# --- what a visitor proves to a device


@test
def ntlm(rig):
    device = NtlmDevice()
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 401, "a device with NTLM asks for a login")
    got = curl(rig, tunnel, "/x", "--http1.1", "--ntlm", "-u", "anna:pw")
    tap.is_(got.stdout, "anna /x", "curl --ntlm over HTTP/1.1 logs in")
    got = curl(rig, tunnel, "/x", "--http2", "--ntlm", "-u", "anna:pw")
    tap.is_(got.stdout, "anna /x", "curl --ntlm that offers HTTP/2 comes to the same")
    got = curl(rig, tunnel, "/x", "--http2", "-v", "-H",
               "Authorization: Negotiate " + base64.b64encode(first()).decode())
    tap.ok(got.returncode == 0 and "HTTP/1.1 401" in got.stderr,
           "curl goes to HTTP/1.1 where a stream is reset for that", got.stderr[-1500:])
    headers = [(":method", "GET"), (":scheme", "https"), (":authority", rig.host(tunnel)),
               (":path", "/h2")]
    for value in (None, "NTLM " + base64.b64encode(first()).decode(), "nEGOTIATE abc",
                  "Basic x, NTLM abc"):
        before = len(device.seen)
        answer = rig.h2(headers + ([("authorization", value)] if value else []),
                        name=rig.host(tunnel))
        tap.is_((answer.status, answer.reset), ("reset", 13),
                f"HTTP/2, Authorization: {value}: reset with HTTP_1_1_REQUIRED")
        tap.is_(
            len(device.seen) - before, 0 if value else 1,
            "the device has seen it only where it had to say what it wants")
    visitor = NtlmVisitor(rig, tunnel, "berta")
    status, _, body = visitor.login("/a")
    tap.is_((status, body), (200, "berta /a"), "a visitor logs in")
    number = visitor.get("/b")[1]["X-Connection"]
    time.sleep(1.3)  # longer than a pooled connection is trusted with what cannot be repeated
    status, headers, body = visitor.get("/c", method="POST")
    tap.is_((status, headers["X-Connection"], body), (200, number, "berta /c"),
            "and keeps that connection, also for a POST after a pause")
    tap.is_([rig.get(tunnel, "/d")[0] for _ in range(5)], [401] * 5, "others get no use of it")
    visitor.close()
    time.sleep(0.3)
    tap.is_([rig.get(tunnel, "/e")[0] for _ in range(5)], [401] * 5,
            "nor when the visitor has left")
    crowd(rig, tunnel)
    logged_in = {n for n, user, _ in device.seen if user}
    tap.ok(
        not [
            s for s in device.seen
            if s[1] is None and s[2] is None and s[0] in logged_in and rejoined(device, s)
        ], "no connection changed hands")


def rejoined(device, one):
    """Says whether a request without a login came on a connection after somebody's login there."""
    return False if one[1] else any(s[0] == one[0] and s[1]
                                    for s in device.seen[:device.seen.index(one)])


def crowd(rig, tunnel):
    """Many at once, each with a login of his own, and others without one in between."""
    wrong, done, stop = [], [], threading.Event()

    def logs_in(number):
        for again in range(3):
            user = f"user{number}x{again}"
            visitor = NtlmVisitor(rig, tunnel, user)
            answers = [visitor.login()] + [visitor.get(f"/{i}") for i in range(8)]
            wrong.extend(f"{user}: {s} {b}" for s, _, b in answers
                         if s != 200 or b.split()[0] != user)
            done.extend(answers)
            visitor.close()

    def does_not():
        while not stop.is_set():
            status, _, body = rig.get(tunnel, "/nobody")
            if status != 401:
                wrong.append(f"nobody: {status} {body}")

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        strangers = [pool.submit(does_not) for _ in range(4)]
        for job in [pool.submit(logs_in, n) for n in range(20)]:
            job.result()
        stop.set()
        for job in strangers:
            job.result()
    tap.is_((wrong[:5], len(done)), ([], 540),
            "20 visitors at once, three logins each: each is himself in all answers")


# --- what a device sets in a browser

TABLE = [  # (a device's Set-Cookie, the visitor's)
    ("sid=1; Domain={d}; Path=/", "sid=1; Path=/"), ("sid=1;domain={d}", "sid=1"),
    ("sid=1; DOMAIN={d}; Secure", "sid=1; Secure"),
    ("sid=1;\tDomain\t=\t.{d} ; Path=/", "sid=1; Path=/"),
    ("sid=1; Domain; Path=/", "sid=1; Path=/"), ("sid=1; Domain=a; Domain={d}", "sid=1"),
    ('sid="1; Domain={d}"', 'sid="1'), ("sid=1; Path=/", "sid=1; Path=/"),
    ("our_login=1; Path=/", None), ("a=b,our_login=1", None), ("=our_login=1", None),
    ("own_session=1", None), ("mod_auth_openidc_session=1; Domain={d}", None)
]


@test
def set_cookie(rig, tunnel, trap):
    said = [b"Set-Cookie: " + t.format(d=rig.domain).encode() + b"\r\n" for t, _ in TABLE]
    kept = [k for _, k in TABLE if k]
    head = b"".join(said)
    trap.answers["/set"] = b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 0\r\n\r\n"
    trap.answers["/early"] = (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n" + head +
                              b"\r\nHTTP/1.1 200 OK\r\n" + head + b"Content-Length: 0\r\n\r\n")
    trap.answers["/ws"] = lambda c, r: c.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
        b"Upgrade\r\nSET-COOKIE: x=1; Domain=d\r\n"
        b"X: y\rSet-Cookie: x=2; Domain=d\r\nSet-Cookie : x=3; Domain=d\r\nX-Kept: yes\r\n" + head +
        b"\r\nHTTP/1.1 101 frames; Domain=x") and False
    tap.is_(
        rig.get(tunnel, "/set")[1].get_all("Set-Cookie"), kept, "cookies of an answer, HTTP/1.1")
    tap.is_(
        rig.get(tunnel, "/set", http=2)[1].get_all("Set-Cookie"), kept,
        "cookies of an answer, HTTP/2")
    raw = rig.raw(
        f"GET /early HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\nConnection: close\r\n\r\n".encode(),
        tunnel).decode()
    early, final = raw.split("\r\n\r\n")[:2]
    for part, what in ((early, "103"), (final, "the answer after it")):
        tap.is_(re.findall(r"(?m)^Set-Cookie: (.*)\r?$", part.replace("\r\n", "\n")), kept,
                f"cookies of {what}")
    tap.like(early, r"^HTTP/1.1 103 [^\r]*\r\n(?s:.*)Link: </x>", "103 has its other fields")
    got = curl(rig, tunnel, "/early", "--http2", "-D", "-").stdout
    tap.ok(
        got.count("HTTP/2 103") == 1 and "sid=1; Secure" in got.partition("HTTP/2 200")[0] and
        "omain=" not in got and "our_login" not in got, "103 over HTTP/2", got)
    raw = rig.raw(
        f"GET /ws HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n".encode(),
        tunnel).decode()
    head, _, rest = raw.partition("\r\n\r\n")
    tap.is_(re.findall(r"(?mi)^Set-Cookie: (.*)$", head.replace("\r\n", "\n")), ["x=1"] + kept,
            "cookies of 101")
    tap.ok("\r" not in head.replace("\r\n", "") and "X-Kept: yes" in head and "x=3" not in head,
           "101: lines that two read in two ways are left out", head)
    tap.is_(rest, "HTTP/1.1 101 frames; Domain=x", "what comes after 101 is not looked at")


@test
def own_cookies(rig, tunnel, trap):
    """mod_session's cookie is set beside the device's, Domain and all that it has."""
    trap.answers["/own/set"] = (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Domain=x\r\n"
                                b"Set-Cookie: own_session=evil\r\nContent-Length: 0\r\n\r\n")
    got = rig.get(tunnel, "/own/set",
                  {"Cookie": "own_session=expiry=1&x=y"})[1].get_all("Set-Cookie")
    tap.ok("a=1" in got and not any("evil" in c for c in got),
           "a device does not set the cookie of the relay's own login", got)


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class CookieSetter(H2Listener):
    """Sets cookies by an interim answer and by the final one."""
    def answer(self, connection, stream):
        cookies = literal(b"set-cookie", b"sid=1; Domain=relay.localhost; Secure") + literal(
            b"set-cookie", b"our_login=evil")
        for status, flags in (b"103", 4), (b"200", 5):
            connection.sendall(frame(1, flags, stream, literal(b":status", status) + cookies))
        return True


@test
def set_cookie_h2c(rig):
    tunnel = rig.open(CookieSetter().url)
    rig.connect(tunnel)
    for way in ("--http2", "--http1.1"):
        got = curl(rig, tunnel, "/", way, "-D", "-").stdout.lower()
        tap.ok("sid=1; secure" in got and "domain" not in got and "our_login" not in got,
               f"a device by HTTP/2, a visitor by {way}", got)


@test
def referrer(rig, tunnel, trap):
    for said, expected in ((None, "same-origin"), ("", "same-origin"), ("nonsense", "same-origin"),
                           ("no-referrer", "no-referrer"), ("unsafe-url", "unsafe-url"),
                           ("nonsense, strict-origin", "nonsense, strict-origin"), ("Origin",
                                                                                    "Origin")):
        trap.answers["/policy"] = b"HTTP/1.1 200 OK\r\n" + (b"Referrer-Policy: %s\r\n" %
                                                            said.encode() if said is not None else
                                                            b"") + b"Content-Length: 0\r\n\r\n"
        for http in (1.1, 2):
            tap.is_(
                rig.get(tunnel, "/policy", http=http)[1]["Referrer-Policy"], expected,
                f"HTTP/{http} Referrer-Policy: {said}")


# --- paths


@test
def paths(rig, tunnel, trap):
    forbidden = [
        "/admin", "/admin/x", "/x%2f..%2fadmin", "/%2fadmin", "/%2e%2e%2fadmin", "/foo/..%2fadmin",
        "/.%2fadmin", "/x/..%2Fadmin/y", "/x%5c..%5cadmin", "/x\\..\\admin", "/admin%2fx",
        "/admin%5Cx", "/%252fadmin", "/x%252f..%252fadmin", "/x/%252e%252e/admin", "/%2561dmin",
        "/admin;x=y", "/admin;/x", "/x/..;/admin", "/x/%2e%2e;/admin", "/x;/..;y/admin", "/;/admin",
        "/a/b%2f..%2f..%2fadmin", "/admin/public/..%2fx", "/admin/public%2f..%2fx",
        "/admin%2fpublic/..%5c..%5cadmin", "/admin/%2e%2e%2fadmin", "/%2e/admin", "/%5c/admin",
        "/admin/x%2f..", "/admin/public%2fx", "/x;%2f..%2f..%2fadmin"
    ]
    allowed = [
        "/", "/bucket/a%2Fb", "/a%2f..%2fb", "/a;b=c/d", "/administrator%2fx", "/a%252fb", "/x\\y",
        "/admin/public/x", "/100%25", "/a%3Bb", "/adm%2fin", "/%E4%BD%A0%2fx"
    ]
    for path in forbidden + allowed:
        before = len(trap.seen)
        answer = rig.raw(
            f"GET {path}?q=%2fadmin HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\nConnection: "
            "close\r\n\r\n".encode(), tunnel)
        got = (int(answer.split(b" ")[1]), len(trap.seen) - before)
        tap.is_(got, (403, 0) if path in forbidden else (200, 1),
                f"{path} is {'refused' if path in forbidden else 'asked for'}")
        if path in allowed:
            tap.is_(trap.seen[-1].target, path + "?q=%2fadmin",
                    "and reaches the device as it was sent")
    for sent, expected in ((None, 401), (STAFF, 200)):
        answer = rig.get(tunnel, "/match%2fx.cgi", {"Authorization": sent} if sent else {})
        tap.is_((answer[0], "WWW-Authenticate" in answer[1]), (expected, not sent),
                f"a rule that asks for a login asks for it here, too: {expected}")
    tap.is_(trap.requests("/match")[-1].all("authorization"), [], "and the device does not get it")


# --- heads


@test
def heads(rig, tunnel, trap):
    """The worst heads that come through are dealt with at once: the times are far above what linear
    work takes, far below the rest."""
    words = "a," * 4000
    for what, head in (("Connection", f"Connection: {words}"), ("Cookie",
                                                                "Cookie: " + "a=1;" * 2000),
                       ("X-Forwarded-*", "\r\n".join(f"X-Forwarded-{i}: y" for i in range(90)))):
        began = time.monotonic()
        for _ in range(20):
            status = int(
                rig.raw(
                    f"GET /heads HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\n{head}\r\n\r\nGET /x "
                    f"HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\nConnection: close\r\n\r\n".encode(),
                    tunnel).split(b" ")[1])
        tap.ok(status == 200 and time.monotonic() - began < 3,
               f"8 kB of {what}: {(time.monotonic() - began) * 50:.1f} ms a request", status)
    head = b"HTTP/1.1 200 OK\r\n"
    for what, answer, expected in (
        ("Vary", head + (b"Vary: " + b"".join(b"%x," % i for i in range(1400)) + b"\r\n") * 30,
         200), ("Connection", head + (b"Connection: " + words.encode() + b"\r\n") * 10,
                502), ("lines", head + b"a:\r\n" * 20000, 502),
        ("folded Connection", head + b"Connection: a\r\n" + b" a,a,a,a,a,a,a\r\n" * 500,
         502), ("Connection, a little", head + b"Connection: close, a, b\r\n" * 3, 200),
        ("Domains",
         head + (b"Set-Cookie: a=1" + b";domain" * 500 + b";" + b"x" * 4080 + b"\r\n") * 30, 200)):
        trap.answers["/head"] = answer + b"Content-Length: 0\r\n\r\n"
        began = time.monotonic()
        status, headers, _ = rig.get(tunnel, "/head")
        tap.ok(
            status == expected and time.monotonic() - began < 1,
            f"a device's head full of {what}: {status}, {(time.monotonic() - began) * 1000:.0f} ms")
        if what == "Vary":
            tap.is_(headers["Vary"], "*", "a Vary without end says no more than that all varies")


@test
def browser(rig, trap, tunnel):
    """Chromium: a neighbour's image brings him no name; a 101 sets no cookie for neighbours; NTLM
    devices ask over HTTP/1.1."""
    other = Trap()
    neighbour = rig.open(other.url)
    rig.connect(neighbour)
    asking = rig.open(NtlmDevice(offers=("Negotiate", "NTLM", "Basic realm=x")).url)
    rig.connect(asking)
    url = f"https://{rig.host(neighbour)}:{rig.https_port}"
    page = (f"<h1>page</h1><img src='{url}/image.png'><script>"
            "new WebSocket('wss://'+location.host+'/browser-ws').onopen=()=>document.title='open'"
            "</script>").encode()
    trap.answers[
        "/page"] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (
            len(page), page)

    def upgrade(connection, request):
        accept = base64.b64encode(
            hashlib.sha1(
                request.all("sec-websocket-key")[0].encode() +
                b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
            b"Upgrade\r\nSec-WebSocket-Accept: " + accept +
            f"\r\nSet-Cookie: sid=EVIL; Domain={rig.domain}; Path=/; Secure\r\n\r\n".encode())
        time.sleep(1)
        return False

    trap.answers["/browser-ws"] = upgrade
    with Browser(rig) as browser:
        browser.open(f"https://{rig.host(tunnel)}:{rig.https_port}/page")
        browser.wait("return document.title === 'open'")
        browser.open(url + "/after")
        browser.open(f"https://anna:pw@{rig.host(asking)}:{rig.https_port}/a")
        first_page = browser.text("body")
        browser.open(f"https://{rig.host(asking)}:{rig.https_port}/b")
        tap.is_((first_page, browser.text("body")), ("anna /a", "anna /b"),
                "Chromium: a login by NTLM, begun over HTTP/2")
        images, after = other.requests("/image.png"), other.requests("/after")
        tap.is_([r.all("referer") for r in images], [[]], "Chromium: no Referer at a neighbour")
        tap.is_(after[-1].all("cookie"), [],
                "Chromium: the cookie of a 101 does not reach a neighbour")


own_network_for_browsers()
tap.run()
