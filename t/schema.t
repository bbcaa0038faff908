#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The schema in relay_store.h fits the code, in both directions: each key, and each field that C
and Lua write or read. It fits a real Redis after open, extend and close, too.
"""
import collections
import re
import subprocess

from lib import Store, tap, test, TOP
from lib.tap import is_, ok


def text_of(path):
    with open(f"{TOP}/{path}", encoding="utf-8") as f:
        return f.read()


# ---- the schema


def read_schema():
    """{kind: (type, fields)}, kind as `route`, type as Redis calls it; fields of what has some."""
    head = text_of("librelay/relay_store.h").split("#ifndef")[0]
    lines = re.sub(r"(?m)^ \* ?", "", head)
    entry = r"(?m)^ ([a-z]+)(?::<\S+>)?\s+(hash|string|zset|stream) ((?:.|\n(?! [a-z]|\n))*)"
    kinds = {}
    for kind, what, rest in re.findall(entry, lines):
        fields = re.search(r"\{([^}]*)\}", rest)
        found = (what, set(fields.group(1).split()) if fields else set())
        if kinds.setdefault(kind, found) != found:
            raise ValueError(f"relay_store.h: the lines of {kind}: differ")
    return kinds


SCHEMA = read_schema()
written, read = collections.defaultdict(set), collections.defaultdict(set)
key_names = {"C": set(), "Lua": set()}

# ---- C

# The files that may name fields, each with its record, and how it names them. Elsewhere none may.
FIELD = r'(?:relay_record_field|string_of)\(\w+(?:->element\[1\])?, "(\w+)"\)'
READERS = [
    ("librelay/relay_route.h", "route",
     r'\bSTRING\((\w+), \w+, (?:NULL|"\w*")\)|\bVALUE\(\w+, (\w+), \w+, (?:NULL|"\w*")\)'),
    ("librelay/relay_gone.c", "gone", FIELD),
    ("librelay/relay_grant.c", "key", FIELD),
    ("librelay/relay_tunnel_record.c", "tunnel", FIELD),
    ("librelay/relay_tunnel_record.c", "tunnel", r'numbered\(hash, "(\w+)", i\)'),
    ("librelay/relay_live.c", "live", FIELD + r'|json_object_get\(json, "(\w+)"\)'),
    ("rlyd/ground/reply.c", "events", FIELD),
    ("libtunnel/relay_pin.c", "relay", FIELD),
    ("libtunnel/relay_links.c", "relay", r'RELAY_KEYNAME_RELAY, relay\),\s*("[^}]*)\}'),
    ("librelay/relay_tunnel.c", "route", r'"HGET", [^"]*, kind, name\), "(\w+)"'),
    ("librelay/relay_tunnel.c", "gone", r'"HGET", [^"]*, kind, name\), "(\w+)"'),
    ("librelay/relay_tunnel.c", "tunnel", r'"HGET", [^"]*_TUNNEL, id\), "(\w+)"'),
    ("rly/doctor/authkeys_check.c", "tunnel", r'"HGET", [^"]*"(\w+)"'),
    ("librelay/relay_record.c", None, FIELD),  # v
    ("libtunnel/relay_token.c", "token", FIELD),
    ("libtunnel/relay_code.c", "code", FIELD),
    ("libtunnel/relay_device.c", "device", FIELD),
]
WRITERS = [
    ("librelay/relay_live.c", "live", r'json_pack\("[^"]*", ([^;]*);'),
    ("rlyd/session/heartbeat.c", "relay", r'"HSET", name, ([^;]*);'),
    ("rlyd/session/taken.c", "relay", r'"HSET", key, ([^;]*?)\) == 0'),
    ("librelay/relay_event.c", "events", r'"\*",\s*([^}]*)\}'),
    ("rlyd/session/events.c", "events", r"const\[\]\)\{([^}]*), NULL\}"),
]
COMMANDS = r'"(?:HGET|HMGET|HSET|HSETNX|XADD)"'


def c_files():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=TOP,
                            capture_output=True,
                            check=True).stdout.decode().split("\0")
    return [f for f in listed if re.search(r"\.[ch]$", f) and not f.startswith(("t/", "bench/"))]


def words(found):
    """The names in what a pattern found: one, or every second of a list of words of C."""
    text = found if isinstance(found, str) else "".join(found)
    if '"' not in text:
        return [text]
    return re.findall(r'"(\w+)"', re.sub(r'\w+\("?[^()]*\)|"[^"]*%[^"]*"', "x", text))


def read_c():
    for path, kind, pattern in READERS:
        found = [w for f in re.findall(pattern, text_of(path)) for w in words(f)]
        ok(found, f"{path} names fields that it reads of {kind or 'every record'}")
        if "numbered" in pattern:
            found = [f"{w}.I" for w in found]
        for k in [kind] if kind else [k for k in SCHEMA if "v" in SCHEMA[k][1]]:
            read[k].update(found)
    for path, kind, pattern in WRITERS:
        found = [w for f in re.findall(pattern, text_of(path)) for w in words(f)]
        ok(found, f"{path} names fields that it writes of {kind}")
        written[kind].update(found)
    sources = "".join(text_of(f) for f in c_files() if f.startswith("rlyd/"))
    written["events"].update(re.findall(r'\bevent_of\([^;]*?, "(\w+)", [^;"]*;', sources))
    written["events"].update(re.findall(r'\bevent_of\([^;"]*"\w+", [^;"]*"(\w+)"', sources))
    # live.c names no field: those of live: are addresses.
    rooms = {path for path, _, _ in READERS + WRITERS}
    rooms.add("rlyd/session/live.c")
    strangers, composers = [], []
    for path in c_files():
        text = text_of(path)
        if path not in rooms and (re.search(FIELD, text) or re.search(COMMANDS, text)):
            strangers.append(path)
        composed = re.sub(r'"1",\s*\w+->cfg->prefix|argv\[3\] = s->cfg->prefix', "", text)
        if re.search(r"\b(?:cfg|relay|config)->prefix\b", composed):
            composers.append(path)
    is_(strangers, [], "no file names a field but the rooms of records")
    is_(composers, ["librelay/relay_keyname.c"], "no file composes a key but relay_keyname.c")
    key_names["C"] = set(re.findall(r'KIND\(\w+, "(\w+):?"\)', text_of("librelay/relay_keyname.h")))


# ---- Lua

PRELUDE = "librelay/lua/prelude.lua"
SCRIPTS = [
    f"librelay/lua/{n}.lua"
    for n in ("may_issue", "once", "made", "open", "extend", "close", "page", "admit", "token_new",
              "token_revoke", "events", "code_new", "code_revoke", "enrol", "device_change",
              "device_remove", "relays", "drain")
] + ["rlyd/expire.lua", "rlyd/seen.lua"]


def arguments(text, at):
    """The arguments of a call, from behind its bracket on."""
    found, depth, start, quoted = [], 0, at, False
    for i in range(at, len(text)):
        c = text[i]
        quoted ^= c == "'"
        if not quoted and c in ",)" and depth == 0:
            found.append(text[start:i].strip())
            start = i + 1
            if c == ")":
                return found
        depth += 0 if quoted else (c in "({[") - (c in ")}]")
    raise ValueError(f"a call that does not end: {text[at:at + 60]}")


def kinds_of_variables(path, text):
    """Returns the kinds of keys that local variables name: local route = key.route(…)."""
    found = {}
    for names, values in re.findall(r"local ([\w, ]+) = (key\.[^\n]*)", text):
        for name, kind in zip(names.split(", "), re.findall(r"key\.(\w+)\(", values)):
            if found.setdefault(name, kind) != kind:
                raise ValueError(f"{path}: {name} names two kinds of keys")
    return found


def field(path, kind, word):
    """A field as the schema has it; None for what stands for fields that are seen elsewhere."""
    literal = re.match(r"'(\w+)'$", word)
    if literal:
        return literal.group(1)
    numbered = re.match(r"'(\w+)\.' \.\. i$", word)
    if numbered:
        return numbered.group(1) + ".I"
    if word in ("...", "unpack(numbered)"):
        return None
    raise ValueError(f"{path}: {word} is no field of {kind} that can be told")


def read_lua():
    prelude = text_of(PRELUDE)
    kinds = dict(re.findall(r"(\w+) = function\(\w*(?:, \w+)*\) return prefix \.\. '(\w+)",
                            prelude))
    key_names["Lua"] = set(kinds.values())
    used = set()
    for path in [PRELUDE] + SCRIPTS:
        text = re.sub(r"(?m)--.*$", "", text_of(path))
        ok(path == PRELUDE or "prefix" not in text, f"{path} composes no key by itself")
        used.update(re.findall(r"key\.(\w+)\(", text))
        variables = kinds_of_variables(path, text)
        for call in re.finditer(
                r"redis\.call\('(HSET|HGET|HMGET|HDEL)', |(?<!function )\b(put|event|act)\(", text):
            command, args = call.group(1) or call.group(2), arguments(text, call.end())
            if command in ("event", "act"):
                written["events"].update(field(path, "events", w) for w in args[4::2])
                continue
            direct = re.match(r"key\.(\w+)\(", args[0])
            name = direct.group(1) if direct else variables.get(args[0])
            if name is None and path == PRELUDE:  # put() itself
                continue
            kind = kinds[name]
            fields = args[
                2::2] if command == "put" else args[1::2] if command == "HSET" else args[1:]
            into = written if command in ("put", "HSET") else read
            into[kind].update(field(path, kind, w) for w in fields)
            if command == "put":
                into[kind].add("v")
    written["events"].update(re.findall(r"'(\w+)', (?:what|tunnel|relay|by)\b", prelude))
    written["tunnel"].update(
        f"{w}.I" for w in re.findall(r"'(\w+)' \.\. n\b", text_of("librelay/lua/open.lua")))
    is_(sorted(set(kinds) - used), [], "each name of a key in prelude.lua is used")


# ---- what is compared


@test
def source():
    read_c()
    read_lua()
    is_(sorted(key_names["C"] | key_names["Lua"]), sorted(SCHEMA),
        "the keys of the schema are those that C and Lua name")
    for kind, (what, fields) in sorted(SCHEMA.items()):
        written[kind].discard(None)
        is_(sorted(written[kind]), sorted(fields),
            f"{kind}: the fields of the schema are those that are written")
        is_(sorted(read[kind] - fields), [], f"{kind}: the schema has each field that is read")
    for path, name, value in (("librelay/relay.h", "RELAY_RECORD_VERSION",
                               r"VERSION, \w+ = '(\d+)'"),
                              ("librelay/relay_event.h", "RELAY_EVENTS_KEPT",
                               r"EVENTS_KEPT = '\d+', (\d+)")):
        is_(
            re.search(value, text_of(PRELUDE)).group(1),
            re.search(rf"(?m)^#define {name} (\d+)", text_of(path)).group(1),
            f"prelude.lua and {path} have the same {name}")


@test
def rights():
    """Each key in the rights of Redis's users is one of the schema, and rly and rlyd reach all."""
    users = re.findall(r"(?m)^user .*", text_of("librelay/redis-users.conf.in"))
    named = set(re.findall(r"~relay:(\w+)", "\n".join(users)))
    is_(sorted(named), sorted(SCHEMA), "redis-users.conf has the keys of the schema and no others")


