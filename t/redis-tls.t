#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Redis by TLS (rediss://, sentinels://): every part works by it and asks whose certificate it is.
And Valkey in Redis's place."""
import os
import re
import shutil
import socket
import time

from lib import (fixture, free_port, Rig, rigpki, run, Server, tap, test, wait, wait_for, within,
                 write)

REDIS, VALKEY = "/usr/bin/redis-server", "/usr/bin/valkey-server"


class OtherRedis(Rig):
    """A rig with another program in Redis's place, or with a port for TLS."""
    def __init__(self, program=REDIS, tls=False):
        self.redis_program = program
        super().__init__(rlyd=True, start=False)
        if tls:
            where = f"{self.dir}/redis-pki"
            os.mkdir(where)
            self.redis_ca, cert, key = rigpki.make(where, "localhost")
            self.redis_port = free_port()
            self.redis_extra = (f"tls-port {self.redis_port}\ntls-cert-file {cert}\n"
                                f"tls-key-file {key}\ntls-ca-cert-file {self.redis_ca}\n"
                                "tls-auth-clients no\n")
            self.write_conf(self.conf, f"rediss://localhost:{self.redis_port}", self.redis_ca)

    def write_conf(self, path, url, ca, *changes):
        """A relay.conf with another Redis; returns its path."""
        with open(self.conf) as f:
            text = re.sub("(?m)^ca = .*\n", "", f.read())
        text = re.sub("(?m)^url = .*$", f"url = {url}" + (f"\nca = {ca}" if ca else ""), text)
        for old, new in changes:
            text = text.replace(old, new)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def _add(self, name, argv, ready, env=None):
        if name == "redis":
            argv = [self.redis_program, *argv[1:]]
        super()._add(name, argv, ready, env)


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def list_with(rig, conf):
    """`rly list' with a relay.conf: exit status and what it says."""
    return run([rig.program("rly"), "list"], check=False, env=dict(os.environ, RELAY_CONF=conf))


def works(rig, what):
    """A tunnel from its beginning to its end, with the news that Redis has for others."""
    device = rig.device("nas")
    tunnel = rig.open(device.url)
    session = rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, f"{what}: a device gets in and is reached")
    wait_for(lambda: rig.redis("HLEN", "relay:live:relay1") == "1", "live:", 5)
    rig.rly("close", tunnel["id"])
    took = wait(lambda: rig.get(tunnel)[0] == 410)
    tap.ok(within(2, took), f"{what}: httpd is told of the end", took)
    took = wait(lambda: session.process.poll() is not None)
    tap.ok(within(2, took), f"{what}: and so is rlyd", took)
    return device


@fixture
def build():
    """Says so, and takes the tests out, where this build's hiredis has no TLS."""
    rig = OtherRedis()
    said = list_with(rig, rig.write_conf(rig.conf, "rediss://localhost:1", None))
    rig.stop()
    if "this build has none" in said.stderr:
        tap.is_(said.returncode, 1, "without TLS rediss:// is a mistake in relay.conf, and said")
    return "this build has none" not in said.stderr


@test
def only_where_asked_for(build):
    """OpenSSL is not loaded where no URL needs it: relay-authkeys runs twice a login."""
    rig = OtherRedis()
    for name in ("relay-authkeys", "relayrewrite"):
        tap.unlike(
            run(["ldd", rig.program(name)]).stdout, r"lib(ssl|crypto|hiredis_ssl)\.so",
            f"{name} is linked with no TLS")
    if build:
        loaded_and_missing(rig)
    rig.stop()


