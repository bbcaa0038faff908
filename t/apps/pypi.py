# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Applications from PyPI: JupyterLab, and copyparty, a file server."""
import hashlib
import os

from .app import App, CACHE

# A notebook's cell is run, by a kernel that a WebSocket leads to.
RUN = """
    const app = window.jupyterapp;
    await app.restored;
    const panel = await app.commands.execute("notebook:create-new", {kernelName: "python3"});
    await panel.context.ready;
    await panel.sessionContext.ready;
    panel.content.activeCell.model.sharedModel.setSource("print('relay-' + str(6 * 7))");
    await app.commands.execute("notebook:run-cell");
    return "run";"""


class JupyterLab(App):
    """It listens on 127.0.0.1 as it is, and then answers 403 for other names."""
    name = "jupyterlab"
    needs = (f"{CACHE}/py/bin/jupyter-lab", )
    host = "device"
    refuses, asks = 403, ("/lab", {})

    def start(self):
        os.mkdir(f"{self.dir}/notebooks")
        self.serve([
            self.needs[0], "--no-browser", "--allow-root", f"--port={self.port}",
            "--ServerApp.port_retries=0", "--IdentityProvider.token=secret",
            "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
            f"--notebook-dir={self.dir}/notebooks"
        ],
                   env={"JUPYTER_PLATFORM_DIRS": "1"})

    def check(self, page):
        page.open("/lab?token=secret")
        page.becomes("window.jupyterapp", "it starts", 60)
        page.is_(page.browser.promise(RUN), "run", "a notebook is made and its cell is run")
        page.sees("relay-42", 60)


class Copyparty(App):
    """Files are uploaded in pieces by its page; what is there already is not sent again."""
    name = "copyparty"
    needs = (f"{CACHE}/py/bin/copyparty", )

    def start(self):
        os.mkdir(f"{self.dir}/files")
        self.serve([
            self.needs[0], "-i", "127.0.0.1", "-p", self.port, "-v", f"{self.dir}/files::rwmd",
            "--no-crt", "-q", "--hist", f"{self.dir}/hist"
        ])

    def check(self, page):
        data = os.urandom(3_000_000)
        path = f"{self.dir}/to-send.bin"
        with open(path, "wb") as f:
            f.write(data)
        page.open("/")
        page.becomes("window.goto && (goto('up2k'), document.querySelector('#file1'))",
                     "its upload form is there")
        page.browser.choose("#file1", path)
        there = f"{self.dir}/files/to-send.bin"
        page.becomes("document.body.innerText.includes('to-send.bin')", "it takes the file")
        page.browser.run("document.querySelector('#modal-ok').click()")
        page.holds(lambda: os.path.exists(there) and same(there, data), "the file arrives")


def same(path, data):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).digest() == hashlib.sha256(data).digest()
