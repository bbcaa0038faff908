#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A visitor who gets no answer is told why: 404, 410, 502, 503 or 504, in the form that Accept asks
for."""
import html.parser
import json
import re
import signal
import socket
import time

from lib import fixture, free_port, Rig, tap, test, wait_for

VHOST = """
    RelayBackendTimeout 1s
    <Location "/text">
        ErrorDocument 404 "own text for 404"
        ErrorDocument 410 "own text for 410"
        ErrorDocument 502 "own text for 502"
        ErrorDocument 503 "own text for 503"
    </Location>
    <Location "/page">
        ErrorDocument 404 /own.html
        ErrorDocument 410 /own.html
        ErrorDocument 502 /own.html
        ErrorDocument 503 /own.html
    </Location>
    <Location "/elsewhere">
        ErrorDocument 410 https://relay.localhost/ended.html
    </Location>
"""
TITLES = {
    "unknown": (404, "There is nothing at this address"), "gone": (410, "This tunnel has ended"),
    "offline": (503, "The device is not connected"), "silent": (502, "The device does not answer"),
    "not-web": (404, "This tunnel does not lead to a web page")
}


class Page(html.parser.HTMLParser):
    """Checks that tags close in order; keeps the title."""
    VOID = {"meta", "link", "br"}

    def __init__(self, text):
        super().__init__()
        self.stack, self.title, self.faults = [], "", []
        self.feed(text)
        self.close()
        if self.stack:
            self.faults.append(f"not closed: {self.stack}")

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.stack.append(tag)
        if tag in ("script", "img", "iframe"):
            self.faults.append(f"a page of ours has no {tag}")

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "title":
            self.title += data


def check_forms(rig, who, what, code):
    """One answer in its three forms, over both protocols."""
    status, title = TITLES[code]
    name = who.split(".")[0] if isinstance(who, str) else who["routes"][0]["name"]
    for http in (1.1, 2):
        got, headers, body = rig.get(
            who, http=http, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        page = Page(body.decode())
        tap.ok(
            got == status and headers["Content-Type"] == "text/html; charset=utf-8" and
            page.title == f"{status} {title}" and not page.faults,
            f"{what}: {status} as HTML (HTTP/{http})",
            f"{got} {headers}\n{body.decode()}\n{page.faults}")
        wanted = {
            "Cache-Control": "no-store", "Vary": "Accept", "X-Content-Type-Options": "nosniff",
            "Retry-After": "5" if status == 503 else None
        }
        tap.is_({k: headers[k] for k in wanted}, wanted, f"{what}: headers (HTTP/{http})")
        got, headers, body = rig.get(who, http=http, headers={"Accept": "application/json"})
        told = json.loads(body) if headers["Content-Type"] == "application/json" else {}
        tap.is_((got, told.get("status"), told.get("error"), told.get("title"), told.get("name")),
                (status, status, code, title, name), f"{what}: as JSON (HTTP/{http})")
        got, headers, body = rig.get(who, http=http, headers={"Accept": "text/plain"})
        tap.ok(
            got == status and headers["Content-Type"] == "text/plain; charset=utf-8" and
            body.decode().startswith(f"{status} {title}\n"), f"{what}: as text (HTTP/{http})",
            f"{got} {headers}\n{body}")
        got, headers, body = rig.get(who, http=http, method="HEAD")
        tap.is_((got, body, int(headers["Content-Length"] or 0) > 500), (status, b"", True),
                f"{what}: HEAD (HTTP/{http})")
        got, headers, body = rig.get(who, http=http, method="POST", body=b"x=1")
        tap.is_(got, status, f"{what}: POST (HTTP/{http})")
    connection = rig.connection(who)
    got = []
    for _ in range(3):
        connection.request("GET", "/")
        answer = connection.getresponse()
        got.append((answer.status, title.encode() in answer.read()))
    connection.close()
    tap.is_(got, [(status, True)] * 3, f"{what}: again and again on one connection")


def check_large_post(rig, who, what, status):
    """A visitor who sends 3 MB to nobody reads the answer all the same."""
    body = b"x" * 3_000_000
    try:
        got = rig.get(who, method="POST", body=body)[0]
    except OSError as e:
        got = e
    tap.is_(got, status, f"{what}: POST of 3 MB (HTTP/1.1)")
    got = rig.h2([(":method", "POST"), (":scheme", "https"), (":path", "/"),
                  (":authority", rig.host(who)), ("content-length", str(len(body)))], body)
    # a reset with NO_ERROR after the whole answer: send no more (RFC 9113, 8.1)
    tap.is_((got.status, got.ended and got.body.endswith(b"</html>\n"), got.reset or 0),
            (status, True, 0), f"{what}: POST of 3 MB (HTTP/2)")


def check_accept(rig):
    for accept, kind in ((None, "html"), ("*/*", "html"), ("", "html"), ("text/*", "html"),
                         ("image/png", "html"), ("application/json", "json"),
                         ("application/*", "json"), ("application/json, text/plain, */*",
                                                     "json"), ("text/plain", "plain"),
                         ("text/html;q=0.5, application/json;q=0.6",
                          "json"), ("text/html, application/json;q=0.9",
                                    "html"), ("application/json;q=0.1, */*;q=0.5",
                                              "html"), ("text/html;q=0, */*",
                                                        "json"), ("APPLICATION/JSON", "json"),
                         ("text/plain;charset=utf-8;q=1, text/html;q=0.3",
                          "plain"), ("application/json;q=bad", "html"), (";;;,,,q=", "html"),
                         ("application/json;q=-1",
                          "html"), ("application/json;Q=1, text/html;q=0.5", "json"), ("a" * 8000,
                                                                                       "html")):
        headers = rig.get("unheard-of", headers={} if accept is None else {"Accept": accept})[1]
        tap.like(headers["Content-Type"], kind, f"Accept: {str(accept)[:60]}")


def check_error_documents(rig, tunnels):
    for what, (who, status) in tunnels.items():
        got, headers, body = rig.get(who, "/text/x")
        tap.is_((got, body), (status, f"own text for {status}".encode()),
                f"{what}: ErrorDocument with a text")
        got, headers, body = rig.get(who, "/page/x")
        tap.is_((got, body), (status, b"own page\n"),
                f"{what}: ErrorDocument with a page of this server's")
        tap.is_(headers["Retry-After"], "5" if status == 503 else None,
                f"{what}: … and Retry-After")
        tap.is_(
            rig.get(who, "/page/x", method="POST", body=b"x")[0], status,
            f"{what}: … for a POST, too")
        if status == 410:
            got, headers, body = rig.get(who, "/elsewhere/x")
            tap.is_((got, headers["Location"]), (302, "https://relay.localhost/ended.html"),
                    f"{what}: ErrorDocument elsewhere")


def check_log(rig, name, tag, text, tunnel=None):
    with open(f"{rig.dir}/log/relay-error.log") as f:
        lines = [line for line in f if tag in line]
    wanted = rf"\[relay:info\].* {tag} {text}: name {name}" + (f", tunnel {tunnel}"
                                                               if tunnel else "") + r"\n"
    tap.ok(lines and re.search(wanted, lines[-1]),
           f"{tag} is logged, with the name" + (" and the tunnel" if tunnel else ""),
           f"lacks {wanted}\n" + "".join(lines[-3:]))


def timed(rig, low, high, what, *args, **kwargs):
    began = time.monotonic()
    status = rig.get(*args, **kwargs)[0]
    took = time.monotonic() - began
    tap.is_(status, 504, what)
    tap.between(took, low, high, f"… after {took:.2f} s")


@fixture
def rig():
    rig = Rig(vhost=VHOST)
    with open(f"{rig.www}/own.html", "w") as f:
        f.write("own page\n")
    # mod_proxy's own words for each device that fails
    rig.expect(
        r"AH01102: error reading status line|AH00898: Error reading from remote "
        r"server|AH0095[79]: http: attempt to connect"
        r"|AH01114: HTTP: failed to make connection|AH03354: .*handshake|AH01097|AH01084: pass "
        r"request body failed|AH00961|AH02003|AH01110|AH10154"
        r"|AH10163|AH01106|AH00898|AH01008|AH10508|AH02004|ssl:.*(Peer closed|handshake)")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


def opened(rig, service):
    """A tunnel that is connected."""
    tunnel = rig.open(service)
    rig.connect(tunnel)
    return tunnel


@fixture
def soon(rig, device):
    """A tunnel that expires at once."""
    return rig.open(device.url, ttl="1s")


@fixture
def live(rig, device):
    live = opened(rig, device.url)
    tap.is_(rig.get(live)[0], 200, "a live tunnel answers")
    return live


@fixture
def closed(rig, device):
    closed = opened(rig, device.url)
    tap.is_(rig.get(closed)[0], 200, "another, too")
    rig.rly("close", closed["id"])
    tap.is_(rig.status_after(closed), 410, "and is gone at once when it is closed")
    return closed


@fixture
def expired(rig, soon):
    wait_for(lambda: rig.get(soon)[0] == 410, "expiry")
    return soon


@fixture
def offline(rig, device):
    """A tunnel whose device is not connected."""
    return rig.open(device.url)


@fixture
def silent(rig, device):
    """{what: tunnel} of services that do not answer."""
    down, tls = free_port(), rig.device("tls", tls=True)
    return {
        "http service down": opened(rig, f"http://127.0.0.1:{down}"), "https service down":
        opened(rig, f"https://127.0.0.1:{down}"), "h2c service down":
        opened(rig, f"h2c://127.0.0.1:{down}"), "https:// to a service without TLS":
        opened(rig, f"https://127.0.0.1:{device.port}"), "http:// to a service with TLS":
        opened(rig, f"http://127.0.0.1:{tls.port}"), "h2c:// to a service without it":
        opened(rig, f"h2c://127.0.0.1:{device.port}")
    }


@test
def unknown(rig):
    check_forms(rig, "unheard-of", "an unknown name", "unknown")
    check_log(rig, "unheard-of", "RLY140", "unknown name")
    headers = {"Host": f"a.b.{rig.domain}", "Accept": "application/json"}
    tap.is_(
        json.loads(rig.get("unheard-of", headers=headers)[2])["name"], "",
        "no valid label: JSON has no name")


@test
def gone(rig, soon, closed):
    check_forms(rig, closed, "a closed tunnel", "gone")


@test
def not_connected(rig, offline):
    check_forms(rig, offline, "a device that is not connected", "offline")


@test
def not_web(rig):
    check_forms(rig, rig.open("tcp://127.0.0.1:22"), "a tcp:// service", "not-web")


@test
def no_answer(rig, silent):
    for what, tunnel in silent.items():
        check_forms(rig, tunnel, what, "silent")


@test
def over(rig, expired):
    check_forms(rig, expired, "an expired tunnel", "gone")
    check_log(rig, expired["routes"][0]["name"], "RLY141", "the tunnel has ended")


@test
def accept(rig):
    check_accept(rig)


@test
def large_posts(rig, closed, offline, silent):
    for what, who, status in (("unknown", "unheard-of", 404), ("closed", closed, 410),
                              ("not connected", offline, 503), ("service down",
                                                                silent["http service down"], 502)):
        check_large_post(rig, who, what, status)


@test
def error_documents(rig, closed, expired, offline, silent):
    check_error_documents(
        rig, {
            "unknown": ("unheard-of", 404), "closed": (closed, 410), "expired":
            (expired, 410), "not connected":
            (offline, 503), **{what: (tunnel, 502)
                               for what, tunnel in silent.items()}
        })
    with open(f"{rig.dir}/log/relay-access.log") as f:
        access = f.read()
    tap.like(access, rf'"GET /page/x HTTP/1.1" 503 .* tunnel={offline["id"]} ',
             "the access log names the tunnel, also with an ErrorDocument")


@test
def broken_devices(rig, live):
    for http in (1.1, 2):
        timed(rig, 0.9, 5, f"a service that hangs (HTTP/{http})", live, "/slow?s=20", http=http)
        for path in ("/close", "/garbage"):
            tap.is_(rig.get(live, path, http=http)[0], 502, f"a device's {path} (HTTP/{http})")
        tap.is_(
            rig.get(live, "/close", method="POST", body=b"x", http=http)[0], 502,
            f"a device's /close, POST (HTTP/{http})")
    try:
        half = rig.get(live, "/half")[2]
    except Exception as e:  # http.client.IncompleteRead, or the connection broke
        half = e
    tap.ok(not isinstance(half, bytes), "an answer that breaks off does not pass for a whole one",
           half)


@test
def own_errors(rig, live):
    for http in (1.1, 2):
        for code in (404, 410, 502, 503):
            got, headers, body = rig.get(live, f"/status?code={code}", http=http)
            tap.is_((got, headers["X-Device"], headers["Retry-After"], body),
                    (code, "nas", None, f"nas: status {code}\n".encode()),
                    f"a device's own {code} is passed on (HTTP/{http})")


@test
def deaf(rig):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        tunnel = opened(rig, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        timed(rig, 0.9, 5, "a service that accepts and says nothing", tunnel)


@test
def frozen(rig, device, live):
    frozen = rig.open(device.url)
    session = rig.connect(frozen)
    session.process.send_signal(signal.SIGSTOP)
    timed(rig, 0.9, 5, "a device that is frozen", frozen)
    session.process.send_signal(signal.SIGCONT)
    tap.is_(rig.get(frozen)[0], 200, "which answers when it is awake again")
    tap.is_(rig.get(live)[0], 200, "nobody else was harmed")
    check_log(rig, frozen["routes"][0]["name"], "RLY166",
              "the device has not begun its answer in time", frozen["id"])


@test
def comes_back(rig, device):
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "200 while the device is connected")
    session.stop()
    session.wait_down()
    tap.is_(rig.get(tunnel)[0], 503, "503 when the device has disconnected")
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "200 at once when it is back")
    check_log(rig, tunnel["routes"][0]["name"], "RLY142", "the device is not connected",
              tunnel["id"])


tap.run()