def loaded_and_missing(rig):
    note = run(["readelf", "-p", ".note.dlopen", rig.program("relay-authkeys")]).stdout
    library = re.search(r'"soname":\["(libhiredis_ssl[^"]*)"\]', note)[1]
    argv = [
        rig.program("relay-authkeys"), "-c", rig.conf, "relay", f"SHA256:{'A' * 43}", "ssh-ed25519",
        "none"
    ]
    said = run(argv, check=False, env=dict(os.environ, LD_DEBUG="files")).stderr
    tap.ok("cannot connect to Redis" in said and library not in said,
           "redis://: hiredis's TLS is not loaded", said)
    argv[2] = rig.write_conf(f"{rig.dir}/etc/tls.conf", "rediss://localhost:1", None)
    said = run(argv, check=False, env=dict(os.environ, LD_DEBUG="files")).stderr
    tap.ok(library in said and "libcrypto.so" in said, "rediss://: it is", said)
    write(f"{rig.dir}/{library}", "")
    said = run([rig.program("rly"), "list"],
               check=False,
               env=dict(os.environ, RELAY_CONF=argv[2], LD_LIBRARY_PATH=rig.dir))
    tap.is_(said.returncode, 1, "a hiredis_ssl that cannot be loaded: rly does not go on")
    tap.like(said.stderr,
             rf"\[redis\] url: .*cannot be loaded: .*{library}.*apt-get install libhiredis\d",
             "… and says which package has it")


@test
def by_tls(build):
    if not build:
        tap.skip("rediss://", "this build's hiredis has no TLS (1.0 and later have)")
        return
    rig = OtherRedis(tls=True)
    rig.start()
    device = works(rig, "rediss://")
    clients = rig.redis("CLIENT", "LIST", "TYPE", "normal")
    tap.ok(f"laddr=127.0.0.1:{rig.redis_port}" in clients, "rediss://: the parts come by it",
           clients)
    rig.expect("SSL routines|RLY11[01]|RLY430")
    refused(rig)
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    rig.redis("CLIENT", "KILL", "TYPE", "normal")
    rig.redis("CLIENT", "KILL", "TYPE", "pubsub")
    took = wait(lambda: rig.get("unheard-of")[0] == 404)
    tap.ok(within(5, took), "rediss://: the links come back by themselves", took)
    wait_for(lambda: rig.redis("HLEN", "relay:live:relay1") == "1", "live:", 10)
    rig.ends_cleanly("rediss://: the rig")


def refused(rig):
    """Servers that cannot prove to be Redis."""
    url = f"rediss://localhost:{rig.redis_port}"
    for what, conf_url, ca, words in (("another authority", url, rig.ca,
                                       "certificate verify failed"), ("the system's authorities",
                                                                      url, None,
                                                                      "certificate verify failed"),
                                      ("another name", f"rediss://127.0.0.1:{rig.redis_port}",
                                       rig.redis_ca, "certificate verify failed"),
                                      ("a spelling of its address",
                                       f"rediss://127.1:{rig.redis_port}", rig.redis_ca,
                                       "certificate verify failed"),
                                      ("no file of authorities", url, "/nonexistent",
                                       "/nonexistent cannot be used")):
        conf = rig.write_conf(f"{rig.dir}/etc/refused.conf", conf_url, ca)
        said = list_with(rig, conf)
        tap.is_(said.returncode, 3, f"{what}: rly does not go on")
        tap.like(said.stderr, words, f"{what}: and says why")
        conf = rig.write_conf(conf, conf_url, ca, ("rlyd.sock", "refused.sock"),
                              ("rlyd.pid", "refused.pid"))
        log = f"{rig.dir}/refused.out"
        server = Server(rig,
                        "rlyd", [rig.program("rlyd"), "-f", "-c", conf],
                        lambda log=log: "RLY430" in open(log).read(),
                        log)
        server.start()
        server.stop()
        tap.like(
            open(log).read(),
            rf"RLY430 Redis at {conf_url}: (TLS with it failed|the host name|.*{words})",
            f"{what}: rlyd neither, and says so")
        os.remove(log)


