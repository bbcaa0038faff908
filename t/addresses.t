#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The redirects of real servers lead visitors on, whatever the servers take for their own address:
nginx, Apache with mod_dav, lighttpd and Python's http.server as devices. And addresses in answers
of devices that say nearly anything. unit/test_addresses.c has the tables."""
import os
import subprocess

from lib import fixture, free_port, Rig, tap, test
from lib.righttpd import ExtraHttpd
from lib.server import Server
from lib.trap import Trap

NGINX = """
daemon off; master_process off; pid {dir}/run/nginx.pid; error_log {dir}/log/nginx.out warn;
events {{ worker_connections 64; }}
http {{
    access_log off; root {dir}/site;
    client_body_temp_path {dir}/run/nginx-body; proxy_temp_path {dir}/run/nginx-proxy;
    fastcgi_temp_path {dir}/run/nginx-fastcgi; uwsgi_temp_path {dir}/run/nginx-uwsgi;
    scgi_temp_path {dir}/run/nginx-scgi;
    server {{ listen 127.0.0.1:{port}; {lines} }}
}}
"""
# What an nginx on a port of its own can make of a redirect.
WAYS = (("absolute, with its port", ""), ("relative", "absolute_redirect off;"),
        ("absolute, without a port", "port_in_redirect off;"),
        ("its own name", "server_name nas.lan; server_name_in_redirect on;"),
        ("an address of its network",
         "location = /folder { return 301 http://192.168.1.9:81/folder/; }"))
LIGHTTPD = """
server.document-root = "{dir}/site"
server.bind = "127.0.0.1"
server.port = {port}
index-file.names = ( "index.html" )
server.modules = ( "mod_redirect" )
url.redirect = ( "^/old$" => "http://127.0.0.1:{port}/folder/" )
"""
DAV = """
<VirtualHost *:{http_port}>
    DocumentRoot "%(site)s"
    DavLockDB "%(site)s/dav-lock"
    <Directory "%(site)s">
        Dav On
        Require all granted
    </Directory>
</VirtualHost>
<VirtualHost *:{https_port}>
    ServerName %(domain)s
    SSLEngine on
    SSLCertificateFile %(cert)s
    SSLCertificateKeyFile %(key)s
</VirtualHost>
"""

# What the virtual host of earlier versions did about addresses.
OLD_VHOST = r"""
    Define dollar $
    ProxyPassInterpolateEnv On
    ProxyPassReverse / "${dollar}{RELAY_SERVICE}/" interpolate
    Header edit Location "^https?://(?:127(?:\.\d+){3}|10(?:\.\d+){3})(?::\d+)?(?=[/?#]|$)/?" \
        "/" env=RELAY_TUNNEL
    Header edit Location "^http://([^/:?#]+\.relay.localhost)(?::80(?=[/?#]|$))?(?=[:/?#]|$)" \
        "https://$1" env=RELAY_TUNNEL
