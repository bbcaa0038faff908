# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Peers that Debian does not package."""


def sides(field, device):
    return []
