#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A request acts once. Devices end an answer in each way that there is, on a connection that is new
and on one that has carried answers before, and count what they were asked to do."""
import collections
import itertools
import socket
import ssl
import struct
import threading
import time

from lib import fixture, one_child, Rig, rigpki, tap, test
from lib.trap import H2Listener, Listener, frame

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
LINGER = struct.pack("ii", 1, 0)  # close() resets
# What comes of an answer before the connection ends.
PARTS = {
    "half a status line": b"HTTP/1.1 2", "a status line": b"HTTP/1.1 200 OK\r\n",
    "a bad status line": b"HTTP/1.1 999 what\r\n\r\n", "a bad field":
    b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "100 Continue":
    b"HTTP/1.1 100 Continue\r\n\r\n"
}
NTLM = {"Authorization": "NTLM TlRMTVNTUAABAAAA"}
WEBSOCKET = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="
}


class Device(Listener):
    """/warm is answered; so is /last, with which the connection ends. Of /END/ID the first request
    ends as .ends[END] says, and a second one is answered. .asked counts the requests by path."""
    def __init__(self, context=None):
        self.asked, self.lock, self.context = collections.Counter(), threading.Lock(), context
        self.scheme, self.accepted = "https" if context else "http", 0
        self.ends = {"FIN": lambda c: None, "RST": self._reset, "silence": lambda c: time.sleep(2)}
        self.ends |= {what: lambda c, part=part: c.sendall(part) for what, part in PARTS.items()}
        super().__init__()

    @staticmethod
    def _reset(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)

    def _serve(self, connection):
        with self.lock:
            self.accepted += 1
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                stream = connection.makefile("rb", 0)
                while self._one(connection, stream):
                    pass
                stream.close()
        except (OSError, ValueError, IndexError):
            pass

    def _one(self, connection, stream):
        target, size = stream.readline().decode().split()[1], 0
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        if size:
            stream.read(size)
        with self.lock:
            self.asked[target] += 1
            first = self.asked[target] == 1
        end = self.ends.get(target.split("/")[1].replace("-", " "))
        if end and first:
            end(connection)
            return False
        connection.sendall(LAST if target == "/last" else OK)
        return target != "/last"


class Loner(Device):
    """Answers one request a connection, says nothing of that, and closes it a while later."""
    def __init__(self, after):
        self.after = after
        super().__init__()

    def _one(self, connection, stream):
        super()._one(connection, stream)
        time.sleep(self.after)
        return False


class H2Device(H2Listener):
    """Answers all requests but one, the .bad-th; that one ends as .end says."""
    def __init__(self):
        self.asked, self.bad, self.end = 0, 0, None
        super().__init__()

    def answer(self, connection, stream):
        self.asked += 1
        if self.asked != self.bad:
            connection.sendall(frame(1, 5, stream, b"\x88"))  # :status 200, and no body
            return True
        if self.end == "silence":
            time.sleep(2)
        elif self.end == "RST_STREAM":
            connection.sendall(frame(3, 0, stream, (2).to_bytes(4, "big")))
            return True
        return False


def warm(rig, tunnel):
    """The next request goes on a connection of a device that keeps them."""
    for _ in range(3):
        rig.get(tunnel, "/warm")


_ids = itertools.count()


def ask(rig, device, tunnel, end, **how):
    """@return how often the device was asked, and what the visitor got"""
    path = f"/{end.replace(' ', '-')}/{next(_ids)}"
    status = rig.get(tunnel, path, **how)[0]
    return device.asked[path], status


def opened(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    return tunnel


def table(rig, device, tunnel, ends, **how):
    for end in ends:
        warm(rig, tunnel)
        repeats = end in ("FIN", "RST")
        what = f"{device.scheme}, {how or 'GET'}, {end}"
        asked, status = ask(rig, device, tunnel, end, **how)
        tap.is_((asked, status == 200), (2, True) if repeats else (1, False),
                f"{what}, on a used connection: asked {'twice' if repeats else 'once'}")
        rig.get(tunnel, "/last")
        asked, status = ask(rig, device, tunnel, end, **how)
        tap.is_((asked, status == 200), (1, False), f"{what}, on a new one: once")


@fixture
def rig():
    rig = Rig(httpd_conf=one_child(50), vhost="RelayBackendTimeout 1s\nLogLevel relay:debug")
    rig.expect("AH01102|AH00898|AH01106|AH01084|AH01097|AH10404")
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return Device()


@fixture
def tunnel(rig, device):
    return opened(rig, device)


@test
def endings(rig, device, tunnel):
    table(rig, device, tunnel, device.ends)
    table(rig, device, tunnel, ("FIN", "100 Continue"), http=2)
    table(rig, device, tunnel, ("FIN", "RST"), method="HEAD")
    table(rig, device, tunnel, ("FIN", "half a status line"), headers=WEBSOCKET)


@test
def https(rig):
    pem = f"{rig.dir}/pki/once.pem"
    rigpki.self_signed(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    device = Device(context)
    table(rig, device, opened(rig, device), ("FIN", "RST", "half a status line", "silence"))


@test
def post(rig, device):
    """What cannot be repeated is not; and then goes on new connections, where it is not lost."""
    for end in ("FIN", "RST", "a status line"):
        tunnel = opened(rig, device)
        warm(rig, tunnel)
        tap.is_(ask(rig, device, tunnel, end, method="POST", body=b"x")[0], 1, f"POST, {end}: once")
        warm(rig, tunnel)
        accepted = device.accepted
        tap.is_(rig.get(tunnel, "/warm", method="POST", body=b"x")[0], 200, f"{end}: the next POST")
        if end in ("FIN", "RST"):
            tap.is_(device.accepted - accepted, 1, "goes on a new connection")


@test
def post_after_a_pause(rig):
    """After a second a device may be about to close a connection, unless it is known for keeping
    them for longer."""
    device = Device()
    tunnel = opened(rig, device)
    warm(rig, tunnel)
    for what, method, pause, more in (("the first", "POST", 1.2, 1), ("after a GET", "GET", 1.6, 0),
                                      ("a shorter one", "POST", 1.2, 0), ("a longer one", "POST",
                                                                          2.2, 1)):
        time.sleep(pause)
        before = device.accepted
        status = rig.get(tunnel, "/warm", method=method, body=b"x" if method == "POST" else None)[0]
        tap.is_((status, device.accepted - before), (200, more),
                f"pause before a {method}, {what}: {'a new' if more else 'the old'} connection")


@test
def ntlm(rig, device, tunnel):
    """A visitor's own connection that was lost is replaced once, too."""
    for end, times in (("FIN", 2), ("half a status line", 1)):
        connection, path = rig.connection(tunnel), f"/{end.replace(' ', '-')}/{next(_ids)}"
        for target in ("/warm", "/warm", path):
            connection.request("GET", target, headers=NTLM)
            connection.getresponse().read()
        tap.is_(device.asked[path], times, f"NTLM, {end}: asked {times} times")
        connection.close()


