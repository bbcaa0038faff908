#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""relay-authkeys --check: why a key is or is not let in, told to a person."""
import os
import shutil
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), d) for d in ("lib", "../script/lib")]
import tap  # noqa: E402
from authkeyslib import BLOB, FP, PROGRAM, PUB, TYPE, USER, ask, conf_for, conf_with, grant, rig  # noqa: E402


def check(*args, **kwargs):
    return ask("--check", *args, as_root=kwargs.pop("as_root", True), **kwargs)


def says(answer, status, regex, name):
    tap.ok(answer.status == status, f"--check, {name}: exit status {status}", answer)
    tap.like(answer.out + answer.err, regex, f"--check, {name}: says so")


def test_check():
    grant()
    line = 'restrict,port-forwarding,permitlisten="127.77.0.5:10000" '
    says(check(PUB), 0, f"(?s)Granted: tunnel abcdefgh23456789.*{line}{TYPE} ".replace("+", r"\+"), "a public key")
    tap.ok(line + f"{TYPE} {BLOB}\n" in check(PUB).out, "--check prints the line that sshd gets")
    says(check(FP), 0, "Granted: tunnel abcdefgh23456789, login name relay, until 2", "a fingerprint")
    answer = check(FP, as_root=False)
    says(answer, 0, "Granted.*", "not as root")
    tap.like(answer.out, "Run as root", "and says what is missing then")
    says(ask("--check", "-l", FP, as_root=True), 0, "Granted", "options after it")
    says(check(FP, conf=conf_for("away.conf", f"unix://{rig.dir}/run/none.sock")), 3, "Not granted now: .*none.sock", "Redis away")
    says(check(FP, conf="/nonexistent"), 1, "/nonexistent", "no relay.conf")
    grant(relay="relay2")
    says(check(FP), 1, "its relay is relay2, this one is relay1", "another relay's")
    grant(listen="127.78.0.5:10000")
    says(check(FP), 1, "127.78.0.5:10000 is outside this relay's listen space 127.77.0.0/24", "outside the listen space")
    grant(v="2")
    says(check(FP), 1, "Not granted: .*(newer|version)", "a newer record")
    rig.redis("DEL", f"relay:key:{FP}")
    says(check(FP), 1, "No tunnel is known for this key", "never opened")
    closed = rig.open("8080", key=PUB)
    says(check(FP), 0, f"Granted: tunnel {closed['id']}", "opened by rly")
    rig.rly("close", closed["id"])
    says(check(FP), 1, f"Its tunnel {closed['id']} was closed at 2", "closed")
    rig.redis("DEL", f"relay:tunnel:{closed['id']}")
    expired = rig.open("8080", key=PUB, ttl="1s")
    time.sleep(1.1)
    says(check(FP), 1, f"Its tunnel {expired['id']} expired at 2", "expired")
    rig.redis("EVAL", "for i = 1, 5000 do redis.call('HSET', 'relay:tunnel:other' .. i, 'key', 'x') end", "0")
    says(check(FP), 1, f"Its tunnel {expired['id']} expired", "expired, among many others")
    again = rig.open("8080", key=PUB)
    rig.redis("DEL", f"relay:key:{FP}")
    says(check(FP), 1, f"Its tunnel {again['id']} is open, but its grant is missing", "the grant is lost")
    rig.rly("close", again["id"])
    for args, name in ((("x",), "not a file"), ((f"{rig.dir}",), "a directory"), ((PUB[:-4],), "a private key"),
                       (("SHA256:short",), "half a fingerprint"), ((), "nothing"), ((FP, FP), "two")):
        answer = check(*args)
        tap.ok(answer.status == 2 and answer.err and not answer.out, f"--check with {name}: exit status 2", answer)
    tap.unlike(check(PUB[:-4]).err, "OPENSSH|BEGIN", "nothing of a private key is shown")


def test_check_host():
    """As root, --check sees what keeps sshd from running the program."""
    grant()
    place = f"{rig.dir}/bad/place"
    os.makedirs(place)
    for name in ("relay-authkeys", "relay-authkeys-check"):
        shutil.copy(f"{os.path.dirname(PROGRAM)}/{name}", place)
    program = f"{place}/relay-authkeys"

    def look(status, regex, name):
        says(check(FP, program=(program,)), status, regex, name)

    look(0, "Granted", "a copy elsewhere")
    os.chmod(f"{rig.dir}/bad", 0o775)
    look(1, rf"(?s){rig.dir}/bad can be written by others.*chmod go-w {rig.dir}/bad.*But sshd will not", "a parent directory others can write")
    os.chmod(f"{rig.dir}/bad", 0o755)
    os.chmod(program, 0o757)
    look(1, "place/relay-authkeys can be written", "the program is writable")
    os.chmod(program, 0o755)
    os.chown(place, USER.pw_uid, -1)
    look(1, f"{place} belongs to user {USER.pw_uid}.*chown root {place}", "a parent directory is not root's")
    os.chown(place, 0, 0)
    os.chmod(program, 0o700)
    look(1, f"chmod o.rx {program}", "only root may run it")
    os.chmod(program, 0o755)
    with open(rig.conf) as f:
        secret = conf_with("rootonly.conf", f.read(), 0o600)
    says(check(FP, conf=secret), 1, "user relay-authkeys cannot use relay.conf: .*rootonly.conf", "relay.conf only root can read")
    os.chmod(rig.redis_sock, 0o700)
    says(check(FP), 3, "Not granted now: .*(ermission|reach|connect)", "a Redis socket only root can use")
    os.chmod(rig.redis_sock, 0o777)
    with open(rig.conf) as f:
        nobody = conf_with("nouser.conf", f.read().replace("user = relay", "user = relay-none"))
    says(check(FP, conf=nobody), 1, "no user relay-none.*useradd", "the tunnel user does not exist")


for test in (test_check, test_check_host):
    tap.note(test.__name__)
    test()
rig.check_logs()
rig.stop()
tap.done()
