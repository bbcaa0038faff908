#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""People at the API: logins of httpd's own (a password, a client certificate), each with its role
and tenant; tokens beside them; and no page but the API's own acts in their name. portal.t has
OpenID Connect, in a browser.
"""
import json
import subprocess

from lib import fixture, tap, test
from lib.apirig import ApiRig
from lib.relayrig import MODULES

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPuF5qldmN+XRXWAm6YRVd+QzUopOoqueV+r03sOTCJZ"
BOTH = """
    <RequireAny>
        Require expr "%{{HTTP:Authorization}} =~ /^Bearer relay_/"
        Require THESE
    </RequireAny>
"""
PASSWORDS = """
<Location "/v1">
    AuthType Basic
    AuthName relay
    AuthUserFile {dir}/etc/htpasswd
    """ + BOTH.replace("THESE", "valid-user") + """
    RelayAPIPerson admin * user anna
    RelayAPIPerson operator bern user beat carl
    RelayAPIPerson viewer chur expr "%{{REMOTE_USER}} == 'dora'"
</Location>
"""
CARDS = """
SSLVerifyClient optional
RelayAPIRate 4
SSLCACertificateFile {ca}
SSLUserName SSL_CLIENT_S_DN_CN
<Location "/v1">
    """ + BOTH.replace("THESE", "expr \"%{{SSL_CLIENT_VERIFY}} == 'SUCCESS'\"") + """
    RelayAPIPerson operator bern expr "%{{SSL_CLIENT_S_DN_OU}} == 'Bern'"
</Location>
"""

# It lets strangers in, who have no name.
STRANGERS = """
<Location "/v1">
    AuthType Basic
    AuthName relay
    AuthBasicProvider anon
    Anonymous *
    Anonymous_NoUserID on
    Anonymous_MustGiveEmail off
    Require valid-user
    RelayAPIPerson viewer * valid-user
</Location>
"""


def virtual_hosts(rig):
    """Three ways of logging in."""
    return {
        "password": PASSWORDS.format(dir=rig.dir), "card": CARDS.format(ca=rig.ca), "strangers":
        STRANGERS
    }


def authority(rig):
    return [f"{rig.dir}/pki/ca.crt", f"{rig.dir}/pki/ca.key"]


def card(rig, name, unit):
    """A client's certificate; the paths for curl."""
    key, cert = f"{rig.dir}/{name}.key", f"{rig.dir}/{name}.crt"
    ca, ca_key = authority(rig)
    subprocess.run([
        "openssl", "req", "-x509", "-CA", ca, "-CAkey", ca_key, "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9", "-subj", f"/OU={unit}/CN={name}",
        "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", cert
    ],
                   check=True,
                   capture_output=True)
    return ["--cert", cert, "--key", key]


@fixture
def rig():
    rig = ApiRig(people=virtual_hosts,
                 rlyd=True,
                 httpd_conf=f"LoadModule authn_anon_module {MODULES}/mod_authn_anon.so")
    lines = [
        f"{user}:" + subprocess.run(
            ["openssl", "passwd", "-apr1", "secret"], check=True, capture_output=True,
            text=True).stdout for user in ("anna", "beat", "dora", "emil")
    ]
    with open(f"{rig.dir}/etc/htpasswd", "w") as f:
        f.writelines(lines)
    rig.expect("AH01630: client denied", "AH02227: Failed to set r->user to 'SSL_CLIENT_S_DN_CN'")
    yield rig
    rig.ends_cleanly()


def curl(rig, label, path, *args):
    """(status, JSON or text). By HTTP/1.1: curl 7.88 fails where httpd answers by HTTP/2 before it
    has read the body."""
    url = f"https://{label}.{rig.domain}:{rig.https_port}{path}"
    out = subprocess.run([
        "curl", "-q", "-sS", "--http1.1", "--noproxy", "*", "--cacert", rig.ca, "-w",
        "\n%{http_code}", *args
    ] + [url],
                         check=True,
                         capture_output=True,
                         text=True).stdout
    body, _, status = out.rpartition("\n")
    return int(status), json.loads(body) if body.startswith("{") else body


def as_user(name, **headers):
    fields = {"Sec-Fetch-Site": "same-origin", **headers}
    return ["-u", f"{name}:secret", *(f"-H{k}: {v}" for k, v in fields.items() if v is not None)]


def post(**members):
    body = {"services": ["80"], "public_key": KEY, **members}
    return ["-H", "Content-Type: application/json", "-d", json.dumps(body)]


