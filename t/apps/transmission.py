# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Transmission: its RPC answers 421 where the Host is a name that it does not know."""
from lib import free_port

from .app import App

# A session id has to be asked for first, as its page does.
ADD = """
    const ask = id => fetch("../rpc", {method: "POST", headers: {"X-Transmission-Session-Id": id},
        body: JSON.stringify({method: "torrent-add", arguments: {paused: true,
            filename: "magnet:?xt=urn:btih:" + "ab".repeat(20) + "&dn=" + args[0]}})});
    const refused = await ask("");
    const answer = await ask(refused.headers.get("X-Transmission-Session-Id"));
    return answer.status;"""


class Transmission(App):
    name = "transmission"
    quick = True
    needs = ("/usr/bin/transmission-daemon", )
    host = "device"
    refuses, asks = 421, ("/transmission/rpc", {})

    def start(self):
        self.serve([
            self.needs[0], "--foreground", "--config-dir", f"{self.dir}/config", "--port",
            self.port, "--rpc-bind-address", "127.0.0.1", "--peerport",
            free_port(), "--bind-address-ipv4", "127.0.0.1", "--no-auth", "--no-portmap",
            "--no-dht", "--no-lpd", "--no-utp"
        ])

    def check(self, page):
        page.open()  # from which it redirects
        page.becomes("location.pathname.startsWith('/transmission/web')",
                     "its redirect to its page is followed")
        page.is_(page.browser.promise(ADD, "relay-test"), 200, "its page may call it")
        page.sees("relay-test")
