#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""Devices with few sockets. Whatever a device does with a connection that is too many for it, a
page of sixty objects comes whole, each request acts once, and an idle connection of the relay's is
in nobody's way."""
import collections
import contextlib
import concurrent.futures
import itertools
import socket
import struct
import threading
import time

from lib import DEVICE_GONE, fixture, Rig, SERVER_STATUS, tap, test, wait_for
from lib.h2client import Connection
from lib.trap import Listener
from h2 import config, events

OBJECTS = 60
LINGER = struct.pack("ii", 1, 0)  # close() resets


class SmallDevice(Listener):
    """It has so many sockets. full: what becomes of a connection above that:
         refused  nobody listens meanwhile
         closed   it is taken and closed at once
         reset    the same, by a reset
         busy     it is answered 503, unread, and closed
         waits    it is taken when another one has been closed
    Each answer takes so many seconds. keeps: connections carry more than one."""
    def __init__(self, sockets, full, seconds=0.02, keeps=True):
        self.sockets, self.full, self.seconds, self.keeps = sockets, full, seconds, keeps
        self.asked, self.lock = collections.Counter(), threading.Condition()
        self.open = self.most = self.turned_away = 0
        self.connections = set()
        super().__init__()

    def _accept(self):
        while True:
            if self.full in ("refused", "waits"):
                self._wait_for_a_place()
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with self.lock:
                if self.open == self.sockets:
                    self.turned_away += 1
                    self._turn_away(connection)
                    continue
                self.open += 1
                self.connections.add(connection)
                self.most = max(self.most, self.open)
            threading.Thread(target=self._serve, args=(connection, ), daemon=True).start()

    def _wait_for_a_place(self):
        with self.lock:
            if self.open < self.sockets:
                return
            if self.full == "refused":
                self.socket.close()
            self.lock.wait_for(lambda: self.open < self.sockets)
            if self.full == "refused":
                self.socket = socket.create_server(("127.0.0.1", self.port), backlog=256)

    def go_away(self):
        """Nothing listens any more, and all connections end."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):  # it has ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

    def _turn_away(self, connection):
        if self.full == "busy":
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.2)
        elif self.full == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        connection.close()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while self._one(connection, stream):
                    pass
            except OSError:
                pass
        with self.lock:
            self.open -= 1
            self.connections.discard(connection)
            self.lock.notify_all()

    def _one(self, connection, stream):
        line = stream.readline()
        if not line:
            return False
        size = 0
        while (field := stream.readline().strip()):
            if field.lower().startswith(b"content-length:"):
                size = int(field.split(b":")[1])
        stream.read(size)
        path = line.split()[1].decode()
        with self.lock:
            self.asked[path] += 1
        time.sleep(15 if path.startswith("/slow") else 3 if path == "/held" else self.seconds)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" %
            (len(path), b"" if self.keeps else b"Connection: close\r\n", path.encode()))
        return self.keeps


numbers = itertools.count()


def paths(objects):
    page = next(numbers)
    return [f"/{page}/{i}" for i in range(objects)]


def over_h1(rig, tunnel, wanted, at_once, **request):
    """{path: (status, body)}"""
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        return dict(
            zip(wanted,
                pool.map(lambda path: rig.get(tunnel, path, timeout=60, **request)[::2], wanted)))


def over_h2(rig, tunnel, wanted, at_once):
    """The same, on one connection."""
    got, streams, left = {}, {}, list(wanted)
    with rig.tls(tunnel, alpn=["h2"], timeout=60) as sock:
        conn = Connection(config=config.H2Configuration(header_encoding="latin-1"))
        conn.initiate_connection()
        while len(got) < len(wanted):
            while left and len(streams) - len(got) < at_once:
                stream = conn.get_next_available_stream_id()
                streams[stream] = [left.pop(0), None, b""]
                conn.send_headers(stream, [(":method", "GET"), (":scheme", "https"),
                                           (":path", streams[stream][0]),
                                           (":authority", rig.host(tunnel))],
                                  end_stream=True)
            sock.sendall(conn.data_to_send())
            data = sock.recv(65536)
            if not data:
                break
            for event in conn.receive_data(data):
                it = streams.get(getattr(event, "stream_id", None))
                if isinstance(event, events.ResponseReceived):
                    it[1] = int(dict(event.headers)[":status"])
                elif isinstance(event, events.DataReceived):
                    it[2] += event.data
                    conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, (events.StreamEnded, events.StreamReset)):
                    got[it[0]] = (it[1], it[2])
    return got


PAGES = {
    "HTTP/1.1, six at a time": (over_h1, 6), "HTTP/1.1, all at once": (over_h1, OBJECTS),
    "HTTP/2, six at a time": (over_h2, 6), "HTTP/2, all at once": (over_h2, OBJECTS)
}


def opened(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    return tunnel


def check_page(rig, device, tunnel, what, how, at_once, objects=OBJECTS, **request):
    """A device that takes a connection and closes it, and is too slow at that, cannot be told from
    one that has read the request. On a busy machine that may be; it has three tries then."""
    for attempt in range(3):
        wanted = paths(objects)
        began = time.monotonic()
        got = how(rig, tunnel, wanted, at_once, **request)
        took = time.monotonic() - began
        lost = {path: got.get(path) for path in wanted if got.get(path) != (200, path.encode())}
        tap.diag(f"{what}: {took:.2f} s, {len(lost)} lost, turned away so far: "
                 f"{device.turned_away}, most: {device.most}")
        if not lost or device.full not in ("closed", "reset", "busy"):
            break
    tap.is_(lost, {}, f"{what}: all {objects} come")
    tap.ok(
        max(device.asked.values()) == 1, f"{what}: none is asked for twice",
        device.asked.most_common(3))


@fixture
def rig():
    rig = Rig(rlyd=True, vhost=SERVER_STATUS + "\nRelayBackendIdle 2s")
    rig.expect(DEVICE_GONE, "RLY143|RLY170")
    yield rig
    rig.ends_cleanly()


FULL = ("refused", "closed", "reset", "busy", "waits")


@test
def pages(rig):
    """A new tunnel for each page, so that nothing has been learnt."""
    for full, (what, (how, at_once)) in itertools.product(FULL, PAGES.items()):
        device = SmallDevice(6, full)
        check_page(rig, device, opened(rig, device), f"6 sockets, then {full}; {what}", how,
                   at_once)


@test
def one_connection(rig):
    """The page's requests come from both children of httpd, and whatever one of them keeps is in
    the way of the other."""
    for full, keeps in itertools.product(FULL, (True, False)):
        device = SmallDevice(1, full, seconds=0.005, keeps=keeps)
        what = f"1 socket, then {full}; {'kept' if keeps else 'closed after each answer'}"
        tunnel = opened(rig, device)
        check_page(rig, device, tunnel, what, over_h1, 6, objects=20)
        tap.is_(device.most, 1, f"{what}: no more than one at a time")


@test
def processes(rig):
    """Connections that came at the same time are with both processes of httpd. Whoever asks on one
    of them has not to wait for the connection that the other process keeps."""
    device = SmallDevice(1, "refused", seconds=0.005)
    tunnel = opened(rig, device)
    check_page(rig, device, tunnel, "1 socket", over_h1, 6, objects=20)
    visitors = [rig.connection(tunnel) for _ in range(30)]

    def ask(visitor):
        began = time.monotonic()
        visitor.request("GET", "/processes")
        visitor.getresponse().read()
        return time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(len(visitors)) as pool:
        list(pool.map(ask, visitors))
    times = [ask(visitor) for visitor in visitors]
    tap.ok(
        max(times) < 1.5, "nobody waits until another process gives up what it keeps",
        sorted(times)[-5:])
    for visitor in visitors:
        visitor.close()


@test
def bodies(rig):
    """What has a body, or must not be sent twice, is not lost either."""
    for full in FULL:
        device = SmallDevice(2, full)
        tunnel = opened(rig, device)
        check_page(rig, device, tunnel, f"2 sockets, then {full}; GET", over_h1, 6, objects=20)
        check_page(rig,
                   device,
                   tunnel,
                   f"2 sockets, then {full}; POST",
                   over_h1,
                   6,
                   objects=20,
                   method="POST",
                   body=b"x" * 100000)


@test
def outsiders(rig):
    """Somebody at the device has taken sockets that the relay has had before. sshd has not read
    what it was sent for a connection that is refused."""
    device = SmallDevice(6, "refused", seconds=0.5)
    tunnel = opened(rig, device)
    check_page(rig, device, tunnel, "6 sockets", over_h1, 4, objects=4)
    wait_for(lambda: device.open == 0, "the end of idle connections", 9)
    time.sleep(1)  # for the relay, too
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        held = pool.submit(rig.get, tunnel, "/held", timeout=60)
        wait_for(lambda: device.asked["/held"], "a request that holds the sixth", 5)
        outside = [socket.create_connection(("127.0.0.1", device.port)) for _ in range(5)]
        wait_for(lambda: device.socket.fileno() < 0, "nobody listens any more", 5)
        threading.Timer(1, lambda: [s.close() for s in outside]).start()
        check_page(rig, device, tunnel, "all of them taken", over_h1, 2, objects=2)
        tap.is_(held.result()[0], 200, "and the one that held its own")


@test
def capable(rig):
    """A device that takes all has all at once, and none of its requests waits."""
    small = rig.server_status()["RelaySmallDevices"]
    device = SmallDevice(1000, "refused", seconds=1)
    tunnel = opened(rig, device)
    for page in ("the first page", "another page"):
        waited = int(rig.server_status()["RelayWaited"])
        check_page(rig, device, tunnel, f"any number of sockets: {page}", over_h1, 30, objects=30)
        tap.ok(device.most >= 25, f"{page}: at the same time", device.most)
        tap.is_(int(rig.server_status()["RelayWaited"]) - waited, 0, f"{page}: none waits")
    tap.is_(rig.server_status()["RelaySmallDevices"], small, "nor is it taken for a small one")


@test
def held(rig):
    """What holds all connections keeps others waiting, not for ever, and the page says why. A
    device whose service is away is told as that, though it was known to be small."""
    device = SmallDevice(2, "closed")
    tunnel = opened(rig, device)
    check_page(rig, device, tunnel, "2 sockets", over_h1, 6, objects=20)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(rig.get, tunnel, f"/slow/{i}", timeout=60) for i in range(2)]
        wait_for(lambda: device.asked["/slow/0"] + device.asked["/slow/1"] == 2, "the slow ones", 9)
        began = time.monotonic()
        third = pool.submit(rig.get, tunnel, "/third", timeout=60)
        wait_for(lambda: rig.server_status()["RelayWaitingForDevice"] == "1", "its waiting", 9)
        tap.ok(int(rig.server_status()["RelaySmallDevices"]) >= 1, "mod_status knows small devices")
        status, headers, body = third.result()
        took = time.monotonic() - began
        tap.is_((status, headers["Retry-After"]), (503, "5"), "all held: 503")
        tap.like(body.decode(), "takes only a few connections at a time", "the page says why")
        tap.ok(9 < took < 20, "after ten seconds", took)
        tap.is_(device.asked["/third"], 0, "the device has not seen it")
        tap.is_([s.result()[0] for s in slow], [200, 200], "the others have their answers")
    tap.is_(rig.get(tunnel, "/fourth", timeout=60)[0], 200, "then there is room again")
    device.go_away()
    began = time.monotonic()
    tap.is_(rig.get(tunnel, "/away", timeout=60)[0], 502, "the service is away: 502")
    tap.ok(time.monotonic() - began < 9, "and nobody waits for a turn", time.monotonic() - began)


tap.run()
