#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A camera and a dashboard on one port: streams_device.py PORT.

/camera     a page with a picture that moves: /mjpeg, multipart/x-mixed-replace, ten a second
/dashboard  a page with five event streams, one for each panel, that asks for figures besides
"""
import base64
import http.server
import sys
import time

# Two pictures of 16x16 pixels, red and blue.
HEAD = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4"
    "UG1RV19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj"
    "Y2NjY2NjY2NjY2NjY2NjY2NjY2P/wAARCAAQABADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAA")
TAILS = (
    "X/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAAAAAAAAAAAAAABAb/xAAUEQEAAAAAAAAAAAAAAAAAAAAA"
    "/9oADAMBAAIRAxEAPwCOACqH/9k=",
    "b/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAAAAAAAAAAAAAAAwb/xAAUEQEAAAAAAAAAAAAAAAAAAAAA"
    "/9oADAMBAAIRAxEAPwCXAVAH/9k=")
PICTURES = [base64.b64decode(HEAD + tail) for tail in TAILS]
PAGES = {
    "/camera":
    b"<title>camera</title><img src=/mjpeg width=160>",
    "/dashboard":
    b"""<title>dashboard</title><script>
        const count = Array(5).fill(0);
        const show = () => document.querySelector("pre").textContent = count.join("\\n");
        for (let i = 0; i < 5; i++)
            new EventSource("/events?" + i).onmessage = e => { count[i] = +e.data; show() };
        </script><h1>dashboard</h1><pre></pre>""",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/mjpeg":
            self.stream("multipart/x-mixed-replace; boundary=frame", 0.1, self.picture)
        elif path == "/events":
            self.stream("text/event-stream", 0.2, lambda n: b"data: %d\n\n" % n)
        else:
            self.whole(PAGES.get(path, b"42"), "text/html" if path in PAGES else "text/plain")

    def whole(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, kind, pause, piece):
        """For ever; the connection's end is the answer's."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        number = 0
        try:
            while True:
                number += 1
                self.wfile.write(piece(number))
                time.sleep(pause)
        except OSError:
            pass

    @staticmethod
    def picture(number):
        picture = PICTURES[number % 2]
        return (
            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) +
            picture + b"\r\n")

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
