#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly: what open, extend, show, list and close print and write, for scripts and for people."""
import datetime
import json
import os
import re
import subprocess

from lib import run, Store, tap, test
from lib.tap import between, is_, like, ok, unlike

store = Store()
RFC3339 = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"


def seconds_from_now(text):
    at = datetime.datetime.strptime(text,
                                    "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    return (at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


def shown(what):
    return json.loads(store.rly("show", "--json", what).stdout)


@test
def open_json():
    result = store.rly("open", "-n", "nas", "80", "--json", "-t", "15m", "-d", "NAS in Zürich",
                       "-o", "bundle")
    is_(result.returncode, 0, "open: exit status 0")
    is_(result.stderr, "", "nothing on stderr")
    is_(result.stdout.count("\n"), 1, "one line of JSON")
    t = json.loads(result.stdout)
    is_(list(t), ["v", "id", "device", "expires", "key", "routes", "ssh", "bundle"], "its members")
    is_(t["v"], 1, "v is 1")
    like(t["id"], "^[a-z2-7]{16}$", "id")
    is_(t["device"], "NAS in Zürich", "device")
    like(t["expires"], RFC3339, "expires is RFC 3339 in UTC")
    between(seconds_from_now(t["expires"]), 890, 901, "and 15 minutes away")
    like(t["key"], "^SHA256:[A-Za-z0-9+/]{43}$", "key is a fingerprint")
    listen = t["routes"][0]["listen"]
    is_(t["routes"], [{
        "name": "nas", "url": "https://nas.relay.localhost:8443/", "service": "http://127.0.0.1",
        "listen": listen, "host": "public", "forwarded": True, "upgrade": [], "old_tls": False
    }], "routes")
    like(listen, r"^127\.\d+\.\d+\.\d+:\d+$", "listen address")
    bundle = f"{store.dir}/bundle"
    is_(t["bundle"], bundle, "bundle is an absolute path")
    is_(
        t["ssh"], {
            "host": "127.0.0.1", "port": 2222, "user": "relay", "command":
            f"ssh -N -F {bundle}/config relay"
        }, "ssh")
    fp = run(["ssh-keygen", "-lf", f"{bundle}/id_relay.pub"], check=False).stdout
    is_(fp.split()[1], t["key"], "ssh-keygen finds that fingerprint in the bundle")
    grant = store.redis("HMGET", f"relay:key:{t['key']}", "tunnel", "listen").split("\n")
    is_(grant, [t["id"], listen], "the key is granted for that tunnel and listen address")


@test
def open_several():
    t = store.open("-n",
                   "web",
                   "-n",
                   "shell",
                   "https://192.168.1.9",
                   "tcp://10.0.0.1:22",
                   "h2c://[::1]:50051",
                   "-o",
                   "several",
                   conf=store.write_conf("443.conf", relay={"https-port": 443}))
    is_([r["name"] for r in t["routes"]][:2], ["web", "shell"],
        "the I-th name is the I-th service's")
    like(t["routes"][2]["name"], "^[a-z2-7]{24}$", "the rest have random names")
    is_(t["routes"][0]["url"], "https://web.relay.localhost/", "port 443 is left out of URLs")
    is_(t["routes"][1]["url"], None, "tcp has no URL")
    is_([r["service"] for r in t["routes"]],
        ["https://192.168.1.9", "tcp://10.0.0.1:22", "h2c://[::1]:50051"], "services")
    is_(len({r["listen"] for r in t["routes"]}), 3, "each has a listen address of its own")
    with open(f"{store.dir}/several/config") as f:
        forwards = re.findall(r"^ *RemoteForward (.*)$", f.read(), re.M)
    targets = ["192.168.1.9:443", "10.0.0.1:22", "[::1]:50051"]
    is_(forwards, [f"{r['listen']} {target}" for r, target in zip(t["routes"], targets)],
        "and a RemoteForward")


@test
def open_with_key():
    path = f"{store.dir}/device"
    run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", path])
    t = store.open("-k", "device.pub", "80", "tcp://[::1]:22")
    is_(t["bundle"], None, "-k alone: no bundle")
    first, second = (r["listen"] for r in t["routes"])
    is_(
        t["ssh"]["command"], "ssh -N -o ExitOnForwardFailure=yes -p 2222 "
        f"-R {first}:127.0.0.1:80 -R '{second}:[::1]:22' relay@127.0.0.1",
        "but the whole command, for a shell")
    result = store.rly("close", t["id"])
    is_(result.returncode, 0, "closed")
    t = store.open("-k", "-", "-o", "with-key", "80", input=open(f"{path}.pub", "rb").read())
    is_(sorted(os.listdir(f"{store.dir}/with-key")),
        ["config", "id_relay.pub", "known_hosts", "relay-tunnel.service", "run"],
        "-k - and -o: the key from standard input, a bundle without private key")
    is_(t["ssh"]["command"], f"ssh -N -F {store.dir}/with-key/config relay", "and its command")
    store.rly("close", t["id"])
    t = store.open("-k", "device.pub", "--tls", "80")
    is_(
        t["ssh"]["command"], "ssh -N -o ExitOnForwardFailure=yes -p 8443 "
        "-o 'ProxyCommand=openssl s_client -quiet -verify_quiet -alpn ssh "
        "-servername "
        "ssh.relay.localhost -connect 127.0.0.1:8443' -R "
        f"{t['routes'][0]['listen']}:127.0.0.1:80 relay@127.0.0.1", "--tls: the same inside TLS")
    is_((t["ssh"]["host"], t["ssh"]["port"]), ("127.0.0.1", 8443), "on the HTTPS port")
    store.rly("close", t["id"])
    conf = store.write_conf("v6.conf", relay={"ssh": "[2001:db8::1]:443", "https-port": None})
    t = store.open("-k", "device.pub", "--tls", "80", conf=conf)
    like(t["ssh"]["command"], r"-connect \[2001:db8::1\]:443' ", "an IPv6 address in brackets")
    store.rly("close", t["id"])
    store.open("-k", "device.pub", "-o", "beside", "80")
    like(
        open(f"{store.dir}/beside/config").read(), f'IdentityFile "{path}"\n',
        "a private key that lies beside the public one is named in the configuration")


@test
def open_text():
    result = store.rly("open", "-d", "bmc \U0001f5a5", "8080", "tcp://127.0.0.1:22")
    is_(result.returncode, 0, "open without --json")
    id = re.search(r"^Tunnel +([a-z2-7]{16})$", result.stdout, re.M).group(1)
    like(result.stdout, r"(?m)^Device +bmc \U0001f5a5$", "the device")
    like(result.stdout, r"(?m)^Ends +\d{4}-\d\d-\d\d \d\d:\d\d UTC \(in 2 h\)$",
         "the end, absolute and relative")
    like(result.stdout,
         r"(?m)^URL +https://[a-z2-7]{24}\.relay\.localhost:8443/  for http://127\.0\.0\.1:8080$",
         "the URL")
    like(result.stdout, r"(?m)^Listen +127\.[0-9.]+:\d+  for tcp://127\.0\.0\.1:22$",
         "the listen address of tcp")
    like(result.stdout, rf"(?m)^  ssh -N -F {store.dir}/relay-{id}/config relay$",
         "the command, with ./relay-ID")
    ok(os.path.isdir(f"{store.dir}/relay-{id}"), "which is there")
    unlike(result.stdout, "PRIVATE KEY", "no private key in the output")


@test
def options():
    before = store.rly("open", "--ttl=1h", "--name", "before", "--device=x", "--output", "o1",
                       "--json", "80")
    after = store.rly("open",
                      "80",
                      "-t1h",
                      "-n",
                      "after",
                      "-o",
                      "o2",
                      "--json",
                      "-c",
                      store.conf,
                      env={"RELAY_CONF": "/nonexistent"})
    is_((before.returncode, after.returncode), (0, 0),
        "options before and after the operands, long and short")
    is_(
        store.rly("-c", store.conf, "list", conf="/nonexistent").returncode, 0,
        "-c before the command")
    is_(
        store.rly(f"--config={store.conf}", "list", conf="/nonexistent").returncode, 0,
        "--config=FILE there")
    like(store.rly("--version").stdout, r"^rly \(mod_relay\) \d+\.\d+\.\d+\n$", "--version")
    for command in ("open", "close", "extend", "show", "list", "help"):
        text = store.rly("help", command).stdout
        like(text, f"^usage: rly {command}", f"help {command}")
        ok(command == "help" or "\nExample" in text, f"help {command} has an example")
        is_(
            store.rly(command, "--help", conf="/nonexistent").stdout, text,
            f"{command} --help says the same")
        like(store.rly("help").stdout, rf"(?m)^  rly {command} ", f"help names {command}")


@test(needs=["open_json"])
def list_many():
    """More than are asked for in one round trip: copies of one record, of which every seventh has
    ended."""
    before = [t["id"] for t in json.loads(store.rly("list", "--json").stdout)["tunnels"]]
    script = """
        local fields = redis.call('HGETALL', KEYS[1] .. 'tunnel:' .. ARGV[1])
        for i = 1, 1000 do
            local id, expires = string.format('copy%05d', i), string.format('%d', 1900000000000 + i)
            redis.call('HSET', KEYS[1] .. 'tunnel:' .. id, unpack(fields))
            redis.call('HSET', KEYS[1] .. 'tunnel:' .. id, 'id', id,
                       'state', i % 7 == 0 and 'closed' or 'open', 'expires', expires)
            redis.call('ZADD', KEYS[1] .. 'tunnels', expires, id)
        end"""
    store.redis("EVAL", script, 1, "relay:", before[0])
    listed = [t["id"] for t in json.loads(store.rly("list", "--json").stdout)["tunnels"]]
    is_(listed, before + [f"copy{i:05d}" for i in range(1, 1001) if i % 7],
        "list: 1,000 records, the open ones in their order")
    script = ("for i = 1, 1000 do "
              "redis.call('ZREM', KEYS[1] .. 'tunnels', string.format('copy%05d', i)) end")
    store.redis("EVAL", script, 1, "relay:")
    is_([t["id"] for t in json.loads(store.rly("list", "--json").stdout)["tunnels"]], before,
        "and without them as before")


@test
def needs():
    """What a service needs, from rly to each of its routes' records and back."""
    args = ("--host", "NAS.lan:0081", "--forwarded", "off", "--upgrade", "tcp, Spice", "--old-tls")
    t = store.open("-n", "picky", *args, "80", "https://nas.lan")
    says = {"host": "nas.lan:81", "forwarded": False, "upgrade": ["tcp", "spice"], "old_tls": True}
    fields = ["host", "forwarded", "upgrade", "old_tls"]
    for i, route in enumerate(t["routes"]):
        is_({k: route[k] for k in fields}, says, f"route {i}: open says so")
        is_({k: shown("picky")["routes"][i][k] for k in fields}, says, f"route {i}: so does show")
        is_(
            store.redis("HMGET", f"relay:route:{route['name']}", *fields).split("\n"),
            ["nas.lan:81", "off", "tcp spice", "on"], f"route {i}: its record")
    text = store.rly("show", "picky").stdout
    for line in ("Host +nas.lan:81", "Forwarded +off", "Upgrade +tcp spice", "Old TLS +on"):
        like(text, f"(?m)^{line}$", f"show: {line}")
    # Records of before they were there.
    store.redis("HDEL", f"relay:tunnel:{t['id']}", *fields)
    old = shown("picky")["routes"][0]
    is_({k: old[k]
         for k in fields}, {"host": "public", "forwarded": True, "upgrade": [], "old_tls": False},
        "a record without them has the defaults")
    unlike(
        store.rly("show", "picky").stdout, "Host|Forwarded|Upgrade|Old TLS", "and show is silent")
    store.redis("HSET", f"relay:tunnel:{t['id']}", "host", "nas\r\nX: y")
    bad = store.rly("show", "picky")
    is_(bad.returncode, 1, "a host that is none is no record")
    like(bad.stderr, "malformed: field host", "and the error says so")
    store.redis("HSET", f"relay:tunnel:{t['id']}", "host", "public")
    is_(store.rly("close", "picky").returncode, 0, "closed")


@test(needs=["open_json"])
def show():
    t = shown("nas")
    is_(list(t), [
        "v", "id", "device", "state", "relay", "key", "by", "created", "expires", "ended", "routes"
    ], "show --json: its members")
    is_((t["state"], t["relay"], t["ended"]), ("open", "relay1", None), "state, relay, ended")
    like(t["by"], "^[A-Za-z0-9._-]+@[A-Za-z0-9._-]+$", "by is user@host")
    is_(t["routes"][0]["connected"], None, "connected is null while no rlyd reports")
    is_(shown(t["id"]), t, "by its id the same")
    text = store.rly("show", "nas").stdout
    like(text, r"(?m)^Device +NAS in Zürich$", "show: the device")
    like(text, r"(?m)^Opened +.* \(now|ago\) by ", "when and by whom")
    like(
        text,
        r"(?m)^nas +https://nas\.relay\.localhost:8443/ +http://127\.0\.0\.1 +127\.[0-9.]+:\d+ "
        r"+unknown", "the route")


@test(needs=["open_json"])
def connected():
    t = shown("nas")
    listen = t["routes"][0]["listen"]
    store.redis("HSET", "relay:relay:relay1", "v", 1)
    is_(
        shown("nas")["routes"][0]["connected"], False,
        "rlyd is there, and the device is not connected")
    live = {"tunnel": t["id"], "pid": 1, "since": 1700000000000, "peer": "192.0.2.7:1234"}
    store.redis("HSET", "relay:live:relay1", listen, json.dumps(live))
    route = shown("nas")["routes"][0]
    is_((route["connected"], route["since"], route["peer"]),
        (True, "2023-11-14T22:13:20Z", "192.0.2.7:1234"),
        "it is connected: since when, and from where")
    like(
        store.rly("show", "nas").stdout, r"for \d+ d( \d+ h)?, from 192\.0\.2\.7:1234",
        "the same for people")
    like(store.rly("list").stdout, rf"(?m)^{t['id']} .* yes ", "list says so, too")
    for what, text in (("another tunnel's", json.dumps({**live, "tunnel": "x" * 16})),
                       ("malformed", "{"), ("of another form", '["tunnel"]')):
        store.redis("HSET", "relay:live:relay1", listen, text)
        is_(
            shown("nas")["routes"][0]["connected"], False,
            f"a live: record that is {what} is not taken for its own")
    store.redis("DEL", "relay:live:relay1", "relay:relay:relay1")


@test(needs=["open_json", "open_text"])
def listing():
    tunnels = json.loads(store.rly("list", "--json").stdout)
    is_((list(tunnels), tunnels["v"]), (["v", "tunnels"], 1), "list --json: an object")
    is_([t["expires"] for t in tunnels["tunnels"]],
        sorted(t["expires"] for t in tunnels["tunnels"]), "by expiry")
    is_(tunnels["tunnels"][0], shown(tunnels["tunnels"][0]["id"]), "each as show --json has it")
    lines = store.rly("list").stdout.split("\n")
    like(lines[0], "^ID +DEVICE +ENDS +IN +URL +SERVICE$",
         "the table's heading, without empty columns")
    is_(len(lines) - 2, sum(len(t["routes"]) for t in tunnels["tunnels"]), "a line for each route")
    ok(all(line == line.rstrip() for line in lines), "no spaces at the ends of lines")
    wide = [line for line in lines if "\U0001f5a5" in line or "Zürich" in line]
    is_(len(wide), 2, "two lines with other letters than ASCII")
    columns = {len(line.split(" 20")[0]) for line in wide if "\U0001f5a5" not in line} | \
              {len(line.split(" 20")[0]) for line in lines[1:] if " 20" in line and line.isascii()}
    is_(len(columns), 1, "columns are aligned")


@test(needs=["open_json"])
def terminal():
    t = shown("nas")
    evil = "a\x1b[2Jb\x07c\u009bd\u202ee\nf\x7f"
    store.redis("HSET", f"relay:tunnel:{t['id']}", "device", evil)
    for command in (["show", "nas"], ["list"]):
        out = store.rly(*command).stdout
        unlike(out, "[\x00-\x09\x0b-\x1f\x7f\x80-\x9f\u202e]",
               f"{command[0]}: no control characters from a record")
        like(out, re.escape("a?[2Jb?c?d?e?f?"), "they are shown as question marks")
    is_(shown("nas")["device"], evil, "JSON has them, escaped")
    subprocess.run([
        b"redis-cli", b"-s",
        store.redis.sock.encode(), b"HSET", f"relay:tunnel:{t['id']}".encode(), b"device",
        b"\xff\xc0\xaf\xed\xa0\x80x"
    ],
                   check=True,
                   stdout=subprocess.DEVNULL)
    like(store.rly("list").stdout, r"\?{6}x", "bytes that are no UTF-8 are question marks")
    is_(shown("nas")["device"], "\ufffd" * 6 + "x", "and U+FFFD in JSON")
    result = store.rly("show", "\x1b[2J")
    is_(result.returncode, 1, "a name with an escape sequence is not found")
    unlike(result.stderr, "\x1b", "and not repeated as it is")


@test
def which():
    """show, extend and close take what people hold. What could mean two tunnels is refused."""
    a = store.open("-n", "bern", "-n", "bern-ssh", "-d", "NAS in Bern", "-o", "w-a", "80",
                   "tcp://127.0.0.1:22")
    b = store.open("-n", "basel", "-d", "NAS in Basel", "-o", "w-b", "80")
    c = store.open("-n", "twin1", "-d", "twins", "-o", "w-c", "80")
    d = store.open("-n", "twin2", "-d", "twins", "-o", "w-d", "80")
    # whose device is the name of the next
    e = store.open("-n", "zurich", "-d", "geneva", "-o", "w-e", "80")
    f = store.open("-n", "geneva", "-d", "zurich", "-o", "w-f", "80")
    g = store.open("-n", "selfsame", "-d", "selfsame", "-o", "w-g", "80")
    # named like one, labelled like another
    h = store.open("-n", a["id"], "-d", b["id"], "-o", "w-h", "80")
    i = store.open("-d", "lonely", "-o", "w-i", "80")
    j = store.open("-n", "labelled", "-d", "x.relay.localhost", "-o", "w-j", "80")
    k = store.open("-n", "urls", "-d", "https://bern.relay.localhost/", "-o", "w-k", "80")
    m = store.open("-n", "keys", "-d", a["key"], "-o", "w-m", "80")
    fp = a["key"][len("SHA256:"):]
    everything = [a, b, c, d, e, f, g, h, i, j, k, m]
    good = [(a["id"], a), ("bern", a), ("bern-ssh", a), ("NAS in Bern", a),
            ("bern.relay.localhost", a), ("BERN.Relay.LocalHost.", a),
            ("bern.relay.localhost:8443", a), ("bern-ssh.relay.localhost", a),
            (a["routes"][0]["url"], a), ("https://bern.relay.localhost", a),
            ("https://bern.relay.localhost/index.php?x=y#z", a),
            ("HTTPS://BERN.relay.localhost:443/", a), ("http://bern.relay.localhost/", a),
            ("https://user:pass@bern.relay.localhost/a@b", a), ("wss://bern.relay.localhost/ws", a),
            ("https://bern.relay.localhost?x", a), (a["key"], a), (fp, a), ("w-a/id_relay.pub", a),
            (f"{store.dir}/w-a/id_relay.pub", a), ("basel", b), ("NAS in Basel", b), ("twin1", c),
            ("twin2", d), ("zurich.relay.localhost", e), ("geneva.relay.localhost", f),
            (e["id"], e), (f["key"], f), ("selfsame", g), (f"{a['id']}.relay.localhost", h),
            (b["id"], b), (h["id"], h), ("lonely", i), (i["routes"][0]["name"], i), ("labelled", j),
            (k["id"], k), (m["id"], m)]
    for word, tunnel in good:
        result = store.rly("show", "--json", "--", word)
        is_((result.stderr, json.loads(result.stdout or "{}").get("id")), ("", tunnel["id"]),
            f"`{word}' is the tunnel that is meant")
    before = store.snapshot()
    bad = [
        ("twins",
         f"2 open tunnels have the device `twins'; give the id of one: ({c['id']}|{d['id']}) "
         f".twin[12], until 2.*, ({c['id']}|{d['id']}) "),
        ("geneva",
         f"`geneva' is a name of tunnel {f['id']}, and the device of another, {e['id']} .*or "
         "geneva.relay.localhost for the first"),
        ("zurich", f"`zurich' is a name of tunnel {e['id']}, and the device of another, {f['id']}"),
        ("x.relay.localhost", "there is no tunnel with the name `x'"),
        ("nas in bern", "there is no tunnel"), ("NAS in Bern ", "there is no tunnel"),
        ("NAS", "there is no tunnel"), ("NAS in Bern\n", "there is no tunnel"),
        ("", "there is no tunnel"), ("BERN", "there is no tunnel"),
        ("bern.relay.localhost.evil.example", "there is no tunnel"),
        ("bern.evil.example", "there is no tunnel"),
        ("a.bern.relay.localhost", "there is no tunnel"), ("relay.localhost", "there is no tunnel"),
        ("bern.relay.localhost/", "there is no tunnel"),
        ("https://bern.evil.example/",
         "is no URL of a tunnel: those are https://NAME.relay.localhost/ .*domain"),
        ("https://bern.relay.localhost@evil.example/", "is no URL of a tunnel"),
        ("https://evil.example/@bern.relay.localhost/", "is no URL"),
        ("https://evil.example\\\\@bern.relay.localhost/", "is no URL of a tunnel"),
        ("https://evil.example#@bern.relay.localhost", "is no URL"),
        ("https://evil.example?@bern.relay.localhost", "is no URL"), ("https://", "is no URL"),
        ("://", "is no URL"), ("https:///bern", "is no URL"), ("https://[::1]/", "is no URL"),
        ("https://b%65rn.relay.localhost/", "is no URL"),
        ("https://bern.relay.localhost:x/", "is no URL"),
        ("https://none.relay.localhost/", "there is no tunnel with the name `none'"),
        ("SHA256:" + "A" * 43, "no open tunnel with the key SHA256:AAA"),
        ("SHA256:" + "A" * 42, "there is no tunnel"), ("sha256:" + fp, "there is no tunnel"),
        ("A" * 43, "no open tunnel with the key SHA256:AAA"), ("MD5:00:11", "there is no tunnel"),
        ("nowhere.pub", "cannot read the public key nowhere.pub: No such file"),
        ("conf.pub", "conf.pub: "), ("w-a/id_relay", "there is no tunnel"),
        ("*", "there is no tunnel"), ("relay:tunnel:x", "there is no tunnel"),
        ("x" * 100000, "there is no tunnel"), ("\x1b[2J", "there is no tunnel"),
        ("\u202e", "there is no tunnel"), (b"\xff", "there is no tunnel")
    ]
    os.symlink("relay.conf", f"{store.dir}/conf.pub")
    for word, error in bad:
        for command in (["show"], ["close"], ["extend", "-t", "1d"]):
            result = store.rly(*command, "--", word)
            is_((result.returncode, result.stdout), (1, ""), f"{command[0]} `{word[:60]}': refused")
            like(result.stderr, f"^rly: [^\n]*{error}[^\n]*\n$", "and says why, in a line")
            unlike(result.stderr, "[\x00-\x09\x0b-\x1f\u202e]", "of plain text")
    is_(store.snapshot(), before, "and nothing has changed")
    for word, tunnel in (("https://basel.relay.localhost:8443/x?y", b), ("lonely", i), (fp, a),
                         ("w-g/id_relay.pub", g)):
        is_(store.rly("extend", "-t", "5d", "--", word).returncode, 0, f"extend `{word}'")
        between(seconds_from_now(shown(tunnel["id"])["expires"]), 5 * 86400 - 9, 5 * 86400 + 1,
                "and it is that one that lives longer")
    result = store.rly("close", c["id"], "twins", "NAS in Bern", "https://bern.relay.localhost/",
                       a["key"], "lonely")
    is_(result.returncode, 1,
        "close: a word that means two is refused, though one of them is closed before it")
    is_([shown(t["id"])["state"] for t in (a, c, d, i)], ["closed", "closed", "open", "closed"],
        "the other tunnel of the two is open still")
    is_(len(re.findall("(?m)^closed ", result.stdout)), 3,
        "three words of one tunnel close it once")
    is_(shown("twins")["id"], d["id"], "then it is the only one with that device")
    is_(store.rly("close", "twins").returncode, 0, "and that closes it")
    is_(
        store.rly("close", "twins").returncode, 1,
        "once: tunnels that have ended have no device any more")
    is_(shown("bern")["state"], "closed", "but their names are known for a day")
    is_(shown("https://bern.relay.localhost/")["id"], a["id"], "as URLs, too")
    many = [store.open("-d", "many", "-o", f"many{n}", "80")["id"] for n in range(12)]
    like(
        store.rly("close", "many").stderr, "12 open tunnels have the device `many'.* and 2 more$",
        "of many candidates some are listed")
    store.redis("HSET", f"relay:key:{b['key']}", "tunnel", "zurich")
    is_(
        store.rly("show", b["key"]).returncode, 1,
        "a key: record that names no tunnel is not taken for a name")
    for t in [t["id"] for t in everything] + many:
        store.rly("close", t)


@test
def conf_owner():
    """Whoever can change relay.conf decides what root does: root is told."""
    for what, uid, gid, mode, warned in (("root's", 0, 0, 0o644,
                                          False), ("root's group may write", 0, 0, 0o664,
                                                   False), ("nobody's", 65534, 0, 0o644, True),
                                         ("another group may write", 0, 65534, 0o664,
                                          True), ("all may write", 0, 0, 0o646, True)):
        conf = store.write_conf("owned.conf")
        os.chown(conf, uid, gid)
        os.chmod(conf, mode)
        result = store.rly("list", conf=conf)
        is_((result.returncode,
             len(
                 re.findall(f"RLY360 {conf} can be changed by others .*chown root {conf}",
                            result.stderr))), (0, int(warned)),
            f"relay.conf, {what}: {'told' if warned else 'no word'}")


@test
def ssh_host_alone():
    t = store.open("80",
                   "-o",
                   "alone",
                   conf=store.write_conf("alone.conf", relay={"ssh": "127.0.0.1"}))
    is_((t["ssh"]["host"], t["ssh"]["port"]), ("127.0.0.1", 443),
        "ssh = HOST in relay.conf: port 443")
    like(open(f"{store.dir}/alone/config").read(), r"(?m)^    Port 443$", "in the bundle as well")
    store.rly("close", t["id"])


@test(needs=["open_json"])
def extend():
    before = shown("nas")["expires"]
    result = store.rly("extend", "-t", "3d", "nas")
    is_(result.returncode, 0, "extend")
    like(result.stdout, r"^[a-z2-7]{16} now ends \d{4}-\d\d-\d\d \d\d:\d\d UTC \(in 3 d\)\n$",
         "says until when")
    between(seconds_from_now(shown("nas")["expires"]), 3 * 86400 - 5, 3 * 86400 + 1, "and it is so")
    ok(shown("nas")["expires"] > before, "later than before")
    result = store.rly("extend", "nas", "-t", "1h")
    is_(result.returncode, 1, "a shorter TTL is refused")
    like(result.stderr, "^rly: cannot extend nas: .*never shortens", "and says why")


@test(needs=["open_json", "open_several"])
def close():
    id = shown("nas")["id"]
    result = store.rly("close", "nope", "nas", "web", "shell", "NOPE")
    is_(result.returncode, 1, "close of several: the worst exit status")
    is_(len(re.findall("(?m)^rly: cannot close", result.stderr)), 2,
        "an error for each that failed")
    is_(len(re.findall("(?m)^closed ", result.stdout)), 2,
        "the others are closed; two names of one tunnel close it once")
    like(result.stdout, rf"(?m)^closed {id} \(nas\)$", "it says which")
    t = shown(id)
    is_(t["state"], "closed", "show still knows it")
    like(t["ended"], RFC3339, "and when it ended")
    like(store.rly("show", id).stdout, "(?m)^Ended +.*now", "for people, too")
    result = store.rly("close", id)
    is_(result.returncode, 1, "closing it again is refused")
    like(result.stderr, "^rly: cannot close .*already ended", "and says why")
    is_(store.rly("extend", "-t", "9d", id).returncode, 1, "extending it, too")
    for t in json.loads(store.rly("list", "--json").stdout)["tunnels"]:
        store.rly("close", t["id"])
    is_(store.rly("list").stdout, "No tunnel is open.\n", "list of nothing")
    is_(store.rly("list", "--json").stdout, '{"v":1,"tunnels":[]}\n', "as JSON")


@test(needs=["close"])
def by():
    if os.getuid() == 0:
        store.open("-n", "sudo1", "-o", "s1", "80", env={"SUDO_USER": "nobody"})
        like(shown("sudo1")["by"], "^nobody@", "behind sudo it is the user who called it")
        store.open("-n", "sudo2", "-o", "s2", "80", env={"SUDO_USER": "x\nevil"})
        like(shown("sudo2")["by"], "^root@", "a SUDO_USER who is nobody does not count")
    events = store.redis("XRANGE", "relay:events", "-", "+")
    like(events, r"(?s)what\nopen\n.*what\nclose\n", "events have what was done")


@test
def addresses():
    """A Redis that is restored from an old copy, or has lost all, gives no address a second time.
    """
    roomy = store.write_conf("roomy.conf", relay={"listen": "127.64.0.0/22:10000-59999"})
    for space, conf in (("a wide space", store.conf), ("one with room", roomy)):

        def listen(n=1, conf=conf):
            return [store.open("80", conf=conf)["routes"][0]["listen"] for _ in range(n)]

        listen()
        old = store.redis("GET", "relay:next:relay1")
        used = listen(5)
        for slot in store.redis("--scan", "--pattern", "relay:slot:*").split():
            store.redis("DEL", slot)
        store.redis("SET", "relay:next:relay1", old)
        used += listen(5)
        is_(len(set(used)), 10, f"{space}, an old counter: no listen address comes twice")
        store.redis("FLUSHALL")
        used += listen(5)
        is_(len(set(used)), 15, f"{space}, a lost counter: no listen address comes twice")


@test
def output_fails():
    for args in (["list"], ["open", "80", "-o", "unheard"]):
        with open("/dev/full", "w") as full:
            result = subprocess.run([store.program, *args],
                                    stdout=full,
                                    stderr=subprocess.PIPE,
                                    text=True,
                                    cwd=store.dir,
                                    env={"RELAY_CONF": store.conf})
        is_(result.returncode, 1, f"{args[0]}: standard output that is full: exit status 1")
        like(result.stderr, "(?m)^rly: cannot write to standard output", f"{args[0]}: and an error")
    like(result.stderr, "(?m)^rly: tunnel [a-z2-7]{16} is open, but",
         "open: it says that the tunnel is open")


tap.run()
