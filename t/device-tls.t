#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The TLS of devices: https:// services of every age are reached, whatever their certificates say;
old ones where that is asked for; a name that they refuse is not sent; they may ask for a
certificate; and where it fails, page and log say why.
"""
import json
import ssl

from lib import fixture, Rig, tap, test
from lib.tap import is_, like, unlike
from lib.tlsdevices import (apache, certificate, Choosy, dh_parameters, gnutls, openssl, Plain,
                            Service)

OLD, CERTIFICATE = "tls-old", "tls-certificate"
REFUSES = {
    "unrecognized_name": ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME, "handshake_failure":
    ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE, "internal_error": ssl.ALERT_DESCRIPTION_INTERNAL_ERROR,
    "the end of the connection": "close"
}
BEFORE_5746 = "NORMAL:-VERS-ALL:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION"


def said(rig, tunnel, n=0, **options):
    """200, or the relay's own word for what failed"""
    status, _, body = rig.get(tunnel["routes"][n]["name"],
                              headers={"Accept": "application/json"},
                              **options)
    return status if status == 200 else json.loads(body)["error"]


def change(rig, old, new):
    """Edits httpd's configuration, which httpd then reads again."""
    with open(f"{rig.dir}/etc/httpd.conf", "r+") as f:
        text = f.read()
        assert old in text
        f.seek(0)
        f.write(text.replace(old, new))
        f.truncate()
    rig.graceful()


def services(pki):
    """(what it is, its program, what it gives, and with --old-tls)"""
    good, expired, small, dh = pki["good"], pki["expired"], pki["small"], pki["dh"]
    weak = ("-cipher", "ALL:@SECLEVEL=0")
    return (
        ("TLS 1.3", openssl(good, "-tls1_3"), 200, 200),
        ("TLS 1.2", openssl(good, "-tls1_2"), 200, 200),
        ("an expired certificate", openssl(expired), 200, 200),
        ("1024 bits, SHA-1", openssl(small, "-tls1_2", *weak), 200, 200),
        ("DH of 1024 bits", openssl(good, "-tls1_2", "-cipher", "DHE:@SECLEVEL=0", "-dhparam",
                                    dh), None, 200),
        ("TLS 1.1", openssl(good, "-tls1_1", *weak), OLD, 200),
        ("TLS 1.0", openssl(good, "-tls1", *weak), OLD, 200),
        ("signs with SHA-1 only", openssl(good, "-tls1_2", "-sigalgs", "RSA+SHA1",
                                          *weak), OLD, 200),
        ("of before RFC 5746", gnutls(good, BEFORE_5746), 200, 200),
        ("asks for a certificate, TLS 1.2", openssl(good, "-tls1_2", "-verify", "1"), 200, 200),
        ("asks for a certificate, TLS 1.3", openssl(good, "-verify", "1"), 200, 200),
        ("demands one, TLS 1.2", openssl(good, "-tls1_2", "-Verify",
                                         "1"), CERTIFICATE, CERTIFICATE),
        ("demands one, TLS 1.3", openssl(good, "-Verify", "1"), CERTIFICATE, CERTIFICATE),
    )


@fixture
def rig():
    rig = Rig(vhost="    RelayBackendTimeout 5s")
    yield rig
    rig.ends_cleanly()


@fixture
def pki(rig):
    where = f"{rig.dir}/pki"
    return {
        "good": certificate(f"{where}/good"), "expired": certificate(f"{where}/expired", days=0),
        "small": certificate(f"{where}/small", 1024, "sha1"), "dh": dh_parameters(f"{where}/dh")
    }


@fixture
def table(rig, pki):
    """[(what it is, what it gives, and with --old-tls)], and their URLs"""
    rows, running = services(pki), []
    for _, argv, _, _ in rows:
        running.append(Service(argv, [s.port for s in running]))
    yield [(what, now, old) for what, _, now, old in rows], [s.url for s in running]
    for service in running:
        service.stop()


@fixture
def tunnel(rig, table):
    """The same services in one tunnel, without --old-tls"""
    tunnel = rig.open(*table[1])
    rig.connect(tunnel)
    return tunnel


@test
def ages(rig, table, tunnel):
    # a service that demands a certificate hangs up on the request
    rig.expect("AH01102|AH00898")
    for n, (what, expected, _) in enumerate(table[0]):
        if expected:
            is_(said(rig, tunnel, n), expected, f"{what}: {expected}")
    with open(f"{rig.dir}/log/relay-error.log") as f:
        lines = f.read()
    for tag, words in (("RLY160", "failed: [a-z]"), ("RLY161", "--old-tls"),
                       ("RLY164", "SSLProxyMachineCertificateFile")):
        like(lines, f"{tag} .*{words}", f"{tag} says why")
    unlike(lines, "AH02268", "a service that asks for a certificate makes no warning")


@test
def old_ages(rig, table):
    old = rig.open(*table[1], args=["--old-tls"])
    session = rig.connect(old)
    for n, (what, _, expected) in enumerate(table[0]):
        is_(said(rig, old, n), expected, f"--old-tls: {what}: {expected}")
    session.stop()


@test
def second_handshake(rig, pki):
    """A device asks for a certificate once it knows the path: Apache and IIS up to TLS 1.2."""
    service = Service(apache(pki["good"], f"{rig.dir}/second"))
    tunnel = rig.open(service.url)
    rig.connect(tunnel)
    for method, body in (("GET", None), ("POST", b"x" * 1000), ("GET", None)):
        is_(
            rig.get(tunnel, "/within/", method=method, body=body)[0], 200,
            f"a {method} for a path that takes a second handshake")
    service.stop()


@test
def names(rig, pki):
    devices = [Choosy(pki["good"], how) for how in REFUSES.values()]
    refuses_all, content = Choosy(pki["good"], "both"), Choosy(pki["good"])
    devices += [refuses_all, content]
    tunnel = rig.open(*[d.url for d in devices])
    rig.connect(tunnel)
    for n, how in enumerate(REFUSES):
        is_([
            said(rig, tunnel, n, method="POST", body=b"x" * 100000),
            said(rig, tunnel, n), devices[n].requests
        ], [200, 200, ["POST", "GET"]],
            f"a name is refused by {how}: a POST, as the first request, arrives, and once")
        is_(devices[n].names[:2], [rig.host(tunnel["routes"][n]["name"]), None],
            "the name was sent first, and then none")
    n = len(REFUSES)
    is_(said(rig, tunnel, n), "tls-name", "a service that refuses a name and none: a page says so")
    is_([said(rig, tunnel, n + 1), set(content.names)],
        [200, {rig.host(tunnel["routes"][n + 1]["name"])}], "one that takes it gets it")
    for device in devices:
        device.stop()


@test
def no_tls(rig):
    device = Plain()
    tunnel = rig.open(device.url, "https://127.0.0.1:9")
    rig.connect(tunnel)
    is_([said(rig, tunnel), said(rig, tunnel, 1)], ["tls-none", "silent"],
        "a service that speaks no TLS, and one that is not there")
    device.stop()


@test
def directives(rig, pki, table, tunnel):
    """The administrator's: RelayOldTLS, and a certificate for services that demand one."""
    rig.expect("AH02268")
    change(
        rig, "RelayEngine on", "RelayEngine on\n    RelayOldTLS on\n    "
        f"SSLProxyMachineCertificateFile {pki['good']}")
    for n, (what, _, expected) in enumerate(table[0]):
        if expected == CERTIFICATE or what == "TLS 1.0":
            is_(said(rig, tunnel, n), 200, f"with the directives: {what}: 200")


tap.run()
