# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Judges each answer that a visitor got against what is known of the tunnels at that time.

Times are those of one clock, in seconds. What is done to a tunnel is noted before it is begun and
after it is over, and an answer counts as wrong only if it is wrong whatever the order in between
was; but the wrong device is wrong always.
"""
import collections

FOREVER = float("inf")
GRACE = 1.0  # invariant 3: within 1 s


class Tunnel:
    """opened_from/opened: when it was asked for, and since when it is surely open;
    expires_from/expires and closed_from/closed likewise: from then on it may have ended, and it
    surely has; clock_from/clock: expires_from/expires by Redis's clock, were it never off
    (faults.Steps); over_until: its time may have been over until an extension at that moment.
    up_from/up: since when, and until when, its device is surely connected."""
    def __init__(self, n, name, secret, now):
        self.n, self.name, self.secret = n, name, secret
        self.id = self.listen = self.key = None
        self.opened_from, self.opened = now, FOREVER
        self.expires_from = self.expires = self.closed_from = self.closed = FOREVER
        self.clock_from = self.clock = FOREVER
        self.over_until = -FOREVER
        self.up_from, self.up = FOREVER, 0.0
        self.lost = False  # Redis has lost its records
        self.session = None
        self.extending = False

    @property
    def ends_from(self):
        return min(self.expires_from, self.closed_from)

    @property
    def ends(self):
        return min(FOREVER if self.extending else self.expires, self.closed)

    def surely_open(self, start, end):
        """From a moment in which all of the relay must know it, until the end."""
        return self.opened + GRACE <= start and end < self.ends_from and not self.lost

    def surely_up(self, start, end):
        opened = self.opened <= start and end < self.ends_from and not self.lost
        return opened and self.up_from <= start and end < self.up

    def __repr__(self):
        return (
            f"tunnel {self.n} {self.id} ({self.name}, {self.listen}; open since {self.opened:.3f}, "
            f"until {self.ends_from:.3f} or {self.ends:.3f})")


class Judge:
    def __init__(self, clock):
        self.clock = clock
        self.names = collections.defaultdict(list)
        self.secrets = {}
        self.answers = collections.Counter()
        self.wrong = []
        self.latest = 0.0  # a tunnel's answer to a request this long after its end
        self.troubles = []  # [from, to] of times when Redis was not to be relied upon
        self.excused = 0  # answers that would have been wrong but for such a time

    def add(self, tunnel):
        self.names[tunnel.name].append(tunnel)
        self.secrets[tunnel.secret] = tunnel

    def trouble(self):
        """Redis is being meddled with from now on; call the result when it is over."""
        span = [self.clock(), FOREVER]
        self.troubles.append(span)

        def over(settle=GRACE):
            span[1] = self.clock() + settle

        return over

    def troubled(self, start, end):
        return any(a <= end and start <= b for a, b in self.troubles[-20:])

    def blame(self, text, *details):
        self.wrong.append(f"{self.clock():.3f} {text} " + " ".join(map(str, details)))

    def judge(self, name, start, status, body):
        """An answer that came just now to a request of `start`."""
        end = self.clock()
        self.answers[status] += 1
        tunnels = self.names.get(name, ())
        about = (f"to a request for {name} of {start:.3f}:", status, body[:120], list(tunnels)[-3:])
        if status == 200:
            self._served(name, start, body.decode(errors="replace"), about)
        elif status not in (404, 410, 502, 503, 504):
            self.blame("an answer that nobody expects", *about)
        elif status in (404, 410):
            self._denied(status, tunnels, start, end, about)
        elif any(t.surely_up(start, end) for t in tunnels):
            if status == 503 and self.troubled(start, end):
                self.excused += 1
            else:
                self.blame("a tunnel that was up did not serve", *about)
        elif status == 503 and not any(t.opened_from <= end and start <= t.ends + GRACE
                                       for t in tunnels):
            if self.troubled(start, end):
                self.excused += 1
            else:
                self.blame("503 for a name that has no tunnel", *about)

    def _served(self, name, start, body, about):
        tunnel = self.secrets.get(body)
        if tunnel is None or tunnel.name != name:
            self.blame(f"THE WRONG DEVICE, that of {tunnel}", *about)
            return
        late = start - tunnel.ends
        self.latest = max(self.latest, late)
        if late > GRACE:
            self.blame(f"{tunnel} answered {late:.3f} s after its end", *about)

    def _denied(self, status, tunnels, start, end, about):
        if any(t.surely_open(start, end) for t in tunnels):
            self.blame(f"{status} for an open tunnel", *about)
        elif status == 410 and not any(t.ends_from <= end or start < t.over_until + GRACE
                                       for t in tunnels):
            self.blame("410 although nothing has ended", *about)
        elif status == 404 and any(t.opened + GRACE <= start and not t.lost for t in tunnels):
            self.blame("404 for a name that there was", *about)
