#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Methods, headers, bodies of any size, WebSockets and events pass between visitor and device,
under each MPM.

RELAY_BODY_MB says how large the large bodies are (200).
"""
import asyncio
import hashlib
import json
import os
import socket
import subprocess
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import websockets

from lib import ASAN_KEEPS_LITTLE, keeper, Rig, tap, test

MB = 1024 * 1024
BODY = int(os.environ.get("RELAY_BODY_MB", "200")) * MB
BLOCK = bytes(range(256)) * 256  # what the device's /big consists of


def curl_argv(rig, tunnel, path, *args, http=1.1):
    host = rig.host(tunnel)
    return [
        "curl", "-q", "-sS", "--noproxy", "*", "--http2" if http == 2 else "--http1.1", "--cacert",
        rig.ca, "--max-time", "300", "--resolve", f"{host}:{rig.https_port}:{rig.address}", *args,
        f"https://{host}:{rig.https_port}{path}"
    ]


class Memory:
    """The largest growth of httpd's children while in the block, in kB."""
    def __init__(self, rig):
        self.rig, self.over, self.grown = rig, threading.Event(), 0

    def sizes(self):
        found = {}
        for pid in keeper.descendants([self.rig.servers["httpd"].pid]):
            try:
                with open(f"/proc/{pid}/status") as f:
                    found[pid] = next(
                        (int(line.split()[1]) for line in f if line.startswith("RssAnon:")), 0)
            except OSError:
                pass
        return found

    def watch(self):
        while not self.over.wait(0.05):
            for pid, size in self.sizes().items():
                self.grown = max(self.grown, size - self.before.get(pid, size))

    def __enter__(self):
        self.before = self.sizes()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()


def check_methods(rig, tunnel, http):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT"):
        body = b"some body" if method not in ("GET", "OPTIONS") else None
        status, headers, answer = rig.get(tunnel,
                                          "/echo/m?q=1",
                                          method=method,
                                          body=body,
                                          http=http)
        told = json.loads(answer) if status == 200 else {}
        tap.is_((status, told.get("method"), told.get("target"), told.get("body")),
                (200, method, "/echo/m?q=1", len(body or b"")), f"{method}, HTTP/{http}")
    status, headers, answer = rig.get(tunnel, "/big?n=100000", method="HEAD", http=http)
    tap.is_((status, headers["Content-Length"], answer), (200, "100000", b""), f"HEAD, HTTP/{http}")
    for code in (204, 304, 404, 500):
        tap.is_(
            rig.get(tunnel, f"/status?code={code}", http=http)[0], code,
            f"the device's {code}, HTTP/{http}")


def check_forwarded(rig, tunnel, http):
    """X-Forwarded-* are the relay's to say, whatever the visitor sends."""
    host = f"{rig.host(tunnel)}:{rig.https_port}"
    forged = {
        "X-Forwarded-For": "6.6.6.6", "X-FORWARDED-PROTO": "http", "x-forwarded-host":
        "evil.example", "X-Forwarded-Port": "1", "X-Forwarded-Server": "evil", "X-Forwarded-User":
        "admin", "Forwarded": "for=6.6.6.6;proto=http", "X-Real-IP": "6.6.6.6", "X_Forwarded_For":
        "6.6.6.6", "X-Forwarded_For": "6.6.6.6", "X-Client-IP": "6.6.6.6", "True-Client-IP":
        "6.6.6.6", "X-Forwarded": "6.6.6.6", "X-Forwarded-Prefix": "/x", "X-Cluster-Client-IP":
        "6.6.6.6"
    }
    sets = [("nothing", {}), ("all of them", forged)]
    if http == 1.1:  # HTTP/2 has no Connection
        for name in ("X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host, X-Forwarded-Server",
                     "close, X-FORWARDED-FOR ,x-forwarded-proto",
                     "keep-alive,Forwarded,X-Forwarded-Host"):
            sets.append((f"`Connection: {name}'", {**forged, "Connection": name}))
    for what, headers in sets:
        body = rig.get(tunnel, "/echo", headers=headers, http=http)[2]
        got = {}
        for key, value in json.loads(body)["headers"]:
            key = key.lower().replace("_", "-")
            if "forwarded" in key or key in ("x-real-ip", "x-client-ip", "true-client-ip",
                                             "x-cluster-client-ip"):
                got.setdefault(key, []).append(value)
        got.pop("x-forwarded-server", None)  # the vhost's name
        tap.is_(
            got, {
                "x-forwarded-for": ["127.0.0.1"], "x-forwarded-proto": ["https"],
                "x-forwarded-host": [host]
            }, f"forwarding headers after the visitor sent {what} (HTTP/{http})")
        tap.ok(b"6.6.6.6" not in body and b"evil" not in body, "nothing forged is left", body)


