#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""By which name a device is asked (rly open --host), and what it is told of the relay
(--forwarded): devices that check Host, SNI, Origin, WebDAV's Destination and X-Forwarded-*, as real
ones do.

The names end in .test: applications treat those below .localhost as their own.
"""
import asyncio
import http.server
import json
import os
import socket
import ssl
import threading

import websockets

from lib import fixture, Rig, tap, test, wait_for
from lib.basics import free_port
from lib.rigpki import self_signed
from lib.server import Server
from lib.tap import is_, ok

PUBLIC, DEVICE, NAME = "public", "device", "nas.lan:8080"
# What an administrator may have said of names. The route counts.
VHOST = """
    ProxyPreserveHost Off
    ProxyVia On
    <Location "/own-rules">
        ProxyPreserveHost Off
        ProxyAddHeaders Off
    </Location>
"""
FOREIGN = ("null", "https://evil.example", "http://10.0.0.1")


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked: its fields, and the name in TLS. /HOST/…: 421 for another
    Host, as Home Assistant, JupyterLab or Syncthing do it."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {
            "fields": [(k.lower(), v) for k, v in self.headers.items()], "sni":
            getattr(self.connection, "sni", None)
        }
        wants = self.path.split("/")[1] if self.path.count("/") > 1 else None
        body = json.dumps(told).encode()
        self.send_response(421 if wants and wants not in ("own-rules",
                                                          self.headers["Host"]) else 200)
        self.send_header("Content-Length", str(len(body)))
        if "Origin" in self.headers:
            self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass


def serve(context=None):
    """@return the port"""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def tls_context(directory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(f"{directory}/pki/names.pem"))

    def notes(sock, name, _):
        sock.sni = name

    context.sni_callback = notes
    return context


DAV_CONF = """\
ServerRoot "{dir}"
PidFile "{dir}/httpd.pid"
ServerName dav
User www-data
Group www-data
ErrorLog "{dir}/error.log"
Listen 127.0.0.1:{port}
{modules}
DavLockDB "{dir}/locks/db"
DocumentRoot "{dir}/files"
Protocols h2c http/1.1
LogFormat "%{{Host}}i|%{{X-Forwarded-Host}}i|%{{X-Forwarded-For}}i|%{{X-Forwarded-Server}}i|%U" told
CustomLog "{dir}/told.log" told
<Location "/">
    Dav On
    Require all granted
</Location>
"""
DAV_MODULES = "mpm_event authz_core dav dav_fs http2"


class Dav:
    """Debian's Apache as a WebDAV server, over HTTP/1.1 and h2c."""
    def __init__(self, rig):
        self.dir, self.port = f"{rig.dir}/dav", free_port((rig.http_port, rig.https_port))
        for name in ("", "/files", "/locks"):
            os.mkdir(self.dir + name)
            os.chmod(self.dir + name, 0o777)
        modules = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so"
                            for m in DAV_MODULES.split())
        with open(f"{self.dir}/httpd.conf", "w") as f:
            f.write(DAV_CONF.format(dir=self.dir, port=self.port, modules=modules))
        argv = ["/usr/sbin/apache2", "-f", f"{self.dir}/httpd.conf", "-D", "FOREGROUND"]
        self.server = Server(rig, "the WebDAV server", argv, self.answers, f"{self.dir}/out")
        self.server.start()

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def put(self, name):
        path = f"{self.dir}/files/{name}"
        with open(path, "w") as f:
            f.write("content")
        os.chmod(path, 0o666)

    def files(self):
        return sorted(n for n in os.listdir(f"{self.dir}/files") if not n.startswith("."))

    def told(self, path):
        """What the last request was told, whose path this is. httpd logs it after its answer."""
        def line():
            with open(f"{self.dir}/told.log") as f:
                lines = f.read().split("\n")
            return lines[-2].split("|") if len(lines) > 1 else [None]

        wait_for(lambda: line()[-1] == path, f"{path} in the device's log")
        return line()[:-1]

    def stop(self):
        self.server.stop()


