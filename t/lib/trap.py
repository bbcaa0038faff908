# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A device that trusts nobody: it reads what reaches it as strictly as can be, notes whatever two
readers could take in two ways, and answers what a test tells it to.

    trap = Trap()                  # .url is the service to open
    trap.answers["/path"] = b"…"   # or a function(connection, request) that writes what it likes;
                                   # else 200 and the target
    trap.seen                      # [Request]: .method .target .headers .body .problems
"""
import re
import socket
import threading

LINE = re.compile(rb"[A-Za-z]+ [\x21-\x7e\x80-\xff]+ HTTP/1\.1\r\n")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)\r\n")


class Request:
    def __init__(self):
        self.method = self.target = ""
        self.headers, self.body, self.problems = [], b"", []

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name]

    def __repr__(self):
        return (f"{self.method} {self.target} {self.headers} {len(self.body)} {self.body[:60]!r} "
                f"PROBLEMS {self.problems}")


class Listener:
    """A server on a port of its own. Each connection has a thread, in which _serve(connection) of
    the class below runs."""
    scheme = "http"

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, ), daemon=True).start()

    def stop(self):
        self.socket.close()


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


class H2Listener(Listener):
    """A device that speaks HTTP/2 (h2c): answer(connection, stream) of the class below says what it
    likes to each request, and whether another one is waited for."""
    scheme = "h2c"

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(15)
            try:
                stream.read(24)
                connection.sendall(frame(4, 0, 0) + frame(4, 1, 0))
                while len(head := stream.read(9)) == 9:
                    stream.read(int.from_bytes(head[:3], "big"))
                    if head[3] == 1 and not self.answer(connection, int.from_bytes(head[5:],
                                                                                   "big")):
                        return
            except OSError:
                pass


class Trap(Listener):
    def __init__(self):
        self.seen, self.answers, self.lock = [], {}, threading.Lock()
        super().__init__()

    def problems(self):
        with self.lock:
            return [r for r in self.seen if r.problems]

    def requests(self, part):
        """Those whose target has this in it."""
        with self.lock:
            return [r for r in self.seen if part in r.target]

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while self._one(connection, stream):
                    pass
            except OSError:
                pass

    def _one(self, connection, stream):
        line = stream.readline(70000)
        if not line:
            return False
        request = Request()
        if not LINE.fullmatch(line):
            request.problems.append(f"request line {line[:200]!r}")
        else:
            request.method, request.target = line.decode("latin-1").split(" ")[:2]
            self._head(request, stream)
        if not request.problems:
            self._body(request, stream)
        with self.lock:
            self.seen.append(request)
        if request.problems:
            return False
        answer = self.answer(request)
        if callable(answer):
            return answer(connection, request)
        connection.sendall(answer)
        return True

    def answer(self, request):
        """The bytes that answer a request, or a function as in .answers."""
        answer = self.answers.get(request.target.partition("?")[0])
        if answer is None:
            body = b"trap " + request.target.encode("latin-1")
            answer = b"HTTP/1.1 200 OK\r\nX-Trap: yes\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body), b"" if request.method == "HEAD" else body)
        return answer

    @staticmethod
    def _head(request, stream):
        while (line := stream.readline(70000)) not in (b"\r\n", b""):
            field = FIELD.fullmatch(line)
            if not field:
                request.problems.append(f"header line {line[:200]!r}")
                return
            request.headers.append((field[1].decode(), field[2].decode("latin-1").strip()))
        length, coding = request.all("content-length"), request.all("transfer-encoding")
        if len(length) + len(coding) > 1 or (length and not re.fullmatch("[0-9]+", length[0])) or (
                coding and coding != ["chunked"]):
            request.problems.append(f"framed in more ways than one: {length} {coding}")
        if len(request.all("host")) != 1:
            request.problems.append(f"Host: {request.all('host')}")

    @staticmethod
    def _body(request, stream):
        if request.all("content-length"):
            size = int(request.all("content-length")[0])
            request.body = stream.read(size)
            if len(request.body) < size:
                request.target += " (cut off)"
        while request.all("transfer-encoding"):
            line = stream.readline(100)
            if not line:
                request.target += " (cut off)"
                return
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}\r\n", line):
                request.problems.append(f"chunk {line!r}")
                return
            if int(line, 16) == 0:
                if (line := stream.readline(1000)) != b"\r\n":
                    request.problems.append(f"trailer {line!r}")
                return
            request.body += stream.read(int(line, 16))
            if (line := stream.read(2)) != b"\r\n":
                request.problems.append(f"end of chunk {line!r}")
                return