@test
def h2c(rig):
    """mod_proxy_http2 repeats by itself, and what it should not."""
    for end, used, times in (("FIN", True, 2), ("FIN", False, 1), ("silence", True, 1),
                             ("silence", False, 1), ("RST_STREAM", True, 1), ("RST_STREAM", False,
                                                                              1)):
        device = H2Device()
        tunnel = opened(rig, device)
        for _ in range(2 * used):
            tap.is_(rig.get(tunnel)[0], 200, "h2c: warm")
        before, device.end = device.asked, end
        device.bad = before + 1
        status = rig.get(tunnel)[0]
        tap.is_((device.asked - before, status == 200), (times, times == 2),
                f"h2c, {end}, on a {'used' if used else 'new'} connection: asked {times} times")
        device.stop()


@test
def loner(rig):
    """A device that does not say that it closes: its POSTs are not lost, from the first one on."""
    for after in (0, 0.2, 0.7):
        device = Loner(after)
        tunnel = opened(rig, device)
        got = []
        for _ in range(4):
            connection = rig.connection(tunnel)
            for method in ("GET", "POST", "GET"):
                connection.request(method,
                                   f"/{next(_ids)}",
                                   body=b"a=1" if method == "POST" else None)
                answer = connection.getresponse()
                answer.read()
                got.append(answer.status)
            connection.close()
        tap.is_(got, [200] * 12, f"closes after {after} s: all are answered")
        tap.is_(set(device.asked.values()), {1}, "and act once")
        device.stop()


tap.run()
