# Licensed under the Apache License, Version 2.0; see LICENSE.
"""One tunnel without any web server before it: wrk asks the listen address itself. It shows the
cost of sshd's Nagle, and the gain of rlyd's TCP_NODELAY."""
import load
from device import nginx_device
from field import Field
from measure import Result, interleaved, say
from peers.published import StockClient, stock_sshd
from sshd import set_nodelay

STOCK, DIRECT = "stock sshd", "the device, no tunnel"
HANDED, LISTENING = "handed off", "listening, TCP_NODELAY"


class Way:
    """One way to the device: name, and the address where wrk asks."""
    def __init__(self, name, address):
        self.name = name
        self.address, self.port = address.split(":")


def ways(field):
    """The stock way is Debian's sshd and `ssh -N -R PORT:…` as people type it. The other two use
    the bundle."""
    device, rig = nginx_device(field), field.rig
    sshd, key = stock_sshd(field)
    port = field.port()
    StockClient(field, sshd, key, [(f"127.0.0.1:{port}", f"127.0.0.1:{device.port}")])
    found = [Way(STOCK, f"127.0.0.1:{port}")]
    if field.handed_off:
        tunnel = rig.open(device.url, name="handed")
        field.connect(tunnel)
        found.append(Way(HANDED, tunnel["routes"][0]["listen"]))
    tunnel = rig.open(device.url, name="listening")
    # rlyd does so for the sshd of relay.conf's sshd-config.
    set_nodelay(rig.servers["sshd"].pid, rig.ssh_port)
    field.connect(tunnel, delay=rig.ssh_port)
    found.append(Way(LISTENING, tunnel["routes"][0]["listen"]))
    return found + [Way(DIRECT, f"127.0.0.1:{device.port}")]


def run(options):
    result = Result(
        "tunnel", "1 kB, 16 connections, straight to the listen address of one tunnel of stock ssh",
        (STOCK, HANDED, LISTENING))
    rounds, seconds = options.pick(quick=(5, 1), normal=(11, 2), tiny=(1, 1))
    field = Field()
    try:
        all_ways = ways(field)
        say(f"tunnel: {rounds} rounds of {seconds} s for each of {len(all_ways)} sides")
        for _, way in interleaved(rounds, all_ways):
            found = load.wrk(way.address, way.port, "device", seconds, tls=False)
            result.add(way.name, "requests", "1/s", found.rate)
            result.add(way.name, "p99", "ms", found.p99)
        for name in (HANDED, LISTENING):
            result.target_ratio(name, STOCK, "requests", ">=", 5)
        result.note("the bundle asks for aes128-gcm first, the plain `ssh -N -R` uses the client's "
                    "default, chacha20-poly1305")
        result.note(
            "a stock sshd's Nagle waits for delayed ACKs only while nothing else is under way: "
            "on busy CPUs it seems faster than it is")
    finally:
        field.close()
    return result
