# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Syncthing: `Host check error' (403) where the Host is a name and it listens on loopback. Its page
learns what happens by long polls."""
import re

from lib import free_port, read, run, write

from .app import App

ADD = """
    const token = document.cookie.match(/(CSRF-Token-[^=]*)=([^;]*)/);
    const answer = await fetch("rest/config/folders", {method: "POST",
        headers: {["X-" + token[1]]: token[2]},
        body: JSON.stringify({id: args[0], label: args[0], path: args[1], paused: false})});
    return answer.status;"""


class Syncthing(App):
    name = "syncthing"
    quick = True
    needs = ("/usr/bin/syncthing", )
    host = "device"
    refuses = 403

    def start(self):
        home = f"{self.dir}/home"
        run([self.needs[0], "generate", f"--home={home}", "--no-default-folder"])
        text = read(f"{home}/config.xml")
        for name, value in (("globalAnnounceEnabled", "false"), ("localAnnounceEnabled", "false"),
                            ("relaysEnabled", "false"), ("natEnabled", "false"),
                            ("crashReportingEnabled", "false"), ("urAccepted", "-1"),
                            ("autoUpgradeIntervalH", "0"), ("listenAddress",
                                                            f"tcp://127.0.0.1:{free_port()}")):
            text = re.sub(f"<{name}>[^<]*</", f"<{name}>{value}</", text)
        write(f"{home}/config.xml", text)
        self.serve([
            self.needs[0], "serve", f"--home={home}", "--no-browser", "--no-restart",
            f"--gui-address=127.0.0.1:{self.port}"
        ])

    def check(self, page):
        page.open()
        page.sees("This Device")
        page.is_(page.browser.promise(ADD, "relay-test", f"{self.dir}/folder"), 200,
                 "its page may change something, with its token")
        page.sees("relay-test")
        page.sees("Unshared")