class WebSockets:
    """A server that takes WebSockets from pages of certain origins only."""
    def __init__(self):
        self.origins, ready = [], threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.run(ready)), daemon=True).start()
        ready.wait(10)

    async def run(self, ready):
        async def handler(ws, path=None):
            await ws.send("hello")

        server = await websockets.serve(handler, "127.0.0.1", 0, origins=self.origins)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await asyncio.Future()


@fixture
def rig():
    rig = Rig(domain="relay.test", vhost=VHOST)
    yield rig
    rig.ends_cleanly()


@fixture
def dav(rig):
    dav = Dav(rig)
    yield dav
    dav.stop()


@fixture
def routes(rig, dav):
    """{(--host, which): (name, service)}: which of http, tls, address (TLS, by its address), ws,
    dav, h2c; and `silent', http with --forwarded off."""
    plain, tls, ws = serve(), serve(tls_context(rig.dir)), WebSockets()
    services = {
        "http": f"http://127.0.0.1:{plain}", "tls": f"https://localhost:{tls}", "address":
        f"https://127.0.0.1:{tls}", "ws": f"http://127.0.0.1:{ws.port}", "dav":
        f"http://127.0.0.1:{dav.port}", "h2c": f"h2c://127.0.0.1:{dav.port}"
    }
    found = {}
    for mode in (PUBLIC, DEVICE, NAME):
        tunnel = rig.open(*services.values(), args=("--host", mode))
        rig.connect(tunnel)
        for which, route in zip(services, tunnel["routes"]):
            found[mode, which] = (route["name"], route["service"])
    for mode in (PUBLIC, DEVICE):
        quiet = rig.open(services["http"],
                         services["h2c"],
                         args=("--host", mode, "--forwarded", "off"))
        rig.connect(quiet)
        for which, route in zip(("silent", "silent-h2c"), quiet["routes"]):
            found[mode, which] = (route["name"], route["service"])
    ws.origins += [expected(rig, mode, *found[mode, "ws"])[1] for mode in (DEVICE, NAME)
                   ] + [f"https://{rig.host(found[PUBLIC, 'ws'][0])}:{rig.https_port}"]
    return found


def public(rig, name):
    return f"{rig.host(name)}:{rig.https_port}"


def expected(rig, mode, name, service):
    """@return (Host, scheme://Host) as the device sees itself"""
    scheme, _, authority = service.partition("://")
    host = {PUBLIC: public(rig, name), DEVICE: authority}.get(mode, mode)
    return host, f"{scheme.replace('h2c', 'http')}://{host}"


def ask(rig, name, path="/", **more):
    status, _, body = rig.get(name, path, **more)
    told = json.loads(body)
    fields = {}
    for key, value in told["fields"]:
        fields.setdefault(key, []).append(value)
    return status, fields, told["sni"]


@test
def hosts(rig, routes):
    """Host, however the visitor writes the name; a device that checks it is content."""
    for mode in (PUBLIC, DEVICE, NAME):
        for which in ("http", "tls"):
            name, service = routes[mode, which]
            host, _ = expected(rig, mode, name, service)
            for version in (1.1, 2):
                status, fields, _ = ask(rig, name, f"/{host}/", http=version)
                is_((status, fields["host"]), (200, [host]),
                    f"--host {mode}, {which}, HTTP/{version}")
                is_((fields["x-forwarded-host"], fields["x-forwarded-for"],
                     fields["x-forwarded-proto"], fields["x-forwarded-server"]),
                    ([public(rig, name)], ["127.0.0.1"], ["https"], [rig.domain]),
                    f"--host {mode}, {which}, HTTP/{version}: and it is told of the visitor")
                ok("via" in fields, "and of the relay, which has ProxyVia on", fields)
        name, service = routes[mode, "http"]
        shout = public(rig, name).upper()
        is_(
            ask(rig, name, headers={"Host": shout})[1]["host"],
            [shout if mode == PUBLIC else expected(rig, mode, name, service)[0]],
            f"--host {mode}: a name in upper case")
        _, fields, _ = ask(rig, name, "/own-rules/x")
        is_((fields["host"], [f for f in fields if f.startswith("x-forwarded")]),
            ([expected(rig, mode, name, service)[0]], ["x-forwarded-proto"]),
            f"--host {mode}: in a <Location> with ProxyAddHeaders Off")