"""


@fixture
def rig():
    rig = Rig()
    site = f"{rig.dir}/site"
    for path in (site, f"{site}/folder"):
        os.makedirs(path)
        os.chmod(path, 0o777)  # mod_dav writes as www-data
    with open(f"{site}/folder/index.html", "w") as f:
        f.write("found\n")
    yield rig
    rig.ends_cleanly()


def serve(rig, name, argv, port):
    """Starts a server as a device, with a tunnel to it. @return the tunnel"""
    def answers():
        return subprocess.run(["curl", "-qs", "--noproxy", "*", f"http://127.0.0.1:{port}/"],
                              stdout=subprocess.DEVNULL).returncode == 0

    server = Server(rig, name, argv, answers, f"{rig.dir}/log/{name}.out")
    rig.devices.append(server)
    server.start()
    return reach(rig, f"http://127.0.0.1:{port}")


def reach(rig, service):
    tunnel = rig.open(service)
    rig.connect(tunnel)
    return tunnel


def curl(rig, tunnel, path, *args, http=1.1):
    """@return (status, redirects followed, the last URL, what was sent)"""
    host = f"{rig.host(tunnel)}:{rig.https_port}"
    argv = [
        "curl", "-qsS", "--noproxy", "*", "--http2" if http == 2 else "--http1.1", "--cacert",
        rig.ca, "--max-time", "20", "--resolve", f"{host}:{rig.address}", "-L", "-w",
        "\n%{http_code} %{num_redirects} %{url_effective}", *args, f"https://{host}{path}"
    ]
    out = subprocess.run(argv, capture_output=True, text=True)
    body, _, told = out.stdout.rpartition("\n")
    status, count, url = told.split(" ", 2)
    return int(status), int(count), url.replace(f"https://{host}", ""), body + out.stderr


def follows(rig, tunnel, path, to, what):
    for http in (1.1, 2):
        tap.is_(curl(rig, tunnel, path, http=http), (200, 1, to, "found\n"),
                f"{what}, HTTP/{http}: {path} leads to {to}")


@test
def nginx(rig):
    taken = []
    for n, (what, lines) in enumerate(WAYS):
        taken.append(free_port(taken))
        conf = f"{rig.dir}/etc/nginx-{n}.conf"
        with open(conf, "w") as f:
            f.write(NGINX.format(dir=rig.dir, port=taken[-1], lines=lines))
        if "server_name" in lines:
            # The service is reached by the name that it has for itself.
            tunnel = serve(rig, f"nginx-{n}", ["nginx", "-c", conf], taken[-1])
            rig.redis("HSET", f"relay:route:{tunnel['routes'][0]['name']}", "service",
                      f"http://nas.lan:{taken[-1]}")
        else:
            tunnel = serve(rig, f"nginx-{n}", ["nginx", "-c", conf], taken[-1])
        follows(rig, tunnel, "/folder", "/folder/", f"nginx, {what}")


@test
def lighttpd(rig):
    port, conf = free_port(), f"{rig.dir}/etc/lighttpd.conf"
    with open(conf, "w") as f:
        f.write(LIGHTTPD.format(dir=rig.dir, port=port))
    tunnel = serve(rig, "lighttpd", ["lighttpd", "-D", "-f", conf], port)
    follows(rig, tunnel, "/folder", "/folder/", "lighttpd")
    follows(rig, tunnel, "/old", "/folder/", "lighttpd, to an address of its own")


@test
def python(rig):
    port = free_port()
    argv = ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "-d"]
    tunnel = serve(rig, "python", argv + [f"{rig.dir}/site", str(port)], port)
    follows(rig, tunnel, "/folder", "/folder/", "Python")


@test
def apache(rig):
    paths = {"domain": rig.domain, "site": f"{rig.dir}/site", "cert": rig.cert, "key": rig.key}
    httpd = ExtraHttpd(rig, "dav", ("ssl", "dav", "dav_fs", "dir"), DAV % paths)
    tunnel = reach(rig, f"http://127.0.0.1:{httpd.http_port}")
    public = f"https://{rig.host(tunnel)}:{rig.https_port}"
    follows(rig, tunnel, "/folder", "/folder/", "Apache")
    for http in (1.1, 2):
        path = f"/put-{int(http)}"
        status, headers, _ = rig.get(tunnel, path, method="PUT", body=b"x", http=http)
        tap.is_((status, headers["Location"]), (201, f"{public}{path}"),
                f"mod_dav, HTTP/{http}: where a new file is")
        tap.is_(rig.get(tunnel, path)[2], b"x", "and there it is")


@test
def fields(rig):
    device = Trap()
    tunnel = reach(rig, device.url)
    public = f"https://{rig.host(tunnel)}:{rig.https_port}"
    own = f"//admin@192.168.1.9:81/x?y, {public.replace('https', 'http')}/z"
    cases = [
        ("Location", "//admin@192.168.1.9:81/x?y", "/x?y"),
        ("location", f"http://127.0.0.1:{device.port}//evil.com", "/.//evil.com"),
        ("Content-Location", "http://[::ffff:10.0.0.1]/x", "/x"),
        ("Destination", "http:\\\\0x7f.1\\x", "/x"),
        ("Refresh", "0; URL='http://192.168.1.9/x'", "0; URL='/x'"),
        ("Link", "<http://nas.local/a>; rel=next, <//evil.com/b>",
         "</a>; rel=next, <//evil.com/b>"),
        ("X-Location", "http://192.168.1.9/", "http://192.168.1.9/"),
        ("Location", own.split(", ")[1], f"{public}/z"),
        ("Location", f"https://dog.{rig.domain}/x", f"https://dog.{rig.domain}/x"),
        ("Location", "//192.168.1.9@evil.com/", "//192.168.1.9@evil.com/"),
        ("Location", "http://evil/" + "x" * 8000, "http://evil/" + "x" * 8000),
    ]
    for http in (1.1, 2):
        for n, (name, value, expected) in enumerate(cases):
            device.answers[f"/{n}"] = (f"HTTP/1.1 201 Created\r\n{name}: {value}\r\n"
                                       "Content-Length: 0\r\n\r\n").encode()
            status, headers, _ = rig.get(tunnel, f"/{n}", http=http)
            tap.is_((status, headers[name]), (201, expected), f"{name}: {value[:60]}, HTTP/{http}")
    device.answers["/early"] = (
        b"HTTP/1.1 103 Early Hints\r\nLink: <http://10.0.0.1/a.css>; rel=preload\r\n"
        b"X-Other: http://10.0.0.1/\r\nSet-Cookie: a=b; Domain=x\r\nLink:<ws://0/b>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    host = rig.host(tunnel)
    answer = rig.raw(f"GET /early HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(),
                     host)
    tap.is_(sorted(answer.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]), [
        b"Link: </a.css>; rel=preload", f"Link: <wss://{host}/b>".encode(), b"Set-Cookie: a=b",
        b"X-Other: http://10.0.0.1/"
    ], "an interim answer")


@test
def old_vhost():
    with Rig(vhost=OLD_VHOST) as old:
        device = old.device()
        tunnel = reach(old, device.url)
        public = f"https://{old.host(tunnel)}:{old.https_port}"
        for to, expected in ((f"{device.url}/x", f"{public}/x"), ("http://10.0.0.1:81/x", "/x"),
                             ("http://10.0.0.1//evil.com", "/.//evil.com"), ("http://192.168.1.9/x",
                                                                             "/x"), ("/x", "/x"),
                             (public.replace("https", "http") + "/x",
                              f"{public}/x"), ("http://evil.com/x", "http://evil.com/x")):
            tap.is_(
                old.get(tunnel, f"/redirect?to={to}")[1]["Location"], expected,
                f"the lines of earlier virtual hosts do no harm: {to}")


tap.run()
