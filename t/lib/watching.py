# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A visitor who keeps asking while something is wrong with a part of the relay."""
import http.client
import threading
import time


class Asker(threading.Thread):
    """A visitor who asks a tunnel's device all the time. right(path, status, body) says whether an
    answer is as it should be; `#` in path is the request's number.

    asked: requests so far; wrong: [(path, status or what went wrong, body)] of those that were not
    right; slowest: seconds."""
    def __init__(self, rig, tunnel, right, path="/", pause=0.02):
        super().__init__(daemon=True)
        self.rig, self.tunnel, self.right, self.path, self.pause = rig, tunnel, right, path, pause
        self.asked, self.wrong, self.slowest, self.stopping = 0, [], 0, False
        self.start()

    def run(self):
        while not self.stopping:
            began, path = time.monotonic(), self.path.replace("#", str(self.asked))
            try:
                status, _, body = self.rig.get(self.tunnel, path)
            except (OSError, http.client.HTTPException) as e:
                status, body = repr(e), b""
            self.asked += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            if not self.right(path, status, body):
                self.wrong.append((path, status, body[:100]))
            time.sleep(self.pause)

    def stop(self):
        self.stopping = True
        self.join()
