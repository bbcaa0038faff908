# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Chromium for the applications: names of the rig's domain lead to the rig, keys can be typed, and
what the page complains of can be asked for."""
from lib.browser import Browser


class AppBrowser(Browser):
    def __init__(self, rig):
        self.args = [f"--host-resolver-rules=MAP *.{rig.domain} {rig.address}"]
        self.capabilities = {"goog:loggingPrefs": {"browser": "ALL"}}
        super().__init__(rig)

    def type(self, text):
        """Keys for what has the focus; a newline is Enter."""
        actions = []
        for key in text.replace("\n", "\ue007"):
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("POST", f"{self.session}/actions",
                   {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def choose(self, selector, path):
        """Chooses a file for an input."""
        found = self._call("POST", f"{self.session}/element",
                           {"using": "css selector", "value": selector})
        element = next(iter(found.values()))
        self._call("POST", f"{self.session}/element/{element}/value", {"text": path})

    def promise(self, script, *args):
        """What a promise of the page comes to."""
        return self._call(
            "POST", f"{self.session}/execute/async", {
                "script":
                "const done = arguments[arguments.length - 1];"
                f"(async (...args) => {{ {script} }})(...arguments)"
                ".then(done, e => done(`${e}`))", "args":
                list(args)
            })

    def complaints(self):
        """What stands in the browser's console since the last time."""
        return [
            entry["message"][:300]
            for entry in self._call("POST", f"{self.session}/se/log", {"type": "browser"})
        ]
