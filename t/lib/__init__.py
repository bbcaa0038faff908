# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The tests share this package. `from lib import …` is all they need, as Python finds
what lies beside the program that it runs. script/demo and script/bench name t/ in PYTHONPATH.

The names below are what most tests want. The others are taken from their modules, as in `from
lib.browser import Browser`.

    tap         the checks, and what runs a test's functions: @test, @fixture, tap.run()
    basics      programs that come to their end, waiting, ports, files
    server      server processes, and Redis
    keeper      sees to it that nothing outlives a test, however that ends

A relay:

    relayrig    Rig, a whole relay on loopback; rigpki makes its certificates, riglog judges its
                logs, righttpd starts more Apaches beside its own
    apirig      the same with the API, and calls of it
    core        Core, the hosts of a Redis with Sentinel, in network namespaces
    store       Store, rly and a Redis without the other servers: made in 0.2 s, where a rig takes 3
    authkeyslib relay-authkeys by itself, run as sshd runs it
    clockrig    a rig whose programs have a clock that steps

A device:

    rigdevice   stock ssh with a bundle, and the web server device.py in a process of its own
    manydevices thousands of them in one process, each with a secret that proves whose answer it is
    trap        in the test's own process, with a thread for each connection, so that the test sees
                each byte and says what is answered: a strict one, one that speaks HTTP/2; ntlm is
                one that logs connections in
    squatter    no device: somebody else who listens where one would
    box         which programs a device has; sshclients and delayline: how it comes to the relay
    network     addresses to come from, and networks that can be cut

A visitor:

    rigclient   rig.get() and the like: one request at a time, for tests that are threads
    visitor     for tests with an event loop, where hundreds of them keep connections; hammer is a
                crowd of them in a process of its own
    watching    one who asks all the time, beside what a test does
    browser     Chromium

sessions, sockdiag, privatelog and layers look at rlyd, at what listens, at syslog and at the
program's files. chaos, faults, fleet and judge are never-wrong.t's world; demo is script/demo."""
from .basics import (TOP, RigError, free_port, listeners, read, run, timed, wait, wait_for, within,
                     write)
from .network import Namespace, Sources, connection_pair, own_network
from .relayrig import APACHE2, ASAN_KEEPS_LITTLE, MODULES, Rig, edit, one_child
from .rigclient import SERVER_STATUS
from .riglog import DEVICE_GONE
from .server import Server
from .sessions import (Door, alive, ended, events, fds, hand_over, holder, kill, live, log,
                       monitor_of, processes, rss_kb)
from .store import Store
from .tap import fixture, test
from .watching import Asker

__all__ = [
    "APACHE2", "ASAN_KEEPS_LITTLE", "Asker", "DEVICE_GONE", "Door", "MODULES", "Namespace", "Rig",
    "RigError", "SERVER_STATUS", "Server", "Sources", "Store", "TOP", "alive", "connection_pair",
    "edit", "ended", "events", "fds", "fixture", "free_port", "hand_over", "holder", "kill",
    "listeners", "live", "log", "monitor_of", "one_child", "own_network", "processes", "read",
    "rss_kb", "run", "test", "timed", "wait", "wait_for", "within", "write"
]
