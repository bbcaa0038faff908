#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The web server of a device, for tests and script/demo: one process, one port for each --id.

Prints one line of JSON, {"id": port, …}, when it listens; ends when its standard input does.
All answers carry `X-Device: ID`, so that a test can judge whose answer it got.

  /                 the id; with --page FILE that file's bytes
  /echo, /echo/…    JSON: method, target, headers (list of pairs), body's length
  /big?n=N          N bytes, the same ones each time; chunked=1: without a length; rate=B: bytes
                    per second
  /upload           reads the body: {"bytes": N, "sha256": …}
  /slow?s=S         waits S seconds before the answer
  /sse?n=N&every=S  N server-sent events, `data: I TIME`
  /ws               WebSocket that echoes; answers `id` with the id
  /conns            {"accepted": TCP connections so far, "open": now, "requests": so far}
  /status?code=C    that status
  /redirect?to=URL  302 to URL
  /cookie           sets a cookie; domain=D: with that Domain
  /garbage /close /half   what a broken device does: no HTTP; no answer; a body that stops in the
                    middle
"""
import argparse
import asyncio
import base64
import hashlib
import json
import mimetypes
import ssl
import struct
import sys
import time
import urllib.parse

BLOCK = bytes(range(256)) * 256
WS_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REASONS = {
    101: "Switching Protocols", 200: "OK", 204: "No Content", 302: "Found", 304: "Not Modified",
    404: "Not Found", 410: "Gone", 500: "Internal Server Error", 502: "Bad Gateway", 503:
    "Service Unavailable"
}


class Bad(Exception):
    """The peer sent something that is no HTTP."""


class Request:
    def __init__(self, method, target, version, headers, reader, writer):
        self.method, self.target, self.version, self.headers = method, target, version, headers
        self.reader, self.writer = reader, writer
        split = urllib.parse.urlsplit(target)
        self.path = split.path
        self.args = {
            k: v[-1]
            for k, v in urllib.parse.parse_qs(split.query, keep_blank_values=True).items()
        }

    def header(self, name, default=""):
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return default

    async def body(self):
        """The body's bytes in pieces, whichever way it is framed."""
        if self.header("expect").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in self.header("transfer-encoding").lower():
            while True:
                size = int((await self.reader.readline()).split(b";")[0], 16)
                if size == 0:
                    while (await self.reader.readline()).strip():
                        pass
                    return
                async for piece in self.exactly(size):
                    yield piece
                await self.reader.readexactly(2)
        else:
            async for piece in self.exactly(int(self.header("content-length", "0"))):
                yield piece

    async def exactly(self, left):
        while left:
            piece = await self.reader.read(min(left, 65536))
            if not piece:
                raise Bad("the body ended early")
            left -= len(piece)
            yield piece


