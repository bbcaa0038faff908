#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rly over the API: each command prints what it prints straight on Redis, and ends with the same
status. The token goes to its own place only, and rly.conf is judged as ssh judges keys. A server
that lies harms nobody: what it answers is bounded and checked.
"""
import hashlib
import http.server
import json
import os
import re
import ssl
import stat
import subprocess
import threading
import time

from lib import fixture, riglog, run, tap, test, wait_for
from lib.apirig import ApiRig

# What differs between any two calls, and what stands for it.
VARYING = [(r"relay_[a-z2-7]{16}_[a-z2-7]{52}", "TOKEN"), (r"127\.\d+\.\d+\.\d+:\d{5}", "LISTEN"),
           (r"\b[a-z2-7]{5}(-[a-z2-7]{5}){3}\b", "CODE"), (r"\b[0-9a-f]{16}\b", "ID"),
           (r'"load":[\d.]+|\b\d+\.\d\d\b', "LOAD"), (r"\b\d{13}-\d+\b", "PLACE"),
           (r"SHA256:[\w+/]{43}", "KEY"), (r"\b[a-z2-7]{24}\b", "RANDOM"),
           (r"\b[a-z2-7]{16}\b", "ID"), (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ| UTC)?", "TIME"),
           (r"\(now\)|\((in )?(\d+ (d|h|min|s) ?)+(ago)?\)", "(SPAN)"),
           (r"\d+ (h|min|s)\b( \d+ (min|s)\b)?|\b\d{4}s\b", "SPAN"),
           (r"token:ID|\b\w[\w.-]*@(?!openssh)[\w.-]+", "SOMEBODY"), (r"[ -]{2,}", "  ")]


def same(text):
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


class Rly:
    """rly with a home of its own, by one way."""
    def __init__(self, rig, token=None, name="home"):
        self.rig, self.home = rig, f"{rig.dir}/{name}"
        self.env = {"PATH": os.environ["PATH"], "HOME": self.home, "TZ": "UTC"}
        self.url = f"https://api.{rig.domain}:{rig.https_port}"
        os.makedirs(f"{self.home}/.config/relay", exist_ok=True)
        self.file = f"{self.home}/.config/relay/rly.conf"
        if token:
            self.write(f"[api]\nurl = {self.url}/\ntoken = {token}\ncacert = {rig.ca}\n")
        else:
            self.env["RELAY_CONF"] = rig.conf

    def write(self, text, mode=0o600):
        with open(self.file, "w") as f:
            f.write(text)
        os.chmod(self.file, mode)

    def __call__(self, *args, stdin="", **env):
        return run([self.rig.program("rly"), *args],
                   input=stdin,
                   cwd=self.rig.dir,
                   env=dict(self.env, **env),
                   check=False)


@fixture
def rig():
    rig = ApiRig(rlyd=True)
    rig.expect(riglog.DEVICE_GONE, "AH01630: client denied")
    yield rig
    rig.ends_cleanly()


@fixture
def ways(rig):
    """Straight on Redis, and over the API with a token of all tenants."""
    yield Rly(rig, name="redis"), Rly(rig, rig.token("--role", "admin"))


def enrol(rig, name):
    """@return the ids of a device that has enrolled, and of its code"""
    code = json.loads(rig.rly("code", "new", "--json", "--tenant", "bern").stdout)
    answer = rig.call("POST", "/v1/enrol", body={"code": code["code"], "name": name})
    return answer.json["device"], code["id"]


def results(ways, commands):
    for way in ways:
        found = [way(*args) for args in commands]
        yield [(r.returncode, r.stdout, r.stderr) for r in found]


# ---- the same both ways

# Each is said by either way, of the same tunnels: WORDS and what changes nothing.
READS = [("list", ), ("list", "--json"), ("show", "same-one"), ("show", "--json", "same-one"),
         ("show", "SAME-ONE.{domain}"), ("show", "https://same-one.{domain}:{port}/x?y"),
         ("show", "{id}"), ("show", "{key}"), ("show", "{bundle}/id_relay.pub"),
         ("show", "--json", "NAS in Bern"), ("show", "{closed}"), ("show", "--json", "same-closed"),
         ("show", "two"), ("show", "none"), ("show", "Who?"), ("show", "none.{domain}"),
         ("show", "https://none.example.com/"), ("show", "SHA256:" + "A" * 43), ("show", "x.pub"),
         ("show", ), ("list", "x"), ("token", "list"), ("token", "list", "--json"),
         ("token", "list", "--tenant", "bern"), ("token", "list", "--tenant", "nobody"),
         ("close", "none", "who", "two"), ("close", "same-closed"), ("close", ),
         ("extend", "-t", "1h", "none"), ("extend", "-t", "1s", "same-one"),
         ("extend", "-t", "99d", "same-one"), ("extend", "same-one"), ("extend", "-t", "1h", "two"),
         ("token", "revoke", "aaaaaaaaaaaaaaaa"), ("token", "revoke"), ("token", "new", "a", "b"),
         ("token", "new", "--role", "root"), ("token", "new", "--tenant", "*"),
         ("token", "new", "\u202e"), ("open", ), ("open", "x://y"), ("open", "-n", "A", "80"),
         ("open", "-n", "same-one", "80"), ("open", "-n", "a", "-n", "b", "80"),
         ("open", "-t", "99d", "80"), ("open", "-n", "api", "80"),
         ("open", "-n", "same-closed", "-d", "other", "80"), ("open", "-k", "/none.pub", "80"),
         ("open", "-k", "{bundle}/id_relay.pub", "80"), ("open", "-o", "{bundle}", "80"),
         ("open", "-d", "\u202e", "80"), ("open", "-d", "x" * 201, "80"), ("frobnicate", ),
         ("code", "list"), ("code", "list", "--json"),
         ("code", "list", "--tenant", "nobody", "--json"), ("code", "new", "-u", "0"),
         ("code", "new", "--tenant", "*"), ("code", "new", "\u202e"), ("code", "new", b"\xff"),
         ("code", "revoke", "aaaaaaaaaaaaaaaa", "../codes", "", "A b"), ("device", "list"),
         ("device", "list", "--json"), ("device", "list", "--tenant", "bern"),
         ("device", "show", "{device}"), ("device", "show", "--json", "{device}"),
         ("device", "approve", "nobody", "A"), ("device", "label", "{device}", "\u202e"),
         ("device", "label", "nobody", "x"), ("device", "remove", "nobody", "x/y"),
         ("relay", "list"), ("relay", "list", "--json"), ("relay", "drain", "relay9", "A b"),
         ("events", ), ("events", "--json"), ("events", "--since", "0", "--json"),
         ("events", "--since", "{place}"), ("events", "--tenant", "bern", "--json"), ("help", ),
         ("help", "open"), ("list", "--help"), ("--version", ), ("--api", ), ("-x", "list")]


@test
def reads(rig, ways):
    """What only looks, and what is refused: said by both ways, of the same tunnels."""
    ways[0]("token", "new", "--tenant", "bern", "of Bern")
    one = rig.open("http://127.0.0.1:80",
                   "tcp://127.0.0.1:22",
                   name="same-one",
                   device="NAS in Bern",
                   args=("--host", "device", "--forwarded", "off", "--upgrade", "tcp", "--old-tls"))
    for _ in range(2):
        rig.open("80", device="two")
    closed = rig.open("80", name="same-closed", device="was")
    rig.rly("close", closed["id"])
    device, _ = enrol(rig, "till 7")
    wait_for(lambda: rig.redis("ZSCORE", "relay:relays", "relay1"), "rlyd's heartbeat", 15)
    rig.redis("ZADD", "relay:relays", str(int(time.time() * 1000)), "relay2")
    rig.redis("HSET", "relay:relay:relay2", "v", "1", "ssh", "relay.example.com:443", "load",
              "0.40", "sessions", "7", "versions", "rlyd 1")
    rig.redis("XADD", "relay:events", "*", "what", "up", "tunnel", one["id"], "relay", "relay2",
              "by", "rlyd@relay2", "peer", "192.0.2.1:5", "why", "\x9b[31m\u202e")
    place = json.loads(ways[0]("events", "--json").stdout)["events"][1]["id"]
    words = dict(domain=rig.domain,
                 device=device,
                 place=place,
                 port=rig.https_port,
                 id=one["id"],
                 closed=closed["id"],
                 key=one["key"],
                 bundle=one["bundle"])
    commands = [
        tuple(w if isinstance(w, bytes) else w.format(**words) for w in args) for args in READS
    ]
    before = rig.redis("XLEN", "relay:events")
    redis, api = results(ways, commands)
    for args, a, b in zip(commands, redis, api):
        label = f"rly {' '.join(map(str, args))}"[:70]
        tap.is_(b[0], a[0], f"{label}: exit status {a[0]}")
        tap.is_(same(b[1]), same(a[1]), "… prints the same")
        tap.is_(same(b[2]).replace(ways[1].url, rig.conf), same(a[2]), "… and says the same")
    tap.is_(rig.redis("XLEN", "relay:events"), before, "none of it has changed anything")
    for args, a, b in zip(commands, redis, api):
        if "--json" in args and args[0] != "relay":
            tap.is_(b[1], a[1], f"{args[:2]}, to the last character")
    relays = [
        json.loads(said[commands.index(("relay", "list", "--json"))][1])["relays"]
        for said in (redis, api)
    ]
    tap.is_(relays[1][1], relays[0][1], "relay list, of one that tells nothing new")
    tap.is_((relays[0][1]["name"], relays[0][1]["load"]), ("relay2", 0.4), "… and what it tells")
    since = api[commands.index(("events", "--since", "0", "--json"))][1]
    tap.ok(place in since and "?[31m?" in since, "events: without what a terminal acts on")


@test(needs=["reads"])
def changes(rig, ways):
    """What changes something: each way with tunnels of its own."""
    said = []
    for way, name in zip(ways, ("redis", "api")):
        key = rig.new_key(f"own-{name}")
        bundle = f"{rig.dir}/bundles/{name}-"
        out = [
            way("open", "-n", f"{name}-one", "-d", "NAS", "-t", "2h", "-o", bundle,
                "https://192.168.1.9", "tcp://127.0.0.1:22"),
            way("open",
                "-k",
                "-",
                "-t",
                "30m",
                "--tls",
                "--host",
                "nas.lan:81",
                "--upgrade",
                "tcp,spice",
                "80",
                stdin=key),
            way("open", "--json", "-n", f"{name}-two", "-o", f"{bundle}two", "https://nas.lan"),
            way("extend", "-t", "3h", f"{name}-one"),
            way("show", "--json", f"{name}-one"),
            way("close", f"{name}-one", f"{name}-two"),
            way("close", f"{name}-one"),
            way("open", "-n", f"{name}-one", "-d", "other", "80"),
            way("open", "-n", f"{name}-one", "-d", "other", "-o", f"{bundle}three", "--take-over",
                "80"),
            way("open", "-n", f"{name}-two", "-o", f"{bundle}four", "80"),
            way("token", "new", "--role", "operator", "--tenant", "bern", "-t", "1h", "portal"),
        ]
        token = json.loads(way("token", "new", "--json", "x").stdout)
        out += [way("token", "revoke", token["id"], token["id"])]
        device, code = enrol(rig, "till")
        out += [
            way("code", "new", "--uses", "2", "--approval", "--tenant", "bern", "-t", "1h",
                "tills"),
            way("code", "new", "--json"),
            way("code", "revoke", code, code),
            way("device", "suspend", device, "nobody"),
            way("device", "label", device, "till 8"),
            way("device", "list"),
            way("device", "approve", device),
            way("device", "remove", device, device),
            way("relay", "drain", "relay2", "relay9"),
            way("relay", "list"),
            way("relay", "undrain", "relay2"),
        ]
        did = json.loads(way("events", "--json").stdout)["events"][-9:]
        out += [way("code", "revoke", json.loads(out[-10].stdout)["id"])]
        said.append([(r.returncode, same(r.stdout).replace(f"{name}-", "X-"),
                      same(r.stderr).replace(f"{name}-", "X-")) for r in out])
        files = {f: os.stat(f"{bundle}/{f}").st_mode & 0o777 for f in os.listdir(bundle)}
        said[-1].append(files)
        for file in ("config", "known_hosts"):
            with open(f"{bundle}/{file}") as f:
                said[-1].append(re.sub(r"from \d+ to \d+", "", same(f.read())).replace(name, "X"))
    for i, (a, b) in enumerate(zip(*said)):
        tap.is_(b, a, f"step {i}: the same by both ways")
    tap.is_([s[0] for s in said[0][:12]], [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1], "their statuses")
    tap.like(said[1][11][1], "revoked ID", "token revoke, by the API")
    tap.is_([s[0] for s in said[0][12:24]], [0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0], "of the fleet")
    tap.is_([e["what"] for e in did],
            ["code", "code", "revoke", "suspend", "label", "approve", "remove", "drain", "undrain"],
            "by the API, too, each happens once")


@test(needs=["changes"])
def follows(rig, ways):
    """What happens is told at once, over the API as by Redis."""
    api = ways[1]
    with open(f"{rig.dir}/followed", "w") as out:
        process = subprocess.Popen([rig.program("rly"), "events", "--follow", "--json"],
                                   stdout=out,
                                   env=api.env)
    try:
        with open(f"{rig.dir}/followed") as f:
            wait_for(lambda: f.seek(0) == 0 and "undrain" in f.read(), "the latest ones", 5)
            wait_for(
                lambda: int(re.search(r"blocked_clients:(\d+)", rig.redis("INFO", "clients"))[1]) >=
                2, "a call that waits (and rlyd)", 5)
            begun = time.monotonic()
            id = rig.open("80")["id"]
            wait_for(lambda: f.seek(0) == 0 and id in f.read(), "the event", 5)
            tap.ok(time.monotonic() - begun < 3, "it is told at once")
            lines = f.seek(0) == 0 and [json.loads(line) for line in f if line.endswith("\n")]
        tap.ok(process.poll() is None, "--follow: it goes on")
        ids = [line["id"] for line in lines]
        tap.is_(len(set(ids)), len(ids), "each is told once")
    finally:
        process.kill()
        process.wait()


@test(needs=["changes"])
def connects(rig, ways):
    """A bundle that rly wrote over the API connects its device."""
    device = rig.device("nas")
    opened = json.loads(ways[1]("open", "--json", "-n", "by-api", "-o", f"{rig.dir}/bundles/api",
                                device.url).stdout)
    tap.is_(stat.S_IMODE(os.stat(f"{opened['bundle']}/id_relay").st_mode), 0o600, "its key is ours")
    rig.connect(opened)
    tap.is_(rig.get("by-api")[0], 200, "the device's page is there")
    listed = [way("list", "--json") for way in ways]
    tunnels = [json.loads(r.stdout)["tunnels"] for r in listed]
    route = [t for t in tunnels[1] if t["id"] == opened["id"]][0]["routes"][0]
    tap.is_(route["connected"], True, "list tells that it is connected")
    tap.is_(tunnels[1], tunnels[0], "… as straight on Redis")


@test
def tenants(rig, ways):
    """A tenant's token, and roles."""
    operator = Rly(rig, rig.token("--role", "operator", "--tenant", "chur"), "chur")
    viewer = Rly(rig, rig.token("--tenant", "chur"), "viewer")
    rig.open("80", name="not-churs", device="shared")
    tap.is_(json.loads(operator("list", "--json").stdout)["tunnels"], [], "it sees no other's")
    result = operator("open", "-k", "-", "-n", "churs", "-d", "shared", "80", stdin=rig.new_key())
    tap.is_(result.returncode, 0, "it opens")
    for way, expected in ((viewer, 0), (operator, 0), (ways[1], 1)):
        tap.is_(
            way("show", "shared").returncode, expected,
            "a device is looked for among what the token sees")
    for args in (("show", "not-churs"), ("close", "not-churs"), ("extend", "-t", "3h",
                                                                 "not-churs")):
        result = operator(*args)
        tap.is_((result.returncode, "there is no tunnel" in result.stderr), (1, True),
                f"{args[0]}: another's is not there")
    tap.is_(ways[1]("show", "not-churs").returncode, 0, "(it is there)")
    result = viewer("close", "churs")
    tap.is_((result.returncode, "role of this token, viewer" in result.stderr), (1, True),
            "a viewer closes nothing")
    tap.is_(operator("token", "list").returncode, 1, "an operator sees no tokens")
    relays = json.loads(operator("relay", "list", "--json").stdout)["relays"]
    tap.is_([r["sessions"] for r in relays], [None] * len(relays),
            "nor how much others use a relay")
    tap.is_({e["tenant"]
             for e in json.loads(operator("events", "--json").stdout)["events"]}, {"chur"},
            "events: its own")
    for args in (("relay", "drain", "relay1"), ("code", "list"), ("events", "--tenant", "bern")):
        tap.is_(operator(*args).returncode, 1, f"{args}: not his")
    tap.is_(operator("close", "churs").returncode, 0, "an operator closes his own")


