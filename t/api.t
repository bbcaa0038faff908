#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""mod_relay_api: what it serves is what its document says, in both directions; whatever is wrong
gets its own problem; roles and tenants keep to theirs; a repeat happens once; 100,000 tunnels are
paged as fast as a few. The API has the Redis user that redis-users.conf gives it.
"""
import concurrent.futures
import http.client as http_client
import json
import re
import shlex
import statistics
import subprocess
import time

import jsonschema

from lib import fixture, riglog, tap, test, TOP, wait_for
from lib.apirig import ApiRig

with open(f"{TOP}/mod_relay_api/openapi.json", encoding="utf-8") as f:
    TEXT = f.read()
DOC = json.loads(TEXT)
METHODS = ("get", "post", "patch", "put", "delete", "options")
FREE = ("/v1/health", "/v1/openapi.json")  # no token is asked for
ROLES = ("viewer", "operator", "support", "admin")
tags_seen, checked, invalid = set(), [], []


def resolve(schema):
    while "$ref" in schema:
        at = DOC
        for step in schema["$ref"].split("/")[1:]:
            at = at[step]
        schema = at
    return schema


def operation(method, path):
    """(the path in the document, what stands there for the method)"""
    for pattern, item in DOC["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path.split("?")[0]):
            return pattern, item.get(method.lower())
    return None, None


def problem_schema():
    return {"$ref": "#/components/schemas/Problem"}


def judge(method, path, answer):
    """Holds an answer against the document; what does not fit is kept in `invalid'."""
    what = f"{method} {path}: {answer.status} {answer.text[:200]}"
    pattern, op = operation(method, path)
    media = (answer.headers.get("Content-Type") or "").split(";")[0]
    response = resolve(op["responses"].get(str(answer.status), {})) if op else None
    if op and not response:
        invalid.append(f"the document does not have that answer: {what}")
        return
    checked.append((pattern, method, answer.status))
    if response and "content" not in response:
        if answer.text:
            invalid.append(f"there is a body: {what}")
        return
    schema = response["content"].get(media, {}).get("schema") if op else problem_schema()
    if schema is None:
        invalid.append(f"the document does not have {media}: {what}")
    elif answer.json is not None:
        resolver = jsonschema.RefResolver("", DOC)
        checker = jsonschema.Draft202012Validator(schema, resolver=resolver)
        invalid.extend(f"{error.message}: {what}" for error in checker.iter_errors(answer.json))
        if media == "application/problem+json":
            tags_seen.add(answer.json["tag"])
            if answer.json["request"] != answer.headers["X-Request-Id"]:
                invalid.append(f"two ids of one request: {what}")


class Checked(ApiRig):
    """Each answer is held against the document."""
    def call(self, method, path, *args, **kwargs):
        answer = super().call(method, path, *args, **kwargs)
        if method != "HEAD":
            judge(method, path, answer)
        return answer

    def opens(self, token, expected=201, headers=None, **members):
        body = {"services": ["80"], "public_key": self.new_key(), **members}
        answer = self.call("POST", "/v1/tunnels", token, body, headers)
        if answer.status != expected:
            tap.fail(f"POST /v1/tunnels: {answer.status} instead of {expected}: {answer.text}")
        return answer.json


@fixture
def rig():
    rig = Checked(rlyd=True)
    rig.expect(riglog.DEVICE_GONE, "AH01630: client denied")
    yield rig
    rig.ends_cleanly()
    tap.is_(invalid, [], f"each of {len(checked)} answers is one of the document")


@fixture
def tokens(rig):
    """One of each role of the tenants bern and chur, and of none."""
    yield {(role, tenant): rig.token("--role", role, *(["--tenant", tenant] if tenant else []))
           for role in ROLES for tenant in ("bern", "chur", None)}


# ---- the document


@test
def described(rig, tokens):
    with open(f"{TOP}/mod_relay_api/endpoints.def", encoding="utf-8") as f:
        served = set(re.findall(r'ENDPOINT\("(\w+)", "([^"]+)"', f.read()))
    told = {(m.upper(), p) for p, item in DOC["paths"].items() for m in item if m in METHODS}
    tap.is_(sorted(told), sorted(served), "the document has each path and method, and no other")
    answer = rig.call("GET", "/v1/openapi.json")
    tap.is_(answer.text, TEXT, "it is what is served")
    admin = tokens["admin", None]
    for pattern, item in DOC["paths"].items():
        path = pattern.replace("{id}", "aaaaaaaaaaaaaaaa")
        for method in METHODS:
            answer = rig.call(method.upper(), path, admin)
            if method in item:
                tap.ok(
                    answer.status not in (405, 501) and (answer.json or {}).get("tag") != "RLY704",
                    f"{method} {pattern} is served", answer.text)
            else:
                tap.is_(answer.status, 405, f"{method} {pattern} is not")
                tap.is_(answer.headers["Allow"], ", ".join(m.upper() for m in item if m in METHODS),
                        "… but what it allows")
    validator = jsonschema.Draft202012Validator
    for schema in DOC["components"]["schemas"].values():
        validator.check_schema(schema)
    tap.is_(rig.call("HEAD", "/v1/tunnels", admin).status, 200, "HEAD")


# ---- a tunnel's life


@test
def works(rig, tokens):
    """The whole way, with nothing but what the API answers."""
    device = rig.device("nas")
    operator = tokens["operator", "bern"]
    opened = rig.opens(operator, services=[device.url], device="NAS", names=["nas-bern"], ttl="1h")
    tap.is_(rig.get("nas-bern")[0], 503, "it is open, and not connected")
    with open(f"{rig.dir}/known_hosts", "w") as f:
        f.writelines(f"[{opened['ssh']['host']}]:{opened['ssh']['port']} {key}\n"
                     for key in opened["ssh"]["host_keys"])
    ssh = shlex.split(opened["ssh"]["command"])
    ssh[1:1] = [
        "-F", "none", "-i", f"{rig.dir}/key", "-o", "IdentitiesOnly=yes", "-o",
        f"UserKnownHostsFile={rig.dir}/known_hosts", "-o", "StrictHostKeyChecking=yes"
    ]
    path = f"/v1/tunnels/{opened['id']}"
    with subprocess.Popen(ssh, stdin=subprocess.DEVNULL) as process:
        wait_for(lambda: rig.get("nas-bern")[0] == 200, "the device's page", 20)
        tap.ok(True, "the command and the host keys of the answer connect the device")
        wait_for(lambda: rig.call("GET", path, operator).json["routes"][0]["connected"], "live:", 5)
        peer = rig.call("GET", path, operator).json["routes"][0]["peer"]
        tap.like(peer, r"^127\.0\.0\.1", "the API tells who is connected")
        before = rig.call("GET", path, operator).json["expires"]
        longer = rig.call("PATCH", path, operator, {"ttl": "3h"}).json["expires"]
        tap.ok(longer > before, "PATCH extends")
        tap.is_(
            rig.call("PATCH", path, operator, {"ttl": "1h"}).status, 409, "… and never shortens")
        tap.is_(
            json.loads(rig.rly("show", "--json", "nas-bern").stdout)["id"], opened["id"],
            "rly sees the tunnel")
        tap.is_(rig.call("DELETE", path, operator).status, 204, "DELETE closes")
        tap.is_(rig.status_after("nas-bern"), 410, "… at once")
        process.wait(10)
    tap.is_(rig.call("DELETE", path, operator).status, 410, "it cannot be closed twice")
    tap.is_(rig.call("GET", path, operator).json["state"], "closed", "it is shown for a day")
    events = rig.redis("XRANGE", "relay:events", "-", "+")
    for what in ("open", "extend", "close"):
        tap.like(
            events, rf"what\n{what}\ntunnel\n{opened['id']}\nrelay\nrelay1\nby\ntoken:"
            rf"{operator.split('_')[1]}\nfrom\n127.0.0.1\nrequest\n[a-z2-7]{{24}}\n",
            f"the event `{what}': who, from where, by which request")


