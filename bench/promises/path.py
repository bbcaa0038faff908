# Licensed under the Apache License, Version 2.0; see LICENSE.
"""1 kB, 16 connections, one tunnel of stock ssh: requests/s, p99, and the servers' CPU for each
request. mod_relay beside a static ProxyPass, which is the promise, and beside all peers."""
import load
from device import nginx_device
from field import OURS, STATIC, Field
from measure import Result, interleaved, say
from peers import named
from peers.packaged import NGINX, haproxy_map, nginx_regex
from peers.published import OLD, StockClient, published, stock_sshd

WHAT = "1 kB, 16 connections, one tunnel of stock ssh"


def sides_of(field, result):
    """@return static ProxyPass and mod_relay over their tunnel, the packaged peers over a stock
    one, and those that the environment names"""
    device = nginx_device(field)
    fast = field.rig.open(device.url, name="fast")
    field.connect(fast)
    sshd, key = stock_sshd(field)
    stock, port = field.rig.open(device.url, name="stock"), field.port()
    target = f"127.0.0.1:{device.port}"
    StockClient(field, sshd, key, [(stock["routes"][0]["listen"], target),
                                   (f"127.0.0.1:{port}", target)])
    return [
        field.static(fast),
        field.mod_relay(fast),
        published(field, stock, sshd),
        nginx_regex(field, port, sshd),
        haproxy_map(field, port, sshd)
    ] + named.sides(field, device, result)


def one(field, side, how, seconds):
    """@return (Load, CPU seconds of the side's servers) of one run"""
    address, before = field.rig.address, load.cpu(side.roots())
    if how == "http":
        run = load.wrk(address, side.plain, side.host, seconds, tls=False)
    elif how == "https":
        run = load.wrk(address, side.tls, side.host, seconds)
    else:
        run = load.h2load(address, side.tls, side.host, "/", seconds)
    return run, load.cpu(side.roots()) - before


def start_anew(field, sides, how):
    """Two Apaches that are the same in everything differ by some per cent from one start to the
    next, in all rounds between. So those whose ratio must be known to a few per cent are started
    anew now and then."""
    for side in sides:
        side.restart()
    for side in sides:
        one(field, side, how, 1)


def speaks_http2(field, side, result):
    """A named peer need not; with any other side the measurement then fails."""
    if side.peer:
        try:
            one(field, side, "h2", 1)
        except load.NoHttp2 as e:
            result.note(f"{side.name}: {e}")
            return False
    return True


def run(options):
    result = Result("path", WHAT, (STATIC, OURS, OLD))
    rounds, more, seconds, fresh = options.pick(quick=(5, 5, 1, 99),
                                                normal=(11, 30, 1, 1),
                                                tiny=(1, 1, 1, 1))
    field = Field()
    try:
        sides = sides_of(field, result)
        for how in ("http", "https", "h2"):
            able = [s for s in sides if (s.plain if how == "http" else s.tls)]
            if how == "h2":
                able = [s for s in able if speaks_http2(field, s, result)]
            say(f"path: {how}, {rounds} rounds of {seconds} s for each of {len(able)} sides, "
                f"{more} more for the first two")
            warm = 0 if options.size == "tiny" else 1
            last = 0
            for n, side in interleaved(warm + rounds, able, more):
                if n != last and n % fresh == 0:
                    start_anew(field, able[:2], how)
                last = n
                found, spent = one(field, side, how, seconds if n >= warm else 1)
                if n < warm:
                    continue
                result.add(side.name, f"{how} requests", "1/s", found.rate)
                if found.p99 is not None:
                    result.add(side.name, f"{how} p99", "ms", found.p99)
                result.add(side.name, f"{how} server CPU per request", "us",
                           spent / found.requests * 1e6)
        judge(result, [s.name for s in sides])
        result.note(
            f"static ProxyPass and mod_relay share one tunnel: {field.way_in()}. The others "
            "share one of a stock sshd.")
        result.note(
            "nginx: a proxy_pass with a variable takes no `keepalive` upstream, so each request "
            "has a connection of its "
            "own. haproxy reuses its connections (http-reuse always).")
    finally:
        field.close()
    return result


def judge(result, names):
    for how in ("http", "https", "h2"):
        rate = f"{how} requests"
        result.target_ratio(OURS, STATIC, rate, ">=", 0.97)
        result.target_ratio(OURS, OLD, rate, ">=", 3)
        result.target_ratio(OURS, NGINX, rate, ">=", 4)
        for peer in names:
            if peer not in (STATIC, OURS, OLD, NGINX) and result.median(peer, rate):
                result.target_ratio(OURS, peer, rate, ">=", 1)
        if result.median(OURS, f"{how} p99"):
            result.target_ratio(OURS, OLD, f"{how} p99", "<=", 0.25)
