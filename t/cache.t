#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
# lane: judging
"""The cache: right at once after close, extend and expiry; bounded; no bad record gets through; no
clock is trusted."""
import email.utils
import os
import socket
import threading
import time

from lib import (DEVICE_GONE, fixture, keeper, one_child, Rig, rss_kb, run, SERVER_STATUS, tap,
                 test, wait_for)
from lib.clockrig import Shift

# One process, so that what is asked first is what is known later; room for the next one in a
# graceful restart.
ONE_CHILD = one_child(25)


def expires(rig, tunnel):
    """When a tunnel ends, by time.monotonic()."""
    at = int(rig.redis("PEXPIRETIME", f"relay:route:{tunnel['routes'][0]['name']}"))
    return time.monotonic() + at / 1000 - time.time()


def ask_until(connection, status, timeout):
    """Asks as fast as it goes until the status comes; the time it took, and the statuses before it.
    """
    began, before = time.monotonic(), set()
    while time.monotonic() - began < timeout:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        if answer.status == status:
            return time.monotonic() - began, before
        before.add(answer.status)
    return None, before


@fixture
def rig():
    rig = Rig(vhost=SERVER_STATUS, httpd_conf=ONE_CHILD)
    rig.expect(
        r"RLY111 no link to Redis|RLY120 route \S+ cannot be looked up: (cannot connect|Redis "
        r"at)|Redis is now ready", DEVICE_GONE)
    yield rig
    rig.ends_cleanly()


@fixture
def device(rig):
    return rig.device("nas")