class Device:
    def __init__(self, ident, page, idle=None):
        self.ident, self.page, self.idle = ident, page, idle
        self.accepted = self.open = self.requests = 0

    async def connection(self, reader, writer):
        self.accepted += 1
        self.open += 1
        try:
            while await self.one(reader, writer):
                pass
        except (Bad, ValueError, ConnectionError, asyncio.IncompleteReadError,
                asyncio.LimitOverrunError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def one(self, reader, writer):
        try:
            line = await asyncio.wait_for(reader.readline(), self.idle)
        except asyncio.TimeoutError:
            return False
        if not line:
            return False
        try:
            method, target, version = line.decode("latin-1").split()
        except ValueError:
            raise Bad(line) from None
        headers = []
        while True:
            line = (await reader.readline()).decode("latin-1").rstrip("\r\n")
            if not line:
                break
            key, _, value = line.partition(":")
            headers.append((key, value.strip()))
        self.requests += 1
        req = Request(method, target, version, headers, reader, writer)
        keep = version == "HTTP/1.1" and "close" not in req.header("connection").lower()
        route = getattr(self, "do_" + (req.path.strip("/") or "index"), None)
        if route is None and req.path.startswith("/echo/"):
            route = self.do_echo
        if route is None:
            await self.drain(req)
            await self.answer(req, 404, f"{self.ident}: no {req.path}\n".encode(), "text/plain")
            return keep
        return await route(req) is not False and keep

    async def drain(self, req):
        size = 0
        async for piece in req.body():
            size += len(piece)
        return size

    async def answer(self, req, status, body=b"", kind="text/plain; charset=utf-8", extra=()):
        head = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"X-Device: {self.ident}"]
        if status not in (204, 304):
            head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        head += [f"{k}: {v}" for k, v in extra]
        data = ("\r\n".join(head) + "\r\n\r\n").encode()
        if req.method != "HEAD" and status not in (204, 304):
            data += body
        req.writer.write(data)
        await req.writer.drain()

    async def json(self, req, value):
        await self.answer(req, 200, json.dumps(value).encode(), "application/json")

    async def do_index(self, req):
        await self.drain(req)
        if self.page:
            with open(self.page, "rb") as f:
                data = f.read()
            await self.answer(req, 200, data,
                              mimetypes.guess_type(self.page)[0] or "application/octet-stream")
        else:
            await self.answer(req, 200, self.ident.encode())

    async def do_echo(self, req):
        size = await self.drain(req)
        await self.json(
            req, {
                "device": self.ident, "method": req.method, "target": req.target, "version":
                req.version, "headers": req.headers, "body": size
            })

    async def do_big(self, req):
        await self.drain(req)
        left, rate = int(req.args["n"]), float(req.args.get("rate", 0))
        chunked = req.args.get("chunked") == "1"
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {left}"
        req.writer.write(f"HTTP/1.1 200 OK\r\nX-Device: {self.ident}\r\nContent-Type: "
                         "application/octet-stream\r\n"
                         f"{framing}\r\n\r\n".encode())
        while left and req.method != "HEAD":
            size = min(left, int(rate / 10) or len(BLOCK))
            piece = (BLOCK * (size // len(BLOCK) + 1))[:size]
            req.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            await req.writer.drain()
            left -= len(piece)
            if rate:
                await asyncio.sleep(0.1)
        if chunked and req.method != "HEAD":
            req.writer.write(b"0\r\n\r\n")
        await req.writer.drain()

    async def do_upload(self, req):
        size, digest = 0, hashlib.sha256()
        async for piece in req.body():
            size += len(piece)
            digest.update(piece)
        await self.json(req, {"device": self.ident, "bytes": size, "sha256": digest.hexdigest()})

    async def do_slow(self, req):
        await self.drain(req)
        await asyncio.sleep(float(req.args.get("s", 1)))
        await self.answer(req, 200, self.ident.encode())

    async def do_sse(self, req):
        await self.drain(req)
        req.writer.write(
            f"HTTP/1.1 200 OK\r\nX-Device: {self.ident}\r\nContent-Type: text/event-stream\r\n"
            "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for i in range(int(req.args.get("n", 3))):
            event = f"data: {i} {time.time():.6f}\n\n".encode()
            req.writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await req.writer.drain()
            await asyncio.sleep(float(req.args.get("every", 0.2)))
        req.writer.write(b"0\r\n\r\n")
        await req.writer.drain()

    async def do_conns(self, req):
        await self.drain(req)
        await self.json(
            req, {
                "device": self.ident, "accepted": self.accepted, "open": self.open, "requests":
                self.requests
            })

    async def do_status(self, req):
        await self.drain(req)
        status = int(req.args["code"])
        await self.answer(req, status, f"{self.ident}: status {status}\n".encode(), "text/plain")

    async def do_redirect(self, req):
        await self.drain(req)
        await self.answer(req, 302, b"", extra=[("Location", req.args["to"])])

    async def do_cookie(self, req):
        await self.drain(req)
        domain = f"; Domain={req.args['domain']}" if "domain" in req.args else ""
        await self.answer(req,
                          200,
                          self.ident.encode(),
                          extra=[("Set-Cookie", f"device={self.ident}{domain}; Path=/; HttpOnly")])

    async def do_garbage(self, req):
        req.writer.write(b"\x00\x01\x02 this is not HTTP at all\r\n\r\n")
        await req.writer.drain()
        return False

    async def do_close(self, req):
        return False

    async def do_half(self, req):
        req.writer.write(
            f"HTTP/1.1 200 OK\r\nX-Device: {self.ident}\r\nContent-Length: 1000\r\n\r\nhalf".encode(
            ))
        await req.writer.drain()
        return False

    async def do_ws(self, req):
        key = req.header("sec-websocket-key")
        if req.header("upgrade").lower() != "websocket" or not key:
            await self.drain(req)
            await self.answer(req, 404, b"a WebSocket is here\n")
            return True
        accept = base64.b64encode(hashlib.sha1(key.encode() + WS_GUID).digest()).decode()
        req.writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nX-Device: {self.ident}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        while True:
            op, payload = await self.ws_read(req.reader)
            if op == 8:
                self.ws_write(req.writer, 8, payload)
                return False
            if op == 9:
                self.ws_write(req.writer, 10, payload)
            elif op in (1, 2):
                self.ws_write(req.writer, op, self.ident.encode() if payload == b"id" else payload)
            await req.writer.drain()

    @staticmethod
    async def ws_read(reader):
        first, second = await reader.readexactly(2)
        size = second & 127
        if size == 126:
            size, = struct.unpack("!H", await reader.readexactly(2))
        elif size == 127:
            size, = struct.unpack("!Q", await reader.readexactly(8))
        mask = await reader.readexactly(4) if second & 128 else bytes(4)
        data = await reader.readexactly(size)
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return first & 15, (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")

    @staticmethod
    def ws_write(writer, op, data):
        if len(data) < 126:
            head = bytes([128 | op, len(data)])
        elif len(data) < 65536:
            head = struct.pack("!BBH", 128 | op, 126, len(data))
        else:
            head = struct.pack("!BBQ", 128 | op, 127, len(data))
        writer.write(head + data)


async def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--id", action="append", required=True)
    parser.add_argument("--page")
    parser.add_argument("--port", type=int, default=0, help="of the first; 0: a free one")
    parser.add_argument("--idle",
                        type=float,
                        help="close a connection after so many seconds without a request")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--tls",
                        metavar="CERT",
                        help="serve HTTPS with this certificate and key (PEM)")
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls)
    ports = {}
    servers = []
    for ident in options.id:
        server = await asyncio.start_server(Device(ident, options.page, options.idle).connection,
                                            options.address,
                                            options.port if not ports else 0,
                                            ssl=context,
                                            backlog=512)
        servers.append(server)
        ports[ident] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())
