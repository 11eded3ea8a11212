"""What this process holds open."""

import contextlib
from pathlib import Path


def open_sockets():
    """Returns how many descriptors of sockets there are."""
    count = 0
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(entry.readlink()).startswith("socket:")
    return count
