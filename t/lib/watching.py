# Licensed under the Apache License, Version 2.0; see LICENSE.
"""For tests that watch how long things take while something is wrong with a part of the relay."""
import time


def timed(function, *args):
    """(result, seconds)"""
    began = time.monotonic()
    result = function(*args)
    return result, time.monotonic() - began
