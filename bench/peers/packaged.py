# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The peers that Debian packages: nginx and haproxy before a stock sshd. Each is set up as its
makers advise for this job."""
import os

from device import Front, nginx
from field import Side

NGINX = "nginx regex, stock sshd"
# The name has the port in it, as people write it. proxy_pass with a variable cannot use an upstream
# block's `keepalive`: nginx makes a nameless upstream for each request, so each gets a connection
# of its own (ngx_http_upstream_resolved).
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

# It has one backend, whose server's address comes from the map. The map can be changed at run time
# over the stats socket. Connections are reused: since 2.4 haproxy keeps them apart by the address
# that set-dst gave (its issue 947).
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
    acl known var(txn.port) -m found
    http-request return status 404 content-type text/plain string "no such device" if !known
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    option forwardfor
    default_backend be
backend be
    http-request set-dst ipv4(127.0.0.1)
    http-request set-dst-port var(txn.port)
    server device 0.0.0.0:0 pool-max-conn 256
"""


def nginx_regex(field, port, sshd):
    """@return the side; port is where sshd listens for the device"""
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
    return Side(NGINX, f"p{port}.{rig.domain}", plain, tls, lambda: [front.pid, sshd.pid])


def haproxy_map(field, port, sshd):
    """@return the side; port is where sshd listens for the device"""
    rig, host = field.rig, f"nas.{field.rig.domain}"
    plain, tls, run = field.port(), field.port(), f"{rig.dir}/run/haproxy"
    os.mkdir(run)
    pem, table, conf = f"{run}/cert.pem", f"{run}/hosts.map", f"{rig.dir}/etc/haproxy.cfg"
    with open(pem, "w") as out:
        for part in (rig.cert, rig.key):
            with open(part) as f:
                out.write(f.read())
    with open(table, "w") as f:
        f.write(f"{host} {port}\n")
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
    return Side("haproxy map, stock sshd", host, plain, tls, lambda: [front.pid, sshd.pid])
