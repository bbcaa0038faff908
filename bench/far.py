# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A device far away: one request after another on a kept connection, and a page with 30 assets in
Chromium over HTTP/2."""
import os
import statistics
import time

import fronts
from lib.browser import Browser
from lib.delayline import DelayLine
from field import Field, StockClient
from measure import Result, interleaved, say
from lib.rigclient import Client

STATIC, OURS, OLD = "static ProxyPass", "mod_relay", "published stack"
ASSETS = 30


def write_page(www):
    """A page that needs 30 more files: style sheets, scripts, pictures, about 8 kB each."""
    where = f"{www}/page"
    os.mkdir(where, 0o755)
    tags = []
    for i in range(ASSETS):
        if i < 4:
            name, text, tag = f"{i}.css", f".c{i} {{ color: #12{i}456 }}\n" * 400, '<link rel=stylesheet href="{}">'
        elif i < 10:
            name, text, tag = f"{i}.js", f"window.x{i} = 1;\n" * 500, '<script src="{}" defer></script>'
        else:
            name = f"{i}.svg"
            text = f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="{i}" height="{i}"/>{" " * 8000}</svg>'
            tag = '<img src="{}">'
        with open(f"{where}/{name}", "w") as f:
            f.write(text)
        tags.append(tag.format(name))
    with open(f"{where}/index.html", "w") as f:
        f.write("<!doctype html><meta charset=utf-8><title>page</title>" + "\n".join(tags))


def sequential(field, side, count):
    """Median milliseconds of a request, on one connection that is warm all the way."""
    there = Client()
    there.ca, there.address, there.https_port, there.domain = field.rig.ca, field.rig.address, side.tls, field.rig.domain
    connection = there.connection(side.host)
    took = []
    for _ in range(count + 2):
        began = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        took.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(took[2:]) * 1000


def page(browser, side):
    """Milliseconds from navigation to the load event, which waits for all assets."""
    browser.open(f"https://{side.host}:{side.tls}/page/index.html")
    found = browser.wait(
        "const n = performance.getEntriesByType('navigation')[0]; return n.loadEventEnd > 0 && "
        "[n.loadEventEnd - n.startTime, performance.getEntriesByType('resource').length, "
        "n.nextHopProtocol]")
    if found[1] != ASSETS or found[2] != "h2":
        raise RuntimeError(f"{side.name}: the page loaded {found[1]} assets by {found[2]}")
    return found[0]


def run(options):
    distances = options.pick(normal=[50, 200], tiny=[50])
    rounds, count = options.pick(quick=(5, 6), normal=(9, 10), tiny=(1, 3))
    result = Result("far", "a device so many ms (round trip) away", (STATIC, OURS, OLD))
    for distance in distances:
        field = Field()
        try:
            write_page(field.www)
            at_distance(field, result, distance, rounds, count, options)
        finally:
            field.close()
    return result


def at_distance(field, result, distance, rounds, count, options):
    device, rig = fronts.device(field), field.rig
    fast, stock = rig.open(device.url, name="fast"), rig.open(device.url, name="stock")
    sshd, key = field.stock_sshd()
    with DelayLine(rig.address, field.ssh_in(),
                   distance / 2000) as ours, DelayLine(rig.address, sshd.port,
                                                       distance / 2000) as theirs:
        field.connect(fast, delay=ours.port)
        StockClient(field, sshd, key, [(stock["routes"][0]["listen"], f"127.0.0.1:{device.port}")],
                    ["-p", str(theirs.port)])
        sides = [field.static(fast), field.mod_relay(fast), field.published(stock, sshd)]
        say(f"far: {distance} ms, {rounds} rounds of {count} requests for each of {len(sides)} "
            "sides")
        request, load = f"a request, {distance} ms away", f"a page of {ASSETS} assets, {distance} ms away"
        for n, side in interleaved(rounds, sides):
            result.add(side.name, request, "round trips", sequential(field, side, count) / distance)
        result.target(f"{request}: mod_relay", "<=", 1.1, result.median(OURS, request))
        result.target(f"{request}: the published stack", ">=", 2, result.median(OLD, request))
        if options.size == "tiny":
            return
        say(f"far: {distance} ms, the page in Chromium")
        try:
            with Browser(rig) as browser:
                for n, side in interleaved(rounds + 1, sides):
                    took = page(browser, side)
                    if n:
                        result.add(side.name, load, "ms", took)
        except (OSError, RuntimeError) as e:  # what was measured before shall not be lost
            result.note(f"Chromium, {distance} ms: {e}")
        result.target_ratio(OURS, STATIC, load, "<=", 1.05)
