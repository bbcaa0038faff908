# Licensed under the Apache License, Version 2.0; see LICENSE.
"""300 MB down and up through HTTPS, in one stream and in eight, and Apache's memory meanwhile."""
import os

import load
from device import nginx_device
from field import OURS, STATIC, Field
from measure import Result, interleaved, say
from peers.published import OLD, three_sides


def files(field, size, streams):
    """Makes the files that are fetched, at /STREAMS.bin, and sent. All streams together are `size`
    bytes."""
    for n in streams:
        with open(f"{field.www}/{n}.bin", "wb") as f:
            left = size // n
            block = os.urandom(1 << 20)  # nothing on the way may profit from zeros
            while left:
                left -= f.write(block[:left])


def run(options):
    size = options.pick(quick=100_000_000, normal=300_000_000, tiny=8_000_000)
    rounds, more = options.pick(quick=(5, 0), normal=(7, 24), tiny=(1, 0))
    streams = (1, 8)
    result = Result("bulk", f"{size / 1e6:.0f} MB through HTTPS, all streams together",
                    (STATIC, OURS, OLD))
    field = Field()
    try:
        files(field, size, streams)
        device = nginx_device(field)
        sides = three_sides(field, device)
        httpd = {side.name: side.roots()[0] for side in sides}
        for way in ("down", "up"):
            for count in streams:
                measure = f"{way}, {count} stream{'s' if count > 1 else ''}"
                say(f"bulk: {measure}, {rounds} rounds for each of {len(sides)} sides")
                for n, side in interleaved(rounds, sides, more):
                    transfer(field, result, side, way, count, measure)
                    result.add(side.name, f"Apache's memory after {measure}", "MiB",
                               load.pss([httpd[side.name]]))
                result.target_ratio(OURS, STATIC, measure, ">=", 0.97)
        grown = [
            sides[OURS][-1] - sides[OURS][0] for measure, sides in result.values.items()
            if "memory" in measure
        ]
        result.target("MiB that mod_relay's Apache grew by in the rounds of one kind, at most", "<",
                      10,
                      max(grown) if rounds > 1 else None)
        result.note(
            "the published stack's ssh uses the client's default cipher, chacha20-poly1305; the "
            "bundle asks for aes128-gcm first")
        result.note(f"the tunnel of static ProxyPass and mod_relay: {field.way_in()}")
    finally:
        field.close()
    return result


def transfer(field, result, side, way, count, measure):
    rig, upload = field.rig, f"{field.www}/{count}.bin"
    path = "/up" if way == "up" else f"/{count}.bin"
    before = load.cpu(side.roots())
    seconds, total = load.curl(rig.address, side.tls, side.host, path, rig.ca, count,
                               upload if way == "up" else None)
    wanted = os.path.getsize(upload) * count
    if total < wanted:
        raise load.LoadError(f"{side.name}: {measure}: {total} of {wanted} bytes went through")
    result.add(side.name, measure, "MB/s", wanted / seconds / 1e6)
    result.add(side.name, f"server CPU, {measure}", "ms/MB",
               (load.cpu(side.roots()) - before) * 1000 / (wanted / 1e6))