@test
def redis():
    store = Store()
    chosen = store.open("-n", "nas", "-d", "NAS", "--host", "nas.lan:81", "--forwarded", "off",
                        "--upgrade", "tcp,spice", "--old-tls", "80", "tcp://127.0.0.1:22")
    store.open("-d", "other", "80")
    ended = store.open("-n", "ended", "80")
    ok(store.rly("token", "new", "me").returncode == 0, "rly token new")
    ok(store.rly("code", "new", "me").returncode == 0, "rly code new")
    for args in (("extend", "-t", "3h", "nas"), ("close", ended["id"])):
        ok(store.rly(*args).returncode == 0, f"rly {args[0]}")
    seen = set()
    for key in store.redis("KEYS", "relay:*").split("\n"):
        kind = key.split(":")[1]
        what = store.redis("TYPE", key)
        seen.add(kind)
        is_(what, SCHEMA[kind][0] if kind in SCHEMA else None, f"{kind}: a {what} in Redis")
        if what == "hash":
            fields = store.redis("HKEYS", key).split("\n")
            fields = {re.sub(r"\.\d+$", ".I", f) for f in fields}
            is_(sorted(fields - SCHEMA[kind][1]), [], f"{kind}: the schema has all of its fields")
        if kind == "route" and chosen["routes"][0]["name"] in key:
            is_(sorted(fields), sorted(SCHEMA[kind][1]), "a chosen name's route has each of them")
    is_(sorted(set(SCHEMA) - seen), [
        "device", "devices", "drain", "label", "live", "once", "rate", "relay", "relays", "seen",
        "tenant"
    ], "all kinds but rlyd's and the API's were there")


tap.run()