@test
def passwords(rig):
    tap.is_(curl(rig, "password", "/v1/tunnels")[0], 401, "nobody is logged in: httpd asks")
    status, opened = curl(rig, "password", "/v1/tunnels", *as_user("beat"), *post())
    tap.is_((status, opened.get("tenant")), (201, "bern"), "an operator of bern opens a tunnel")
    path = f"/v1/tunnels/{opened['id']}"
    shown = curl(rig, "password", path, *as_user("anna"))[1]
    tap.is_(shown["by"], "person:beat", "… who is named in its record")
    tap.like(rig.redis("XRANGE", "relay:events", "-", "+"),
             rf"what\nopen\ntunnel\n{opened['id']}\nrelay\nrelay1\nby\nperson:beat\nfrom\n127\.",
             "… and in the event")
    for user, expected in (("anna", 200), ("beat", 200), ("dora", 404), ("emil", 403)):
        tap.is_(
            curl(rig, "password", path, *as_user(user))[0], expected, f"{user} sees it: {expected}")
    said = curl(rig, "password", path, *as_user("emil"))[1]
    tap.like(said["detail"], "logged in as emil, and nobody has given you a role",
             "who has no role is told so")
    tap.is_(
        curl(rig, "password", path, *as_user("dora"), "-X", "DELETE")[0], 403,
        "a viewer closes nothing")
    for user, expected in (("beat", 403), ("anna", 200)):
        tap.is_(
            curl(rig, "password", "/v1/tokens", *as_user(user))[0], expected,
            f"{user} sees tokens: {expected}")
    once = ["-H", "Idempotency-Key: x", *post(public_key=rig.new_key())]
    first, again = (curl(rig, "password", "/v1/tunnels", *as_user("beat"), *once) for _ in range(2))
    tap.is_((first[0], first[1]["id"]), (201, again[1]["id"]), "a repeat happens once")
    token = rig.token("--tenant", "bern")
    tap.is_(
        curl(rig, "password", path, "-H", f"Authorization: Bearer {token}")[0], 200,
        "tokens go on beside that")
    tap.is_(
        curl(rig, "password", path, "-H", "Authorization: Bearer relay_x")[0], 401,
        "… and a wrong one is none")
    tap.is_(
        curl(rig, "api", path, *as_user("anna"))[0], 401,
        "where no RelayAPIPerson stands nobody is a person")


@test
def strangers(rig):
    for name, expected in (("gast", 200), ("", 401)):
        status = curl(rig, "strangers", "/v1/tunnels", "-u", f"{name}:x@example.com")[0]
        tap.is_(status, expected, f"the name `{name}' that httpd lets in: {expected}")


@test(needs=["passwords"])
def other_pages(rig):
    """Pages of devices and strangers, in a browser whose person is logged in."""
    mine = json.loads(rig.rly("list", "--json").stdout)["tunnels"]
    path, count = f"/v1/tunnels/{mine[0]['id']}", len(mine)
    device = f"https://nas.{rig.domain}:{rig.https_port}"
    own = f"https://password.{rig.domain}:{rig.https_port}"
    calls = (["/v1/tunnels",
              *post(public_key=rig.new_key())], [path, "-X",
                                                 "DELETE"], [path, "-X", "PATCH", *post()])
    for what, fields in (("a device's page", {"Sec-Fetch-Site": "same-site", "Origin":
                                              device}), ("a stranger's page",
                                                         {"Sec-Fetch-Site": "cross-site"}),
                         ("an address that was typed",
                          {"Sec-Fetch-Site": "none"}), ("a device's page, old browser",
                                                        {"Sec-Fetch-Site": None, "Origin": device}),
                         ("a page without origin", {"Sec-Fetch-Site": None, "Origin":
                                                    "null"}), ("nobody says whose page",
                                                               {"Sec-Fetch-Site": None})):
        for where, *args in calls if what == "a device's page" else calls[:1]:
            status, said = curl(rig, "password", where, *as_user("beat", **fields), *args)
            tap.is_((status, said.get("tag")), (403, "RLY708"), f"{what}: {args[:2]}")
    tap.is_(len(json.loads(rig.rly("list", "--json").stdout)["tunnels"]), count, "nothing was done")
    status, said = curl(rig, "password", path, *as_user("beat", **{"Sec-Fetch-Site": "same-site"}))
    tap.is_((status, said.get("tag")), (403, "RLY708"), "a device's page does not even read")
    status = curl(rig, "password", path, *as_user("beat", **{"Sec-Fetch-Site": None, "Origin":
                                                             own}), "-X", "DELETE")[0]
    tap.is_(status, 204, "the API's own page does, in an old browser, too")


@test
def cards(rig):
    bern, other = card(rig, "frida", "Bern"), card(rig, "gregor", "Chur")
    tap.is_(curl(rig, "card", "/v1/tunnels")[0], 403, "no certificate")
    status, opened = curl(rig, "card", "/v1/tunnels", *bern, "-HSec-Fetch-Site: same-origin",
                          *post(public_key=rig.new_key()))
    tap.is_((status, opened.get("tenant")), (201, "bern"), "a certificate of Bern opens")
    tap.like(rig.rly("show", opened["id"]).stdout, "person:frida", "… in its holder's name")
    status, said = curl(rig, "card", "/v1/tunnels", *other)
    tap.is_((status, said.get("tag")), (403, "RLY707"), "one of Chur has no role")
    token = rig.token()
    tap.is_(
        curl(rig, "card", "/v1/tunnels", *other, "-H", f"Authorization: Bearer {token}")[0], 200,
        "… but may show a token")
    got = [curl(rig, "card", "/v1/health", *bern)[0] for _ in range(6)]
    tap.is_(got, [200] * 6, "what asks for nobody's name counts nobody")
    got = [curl(rig, "card", "/v1/tunnels", *bern)[0] for _ in range(6)]
    tap.is_(got, [200] * 3 + [429] * 3, "the calls of a person are counted: four a minute here")
    tap.is_(curl(rig, "card", "/v1/tunnels", *other)[0], 403, "… and nobody else's with them")


tap.run()
