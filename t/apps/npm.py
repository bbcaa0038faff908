# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Applications from npm: Node-RED, and a server and a client of tus, for uploads that are taken up
again."""
import json
import os

from lib import tap

from .app import App, CACHE, HERE

MODULES = f"{CACHE}/npm/node_modules"
NODE = "/usr/bin/node"

# What says something each half a second, to the page's debug window, by a WebSocket.
FLOW = [{"id": "tab", "type": "tab", "label": "relay-flow"}, {
    "id": "in", "type": "inject", "z": "tab", "repeat": "0.5", "once": True, "props":
    [{"p": "payload"}], "payload": "relay-test", "payloadType": "str", "x": 100, "y": 100, "wires":
    [["out"]]
}, {
    "id": "out", "type": "debug", "z": "tab", "active": True, "tosidebar": True, "complete":
    "payload", "x": 300, "y": 100, "wires": []
}]
DEPLOY = """
    const answer = await fetch("flows", {method: "POST", body: args[0],
        headers: {"Content-Type": "application/json", "Node-RED-Deployment-Type": "full"}});
    return answer.status;"""


class NodeRed(App):
    name = "node-red"
    needs = (NODE, f"{MODULES}/node-red/red.js")

    def start(self):
        self.serve([
            NODE, self.needs[1], "--userDir", f"{self.dir}/user", "--port", self.port, "-D",
            "uiHost=127.0.0.1", "-D", "telemetry.enabled=false"
        ])

    def check(self, page):
        page.open()
        page.becomes("window.RED && RED.comms && document.querySelector('#red-ui-workspace')",
                     "its editor starts", 60)
        page.is_(page.browser.promise(DEPLOY, json.dumps(FLOW)), 204, "a flow is deployed")
        page.open()
        page.sees("relay-flow", 60)
        page.becomes(
            "(RED.sidebar.show('debug'), "
            "document.querySelectorAll('.red-ui-debug-msg').length > 2)",
            "its messages arrive by a WebSocket")


# An upload that stops in the middle, and one that goes on from there.
UPLOAD = """
    const data = new Uint8Array(8 << 20).map((_, i) => i % 251), file = new Blob([data]);
    const upload = (options, stop) => new Promise((done, failed) => {
        const it = new tus.Upload(file, {endpoint: "/files/", chunkSize: 1 << 20, retryDelays: null,
            ...options, onSuccess: () => done(it), onError: failed,
            onChunkComplete: (size, sent) => {
                if (stop && sent >= 3 << 20) it.abort().then(() => done(it));
            }});
        it.start();
    });
    const begun = await upload({}, true);
    if (new URL(begun.url).origin !== location.origin) return begun.url;
    let first = null;
    const ended = await upload({uploadUrl: begun.url,
        onProgress: sent => first ??= sent});
    return [first >= 3 << 20, ended.url.split("/").pop()];"""


class Tus(App):
    """Its answers have the address of an upload in Location."""
    name = "tus"
    needs = (NODE, f"{MODULES}/@tus/server", f"{MODULES}/@tus/file-store",
             f"{MODULES}/tus-js-client/dist/tus.min.js")

    def start(self):
        os.mkdir(f"{self.dir}/files")
        self.serve([NODE, f"{HERE}/tus_device.js", self.port, f"{self.dir}/files", MODULES])

    def check(self, page):
        page.open()
        page.becomes("window.tus", "its client is there")
        found = page.browser.promise(UPLOAD)
        page.is_(
            isinstance(found, list) and found[0], True,
            f"an upload goes on where it was stopped ({found})")
        with open(f"{self.dir}/files/{found[1]}", "rb") as f:
            data = f.read()
        tap.is_(data,
                bytes(range(251)) * (len(data) // 251) + bytes(range(len(data) % 251)),
                "tus: each byte arrived")
        tap.is_(len(data), 8 << 20, "tus: and all of them")
