# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Many visitors of one tunnel at once, in a process of their own, so that what a neighbour measures
is the relay's time.

    with Hammer(rig, tunnel, "get", 1000) as hammer:
        hammer.wait()                 # until each has been answered or is under way
        hammer.counts()               # {"held": 37, "refused": 963, "failed": 0}

kind: get        GET of /slow, which the device lets hang
      websocket  a WebSocket that is never used
      body       POST whose body comes a byte a second
      pipeline   as get, ten requests in one go
      h2         ten GETs over each HTTP/2 connection
again: who was refused asks again after so many seconds, on a new connection.
"""
import asyncio
import multiprocessing
import random
import ssl

import h2.config
import h2.events

from .h2client import Connection

FIELDS = ("held", "refused", "failed", "done")
STREAMS = 10


class Hammer:
    def __init__(self, rig, tunnel, kind, connections, again=None, path="/slow?s=100"):
        self.host, self.address, self.port, self.ca = rig.host(
            tunnel), rig.address, rig.https_port, rig.ca
        self.kind, self.connections, self.again, self.path = kind, connections, again, path
        self.numbers = multiprocessing.Array("i", len(FIELDS))
        self.pages = multiprocessing.Queue()
        self.process = multiprocessing.get_context("fork").Process(target=self.run, daemon=True)
        self.process.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.join()

    # --- for the test

    def counts(self):
        return dict(zip(FIELDS, self.numbers))

    def asked(self):
        """Returns how many requests there are in all."""
        return self.connections * (STREAMS if self.kind == "h2" else 1)

    # --- in the process

    def run(self):
        asyncio.run(self.all())

    def count(self, field, by=1):
        with self.numbers.get_lock():
            self.numbers[FIELDS.index(field)] += by

    async def all(self):
        # A thousand handshakes at once would keep this machine's cores for seconds, whatever the
        # relay does with them.
        self.turn = asyncio.Semaphore(20)
        await asyncio.gather(*(self.visitor() for _ in range(self.connections)))

    async def visitor(self):
        visit = self.over_h2 if self.kind == "h2" else self.over_h1
        while True:
            try:
                await visit()
            except (OSError, EOFError, asyncio.IncompleteReadError, ssl.SSLError) as e:
                self.count("failed")
                self.pages.put(repr(e))
            if not self.again:
                return
            await asyncio.sleep(self.again * random.uniform(0.5, 1.5))

    async def connect(self, alpn):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols([alpn])
        async with self.turn:
            return await asyncio.open_connection(self.address,
                                                 self.port,
                                                 ssl=context,
                                                 server_hostname=self.host)

    def head(self):
        host = f"Host: {self.host}:{self.port}\r\n"
        if self.kind == "websocket":
            return (f"GET /ws HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: "
                    "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
        if self.kind == "body":
            return f"POST /upload HTTP/1.1\r\n{host}Content-Length: 1000\r\n\r\n".encode()
        return f"GET {self.path} HTTP/1.1\r\n{host}\r\n".encode() * (10 if self.kind == "pipeline"
                                                                     else 1)

    async def drip(self, writer):
        while True:
            writer.write(b"x")
            await asyncio.sleep(1)

    async def over_h1(self):
        reader, writer = await self.connect("http/1.1")
        dripping = None
        held = True
        try:
            writer.write(self.head())
            self.count("held")
            if self.kind == "body":
                dripping = asyncio.create_task(self.drip(writer))
            status = (await reader.readuntil(b"\r\n")).split()[1]
            if status == b"101":
                await reader.read()
            self.count("held", -1)
            held = False
            self.count("refused" if status == b"503" else "done")
        finally:
            if held:
                self.count("held", -1)
            if dripping:
                dripping.cancel()
            writer.transport.abort()

    async def over_h2(self):
        reader, writer = await self.connect("h2")
        conn = Connection(config=h2.config.H2Configuration(header_encoding="utf-8"))
        conn.initiate_connection()
        for i in range(STREAMS):
            conn.send_headers(1 + 2 * i, [(":method", "GET"), (":scheme", "https"),
                                          (":authority", f"{self.host}:{self.port}"),
                                          (":path", self.path)],
                              end_stream=True)
        open_streams = STREAMS
        self.count("held", STREAMS)
        try:
            while open_streams:
                writer.write(conn.data_to_send())
                data = await reader.read(65536)
                if not data:
                    raise EOFError("the connection was closed")
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        open_streams -= 1
                        self.count("held", -1)
                        self.count("refused" if dict(event.headers)[":status"] == "503" else "done")
                    elif isinstance(event, h2.events.StreamReset):
                        open_streams -= 1
                        self.count("held", -1)
                        self.count("failed")
        finally:
            self.count("held", -open_streams)
            writer.transport.abort()
