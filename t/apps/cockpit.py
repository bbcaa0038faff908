# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Cockpit: its one WebSocket is refused (403) where Origin is not the Host's, with http where it
has no TLS."""
from .app import App


class Cockpit(App):
    name = "cockpit"
    quick = True
    needs = ("/usr/lib/cockpit/cockpit-ws", "/usr/bin/cockpit-bridge")
    host = "device"
    refuses = 403
    asks = ("/cockpit/socket", {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==", "Sec-WebSocket-Protocol": "cockpit1"
    })

    def start(self):
        self.serve([
            self.needs[0], "--no-tls", "--address=127.0.0.1", f"--port={self.port}",
            f"--local-session={self.needs[1]}"
        ])

    def check(self, page):
        page.open("/cockpit/@localhost/system/terminal.html")
        page.becomes("document.querySelector('.xterm-helper-textarea')", "it shows a terminal")
        page.browser.run("document.querySelector('.xterm-helper-textarea').focus()")
        page.browser.type("echo relay-$((6*7))\n")
        page.sees("relay-42")
