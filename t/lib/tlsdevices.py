# Licensed under the Apache License, Version 2.0; see LICENSE.
"""https:// services as real devices have them: `openssl s_server`, gnutls-serv, and Python where a
server has to refuse a name, or count.
"""
import http.server
import os
import socket
import ssl
import subprocess
import threading

from .basics import free_port, listeners, wait_for, write
from .relayrig import APACHE2, MODULES

APACHE = """
ServerRoot {dir}
ServerName device
PidFile {dir}/pid
ErrorLog /dev/null
User www-data
DocumentRoot {dir}/www
SSLEngine on
SSLProtocol TLSv1.2
SSLCertificateFile {cert}
SSLCACertificateFile {cert}
<Location /within>
    SSLVerifyClient optional
</Location>
"""


def certificate(path, bits=2048, digest="sha256", days=30):
    """Makes one PEM file with a key and a certificate that it has signed itself."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    openssl("genrsa", "-out", f"{path}.key", str(bits))
    openssl("req", "-new", "-key", f"{path}.key", "-subj", "/CN=device.invalid", "-out",
            f"{path}.csr")
    openssl("x509", "-req", "-in", f"{path}.csr", "-signkey", f"{path}.key", f"-{digest}", "-days",
            str(days), "-out", path)
    with open(f"{path}.key") as f, open(path, "a") as out:
        out.write(f.read())
    return path


def dh_parameters(path):
    """Makes parameters of 1024 bits."""
    subprocess.run(["openssl", "dhparam", "-dsaparam", "-out", path, "1024"],
                   check=True,
                   capture_output=True)
    return path


class Service:
    """A program that serves HTTPS on a free port, until stop()."""
    def __init__(self, argv, taken=()):
        self.port = free_port(taken)
        self.url = f"https://127.0.0.1:{self.port}"
        self.process = subprocess.Popen([a.replace("PORT", str(self.port)) for a in argv],
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL,
                                        start_new_session=True)
        wait_for(self.listens, f"{argv[0]} does not listen", 10)

    def listens(self):
        return any(a.endswith(f":{self.port}") for a in listeners())

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


def openssl(cert, *args):
    return [
        "openssl", "s_server", "-quiet", "-accept", "127.0.0.1:PORT", "-www", "-cert", cert, *args
    ]


def gnutls(cert, priority):
    return [
        "gnutls-serv", "--http", "--quiet", "-p", "PORT", "--priority", priority, "--x509certfile",
        cert, "--x509keyfile", cert
    ]


def apache(cert, where):
    """It asks for a certificate for a path only, which takes a second handshake."""
    os.makedirs(f"{where}/www/within")
    os.chmod(where, 0o755)
    for page in ("index.html", "within/index.html"):
        write(f"{where}/www/{page}", "ok")
    conf = write(
        f"{where}/httpd.conf", "".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so\n"
                                       for m in ("mpm_event", "authz_core", "dir", "ssl")) +
        APACHE.format(dir=where, cert=cert))
    return [APACHE2, "-f", conf, "-C", "Listen 127.0.0.1:PORT", "-X"]


class Choosy:
    """A service that refuses server names, in this process. how: an alert; `close`; `both` (no
    name, too); None: none. .names: the names that came, .requests: the requests that were
    answered."""
    def __init__(self, cert, how=None):
        self.names, self.requests, self.how = [], [], how
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert)
        context.sni_callback = self._named

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(handler):
                handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
                self.requests.append(handler.command)
                handler.send_response(200)
                handler.send_header("Content-Length", "2")
                handler.end_headers()
                handler.wfile.write(b"ok")

            do_GET = do_POST = _answer

            def log_message(handler, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(server, request, address):
                try:
                    with context.wrap_socket(request, server_side=True) as tls:
                        Handler(tls, address, server)
                except OSError:
                    pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05, ), daemon=True).start()

    def _named(self, tls, name, context):
        self.names.append(name)
        if self.how is None or (name is None and self.how != "both"):
            return None
        if self.how == "close":
            socket.socket.shutdown(tls, socket.SHUT_RDWR)
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if self.how == "both" else self.how

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Plain:
    """A service that speaks no TLS: to whatever comes it says that this is no HTTP."""
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                with self.socket.accept()[0] as visitor:
                    visitor.recv(65536)
                    visitor.sendall(b"HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                return

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
