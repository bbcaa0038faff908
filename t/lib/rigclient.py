# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The visitor's side of a rig: HTTPS requests with the rig's CA verified."""
import email.parser
import http.client
import os
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

# Directives for the virtual host of a rig whose server_status() is asked.
SERVER_STATUS = '''
    <Location "/relay-status">
        SetHandler server-status
    </Location>
'''


class _Connection(http.client.HTTPSConnection):
    """To the rig's Apache whatever the name says, with that name in SNI and checked against the
    certificate."""
    def __init__(self, rig, name, timeout):
        super().__init__(name, rig.https_port, timeout=timeout, context=rig.tls_context())
        self._rig = rig

    def connect(self):
        self.sock = self._rig.tls(self.host, timeout=self.timeout)


class Client:
    """The visitor's side of a Rig, which inherits it; needs .ca, .address, .https_port and .domain.
    """
    def host(self, what):
        """The full name for a tunnel (rly open's JSON), a route's name, a URL or a full name."""
        if isinstance(what, dict):
            what = what["routes"][0]["name"]
        if "://" in what:
            what = urllib.parse.urlsplit(what).hostname
        return what if "." in what or what == "localhost" else f"{what}.{self.domain}"

    def tls_context(self, alpn=None):
        context = ssl.create_default_context(cafile=self.ca)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    def tls(self, name, alpn=None, timeout=30):
        """A verified TLS connection to Apache, as a socket."""
        sock = socket.create_connection((self.address, self.https_port), timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.tls_context(alpn).wrap_socket(sock, server_hostname=self.host(name))
        except BaseException:
            sock.close()
            raise

    def connection(self, what, timeout=30):
        """An http.client connection, for several requests one after another."""
        return _Connection(self, self.host(what), timeout)

    def get(self, what, path="/", headers=None, method="GET", body=None, http=1.1, timeout=30):
        """One request on a connection of its own: (status, headers, body)."""
        if http == 2:
            return self._curl(what, path, headers or {}, method, body, timeout)
        connection = self.connection(what, timeout)
        try:
            sent = {"Host": f"{self.host(what)}:{self.https_port}", **(headers or {})}
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def server_status(self):
        """The figures of mod_status, mod_relay's among them: {name: text}. Needs SERVER_STATUS."""
        text = self.get(self.domain, "/relay-status?auto")[2].decode()
        return {k: v for k, _, v in (line.partition(": ") for line in text.splitlines())}

    def status_after(self, what, http=1.1, timeout=1.0):
        """The status of a tunnel that was just closed. httpd's processes learn of it by themselves:
        on a busy machine a request may be faster, but not for longer than a second."""
        deadline = time.monotonic() + timeout
        while (status := self.get(what,
                                  http=http)[0]) in (200, 503) and time.monotonic() < deadline:
            time.sleep(0.01)
        return status

    def _curl(self, what, path, headers, method, body, timeout):
        host = self.host(what)
        with tempfile.TemporaryDirectory(dir=self.dir) as scratch:
            head, out = os.path.join(scratch, "head"), os.path.join(scratch, "body")
            argv = [
                "curl", "-q", "-sS", "--noproxy", "*", "--http2", "--path-as-is", "--cacert",
                self.ca, "--max-time",
                str(timeout), "--resolve", f"{host}:{self.https_port}:{self.address}", "-D", head,
                "-o", out
            ]
            argv += ["-I"] if method == "HEAD" else ["-X", method]
            for key, value in headers.items():
                argv += ["-H", f"{key}: {value}"]
            if body is not None:
                argv += ["--data-binary", "@-"]
            result = subprocess.run(argv + [f"https://{host}:{self.https_port}{path}"],
                                    input=body,
                                    capture_output=True)
            if result.returncode:
                raise OSError(f"curl: exit status {result.returncode}: "
                              f"{result.stderr.decode(errors='replace').strip()}")
            with open(head, newline="") as f:
                blocks = [b for b in f.read().split("\r\n\r\n") if b]
            first, _, rest = blocks[-1].partition("\r\n")
            if not first.startswith("HTTP/2"):
                raise OSError(f"the answer is not HTTP/2: {first}")
            data = b""
            if os.path.exists(out) and method != "HEAD":
                with open(out, "rb") as f:
                    data = f.read()
            return int(first.split()[1]), email.parser.Parser().parsestr(rest), data

    def h2(self, headers, body=None, name=None, timeout=10):
        """One HTTP/2 request with exactly these headers, a list of pairs: a h2client.Answer."""
        from . import h2client  # it needs python3-h2, which the demo does without
        return h2client.request(self, headers, body, name, timeout)

    def h2_over(self, sni, headers, body=None):
        """The same on a connection with exactly this SNI, or None."""
        from . import h2client
        return h2client.request(self, headers, body, sock=h2client.connect(self, sni))

    def raw(self, data, name=None, timeout=10):
        """Sends bytes as they are over TLS and returns all that comes back until the server closes.
        """
        with self.tls(name or self.domain, timeout=timeout) as sock:
            sock.sendall(data)
            answer = b""
            while True:
                try:
                    piece = sock.recv(65536)
                except ssl.SSLEOFError:
                    break
                if not piece:
                    break
                answer += piece
            return answer
