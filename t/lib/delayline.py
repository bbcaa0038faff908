# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A slow line on one machine: a TCP forwarder that holds every byte back for a while, each way.

    with DelayLine("127.0.0.1", port, 0.025) as line:   # 25 ms each way: a round trip takes 50 ms
        … connect to 127.0.0.1:line.port …

It delays and does not narrow: bytes keep their order and distance. As a program: delayline.py HOST
PORT SECONDS; prints its port, and ends when its standard input does.
"""
import asyncio
import collections
import os
import socket
import sys

# In flight at most, each way; more than bandwidth times delay of any line that is tried here.
IN_FLIGHT = 16 * 1024 * 1024


class DelayLine:
    """The forwarder in a process of its own."""
    def __init__(self, host, port, seconds):
        from .server import Child  # not where this file is the program
        argv = ["/usr/bin/python3", os.path.abspath(__file__), host, str(port), str(seconds)]
        self.child = Child(argv, "the delay line")
        self.port = int(self.child.line)

    def stop(self):
        self.child.stop()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


async def one_way(reader, writer, seconds):
    """Bytes, and the end, arrive `seconds` after they came."""
    loop = asyncio.get_running_loop()
    queue, held = collections.deque(), 0
    came, room = asyncio.Event(), asyncio.Event()
    room.set()

    async def take():
        nonlocal held
        while True:
            try:
                data = await reader.read(262144)
            except ConnectionError:
                data = b""
            queue.append((loop.time() + seconds, data))
            held += len(data)
            came.set()
            if not data:
                return
            if held > IN_FLIGHT:
                room.clear()
                await room.wait()

    taking = asyncio.ensure_future(take())
    try:
        while True:
            await came.wait()
            due, data = queue.popleft()
            if not queue:
                came.clear()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            held -= len(data)
            if held <= IN_FLIGHT:
                room.set()
    except (ConnectionError, OSError):
        pass
    finally:
        taking.cancel()


async def serve(host, port, seconds):
    async def connection(reader, writer):
        try:
            onward_reader, onward = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        for w in (writer, onward):
            w.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(one_way(reader, onward, seconds),
                             one_way(onward_reader, writer, seconds))
        writer.close()
        onward.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
