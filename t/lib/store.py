# Licensed under the Apache License, Version 2.0; see LICENSE.
"""For tests of rly alone: a private Redis on a Unix socket and a relay.conf, without the other
servers.

    store = Store()
    result = store.rly("open", "80")          # a CompletedProcess
    store.redis("KEYS", "*")

The scratch directory is below /run, for sshd accepts no keys from below a directory that others can
write.
"""
import json
import os
import shutil
import subprocess
import tempfile

from . import keeper
from .basics import run, tail, TOP
from .server import Redis


def snapshot(redis):
    """All keys of Redis and what they hold; the same before and after means that nothing was
    changed."""
    script = ("local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do "
              "r[#r + 1] = k .. ' ' .. redis.sha1hex(redis.call('DUMP', k)) end return r")
    return sorted(redis("EVAL", script, "0").split("\n"))


class Store:
    def __init__(self):
        keeper.keep()
        os.umask(0o022)
        self.dir = tempfile.mkdtemp(prefix="relay-store.",
                                    dir="/run" if os.access("/run", os.W_OK) else None)
        os.chmod(self.dir, 0o755)
        keeper.remove_at_end(self.dir)
        # Not run from the build directory: users without rights to the checkout have to run it,
        # too.
        built = os.path.join(os.environ.get("RELAY_BUILD", f"{TOP}/build"), "rly/rly")
        if not os.path.exists(built):
            raise RuntimeError(f"{built} is missing: build first (script/build)")
        self.program = shutil.copy(built, f"{self.dir}/rly")
        self.redis = Redis(self)
        self.hostkey = f"{self.dir}/hostkey"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.hostkey])
        with open(f"{self.dir}/sshd_config", "w") as f:
            f.write(
                f"# A comment\nPort 22\nhostkey = \"{self.hostkey}\"\nMatch User x\n    HostKey "
                "/nowhere\n")
        self.conf = self.write_conf("relay.conf")

    def write_conf(self, name, relay=(), redis=(), rlyd=(), extra=""):
        """Writes a relay.conf with these keys changed or added (None: left out); returns its path.
        """
        sections = {
            "relay": {
                "name": "relay1", "domain": "relay.localhost", "ssh": "127.0.0.1:2222",
                "https-port": 8443
            },
            "redis": {"url": f"unix://{self.redis.sock}", "timeout": "1s"},
            "rlyd": {"sshd-config": f"{self.dir}/sshd_config"},
        }
        for section, changes in (("relay", relay), ("redis", redis), ("rlyd", rlyd)):
            sections[section].update(changes)
        path = f"{self.dir}/{name}"
        with open(path, "w") as f:
            for section, keys in sections.items():
                f.write(f"[{section}]\n" + "".join(f"{k} = {v}\n"
                                                   for k, v in keys.items() if v is not None))
            f.write(extra)
        return path

    def rly(self, *args, conf=None, input=b"", env=(), slow=False, **kwargs):
        """Runs rly in the scratch directory; output as text, with bytes that are no UTF-8 kept as
        surrogates. slow: it pauses after it has made a folder."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": self.dir, "TZ": "UTC", "LANG": "C", "RELAY_CONF":
            conf or self.conf, **dict(env)
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        kwargs.setdefault("cwd", self.dir)
        delay = [
            "strace", "-qq", "-o", "/dev/null", "-e", "trace=mkdirat", "-e",
            "inject=mkdirat:delay_exit=50000"
        ] if slow else []
        result = subprocess.run([*delay, self.program, *args],
                                capture_output=True,
                                input=input,
                                env=environment,
                                **kwargs)
        result.stdout = result.stdout.decode(errors="surrogateescape")
        result.stderr = result.stderr.decode(errors="surrogateescape")
        return result

    def open(self, *args, **kwargs):
        """rly open --json; its JSON."""
        result = self.rly("open", "--json", *args, **kwargs)
        if result.returncode:
            raise RuntimeError(f"rly open {args}: exit status {result.returncode}: {result.stderr}")
        return json.loads(result.stdout)

    def tail(self, path, lines=30):
        return tail(self.dir, path, lines)

    def snapshot(self, redis=None):
        return snapshot(redis or self.redis)

    def files(self):
        """All files below the scratch directory but Redis's own."""
        return sorted(
            os.path.join(d, f) for d, _, names in os.walk(self.dir) for f in ["", *names]
            if not f.endswith((".log", ".rdb", ".sock")))