@test
def forms(rig, tokens):
    """Members of the request, and the form of the answer."""
    operator = tokens["operator", "bern"]
    full = rig.opens(operator,
                     services=["80", "tcp://127.0.0.1:22"],
                     names=[None, "forms-two"],
                     host="device",
                     forwarded=False,
                     upgrade=["tcp", "spice"],
                     old_tls=True,
                     tls=True,
                     take_over=True,
                     tenant="bern")
    route = full["routes"][0]
    got = [route[k] for k in ("host", "forwarded", "upgrade", "old_tls")]
    tap.is_(got, ["device", False, ["tcp", "spice"], True], "what the service needs")
    tap.is_(full["routes"][1]["name"], "forms-two", "names")
    tap.like(full["ssh"]["command"], "ProxyCommand=openssl", "tls")
    tap.is_(full["tenant"], "bern", "tenant")
    answer = rig.call("GET",
                      f"/v1/tunnels/{full['id']}",
                      operator,
                      headers={"Accept": "text/plain"})
    lines = dict(line.split("=", 1) for line in answer.text.splitlines())
    tap.is_([
        lines["id"], lines["v"], lines["routes.1.name"], lines["ended"], lines["routes.0.forwarded"]
    ], [full["id"], "1", "forms-two", "", "false"], "Accept: text/plain: lines key=value")
    answer = rig.call("GET", "/v1/tunnels/none", operator, headers={"Accept": "text/plain"})
    tap.like(answer.text, r"(?m)^status=404$", "… for problems, too")
    answer = rig.call("GET",
                      "/v1/tunnels",
                      operator,
                      headers={"Accept": "application/json, text/plain"})
    tap.ok(answer.json, "JSON where it is named first")
    tap.is_([answer.headers[h] for h in ("Cache-Control", "X-Content-Type-Options")],
            ["no-store", "nosniff"], "nobody keeps or guesses at an answer")
    tap.is_(rig.call("GET", "/v1/tunnels", operator, http=2).status, 200, "over HTTP/2")
    notes = rig.opens(operator, services=["https://nas.lan"])["warnings"]
    tap.like(notes[0], "nas.lan alone", "warnings")


# ---- what is wrong

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPuF5qldmN+XRXWAm6YRVd+QzUopOoqueV+r03sOTCJZ"


def opening(**members):
    return {"services": ["80"], "public_key": KEY, **members}