# ---- which API, which token


@test
def places(rig, ways):
    redis, api = ways
    token = rig.token()
    way = Rly(rig, token, "places")
    good = f"[a]\nurl = {way.url}\ntoken = {token}\ncacert = {rig.ca}\n"
    for mode in (0o640, 0o604, 0o620, 0o610, 0o777):
        way.write(good, mode)
        result = way("list")
        tap.is_((result.returncode, f"chmod 600 {way.file}" in result.stderr), (1, True),
                f"rly.conf of mode {mode:o} is refused")
    for mode in (0o600, 0o400):
        way.write(good, mode)
        tap.is_(way("list").returncode, 0, f"… of mode {mode:o} is taken")
    os.chown(way.file, 12345, 0)
    result = way("list")
    tap.is_((result.returncode, "neither yours" in result.stderr), (1, True), "another user's: no")
    os.chown(way.file, 0, 0)
    for text, fault in (("url = x\n", "before the first"),
                        ("[a]\nurl = http://x\n", ":2: .*https://"), ("[a]\nurl = https://u:p@x\n",
                                                                      "no URL of an API"),
                        ("[a]\nurl = https://x/?token=y\n",
                         "no URL of an API"), ("[a]\nurl = https://x\n", "token is missing"),
                        ("[a]\ntoken = relay_x\n", ":2: .*token: it has not the form"),
                        (f"[a]\ntoken = {token}\n",
                         "url is missing"), (good + good.replace("[a]", "[b]") + "x = y\n",
                                             "no such key"), (good + f"token = {token}\n",
                                                              "given twice"),
                        ("[a]\nurl\n", "KEY = VALUE"), ("[a]\n# " + "x" * 300 + "\n",
                                                        "longer than"), ("", "no section")):
        way.write(text)
        result = way("list")
        tap.is_(result.returncode, 1, f"{text[:40]!r}: refused")
        tap.like(result.stderr, fault, "… and says what is wrong")
        tap.ok(token.split("_")[2] not in result.stderr, "… without the token")
    way.write(good)
    for env, args, expected in (({}, (), 0), ({
            "RELAY_API": way.url.upper().replace("HTTPS", "https")
    }, (), 0), ({}, ("--api", way.url + "/"), 0), ({"RELAY_CONF": rig.conf}, ("--api", way.url), 0),
                                ({"RELAY_API": "https://127.0.0.1:1", "RELAY_CONF":
                                  rig.conf}, (), 1), ({"RELAY_CONF": rig.conf}, (), "redis"),
                                ({"RELAY_API": way.url}, ("-c", rig.conf),
                                 "redis"), ({}, ("--api", way.url, "-c", rig.conf),
                                            2), ({}, ("--api", "http://x"), 2),
                                ({}, ("--api", "https://other.example.com"),
                                 1), ({"RELAY_API": "https://other.example.com"}, (), 1)):
        result = way(*args, "token", "list", **env)
        over_api = "role of this token" in result.stderr
        tap.is_((result.returncode, over_api), (0, False) if expected == "redis" else
                (expected or 1, expected == 0), f"{list(env)} {args}: {expected}")
    way.write(good.replace(f"cacert = {rig.ca}\n", ""))
    result = way("list")
    tap.is_(result.returncode, 3, "a certificate that nobody knows: 3")
    tap.like(result.stderr, "--cacert FILE", "… and what may help")
    tap.is_(way("--cacert", rig.ca, "list").returncode, 0, "--cacert")
    way.write(good.replace(f"api.{rig.domain}", "127.0.0.1"))
    tap.is_(way("list").returncode, 3, "a certificate of another name: 3")
    way.write(good.replace(token, token[:-1] + ("a" if token[-1] != "a" else "b")))
    result = way("list")
    tap.is_((result.returncode, f"token of {way.file}" in result.stderr), (1, True),
            "a wrong token")
    os.unlink(way.file)
    tap.like(way("list").stderr, "relay.conf", "without rly.conf: Redis")
    result = way("--api", way.url, "list")
    tap.is_((result.returncode, f"{way.file} is missing" in result.stderr), (1, True),
            "--api without rly.conf")


