#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How long a request waits: a quiet answer is not a dead device, a slow device gets its time, and
nobody waits for a visitor who has left."""
import itertools
import json
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from lib import fixture, Rig, tap, test
from lib.trap import H2Listener, Listener, Trap

SILENT_S = 2.5  # longer than RelayBackendTimeout and Timeout
VHOST = """
    RelayBackendTimeout 1s
    RelayStreamTimeout 8s
    Timeout 2
    RequestReadTimeout body=1,minrate=100000
    <Location "/own">
        ErrorDocument 504 "own text for 504"
    </Location>
"""


class TLSTrap(Trap):
    scheme = "https"

    def __init__(self, rig):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(rig.cert, rig.key)
        super().__init__()

    def _serve(self, connection):
        try:
            connection = self.context.wrap_socket(connection, server_side=True)
        except OSError:
            return
        super()._serve(connection)


class SilentH2(H2Listener):
    """Counts the requests, and answers none."""
    def __init__(self):
        self.count = 0
        super().__init__()

    def answer(self, connection, stream):
        self.count += 1
        return True


def quiet(head, *parts):
    """A device's answer with a pause before each part."""
    def answer(connection, request):
        connection.sendall(head)
        for part in parts:
            time.sleep(SILENT_S)
            connection.sendall(part)
        return b"Content-Length" in head or b"chunked" in head

    return answer


def hold(gone):
    """A device that answers nothing, and tells when the relay has let go of it."""
    def answer(connection, request):
        connection.settimeout(20)
        began = time.monotonic()
        try:
            while connection.recv(1000):
                pass
            gone.append(time.monotonic() - began)
        except OSError as e:
            gone.append(e)
        return False

    return answer