DEEP = b"[" * 100000
# (method, path, body, fields, status, tag, the member that is at fault)
WRONG = [
    ("GET", "/v1/", None, {}, 404, "RLY704", None),
    ("GET", "/v1/tunnels/", None, {}, 404, "RLY704", None),
    ("GET", "/v1/tunnels/a/b", None, {}, 404, "RLY704", None),
    ("GET", "/v1/Tunnels", None, {}, 404, "RLY704", None),
    ("GET", "/v1/tunnels/aaaaaaaaaaaaaaaa", None, {}, 404, "RLY714", None),
    ("GET", "/v1/tunnels/A_%0a%1b", None, {}, 404, "RLY714", None),
    ("GET", "/v1/tunnels/" + "a" * 2000, None, {}, 404, "RLY714", None),
    ("PATCH", "/v1/tunnels/aaaaaaaaaaaaaaaa", {"ttl": "1h"}, {}, 404, "RLY714", None),
    ("DELETE", "/v1/tunnels/aaaaaaaaaaaaaaaa", None, {}, 404, "RLY714", None),
    ("DELETE", "/v1/tokens/aaaaaaaaaaaaaaaa", None, {}, 404, "RLY714", None),
    ("GET", "/v1/tunnels?", None, {}, 200, None, None),
    ("GET", "/v1/tunnels?limit", None, {}, 400, "RLY710", "limit"),
    ("GET", "/v1/tunnels?limit=0", None, {}, 400, "RLY710", "limit"),
    ("GET", "/v1/tunnels?limit=201", None, {}, 400, "RLY710", "limit"),
    ("GET", "/v1/tunnels?limit=+1", None, {}, 400, "RLY710", "limit"),
    ("GET", "/v1/tunnels?limit=1&limit=2", None, {}, 400, "RLY710", "limit"),
    ("GET", "/v1/tunnels?device=%zz", None, {}, 400, "RLY710", "device"),
    ("GET", "/v1/tunnels?device=%00", None, {}, 400, "RLY710", "device"),
    ("GET", "/v1/tunnels?device=%ff", None, {}, 400, "RLY710", "device"),
    ("GET", "/v1/tunnels?device=x", None, {}, 400, "RLY710", "device"),
    ("GET", "/v1/tunnels?device=" + "x" * 2000, None, {}, 400, "RLY710", ""),
    ("GET", "/v1/tunnels?id=a&limit=1", None, {}, 400, "RLY710", "id"),
    ("GET", "/v1/tunnels?name=a&key=b", None, {}, 400, "RLY710", "name"),
    ("GET", "/v1/tunnels?name=A_&tenant=x", None, {}, 400, "RLY710", "name"),
    ("GET", "/v1/tunnels?key=x", None, {}, 200, None, None),
    ("GET", "/v1/tunnels?name=-", None, {}, 200, None, None),
    ("GET", "/v1/tunnels?id=%1b", None, {}, 400, "RLY710", "id"),
    ("GET", "/v1/tunnels?cursor=1", None, {}, 400, "RLY710", "cursor"),
    ("GET", "/v1/tunnels?cursor=1-A", None, {}, 400, "RLY710", "cursor"),
    ("GET", "/v1/tunnels?cursor=9999999999999999-a", None, {}, 400, "RLY710", "cursor"),
    ("GET", "/v1/tunnels/aaaaaaaaaaaaaaaa?x=1", None, {}, 400, "RLY710", "x"),
    ("GET", "/v1/tunnels", b"{}", {}, 400, "RLY710", None),
    ("GET", "/v1/tunnels", None, {"Idempotency-Key": "a"}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", opening(), {"Idempotency-Key": "a b"}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", opening(), {"Idempotency-Key": "a" * 256}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", opening(), {"Content-Type": "text/plain"}, 415, "RLY712", None),
    ("POST", "/v1/tunnels", opening(), {"Content-Type": "application/jsonx"}, 415, "RLY712", None),
    ("POST", "/v1/tunnels", b" " * 40000, {}, 413, "RLY711", None),
    ("POST", "/v1/tunnels", b"", {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b"{", {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b"{} x", {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b"[]", {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b"null", {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", DEEP[:30000], {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b'{"ttl":"1h","ttl":"2h"}', {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b'{"ttl":"\\u0000"}', {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b'{"ttl":"\xff"}', {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", b'{"ttl":1e999}', {}, 400, "RLY710", None),
    ("POST", "/v1/tunnels", {}, {}, 400, "RLY710", "services"),
    ("POST", "/v1/tunnels", {"services": ["80"]}, {}, 400, "RLY710", "public_key"),
    ("POST", "/v1/tunnels", opening(Services=[]), {}, 400, "RLY710", "Services"),
    ("POST", "/v1/tunnels", opening(token="x"), {}, 400, "RLY710", "token"),
    ("POST", "/v1/tunnels", opening(services="80"), {}, 400, "RLY710", "services"),
    ("POST", "/v1/tunnels", opening(services=[80]), {}, 400, "RLY710", "services.0"),
    ("POST", "/v1/tunnels", opening(services=[None]), {}, 400, "RLY710", "services.0"),
    ("POST", "/v1/tunnels", opening(services=["80"] * 65), {}, 400, "RLY710", "services"),
    ("POST", "/v1/tunnels", opening(ttl=7), {}, 400, "RLY710", "ttl"),
    ("POST", "/v1/tunnels", opening(tls="yes"), {}, 400, "RLY710", "tls"),
    ("POST", "/v1/tunnels", opening(tls=None), {}, 400, "RLY710", "tls"),
    ("POST", "/v1/tunnels", opening(services=[]), {}, 422, "RLY713", None),
    ("POST", "/v1/tunnels", opening(services=["80"] * 33), {}, 422, "RLY713", None),
    ("POST", "/v1/tunnels", opening(services=["80", "x://y"]), {}, 422, "RLY713", "services.1"),
    ("POST", "/v1/tunnels", opening(names=["A"]), {}, 422, "RLY713", "names.0"),
    ("POST", "/v1/tunnels", opening(names=["a", "b"]), {}, 422, "RLY713", "names"),
    ("POST", "/v1/tunnels", opening(names=["api"]), {}, 409, "RLY715", None),
    ("POST", "/v1/tunnels", opening(host="a b"), {}, 422, "RLY713", "host"),
    ("POST", "/v1/tunnels", opening(upgrade=["h2c"]), {}, 422, "RLY713", "upgrade"),
    ("POST", "/v1/tunnels", opening(ttl="1 h"), {}, 422, "RLY713", "ttl"),
    ("POST", "/v1/tunnels", opening(ttl="0s"), {}, 422, "RLY713", "ttl"),
    ("POST", "/v1/tunnels", opening(ttl="9000d"), {}, 422, "RLY713", "ttl"),
    ("POST", "/v1/tunnels", opening(ttl="3000d"), {}, 409, "RLY715", None),
    ("POST", "/v1/tunnels", opening(device="\x1b"), {}, 422, "RLY713", None),
    ("POST", "/v1/tunnels", opening(device="x" * 201), {}, 422, "RLY713", None),
    ("POST", "/v1/tunnels", opening(public_key="x"), {}, 422, "RLY713", "public_key"),
    ("POST", "/v1/tunnels", opening(public_key=f"{KEY}\n{KEY}"), {}, 422, "RLY713", "public_key"),
    ("POST", "/v1/tunnels", opening(public_key=f'command="x" {KEY}'), {}, 422, "RLY713",
     "public_key"),
    ("PATCH", "/v1/tunnels/aaaaaaaaaaaaaaaa", {}, {}, 400, "RLY710", "ttl"),
    ("PATCH", "/v1/tunnels/aaaaaaaaaaaaaaaa", {"ttl": "x"}, {}, 422, "RLY713", "ttl"),
    ("PATCH", "/v1/tunnels/aaaaaaaaaaaaaaaa", {"ttl": "1h", "x": 1}, {}, 400, "RLY710", "x"),
    ("POST", "/v1/tokens", {"role": "viewer"}, {}, 400, "RLY710", "ttl"),
    ("POST", "/v1/tokens", {"role": "root", "ttl": "1h"}, {}, 422, "RLY713", None),
    ("POST", "/v1/tokens", {"role": "viewer", "ttl": "0s"}, {}, 422, "RLY713", None),
    ("POST", "/v1/tokens", {"role": "viewer", "ttl": "1h", "tenant": "*"}, {}, 422, "RLY713", None),
]


@test
def wrong(rig, tokens):
    admin = tokens["admin", None]
    before = rig.redis("ZCARD", "relay:tunnels"), rig.redis("ZCARD", "relay:tokens")
    faults = []
    for method, path, body, fields, status, tag, member in WRONG:
        answer = rig.call(method, path, admin, body, fields)
        got = (answer.status, (answer.json or {}).get("tag"), (answer.json or {}).get("member"))
        if got != (status, tag, member or None):
            faults.append(f"{method} {path[:60]} {str(body)[:80]}: {got}, not "
                          f"{(status, tag, member)}: {answer.text[:200]}")
    tap.is_(faults, [], f"{len(WRONG)} wrong requests: each has its problem, tag and member")
    after = rig.redis("ZCARD", "relay:tunnels"), rig.redis("ZCARD", "relay:tokens")
    tap.is_(after, before, "none of them has made anything")
    answer = rig.call("POST", "/v1/tunnels", admin, opening(x="\x1b[31m\u202e"))
    with open(f"{rig.dir}/log/relay-api-error.log", "rb") as f:
        log = f.read()
    tap.ok(answer.json["request"].encode() in log, "the log has the id of the request")
    tap.ok(b"\x1b" not in log, "… and nothing that a terminal acts on")


@test
def bodies(rig, tokens):
    """Bodies that are not what was announced end with their connection."""
    head = (f"POST /v1/tunnels HTTP/1.1\r\nHost: api.{rig.domain}\r\nAuthorization: Bearer "
            f"{tokens['operator', 'bern']}\r\nContent-Type: application/json\r\n")
    next_one = f"GET /v1/health HTTP/1.1\r\nHost: api.{rig.domain}\r\nConnection: close\r\n\r\n"
    body = b"%x\r\n%s\r\n" % (8000, b" " * 8000)
    got = rig.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body * 6 + b"0\r\n\r\n" +
                  next_one.encode(),
                  name=f"api.{rig.domain}")
    tap.ok(b"RLY711" in got and got.count(b"HTTP/1.1 ") == 1,
           "a body without end is cut off, and what follows is not taken for a request", got[:300])
    text = json.dumps(opening(services=[])).encode()
    got = rig.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" %
                  (len(text), text) + next_one.encode(),
                  name=f"api.{rig.domain}")
    tap.ok(b"RLY713" in got and b'"status":"ok"' in got,
           "after one that was read the connection serves the next request", got[:300])
    for line in ("Authorization: Bearer ", "Content-Type: application/json"):
        got = rig.raw(head.replace(line, "X-Other: ").encode() + b"Content-Length: 5\r\n\r\nGET /" +
                      next_one.encode(),
                      name=f"api.{rig.domain}")
        tap.is_(got.count(b"HTTP/1.1 "), 1, f"a body that nobody reads is the end of it ({line})")


# ---- tokens


@test
def no_token(rig, tokens):
    token = tokens["admin", None]
    label, id, secret = token.split("_")
    other = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    fields = [
        None, "", "Bearer", "Bearer ", token, f"Basic {token}", f"Bearer {token}x",
        f"Bearer  {token}", f"Bearer {token}, Bearer {token}", f"Bearer {label}_{id}_{other}",
        f"Bearer {label}_{'a' * 16}_{secret}", f"Bearer {label}_{id}_{'*' * 52}",
        "Bearer " + "a" * 7000, f"Bearer {token.upper()}", "Negotiate x", "Bearer \xff"
    ]
    faults = []
    for field in fields:
        answer = rig.call("GET",
                          "/v1/tunnels",
                          headers={"Authorization": field} if field is not None else {})
        if (answer.status, answer.headers["WWW-Authenticate"]) != (401, 'Bearer realm="relay"'):
            faults.append(f"{field}: {answer.status}")
    tap.is_(faults, [], f"{len(fields)} ways of having no token: 401")
    for query in (f"access_token={token}", f"token={token}", f"authorization=Bearer+{token}",
                  f"{token}", f"device={token}&tenant=bern&Authorization=Bearer%20{token}"):
        answer = rig.call("GET", f"/v1/tunnels?{query}")
        tap.is_(answer.status, 400, f"a token in a URL is none: {query[:12]}")
        answer = rig.call("GET", "/v1/tunnels", headers={"Cookie": query})
        tap.is_(answer.status, 401, "… nor in a cookie")
    tap.is_(rig.call("GET", f"/v1/tunnels/{token}").status, 401, "… nor in the path")
    answer = rig.call("GET", "/v1/tunnels", headers={"Authorization": f"BEARER {token}"})
    tap.is_(answer.status, 200, "the same token where it belongs is one")
    for path in FREE:
        tap.is_(rig.call("GET", path).status, 200, f"{path} is for everybody")
    with open(f"{rig.dir}/log/relay-api-error.log", encoding="utf-8", errors="replace") as f:
        tap.ok(secret not in f.read(), "the error log has no token")
    answer = rig.get(f"api.{rig.domain}", "/v2/x")
    tap.is_(answer[0], 403, "nothing else is served there")
    tap.is_(rig.get("nobody", "/v1/health")[0], 404, "nor is the API at a device's name")


@test
def clear(rig, tokens):
    """Without HTTPS no token is taken; a virtual host of the test's own is without."""
    http = http_client.HTTPConnection("127.0.0.1", rig.http_port, timeout=10)
    http.request(
        "GET",
        "/v1/tunnels",
        headers={"Host": f"api.{rig.domain}", "Authorization": f"Bearer {tokens['admin', None]}"})
    answer = http.getresponse()
    said = json.loads(answer.read())
    tags_seen.add(said["tag"])
    tap.is_((answer.status, said["tag"]), (403, "RLY703"), "a token in the clear is refused")
    http.close()


@test
def ends(rig):
    short, gone = rig.token("-t", "1s"), rig.token()
    tap.is_([rig.call("GET", "/v1/tunnels", t).status for t in (short, gone)], [200, 200],
            "two tokens")
    rig.rly("token", "revoke", gone.split("_")[1])
    tap.is_(rig.call("GET", "/v1/tunnels", gone).status, 401, "revoked: at once")
    wait_for(lambda: rig.call("GET", "/v1/tunnels", short).status == 401, "the end of a token", 5)
    tap.ok(True, "and it ends in time")
    broken = rig.token("--tenant", "bern")
    record = f"relay:token:{broken.split('_')[1]}"
    rig.expect("RLY719 record token:")
    for field, value in (("tenant", ""), ("role", "root"), ("v", "9")):
        before = rig.redis("HGET", record, field)
        rig.redis("HSET", record, field, value)
        tap.is_(
            rig.call("GET", "/v1/tunnels", broken).status, 500,
            f"a record that cannot be used ({field}) lets nobody in")
        rig.redis("HSET", record, field, before)
    tap.is_(rig.call("GET", "/v1/tunnels", broken).status, 200, "(it does when it is mended)")


@test
def roles(rig, tokens):
    tunnel = rig.opens(tokens["operator", "bern"])["id"]
    may = {
        "GET /v1/tunnels": ROLES, "POST /v1/tunnels": ("operator", "admin"), "GET /v1/tunnels/{id}":
        ROLES, "PATCH /v1/tunnels/{id}": ("operator", "admin"), "DELETE /v1/tunnels/{id}":
        ("operator", "admin"), "GET /v1/tokens": ("admin", ), "POST /v1/tokens": ("admin", ),
        "DELETE /v1/tokens/{id}": ("admin", )
    }
    told = {
        f"{m.upper()} {p}"
        for p, item in DOC["paths"].items() for m in item if m in METHODS and p not in FREE
    }
    tap.is_(sorted(told), sorted(may), "each thing that wants a token")
    for what, who in may.items():
        method, path = what.replace("{id}", tunnel).split()
        for role in ROLES:
            body = {} if method in ("POST", "PATCH") else None
            answer = rig.call(method, path, tokens[role, "bern"], body)
            tap.is_(answer.status == 403, role not in who,
                    f"{role}: {what}: {'yes' if role in who else 'no'}")


@test
def rate(rig, tokens):
    """At a virtual host of RelayAPIRate 5."""
    token = rig.token()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: rig.call("GET", "/v1/tunnels", token, label="narrow"), range(12)))
    got = sorted(a.status for a in answers)
    tap.is_(got, [200] * 5 + [429] * 7, "five a minute are let in, however they come")
    late = [a for a in answers if a.status == 429]
    tap.is_({a.json["tag"] for a in late}, {"RLY709"}, "the others are told")
    tap.ok(all(1 <= int(a.headers["Retry-After"]) <= 12 for a in late), "… when to go on",
           [a.headers["Retry-After"] for a in late])
    tap.is_(
        rig.call("GET", "/v1/tunnels", tokens["viewer", None], label="narrow").status, 200,
        "another token is not held up")
    tap.is_(rig.redis("PTTL", f"relay:rate:{token.split('_')[1]}").isdigit(), True, "Redis counts")


# ---- tenants


@test
def tenants(rig, tokens):
    """What a tenant's token sees and may, beside a positive control."""
    bern, chur, all = (tokens["admin", t] for t in ("bern", "chur", None))
    mine = rig.opens(bern, device="NAS of Bern", names=["tenants-one"])
    path = f"/v1/tunnels/{mine['id']}"
    nothing = "/v1/tunnels/aaaaaaaaaaaaaaaa"
    for method, body in (("GET", None), ("PATCH", {"ttl": "5h"}), ("DELETE", None)):
        foreign, missing = (rig.call(method, p, chur, body) for p in (path, nothing))
        words = foreign.json["detail"].replace(mine["id"], "aaaaaaaaaaaaaaaa")
        tap.is_((foreign.status, words), (missing.status, missing.json["detail"]),
                f"{method}: another's tunnel is answered as one that is not there")
        tap.is_(foreign.status, 404, "… 404")
    for _ in range(8):  # rlyd asks Redis, too, now and then
        asked = []
        for p in (path, nothing):
            rig.redis("CONFIG", "RESETSTAT")
            rig.call("GET", p, chur)
            stats = rig.redis("INFO", "commandstats")
            asked.append(sorted(re.findall(r"cmdstat_(\w+):calls=(\d+)", stats)))
        if asked[0] == asked[1]:
            break
    tap.is_(asked[0], asked[1], "… after the same work of Redis: it takes the same time")
    tap.is_(rig.call("GET", path, all).json["id"], mine["id"], "a token of all sees it")
    tap.is_(rig.call("GET", path, bern).json["tenant"], "bern", "and so does its own tenant's")
    for token, expected in ((bern, True), (all, True), (chur, False)):
        for query in ("?limit=200", "?tenant=bern&limit=200", "?tenant=bern&device=NAS%20of+Bern",
                      f"?id={mine['id']}", "?name=tenants-one",
                      "?key=" + mine["key"].replace("+", "%2B")):
            ids = [t["id"] for t in rig.call("GET", "/v1/tunnels" + query, token).json["tunnels"]]
            tap.is_(mine["id"] in ids, expected, f"listed {query}: {expected}")
    cursor = f"{int(time.time() * 1000)}-{mine['id']}"
    listed = rig.call("GET", f"/v1/tunnels?cursor={cursor}", chur).json["tunnels"]
    tap.is_({t["tenant"] for t in listed} - {"chur"}, set(), "another's cursor shows nothing")
    for members in ({"tenant": "bern"}, {"tenant": "elsewhere"}):
        answer = rig.call("POST", "/v1/tunnels", chur, opening(**members))
        tap.is_((answer.status, answer.json.get("member")), (403, "tenant"),
                f"nobody opens for another tenant: {members}")
    tap.is_(rig.opens(all, tenant="bern")["tenant"], "bern", "a token of all does")
    tap.is_(rig.opens(all)["tenant"], None, "… and for nobody")


@test(needs=["tenants"])
def borders(rig, tokens):
    """What one tenant has says nothing to another, nor does its label open a name to it."""
    bern, chur, all = (tokens["operator", t] for t in ("bern", "chur", None))
    key = rig.new_key("shared")
    mine = rig.opens(bern, public_key=key, device="NAS", names=["borders-one"])
    for token, told in ((chur, False), (bern, True), (all, True)):
        answer = rig.call("POST", "/v1/tunnels", token, opening(public_key=key))
        tap.is_((answer.status, mine["id"] in answer.text), (409, told),
                f"a key that is in use: the other tunnel is named: {told}")
    rig.call("DELETE", f"/v1/tunnels/{mine['id']}", bern)
    for members in ({}, {"take_over": True}, {"device":
                                              "NAS"}, {"device": "NAS", "take_over": True}):
        answer = rig.call("POST", "/v1/tunnels", chur, opening(names=["borders-one"], **members))
        tap.is_((answer.status, "NAS" in answer.text), (409, False),
                f"a name that was another tenant's: {members}: refused, without its device")
    answer = rig.call("POST", "/v1/tunnels", bern, opening(names=["borders-one"], device="other"))
    tap.is_((answer.status, "NAS" in answer.text), (409, True), "its own tenant is told")
    again = rig.opens(bern, names=["borders-one"], device="NAS")
    tap.is_(again["warnings"], [], "… and has it with the same label")
    rig.call("DELETE", f"/v1/tunnels/{again['id']}", bern)
    taken = rig.opens(all, names=["borders-one"], tenant="chur", take_over=True)
    tap.like(taken["warnings"][0], "taken over", "who sees both may take it over")


@test
def admins(rig, tokens):
    bern, chur, all = (tokens["admin", t] for t in ("bern", "chur", None))
    made = rig.call("POST", "/v1/tokens", bern, {"role": "viewer", "ttl": "1h", "label": "x"}).json
    tap.is_((made["tenant"], made["by"]), ("bern", f"token:{bern.split('_')[1]}"),
            "a tenant's admin makes tokens of his tenant")
    tap.is_(rig.call("GET", "/v1/tunnels", made["token"]).status, 200, "… which let in")
    for tenant in ("chur", "bern-2"):
        answer = rig.call("POST", "/v1/tokens", bern,
                          {"role": "viewer", "ttl": "1h", "tenant": tenant})
        tap.is_(answer.status, 403, "and of no other")
    for token, expected in ((bern, True), (chur, False), (all, True)):
        ids = [t["id"] for t in rig.call("GET", "/v1/tokens?limit=200", token).json["tokens"]]
        tap.is_(made["id"] in ids, expected, f"it is listed: {expected}")
    tap.is_(rig.call("DELETE", f"/v1/tokens/{made['id']}", chur).status, 404, "another's: 404")
    tap.is_(rig.call("GET", "/v1/tunnels", made["token"]).status, 200, "… and it lives")
    child = rig.call("POST", "/v1/tokens", bern, {"role": "admin", "ttl": "1h"}).json
    grand = rig.call("POST", "/v1/tokens", child["token"], {"role": "viewer", "ttl": "1h"}).json
    tap.is_(
        rig.call("DELETE", f"/v1/tokens/{child['id']}", bern).json["revoked"],
        [child["id"], grand["id"]], "revoked")
    tap.is_(
        rig.call("GET", "/v1/tunnels", grand["token"]).status, 401,
        "… and what was made with it, too")


@test
def token_pages(rig, tokens):
    """Tokens are paged as tunnels are; those of a tenant have a list of their own."""
    admin = rig.token("--role", "admin", "--tenant", "pages", "-t", "2d")
    ids = [rig.token("--tenant", "pages", "-t", f"{n}h").split("_")[1] for n in range(1, 6)]
    rig.token("--tenant", "pages-2")
    found, cursor = [], ""
    while cursor is not None:
        answer = rig.call("GET", f"/v1/tokens?limit=2{cursor and '&cursor=' + cursor}", admin).json
        found.append([t["id"] for t in answer["tokens"]])
        cursor = answer["next"]
    tap.is_(found, [ids[:2], ids[2:4], [ids[4], admin.split("_")[1]]], "three pages of two")
    rig.call("DELETE", f"/v1/tokens/{ids[1]}", admin)
    listed = rig.call("GET", "/v1/tokens", admin).json["tokens"]
    tap.is_([t["id"] for t in listed], [ids[0], *ids[2:], admin.split("_")[1]], "one is revoked")
    chur = tokens["admin", "chur"]
    for token, expected in ((tokens["admin", None], 5), (admin, 5), (chur, 0)):
        listed = rig.call("GET", "/v1/tokens?tenant=pages", token).json["tokens"]
        tap.is_(len(listed), expected, "those of one tenant, for who may see them")
    tap.is_(rig.redis("ZCARD", "relay:tokens:pages"), "5",
            "… and nothing of it is left in the list")


# ---- once


@test
def once(rig, tokens):
    token, other = tokens["operator", "bern"], tokens["admin", "bern"]
    body = opening(public_key=rig.new_key(), device="once", services=["80", "tcp://127.0.0.1:22"])
    fields = {"Idempotency-Key": "a-key"}

    def post(_):
        return rig.call("POST", "/v1/tunnels", token, body, fields)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))
    tap.is_({a.status for a in answers}, {201}, "16 at once under one Idempotency-Key: all 201")
    tap.is_(len({a.text for a in answers}), 1, "… with the same answer")
    id = answers[0].json["id"]
    events = rig.redis("XRANGE", "relay:events", "-", "+")
    tap.is_(len(re.findall(rf"what\nopen\ntunnel\n{id}\n", events)), 1, "… and it happened once")
    answer = rig.call("POST", "/v1/tunnels", token, dict(body, device="x"), fields)
    tap.is_((answer.status, answer.json["tag"]), (422, "RLY717"), "something else under it: 422")
    answer = rig.call("POST", "/v1/tunnels", other, body, fields)
    tap.is_(answer.status, 409, "another token's key is another key")
    rig.call("DELETE", f"/v1/tunnels/{id}", token)
    tap.is_(post(0).text, answers[0].text, "the answer is the same when the tunnel has ended")
    tap.is_(rig.call("GET", f"/v1/tunnels/{id}", token).json["state"], "closed", "… and opens none")
    ttl = [int(rig.redis("TTL", k)) for k in rig.redis("KEYS", "relay:once:*").split("\n")]
    tap.ok(all(86000 < t <= 86400 for t in ttl), "it is known for a day", ttl)
    admin = tokens["admin", "chur"]
    want = {"role": "viewer", "ttl": "1h"}
    first, second = (rig.call("POST", "/v1/tokens", admin, want, fields) for _ in range(2))
    tap.is_((first.status, second.status), (201, 409), "a token is made once")
    tap.ok(first.json["id"] in second.text and first.json["token"] not in second.text,
           "… whose id a repeat tells")
    wrong = opening(public_key=rig.new_key(), names=["api"])
    fields = {"Idempotency-Key": "b-key"}
    tap.is_(rig.call("POST", "/v1/tunnels", token, wrong, fields).status, 409, "what was refused")
    right = dict(wrong, names=[None])
    tap.is_(
        rig.call("POST", "/v1/tunnels", token, right, fields).status, 201, "… leaves its key free")


