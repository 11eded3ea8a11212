"""Lets another terminal talk to a running cluster: one JSON line each way over a Unix socket.

The socket is in the cluster's folder, which only its owner may enter; a path too long for a
socket goes to a private folder of the system, and `control` in the cluster's folder names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniraft.local_cluster.problem import ClusterError
from miniraft.local_cluster.supervisor import COMMANDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from miniraft.local_cluster.supervisor import Supervisor

MAX_LINE_BYTES = 1 << 16
MAX_SOCKET_PATH = 100  # bytes; the kernel takes 107
REPLY_TIMEOUT_SECONDS = 30.0
_NAME_FILE = "control"


@contextlib.asynccontextmanager
async def control_server(supervisor: Supervisor) -> AsyncIterator[None]:
    """Answers other terminals while the body runs."""
    folder = supervisor.layout.folder
    with contextlib.ExitStack() as stack:
        path = folder / "control.sock"
        if len(bytes(path)) > MAX_SOCKET_PATH:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="miniraft-"))) / "control.sock"
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(
            lambda reader, writer: _answer(supervisor, reader, writer), path, limit=MAX_LINE_BYTES
        )
        (folder / _NAME_FILE).write_text(str(path))
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)
            (folder / _NAME_FILE).unlink(missing_ok=True)


async def _answer(supervisor: Supervisor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        line = await asyncio.wait_for(reader.readline(), REPLY_TIMEOUT_SECONDS)
        reply = await _reply(supervisor, line)
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
    except (OSError, ValueError, TimeoutError):
        pass  # the other terminal went away, or is none of ours
    finally:
        writer.close()


async def _reply(supervisor: Supervisor, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        command, member = str(request["command"]), str(request.get("member", ""))
        if command == "status":
            return {"ok": True, "status": status_of(supervisor)}
        return {"ok": True, "message": await supervisor.execute(command, member)}
    except ClusterError as error:
        return {"ok": False, "message": str(error)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"ok": False, "message": f"not understood; write one of status, {', '.join(COMMANDS)}"}


def status_of(supervisor: Supervisor) -> dict[str, Any]:
    """The cluster's status as JSON."""
    view = supervisor.view()
    leader = view.leader
    return {
        "members": [
            {
                "number": member.number,
                "name": member.name,
                "client_url": member.client_url,
                "pid": member.pid,
                "state": member.state,
                "answer": member.answer._asdict() if member.answer else None,
                "leader": member.leader,
            }
            for member in view.members
        ],
        "folder": view.folder,
        "page_url": view.page_url,
        "leader": leader.name if leader else "",
        "term": view.term,
        "alive": view.alive,
        "quorum": view.quorum,
        "can_lose": max(view.can_lose, 0),
    }


def ask(folder: Path, command: str, member: str = "") -> dict[str, Any]:
    """Sends a command to the cluster that runs in `folder`.

    Returns its reply. Raises ClusterError when none runs there or when it refuses.
    """
    try:
        path = (folder / _NAME_FILE).read_text().strip()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(REPLY_TIMEOUT_SECONDS)
            connection.connect(path)
            connection.sendall(json.dumps({"command": command, "member": member}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                reply: dict[str, Any] = json.loads(lines.readline(1 << 20))
    except TimeoutError:
        raise ClusterError(f"the cluster in {folder} does not answer; look at its terminal") from None
    except (OSError, ValueError):
        raise ClusterError(
            f"no cluster runs in {folder}; start one with: miniraft cluster --data-dir {folder}"
        ) from None
    if not reply.get("ok"):
        raise ClusterError(str(reply.get("message", "refused")))
    return reply
