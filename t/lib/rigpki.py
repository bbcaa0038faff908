# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Certificates for the rig, made with openssl: a private CA and what it signs."""
import os
import subprocess


def _openssl(*args):
    subprocess.run(["openssl", *args],
                   check=True,
                   stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE)


def _new_key(path):
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    os.chmod(path, 0o600)


def make(where, domain):
    """A CA, and by it a certificate for domain and *.domain, or for an address; returns the paths
    of CA, certificate, key."""
    ca, ca_key, cert, key = (f"{where}/{n}"
                             for n in ("ca.crt", "ca.key", "wildcard.crt", "wildcard.key"))
    request, extensions = f"{where}/wildcard.csr", f"{where}/wildcard.ext"
    _new_key(ca_key)
    _openssl("req", "-x509", "-new", "-key", ca_key, "-sha256", "-days", "30", "-out", ca, "-subj",
             "/O=mod_relay demo/CN=mod_relay demo CA (private, thrown away)", "-addext",
             "basicConstraints=critical,CA:TRUE", "-addext",
             "keyUsage=critical,keyCertSign,cRLSign")
    _new_key(key)
    _openssl("req", "-new", "-key", key, "-subj", f"/CN={domain}", "-out", request)
    names = f"IP:{domain}" if domain[-1].isdigit() else f"DNS:{domain},DNS:*.{domain}"
    with open(extensions, "w") as f:
        f.write(f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n"
                "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n")
    _openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
             "-sha256", "-days", "30", "-extfile", extensions, "-out", cert)
    return ca, cert, key


def self_signed(path):
    """Makes what a device has: one PEM file with a key and a certificate that nobody signed, for
    another name."""
    key = path + ".key"
    _new_key(key)
    _openssl("req", "-x509", "-new", "-key", key, "-sha256", "-days", "30", "-subj",
             "/CN=device.invalid", "-out", path)
    with open(key) as f, open(path, "a") as out:
        out.write(f.read())
    os.chmod(path, 0o600)
    os.unlink(key)
    return path
