#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""relay-authkeys as sshd calls it prints one line for a grant, and nothing when anything is wrong.
"""
import os
import shutil
import signal
import socket
import threading
import time

from lib import free_port, tap, test, wait_for
from lib.authkeyslib import (ask, BLOB, conf_for, conf_with, denied, FP, grant, LISTEN, make_key,
                             nothing, PROGRAM, PUB, query, rig, rsa_without_private, TIMEOUT, TYPE)


@test
def is_installed():
    tap.ok(os.access(PROGRAM, os.X_OK), "relay-authkeys is installed")


# --- the answer


@test
def granted():
    grant()
    answer = query()
    tap.is_(
        (answer.status, answer.out, answer.err, answer.log),
        (0, f'restrict,port-forwarding,permitlisten="127.77.0.5:10000" {TYPE} {BLOB}\n', "", []),
        "a grant: the one line")
    grant(listen="127.77.0.5:10000 127.77.0.6:10099")
    tap.is_(
        query().out,
        'restrict,port-forwarding,permitlisten="127.77.0.5:10000",permitlisten="127.77.0.6:10099" '
        f"{TYPE} {BLOB}\n", "two listen addresses")
    tap.is_(
        ask("-l", "relay", FP, TYPE,
            BLOB).out, 'restrict,port-forwarding,permitlisten="127.77.0.5:10000",'
        f'permitlisten="127.77.0.6:10099" {TYPE} {BLOB}\n',
        "-l changes nothing for addresses other than 127.0.0.1")
    grant(listen="127.0.0.1:20001")
    tap.is_(
        query().out,
        'restrict,port-forwarding,permitlisten="127.0.0.1:20001",permitlisten="localhost:20001" '
        f"{TYPE} {BLOB}\n", "127.0.0.1: also as localhost, not as the empty address")
    tap.is_(
        ask("-l", "relay", FP, TYPE,
            BLOB).out, 'restrict,port-forwarding,permitlisten="127.0.0.1:20001",'
        f'permitlisten="localhost:20001",permitlisten=":20001" {TYPE} {BLOB}\n',
        "127.0.0.1 with -l: the empty address, too")
    many = " ".join(f"127.77.0.{i}:10000" for i in range(1, 33))
    grant(listen=many)
    tap.is_(query().out.count("permitlisten="), 32, "32 listen addresses")
    grant()
    for bits, (fingerprint, name, blob,
               *_) in ((256, make_key("ecdsa", "-b", "256")), (384, make_key("ecdsa", "-b", "384")),
                       (521, make_key("ecdsa", "-b", "521")), (2048, make_key("rsa", "-b", "2048")),
                       (8192, rsa_without_private(8192))):
        grant(fingerprint)
        tap.is_(
            ask("relay", fingerprint, name, blob).out,
            f'restrict,port-forwarding,permitlisten="127.77.0.5:10000" {name} {blob}\n',
            f"{name} {bits}")
    tap.is_(
        query(env={"RELAY_CONF": "/nonexistent", "REDIS_URL": "x", "TZ": "../../etc"}).status, 0,
        "the environment changes nothing")


@test
def not_granted():
    rig.redis("DEL", f"relay:key:{FP}")
    answer = query()
    nothing(answer, "no such key")
    tap.is_((answer.err, answer.log), ("", []),
            "no such key: not a word in the log (strangers try keys all day)")
    grant()
    nothing(ask("root", FP, TYPE, BLOB), "another login user")
    nothing(ask("relay2", FP, TYPE, BLOB), "a login user that begins like ours")
    nothing(ask("relay", "SHA256:" + "A" * 43, TYPE, BLOB), "another fingerprint")
    rig.redis("PEXPIRE", f"relay:key:{FP}", 150)
    tap.like(query().out, "^restrict", "just before its time is over")
    time.sleep(0.2)
    nothing(query(), "after it")
    grant(relay="relay2")
    answer = query()
    nothing(answer, "granted on another relay")
    tap.ok(
        len(answer.log) == 1 and "RLY205" in answer.log[0][2] and
        "tunnel abcdefgh23456789" in answer.log[0][2] and "relay2" in answer.log[0][2] and
        answer.log[0][1] == 5, "which syslog is told, with the tunnel's id", answer)


@test
def records():
    for fields, name in (({"v": "2"}, "a newer record"), ({"v": None}, "no version"),
                         ({"v":
                           "0"}, "version 0"), ({"v":
                                                 "1x"}, "version 1x"), ({"v":
                                                                         ""}, "an empty version"),
                         ({"v":
                           "99999999999999999999"}, "an absurd version"), ({"tunnel":
                                                                            None}, "no tunnel"),
                         ({"relay": None}, "no relay"), ({"expires": None}, "no expiry"),
                         ({"listen": None}, "no listen address"), ({"listen":
                                                                    ""}, "an empty listen address"),
                         ({"listen":
                           " "}, "a space only"), ({"expires": "soon"}, "expiry not a number"), ({
                               "expires":
                               "-1"
                           }, "expiry below 0"), ({"tunnel": "x\ny"}, "a newline in the tunnel"), ({
                               "tunnel":
                               "%s%n"
                           }, "a format in the tunnel"), ({"listen": "127.77.0.5"}, "no port"), ({
                               "listen":
                               "127.77.0.5:0"
                           }, "port 0"), ({"listen": "127.77.0.5:65536"},
                                          "port 65536"), ({"listen":
                                                           "127.77.0.05:10000"}, "a leading zero"),
                         ({"listen": "127.77.5:10000"},
                          "three octets"), ({"listen":
                                             "*:10000"}, "any address"), ({"listen":
                                                                           ":10000"}, "no address"),
                         ({"listen": "localhost:20001"}, "a host name"), ({"listen":
                                                                           "[::1]:20001"}, "IPv6"),
                         ({"listen": "0.0.0.0:10000"},
                          "0.0.0.0"), ({"listen": "127.77.0.*:10000"}, "a pattern"), ({
                              "listen":
                              '127.77.0.5:10000",permitlisten="*:22'
                          }, "a second option smuggled in"), ({
                              "listen":
                              "127.77.0.5:10000\nssh-ed25519 AAAA"
                          }, "a second line smuggled in"), ({"listen": "127.77.0.5:10000 junk"},
                                                            "one good address and one bad"),
                         ({"listen": "127.77.0.5:10000 " * 7000}, "a listen field of 119 kB"), ({
                             "listen":
                             "127.78.0.5:10000"
                         }, "an address outside the listen space"), ({"listen": "127.77.0.5:10100"},
                                                                     "a port outside it"),
                         ({"listen": "127.0.0.1:22"}, "port 22 of 127.0.0.1"), ({
                             "listen":
                             "127.77.0.0:10000"
                         }, "a network address"), ({"listen":
                                                    "192.0.2.1:10000"}, "not even loopback"), ({
                                                        "listen":
                                                        "127.77.0.5:10000 10.0.0.1:10000"
                                                    }, "a good one and one outside")):
        grant(**fields)
        denied(query(), "RLY206", f"record: {name}")
    grant(listen="127.78.0.5:10000")
    answer = query()
    tap.ok(all(w in answer.log[0][2] for w in ("127.78.0.5:10000", "tunnel abcdefgh23456789", FP)),
           "the line names address, tunnel and key", answer)
    rig.redis("DEL", f"relay:key:{FP}")
    rig.redis("SET", f"relay:key:{FP}", "x")
    denied(query(), "RLY206", "record: not a hash")
    grant()
    rig.redis("HSET", f"relay:key:{FP}", "later", "x" * 100000)
    tap.like(query().out, "^restrict", "a field that a later version added is no reason to refuse")


# --- what is handed to it


@test
def arguments():
    grant()
    for args, name in ((("relay", "MD5:aa:bb", TYPE, BLOB),
                        "an MD5 fingerprint"), (("relay", "", TYPE, BLOB), "no fingerprint"),
                       (("relay", FP + "=", TYPE, BLOB), "a padded fingerprint"),
                       (("relay", FP[:-1], TYPE, BLOB), "a short fingerprint"),
                       (("relay", FP[:-1] + "\n", TYPE, BLOB), "a newline in the fingerprint"),
                       (("relay", FP[:-1] + "*", TYPE, BLOB),
                        "a pattern as fingerprint"), (("relay", FP, "ssh-dss", BLOB),
                                                      "DSA"), (("relay", FP, "", BLOB), "no type"),
                       (("relay", FP, "ssh-ed25519-cert-v01@openssh.com", BLOB),
                        "a certificate"), (("relay", FP, TYPE + " ", BLOB), "a space in the type"),
                       (("relay", FP, 'command="x" ' + TYPE, BLOB),
                        "an option in the type"), (("relay", FP, TYPE, ""), "no key"),
                       (("relay", FP, TYPE, BLOB[:-1]),
                        "a broken quartet"), (("relay", FP, TYPE, "===="),
                                              "padding only"), (("relay", FP, TYPE, "A==="),
                                                                "too much padding"),
                       (("relay", FP, TYPE, BLOB[:4] + "=" + BLOB[5:]),
                        "padding in the middle"), (("relay", FP, TYPE, BLOB + "\n"),
                                                   "a newline at the key's end"),
                       (("relay", FP, TYPE, BLOB[:8] + "\n*" + BLOB[10:]),
                        "a newline in the key"), (("relay", FP, TYPE, BLOB + " x x"), "a comment"),
                       (("relay", FP, TYPE, "A" * 100000),
                        "a key of 100 kB"), (("relay", FP, TYPE, "-_-_"),
                                             "URL's base64"), (("", FP, TYPE, BLOB),
                                                               "no login name")):
        denied(ask(*args), "RLY202", f"argument: {name}")
    answer = ask("relay", FP, TYPE, "hunter2\n; reboot")
    tap.unlike(answer.err + str(answer.log), "hunter2", "what a stranger sent is not quoted")
    for args, name in (((), "no arguments"), (("relay", ), "one"), (("relay", FP, TYPE), "three"),
                       (("relay", FP, TYPE, BLOB, "x"), "five")):
        denied(ask(*args), "RLY201", f"{name}", "%u %f %t %k")
    answer = ask("-x")
    tap.ok(answer.status == 2 and not answer.out and "usage:" in answer.err,
           "an unknown option: usage", answer)
    answer = ask("--help")
    tap.ok(answer.status == 0 and answer.out.startswith("usage:"), "--help", answer)
    tap.like(ask("--version", conf=None).out, r"^relay-authkeys \d", "--version")


@test
def configuration():
    grant()
    with open(rig.conf) as f:
        good = f.read()
    denied(query(conf="/nonexistent/relay.conf"), "RLY203", "no relay.conf",
           "/nonexistent/relay.conf")
    denied(query(conf=conf_with("unreadable.conf", good, 0o600)), "RLY203",
           "relay.conf that this user cannot read", "unreadable.conf")
    denied(query(conf=conf_with("typo.conf", good.replace("listen =", "lisen ="))), "RLY203",
           "an unknown key", "lisen")
    denied(query(conf=conf_with("bad.conf", good.replace("400ms", "fast"))), "RLY203",
           "a bad value", "timeout")
    denied(query(conf=rig.dir), "RLY203", "a directory")
    denied(query(conf="/dev/null"), "RLY203", "an empty file")
    other = conf_with("other.conf", good.replace("name = relay1", "name = relay2"))
    nothing(query(conf=other), "the same key on a host that is relay2")
    small = conf_with("small.conf", good.replace(LISTEN, "127.99.0.0/24:10000-10099"))
    denied(query(conf=small), "RLY206", "a host whose listen space is another")
    user = conf_with("user.conf", good.replace("user = relay", "user = device"))
    nothing(query(conf=user), "relay.conf has another user: relay is nobody")
    tap.like(ask("device", FP, TYPE, BLOB, conf=user).out, "^restrict", "and that user is served")


# --- Redis


def in_time(answer, name):
    tap.between(answer.seconds, 0, TIMEOUT + 1.5, name)


@test
def redis():
    grant()
    answer = query(conf=conf_for("away.conf", f"unix://{rig.dir}/run/none.sock"))
    denied(answer, "RLY204", "no such socket", "none.sock")
    in_time(answer, "at once")
    denied(query(conf=conf_for("refused.conf", f"redis://127.0.0.1:{free_port()}")), "RLY204",
           "connection refused")
    with socket.socket() as full:  # accepts nobody: its queue is full
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        holders = [socket.socket() for _ in range(3)]
        for h in holders:
            h.setblocking(False)
            h.connect_ex(("127.0.0.1", port))
        answer = query(conf=conf_for("full.conf", f"redis://127.0.0.1:{port}"))
        denied(answer, "RLY204", "a connection that is never accepted")
        in_time(answer, "within the deadline")
        for h in holders:
            h.close()
    rig.servers["redis"].signal(signal.SIGSTOP)
    try:
        answer = query()
        denied(answer, "RLY204", "Redis hangs", "in time")
        tap.between(answer.seconds, TIMEOUT * 0.9, TIMEOUT + 1.5, "within the deadline")
    finally:
        rig.servers["redis"].signal(signal.SIGCONT)
    wait_for(lambda: query().out, "Redis goes on")
    rig.servers["redis"].stop()
    denied(query(), "RLY204", "Redis was stopped")
    rig.servers["redis"].start()
    nothing(query(), "Redis came back empty: nobody is let in")
    grant()
    tap.like(query().out, "^restrict", "and with its record back the key is")


@test
def redis_rights():
    grant()
    port = free_port()
    rig.redis("CONFIG", "SET", "bind", "127.0.0.1")
    rig.redis("CONFIG", "SET", "port", port)
    rig.redis("ACL", "SETUSER", "helper", "on", ">s3cret", "~relay:key:*", "+hgetall")
    rig.redis("ACL", "SETUSER", "blind", "on", ">s3cret", "~other:*", "+hgetall")
    for user, password, denial in (("helper", "s3cret", None), ("helper", "wr0ng", "password"),
                                   ("nobody", "s3cret", "password"), ("blind", "s3cret", "right")):
        name = f"user {user}" + (" with a wrong password" if password == "wr0ng" else "")
        conf = conf_for("acl.conf", f"redis://{user}:{password}@127.0.0.1:{port}")
        os.chmod(conf, 0o640)
        shutil.chown(conf, "root", "relay-authkeys")
        answer = query(conf=conf)
        if denial:
            denied(answer, "RLY204", f"{name} is refused", denial)
        else:
            tap.like(answer.out, "^restrict", f"{name}: HGETALL on key:* is all it needs")
        tap.unlike(answer.err + str(answer.log) + answer.out, "s3cret|wr0ng",
                   f"{name}: no password in any output")
    rig.redis("CONFIG", "SET", "port", "0")


class Bad:
    """Something that listens where Redis should, and says what it likes, a byte each `every`
    seconds."""
    def __init__(self, text, every=0.0):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.text, self.every = text, every
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
                with peer:
                    peer.recv(10000)
                    if not self.every:
                        peer.sendall(self.text)
                        continue
                    for i in range(len(self.text)):
                        peer.sendall(self.text[i:i + 1])
                        time.sleep(self.every)
            except OSError:
                continue


@test
def not_redis():
    grant()
    for text, name in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "a web server"),
                       (b"", "a server that hangs up"), (b"*2\r\n$-1\r\n$-1\r\n", "nil fields"),
                       (b"*1\r\n$1\r\nv\r\n", "an odd number of fields"), (b":1\r\n", "a number"),
                       (b"*-1\r\n", "a nil array"), (b"$5\r\nhello\r\n", "a string"),
                       (b"*2\r\n*0\r\n*0\r\n", "arrays in the array"), (b"*1000000000\r\n",
                                                                        "an array of a billion"),
                       (b"$1000000000000\r\n",
                        "a string of a terabyte"), (b"-LOADING Redis is loading\r\n",
                                                    "loading"), (b"-ERR " + b"x" * 100000 + b"\r\n",
                                                                 "an endless error")):
        bad = Bad(text)
        answer = query(conf=conf_for("bad-redis.conf", f"redis://127.0.0.1:{bad.port}"))
        harmless = answer.status == 0 and name in ("a number", "a nil array", "a string")
        # hiredis 0.14 makes the room for a billion elements first: there the kernel ends it, sshd
        # logs the signal
        ended = answer.status == -signal.SIGALRM and "billion" in name
        tap.ok(
            answer.out == "" and (harmless or ended or
                                  (answer.status > 0 and len(answer.log) == 1)) and
            answer.seconds < 4, f"instead of Redis: {name}", answer)
    grant_text = b"".join(b"$%d\r\n%s\r\n" % (len(w), w)
                          for w in (b"v", b"1", b"tunnel", b"abcdefgh23456789", b"relay", b"relay1",
                                    b"listen", b"127.77.0.5:10000", b"expires", b"9999999999999"))
    bad = Bad(b"*10\r\n" + grant_text, 0.1)
    answer = query(conf=conf_for("slow.conf", f"redis://127.0.0.1:{bad.port}"))
    tap.ok(answer.out == "" and answer.status != 0, "a byte every 100 ms: not waited for", answer)
    tap.between(answer.seconds, 0, 3 * TIMEOUT + 1, "for longer than three deadlines")
    bad = Bad(b"*10\r\n" + grant_text)
    tap.like(
        query(conf=conf_for("fake.conf", f"redis://127.0.0.1:{bad.port}")).out, "^restrict",
        "(the same bytes at once are a grant)")


# --- stdin, stdout, stderr


@test
def descriptors():
    grant()
    shell = ("/bin/sh", "-c", '"$0" "$@" >&-', PROGRAM)
    denied(query(program=shell), "RLY201", "stdout closed", "stdout is closed")
    denied(query(program=("/bin/sh", "-c", '"$0" "$@" <&- >&-', PROGRAM)), "RLY201",
           "stdin and stdout closed")
    answer = query(program=("/bin/sh", "-c", '"$0" "$@" <&- >&- 2>&-', PROGRAM))
    denied(answer, "RLY201", "all three closed")
    answer = query(program=("/bin/sh", "-c", '"$0" "$@" <&- 2>&-', PROGRAM))
    tap.ok(answer.status == 0 and answer.out.startswith("restrict,"),
           "stdin and stderr closed: works", answer)
    with open("/dev/full", "w") as full:
        denied(query(stdout=full), "RLY207", "stdout cannot be written", "tunnel abcdefgh23456789")
    reader, writer = os.pipe()
    os.close(reader)
    denied(query(stdout=writer), "RLY207", "nobody reads stdout")
    os.close(writer)
    with open("/dev/null") as closed:
        denied(query(stdout=closed), "RLY207", "stdout is open for reading only")


@test
def valgrind():
    """No leak, no error; also on the way out of every kind of failure."""
    with open(PROGRAM, "rb") as f:
        if b"libasan" in f.read():
            tap.skip("valgrind", "this build has AddressSanitizer, which looks for the same")
            return
    grind = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
             "--show-leak-kinds=definite,indirect,possible",
             "--errors-for-leak-kinds=definite,indirect,possible", "--track-fds=no")
    with open(rig.conf) as f:
        text = f.read().replace("400ms", "10s")
    patient, away = conf_with("patient.conf", text), conf_with(
        "away.conf", text.replace(rig.redis_sock, f"{rig.dir}/run/none.sock"))
    grant(listen="127.77.0.5:10000 127.0.0.1:20001")
    cases = [("granted", ("-l", "relay", FP, TYPE, BLOB), patient, 0),
             ("wrong user", ("root", FP, TYPE, BLOB), patient, 0),
             ("unknown key", ("relay", "SHA256:" + "B" * 43, TYPE, BLOB), patient, 0),
             ("bad arguments", ("relay", FP, TYPE, "x"), patient, 1),
             ("no relay.conf", ("relay", FP, TYPE, BLOB), "/none", 1),
             ("Redis away", ("relay", FP, TYPE, BLOB), away, 1)]
    for name, args, conf, status in cases:
        answer = ask(*args, conf=conf, program=(*grind, PROGRAM))
        tap.ok(answer.status == status, f"valgrind: {name}", answer)
    grant(listen="127.78.0.1:1")
    tap.is_(
        query(conf=patient, program=(*grind, PROGRAM)).status, 1,
        "valgrind: outside the listen space")
    grant(v="2")
    tap.is_(query(conf=patient, program=(*grind, PROGRAM)).status, 1, "valgrind: a newer record")
    with open("/dev/full", "w") as full:
        grant()
        tap.is_(
            query(conf=patient, stdout=full, program=(*grind, PROGRAM)).status, 1,
            "valgrind: stdout full")
    check_program = f"{os.path.dirname(PROGRAM)}/relay-authkeys-check"
    tap.is_(
        ask("--check", PUB, conf=patient, program=(*grind, check_program)).status, 0,
        "valgrind: --check")


@test
def ends_cleanly():
    rig.ends_cleanly()


tap.run()
