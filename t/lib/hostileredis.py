# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A way to Redis on which some answers are exchanged for others: what rlyd would meet if that were
no Redis, or a broken one."""
import itertools
import socket
import threading

# Answers of every form, none of which is one to any of the commands below.
ANSWERS = [
    b"$-1\r\n",
    b"*-1\r\n",
    b":5\r\n",
    b":-5\r\n",
    b":9223372036854775807\r\n",
    b"+OK\r\n",
    b"+\r\n",
    b"$0\r\n\r\n",
    b"$3\r\na\0b\r\n",
    b"*1\r\n:5\r\n",
    b"*2\r\n:5\r\n:5\r\n",
    b"*2\r\n$-1\r\n$-1\r\n",
    b"*1\r\n*2\r\n:5\r\n*0\r\n",
    b"*1\r\n*2\r\n$1\r\ne\r\n:5\r\n",
    b"*1\r\n*2\r\n$1\r\ne\r\n*1\r\n:5\r\n",
    b"*1\r\n*2\r\n$1\r\ne\r\n*1\r\n*2\r\n:1\r\n*0\r\n",
    b"*1\r\n*2\r\n$3\r\n1-1\r\n*1\r\n:7\r\n",
    b"*1\r\n*2\r\n$3\r\n1-x\r\n*0\r\n",
    b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    b"*1\r\n" * 12 + b":1\r\n",
    b"*2\r\n*0\r\n*0\r\n",
    b"*2\r\n$2\r\n-5\r\n$1\r\n0\r\n",
    b"*2\r\n$20\r\n99999999999999999999\r\n$1\r\n0\r\n",
    b"*2\r\n-ERR x\r\n-ERR y\r\n",
    b"-ERR hostile\r\n",
    b"-\r\n",
    b"*2147483647\r\n",
    b"*1048577\r\n",
    b"$536870912\r\n",
    b"*-7\r\n",
    b"$-7\r\n",
    b":\r\n",
    b":99999999999999999999999\r\n",
    b">2\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"%1\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"~1\r\n:1\r\n",
    b",1.5\r\n",
    b"#t\r\n",
    b"_\r\n",
    b"(12345678901234567890\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"|1\r\n+a\r\n+b\r\n",
    b"\0\0\0\0",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"",
    b"+OK\r\n+OK\r\n+OK\r\n",
    b":1\r\n*1\r\n:1\r\n$1\r\na\r\n",  # more than was asked for
]
LAST = (b"", *ANSWERS[-2:])
COMMANDS = [
    "PING", "TIME", "HKEYS", "HLEN", "HGET", "HGETALL", "GET", "EVAL", "XREAD", "XREVRANGE", "INFO"
]
# These would be believed, and rightly: `there is no such record'; `no tunnel has that address'.
BELIEVED = {"GET": (b"$-1\r\n", b"*-1\r\n", b"$0\r\n\r\n", b"$3\r\na\0b\r\n", b"_\r\n")}
ROUNDS = 30


def read_line(f):
    line = f.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    return line


def read_reply(f):
    """One reply, whole, as bytes."""
    line = read_line(f)
    if line[:1] == b"$" and int(line[1:]) >= 0:
        return line + f.read(int(line[1:]) + 2)
    if line[:1] == b"*":
        return line + b"".join(read_reply(f) for _ in range(max(0, int(line[1:]))))
    return line


def read_command(f):
    """One command: (its name, its bytes)."""
    whole = read_reply(f)
    return whole.split(b"\r\n")[2].upper().decode(), whole


class Proxy:
    def __init__(self, upstream, path):
        self.upstream, self.round, self.said, self.open = upstream, None, [], []
        self.turns = {command: itertools.count() for command in COMMANDS}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(50)
        threading.Thread(target=self.accept, daemon=True).start()

    def hostile(self, round_):
        """From now on, None: not. In each round another of the commands at least is left alone, so
        that all come to be asked."""
        self.round = round_

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(client)
            threading.Thread(target=self.serve, args=(client, ), daemon=True).start()

    def serve(self, client):
        try:
            with client, socket.socket(socket.AF_UNIX) as server:
                server.connect(self.upstream)
                there, here = server.makefile("rb"), client.makefile("rb")
                while True:
                    command, whole = read_command(here)
                    server.sendall(whole)
                    if not self.bad(command):
                        client.sendall(read_reply(there))
                        continue
                    answer = self.next(command)
                    client.sendall(answer)
                    # or the next ones would be taken for answers to other commands
                    if answer in LAST:
                        here.read()
                    if answer in LAST or command == "XREAD":  # which waits upstream
                        return
                    read_reply(there)
        except (OSError, EOFError, ValueError, IndexError):
            pass

    def bad(self, command):
        """Each in rounds in which what has to come before it is well. GET, HGETALL and HGET follow
        each other for sessions that were found, in rounds 2, 5, 8 …"""
        rounds = {
            "PING": (0, ), "XREVRANGE": (1, ), "HKEYS": (2, ), "TIME": (0, 3), "GET": (2, ),
            "HGETALL": (0, 1, 3, 4), "HGET": (5, ), "EVAL": (1, 3, 4, 5)
        }
        return self.round is not None and command in COMMANDS and self.round % 6 in rounds.get(
            command, (0, 2, 4))

    def next(self, command):
        answer = ANSWERS[next(self.turns[command]) % len(ANSWERS)]
        if answer in BELIEVED.get(command, ()):
            answer = b":5\r\n"
        self.said.append((command, answer))
        return answer

    def hang_up(self):
        for client in self.open:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.hang_up()