@test
def inner(rig, routes):
    """No device sees where on the relay it is."""
    for (mode, which), (name, _) in routes.items():
        if which in ("ws", "dav", "h2c", "silent-h2c"):
            continue
        listen = rig.redis("HGET", f"relay:route:{name}", "listen")
        for path in ("/", "/own-rules/x"):
            body = rig.get(name, path, headers={"Origin": "https://evil.example"})[2].decode()
            ok(listen not in body and listen.split(":")[0] not in body,
               f"--host {mode}, {which}, {path}: no listen address", body)


@test
def server_names(rig, routes):
    """The name in TLS; an address is none."""
    for mode, which, sni in ((PUBLIC, "tls", "NAME"), (PUBLIC, "address", "NAME"),
                             (DEVICE, "tls", "localhost"), (DEVICE, "address", None),
                             (NAME, "tls", "nas.lan"), (NAME, "address", "nas.lan")):
        name, _ = routes[mode, which]
        is_(
            ask(rig, name)[2],
            rig.host(name) if sni == "NAME" else sni, f"--host {mode}, {which}: SNI")


@test
def origins(rig, routes):
    """Origin and Referer say what the device takes for itself; foreign ones stay."""
    for mode in (PUBLIC, DEVICE, NAME):
        for which in ("http", "tls"):
            name, service = routes[mode, which]
            mine, other = public(rig, name), public(rig, routes[mode, "address"][0])
            _, to = expected(rig, mode, name, service)
            for spelling in (mine, mine.upper(), f"{rig.host(name)}.:{rig.https_port}"):
                sent = f"https://{spelling}"
                for version in (1.1, 2):
                    _, fields, _ = ask(rig,
                                       name,
                                       headers={"Origin": sent, "Referer": f"{sent}/a?b"},
                                       http=version,
                                       method="POST",
                                       body=b"x")
                    want = sent if mode == PUBLIC else to
                    is_((fields["origin"], fields["referer"]), ([want], [f"{want}/a?b"]),
                        f"--host {mode}, {which}, HTTP/{version}: {sent.replace(name, 'NAME')}")
            for sent in FOREIGN + (f"https://{other}", f"http://{mine}",
                                   f"https://{rig.host(name)}"):
                _, fields, _ = ask(rig, name, headers={"Origin": sent, "Referer": f"{sent}/a"})
                is_((fields["origin"], fields["referer"]), ([sent], [f"{sent}/a"]),
                    f"--host {mode}, {which}: {sent.replace(name, 'NAME')} stays")
            for sent in (f"https://{mine}", "https://evil.example", "null"):
                allowed = rig.get(name, headers={"Origin": sent})[1]["Access-Control-Allow-Origin"]
                is_(allowed, sent,
                    f"--host {mode}, {which}: who asks from {sent.replace(name, 'NAME')} may read")