def check_headers(rig, tunnel):
    with socket.create_connection((rig.address, rig.https_port),
                                  source_address=("127.9.8.7", 0)) as sock:
        with rig.tls_context().wrap_socket(sock, server_hostname=rig.host(tunnel)) as tls:
            tls.sendall(f"GET /echo HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\nX-Forwarded-For: "
                        "6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: tls.recv(65536), b""))
    tap.like(answer.decode(), r'\["X-Forwarded-For", "127\.9\.8\.7"\]',
             "X-Forwarded-For is the visitor's address")
    sent = {
        "Connection": "X-Only-Here, keep-alive", "X-Only-Here": "1", "Keep-Alive": "timeout=5",
        "TE": "trailers", "Proxy-Authorization": "Basic eA==", "Proxy-Connection": "keep-alive",
        "Upgrade": "h2c", "Authorization": "Basic eTp6", "Cookie": "a=b", "X-Through": "yes",
        "Accept-Encoding": "br"
    }
    got = {
        k.lower(): v
        for k, v in json.loads(rig.get(tunnel, "/echo", headers=sent)[2])["headers"]
    }
    for name in ("x-only-here", "keep-alive", "proxy-connection", "upgrade", "te"):
        tap.is_(got.get(name), None, f"{name} is for the next hop only")
    for name in ("Authorization", "Cookie", "X-Through", "Accept-Encoding"):
        tap.is_(got.get(name.lower()), sent[name], f"{name} reaches the device")
    tap.is_(got["host"], f"{rig.host(tunnel)}:{rig.https_port}",
            "Host is what the visitor asked for")
    both = (f"POST /upload HTTP/1.1\r\nHost: {rig.host(tunnel)}\r\nContent-Length: 4\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            "0\r\n\r\nGET /status?code=404 HTTP/1.1\r\n\r\n")
    answer = rig.raw(both.encode(), tunnel)
    tap.ok(
        answer.count(b"HTTP/1.1") == 1,
        "Content-Length and Transfer-Encoding together smuggle no second request", answer)
    tap.is_(rig.get(tunnel)[0], 200, "and the pool has taken no harm")


def check_uploads(rig, tunnel, http):
    data = os.urandom(3 * MB)
    digest = hashlib.sha256(data).hexdigest()
    for what, body, headers in (("with a length", data, {}), ("empty", b"", {})):
        got = json.loads(
            rig.get(tunnel, "/upload", method="POST", body=body, headers=headers, http=http)[2])
        tap.is_((got["bytes"], got["sha256"]), (len(body), hashlib.sha256(body).hexdigest()),
                f"an upload {what}, HTTP/{http}")
    out = subprocess.run(curl_argv(rig, tunnel, "/upload", "-T", "-", "-H", "Expect:", http=http),
                         input=data,
                         capture_output=True)
    got = json.loads(out.stdout or b"{}")
    tap.is_((got.get("bytes"), got.get("sha256")), (len(data), digest),
            f"an upload of unknown length, HTTP/{http}")
    out = subprocess.run(curl_argv(rig,
                                   tunnel,
                                   "/upload",
                                   "-T",
                                   "-",
                                   "-H",
                                   "Expect: 100-continue",
                                   "--expect100-timeout",
                                   "20",
                                   "-w",
                                   " %{time_total}",
                                   http=http),
                         input=data,
                         capture_output=True)
    tap.ok(digest.encode() in out.stdout and float(out.stdout.split()[-1]) < 5,
           f"Expect: 100-continue, HTTP/{http}", out)


def check_large(rig, tunnel, http, size):
    """Large bodies stream through: httpd's memory does not follow."""
    sparse = f"{rig.dir}/zeros"
    with open(sparse, "wb") as f:
        f.truncate(size)
    with Memory(rig) as memory:
        began = time.monotonic()
        out = subprocess.run(curl_argv(rig, tunnel, "/upload", "-T", sparse, http=http),
                             capture_output=True)
        took = time.monotonic() - began
    got = json.loads(out.stdout or b"{}").get("bytes")
    tap.note(f"up: {size / MB / took:.0f} MB/s, httpd grew by {memory.grown} kB (HTTP/{http})")
    tap.is_(got, size, f"{size // MB} MB up, HTTP/{http}")
    tap.ok(memory.grown < 24 * 1024, "httpd's memory stays", f"{memory.grown} kB")
    with Memory(rig) as memory:
        began, n, right = time.monotonic(), 0, True
        with subprocess.Popen(curl_argv(rig, tunnel, f"/big?n={size}&chunked=1", http=http),
                              stdout=subprocess.PIPE) as curl:
            while block := curl.stdout.read(len(BLOCK)):
                right = right and block == BLOCK[:len(block)]
                n += len(block)
        took = time.monotonic() - began
    tap.note(f"down: {size / MB / took:.0f} MB/s, httpd grew by {memory.grown} kB (HTTP/{http})")
    tap.ok(n == size and right, f"{size // MB} MB down, HTTP/{http}: every byte", f"{n} bytes")
    tap.ok(memory.grown < 24 * 1024, "httpd's memory stays", f"{memory.grown} kB")
    with Memory(rig) as memory:
        with subprocess.Popen(curl_argv(rig,
                                        tunnel,
                                        f"/big?n={size}",
                                        "--limit-rate",
                                        "2M",
                                        http=http),
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as curl:
            time.sleep(1.5)
            curl.terminate()
    tap.ok(memory.grown < 24 * 1024,
           f"a visitor who reads slowly does not fill httpd's memory, HTTP/{http}",
           f"{memory.grown} kB")


def check_events(rig, tunnel, http):
    """Each server-sent event arrives before the next is made."""
    with subprocess.Popen(curl_argv(rig, tunnel, "/sse?n=4&every=0.8", "-N", http=http),
                          stdout=subprocess.PIPE,
                          bufsize=0) as curl:
        late = []
        for line in curl.stdout:
            if line.startswith(b"data: "):
                late.append(time.time() - float(line.split()[2]))
    tap.ok(
        len(late) == 4 and max(late) < 0.8, f"server-sent events, HTTP/{http}: all arrive at once",
        late)


async def websocket_session(rig, tunnel):
    host = rig.host(tunnel)
    sock = socket.create_connection((rig.address, rig.https_port))
    async with websockets.connect(f"wss://{host}:{rig.https_port}/ws",
                                  ssl=rig.tls_context(),
                                  sock=sock,
                                  server_hostname=host,
                                  max_size=None) as ws:
        await ws.send("id")
        who = await ws.recv()
        big = os.urandom(2 * MB)
        await ws.send(big)
        same = await ws.recv() == big
        await asyncio.wait_for(await ws.ping(), 5)
        began = time.monotonic()
        for i in range(20):
            await ws.send(str(i))
            if await ws.recv() != str(i):
                same = False
        took = time.monotonic() - began
        await ws.close(1000)
        return who, same, took < 5, ws.close_code


async def websocket_many(rig, tunnel, n):
    return await asyncio.gather(*(websocket_session(rig, tunnel) for _ in range(n)))


def check_websocket(rig, tunnel, ident, n=1):
    try:
        results = asyncio.run(asyncio.wait_for(websocket_many(rig, tunnel, n), 60))
    except Exception as e:
        results = [repr(e)]
    tap.ok(
        len(results) == n and all(r == (ident, True, True, 1000) for r in results),
        f"WebSocket: {n} at once, 2 MB messages, ping, close", results)


def check_websocket_http2(rig, tunnel, ident):
    """RFC 8441: CONNECT with :protocol websocket."""
    with rig.tls(tunnel, alpn=["h2"], timeout=10) as sock:
        conn = h2.connection.H2Connection(config=h2.config.H2Configuration(
            header_encoding="latin-1", validate_outbound_headers=False))
        conn.initiate_connection()
        sock.sendall(conn.data_to_send())
        offered = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        while not any(
                isinstance(event, h2.events.RemoteSettingsChanged)
                for event in conn.receive_data(sock.recv(65536))):
            pass
        tap.is_(conn.remote_settings.get(offered), 1, "WebSockets over HTTP/2 are offered")
        conn.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"),
                              (":scheme", "https"), (":path", "/ws"),
                              (":authority", rig.host(tunnel)), ("sec-websocket-version", "13"),
                              ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")])
        sock.sendall(conn.data_to_send())
        mask = b"\x01\x02\x03\x04"
        status, got, sent = None, b"", False
        while len(got) < 2 + len(ident):
            data = sock.recv(65536)
            if not data:
                break
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    got += event.data
                elif isinstance(event, h2.events.StreamReset):
                    got += b"reset" * 20
            if status == "200" and not sent:
                conn.send_data(1,
                               b"\x81\x82" + mask + bytes(b ^ mask[i] for i, b in enumerate(b"id")))
                sent = True
            sock.sendall(conn.data_to_send())
        tap.is_((status, got), ("200", b"\x81" + bytes([len(ident)]) + ident.encode()),
                "a WebSocket in an HTTP/2 stream")


def check_mpm(mpm, size):
    versions = (1.1, ) if mpm == "prefork" else (1.1, 2)
    rig = Rig(mpm=mpm, http2=mpm != "prefork", asan=ASAN_KEEPS_LITTLE)
    rig.expect(r"AH10034|AH01110|AH01102|AH00898")
    nas, tls = rig.device("nas"), rig.device("tls", tls=True)
    tunnel, secure = rig.open(nas.url), rig.open(tls.url)
    rig.connect(tunnel)
    rig.connect(secure)
    for http in versions:
        check_methods(rig, tunnel, http)
        check_forwarded(rig, tunnel, http)
        check_uploads(rig, tunnel, http)
        check_events(rig, tunnel, http)
        tap.is_(
            rig.get(secure, http=http)[0::2], (200, b"tls"),
            f"a device with HTTPS and a self-signed certificate, HTTP/{http}")
        check_uploads(rig, secure, http)
        check_events(rig, secure, http)
        check_large(rig, tunnel, http, size)
    check_headers(rig, tunnel)
    check_websocket(rig, tunnel, "nas", 10)
    check_websocket(rig, secure, "tls")
    if 2 in versions:
        check_websocket_http2(rig, tunnel, "nas")
        check_websocket_http2(rig, secure, "tls")
    tap.is_((rig.get(tunnel)[2], rig.get(secure)[2]), (b"nas", b"tls"),
            f"{mpm}: all is well at the end")
    rig.ends_cleanly(f"{mpm}: the rig")


@test
def event():
    check_mpm("event", BODY)


@test
def worker():
    check_mpm("worker", BODY // 8)


@test
def prefork():
    check_mpm("prefork", BODY // 8)


tap.run()
