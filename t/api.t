#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""mod_relay_api: what it serves is what its document says, in both directions; whatever is wrong
gets its own problem; roles and tenants keep to theirs; a repeat happens once; 100,000 tunnels are
paged as fast as a few. The API has the Redis user that redis-users.conf gives it.
"""
import collections
import concurrent.futures
import hashlib
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
FREE = ("/v1/health", "/v1/openapi.json")  # no token is asked for, nor at /v1/enrol
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
    answer = rig.call("TRACE", "/v1/tunnels", admin)
    tap.is_((answer.status, admin in answer.text), (405, False), "TRACE does not show the token")


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
    later = ["sh", "-c", 'sleep 0.5; exec "$@"', "sh", *ssh]
    begun = time.monotonic()
    with subprocess.Popen(later, stdin=subprocess.DEVNULL) as process:
        up = rig.call("GET", f"{path}?wait=up", operator).json["routes"][0]["connected"]
        tap.ok(up and 0.5 < time.monotonic() - begun < 20,
               "the answer's command and host keys connect the device, and ?wait=up answers then",
               up)
        tap.is_(rig.get("nas-bern")[0], 200, "the device's page")
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
    tap.is_(
        rig.call("GET", f"{path}?wait=up", operator).json["state"], "closed",
        "it is shown for a day, and not waited for")
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
    ("PATCH", "/v1/tunnels/aaaaaaaaaaaaaaaa", {"ttl": "0s"}, {}, 422, "RLY713", "ttl"),
    ("PATCH", "/v1/tunnels/aaaaaaaaaaaaaaaa", {"ttl": "1h", "x": 1}, {}, 400, "RLY710", "x"),
    ("POST", "/v1/enrolment-codes", {}, {}, 400, "RLY710", "ttl"),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "uses": 0}, {}, 422, "RLY713", None),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "uses": 100001}, {}, 422, "RLY713", None),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "uses": -1}, {}, 400, "RLY710", "uses"),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "uses": 1.5}, {}, 400, "RLY710", "uses"),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "uses": "1"}, {}, 400, "RLY710", "uses"),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "uses": 10**19}, {}, 400, "RLY710", None),
    ("POST", "/v1/enrolment-codes", {"ttl": "0s"}, {}, 422, "RLY713", None),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "tenant": "*"}, {}, 422, "RLY713", None),
    ("POST", "/v1/enrolment-codes", {"ttl": "1h", "label": "\x1b"}, {}, 422, "RLY713", None),
    ("DELETE", "/v1/enrolment-codes/aaaaaaaaaaaaaaaa", None, {}, 404, "RLY714", None),
    ("GET", "/v1/enrolment-codes/aaaaaaaaaaaaaaaa", None, {}, 405, "RLY705", None),
    ("GET", "/v1/devices/aaaaaaaaaaaaaaaa", None, {}, 404, "RLY714", None),
    ("GET", "/v1/devices/A_%0a%1b", None, {}, 404, "RLY714", None),
    ("GET", "/v1/devices?cursor=x", None, {}, 400, "RLY710", "cursor"),
    ("DELETE", "/v1/devices/aaaaaaaaaaaaaaaa", None, {}, 404, "RLY714", None),
    ("PATCH", "/v1/devices/aaaaaaaaaaaaaaaa", {"approved": True}, {}, 404, "RLY714", None),
    ("PATCH", "/v1/devices/aaaaaaaaaaaaaaaa", {}, {}, 400, "RLY710", None),
    ("PATCH", "/v1/devices/aaaaaaaaaaaaaaaa", {"approved": 1}, {}, 400, "RLY710", "approved"),
    ("PATCH", "/v1/devices/aaaaaaaaaaaaaaaa", {"label": ""}, {}, 422, "RLY713", "label"),
    ("PATCH", "/v1/devices/aaaaaaaaaaaaaaaa", {"label": "\u202e"}, {}, 422, "RLY713", None),
    ("PATCH", "/v1/devices/aaaaaaaaaaaaaaaa", {"tenant": "x"}, {}, 400, "RLY710", "tenant"),
    ("GET", "/v1/relays/relay9", None, {}, 404, "RLY714", None),
    ("GET", "/v1/relays/A", None, {}, 404, "RLY714", None),
    ("GET", "/v1/relays?limit=1", None, {}, 400, "RLY710", "limit"),
    ("PATCH", "/v1/relays/relay9", {"draining": True}, {}, 404, "RLY714", None),
    ("PATCH", "/v1/relays/relay1", {}, {}, 400, "RLY710", "draining"),
    ("PATCH", "/v1/relays/relay1", {"draining": "on"}, {}, 400, "RLY710", "draining"),
    ("POST", "/v1/enrol", {}, {}, 400, "RLY710", "code"),
    ("POST", "/v1/enrol", {"code": "x"}, {}, 404, "RLY714", None),
    ("POST", "/v1/enrol", {"code": "a" * 20}, {}, 404, "RLY714", None),
    ("POST", "/v1/enrol", {"code": "a" * 21}, {}, 404, "RLY714", None),
    ("POST", "/v1/enrol", {"code": "a" * 20, "name": "x" * 201}, {}, 422, "RLY713", None),
    ("POST", "/v1/enrol", {"code": "a" * 20, "tenant": "bern"}, {}, 400, "RLY710", "tenant"),
    ("POST", "/v1/enrol?code=x", {"code": "a" * 20}, {}, 400, "RLY710", "code"),
    ("GET", "/v1/events?since=x", None, {}, 400, "RLY710", "since"),
    ("GET", "/v1/events?since=-1", None, {}, 400, "RLY710", "since"),
    ("GET", "/v1/events?since=1-1-1", None, {}, 400, "RLY710", "since"),
    ("GET", "/v1/events?since=1-", None, {}, 400, "RLY710", "since"),
    ("GET", "/v1/events?since=9999999999999999", None, {}, 400, "RLY710", "since"),
    ("GET", "/v1/events?since=999999999999999-999999999", None, {}, 200, None, None),
    ("GET", "/v1/events?limit=0", None, {}, 400, "RLY710", "limit"),
    ("GET", "/v1/events?follow=31", None, {}, 400, "RLY710", "follow"),
    ("GET", "/v1/events?follow=x", None, {}, 400, "RLY710", "follow"),
    ("GET", "/v1/events?cursor=1-a", None, {}, 400, "RLY710", "cursor"),
    ("GET", "/v1/tunnels/a2345674e7e3cg5c?wait=down", None, {}, 400, "RLY710", "wait"),
    ("POST", "/v1/tokens", {"role": "viewer"}, {}, 400, "RLY710", "ttl"),
    ("POST", "/v1/tokens", {"role": "root", "ttl": "1h"}, {}, 422, "RLY713", None),
    ("POST", "/v1/tokens", {"role": "viewer", "ttl": "0s"}, {}, 422, "RLY713", "ttl"),
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
    tags_seen.add(said.get("tag"))
    tap.is_((answer.status, said.get("tag")), (403, "RLY703"), "a token in the clear is refused")
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
        "DELETE /v1/tokens/{id}": ("admin", ), "GET /v1/events": ROLES, "GET /v1/relays": ROLES,
        "GET /v1/relays/{id}": ROLES, "PATCH /v1/relays/{id}": ("admin", ), "GET /v1/devices":
        ROLES, "GET /v1/devices/{id}": ROLES, "PATCH /v1/devices/{id}": ("operator", "admin"),
        "DELETE /v1/devices/{id}": ("operator", "admin"), "GET /v1/enrolment-codes": ("admin", ),
        "POST /v1/enrolment-codes": ("admin", ), "DELETE /v1/enrolment-codes/{id}": ("admin", )
    }
    told = {
        f"{m.upper()} {p}"
        for p, item in DOC["paths"].items() for m in item
        if m in METHODS and p not in (*FREE, "/v1/enrol")
    }
    tap.is_(sorted(told), sorted(may), "each thing that wants a token")
    for what, who in may.items():
        method, path = what.replace("{id}", tunnel).split()
        for role in ROLES:
            body = {} if method in ("POST", "PATCH") else None
            answer = rig.call(method, path, tokens[role, None if "/relays" in path else "bern"],
                              body)
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
        words = [
            re.sub('"request": ?"[^"]*"', "", a.text.replace(mine["id"], "aaaaaaaaaaaaaaaa"))
            for a in (foreign, missing)
        ]
        tap.is_(words[0], words[1],
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


# ---- devices


def code_of(rig, token, expected=201, **members):
    answer = rig.call("POST", "/v1/enrolment-codes", token, {"ttl": "1h", **members})
    tap.is_(answer.status, expected, f"POST /v1/enrolment-codes {members}: {expected}")
    return answer.json


def enrols(rig, code, key=None, **members):
    return rig.call("POST", "/v1/enrol", None, {"code": code, **members},
                    {"Idempotency-Key": key} if key else None)


@test
def enrol(rig, tokens):
    """A code lets so many devices into its tenant, however they come; nobody has their tokens."""
    admin = tokens["admin", "bern"]
    code = code_of(rig, admin, uses=3, label="tills")
    tap.is_([code[k] for k in ("tenant", "uses", "used", "approval", "label")],
            ["bern", 3, 0, False, "tills"], "a code of the admin's own tenant")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: enrols(rig, code["code"], name=f"till {n}"), range(8)))
    tap.is_(sorted(a.status for a in answers), [201] * 3 + [409] * 5, "8 at once, 3 are let in")
    made = [a.json for a in answers if a.status == 201]
    tap.is_([(d["tenant"], d["approved"]) for d in made], [("bern", True)] * 3, "… into it")
    tap.like(made[0]["trackers"][0], f"^https://api.{rig.domain}", "they are told where to call")
    tap.is_(len({d["token"] for d in made}), 3, "each has a token of its own")
    listed = rig.call("GET", "/v1/enrolment-codes", admin)
    tap.is_([c["used"] for c in listed.json["codes"] if c["id"] == code["id"]], [3], "counted")
    everything = rig.redis(
        "EVAL", "local r = {} for _, k in ipairs(redis.call('KEYS', 'relay:*')) do "
        "r[#r + 1] = redis.call('DUMP', k) end return r", "0") + listed.text
    word = code["code"].replace("-", "")
    tap.ok(not any(s in everything for s in (code["code"], word, made[0]["token"].split("_")[2])),
           "neither the code nor a token is kept")
    tap.ok(code["id"] in everything and made[0]["device"] in everything, "(their ids are)")
    tap.is_(
        rig.call("GET", "/v1/tunnels", made[0]["token"]).status, 401,
        "a device's token is none of the API's")
    events = happened_to(rig, admin, "enrol")
    tap.is_(sorted(e["details"]["id"] for e in events), sorted(d["device"] for d in made), "events")
    tap.is_((events[0]["by"], events[0]["from"]), (f"code:{code['id']}", "127.0.0.1"), "… say who")
    answer = rig.call("POST",
                      "/v1/enrol",
                      None, {"code": code_of(rig, admin)["code"]},
                      label="narrow")
    tap.is_(answer.json["trackers"], ["https://one.example", "https://two.example:8443/x"],
            "RelayAPITrackers")
    typed = code_of(rig, admin)["code"].upper().replace("-", " ")
    answer = enrols(rig, f" {typed}").json
    tap.is_(answer["label"], answer["device"], "capitals and blanks do not matter, nor a name")


def happened_to(rig, token, what):
    page = rig.call("GET", "/v1/events?limit=200", token).json
    return [e for e in page["events"] if e["what"] == what]


@test
def enrol_again(rig, tokens):
    """A device whose answer was lost asks again, and is one device."""
    admin = tokens["admin", "bern"]
    code = code_of(rig, admin, approval=True)
    first, again = (enrols(rig, code["code"], "k", name="x").json for _ in range(2))
    tap.is_((again["device"], again["approved"]), (first["device"], False), "the same device")
    tap.ok(again["token"] != first["token"] and first["device"] in again["token"],
           "… with another token of its own id")
    secret = again["token"].split("_")[2].encode()
    tap.is_(rig.redis("HGET", f"relay:device:{first['device']}", "hash"),
            hashlib.sha256(secret).hexdigest(), "… which is the one that counts")
    tap.is_(enrols(rig, code["code"], "k", name="y").status, 422, "another request under the key")
    tap.is_(enrols(rig, code["code"], "l", name="x").status, 409, "another key is another device")
    rig.redis("HSET", f"relay:device:{first['device']}", "seen", "1999999999999")
    tap.is_(
        enrols(rig, code["code"], "k", name="x").status, 409, "once the token was used it stays")
    rig.call("DELETE", f"/v1/devices/{first['device']}", admin)
    tap.is_(enrols(rig, code["code"], "k", name="x").status, 410, "and a removed one stays removed")
    rig.call("DELETE", f"/v1/enrolment-codes/{code['id']}", admin)
    tap.is_(enrols(rig, code["code"], "k", name="x").status, 404, "a code that was revoked is none")
    short = code_of(rig, admin, uses=9, ttl="1s")
    tap.is_(enrols(rig, short["code"]).status, 201, "a short one")
    wait_for(lambda: enrols(rig, short["code"]).status == 404, "the end of a code", 5)


@test
def devices(rig, tokens):
    """Devices and codes of a tenant are there for that tenant alone."""
    bern, chur, all = (tokens["operator", "bern"], tokens["operator", "chur"], tokens["operator",
                                                                                      None])
    code = code_of(rig, tokens["admin", "bern"], uses=3, approval=True)
    ids = [enrols(rig, code["code"], name=f"d{n}").json["device"] for n in range(3)]
    path = f"/v1/devices/{ids[0]}"
    nothing = "/v1/devices/aaaaaaaaaaaaaaaa"
    for method, body in (("GET", None), ("PATCH", {"approved": True}), ("DELETE", None)):
        foreign, missing = (rig.call(method, p, chur, body) for p in (path, nothing))
        words = (foreign.json or {}).get("detail", "").replace(ids[0], "aaaaaaaaaaaaaaaa")
        tap.is_((foreign.status, words), (404, missing.json["detail"]),
                f"{method}: another's device is answered as one that is not there")
    for token, expected in ((bern, True), (all, True), (chur, False)):
        for query in ("?limit=200", "?limit=200&tenant=bern"):
            listed = rig.call("GET", "/v1/devices" + query, token).json["devices"]
            tap.is_(ids[0] in [d["id"] for d in listed], expected, f"listed{query}: {expected}")
    one = rig.call("GET", "/v1/devices?limit=1&tenant=bern", all).json
    two = rig.call("GET", f"/v1/devices?limit=200&tenant=bern&cursor={one['next']}", all).json
    tap.is_([d["id"] for d in one["devices"] + two["devices"]][-3:], ids, "paged, the oldest first")
    tap.is_(two["next"], None, "… to the end")
    tap.is_(
        rig.call("GET", path, bern).json["approved"], False, "its own tenant sees that it waits")
    changed = rig.call("PATCH", path, bern, {"approved": True, "label": "till 7"}).json
    tap.is_((changed["approved"], changed["label"]), (True, "till 7"), "… and approves it")
    tap.is_(rig.call("PATCH", path, bern, {"approved": False}).json["approved"], False, "… or not")
    tap.is_([len(happened_to(rig, bern, w)) for w in ("approve", "label", "suspend")], [1, 1, 1],
            "events")
    foreign = rig.call("DELETE", f"/v1/enrolment-codes/{code['id']}", tokens["admin", "chur"])
    tap.is_((foreign.status, enrols(rig, code["code"]).status), (404, 409), "another's code lives")
    for tenant, expected in (("bern", True), ("chur", False), (None, True)):
        codes = rig.call("GET", "/v1/enrolment-codes", tokens["admin", tenant]).json["codes"]
        tap.is_(code["id"] in [c["id"] for c in codes], expected, f"its admins see it: {expected}")
    code_of(rig, tokens["admin", "chur"], 403, tenant="bern")
    tap.is_(rig.call("DELETE", path, bern).status, 204, "removed")
    tap.is_(rig.call("GET", path, bern).status, 404, "… and gone")
    again = rig.call("GET", "/v1/devices?limit=200", bern).json["devices"]
    tap.ok(ids[0] not in [d["id"] for d in again] and ids[1] in [d["id"] for d in again], "… alone")
    fields = {"Idempotency-Key": "c"}
    want = {"ttl": "1h"}
    first, second = (rig.call("POST", "/v1/enrolment-codes", tokens["admin", "bern"], want, fields)
                     for _ in range(2))
    tap.ok((first.status, second.status) == (201, 409) and first.json["id"] in second.text,
           "a code is made once", second.text)


# ---- relays


@test
def relays(rig, tokens):
    """What rlyd tells, to whom; and who drains a relay."""
    all, bern = tokens["admin", None], tokens["admin", "bern"]
    wait_for(lambda: rig.call("GET", "/v1/relays", all).json["relays"], "rlyd's heartbeat", 5)
    got = rig.call("GET", "/v1/relays", all).json["relays"]
    tap.is_([(r["name"], r["state"], r["draining"]) for r in got], [("relay1", "up", False)],
            "the relay, as its rlyd tells")
    tap.ok(got[0]["sessions"] >= 0 and got[0]["load"] >= 0 and "rlyd" in got[0]["versions"],
           "… how much it is used, by what", got)
    one = rig.call("GET", "/v1/relays/relay1", bern).json
    tap.is_([one[k] for k in ("name", "ssh", "sessions", "load", "versions", "by")],
            ["relay1", got[0]["ssh"], None, None, None, None], "a tenant is told where it is alone")
    answer = rig.call("PATCH", "/v1/relays/relay1", bern, {"draining": True})
    tap.is_((answer.status, answer.json.get("tag")), (403, "RLY707"), "nor may its admin drain it")
    tap.is_(rig.call("GET", "/v1/relays/relay1", all).json["draining"], False, "… it has not")
    drained = rig.call("PATCH", "/v1/relays/relay1", all, {"draining": True}).json
    tap.is_((drained["draining"], drained["by"]), (True, f"token:{all.split('_')[1]}"), "drained")
    rig.call("PATCH", "/v1/relays/relay1", all, {"draining": True})
    tap.is_(rig.call("GET", "/v1/relays/relay1", all).json["since"], drained["since"], "… once")
    lines = rig.call("GET", "/v1/relays", all, headers={"Accept": "text/plain"}).text
    tap.like(lines, r"(?m)^relays.0.draining=true$(.*\n)*^relays.0.load=\d+\.\d\d$", "as lines")
    rig.call("PATCH", "/v1/relays/relay1", all, {"draining": False})
    tap.is_(rig.call("GET", "/v1/relays/relay1", all).json["draining"], False, "undrained")
    tap.is_([len(happened_to(rig, all, w)) for w in ("drain", "undrain")], [1, 1], "events")
    tap.is_(happened_to(rig, bern, "drain"), [], "… which are no tenant's")
    rig.redis("ZADD", "relay:relays", "1700000000000", "relay0")
    silent = rig.call("GET", "/v1/relays", all).json["relays"][0]
    tap.is_([silent[k] for k in ("name", "state", "heard", "sessions")],
            ["relay0", "silent", "2023-11-14T22:13:20Z", None], "one whose rlyd is silent")
    tap.is_(
        rig.call("PATCH", "/v1/relays/relay0", all, {"draining": True}).status, 200,
        "… is drained, too")
    rig.redis("DEL", "relay:drain:relay0")
    rig.redis("ZREM", "relay:relays", "relay0")


# ---- events


def happened(rig, token, query="since=0"):
    """What was done, page by page: (what, tunnel or token)."""
    found, more, since = [], True, query
    while more:
        page = rig.call("GET", f"/v1/events?{since}", token).json
        found += [(e["what"], e["tunnel"] or e["details"].get("token")) for e in page["events"]]
        more, since = page["more"], f"since={page['next']}"
    return found


@test
def events(rig, tokens):
    """Who did what, for whom it concerns."""
    operator, chur, all = tokens["operator", "bern"], tokens["viewer", "chur"], tokens["viewer",
                                                                                       None]
    place = rig.call("GET", "/v1/events", operator).json["next"]
    empty = rig.call("GET", f"/v1/events?since={place}", operator).json
    tap.is_((empty["events"], empty["next"], empty["more"]), ([], place, False), "nothing new")
    id = rig.opens(operator, device="seen")["id"]
    made = rig.token("--tenant", "bern")
    everybodys = rig.token().split("_")[1]
    rig.call("DELETE", f"/v1/tunnels/{id}", operator)
    wanted = [("open", id), ("token", made.split("_")[1]), ("close", id)]
    for token, expected in ((operator, wanted), (chur, []),
                            (all, [*wanted[:2], ("token", everybodys), wanted[2]])):
        tap.is_(happened(rig, token, f"since={place}"), expected, f"{len(expected)} are told")
    tap.is_(happened(rig, all, f"tenant=chur&since={place}"), [], "a tenant's alone, for all")
    tap.is_(happened(rig, all, f"tenant=bern&since={place}"), wanted, "… as he sees them")
    tap.is_(rig.call("GET", "/v1/events?tenant=bern", chur).status, 403, "not for another one")
    one = rig.call("GET", f"/v1/events?limit=2&since={place}", operator).json
    tap.is_(([e["what"] for e in one["events"]], one["more"]), (["open", "token"], True),
            "pages of two")
    tap.is_(happened(rig, operator, f"since={one['next']}"), wanted[2:], "… and what is behind")
    e = one["events"][0]
    tap.is_((e["tenant"], e["by"], e["from"], e["details"]["device"]),
            ("bern", f"token:{operator.split('_')[1]}", "127.0.0.1", "seen"), "who, from where")
    latest = rig.call("GET", "/v1/events?limit=1", operator).json["events"]
    tap.is_([(x["what"], x["tunnel"]) for x in latest], [("close", id)], "without since: the last")


@test
def events_of_rlyd(rig, tokens):
    """rlyd's events do not say whose they are; the tunnel does. A tenant of few finds his."""
    operator, chur = tokens["operator", "bern"], tokens["viewer", "chur"]
    id = rig.opens(operator)["id"]
    place = rig.call("GET", "/v1/events", operator).json["next"]
    rig.redis("XADD", "relay:events", "*", "what", "up", "tunnel", id, "relay", "relay1", "by",
              "rlyd@relay1", "peer", "192.0.2.1:5", "\x1b", "x", "why", "a\x1bb")
    for token, expected in ((operator, [("up", id)]), (chur, [])):
        tap.is_(happened(rig, token, f"since={place}"), expected, "told to its tunnel's tenant")
    rig.redis(
        "EVAL", "for i = 1, 1500 do redis.call('XADD', 'relay:events', '*', 'what', 'x', 'tunnel', "
        "'', 'tenant', 'other') end", "0")
    rig.redis("XADD", "relay:events", "*", "what", "y", "tunnel", "", "tenant", "bern")
    tap.is_(happened(rig, operator, f"since={place}"), [("up", id), ("y", None)],
            "also behind 1,500 of others, in several pages")
    tap.is_(happened(rig, chur, f"since={place}"), [], "… which another one does not see")


