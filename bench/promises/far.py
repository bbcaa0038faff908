# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A device far away: one request after another on a kept connection, and a page with 30 assets in
Chromium over HTTP/2."""
import os
import statistics
import time

from device import nginx_device
from field import OURS, STATIC, Field
from lib.browser import Browser
from lib.delayline import DelayLine
from lib.rigclient import Client
from measure import Result, interleaved, say
from peers.published import OLD, StockClient, published, stock_sshd

ASSETS = 30


def write_page(www):
    """Makes a page that needs 30 files more: style sheets, scripts, pictures, about 8 kB each."""
    where = f"{www}/page"
    os.mkdir(where, 0o755)
    tags = []
    for i in range(ASSETS):
        if i < 4:
            name, tag = f"{i}.css", '<link rel=stylesheet href="{}">'
            text = f".c{i} {{ color: #12{i}456 }}\n" * 400
        elif i < 10:
            name, tag = f"{i}.js", '<script src="{}" defer></script>'
            text = f"window.x{i} = 1;\n" * 500
        else:
            name, tag = f"{i}.svg", '<img src="{}">'
            text = ('<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">'
                    f'<rect width="{i}" height="{i}"/>{" " * 8000}</svg>')
        with open(f"{where}/{name}", "w") as f:
            f.write(text)
        tags.append(tag.format(name))
    with open(f"{where}/index.html", "w") as f:
        f.write("<!doctype html><meta charset=utf-8><title>page</title>" + "\n".join(tags))


def sequential(field, side, count):
    """@return the median milliseconds of a request, on one connection that is warm all the way"""
    there, rig = Client(), field.rig
    there.ca, there.address, there.domain = rig.ca, rig.address, rig.domain
    there.https_port = side.tls
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
    """@return the milliseconds from navigation to the load event, which waits for all assets"""
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
    device, rig = nginx_device(field), field.rig
    fast, stock = rig.open(device.url, name="fast"), rig.open(device.url, name="stock")
    sshd, key = stock_sshd(field)
    with DelayLine(rig.address, field.ssh_in(),
                   distance / 2000) as ours, DelayLine(rig.address, sshd.port,
                                                       distance / 2000) as theirs:
        field.connect(fast, delay=ours.port)
        StockClient(field, sshd, key, [(stock["routes"][0]["listen"], f"127.0.0.1:{device.port}")],
                    ["-p", str(theirs.port)])
        sides = [field.static(fast), field.mod_relay(fast), published(field, stock, sshd)]
        say(f"far: {distance} ms, {rounds} rounds of {count} requests for each of {len(sides)} "
            "sides")
        request = f"a request, {distance} ms away"
        load = f"a page of {ASSETS} assets, {distance} ms away"
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