def begin_and_hold(gone):
    def answer(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        return hold(gone)(connection, request)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
QUIET = {
    "/sse": quiet(OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n",
                  b"data: 2\n\n"), "/length": quiet(OK + b"Content-Length: 4\r\n\r\nab", b"cd"),
    "/head-first": quiet(OK + b"Content-Length: 4\r\n\r\n", b"abcd"), "/chunked":
    quiet(CHUNKED + b"2\r\nab\r\n",
          b"2\r\ncd\r\n0\r\n\r\n"), "/chunk-size": quiet(CHUNKED + b"2\r\nab\r\n2",
                                                         b"\r\ncd\r\n0\r\n\r\n")
}


def at_once(function, cases):
    """The results of function(*case), all at the same time."""
    with ThreadPoolExecutor(len(cases)) as pool:
        return list(pool.map(lambda case: function(*case), cases))


@fixture
def rig():
    rig = Rig(vhost=VHOST)
    # what mod_proxy says of a device, or a visitor, that is too slow
    rig.expect(r"AH01102: error reading status line|AH00898: Error reading from remote|AH01110"
               r"|AH10404|AH01106|AH01095|AH00898: URI has no hostname")
    yield rig
    rig.ends_cleanly()


@fixture
def devices(rig):
    """{scheme: (device, tunnel)}"""
    devices = {}
    for device in (Trap(), TLSTrap(rig)):
        device.answers.update(QUIET)
        device.answers["/slow"] = device.answers["/own"] = hold([])
        tunnel = rig.open(device.url)
        rig.connect(tunnel)
        devices[device.scheme] = device, tunnel
    return devices


@test
def quiet_answers(rig, devices):
    cases = [(scheme, http, path)
             for scheme, http, path in itertools.product(devices, (1.1, 2), QUIET)]

    def ask(scheme, http, path):
        try:
            return rig.get(devices[scheme][1], path, http=http)[::2]
        except Exception as e:
            return repr(e)

    for case, got in zip(cases, at_once(ask, cases)):
        wanted = b"data: 1\n\ndata: 2\n\n" if case[2] == "/sse" else b"abcd"
        tap.is_(got, (200, wanted), f"{case[0]}:// over HTTP/{case[1]}: {case[2]} goes on after "
                "silence")


@test
def slow_devices(rig, devices):
    h2c = SilentH2()
    tunnel = rig.open(h2c.url)
    rig.connect(tunnel)
    devices = {**devices, "h2c": (h2c, tunnel)}
    cases = list(itertools.product(devices, (1.1, 2), ("GET", "POST")))

    def ask(scheme, http, method):
        began = time.monotonic()
        try:
            got = rig.get(devices[scheme][1],
                          f"/slow?{http}{method}",
                          http=http,
                          method=method,
                          headers={"Accept": "application/json"},
                          body=b"a=1" if method == "POST" else None)
        except OSError as e:
            return 0, e, 0
        return got[0], got[2], time.monotonic() - began

    for (scheme, http, method), (status, body, took) in zip(cases, at_once(ask, cases)):
        what = f"{scheme}:// over HTTP/{http}: {method}"
        tap.ok(status == 504, f"{what} of a device that is too slow", (status, body))
        said = json.loads(body) if status == 504 else {}
        tap.ok(
            said.get("error") == "timed-out" and "within 1 second." in said.get("detail"),
            f"{what}: the page says how long was waited", body)
        tap.ok(took < 8, f"{what}: it comes in time", took)
        if scheme != "h2c":
            tap.is_(len(devices[scheme][0].requests(f"/slow?{http}{method}")), 1,
                    f"{what}: the device is asked once")
    tap.is_(h2c.count, 4, "h2c://: the device is asked once, too")
    tap.is_(
        rig.get(devices["http"][1], "/own")[::2], (504, b"own text for 504"),
        "ErrorDocument overrides the page")


@test
def leaving(rig, devices):
    """Before an answer, within one; the connection closed, the stream reset."""
    device, tunnel = devices["http"]
    cases = list(itertools.product(("hold", "begin"), (1.1, 2)))
    let_go = {}

    def leave(kind, http):
        path = f"/{kind}{http}"
        let_go[path] = []
        device.answers[path] = {"hold": hold, "begin": begin_and_hold}[kind](let_go[path])
        # A call by gRPC waits for longer than RelayBackendTimeout from its beginning.
        headers = {"Content-Type": "application/grpc"} if kind == "hold" else {}
        try:
            rig.get(tunnel, path, http=http, timeout=0.8, headers=headers)
        except OSError:
            pass
        deadline = time.monotonic() + 20
        while not let_go[path] and time.monotonic() < deadline:
            time.sleep(0.02)
        return let_go[path]

    def bounded():
        device.answers["/for-ever"] = begin_and_hold([])
        began = time.monotonic()
        try:
            rig.get(tunnel, "/for-ever")
        except Exception:
            pass
        return time.monotonic() - began

    with ThreadPoolExecutor(1) as beside:
        took = beside.submit(bounded)
        for (kind, http), got in zip(cases, at_once(leave, cases)):
            tap.ok(
                len(got) == 1 and isinstance(got[0], float) and got[0] < 6,
                f"HTTP/{http}, {kind}: nobody waits for a visitor who has left", got)
        tap.between(took.result(), 7, 15, "RelayStreamTimeout ends a silent answer")


@test
def websocket(rig, devices):
    """It may be silent for as long as an answer."""
    def echo(connection, request):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           b"Connection: Upgrade\r\n\r\n")
        connection.settimeout(20)
        while data := connection.recv(100):
            connection.sendall(data)
        return False

    def talk(scheme):
        device, tunnel = devices[scheme]
        device.answers["/ws"] = echo
        with rig.tls(tunnel) as sock:
            sock.sendall(b"GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
                         b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" %
                         rig.host(tunnel).encode())
            got = sock.recv(4096)
            time.sleep(SILENT_S)
            try:
                sock.sendall(b"still there?")
                return got[:12], sock.recv(100)
            except OSError as e:
                return got[:12], e

    for scheme, got in zip(devices, at_once(talk, [(scheme, ) for scheme in devices])):
        tap.is_(got, (b"HTTP/1.1 101", b"still there?"),
                f"{scheme}://: a WebSocket goes on after silence")