@test
def sentinel_by_tls(build):
    """sentinels://: Sentinel, which wants a login, and the Redis that it names, by TLS alone."""
    if not build:
        return
    rig = OtherRedis(tls=True)
    where = f"{rig.dir}/redis-pki"
    os.mkdir(f"{where}/s")
    port = free_port([rig.redis_port])
    # Sentinel names an address, and its certificate is for that.
    ca, cert, key = rigpki.make(f"{where}/s", "127.0.0.1")
    rig.redis_extra = re.sub(r"(?m)^tls-(cert|key|ca-cert)-file .*\n", "", rig.redis_extra)
    tls = f"tls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {ca}\ntls-auth-clients no\n"
    rig.redis_extra += f"{tls}tls-replication yes\n"
    conf = write(
        f"{rig.dir}/etc/sentinel.conf",
        f"port 0\ntls-port {port}\nbind 127.0.0.1\ndir {where}\n{tls}tls-replication yes\n"
        f"sentinel monitor relay 127.0.0.1 {rig.redis_port} 1\nuser default off\n"
        "user relay on >secret -@all +sentinel|get-master-addr-by-name\n"
        f"sentinel auth-user relay relay\nsentinel auth-pass relay secret\n")
    rig.redis_extra += "user relay on >secret ~* &* +@all\n"
    rig.write_conf(rig.conf, f"sentinels://relay:secret@127.0.0.1:{port}/relay", ca)
    sentinel = Server(rig, "sentinel", [REDIS, conf, "--sentinel"], lambda: accepts(port),
                      f"{where}/sentinel.out")
    replica_conf = write(
        f"{rig.dir}/etc/replica.conf",
        f"port 0\ntls-port {free_port([rig.redis_port, port])}\ndir {where}/s\n{tls}"
        f"tls-replication yes\nreplicaof 127.0.0.1 {rig.redis_port}\nmasteruser relay\n"
        f"masterauth secret\nsave \"\"\nunixsocket {where}/replica.sock\n")
    replica = Server(rig, "replica", [REDIS, replica_conf],
                     lambda: os.path.exists(f"{where}/replica.sock"), f"{where}/replica.out")
    sentinel.start()
    try:
        rig._start_redis()
        replica.start()
        wait_for(lambda: "state=online" in rig.redis("INFO", "replication"), "the replica", 10)
        rig._start_sshd()
        rig._start_rlyd()
        rig._start_httpd()
        works(rig, "sentinels://")
        rig.expect("RLY002|RLY11[01]|RLY430")
        sentinels_refused(rig, port, ca)
        rig.ends_cleanly("sentinels://: the rig")
    finally:
        rig.stop()
        sentinel.stop()
        replica.stop()


def sentinels_refused(rig, port, ca):
    for what, url, authority, words in (("another authority",
                                         f"sentinels://relay:secret@127.0.0.1:{port}/relay", rig.ca,
                                         "certificate verify failed|TLS or the connection failed"),
                                        ("another password",
                                         f"sentinels://relay:other@127.0.0.1:{port}/relay", ca,
                                         "it wants another login"),
                                        ("another name",
                                         f"sentinels://relay:secret@127.0.0.1:{port}/other", ca,
                                         "it knows no primary of the name other"),
                                        ("no TLS",
                                         f"sentinel://relay:secret@127.0.0.1:{port}/relay", None,
                                         "Server closed the|reset by peer"),
                                        ("nobody", "sentinels://relay:secret@127.0.0.1:1/relay", ca,
                                         "refused")):
        conf = rig.write_conf(f"{rig.dir}/etc/refused.conf", url, authority)
        said = list_with(rig, conf)
        tap.is_(said.returncode, 3, f"sentinels://, {what}: rly does not go on")
        tap.like(said.stderr, f"none of the sentinels at .* names the primary: .*(?:{words})",
                 f"sentinels://, {what}: and says why")
        tap.unlike(said.stderr, "secret|other@", f"sentinels://, {what}: without the password")


@test
def valkey():
    if not shutil.which(VALKEY):
        tap.skip("Valkey", "valkey-server is not installed (Debian 13 has it)")
        return
    rig = OtherRedis(VALKEY)
    rig.start()
    works(rig, "Valkey")
    took = rig.open("8080", ttl="2s")
    time.sleep(2)
    status = wait(lambda: rig.get(took)[0] == 410)
    tap.ok(within(2, status), "Valkey: a time that is over is over", status)
    rig.ends_cleanly("Valkey: the rig")


tap.run()
