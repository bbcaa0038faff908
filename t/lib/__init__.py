# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the tests have in common. They run from t/, so that `from lib import …` is all they need.

The names below are what most tests want. The rest is taken from its module: `from lib.browser
import Browser`."""
from .basics import TOP, RigError, free_port, listeners, read, run, wait_for, write
from .relayrig import APACHE2, ASAN_KEEPS_LITTLE, MODULES, Rig, edit, one_child
from .rlydlib import (Door, Namespace, Sources, alive, connection_pair, ended, events, fds,
                      hand_over, holder, kill, live, log, monitor_of, own_network, processes,
                      rss_kb, wait, within)
from .server import Server
from .store import Store
from .tap import fixture, test
from .watching import Asker, timed

__all__ = [
    "APACHE2", "ASAN_KEEPS_LITTLE", "Asker", "Door", "MODULES", "Namespace", "Rig", "RigError",
    "Server", "Sources", "Store", "TOP", "alive", "connection_pair", "edit", "ended", "events",
    "fds", "fixture", "free_port", "hand_over", "holder", "kill", "listeners", "live", "log",
    "monitor_of", "one_child", "own_network", "processes", "read", "rss_kb", "run", "test", "timed",
    "wait", "wait_for", "within", "write"
]
