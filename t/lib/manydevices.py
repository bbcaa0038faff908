# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Thousands of devices in one process: one port on every address of 127.200.0.0/13, and each
address is a device.

device.py would need a process and a port for each; here a connection is a few lines of a Protocol.
A device answers with its own address and a secret that nobody can know who has not asked it
(Devices.secret()), so that an answer says beyond doubt which device it came from, however its port
came to be reached.

  /               who it is: `127.200.0.5 SECRET`
  /slow?s=S       the same after S seconds
  /ws             WebSocket that answers each message with who it is
  /quiet          who it is, and the connection is closed after it

    devices = Devices()
    devices.service(5)      # "http://127.200.0.5:9001"
"""
import asyncio
import base64
import hashlib
import hmac
import os
import re
import sys

WS_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FIRST, COUNT = (127 << 24) + (200 << 16), 1 << 19


def address(n):
    """The address of device n."""
    ip = FIRST + n % COUNT
    return ".".join(str(ip >> shift & 255) for shift in (24, 16, 8, 0))


def frame(payload, op=1, mask=False):
    """A WebSocket frame with a short payload."""
    if mask:
        key = os.urandom(4)
        return bytes([128 | op, 128 | len(payload)]) + key + bytes(b ^ key[i % 4]
                                                                   for i, b in enumerate(payload))
    return bytes([128 | op, len(payload)]) + payload


class Devices:
    """The test's side: the process with all devices."""
    def __init__(self):
        from .server import Child  # not where this file is the program
        self.key = os.urandom(16)
        argv = [sys.executable, os.path.abspath(__file__), self.key.hex()]
        self.child = Child(argv, "the process of the devices")
        self.port = int(self.child.line)

    def secret(self, n):
        return who(self.key, address(n))

    def service(self, n):
        return f"http://{address(n)}:{self.port}"

    def target(self, n):
        """As ssh -R wants it."""
        return f"{address(n)}:{self.port}"

    def stop(self):
        self.child.stop()


def who(key, ip):
    return f"{ip} {hmac.new(key, ip.encode(), hashlib.sha256).hexdigest()[:32]}"


class Visit(asyncio.Protocol):
    """One connection to one of the devices."""
    def __init__(self, key):
        self.key, self.data, self.upgraded, self.waiting = key, b"", False, None

    def connection_made(self, transport):
        self.transport = transport
        self.me = who(self.key, transport.get_extra_info("sockname")[0]).encode()

    def connection_lost(self, exc):
        if self.waiting:
            self.waiting.cancel()

    def data_received(self, data):
        self.data += data
        if self.upgraded:
            self.messages()
        elif not self.waiting:
            self.requests()

    def requests(self):
        while not self.waiting and not self.upgraded and b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            target = head.split(b" ", 2)[1]
            slow = re.match(rb"/slow\?s=([\d.]+)$", target)
            if slow:
                self.waiting = asyncio.get_running_loop().call_later(float(slow[1]), self.later)
            elif target == b"/ws":
                self.upgrade(head)
            else:
                self.answer(close=target == b"/quiet")

    def later(self):
        self.waiting = None
        self.answer()
        self.requests()

    def answer(self, close=False):
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s" %
            (len(self.me), b"Connection: close\r\n" if close else b"", self.me))
        if close:
            self.transport.close()

    def upgrade(self, head):
        key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", head)
        accept = base64.b64encode(hashlib.sha1((key[1] if key else b"") + WS_GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept)
        self.upgraded = True
        self.messages()

    def messages(self):
        """Each masked frame is answered, whatever it says; the test's are short."""
        while len(self.data) >= 6 and len(self.data) >= 6 + (self.data[1] & 127):
            op = self.data[0] & 15
            self.data = self.data[6 + (self.data[1] & 127):]
            if op == 8:
                self.transport.close()
                return
            self.transport.write(frame(self.me))


async def main():
    key = bytes.fromhex(sys.argv[1])
    loop = asyncio.get_running_loop()
    # below the ports that listen spaces have here: it is on every address
    for port in range(9999, 1024, -1):
        try:
            await loop.create_server(lambda: Visit(key), "0.0.0.0", port, backlog=1024)
            break
        except OSError:
            continue
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())
