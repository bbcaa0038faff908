#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a device answers comes as it was sent: bytes, ETags, lengths, ranges, types. httpd has the
modules that Debian's apache2 begins with, with Debian's configuration of them, and mod_brotli.
"""
import gzip
import http.client
import http.server
import json
import socket
import threading

from lib import fixture, MODULES, Rig, tap, test
from lib.tap import is_, like

BROTLI = (f"LoadModule brotli_module {MODULES}/mod_brotli.so\n"
          "AddOutputFilterByType BROTLI_COMPRESS text/html text/plain")
TEXT = b"<p>" + b"all work and no play " * 500
ZIPPED = gzip.compress(TEXT, mtime=0)
OURS = {"date", "server", "referrer-policy"}  # what the relay says where a device does not


class Handler(http.server.BaseHTTPRequestHandler):
    """A careful server: it revalidates by its ETags, serves ranges, and compresses where the path
    says so."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        zipped = self.path.startswith("/zipped")
        body, etag = (ZIPPED, '"z1"') if zipped else (TEXT, '"v1"')
        status, fields = 200, [("ETag", etag), ("Accept-Ranges", "bytes")]
        if "untyped" not in self.path:
            fields.append(("Content-Type", "text/html"))
        if zipped:
            fields += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        if self.headers.get("If-None-Match") == etag:
            status, body = 304, b""
        elif self.headers.get("Range") and self.headers.get("If-Range", etag) == etag:
            status, body = 206, body[10:20]
            fields.append(("Content-Range", f"bytes 10-19/{len(TEXT)}"))
        if status != 304:
            fields.append(("Content-Length", str(len(body))))
        self.send_response(status)
        for field in fields:
            self.send_header(*field)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


class IPv6Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@fixture
def rig():
    rig = Rig(httpd_conf=BROTLI)
    yield rig
    rig.ends_cleanly()


def serve(server):
    threading.Thread(target=server.serve_forever, args=(0.05, ), daemon=True).start()
    return server


@fixture
def server():
    with serve(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server
        server.shutdown()


@fixture
def tunnel(rig, server):
    tunnel = rig.open(f"http://127.0.0.1:{server.server_port}")
    rig.connect(tunnel)
    return tunnel


def shown(answer):
    """(status, fields, body) of an answer, without what the relay may add"""
    status, fields, body = answer
    return (status, sorted(
        (k.lower(), v) for k, v in fields.items() if k.lower() not in OURS), body)


def direct(server, path, headers, method):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def requests(etag):
    """Yields (method, fields) of requests for something that has this ETag."""
    yield "GET", {}
    yield "HEAD", {}
    yield "GET", {"If-None-Match": etag}
    yield "GET", {"If-None-Match": '"v0"'}
    yield "GET", {"Range": "bytes=10-19"}
    yield "GET", {"Range": "bytes=10-19", "If-Range": etag}
    yield "GET", {"Range": "bytes=10-19", "If-Range": '"v0"'}


@test
def as_sent(rig, server, tunnel):
    zipped = {"Accept-Encoding": "gzip, br"}
    for path, etag in (("/", '"v1"'), ("/zipped", '"z1"')):
        for method, fields in requests(etag):
            came = rig.get(tunnel, path, headers={**zipped, **fields}, method=method)
            is_(shown(came), shown(direct(server, path, {**zipped, **fields}, method)),
                f"{method} {path} {fields or ''}: as it was sent")
    is_(rig.get(tunnel, "/", headers=zipped, http=2)[2], TEXT, "and over HTTP/2")


@test
def untyped(rig, server, tunnel):
    """Names by which mod_mime, mod_status, mod_alias and mod_autoindex act on files of their own.
    """
    for path in ("/untyped.js", "/untyped.html.de", "/untyped.tar.gz", "/untyped.shtml",
                 "/untyped.var", "/server-status", "/icons/untyped.gif", "/.htaccess", "/~root/",
                 "/cgi-bin/x"):
        is_(shown(rig.get(tunnel, path)), shown(direct(server, path, {}, "GET")),
            f"{path}: as it was sent")


@test
def ipv6(rig):
    """A service at an IPv6 address, by OpenSSH."""
    with serve(IPv6Server(("::1", 0), Handler)) as server:
        service = f"http://[::1]:{server.server_port}"
        result = rig.rly("open", "--json", "-t", "10m", "-o", f"{rig.dir}/bundles/six", service)
        tunnel = json.loads(result.stdout)
        rig.connect(tunnel)
        is_(rig.get(tunnel)[2], TEXT, "a service at an IPv6 address is reached")
        like(result.stderr, "note: .*dropbear", "rly open says what dropbear's client cannot do")
        server.shutdown()


tap.run()