@test
def loads(rig, ways):
    """libcurl is loaded over the API, and not without."""
    for way, expected in zip(ways, (False, True)):
        said = way("list", LD_DEBUG="files").stderr
        tap.is_("libcurl" in said, expected, f"libcurl is loaded: {expected}")


# ---- a server that lies


class Liar:
    """An HTTPS server whose answers a test makes: answer(method, path, request) -> (status, fields,
    body), or None: it hangs up."""
    def __init__(self, rig):
        self.seen, self.times, self.answer, liar = [], [], None, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                liar.times.append(time.monotonic())
                liar.seen.append((self.command, self.path, dict(self.headers), body))
                said = liar.answer(len(liar.seen) - 1)
                if said is None:
                    self.close_connection = True
                    return
                status, fields, text = said
                text = text if isinstance(text, bytes) else json.dumps(text).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **fields}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True

            do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(rig.cert, rig.key)

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def says(self, *answers):
        """These, one after another, and the last one for ever."""
        self.seen.clear()
        self.answer = lambda i: answers[min(i, len(answers) - 1)]


@fixture
def liar(rig):
    liar = Liar(rig)
    yield liar
    liar.server.shutdown()


def lied_by(rig, liar, name):
    way = Rly(rig, None, name)
    del way.env["RELAY_CONF"]
    way.url = f"https://liar.{rig.domain}:{liar.port}"
    way.token = rig.token()
    way.write(f"[api]\nurl = {way.url}\ntoken = {way.token}\ncacert = {rig.ca}\n")
    return way


