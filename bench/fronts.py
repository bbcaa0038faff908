# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The servers that Debian packages beside Apache: nginx (as the device, and as a peer) and haproxy.
Each is set up as its makers advise for this job."""
import os

from lib import relayrig

NGINX = """\
daemon off; master_process on; worker_processes {workers};
user www-data;
pid {run}/nginx.pid; error_log {log} warn;
events {{ worker_connections 8192; }}
http {{
    access_log {access};
    client_body_temp_path {run}/body; proxy_temp_path {run}/proxy; fastcgi_temp_path {run}/f;
    uwsgi_temp_path {run}/u; scgi_temp_path {run}/s;
    sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_timeout 75; keepalive_requests 100000000;
    client_max_body_size 0; types_hash_max_size 4096;
    include /etc/nginx/mime.types; default_type application/octet-stream;
{body}
}}
"""

# 1 kB at /; the files of www at their names; whatever is sent to /up is read and thrown away; /ws
# echoes.
DEVICE = """\
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {www};
        location = / {{ default_type text/plain; return 200 "{kilobyte}"; }}
        location /page/ {{ add_header Cache-Control no-store; etag off; if_modified_since off; }}
        location = /up {{ default_type text/plain; return 200 "ok"; }}
    }}
"""

# A port in the name, as people write it. proxy_pass with a variable cannot use an upstream block's
# `keepalive`: nginx makes a nameless upstream for each request, so each gets a connection of its
# own (ngx_http_upstream_resolved).
PEER = """\
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:SSL:10m; ssl_session_timeout 1d; ssl_session_tickets off;
    server {{
        listen {address}:{plain} backlog=4096; listen {address}:{tls} ssl http2 backlog=4096;
        server_name ~^p(?<port>\\d+)\\.{domain}$;
        location / {{
            proxy_pass http://127.0.0.1:$port;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering on; proxy_request_buffering off;
        }}
    }}
"""

# One backend whose server's address comes from the map, which can be changed at run time over the
# stats socket. Connections are reused: since 2.4 haproxy keeps them apart by the address that
# set-dst gave (its issue 947).
HAPROXY = """\
global
    maxconn 4000
    nbthread {threads}
    user haproxy
    group haproxy
    stats socket {run}/haproxy.sock mode 600 level admin
    tune.ssl.default-dh-param 2048
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 30s
frontend fe
    bind {address}:{plain} backlog 4096
    bind {address}:{tls} ssl crt {pem} alpn h2,http/1.1 backlog 4096
    http-request set-var(txn.port) req.hdr(host),field(1,:),lower,map({map})
    http-request return status 404 content-type text/plain string "no such device" if !{{ var(txn.port) -m found }}
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    option forwardfor
    default_backend be
backend be
    http-request set-dst ipv4(127.0.0.1)
    http-request set-dst-port var(txn.port)
    server device 0.0.0.0:0 pool-max-conn 256
"""


class Front:
    """A server process of the field: name, plain and tls ports, pid."""
    def __init__(self, field, name, argv, port):
        rig = field.rig
        self.server = relayrig.Server(
            rig, name, argv, lambda: relayrig.wait_for(
                lambda: any(a.endswith(f":{port}") for a in relayrig.listeners()), name, 10),
            f"{rig.dir}/log/bench-{name}.out")
        rig.devices.append(self)
        self.server.start()

    @property
    def pid(self):
        return self.server.pid

    def stop(self):
        self.server.stop()


def nginx(field, name, body, port, workers, access="off"):
    rig = field.rig
    run = f"{rig.dir}/run/{name}"
    os.mkdir(run)
    conf = f"{rig.dir}/etc/{name}.conf"
    with open(conf, "w") as f:
        f.write(
            NGINX.format(workers=workers,
                         run=run,
                         log=f"{rig.dir}/log/bench-{name}.log",
                         body=body,
                         access=access))
    return Front(field, name,
                 ["/usr/sbin/nginx", "-e", f"{rig.dir}/log/bench-{name}.log", "-c", conf], port)


def device(field):
    """A device's web server that is faster than all that is measured."""
    port = field.port()
    body = DEVICE.format(port=port, www=field.www, kilobyte="x" * 1024)
    front = nginx(field, "device", body, port, 1)
    front.port, front.url = port, f"http://127.0.0.1:{port}"
    return front


def nginx_peer(field):
    rig = field.rig
    plain, tls = field.port(), field.port()
    body = PEER.format(cert=rig.cert,
                       key=rig.key,
                       address=rig.address,
                       plain=plain,
                       tls=tls,
                       domain=rig.domain.replace(".", "\\."))
    front = nginx(field, "nginx", body, tls, os.cpu_count(),
                  f"{rig.dir}/log/bench-nginx-access.log")
    front.plain, front.tls = plain, tls
    return front


def haproxy_peer(field, ports):
    """ports: {host name: port on 127.0.0.1}"""
    rig = field.rig
    plain, tls, run = field.port(), field.port(), f"{rig.dir}/run/haproxy"
    os.mkdir(run)
    pem, table, conf = f"{run}/cert.pem", f"{run}/hosts.map", f"{rig.dir}/etc/haproxy.cfg"
    with open(pem, "w") as out:
        for part in (rig.cert, rig.key):
            with open(part) as f:
                out.write(f.read())
    with open(table, "w") as f:
        f.writelines(f"{host} {port}\n" for host, port in ports.items())
    with open(conf, "w") as f:
        f.write(
            HAPROXY.format(threads=os.cpu_count(),
                           run=run,
                           address=rig.address,
                           plain=plain,
                           tls=tls,
                           pem=pem,
                           map=table))
    front = Front(field, "haproxy", ["/usr/sbin/haproxy", "-db", "-f", conf], tls)
    front.plain, front.tls = plain, tls
    return front
