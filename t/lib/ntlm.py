# Licensed under the Apache License, Version 2.0; see LICENSE.
"""NTLM as devices and visitors speak it: three messages, and the connection is logged in.

    device = NtlmDevice()          # strict: a login counts for the connection that it was made on
    NtlmVisitor(rig, tunnel, "anna")   # a browser that keeps one connection: .login(), .get(path)
"""
import base64
import os
import re
import struct
import threading

from .trap import Listener

SIGNATURE = b"NTLMSSP\0"


def first():
    return SIGNATURE + struct.pack("<II", 1, 0xA2088207) + bytes(16)


def challenge():
    return (SIGNATURE + struct.pack("<IHHI", 2, 0, 0, 56) + struct.pack("<I", 0x00808205) +
            os.urandom(8) + bytes(8) + struct.pack("<HHI", 4, 4, 56) + bytes(8) + bytes(4))


def third(user):
    name = user.encode("utf-16-le")
    fields, at = b"", 64
    for size in (0, 24, 0, len(name), 0, 0):  # LM, NT, domain, user, workstation, key
        fields += struct.pack("<HHI", size, size, at)
        at += size
    return SIGNATURE + struct.pack("<I", 3) + fields + struct.pack("<I",
                                                                   0x00808205) + bytes(24) + name


def user_of(message):
    size, _, at = struct.unpack("<HHI", message[36:44])
    return message[at:at + size].decode("utf-16-le" if struct.unpack("<I", message[60:64])[0]
                                        & 1 else "latin-1")


class NtlmDevice(Listener):
    """Every answer names the connection's user. .seen: [(number of the connection, user or None,
    scheme or None)]"""
    def __init__(self, offers=("NTLM", ), quirk=b""):
        self.offers, self.quirk = offers, quirk
        self.seen, self.count, self.lock = [], 0, threading.Lock()
        super().__init__()

    def _serve(self, connection):
        with self.lock:
            self.count += 1
            number = self.count
        user, challenged = None, False
        with connection, connection.makefile("rb") as stream:
            try:
                while line := stream.readline():
                    head = b""
                    while (field := stream.readline()) not in (b"\r\n", b""):
                        head += field
                    length = re.search(rb"(?im)^content-length: *(\d+)", head)
                    stream.read(int(length[1]) if length else 0)
                    token = re.search(rb"(?im)^authorization: *(\S+) *(\S*)", head)
                    scheme = token[1].decode() if token else None
                    with self.lock:
                        self.seen.append((number, user, scheme))
                    more = b""
                    if scheme and scheme.lower() in ("ntlm", "negotiate"):
                        message = base64.b64decode(token[2])
                        kind = message[8]
                        if kind == 1:
                            user, challenged = None, True
                            more = b"WWW-Authenticate: %s %s\r\n" % (scheme.encode(),
                                                                     base64.b64encode(challenge()))
                        elif kind == 3 and challenged:
                            user, challenged = user_of(message), False
                    if user is None:
                        more = more or b"".join(b"WWW-Authenticate: %s\r\n" % o.encode()
                                                for o in self.offers)
                        self._answer(connection, b"401 Unauthorized", more, b"who?")
                    else:
                        self._answer(connection, b"200 OK", b"X-Connection: %d\r\n" % number,
                                     user.encode() + b" " + line.split(b" ")[1])
            except OSError:
                pass

    def _answer(self, connection, status, more, body):
        connection.sendall(b"HTTP/1.1 %s\r\n%s%sContent-Length: %d\r\n\r\n%s" %
                           (status, more, self.quirk, len(body), body))


class NtlmVisitor:
    """A browser that keeps one connection."""
    def __init__(self, rig, tunnel, user, scheme="NTLM"):
        self.connection, self.user, self.scheme = rig.connection(tunnel), user, scheme
        self.host = f"{rig.host(tunnel)}:{rig.https_port}"

    def get(self, path="/", token=None, method="GET"):
        """(status, headers, body)"""
        headers = {"Host": self.host}
        if token:
            headers["Authorization"] = f"{self.scheme} {base64.b64encode(token).decode()}"
        self.connection.request(method, path, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()

    def login(self, path="/"):
        """The third leg's answer; that of the second where it was not a challenge."""
        answer = self.get(path, first())
        return self.get(path, third(self.user)) if answer[0] == 401 and f"{self.scheme} " in (
            answer[1]["WWW-Authenticate"] or "") else answer

    def close(self):
        self.connection.close()