@fixture
def lied_to(rig, liar):
    yield lied_by(rig, liar, "lied-to")


def answers(rig):
    """What the API says to a list, and to opening with this key."""
    token = rig.token("--role", "operator")
    opened = rig.call(
        "POST", "/v1/tunnels", token,
        {"services": ["http://127.0.0.1:80"], "public_key": rig.new_key("liars")}).json
    found = rig.call("GET", f"/v1/tunnels?id={opened['id']}", token).json
    return opened, found


def changed(json_, path, value):
    copy = json.loads(json.dumps(json_))
    at, steps = copy, path.split(".")
    for step in steps[:-1]:
        at = at[int(step) if step.isdigit() else step]
    if value is ...:
        del at[steps[-1]]
    else:
        at[int(steps[-1]) if steps[-1].isdigit() else steps[-1]] = value
    return copy


ESC = "a\x1b]0;x\x07"
# (member, value) of a list
LIES = [("tunnels", {}), ("tunnels", ...), ("tunnels", [1]), ("tunnels.0.id", "../../x"),
        ("tunnels.0.id", 7), ("tunnels.0.id", ...), ("tunnels.0.device", ESC),
        ("tunnels.0.device", "\u202egnp"), ("tunnels.0.device", "x" * 201),
        ("tunnels.0.state", "well"), ("tunnels.0.relay", "a b"), ("tunnels.0.key", "SHA256:x"),
        ("tunnels.0.by", "x\n"), ("tunnels.0.created", "yesterday"),
        ("tunnels.0.expires", "2026-11-20T21:05:00+01:00"), ("tunnels.0.expires", None),
        ("tunnels.0.expires", "9999-99-99T99:99:99Z"), ("tunnels.0.ended", 0),
        ("tunnels.0.routes", []), ("tunnels.0.routes.0.name", "A"),
        ("tunnels.0.routes.0.service", "javascript:alert(1)"),
        ("tunnels.0.routes.0.listen", "0.0.0.0:x"), ("tunnels.0.routes.0.host", "a b"),
        ("tunnels.0.routes.0.upgrade", "tcp"), ("tunnels.0.routes.0.upgrade", ["h2c"]),
        ("tunnels.0.routes.0.forwarded", "yes"), ("tunnels.0.routes.0.connected", 1),
        ("tunnels.0.routes.0.peer", ESC), ("domain", "x; rm"), ("domain", ""), ("https_port", 0),
        ("https_port", 65536), ("https_port", "443"), ("now", ""), ("next", 3), ("relay", "")]