@fixture
def tunnel(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    return tunnel


@test
def close_and_extend(rig, device):
    for round_ in range(5):
        tunnel = rig.open(device.url)
        rig.connect(tunnel)
        connection = rig.connection(tunnel)
        tap.is_([rig.get(tunnel)[0] for _ in range(3)], [200] * 3, f"round {round_}: warm")
        rig.rly("close", tunnel["id"])
        took, before = ask_until(connection, 410, 2)
        tap.ok(took is not None and took < 1 and before <= {200},
               f"round {round_}: 410 at once after close", f"took {took}, before: {before}")
        connection.close()
        reopened = rig.open(device.url, name=tunnel["routes"][0]["name"])
        tap.is_(
            rig.get(reopened)[0], 503,
            f"round {round_}: the name, opened again, is the new tunnel's at once")
        rig.rly("close", reopened["id"])
    tunnel = rig.open(device.url, ttl="2s")
    rig.connect(tunnel)
    end = expires(rig, tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "a tunnel for 2 s")
    rig.rly("extend", "-t", "1h", tunnel["id"])
    time.sleep(max(0, end + 0.2 - time.monotonic()))
    tap.is_(rig.get(tunnel)[0], 200, "works on after its first end when it was extended")
    rig.redis("FLUSHALL")
    took, before = ask_until(rig.connection(tunnel), 404, 2)
    tap.ok(took is not None and took < 1, "FLUSHALL empties the cache, too",
           f"took {took}, before: {before}")


@test
def counters(rig, device):
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    wait_for(lambda: rig.server_status()["RelayLink"] == "up", "the link to Redis")
    for _ in range(3):
        rig.get(tunnel)
    lines = rig.server_status()
    tap.ok(
        int(lines["RelayCachedRoutes"]) >= 1 and int(lines["RelayBackends"]) >= 1,
        "routes and pools are counted", lines)
    before = int(
        rig.redis("INFO", "commandstats").partition("cmdstat_hgetall:calls=")[2].partition(",")[0])
    for _ in range(50):
        rig.get(tunnel)
    after = int(
        rig.redis("INFO", "commandstats").partition("cmdstat_hgetall:calls=")[2].partition(",")[0])
    tap.is_(after - before, 0, "50 requests for a known route ask Redis nothing")
    before = after
    for _ in range(50):
        rig.get("nobody-here")
    after = int(
        rig.redis("INFO", "commandstats").partition("cmdstat_hgetall:calls=")[2].partition(",")[0])
    tap.between(after - before, 1, 4, "50 requests for one unknown name ask it once")
    late = rig.open(device.url, name="nobody-here")
    rig.connect(late)
    tap.is_(
        rig.get("nobody-here")[0], 200, "a name that was unknown works at once when it is opened")


@test
def records(rig, device):
    """Records that cannot be used are no routes, and the log says why."""
    good = rig.open(device.url, name="good-one")
    rig.connect(good)
    tap.is_(rig.get(good)[0], 200, "a good record")
    fields = rig.redis("HGETALL", "relay:route:good-one").split("\n")
    record = dict(zip(fields[::2], fields[1::2]))
    outside = record["listen"].replace("127.", "10.", 1)
    rig.expect("RLY120 route bad-")
    # the log has the first ten of them: not more within 5 s
    cases = [
        ("newer", {"v": "2"}, "has version 2, this program knows up to 1: upgrade it"),
        ("bad-v", {"v": "one"}, "no valid version"),
        ("no-tunnel", {"tunnel": None}, "field tunnel"),
        ("bad-listen", {"listen": "127.0.0.1"}, "field listen"),
        ("outside", {"listen": outside}, "outside"),
        ("scheme", {"scheme": "file"}, "field scheme"),
        ("no-expires", {"expires": None}, "field expires"),
        ("other-relay", {"relay": "relay2"}, "is on relay relay2, this is relay1"),
        ("eternal", {}, "it has no expiry"),
        ("wrong-type", "string", "is not a hash"),
        ("gone-type", "gone", None),
        ("empty", None, None),
        ("huge-v", {"v": "99999999999999999999"}, None),
        ("no-v", {"v": None}, None),
        ("bad-tunnel", {"tunnel": "a b"}, None),
        ("no-listen", {"listen": None}, None),
        ("name-listen", {"listen": "localhost:80"}, None),
        ("redis-itself", {"listen": "127.0.0.1:6379"}, None),
        ("bad-expires", {"expires": "-1"}, None),
        ("no-relay", {"relay": None}, None),
        ("device", {"device": "a\nb"}, None),
        ("service", {"service": "x\x1b[2J"}, None),
    ]
    for what, change, why in cases:
        name, key = f"bad-{what}", f"relay:route:bad-{what}"
        if change == "string":
            rig.redis("SET", key, "x", "EX", "100")
        elif change == "gone":
            rig.redis("SET", f"relay:gone:{name}", "x", "EX", "100")
        else:
            values = {"x": "y"}
            if change is not None:
                values = {k: v for k, v in {**record, **change}.items() if v is not None}
            rig.redis("HSET", key, *[part for pair in values.items() for part in pair])
            if what != "eternal":
                rig.redis("EXPIRE", key, "100")
        began = time.monotonic()
        status, headers, body = rig.get(name, headers={"Accept": "text/plain"})
        tap.is_((status, headers["X-Device"], time.monotonic() - began < 2), (503, None, True),
                f"record `{what}': 503, and no device is asked")
        tap.like(body.decode(), "The relay cannot look this address up",
                 f"record `{what}': the page says whose fault it is")
        with open(f"{rig.dir}/log/httpd-error.log") as f, open(
                f"{rig.dir}/log/relay-error.log") as g:
            lines = [
                line for line in f.read().splitlines() + g.read().splitlines()
                if f"RLY120 route {name} " in line
            ]
        if why:
            tap.ok(
                len(lines) == 1 and why in lines[0], f"record `{what}': the log says why",
                f"lacks {why}:\n" + "\n".join(lines))
        else:
            tap.is_(lines, [], f"record `{what}': the log is not flooded")
    tap.is_(rig.get(good)[0], 200, "the good one still answers")
    mended = {**record}
    rig.redis("HSET", "relay:route:bad-scheme", *[part for pair in mended.items() for part in pair])
    tap.is_(rig.get("bad-scheme")[0], 200, "a record that was mended works at once")


@test
def missed(rig, device):
    """A change that nobody could tell of, as the link broke just then. After that, nothing from
    before is believed."""
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    name = tunnel["routes"][0]["name"]
    tap.is_({rig.get(tunnel)[0] for _ in range(3)}, {200}, "missed: a known route")
    run(["redis-cli", "-s", rig.redis_sock],
        input="MULTI\nCLIENT KILL TYPE pubsub\nCLIENT KILL TYPE normal SKIPME yes\n"
        f"DEL relay:route:{name}\nHSET relay:gone:{name} v 1 why closed\nEXEC\n")
    took, before = ask_until(rig.connection(tunnel), 410, 5)
    tap.ok(took is not None and took < 2,
           "missed: a close in the moment when the link broke is known soon after",
           f"took {took}, before: {before}")


@test
def expiry(rig, device):
    """Within 1 s of its end a tunnel is gone, whether Redis can say so or not."""
    for redis_up in (True, False):
        tunnel = rig.open(device.url, ttl="3s")
        rig.connect(tunnel)
        tap.is_(rig.get(tunnel)[0], 200, "a tunnel for 3 s")
        end = expires(rig, tunnel)
        if not redis_up:
            rig.redis("SAVE")
            rig.servers["redis"].kill()
        time.sleep(max(0, end - 0.5 - time.monotonic()))
        tap.is_(rig.get(tunnel)[0], 200, "half a second before its end it still works")
        took, before = ask_until(rig.connection(tunnel), 410, 5)
        late = time.monotonic() - end
        tap.ok(took is not None and before <= {200} and -0.1 < late < 1,
               f"410 at its end, Redis {'up' if redis_up else 'down'}",
               f"{late:.3f} s after it, before: {before}")
    rig.servers["redis"].start()
    wait_for(lambda: rig.server_status()["RelayLink"] == "up", "the link to Redis")


def flood(rig, names, batch=200):
    """Asks for names that nobody has, many at once on one connection; the statuses."""
    seen = {}
    with rig.tls(rig.domain) as sock:
        for at in range(0, len(names), batch):
            part = names[at:at + batch]
            sock.sendall(b"".join(b"HEAD / HTTP/1.1\r\nHost: %s.%s\r\n\r\n" %
                                  (n.encode(), rig.domain.encode()) for n in part))
            answer, count = b"", 0
            while count < len(part):
                piece = sock.recv(262144)
                if not piece:
                    return seen
                answer += piece
                count = answer.count(b"HTTP/1.1 ")
                if count == len(part) and not answer.endswith(b"\r\n\r\n"):
                    count -= 1
            for piece in answer.split(b"HTTP/1.1 ")[1:]:
                seen[piece[:3]] = seen.get(piece[:3], 0) + 1
    return seen


@test
def flood_of_names(rig, tunnel):
    child, = [pid for pid in keeper.descendants([rig.servers["httpd"].pid]) if rss_kb(pid)]
    tap.is_(flood(rig, [f"warm-{i}" for i in range(6000)]), {b"404": 6000},
            "6,000 unknown names, for a start")
    before = rss_kb(child)
    tap.is_(flood(rig, [f"probe-{i}-{'x' * 40}" for i in range(20000)]), {b"404": 20000},
            "20,000 more")
    grown = rss_kb(child) - before
    lines = rig.server_status()
    tap.note(f"httpd's memory grew by {grown} kB")
    tap.ok(grown < 2048, "httpd's memory does not grow with them", f"{grown} kB")
    tap.between(int(lines["RelayCachedAbsent"]), 1, 4096, "of the names few are kept")
    tap.is_(rig.get(tunnel)[0], 200, "a route answers after it")
    tap.ok(int(rig.redis("DBSIZE")) < 100, "and Redis has no keys more")


@test
def clock(rig, device):
    """httpd's own idea of the time has no say."""
    clock = Shift(rig.dir)

    def off_by():
        date = email.utils.parsedate_to_datetime(
            rig.get(rig.domain, "/relay-status?auto")[1]["Date"]).timestamp()
        return date - time.time()

    server = rig.servers["httpd"]
    server.env.update(clock.env)
    tunnel = rig.open(device.url, ttl="20s")
    rig.connect(tunnel)
    for seconds in (86400, -86400):
        clock.set(seconds)
        server.restart()
        tap.between(off_by(), seconds - 3, seconds + 3, f"httpd's clock is off by {seconds} s")
        tap.is_([rig.get(tunnel)[0] for _ in range(2)], [200, 200], "a tunnel for seconds works")
        clock.set(-seconds)
        tap.between(off_by(), -seconds - 3, -seconds + 3, "the clock jumps")
        tap.is_([rig.get(tunnel)[0] for _ in range(2)], [200, 200], "and the known route works on")
    brief = rig.open(device.url, ttl="2s")
    rig.connect(brief)
    end = expires(rig, brief)
    tap.is_(rig.get(brief)[0], 200, "a tunnel for 2 s")
    clock.set(-40000)
    took, before = ask_until(rig.connection(brief), 410, 5)
    tap.ok(took is not None and -0.1 < time.monotonic() - end < 1,
           "ends in time although the clock was put back", f"{took} {before}")


class LateRig(Rig):
    """httpd's questions to Redis are answered at once, as ever; but it hears of changes late."""
    LATE = 0.8
    NEWS = (b"__redis__:invalidate", )  # said on a connection that brings news, not answers
    deaf = False  # while it is set nobody may ask for news

    def _start_httpd(self):
        door = socket.socket(socket.AF_UNIX)
        door.bind(f"{self.dir}/run/late.sock")
        os.chmod(f"{self.dir}/run/late.sock", 0o666)
        door.listen()
        threading.Thread(target=self._serve, args=(door, ), daemon=True).start()
        rlys, self.conf = self.conf, f"{self.dir}/etc/web.conf"
        with open(rlys) as f, open(self.conf, "w") as web:
            web.write(f.read().replace(self.redis_sock, f"{self.dir}/run/late.sock"))
        super()._start_httpd()
        self.conf = rlys

    def _serve(self, door):
        while True:
            httpd, redis = door.accept()[0], socket.socket(socket.AF_UNIX)
            redis.connect(self.redis_sock)
            subscribed = threading.Event()
            for pair in ((httpd, redis), (redis, httpd)):
                threading.Thread(target=self._pass_on, args=(*pair, redis, subscribed),
                                 daemon=True).start()

    def _pass_on(self, source, to, redis, subscribed):
        try:
            while data := source.recv(65536):
                if any(word in data for word in self.NEWS):
                    subscribed.set()
                    if self.deaf:
                        break
                if source is redis and subscribed.is_set():
                    time.sleep(self.LATE)
                to.sendall(data)
        except OSError:
            pass
        for end in (source, to):
            end.close()


@test
def late_news():
    """An extension in the last moment, and httpd has not heard of it when the old end comes."""
    rig = LateRig(vhost=SERVER_STATUS,
                  httpd_conf=ONE_CHILD,
                  relay_conf={"redis": {"timeout": "5s"}})
    wait_for(lambda: rig.server_status()["RelayLink"] == "up", "the link to Redis", 20)
    device = rig.device("nas")

    def known(ttl):
        """A tunnel that httpd knows, and of which there is no more news: it was opened a while ago.
        """
        tunnel = rig.open(device.url, ttl=ttl)
        rig.connect(tunnel)
        time.sleep(2 * rig.LATE)
        tap.is_(rig.get(tunnel)[0], 200, f"late news: a tunnel for {ttl}")
        return tunnel, expires(rig, tunnel)

    tunnel, end = known("4s")
    time.sleep(max(0, end - rig.LATE + 0.2 - time.monotonic()))
    rig.rly("extend", "-t", "1h", tunnel["id"])
    time.sleep(max(0, end + 0.01 - time.monotonic()))
    tap.is_({rig.get(tunnel)[0]
             for _ in range(5)}, {200},
            "late news: it was extended just before it ended, and goes on")
    brief, end = known("3s")
    time.sleep(max(0, end + 0.01 - time.monotonic()))
    tap.is_({rig.get(brief)[0]
             for _ in range(5)}, {410}, "late news: one that was not extended has ended at once")
    tap.is_(rig.stop(), [], "the rig with late news ends cleanly")


class DeafRig(LateRig):
    LATE = 0


@test
def no_news():
    """Redis answers, but the link is not back yet: what had ended may be open again since."""
    rig = DeafRig(vhost=SERVER_STATUS, httpd_conf=ONE_CHILD)
    rig.expect(r"RLY111 no link to Redis")
    device = rig.device("nas")

    def link(state):
        wait_for(lambda: rig.server_status()["RelayLink"] == state, f"the link is {state}", 20)

    def ended(how):
        """A tunnel that httpd knows and that has ended, or is about to."""
        tunnel = rig.open(device.url, ttl="1h" if how == "closed" else "2s")
        rig.connect(tunnel)
        rig.get(tunnel)
        if how == "closed":
            rig.rly("close", tunnel["id"])
        if how != "about to expire":
            tap.is_(rig.status_after(tunnel, timeout=4), 410, f"no news: {how}")
        return tunnel

    for how in ("closed", "expired", "about to expire", "about to expire, and extended"):
        link("up")
        tunnel = ended(how.partition(",")[0])
        end = time.monotonic() + 2
        rig.deaf = True
        rig.redis("CLIENT", "KILL", "TYPE", "pubsub")
        link("down")
        if "extended" in how:
            rig.rly("extend", "-t", "1h", tunnel["id"])
        if "about" in how:
            time.sleep(max(0, end - time.monotonic()))
        if "extended" not in how:
            tap.is_(rig.get(tunnel)[0], 410, f"no news: {how}: 410")
            tunnel = rig.open(device.url, name=tunnel["routes"][0]["name"])
            rig.connect(tunnel)
        tap.is_({rig.get(tunnel)[0]
                 for _ in range(3)}, {200}, f"no news: {how}: open again at once")
        rig.deaf = False
    link("up")
    tap.is_(rig.stop(), [], "the rig without news ends cleanly")


class SlowRig(LateRig):
    """The other way round: news at once, and answers late while .holding is set. The watcher reads
    no news while it waits for its tracking connection's PONG, so that one is not held either."""
    LATE = 0
    NEWS = (*LateRig.NEWS, b"TRACKING")
    holding = False

    def _pass_on(self, source, to, redis, subscribed):
        if source is redis:
            to = Held(self, to, subscribed)
        super()._pass_on(source, to, redis, subscribed)


class Held:
    """httpd's end of a connection to Redis on which answers to questions wait."""
    def __init__(self, rig, sock, subscribed):
        self.rig, self.sock, self.subscribed = rig, sock, subscribed

    def sendall(self, data):
        while self.rig.holding and not self.subscribed.is_set():
            time.sleep(0.01)
        self.sock.sendall(data)

    def close(self):
        self.sock.close()


@test
def overtaken():
    """A change overtakes Redis's answer, which is on its way: it may serve the request that asked,
    and no other."""
    rig = SlowRig(vhost=SERVER_STATUS,
                  httpd_conf=ONE_CHILD,
                  relay_conf={"redis": {"timeout": "5s"}})
    wait_for(lambda: rig.server_status()["RelayLink"] == "up", "the link to Redis", 20)
    device = rig.device("nas")

    def ask_while(name, change):
        """The status of a request during whose look-up something changes."""
        answers = []
        rig.holding = True
        asking = threading.Thread(target=lambda: answers.append(rig.get(name)[0]))
        asking.start()
        time.sleep(0.3)
        changed = change()
        time.sleep(0.2)
        rig.holding = False
        asking.join()
        return answers[0], changed

    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    time.sleep(0.5)
    status, _ = ask_while(tunnel, lambda: rig.rly("close", tunnel["id"]))
    tap.ok(status in (200, 410), "overtaken: a request that asked before the close is answered",
           status)
    rig.status_after(tunnel)  # where the news were no faster than the answer
    tap.is_({rig.get(tunnel)[0]
             for _ in range(3)}, {410}, "overtaken: the next ones know of the close")
    status, late = ask_while("came-late", lambda: rig.open(device.url, name="came-late"))
    tap.ok(status in (404, 503), "overtaken: a request that asked before the open is answered",
           status)
    rig.connect(late)
    tap.is_({rig.get(late)[0]
             for _ in range(3)}, {200}, "overtaken: the next ones know of the open")
    tap.is_(rig.stop(), [], "the rig with slow answers ends cleanly")


tap.run()