# ---- many

MANY = """
local tenant, n, ties = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000
for i = 1, n do
  local id = string.format('%s%07d', tenant, i)
  local ends = string.format('%.0f', now + 3600000 + math.floor(i / ties))
  redis.call('HSET', 'relay:tunnel:' .. id, 'v', 1, 'id', id, 'device', 'd' .. i % 1000, 'relay',
    'relay1', 'key', 'SHA256:x', 'created', now, 'expires', ends, 'state', 'open', 'by', 'x',
    'tenant', tenant, 'routes', 1, 'name.0', id, 'listen.0', '127.77.0.5:10000',
    'service.0', 'http://127.0.0.1')
  redis.call('ZADD', 'relay:tunnels', ends, id)
  redis.call('ZADD', 'relay:tenant:' .. tenant, ends, id)
  redis.call('ZADD', 'relay:label:' .. tenant .. ':d' .. i % 1000, ends, id)
end
"""


def pages(rig, token, query):
    """All ids, page by page."""
    found, cursor = [], ""
    while cursor is not None:
        answer = rig.call("GET", f"/v1/tunnels?{query}{cursor and '&cursor=' + cursor}", token)
        found += [t["id"] for t in answer.json["tunnels"]]
        cursor = answer.json["next"]
    return found


def cost(rig, token, query, tries=15):
    times = []
    for _ in range(tries):
        begun = time.monotonic()
        answer = rig.call("GET", f"/v1/tunnels?limit=50&{query}", token)
        times.append(time.monotonic() - begun)
        if len(answer.json["tunnels"]) != 50:
            tap.fail(f"a page of 50: {answer.text[:200]}")
    return statistics.median(times) * 1000