# of opening: what would be a line of ssh's configuration, or another thing than was asked for
OPENINGS = [("ssh.host", "x\n    ProxyCommand id"), ("ssh.host", "-oProxyCommand=id"),
            ("ssh.host", "a b"), ("ssh.user", "root\n"), ("ssh.user", "-x"), ("ssh.port", 0),
            ("ssh.host_keys", []), ("ssh.host_keys", ["@cert-authority * ssh-ed25519 AAAA"]),
            ("ssh.host_keys", ["ssh-ed25519 AAAA\nx"]), ("domain", "x\ny"), ("relay", "*"),
            ("routes.0.service", "tcp://192.168.1.1:22"),
            ("routes.0.service", "http://127.0.0.1:81"), ("key", "SHA256:" + "A" * 43),
            ("id", "x\ny"), ("warnings", [ESC]), ("warnings", None), ("routes", [])]


@test
def lies(rig, liar, lied_to):
    opened, found = answers(rig)
    liar.says((200, {}, found))
    tap.is_(lied_to("list").returncode, 0, "what the API says is taken")
    liar.says((200, {}, dict(found, more={"x": 1})))
    tap.is_(lied_to("list").returncode, 0, "… and a newer one may say more")
    for path, value in LIES:
        liar.says((200, {}, changed(found, path, value)))
        result = lied_to("list")
        tap.is_((result.returncode, result.stdout), (1, ""), f"{path}: {value!r}: refused"[:80])
        tap.like(result.stderr, r"^rly: the API's answer cannot be used: [ -~]*\n$",
                 "… without anything for the terminal")
    for text, status in ((b"", 1), (b"[]", 1), (b"null", 1), (b"{", 1), (b'{"v":1,"v":1}', 1),
                         (b"\xff\xfe", 1), (b"[" * 100000, 1), (b"{}" + b" " * (17 << 20), 3)):
        liar.says((200, {}, text))
        result = lied_to("list")
        tap.is_(result.returncode, status, f"{text[:20]} of {len(text)} bytes")
        tap.like(result.stderr, "the API's answer cannot be used", "… is refused")
    liar.says((200, {f"X-{i}": "x" * 1000 for i in range(99)}, found))
    tap.is_(lied_to("list").returncode, 3, "fields without end are refused")
    liar.says(*[(200, {}, dict(found, tunnels=[], next="1-a"))] * 20, (200, {}, found))
    result = lied_to("list")
    tap.is_(result.returncode, 1, "a list that does not come further")
    tap.ok(len(liar.seen) <= 3, "… is not asked for again and again", len(liar.seen))
    for status, fields, text, code in ((500, {}, b"<html>", 3), (200, {}, b"<html>", 1),
                                       (404, {}, b"x", 1), (302, {"Location": "/x"}, b"", 1),
                                       (307, {"Location": "https://api.example.com"}, b"",
                                        1), (409, {}, {"detail": ESC}, 1), (503, {}, {"detail":
                                                                                      3}, 3)):
        liar.says((status, fields, text))
        result = lied_to("list")
        tap.is_((result.returncode, "\x1b" in result.stderr), (code, False),
                f"{status} {fields}: exit status {code}")
        tap.is_(len(liar.seen), 1, "… and it is asked once, there")


