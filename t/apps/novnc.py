# Licensed under the Apache License, Version 2.0; see LICENSE.
"""noVNC: a page that shows a computer's screen, which comes through websockify's WebSocket.

The page asks for some fifty modules at once, of a server that makes a process for each connection.
On a busy machine they are more than a tunnel's share of threads, and some wait for the others.
"""
import os
import socket

from lib import free_port

from .app import App

# How many colours the screen has: -retro gives it a pattern.
COLOURS = """(() => {
    const screen = document.querySelector('canvas'), pen = screen && screen.getContext('2d');
    if (!screen || !screen.width) return 0;
    const pixels = new Uint32Array(pen.getImageData(0, 0, screen.width, screen.height).data.buffer);
    return new Set(pixels).size;
})()"""


class NoVnc(App):
    name = "novnc"
    quick = True
    needs = ("/usr/bin/Xtigervnc", "/usr/bin/websockify", "/usr/share/novnc/vnc.html")

    def start(self):
        screen = free_port([self.port])
        display = next(n for n in range(100, 1000) if not os.path.exists(f"/tmp/.X11-unix/X{n}") and
                       not os.path.exists(f"/tmp/.X{n}-lock"))

        def shows():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", screen)) == 0

        self.serve([
            self.needs[0], f":{display}", "-rfbport", screen, "-localhost", "-SecurityTypes",
            "None", "-geometry", "640x400", "-retro", "-desktop", "relay-test"
        ], shows)
        self.serve([
            self.needs[1], "--web", "/usr/share/novnc", f"127.0.0.1:{self.port}",
            f"127.0.0.1:{screen}"
        ])

    def check(self, page):
        page.open("/vnc.html?autoconnect=true&resize=scale")
        page.becomes("document.documentElement.classList.contains('noVNC_connected')",
                     "its WebSocket connects")
        page.becomes(f"{COLOURS} > 1", "the screen is there")
        page.becomes("document.title.includes('relay-test')", "the screen's name is there")