@test
def follow(rig, tokens):
    """A call waits for what happens, and for a part of the threads only."""
    operator, chur = tokens["operator", "bern"], tokens["viewer", "chur"]
    place = rig.call("GET", "/v1/events", operator).json["next"]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        path = f"/v1/events?follow=20&since={place}"
        waiting = pool.submit(rig.call, "GET", path, operator)
        empty = pool.submit(rig.call, "GET", path.replace("20", "1", 1), chur)
        wait_for(
            lambda: int(re.search(r"blocked_clients:(\d+)", rig.redis("INFO", "clients"))[1]) >= 2,
            "calls that wait (and rlyd)", 5)
        begun = time.monotonic()
        id = rig.opens(operator)["id"]
        told = waiting.result().json["events"]
        tap.ok(time.monotonic() - begun < 5 and told[0]["tunnel"] == id, "it is told at once", told)
        tap.is_(empty.result().json["events"], [], "another tenant's call waits its time")
        shown = pool.submit(rig.call, "GET", f"/v1/tunnels/{id}?wait=up", operator)
        wait_for(
            lambda: int(re.search(r"blocked_clients:(\d+)", rig.redis("INFO", "clients"))[1]) >= 2,
            "a call that waits for a tunnel", 5)
        tap.ok(not shown.done(), "a tunnel without its device is waited for")
        rig.call("DELETE", f"/v1/tunnels/{id}", operator)
        begun = time.monotonic()
        tap.ok(shown.result().json["state"] == "closed" and time.monotonic() - begun < 5,
               "… until it ends")
        path = path.replace("20", "1", 1)
        many = list(pool.map(lambda _: rig.call("GET", path, chur), range(20)))
    got = collections.Counter(a.status for a in many)
    tap.ok(got[200] >= 1 and got[429] >= 10 and len(got) == 2, "one token has a few that wait", got)
    tap.is_(rig.call("GET", "/v1/tunnels", chur).status, 200, "… and goes on")
    tap.is_(rig.call("GET", path, chur).status, 200, "a place that was left is free again")


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
    tap.is_(sorted(tags - tags_seen), ["RLY708"], "each problem was there; RLY708 in people.t")


tap.run()
