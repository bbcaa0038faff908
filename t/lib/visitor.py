# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A visitor for asyncio: many requests over one kept-alive HTTPS connection, for any names of a
rig; WebSockets. Hundreds of them are tasks of one event loop; a test that is a thread asks with
rig.get() (rigclient.py), which is simpler and waits for each answer."""
import asyncio
import base64
import os
import ssl

from .manydevices import frame


class Closed(Exception):
    """The server closed the connection before it answered."""


class Visitor:
    """One connection, made when it is needed. retries counts requests that met a connection that
    httpd was just closing: RFC 9112 9.3.1 has clients send those again, and browsers do."""
    def __init__(self, rig, source=None):
        self.rig, self.source = rig, source
        self.reader = self.writer = None
        if not hasattr(rig, "visitors_context"):
            rig.visitors_context = rig.tls_context()
        self.context = rig.visitors_context
        self.retries = self.connections = 0

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(
            self.rig.address,
            self.rig.https_port,
            ssl=self.context,
            server_hostname=self.rig.domain,
            local_addr=(self.source, 0) if self.source else None)
        self.connections += 1

    def close(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def get(self, name, path="/", timeout=20):
        """(status, headers as bytes, body)"""
        while True:
            fresh = self.writer is None
            try:
                return await asyncio.wait_for(self._once(name, path), timeout)
            except (OSError, ssl.SSLError, Closed, asyncio.IncompleteReadError) as e:
                self.close()
                if fresh or isinstance(e, asyncio.IncompleteReadError) and e.partial:
                    raise
                self.retries += 1
            except BaseException:
                self.close()
                raise

    async def _once(self, name, path):
        if self.writer is None:
            await self.connect()
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {name}.{self.rig.domain}\r\nAccept: text/plain\r\n\r\n".
            encode())
        status, head, length = await self._head()
        body = await self.reader.readexactly(length
                                             ) if length is not None else await self.reader.read()
        if length is None or b"\r\nconnection: close" in head.lower():
            self.close()
        return status, head, body

    async def _head(self):
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as e:
            if e.partial:
                raise
            raise Closed from None
        length = None
        for line in head.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == b"content-length":
                length = int(value)
        return int(head.split(b" ", 2)[1]), head, length


class WebSocket(Visitor):
    """Holds a WebSocket; ask() says who answers it."""
    async def open(self, name, timeout=20):
        """The status: 101, or what came instead."""
        return await asyncio.wait_for(self._open(name), timeout)

    async def _open(self, name):
        await self.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        self.writer.write(
            f"GET /ws HTTP/1.1\r\nHost: {name}.{self.rig.domain}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".
            encode())
        return (await self._head())[0]

    async def ask(self):
        """Asks who is at the other end; None when it has ended."""
        try:
            self.writer.write(frame(b"who", mask=True))
            first, size = await self.reader.readexactly(2)
            payload = await self.reader.readexactly(size & 127)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            return None
        return payload.decode() if first & 15 == 1 else None

    async def ended(self, timeout):
        """Waits until nothing more comes; whether that was in time."""
        try:
            await asyncio.wait_for(self._rest(), timeout)
        except asyncio.TimeoutError:
            return False
        return True

    async def _rest(self):
        try:
            while await self.reader.read(4096):
                pass
        except (OSError, ssl.SSLError):
            pass