@test
def many(rig):
    few, big, all = rig.token("--tenant", "few"), rig.token("--tenant", "big"), rig.token()
    rig.redis("EVAL", MANY, "0", "few", "1000", "700")
    found = pages(rig, few, "limit=200")
    tap.is_(found, [f"few{i:07}" for i in range(1, 1001)],
            "1,000 tunnels of which 700 end in the same millisecond: each is there, once")
    tap.is_(pages(rig, few, "limit=7&device=d5"), ["few0000005"], "those of one device")
    closed = rig.call("GET", "/v1/tunnels?limit=2", few).json
    rig.redis("ZREM", "relay:tenant:few", "few0000002")
    after = rig.call("GET", f"/v1/tunnels?limit=1&cursor={closed['next']}", few).json["tunnels"]
    tap.is_(after[0]["id"], "few0000003", "a cursor holds when its tunnel is closed")
    before = cost(rig, few, "")
    for part in range(10):
        rig.redis("EVAL", MANY.replace("1, n do", f"{part * 10000} + 1, {part * 10000} + n do"),
                  "0", "big", "10000", "10")
    tap.is_(rig.redis("ZCARD", "relay:tenant:big"), "100000", "100,000 tunnels")
    middle = rig.redis("ZRANGE", "relay:tenant:big", "50000", "50000", "WITHSCORES").split("\n")
    took = {
        "the first page": cost(rig, big, ""), "in the middle":
        cost(rig, big, f"cursor={middle[1]}-{middle[0]}"), "one device's":
        cost(rig, big, "device=d5"), "of all tenants": cost(rig, all,
                                                            f"cursor={middle[1]}-{middle[0]}")
    }
    tap.diag(f"a page of 50 with 1,000 tunnels {before:.1f} ms; with 100,000 " +
             ", ".join(f"{k} {v:.1f}" for k, v in took.items()))
    tap.ok(
        max(took.values()) < 10 * before + 50, "a page of 100,000 costs what one of a few does",
        took)
    rig.redis(
        "EVAL", "for _, k in ipairs(redis.call('KEYS', 'relay:tunnel:*')) do if k:match("
        "':few%d') or k:match(':big%d') then redis.call('DEL', k) end end "
        "redis.call('DEL', 'relay:tunnels')", "0")


