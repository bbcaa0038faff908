# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A camera (MJPEG) and a dashboard (event streams): streams_device.py, of Python's library alone.
What matters is that nothing is held back, and that it goes on."""
import os

from .app import App, HERE

# Minutes of streams are tried where all is asked for.
LASTS = 100 if os.environ.get("RELAY_APPS") == "all" else 2
# Counts how often the picture changes its colour.
WATCH = """
    const image = document.querySelector('img'), canvas = document.createElement('canvas');
    const pen = canvas.getContext('2d', {willReadFrequently: true});
    window.changes = 0;
    let last = null;
    setInterval(() => {
        pen.drawImage(image, 0, 0);
        const red = pen.getImageData(5, 5, 1, 1).data[0] > 128;
        if (last !== null && red !== last) window.changes++;
        last = red;
    }, 20);"""


class Camera(App):
    name = "camera"
    quick = True

    def start(self):
        self.serve(["/usr/bin/python3", f"{HERE}/streams_device.py", self.port])

    def check(self, page):
        page.open("/camera")
        page.browser.run(WATCH)
        page.becomes(f"window.changes >= {LASTS * 5}", f"its picture moves for {LASTS} s",
                     20 + 2 * LASTS)


class Dashboard(Camera):
    name = "dashboard"

    def check(self, page):
        page.open("/dashboard")
        page.becomes(f"Math.min(...count) >= {LASTS * 5}",
                     f"its five event streams arrive for {LASTS} s", 20 + 2 * LASTS)
        page.is_(page.browser.promise("return await (await fetch('/figure')).text()"), "42",
                 "it may ask for figures beside them")
