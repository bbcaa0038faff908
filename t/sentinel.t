#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""sentinel:// with three Redis and three Sentinels as redis-conf/ has them, in network namespaces,
and two relays: the primary is killed, hangs, or is cut off. What `rly' or the API said is done is
there afterwards, and what is not confirmed is said to be so. RELAY_SENTINEL=all tries more, in a
minute.
"""
import os
import re
import shutil
import signal

from lib import Asker, fixture, one_child, run, tap, test, wait, wait_for, within
from lib.apirig import ApiRig
from lib.core import any_key, ApiWriter, Core, once, Writer

EXPECTED = r"RLY43[01] |RLY11[01] |RLY120 |RLY718 |AH00957|AH01114"
ALL = os.environ.get("RELAY_SENTINEL") == "all"


class CoreRig(ApiRig):
    """A relay with an API, which has its state on core hosts."""
    def __init__(self, core, name="relay1"):
        self.core, self.name = core, name
        # Without a limit a call's look at its token writes nothing, for which WAIT might wait.
        super().__init__(
            rate=0,
            rlyd=True,
            httpd_conf=one_child(25),
            relay_conf={"relay": {"name": name}, "redis": {"url": core.url, "passwords": None}})

    def _install(self):
        return self.core.rig.root if self.core.rig else super()._install()

    def _api_conf(self):
        return self.conf  # the password is in the folder

    def _start_redis(self):
        if not self.core.rig:
            self.core.start(self)
        with open(self.conf, "a") as f:
            f.write(f"[redis]\npasswords = {self.core.rig.dir}/etc/redis.d\n")


@fixture
def rig():
    core = Core()
    try:
        rig = CoreRig(core)
        rig.expect(EXPECTED)
        yield rig
        rig.ends_cleanly()
    finally:
        core.close()


@fixture
def tunnel(rig):
    device = rig.device("nas")
    tunnel = rig.open(device.url)
    rig.connect(tunnel)
    tap.is_(rig.get(tunnel)[0], 200, "sentinel://: a device gets in and is reached")
    return tunnel


@fixture
def second(rig, tunnel):
    """(another relay of the same fleet, a tunnel of it)"""
    other = CoreRig(rig.core, "relay2")
    other.expect(EXPECTED)
    device = other.device("nas")
    its = other.open(device.url)
    other.connect(its)
    tap.is_([other.get(its)[0], other.get(tunnel)[0]], [200, 503],
            "a second relay serves its own tunnel, and not the first's")
    yield other, its
    other.ends_cleanly("the second relay")


def lost(writers, host):
    """What was acknowledged and is not there."""
    ids = [i for writer in writers for i in writer.acknowledged()]
    return [i for i in ids if host("EXISTS", f"relay:tunnel:{i}") != "1"]


def judge(rig, what, *writers):
    done = sum(len(w.acknowledged()) for w in writers)
    tap.is_(lost(writers, rig.core.primary()), [],
            f"{what}: nothing is lost of {done} opens that were acknowledged")
    refused = [said for w in writers for said in w.refused()]
    tap.note(f"{what}: {writers[0].gap():.1f} s without writes; {len(refused)} refused")
    for said in sorted({re.sub("tunnel [a-z2-7]{16}", "tunnel …", said) for said in refused}):
        tap.note(f"  {said}")
    return refused


def after(rig, writer, count=3):
    """Until so many more were acknowledged."""
    before = len(writer.acknowledged())
    wait_for(lambda: len(writer.acknowledged()) >= before + count, "opens", 25)


def visit(rig, tunnel):
    return Asker(rig, tunnel, lambda path, status, body: status == 200)


def noticed_nothing(visitor, what):
    visitor.stop()
    tap.is_(visitor.wrong, [], f"{what}: {visitor.asked} visits of a known name, none notices")


def serves(rig, tunnel, what):
    """By itself all is well again."""
    took = wait(lambda: rig.get("unheard-of")[0] == 404, 15)
    tap.ok(within(15, took), f"{what}: httpd asks the new primary", took)
    name = rig.open("80")
    wait_for(lambda: rig.get(name)[0] == 503, "the new name", 3)
    rig.rly("close", name["id"])
    took = wait(lambda: rig.get(name)[0] == 410, 3)
    tap.ok(within(2, took), f"{what}: httpd hears of a close", took)
    tap.is_(rig.get(tunnel)[0], 200, f"{what}: the device of before is reached")
    live = wait(lambda: rig.core.primary()("HLEN", f"relay:live:{rig.name}") == "1", 10)
    tap.ok(within(10, live), f"{what}: rlyd writes to the new primary", live)


def follows(host):
    wait_for(lambda: host.role() == "slave connected", "the old primary follows", 25)


@test
def unconfirmed(rig, tunnel):
    """The replicas hang, and the primary has not noticed yet."""
    primary = rig.core.primary()
    replicas = rig.core.others(primary)
    closing = rig.open("80")
    key = f"{rig.dir}/pki/device"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key])
    wait_for(lambda: "lag=0" in primary("INFO", "replication"), "the replicas", 5)
    for host in replicas:
        host.redis.signal(signal.SIGSTOP)
    opened = rig.rly("open", "-n", "doubtful", "-k", f"{key}.pub", "80", check=False)
    tap.is_(opened.returncode, 3, "no replica answers: rly open exits with 3")
    tap.like(opened.stderr, "not confirmed: .* no replica has it.*is closed again",
             "… and says that it is not confirmed, and closed again")
    for host in replicas:
        host.redis.signal(signal.SIGCONT)
    # 1: it was closed before, though not confirmed.
    wait_for(lambda: rig.rly("close", closing["id"], check=False).returncode in (0, 1),
             "the replicas are back", 10)
    took = wait(lambda: rig.rly("open", "-n", "doubtful", "-k", f"{key}.pub", "80", check=False).
                returncode == 0)
    tap.ok(within(5, took), "with the same name and key it can be said again", took)
    again = rig.rly("close", closing["id"], check=False)
    tap.is_(again.returncode, 1, "a close that is confirmed: the next one finds it closed")
    tap.like(again.stderr, "was closed", "… and says so")


@fixture
def operator(rig, tunnel):
    """A token of a tenant that has nothing yet."""
    return rig.token("--role", "operator", "--tenant", "bern")


def listed(rig, token):
    """What the API lists: the open tunnels of the token's tenant."""
    path, found = "/v1/tunnels?limit=200", []
    while path:
        page = rig.call("GET", path, token).json
        found += [t["id"] for t in page["tunnels"]]
        path = page["next"] and f"/v1/tunnels?limit=200&cursor={page['next']}"
    return found


@test
def unconfirmed_post(rig, operator):
    """The same by the API, whose caller asks again under his Idempotency-Key."""
    primary = rig.core.primary()
    replicas = rig.core.others(primary)
    asked = {"services": ["80"], "public_key": any_key(), "names": ["twice-asked"]}
    fields = once()

    def post(fields=fields, **members):
        return rig.call("POST", "/v1/tunnels", operator, {**asked, **members}, fields)

    wait_for(lambda: "lag=0" in primary("INFO", "replication"), "the replicas", 5)
    for host in replicas:
        host.redis.signal(signal.SIGSTOP)
    first, again = post(), post()
    there = listed(rig, operator)
    for host in replicas:
        host.redis.signal(signal.SIGCONT)
    tap.is_(first.status, 503, "no replica answers: POST is 503")
    tap.like(first.json["detail"], "^not confirmed: .*under the same Idempotency-Key",
             "… and says that it is not confirmed")
    tap.is_(first.headers["Retry-After"], "1", "… and when to ask again")
    tap.is_(len(there), 1, "the tunnel stays open for that")
    tap.is_(again.status, 503, "asked again it is still not confirmed")
    answers = []
    wait_for(lambda: answers.append(post()) or answers[-1].status == 201, "the replicas are back",
             10)
    tap.is_([answers[-1].json["id"]], there, "asked again it is confirmed: the first tunnel")
    tap.is_({a.status for a in answers[:-1]} - {503}, set(), "… and nothing else is answered")
    tap.is_(post().json["id"], there[0], "… whenever it is asked")
    events = primary("XRANGE", "relay:events", "-", "+")
    tap.is_(len(re.findall(rf"what\nopen\ntunnel\n{there[0]}\n", events)), 1, "it was opened once")
    tap.is_(rig.call("DELETE", f"/v1/tunnels/{there[0]}", operator).status, 204, "it is closed")


@test
def killed(rig, tunnel, second, operator):
    """The primary's whole host dies, and comes back."""
    what = "kill -9 of the primary and its sentinel"
    other, its = second
    old, visitors = rig.core.primary(), [visit(rig, tunnel), visit(other, its)]
    writers = [Writer(rig), Writer(other), ApiWriter(other, operator)]
    for writer in writers:
        after(rig, writer)
    old.redis.kill()
    old.sentinel.kill()
    for writer in writers:
        after(rig, writer)
    for writer in writers:
        writer.stop()
    judge(rig, what, *writers)
    tap.is_(sorted(listed(other, operator)), sorted(writers[-1].acknowledged()),
            f"{what}: each POST that was repeated under its key happened once")
    tap.is_({status
             for _, _, status, _ in writers[-1].done}, {0, 503}, f"{what}: and was 503 before that")
    tap.ok(rig.core.primary() is not old, f"{what}: another is the primary")
    serves(rig, tunnel, what)
    serves(other, its, f"{what}, the second relay")
    for visitor in visitors:
        noticed_nothing(visitor, what)
    if ALL:  # it takes itself for the primary, until Sentinel turns it after some ten seconds
        old.redis.start()
    else:
        old.start_redis(rig.core.primary())
    old.sentinel.start()
    follows(old)


@test
def cut_off(rig, tunnel):
    """The primary is cut off with its sentinel, an operator, and a replica that Sentinel does not
    know, which answers WAIT."""
    what = "the primary is cut off"
    old = rig.core.primary()
    hidden = old.hidden_replica()
    visitor, writer, inside = visit(rig, tunnel), Writer(rig), Writer(rig, on=old)
    after(rig, writer)
    after(rig, inside)
    # The relay first: who sees both sides while the primary is cut off is another story.
    old.cut(rig.core.network.address(254), *(h.address for h in rig.core.others(old)))
    after(rig, writer)
    wait_for(lambda: "not confirmed" in inside.done[-1][3], "what is not confirmed", 5)
    inside.stop()
    old.mend()
    after(rig, writer)
    writer.stop()
    refused = judge(rig, what, writer, inside)
    tap.like("\n".join(refused), "not confirmed: .* fewer than half of the sentinels",
             f"{what}: an operator there is told that nothing is confirmed")
    tap.is_({status for _, _, status, _ in inside.done}, {0, 3}, f"{what}: by exit status 3")
    serves(rig, tunnel, what)
    noticed_nothing(visitor, what)
    hidden.stop()
    if ALL:
        follows(old)


@test
def hangs(rig, tunnel):
    what = "the primary hangs"
    if not ALL:
        tap.skip(what, "RELAY_SENTINEL=all tries that, too")
        return
    visitor, writer, old = visit(rig, tunnel), Writer(rig), rig.core.primary()
    after(rig, writer)
    old.redis.signal(signal.SIGSTOP)
    after(rig, writer)
    old.redis.signal(signal.SIGCONT)
    after(rig, writer)
    writer.stop()
    judge(rig, what, writer)
    serves(rig, tunnel, what)
    noticed_nothing(visitor, what)
    follows(old)


# --- read-url


def reads(host):
    """How many records were read there so far."""
    found = re.search(r"cmdstat_hgetall:calls=(\d+)", host("INFO", "commandstats"))
    return int(found[1]) if found else 0


def tracked(host):
    return "user=relay-web" in host("CLIENT", "LIST", "TYPE", "pubsub")


@fixture
def replica(rig, tunnel):
    """The relay's own. Its link is given up sooner than in real life."""
    host = rig.core.more("repl-timeout 2\n")
    with open(rig.conf, "a") as f:
        f.write(f"read-url = unix://{host.sock}\n")
    rig.graceful()
    wait_for(lambda: tracked(host), "httpd follows the replica", 5)
    return host


@test
def in_sync(rig, tunnel, replica):
    before = reads(replica)
    tap.is_(rig.get(tunnel)[0], 200, "read-url: a route is found")
    tap.is_(rig.get("unheard-of")[0], 404, "read-url: an absent one is absent")
    opened = rig.open("80")
    rig.connect(opened)
    tap.ok(
        reads(replica) >= before + 6, "read-url: httpd and relay-authkeys read the replica",
        f"{before} {reads(replica)}")
    rig.rly("close", opened["id"])
    took = wait(lambda: rig.get(opened)[0] == 410)
    tap.ok(within(1, took), "read-url: a close is heard of by the replica", took)
    primary = rig.core.primary()
    tap.ok(not tracked(primary), "read-url: httpd follows nothing else")


@test
def behind(rig, tunnel, replica):
    """The replica is cut off from the primary, but httpd is not."""
    device = rig.device("late")
    known = rig.open("80")
    visitor = visit(rig, tunnel)
    replica.cut(*(h.address for h in rig.core.hosts))
    wait_for(lambda: replica.role() != "slave connected", "the replica notices", 10)
    opened = rig.open(device.url)
    tap.is_(replica("EXISTS", f"relay:tunnel:{opened['id']}"), "0",
            "a replica is cut off: it lacks what is new")
    rig.connect(opened)
    tap.is_(rig.get(opened)[0], 200, "the key and the route are found at the primary all the same")
    tap.is_(rig.get("unheard-of")[0], 404, "what the primary does not know is absent")
    rig.rly("close", known["id"])
    took = wait(lambda: rig.get(known)[0] == 410)
    tap.ok(within(2, took), "httpd hears of a close, at the primary", took)
    # And empty, as before its first sync.
    replica.redis.stop()
    for name in ("appendonlydir", "dump.rdb"):
        shutil.rmtree(f"{replica.dir}/{name}", ignore_errors=True)
    replica.redis.start()
    tap.is_((replica("DBSIZE"), replica.role()), ("0", "slave connect"), "the replica is empty")
    tap.is_([rig.get(t)[0] for t in (tunnel, opened, "never-heard")], [200, 200, 404],
            "an empty replica is not believed")
    rig.connect(rig.open("80"))
    replica.mend()
    wait_for(lambda: replica.role() == "slave connected", "the replica is in sync again", 10)
    wait_for(lambda: tracked(replica), "httpd follows the replica again", 10)
    noticed_nothing(visitor, "a replica is cut off, empty, and gets all anew")
    tap.is_([rig.get(t)[0] for t in (tunnel, opened, known)], [200, 200, 410],
            "it is followed again")


@test
def alone(rig, tunnel, replica):
    """All core hosts are gone."""
    device = rig.device("alone")
    unseen = rig.open(device.url)
    wait_for(lambda: replica("EXISTS", f"relay:tunnel:{unseen['id']}") == "1", "the replica", 5)
    for host in rig.core.hosts:
        host.sentinel.kill()
        host.redis.kill()
    wait_for(lambda: replica.role() != "slave connected", "the replica notices", 10)
    rig.connect(unseen)
    tap.is_(
        [rig.get(t)[0] for t in (tunnel, unseen, "unheard-of")], [200, 200, 503],
        "all core hosts are gone: a device gets in and is reached by what the replica has; what "
        "it lacks is 503")


tap.run()