@test
def upgrade(rig):
    """To what the route names, as docker attach does, and to nothing else."""
    device = Trap()

    def echo(connection, request):
        named = request.all("upgrade")
        if not named:
            connection.sendall(OK + b"Content-Length: 4\r\n\r\nnone")
            return True
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" %
                           named[0].encode())
        while data := connection.recv(100):
            connection.sendall(data)
        return False

    device.answers["/attach"] = echo
    plain, named = rig.open(device.url), rig.open(device.url, args=("--upgrade", "tcp,raw.1"))
    for tunnel in (plain, named):
        rig.connect(tunnel)
    for tunnel, protocol, passes in ((named, b"tcp", True), (named, b"TCP", True),
                                     (named, b"raw.1", True), (named, b"websocket", True),
                                     (named, b"h2c", False), (named, b"raw", False),
                                     (named, b"tcp, raw.1", False), (named, b"tcp raw.1", False),
                                     (plain, b"tcp", False), (plain, b"*",
                                                              False), (plain, b"websocket", True)):
        with rig.tls(tunnel) as sock:
            sock.sendall(b"POST /attach HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
                         b"Upgrade: %s\r\nContent-Length: 0\r\n\r\n" %
                         (rig.host(tunnel).encode(), protocol))
            got = sock.recv(4096)
            if got.startswith(b"HTTP/1.1 101"):
                sock.sendall(b"ping")
                got = sock.recv(100)
            else:
                got = got[-4:]
            tap.is_(got, b"ping" if passes else b"none",
                    f"{'named' if tunnel is named else 'plain'}: Upgrade: {protocol.decode()}")


class Expecter(TLSTrap):
    """Reads no more than the head before it decides what to do: /continue says 100, and so does
    /kept, which keeps the connection; /never reads the body and says nothing, /refuse and /final
    answer at once."""
    def __init__(self, rig, scheme):
        self.scheme = scheme
        super().__init__(rig)

    def _serve(self, connection):
        try:
            if self.scheme == "https":
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                if not (asked := stream.readline()):  # mod_relay's first handshake with a service
                    return
                target, size = asked.split()[1], 0
                while (line := stream.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                if target == b"/refuse":
                    connection.sendall(b"HTTP/1.1 417 No\r\nConnection: close\r\n"
                                       b"Content-Length: 0\r\n\r\n")
                elif target == b"/final":
                    connection.sendall(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nno")
                else:
                    if target in (b"/continue", b"/kept"):
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    body = b"%d" % len(stream.read(size))
                    kept = b"keep-alive" if target == b"/kept" else b"close"
                    connection.sendall(OK + b"Connection: %s\r\nContent-Length: %d\r\n\r\n%s" %
                                       (kept, len(body), body))
                    stream.read(1 if target == b"/kept" else 0)
        except OSError:
            pass


class H2Expecter(Listener):
    """The same over HTTP/2."""
    scheme = "h2c"

    def _serve(self, connection):
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        h2.initiate_connection()
        size, paths = {}, {}

        def answer(stream, status, body=b""):
            h2.send_headers(stream, [(":status", status), ("content-length", str(len(body)))],
                            end_stream=not body)
            if body:
                h2.send_data(stream, body, end_stream=True)

        with connection:
            try:
                connection.sendall(h2.data_to_send())
                while data := connection.recv(65536):
                    for event in h2.receive_data(data):
                        stream = getattr(event, "stream_id", 0)
                        if isinstance(event, events.RequestReceived):
                            paths[stream], size[stream] = dict(event.headers)[":path"], 0
                            if paths[stream] in ("/continue", "/kept"):
                                h2.send_headers(stream, [(":status", "100")])
                            elif paths[stream] == "/refuse":
                                answer(stream, "417")
                            elif paths[stream] == "/final":
                                answer(stream, "200", b"no")
                        elif isinstance(event, events.DataReceived):
                            size[stream] += len(event.data)
                            if event.flow_controlled_length:
                                h2.acknowledge_received_data(event.flow_controlled_length, stream)
                        elif isinstance(event, events.StreamEnded):
                            if paths[stream] in ("/continue", "/kept", "/never"):
                                answer(stream, "200", b"%d" % size[stream])
                    connection.sendall(h2.data_to_send())
            except (OSError, ProtocolError):
                pass


def expecting_h1(rig, tunnel, path, body):
    """(100 came first, status, body); the body is sent once the relay asks for it."""
    with rig.tls(tunnel, timeout=10) as sock, sock.makefile("rb") as stream:
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\n"
                     b"Content-Length: %d\r\n\r\n" %
                     (path.encode(), rig.host(tunnel).encode(), len(body)))
        asked = False
        while True:
            status, size = int(stream.readline().split()[1]), 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            if status != 100:
                return asked, status, stream.read(size)
            asked = True
            sock.sendall(body)


def expecting_h2(rig, tunnel, path, body):
    h2 = H2Connection(H2Configuration(header_encoding="latin-1"))
    h2.initiate_connection()
    h2.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":path", path),
                        (":authority", rig.host(tunnel)), ("expect", "100-continue"),
                        ("content-length", str(len(body)))])
    asked, status, got = False, None, b""
    with rig.tls(tunnel, alpn=["h2"], timeout=10) as sock:
        while True:
            sock.sendall(h2.data_to_send())
            for event in h2.receive_data(sock.recv(65536)):
                if isinstance(event, events.InformationalResponseReceived):
                    asked = True
                    h2.send_data(1, body, end_stream=True)
                elif isinstance(event, events.ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, events.DataReceived):
                    got += event.data
                elif isinstance(event, events.StreamEnded):
                    return asked, status, got
                elif isinstance(event, events.StreamReset):
                    return asked, status, f"reset {event.error_code}"