NOW, WORD = "2026-11-20T21:05:00Z", "a" * 20
CODE = {
    "v": 1, "id": hashlib.sha256(WORD.encode()).hexdigest()[:16], "tenant": None, "label": "x",
    "uses": 2, "used": 1, "approval": True, "by": "me@x", "created": NOW, "expires": NOW
}
DEVICE = {
    "v": 1, "id": "a" * 16, "tenant": "bern", "label": "x", "approved": True, "by": "me@x", "from":
    None, "created": NOW, "seen": NOW
}
RELAY = {
    "v": 1, "name": "relay1", "state": "up", "draining": False, "since": None, "by": None, "ssh":
    "x:443", "sessions": 1, "load": 0.5, "versions": "x", "heard": NOW
}
EVENT = {
    "v": 1, "id": "1700000000000-1", "at": NOW, "what": "open", "tunnel": "x", "tenant": None,
    "relay": None, "by": None, "from": None, "request": None, "details":
    {"device": "x", "expires": NOW}
}
EVENTS = {"v": 1, "events": [EVENT], "next": EVENT["id"], "more": False}
# (command, what it is answered, (member, value)…); fuzz has all members
FLEET_LIES = [
    (("code", "list"), {"v": 1, "codes": [CODE], "next": None}, [("codes.0.tenant", "A"),
                                                                 ("codes.0.label", ESC),
                                                                 ("codes.0.uses", -1)]),
    (("code", "new"), dict(CODE, code=WORD), [("code", "b" * 20)]),
    (("device", "list"), {"v": 1, "devices": [DEVICE], "next":
                          None}, [("devices.0.approved", "yes"), ("devices.0.from", ESC)]),
    (("device", "approve", "a" * 16), DEVICE, [("id", "b" * 16)]),
    (("relay", "list"), {"v": 1, "relays": [RELAY]}, [("relays.0.load", -1),
                                                      ("relays.0.versions", ESC)]),
    (("events", "--since", "1700000000000-0"), EVENTS, [("events", [EVENT] * 2),
                                                        ("events.0.id", "1700000000000-0"),
                                                        ("events.0.what", ESC),
                                                        ("events.0.details", {"a b": "x"}),
                                                        ("events.0.details", {"x": "\x9b31m"}),
                                                        ("next", "1")]),
]


