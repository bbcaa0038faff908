# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Somebody with an account on the relay who listens where a device would: counts who comes, keeps
every byte, and answers as a web server does.

    squatter = Squatter("nobody", ["127.77.0.5:10000"])
    squatter.met()                 # (connections, bytes)
    squatter.stop()

Addresses are `IP:PORT`, `*:PORT` (0.0.0.0), `[::]:PORT` (with IPv4), `[::ffff:IP]:PORT`. how:
`accepting`; `deaf` accepts nothing; `device` binds to the device lo, which the kernel prefers.
"""
import json
import pwd

from .server import Child

CODE = r"""
import json, os, socket, struct, sys, threading
sys.stderr = open(os.devnull, "w")
addresses, how, uid = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
count, lock = [0, 0], threading.Lock()
BODY = b"THE SQUATTER"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY

def serve(connection):
    with lock:
        count[0] += 1
    try:
        while data := connection.recv(65536):
            with lock:
                count[1] += len(data)
            connection.sendall(ANSWER)
    except OSError:
        pass
    connection.close()

def accept(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()

listeners = []
for address in dict.fromkeys(addresses):
    host, port = address.rsplit(":", 1)
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if how == "device":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    s.bind(("0.0.0.0" if host == "*" else host.strip("[]"), int(port)))
    s.listen(64)
    listeners.append(s)
    if how in ("accepting", "device"):
        threading.Thread(target=accept, args=(s,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    with lock:
        print(json.dumps(count), flush=True)
"""


class Squatter(Child):
    def __init__(self, user, addresses, how="accepting"):
        uid = str(pwd.getpwnam(user).pw_uid)
        argv = ["/usr/bin/python3", "-c", CODE, json.dumps(addresses), how, uid]
        super().__init__(argv, f"the squatter on {addresses[:3]}")

    def met(self):
        return tuple(json.loads(self.ask("?")))