@test
def silent(rig, routes, dav):
    """--forwarded off, for devices that refuse unknown proxies."""
    for mode in (PUBLIC, DEVICE):
        name, service = routes[mode, "silent"]
        host, _ = expected(rig, mode, name, service)
        for version in (1.1, 2):
            for path in ("/", "/own-rules/x"):
                _, fields, _ = ask(rig,
                                   name,
                                   path,
                                   headers={
                                       "Via": "1.1 mine", "X-Forwarded-For": "6.6.6.6", "Forwarded":
                                       "for=6.6.6.6"
                                   },
                                   http=version)
                is_([f for f in fields if "forward" in f or f == "via" or f == "x-real-ip"], [],
                    f"--host {mode}, HTTP/{version}, {path}: nothing of the relay")
                is_(fields["host"], [host], "and Host is as ever")
        name, service = routes[mode, "silent-h2c"]
        path = f"/none-{mode}".replace(" ", "-")
        rig.get(name, path)
        is_(dav.told(path), [expected(rig, mode, name, service)[0], "-", "-", "-"],
            f"--host {mode}, h2c: nothing of the relay")


async def greeting(rig, name, origin):
    host = rig.host(name)
    try:
        async with websockets.connect(f"wss://{public(rig, name)}/",
                                      ssl=rig.tls_context(),
                                      server_hostname=host,
                                      host=rig.address,
                                      port=rig.https_port,
                                      origin=origin) as ws:
            return await asyncio.wait_for(ws.recv(), 20)
    except websockets.exceptions.InvalidHandshake as e:  # its form has changed in version 14
        return e.status_code if hasattr(e, "status_code") else e.response.status_code


@test
def sockets(rig, routes):
    """A WebSocket server that looks at Origin takes its own page's, and no other's."""
    for mode in (PUBLIC, DEVICE, NAME):
        name, _ = routes[mode, "ws"]
        for origin, want in ((f"https://{public(rig, name)}", "hello"), ("https://evil.example",
                                                                         403)):
            is_(asyncio.run(greeting(rig, name, origin)), want,
                f"--host {mode}: a page of {origin.replace(name, 'NAME')}")


@test
def destinations(rig, routes, dav):
    """WebDAV: mod_dav compares Destination with the scheme and Host it is asked by."""
    for which in ("dav", "h2c"):
        for mode in (PUBLIC, DEVICE, NAME):
            name, service = routes[mode, which]
            mine = public(rig, name)
            for method, to, status in (("MOVE", f"https://{mine}/b",
                                        201), ("COPY", f"https://{mine}/b",
                                               201), ("MOVE", f"HTTPS://{mine.upper()}/b", 201),
                                       ("MOVE", f"https://me:pw@{mine}/b",
                                        201), ("MOVE", "https://evil.example/b", 502),
                                       ("MOVE", f"https://{public(rig, 'other')}/b", 502)):
                dav.put("a")
                got = rig.get(name, "/a", method=method, headers={"Destination": to})[0]
                left = (["b"] if method == "MOVE" else ["a", "b"]) if status == 201 else ["a"]
                is_((got, dav.files()), (status, left),
                    f"--host {mode}, {which}: {method} to {to.replace(name, 'NAME')}")
                for file in dav.files():
                    os.unlink(f"{dav.dir}/files/{file}")
            path = f"/told-{mode}-{which}"
            rig.get(name, path)
            is_(
                dav.told(path)[:3], [expected(rig, mode, name, service)[0], mine, "127.0.0.1"],
                f"--host {mode}, {which}: Host, and of whom it is told")


@test
def tags(rig, routes):
    """WebDAV's If names resources by their URLs, and locks by what the device called them."""
    for mode in (PUBLIC, DEVICE, NAME):
        for which in ("http", "tls"):
            name, service = routes[mode, which]
            mine, (_, to) = public(rig, name), expected(rig, mode, name, service)
            list_ = f"(<https://{mine}/token> [\"<https://{mine}/e>\"]) <https://evil.example/>"
            _, fields, _ = ask(
                rig,
                name,
                headers={"If": f"<https://{mine}/a> {list_} (<urn:1>)", "Destination": "/relative"},
                method="POST",
                body=b"x")
            is_((fields["if"], fields["destination"]),
                ([f"<{to}/a> {list_} (<urn:1>)"], ["/relative"]), f"--host {mode}, {which}: If")


tap.run()