@fixture
def follower(rig):
    """rly events --follow, of an API that does not wait; and what that was asked."""
    liar = Liar(rig)
    way = lied_by(rig, liar, "follower")
    liar.says((200, {}, EVENTS), (200, {}, dict(EVENTS, events=[])),
              (503, {}, {"detail": "x", "tag": "RLY718"}))
    process = subprocess.Popen([rig.program("rly"), "events", "--follow", "--json"],
                               env=way.env,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL,
                               text=True)
    yield process, liar
    process.kill()
    process.wait()
    liar.server.shutdown()


@test(needs=["lies"])
def fleet_lies(liar, lied_to, follower):  # which goes on beside it
    for args, good, all in FLEET_LIES:
        liar.says((200, {}, good))
        result = lied_to(*args)
        tap.is_((result.returncode, result.stderr), (0, ""), f"{args}: what the API says is taken")
        for path, value in all:
            liar.says((200, {}, changed(good, path, value)))
            result = lied_to(*args)
            tap.is_((result.returncode, result.stdout), (1, ""),
                    f"{args}: {path}: {value!r}: refused"[:80])
            tap.like(result.stderr, r"^rly: the API's answer cannot be used: [ -~]*\n$",
                     "… without anything for the terminal")
    liar.says((200, {}, {"v": 1, "events": [], "next": "5-0", "more": True}))
    tap.is_((lied_to("events", "--since", "5").returncode, len(liar.seen)), (1, 1),
            "events that do not come further are not asked for again")
    liar.says((200, {}, {"v": 1, "devices": [], "next": "1-a"}))
    tap.is_((lied_to("device", "list").returncode, len(liar.seen)), (1, 2), "nor are devices")


@test(needs=["fleet_lies"])
def fleet_again(liar, lied_to, follower):
    """What is not confirmed, of the fleet; and an API that does not wait."""
    process, asked = follower
    not_now = 503, {}, {"detail": "not confirmed", "tag": "RLY718"}
    gone = 404, {}, {"detail": "there is none", "tag": "RLY714"}
    liar.says(not_now, gone)
    tap.is_(lied_to("code", "revoke", "a" * 16).returncode, 0, "503, then 404: it is done")
    liar.says(gone)
    tap.is_(lied_to("code", "revoke", "a" * 16).returncode, 1, "404 alone: there was none")
    liar.says(not_now)
    tap.is_((lied_to("code", "new").returncode, len(liar.seen)), (3, 1),
            "a code, which is shown once, is not asked for again")
    said = process.communicate(timeout=10)[0]
    tap.is_((process.returncode, json.loads(said)), (3, EVENT), "--follow, until 503")
    tap.ok(asked.times[2] - asked.times[1] > 0.9, "… asks no more than once a second")
    paths = [s[1] for s in asked.seen]
    tap.is_(["follow" in p for p in paths], [False, True, True], "… the API waits, if not at first")
    tap.ok(all(f"since={EVENT['id']}" in p for p in paths[1:]), "… for what comes behind", paths)


