# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A rig with the API: mod_relay_api in the same Apache, by the tree's own virtual host of it.

    rig = ApiRig()
    token = rig.token("--role", "operator", "--tenant", "bern")
    answer = rig.call("POST", "/v1/tunnels", token, {"services": ["80"], …})
    answer.status, answer.headers, answer.json
"""
import collections
import json
import os
import re
import secrets
import subprocess

from .relayrig import MODULES, Rig, edit

Answer = collections.namedtuple("Answer", "status headers text json")


class ApiRig(Rig):
    """The API logs in to Redis as relay-api, with the rights of redis-users.conf; the other parts
    as `default'. others: virtual hosts for tests, beside the shipped one: `narrow', where a token
    may call five times a minute, and one without HTTPS. people: {label: directives} of virtual
    hosts that have those where relay-api.conf includes relay-login.conf; or a function of the rig
    that makes them."""
    def __init__(self, rate=6000, others=True, people=None, **options):
        self.rate, self.others, self.people = rate, others, people or {}
        self.password = secrets.token_hex(20)
        super().__init__(start=False, **options)
        self.api_conf = self._api_conf()
        self.start()

    def _api_conf(self):
        """Makes the API's user in Redis, and its relay.conf; returns that file's path."""
        with open(self.installed("/usr/share/mod_relay/redis-users.conf")) as f:
            user = re.search(r"(?m)^user relay-api .*", f.read())[0]
        self.redis_extra += f"\n{user} >{self.password}\n"
        path = f"{self.dir}/etc/relay-api.conf"
        with open(self.conf) as f, open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(f.read().replace(f"unix://{self.redis_sock}",
                                       f"unix://relay-api:{self.password}@{self.redis_sock}"))
        return path

    def _httpd_modules(self):
        with open(self.installed("/usr/share/mod_relay/apache-conf/relay-api.load")) as f:
            line = [one for one in f.read().splitlines() if one.startswith("LoadModule")][0]
        line = line.replace(f"{MODULES}/mod_relay_api.so", f"{self.root}{MODULES}/mod_relay_api.so")
        return f"{super()._httpd_modules()}{line}\n"

    def _vhost(self):
        """apache-conf/relay-api.conf, ahead of the relay's own."""
        with open(self.installed("/usr/share/mod_relay/apache-conf/relay-api.conf")) as f:
            text = f.read()
        text = edit(text, [
            (r"relay\.example\.com", self.domain),
            (r"<VirtualHost \*:443>", f"<VirtualHost *:{self.https_port}>"),
            (r"^ *SSLCertificateFile .*$", f"    SSLCertificateFile {self.cert}"),
            (r"^ *SSLCertificateKeyFile .*$", f"    SSLCertificateKeyFile {self.key}"),
            (r"^RelayAPIConfig .*$", f"RelayAPIConfig {self.api_conf}"),
            (r"^ *#RelayAPIRate .*$", f"    RelayAPIRate {self.rate}"),
            (r'"/usr/share/mod_relay/', f'"{self.root}/usr/share/mod_relay/'),
        ], "relay-api.conf")
        if not self.others:
            return text + super()._vhost()
        head, name, rest = text.partition(f"ServerName api.{self.domain}")
        narrow = rest.replace(
            f"RelayAPIRate {self.rate}", "RelayAPIRate 5\n    "
            "RelayAPITrackers https://one.example https://two.example:8443/x")
        others = f"<VirtualHost *:{self.https_port}>\nServerName narrow.{self.domain}{narrow}"
        people = self.people(self) if callable(self.people) else self.people
        for label, lines in people.items():
            others += f"\n<VirtualHost *:{self.https_port}>\nServerName {label}.{self.domain}"
            others += edit(rest, [(r"^ *#Include .*relay-login\.conf$", lines)], "relay-api.conf")
        return f"{head}{name}{rest}\n{others}\n{self._clear()}{super()._vhost()}"

    def _clear(self):
        """The API without HTTPS, where it has to refuse everybody."""
        return (f"<VirtualHost *:{self.http_port}>\nServerName api.{self.domain}\n"
                "<Location /v1>\nRelayAPI on\nRequire all granted\n</Location>\n</VirtualHost>\n")

    def token(self, *args):
        """rly token new; the token itself."""
        return json.loads(self.rly("token", "new", "--json", *args).stdout)["token"]

    def new_key(self, name="key"):
        """The public half of a fresh key; the private one is rig.dir/name."""
        path = f"{self.dir}/{name}"
        subprocess.run(["rm", "-f", path, f"{path}.pub"], check=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path],
                       check=True)
        with open(f"{path}.pub") as f:
            return f.read().strip()

    def call(self, method, path, token=None, body=None, headers=None, http=1.1, label="api"):
        """One call of the API. body: what becomes JSON, or bytes as they are. label `narrow': at a
        virtual host that lets a token call five times a minute."""
        sent = {"Host": f"{label}.{self.domain}:{self.https_port}"}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent.update(headers or {})
        status, got, data = self.get(f"{label}.{self.domain}", path, sent, method, body, http)
        text = data.decode()
        is_json = "json" in (got.get("Content-Type") or "")
        return Answer(status, got, text, json.loads(text) if is_json and text else None)
