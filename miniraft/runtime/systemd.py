"""Tells systemd how the start is going (sd_notify), when it wants to know."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Sends `state` (READY=1, STOPPING=1, ...) to the socket systemd named. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.sendto(state.encode(), address)
