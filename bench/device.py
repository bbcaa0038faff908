# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The device of most benches: nginx, which is faster than all that is measured."""
import os

from lib import Server, listeners, wait_for

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

# It serves 1 kB at /, and the files of www at their names. It reads what is sent to /up and throws
# it away.
DEVICE = """\
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {www};
        location = / {{ default_type text/plain; return 200 "{kilobyte}"; }}
        location /page/ {{ add_header Cache-Control no-store; etag off; if_modified_since off; }}
        location = /up {{ default_type text/plain; return 200 "ok"; }}
    }}
"""


class Front:
    """A server process of the field: name, plain and tls ports, pid."""
    def __init__(self, field, name, argv, port):
        rig = field.rig
        self.server = Server(
            rig, name, argv,
            lambda: wait_for(lambda: any(a.endswith(f":{port}") for a in listeners()), name, 10),
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


def nginx_device(field):
    """@return a device's web server, with its port and url"""
    port = field.port()
    body = DEVICE.format(port=port, www=field.www, kilobyte="x" * 1024)
    front = nginx(field, "device", body, port, 1)
    front.port, front.url = port, f"http://127.0.0.1:{port}"
    return front
