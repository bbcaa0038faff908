# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A small provider of OpenID Connect: whoever comes is logged in, with the claims that a test sets.

    provider = Provider(rig)
    provider.url, provider.secret       # for the client `relay'
    provider.claims = {"sub": "anna", "groups": ["bern"]}
"""
import base64
import http.server
import json
import secrets
import ssl
import subprocess
import threading
import time
import urllib.parse


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    def __init__(self, rig):
        self.secret, self.claims, self.asked, self.nonces = secrets.token_hex(16), {}, [], {}
        self.key = f"{rig.dir}/pki/provider.key"
        self._openssl("genrsa", "-out", self.key, "2048")
        modulus = self._openssl("rsa", "-in", self.key, "-noout", "-modulus").split(b"=")[1]
        self.modulus = _base64(bytes.fromhex(modulus.strip().decode()))
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                provider.get(self)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.token(self, urllib.parse.parse_qs(body))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(rig.cert, rig.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://login.{rig.domain}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def _openssl(self, *args, data=None):
        return subprocess.run(["openssl", *args], input=data, check=True,
                              capture_output=True).stdout

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, to, body):
        data = json.dumps(body).encode()
        to.send_response(200)
        to.send_header("Content-Type", "application/json")
        to.send_header("Content-Length", str(len(data)))
        to.end_headers()
        to.wfile.write(data)

    def get(self, to):
        path, _, query = to.path.partition("?")
        if path == "/.well-known/openid-configuration":
            self.answer(
                to, {
                    "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
                    "response_types_supported": ["code"], "token_endpoint_auth_methods_supported":
                    ["client_secret_basic"]
                })
        elif path == "/keys":
            self.answer(
                to, {
                    "keys": [{
                        "kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": self.modulus,
                        "e": "AQAB"
                    }]
                })
        else:
            self.authorize(to, query)

    def authorize(self, to, query):
        self.asked.append(query)
        asked, code = dict(urllib.parse.parse_qsl(query)), secrets.token_hex(8)
        self.nonces[code] = asked["nonce"]
        back = urllib.parse.urlencode({"code": code, "state": asked["state"]})
        to.send_response(302)
        to.send_header("Location", f"{asked['redirect_uri']}?{back}")
        to.send_header("Content-Length", "0")
        to.end_headers()

    def token(self, to, form):
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": "relay", "iat": now, "exp": now + 300, "nonce":
            self.nonces.pop(form["code"][0]), **self.claims
        }
        parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "kid": "1"}, claims)]
        text = ".".join(map(_base64, parts))
        signed = self._openssl("dgst", "-sha256", "-sign", self.key, data=text.encode())
        self.answer(
            to, {
                "access_token": secrets.token_hex(8), "token_type": "Bearer", "id_token":
                f"{text}.{_base64(signed)}"
            })
