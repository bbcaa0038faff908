# Licensed under the Apache License, Version 2.0; see LICENSE.
"""For the tests of relay-authkeys by itself: a real Redis, and the helper run as sshd runs it, as
user relay-authkeys with sshd's environment; what it says to syslog is caught.
"""
import base64
import hashlib
import os
import pwd
import secrets
import subprocess
import time

from . import tap
from .basics import run
from .privatelog import PrivateLog
from .relayrig import Rig

LOG_AUTHPRIV = 10
LISTEN = "127.77.0.0/24:10000-10099 127.0.0.1:20000-20099"
TIMEOUT = 0.4

log = PrivateLog()
rig = Rig(start=False, listen=LISTEN, relay_conf={"redis": {"timeout": "400ms"}})
rig._start_redis()
PROGRAM = rig.program("relay-authkeys")
USER = pwd.getpwnam("relay-authkeys")


def make_key(kind="ed25519", *args):
    """(fingerprint, type, base64, path of the public key)"""
    path = f"{rig.dir}/key-{len(os.listdir(rig.dir))}"
    run(["ssh-keygen", "-q", "-t", kind, *args, "-N", "", "-f", path])
    fingerprint = run(["ssh-keygen", "-lf", path + ".pub"]).stdout.split()[1]
    with open(path + ".pub") as f:
        kind, blob = f.read().split()[:2]
    return fingerprint, kind, blob, path + ".pub"


def rsa_without_private(bits):
    """(fingerprint, type, base64) of an RSA key whose modulus is any number: making a pair of 8192
    bits takes up to a minute, and the helper is shown no more than this."""
    def mpint(n):
        raw = n.to_bytes(n.bit_length() // 8 + 1, "big")
        return len(raw).to_bytes(4, "big") + raw

    blob = b"\0\0\0\7ssh-rsa" + mpint(65537) + mpint(secrets.randbits(bits) | 1 << bits - 1 | 1)
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}", "ssh-rsa", base64.b64encode(blob).decode()


FP, TYPE, BLOB, PUB = make_key()


def grant(fingerprint=FP, **fields):
    """Writes key:<fingerprint> with these fields over a good record's; None leaves a field out."""
    record = {
        "v": "1", "tunnel": "abcdefgh23456789", "relay": "relay1", "listen": "127.77.0.5:10000",
        "expires": str(int(time.time() * 1000) + 3600000)
    }
    record.update(fields)
    rig.redis("DEL", f"relay:key:{fingerprint}")
    words = [w for k, v in record.items() if v is not None for w in (k, v)]
    if words:
        rig.redis("HSET", f"relay:key:{fingerprint}", *words)


class Answer:
    def __init__(self, status, out, err, log_lines, seconds):
        self.status, self.out, self.err, self.log = status, out, err, log_lines
        self.seconds = seconds

    def __repr__(self):
        return (f"status {self.status}, {self.seconds:.2f} s, stdout {self.out!r}, stderr "
                f"{self.err!r}, syslog {self.log}")


def ask(*args, conf=rig.conf, env=None, program=(PROGRAM, ), as_root=False, **kwargs):
    """Runs the helper as sshd does."""
    log.lines()
    began = time.monotonic()
    if not as_root:
        kwargs.update(user=USER.pw_uid, group=USER.pw_gid, extra_groups=[])
    result = subprocess.run(
        [*program, *(["-c", conf] if conf else []), *args],
        stdin=subprocess.DEVNULL,
        stdout=kwargs.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=60,
        env={
            "PATH": "/usr/bin:/bin", "USER": "relay-authkeys", "LOGNAME": "relay-authkeys", "HOME":
            "/nonexistent", "LANG": "C.UTF-8", **(env or {})
        },
        **kwargs)
    return Answer(result.returncode, (result.stdout or b"").decode(), result.stderr.decode(),
                  log.lines(),
                  time.monotonic() - began)


def query(**kwargs):
    return ask("relay", FP, TYPE, BLOB, **kwargs)


def denied(answer, tag, name, words=""):
    """The error path: nothing on stdout, non-zero, one line in syslog (authpriv) with that tag."""
    good = (answer.status not in (0, None) and answer.out == "" and len(answer.log) == 1 and
            answer.log[0][0] == LOG_AUTHPRIV and answer.log[0][1] <= 4 and
            f" {tag}: " in " " + answer.log[0][2] and "relay-authkeys[" in answer.log[0][2] and
            words in answer.log[0][2])
    tap.ok(good, name, f"wanted {tag} {words}; {answer}")


def nothing(answer, name):
    """No such key: nothing on stdout, status 0."""
    tap.ok(answer.status == 0 and answer.out == "", name, answer)


def conf_with(name, text, mode=0o644):
    path = f"{rig.dir}/etc/{name}"
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def conf_for(name, url):
    """A relay.conf that may hold a password: only the helper's group reads it, or each run would
    warn of that."""
    with open(rig.conf) as f:
        path = conf_with(name, f.read().replace(f"unix://{rig.redis_sock}", url), 0o640)
    os.chown(path, 0, USER.pw_gid)
    return path
