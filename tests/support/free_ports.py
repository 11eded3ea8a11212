"""Ports nobody listens on just now."""

import random
import socket


def free_base_port(count):
    """Returns the first of `count` consecutive free ports of 127.0.0.1, below the ephemeral ones."""
    for _ in range(200):
        base = random.randrange(11000, 32000 - count)
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise RuntimeError(f"no {count} consecutive free ports were found")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