@test
def expect(rig):
    """Expect: 100-continue, to devices that know it and to those that do not."""
    tunnels = {}
    for device in (Expecter(rig, "http"), Expecter(rig, "https"), H2Expecter()):
        tunnels[device.scheme] = rig.open(device.url)
        rig.connect(tunnels[device.scheme])
    cases = list(
        itertools.product(tunnels, (expecting_h1, expecting_h2),
                          ("/continue", "/kept", "/never", "/refuse", "/final"))) * 2
    body = b"z" * 16000
    wanted = {
        "/continue": (200, b"16000"), "/kept": (200, b"16000"), "/never": (200, b"16000"),
        "/refuse": (417, b""), "/final": (200, b"no")
    }

    def ask(scheme, visitor, path):
        try:
            return visitor(rig, tunnels[scheme], path, body)
        except Exception as e:
            return repr(e)

    for (scheme, visitor, path), got in zip(cases, at_once(ask, cases)):
        tap.is_(got[1:], wanted[path], f"{scheme}:// {visitor.__name__}: {path}")
        if path in ("/continue", "/kept", "/never"):
            tap.ok(got[0] is True, "… and the visitor was told to go on", got)


@test
def stalled(rig, devices):
    """An upload may pause for as long as Timeout says, whatever mod_reqtimeout's measure; then the
    visitor is told."""
    _, tunnel = devices["http"]
    for pause, wanted in ((1.5, b" 200 "), (20, b" 408 ")):
        with rig.tls(tunnel, timeout=20) as sock:
            sock.sendall(b"POST /up HTTP/1.1\r\nHost: %s\r\nContent-Length: 8\r\n\r\nhalf" %
                         rig.host(tunnel).encode())
            sock.settimeout(pause)
            try:
                got = sock.recv(65536)
            except OSError:
                sock.settimeout(20)
                sock.sendall(b"less")
                got = sock.recv(65536)
            tap.ok(wanted in got[:20], f"an upload pauses for {pause} s:{wanted.decode()}", got)
            if b" 408 " in wanted:
                tap.ok(b"has come to the relay for 2 seconds." in got,
                       "… and the page says for how long nothing came", got)


tap.run()