@test(needs=["lies"])
def opens(rig, liar, lied_to):
    """A device does what the bundle says, and the bundle what the answer says."""
    opened, _ = answers(rig)

    def told(path=None, value=None):
        def answer(i):
            method, _, _, body = liar.seen[i]
            if method != "POST":
                return 204, {}, b""
            asked = json.loads(body)
            key = run(["ssh-keygen", "-lf", "-"], input=asked["public_key"]).stdout.split()[1]
            good = dict(opened, key=key)
            return 201, {}, changed(good, path, value) if path else good

        liar.seen.clear()
        liar.answer = answer

    told()
    result = lied_to("open", "-o", f"{rig.dir}/bundles/told", "http://127.0.0.1:80")
    tap.is_((result.returncode, result.stderr), (0, ""), "what the API says becomes a bundle")
    private = open(f"{rig.dir}/bundles/told/id_relay").read().split("\n")[2]
    tap.ok(private not in str(liar.seen), "the private key does not travel")
    tap.ok(lied_to.token not in liar.seen[0][1], "nor does the token in the URL")
    before = sorted(os.listdir(f"{rig.dir}/bundles"))
    for path, value in OPENINGS:
        told(path, value)
        result = lied_to("open", "-o", f"{rig.dir}/bundles/lie", "http://127.0.0.1:80")
        tap.is_((result.returncode, result.stdout), (1, ""), f"{path}: {value!r}: refused"[:80])
        tap.is_(sorted(os.listdir(f"{rig.dir}/bundles")), before, "… and no bundle is left")
        if path != "id":
            tap.is_(liar.seen[-1][:2], ("DELETE", f"/v1/tunnels/{opened['id']}"), "… it is closed")


@test(needs=["opens"])
def again(rig, liar, lied_to):
    """What is not confirmed is asked for again, under the same key, and happens once."""
    opened, found = answers(rig)
    key = rig.new_key("again")
    opened["key"] = run(["ssh-keygen", "-lf", "-"], input=key).stdout.split()[1]
    problem = {
        "detail": "not confirmed: it was done, but a failover may undo that", "tag": "RLY718"
    }
    not_now = 503, {}, problem
    args = "open", "-k", "-", "http://127.0.0.1:80"
    liar.says(not_now, (201, {}, opened))
    result = lied_to(*args, stdin=key)
    tap.is_(result.returncode, 0, "503, then 201: rly asks again")
    keys = [s[2].get("Idempotency-Key") for s in liar.seen]
    tap.ok(len(keys) == 2 and keys[0] and keys[0] == keys[1], "… under one Idempotency-Key", keys)
    tap.is_(liar.seen[0][3], liar.seen[1][3], "… for the same")
    liar.says(None, (201, {}, opened))
    tap.is_(lied_to(*args, stdin=key).returncode, 0, "a connection that broke: rly asks again")
    tap.is_(len({s[2]["Idempotency-Key"] for s in liar.seen}), 1, "… under one Idempotency-Key")
    tap.ok(liar.seen[0][2]["Idempotency-Key"] not in keys, "which is another one each time")
    liar.says((503, {"Retry-After": "60"}, problem))
    result = lied_to(*args, stdin=key)
    tap.is_((result.returncode, len(liar.seen)), (3, 1), "503 for longer than rly has time: 3")
    tap.like(result.stderr, "not confirmed", "… and it says why")
    liar.says((200, {}, found), not_now, (410, {}, {"detail": "it was closed", "tag": "RLY716"}))
    result = lied_to("close", opened["id"])
    tap.is_(result.returncode, 0, "close: 503, then 410: it is closed")
    liar.says((200, {}, found), (410, {}, {"detail": "it was closed", "tag": "RLY716"}))
    tap.is_(lied_to("close", opened["id"]).returncode, 1, "410 alone: it was closed before")
    liar.says(not_now)
    tap.is_((lied_to("list").returncode, len(liar.seen)), (3, 1),
            "what only reads is not asked again")
    liar.says(not_now)
    tap.is_((lied_to("token", "new").returncode, len(liar.seen)), (3, 1),
            "nor is a token, which is shown once")
    rig.expect("RLY7")


tap.run()