# ---- Redis


@test
def redis_away(rig, tokens):
    rig.expect(r"RLY718 ", r"RLY11[01] ", r"RLY43[01] ", "RLY120 ")
    token = tokens["viewer", None]
    rig.servers["redis"].kill()
    answer = rig.call("GET", "/v1/tunnels", token)
    tap.is_((answer.status, answer.json["tag"]), (503, "RLY718"), "Redis is away: 503")
    tap.is_(answer.headers["Retry-After"], "1", "… with Retry-After")
    tap.unlike(answer.text, "redis.sock", "… and without saying where Redis is")
    tap.is_(rig.call("GET", "/v1/health").status, 503, "health says so")
    tap.is_(rig.call("GET", "/v1/openapi.json").status, 200, "the document is served")
    begun = time.monotonic()
    for _ in range(50):
        rig.call("POST", "/v1/tunnels", token, opening())
    tap.ok(time.monotonic() - begun < 10, "nobody waits for it")
    rig.servers["redis"].start()
    wait_for(lambda: rig.call("GET", "/v1/health").status == 200, "Redis is back", 10)
    token = rig.token()
    # After a failure one call tries, alone, in each process.
    time.sleep(0.3)
    for _ in range(30):
        rig.call("GET", "/v1/tunnels", token)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: rig.call("GET", "/v1/tunnels", token).status, range(48)))
    tap.is_(set(got), {200}, "and all is well again, whichever connection is used")


@test(needs=["wrong", "no_token", "clear", "ends", "rate", "once", "redis_away", "works", "roles"])
def all_tags(rig):
    with open(f"{TOP}/mod_relay_api/answer.c", encoding="utf-8") as f:
        tags = set(re.findall(r'"(RLY7\d\d)"\}', f.read()))
    tap.is_(sorted(tags - tags_seen), [], "each problem was there")


tap.run()
