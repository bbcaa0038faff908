#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A request goes to the device whose name it has, and the device gets it as it was: Host, path,
environment, redirects."""
import json
import os
import re

from lib import fixture, Rig, tap, test, wait_for

VHOST = """
    Alias "/icons/" "/usr/share/apache2/icons/"
    Alias "/alias" "{www}/aliased"
    <Directory "/usr/share/apache2/icons">
        Require all granted
    </Directory>
    <Location "/relay-status">
        SetHandler server-status
    </Location>
    <Location "/">
        Require expr "reqenv('RELAY_DEVICE') != 'forbidden'"
    </Location>
    Header always set X-Env "%{{RELAY_NAME}}e|%{{RELAY_TUNNEL}}e|%{{RELAY_DEVICE}}e" env=RELAY_NAME
    LogFormat "%{{RELAY_NAME}}e|%{{RELAY_TUNNEL}}e|%{{RELAY_DEVICE}}e|%U|%>s" relayenv
    CustomLog "{dir}/log/env.log" relayenv
"""


def status_of(answer):
    first = answer.split(b"\r\n", 1)[0].split()
    return int(first[1]) if len(first) > 1 and first[1].isdigit() else None


def send(rig, host, path=b"/", version=b"1.1", line=None, sni=None, extra=b""):
    """One request with exactly these bytes; host None: no Host header. Returns (status, answer)."""
    head = line or b"GET %s HTTP/%s" % (path, version)
    host = b"" if host is None else b"Host: %s\r\n" % host
    answer = rig.raw(head + b"\r\n" + host + extra + b"Connection: close\r\n\r\n", sni)
    return status_of(answer), answer


def where(answer):
    """Says who answered: a device's id, `site` (the vhost's own content), `unknown` (mod_relay's
    404) or a status."""
    head, _, body = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"x-device: "):
            return line[10:].decode()
    if b"the site itself" in body:
        return "site"
    if b"There is nothing at this address" in body:
        return "unknown"
    return status_of(answer)


@fixture
def rig():
    rig = Rig(start=False)
    os.mkdir(f"{rig.www}/aliased")
    for path, text in (("index.html", "the site itself\n"), ("aliased/file.txt", "aliased\n")):
        with open(f"{rig.www}/{path}", "w") as f:
            f.write(text)
    rig.vhost_extra = VHOST.format(www=rig.www, dir=rig.dir)
    rig.start()
    yield rig
    rig.ends_cleanly()


@fixture
def tunnel(rig):
    tunnel = rig.open(rig.device("nas").url, device="The NAS, 2nd floor")
    rig.connect(tunnel)
    return tunnel


@fixture
def name(tunnel):
    return tunnel["routes"][0]["name"]


@fixture
def other(rig):
    """The name of a second tunnel, which somebody chose."""
    rig.connect(rig.open(rig.device("cam").url, name="my-cam"))
    return "my-cam"


@test
def hosts(rig, name, other):
    full = f"{name}.{rig.domain}"
    cases = [
        ("the name", full, "nas"),
        ("with a port", f"{full}:{rig.https_port}", "nas"),
        ("with another port", f"{full}:1", "nas"),
        ("an empty port (httpd itself refuses it)", f"{full}:", 400),
        ("a trailing dot", f"{full}.", "nas"),
        ("a trailing dot and a port", f"{full}.:443", "nas"),
        ("upper case", full.upper(), "nas"),
        ("spaces around it", f"  {full}\t", "nas"),
        ("another's name", f"{other}.{rig.domain}", "cam"),
        ("the domain itself", rig.domain, "site"),
        ("the domain itself with a dot", f"{rig.domain}.", "site"),
        ("a reserved name", f"www.{rig.domain}", "site"),
        ("an unknown name", f"unheard-of.{rig.domain}", "unknown"),
        ("a name under another domain", f"{name}.example.com", "site"),
        ("a domain that only ends alike", f"{name}.x{rig.domain}", "site"),
        ("a domain with ours in front", f"{full}.example.com", "site"),
        ("a label and no domain", name, "site"),
        ("localhost", "localhost", "site"),
        ("an IPv4 address", "127.0.0.1", "site"),
        ("an IPv4 address with a port", "127.0.0.1:443", "site"),
        ("an IPv6 address", "[::1]", "site"),
        ("an IPv6 address with a port", "[::1]:443", "site"),
        ("several labels", f"www.{full}", "unknown"),
        ("several labels, the name first", f"{name}.www.{rig.domain}", "unknown"),
        ("an IDN label", f"xn--bcher-kva.{rig.domain}", "unknown"),
        ("a label of 63", f"{'a' * 63}.{rig.domain}", "unknown"),
        ("a label of 64", f"{'a' * 64}.{rig.domain}", "unknown"),
        ("a label of 4,000", f"{'a' * 4000}.{rig.domain}", "unknown"),
        ("a name with an underscore", f"{name}_.{rig.domain}", "unknown"),
        ("a name with a hyphen in front", f"-{name}.{rig.domain}", "unknown"),
        ("no label", f".{rig.domain}", "unknown"),
        ("two dots", f"{name}..{rig.domain}", 400),
        ("two dots at the end", f"{full}..", 400),
        ("a port that is none", f"{full}:x", 400),
        ("a port over 65535", f"{full}:65536", 400),
        ("a user", f"user@{full}", 400),
        ("two names", f"{full}, {other}.{rig.domain}", 400),
        ("a path", f"{full}/", 400),
        ("a percent escape", f"%61{full}", 400),
        ("10 kB", f"{'a' * 10240}.{rig.domain}", 400),
        ("empty", "", 400),
    ]
    for what, host, expected in cases:
        answer = send(rig, host.encode())[1]
        tap.is_(where(answer), expected, f"Host: {what}")
    for what, host in (("a NUL byte in the name",
                        full.encode().replace(b".", b"\0.",
                                              1)), ("a NUL byte after it", full.encode() + b"\0"),
                       ("a byte over 127", b"\xe4" + full.encode()), ("a control character",
                                                                      full.encode() + b"\x01"),
                       ("an escape", b"\x1b[2J" + full.encode())):
        tap.is_(status_of(send(rig, host)[1]), 400, f"Host: {what}")
    tap.is_(send(rig, None)[0], 400, "no Host, HTTP/1.1")
    rig.expect("AH02031: Hostname .* provided via SNI, but no hostname provided in HTTP request")
    tap.is_(send(rig, None, version=b"1.0")[0], 400, "no Host, HTTP/1.0, but SNI")
    tap.is_(where(send(rig, full.encode(), version=b"1.0")[1]), "nas", "Host in HTTP/1.0")
    both = f"Host: {other}.{rig.domain}\r\n".encode()
    tap.is_(send(rig, full.encode(), extra=both)[0], 400, "two Host headers")


@test
def other_ways(rig, name, other):
    """SNI, absolute URI and :authority."""
    full, second = f"{name}.{rig.domain}", f"{other}.{rig.domain}"
    tap.is_(where(send(rig, full.encode(), sni=second)[1]), "nas",
            "SNI says another name: Host counts")
    tap.is_(where(send(rig, rig.domain.encode(), sni=full)[1]), "site",
            "SNI says a name, Host the domain: Host counts")
    for scheme in (b"https", b"http"):
        line = b"GET %s://%s/echo/abs?q=1 HTTP/1.1" % (scheme, full.encode())
        answer = send(rig, full.encode(), line=line)[1]
        tap.is_(where(answer), "nas", f"an absolute URI ({scheme.decode()}) in the request line")
        if where(answer) == "nas":
            tap.is_(
                json.loads(answer.partition(b"\r\n\r\n")[2])["target"], "/echo/abs?q=1",
                "… the device gets its path")
    line = b"GET https://%s/echo HTTP/1.1" % full.encode()
    answer = send(rig, second.encode(), line=line)[1]
    tap.ok(
        where(answer) in ("nas", 400),
        "an absolute URI counts where Host differs (RFC 9112, 3.2.2)", answer)
    if where(answer) == "nas":
        headers = dict(json.loads(answer.partition(b"\r\n\r\n")[2])["headers"])
        tap.is_((headers["Host"], headers["X-Forwarded-Host"]), (full, full),
                "… and the device is told that name only")
    answer = send(rig, full.encode(), line=b"GET https://%s HTTP/1.1" % full.encode())[1]
    tap.is_(where(answer), "nas", "an absolute URI without a path")
    tap.ok(
        send(rig, full.encode(), line=b"OPTIONS * HTTP/1.1")[0] == 200,
        "OPTIONS * is answered by the server itself")
    tap.is_(
        send(rig, full.encode(), line=b"CONNECT %s:443 HTTP/1.1" % full.encode())[0], 405,
        "CONNECT is refused")
    tap.is_(send(rig, full.encode(), line=b"GET echo HTTP/1.1")[0], 400, "a path without a slash")


@test
def http2(rig, name, other):
    full, second = f"{name}.{rig.domain}", f"{other}.{rig.domain}"

    def ask(authority, path="/", extra=()):
        pseudo = [(":method", "GET"), (":scheme", "https"), (":path", path)]
        if authority is not None:
            pseudo.append((":authority", authority))
        answer = rig.h2(pseudo + list(extra))
        return answer.status, answer.headers, answer.body

    for what, authority in (("the name", full), ("with a port", f"{full}:443"),
                            ("upper case", full.upper()), ("a trailing dot", full + ".")):
        tap.is_(ask(authority)[1].get("x-device"), "nas", f":authority: {what}")
    tap.is_(
        ask(second)[1].get("x-device"), "cam",
        ":authority of another route on the same certificate")
    tap.ok(b"the site itself" in ask(rig.domain)[2], ":authority: the domain itself")
    tap.ok(b"There is nothing at this address" in ask(f"a.b.{rig.domain}")[2],
           ":authority: several labels")
    status, headers, body = ask(full, "/echo", [("host", second)])
    tap.ok(status in ("reset", 400) or headers.get("x-device") == "nas",
           "Host and :authority differ: :authority counts", (status, headers))
    if headers.get("x-device") == "nas":
        told = {k.lower(): v for k, v in json.loads(body)["headers"]}
        tap.is_((told["host"], told["x-forwarded-host"]), (full, full),
                "… and the device is told that name only")
    tap.is_(ask(None, "/", [("host", full)])[1].get("x-device"), "nas", "Host without :authority")
    tap.ok(ask(None)[0] in ("reset", 400), "neither Host nor :authority")
    for path in PATHS:
        if path.isascii():
            status, headers, body = ask(full, path)
            got = json.loads(body)["target"] if headers.get("x-device") == "nas" else (status,
                                                                                       body[:200])
            tap.is_(got, path, f"over HTTP/2, as sent: {path[:60]}")


def misdirected(rig, full, second):
    """(SNI, :authority, who answers; 421: the client is sent to a connection of its own)."""
    bare, port = rig.domain, f":{rig.https_port}"
    return [
        (full, full, "nas"),
        (full, full + port, "nas"),
        (full, full.upper(), "nas"),
        (full, full + ".", "nas"),
        (full, f"{full}.{port}", "nas"),
        (full.upper(), full, "nas"),
        (full + ".", full, "nas"),
        (None, full, "nas"),
        (None, bare, "site"),
        ("127.0.0.1", full, "nas"),  # no SNI, that is
        (second, full, 421),
        (second, full + port, 421),
        (second.upper(), full + ".", 421),
        (bare, full, 421),
        (bare.upper(), full, 421),
        (f"ssh.{bare}", full, 421),
        (f"www.{bare}", full, 421),
        (f"a.{full}", full, 421),
        (f"x{full}", full, 421),
        (f"{full}.example.com", full, 421),
        ("elsewhere.example.com", full, 421),
        (f"never-heard-of.{bare}", full, 421),
        (full, f"never-heard-of.{bare}", 421),
        (f"never-heard-of.{bare}", f"never-heard-of.{bare}", "unknown"),
        (full, f"a.b.{bare}", 421),
        (bare, f"a.b.{bare}", "unknown"),
        # the relay's own pages are no part of a device's connection, and have their own
        (full, bare, 421),
        (full, f"www.{bare}", 421),
        (full, "elsewhere.example.com", 421),
        (bare, bare, "site"),
        (bare.upper(), bare + ".", "site"),
        (f"www.{bare}", bare, "site"),
        (bare, f"www.{bare}", "site"),
    ]


@test
def one_connection_per_name(rig, name, other):
    full, second = f"{name}.{rig.domain}", f"{other}.{rig.domain}"
    for sni, authority, expected in misdirected(rig, full, second):
        answer = rig.h2_over(sni, [(":method", "GET"), (":scheme", "https"), (":path", "/"),
                                   (":authority", authority)])
        fields = "".join(f"{k}: {v}\r\n" for k, v in answer.headers.items())
        got = where(f"HTTP/2 {answer.status}\r\n{fields}\r\n".encode() + answer.body)
        tap.is_(got, expected, f"HTTP/2, SNI {sni}, :authority {authority}")
        if expected == 421:
            page = re.sub(re.escape(authority), "", answer.body.decode(), flags=re.I)
            leak = [w for w in (name, other, "127.") if w in page]
            tap.ok(answer.ended and not leak, "… with a page that names no other device", page)
    answer = rig.h2_over(second, [(":method", "POST"), (":scheme", "https"), (":path", "/upload"),
                                  (":authority", full)], b"x" * 3_000_000)
    tap.is_((answer.status, answer.ended, answer.reset or 0), (421, True, 0),
            "a POST of 3 MB gets a whole answer, too")
    for sni in (second, rig.domain):
        tap.is_(where(send(rig, full.encode(), sni=sni)[1]), "nas",
                f"HTTP/1.1 has a request at a time: SNI {sni} is served")


PATHS = [
    "/echo/a%2Fb",
    "/echo/a%2fb",
    "/echo//double///slash//",
    "/echo/%41%e4%FF%c3%a4",
    "/echo/a%252Fb",
    "/echo/%5c%5C",
    "/echo/;p=1;q",
    "/echo/a+b%20c",
    "/echo/~user/:x@y!$&'()*,=",
    "/echo/./x/",
    "/echo/a/../b",
    "/echo/%2e%2e/%2E/b",
    "/echo/?",
    "/echo/?a=b&c=%20+&d=%2F%3F",
    "/echo/a?b?c=//d",
    "/echo/?%00%0a",
    "/echo/?" + "x" * 7000,
    "/echo/%7Fx",
    "/echo/%0d%0aX-Injected:%20y",
    "/echo/proxy:http://127.0.0.1:1/",
    "/echo/unix:/tmp/x|http://y/",
    "/echo/a%3Fb",
    "/echo/a%23b",
]


@test
def paths(rig, tunnel, name):
    for path in PATHS:
        if "|" in path:  # not in a URI (RFC 3986): httpd refuses it as such
            continue
        status, headers, body = rig.get(tunnel, path)
        got = json.loads(body)["target"] if headers.get("X-Device") == "nas" else (status,
                                                                                   body[:200])
        tap.is_(got, path, f"as sent: {path[:60]}")
    rig.expect("AH10244: invalid URI path")
    for what, target in (("an escaped NUL", b"/echo/%00x"), ("an escape cut short", b"/echo/%4"),
                         ("no escape", b"/echo/%zz")):
        status, answer = send(rig, f"{name}.{rig.domain}".encode(), path=target)
        tap.ok(
            where(answer) == "nas" or status in (400, 404), f"{what} gives an answer, {status}",
            answer)
    status, answer = send(rig, f"{name}.{rig.domain}".encode(), path=b"/../../etc/passwd")
    tap.ok(status == 400 or where(answer) == "nas",
           "a path above the root stays outside of the relay's files", answer)


@test
def own_content(rig, tunnel):
    status, headers, body = rig.get(rig.domain, "/icons/text.gif")
    tap.ok(status == 200 and "X-Device" not in headers, "the domain's own Alias works")
    status, headers, body = rig.get(rig.domain, "/alias/file.txt")
    tap.is_((status, body), (200, b"aliased\n"), "another Alias works")
    tap.is_(
        rig.get(tunnel, "/icons/text.gif")[1].get("X-Device"), "nas",
        "/icons/ on a device's name is the device's")
    tap.is_(
        rig.get(tunnel, "/alias/file.txt")[1].get("X-Device"), "nas", "and so is every other Alias")
    tap.is_(
        rig.get(tunnel, "/relay-status")[1].get("X-Device"), "nas", "and every path with a handler")
    status, headers, body = rig.get(rig.domain, "/relay-status?auto")
    tap.like(
        body.decode(),
        r"RelayLink: up\nRelayCachedRoutes: \d+\nRelayCachedAbsent: \d+\nRelayBackends: \d+\n",
        "mod_status has the relay's lines")
    tap.like(
        rig.get(rig.domain, "/relay-status")[2].decode(), r"<h2>Relay relay1 \(this process\)</h2>",
        "and its page")
    tap.is_(rig.get(rig.domain, "/missing")[0], 404, "a missing file of the domain's own is 404")
    tap.unlike(rig.get(rig.domain, "/missing")[2].decode(), "tunnel", "with httpd's page")


@test
def environment(rig, tunnel, name):
    headers = rig.get(tunnel, "/echo/env")[1]
    expected = f"{name}|{tunnel['id']}|The NAS, 2nd floor"
    tap.is_(headers["X-Env"], expected, "Header sees RELAY_NAME, RELAY_TUNNEL, RELAY_DEVICE")
    with open(f"{rig.dir}/log/env.log") as f:
        # httpd writes it after the answer
        wait_for(lambda: "|/echo/env|" in f.read(), "the request's line in the access log")
        f.seek(0)
        tap.is_(f.read().splitlines()[-1], f"{expected}|/echo/env|200", "LogFormat sees them")
    tap.is_(
        rig.get(f"unheard-of.{rig.domain}")[1]["X-Env"], "unheard-of|(null)|(null)",
        "an unknown name: RELAY_NAME alone")
    tap.is_(
        rig.get(rig.domain)[1].get("X-Env"), None, "a request that is not ours has none of them")
    rig.expect("AH01630: client denied by server configuration: proxy:")
    secret = rig.open("9", device="forbidden")
    status, headers, body = rig.get(secret)
    tap.is_(status, 403, "Require expr with RELAY_DEVICE refuses before the device is asked")
    tap.is_(rig.get(tunnel)[0], 200, "and lets others through")


@test
def redirects(rig, tunnel, name):
    full = f"{name}.{rig.domain}"
    public = f"https://{full}:{rig.https_port}"
    cases = [
        ("http://192.168.1.9/login?a=b", "/login?a=b"),
        ("https://10.0.0.1:8443/x", "/x"),
        ("http://127.0.0.1:8080", "/"),
        ("http://localhost/a//b", "/a//b"),
        ("http://172.16.3.4?x=1", "/?x=1"),
        ("http://[::1]:80/y", "/y"),
        ("http://[fe80::1]/z", "/z"),
        ("http://172.32.3.4/", "http://172.32.3.4/"),
        ("http://192.168.1.9.example.com/", "http://192.168.1.9.example.com/"),
        ("http://example.com/", "http://example.com/"),
        ("/relative", "/relative"),
        ("//example.com/x", "//example.com/x"),
        (f"http://{full}/x", f"{public}/x"),
        (f"http://{full}:80/x", f"{public}/x"),
        (f"https://{full}/x", f"{public}/x"),
        (f"https://{full}:5001/x", f"{public}/x"),
        (f"http://{full}:{rig.https_port}/x", f"{public}/x"),
        (f"{public}/x", f"{public}/x"),
    ]
    for to, expected in cases:
        status, headers, _ = rig.get(tunnel, f"/redirect?to={to.replace('&', '%26')}")
        tap.is_((status, headers["Location"]), (302, expected), f"a device's redirect to {to}")
    cookie = rig.get(tunnel, f"/cookie?domain={rig.domain}")[1]["Set-Cookie"]
    tap.is_(cookie, "device=nas; Path=/; HttpOnly",
            "a cookie for the whole domain becomes one for this name")
    status, headers, _ = rig.get(tunnel, "/cookie")
    tap.is_(headers["Set-Cookie"], "device=nas; Path=/; HttpOnly", "another cookie stays as it is")


tap.run()
