"""What the page may ask for: read from JSON, checked, and turned into what members understand."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from miniraft.local_cluster.view import ClusterView

ANY = "any"  # whichever member takes the connection, as a client with all endpoints
MAX_KEY_BYTES = 1024
MAX_VALUE_BYTES = 64 << 10
MAX_TEXT = 2000  # characters of an answer


class BadRequest(Exception):  # noqa: N818 (what the status line says)
    """The message says what was wrong and what to send."""


class MemberAction(NamedTuple):
    """One of the supervisor's commands for a member."""

    command: str
    member: str


class KeyRequest(NamedTuple):
    """A put or a get, and whom to ask: a member's name, or ANY."""

    operation: str
    key: str
    value: str
    member: str
    serializable: bool


class KeyAnswer(NamedTuple):
    """How a put or get ended. `text` is the value, the confirmation, or why it was refused."""

    ok: bool
    text: str
    member: str  # who was asked in the end
    took_ms: int
    detail: str = ""


class WriterSwitch(NamedTuple):
    """Whether to write once a second, and to whom."""

    on: bool
    member: str


def read_action(body: bytes) -> MemberAction:
    """Reads {"command", "member"}. Raises BadRequest."""
    document = _object(body)
    return MemberAction(_text(document, "command", 20), _text(document, "member", 64))


def read_key_request(body: bytes) -> KeyRequest:
    """Reads {"operation", "key", "value", "member", "serializable"}. Raises BadRequest."""
    document = _object(body)
    operation = _text(document, "operation", 20)
    if operation not in ("put", "get"):
        raise BadRequest(f"there is no operation {operation!r}; send put or get")
    key = _text(document, "key", MAX_KEY_BYTES)
    if not key:
        raise BadRequest("the key is empty; write one")
    value = _text(document, "value", MAX_VALUE_BYTES) if operation == "put" else ""
    serializable = _flag(document, "serializable") if operation == "get" else False
    return KeyRequest(operation, key, value, _text(document, "member", 64), serializable)


def read_writer_switch(body: bytes) -> WriterSwitch:
    """Reads {"on", "member"}. Raises BadRequest."""
    document = _object(body)
    return WriterSwitch(_flag(document, "on"), _text(document, "member", 64))


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise BadRequest("the body is no JSON object; send one")
    return document


def _text(document: dict[str, Any], name: str, max_bytes: int) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise BadRequest(f'"{name}" is missing or no text; send one')
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise BadRequest(f'"{name}" has half of a surrogate pair; send whole characters') from None
    if size > max_bytes:
        raise BadRequest(f'"{name}" has {size} bytes; send at most {max_bytes}')
    return value


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document.get(name)
    if not isinstance(value, bool):
        raise BadRequest(f'"{name}" is missing; send true or false')
    return value


def gateway_call(request: KeyRequest) -> tuple[str, dict[str, Any]]:
    """The path and the JSON body that ask a member for it."""
    key = base64.b64encode(request.key.encode()).decode()
    if request.operation == "put":
        return "/v3/kv/put", {"key": key, "value": base64.b64encode(request.value.encode()).decode()}
    return "/v3/kv/range", {"key": key, "serializable": request.serializable}


def read_gateway_answer(
    request: KeyRequest, member: str, status: int, content: bytes, took_ms: int
) -> KeyAnswer:
    """What a member answered, in words."""
    try:
        document: dict[str, Any] = json.loads(content)
        if status != 200:
            return KeyAnswer(False, str(document["message"])[:MAX_TEXT], member, took_ms)
        read_at = f"revision {document['header'].get('revision', 0)}"
        if request.operation == "put":
            return KeyAnswer(True, "OK", member, took_ms, f"this write made {read_at}")
        found = document.get("kvs", [])
        if not found:
            return KeyAnswer(True, "(no such key)", member, took_ms, f"read at {read_at}")
        value = _readable(found[0].get("value", ""))
        written = f"written at revision {found[0]['mod_revision']}, read at {read_at}"
        return KeyAnswer(True, value, member, took_ms, written)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return KeyAnswer(
            False, f"an answer nobody understands (HTTP status {status}); look at its log", member, took_ms
        )


def _readable(encoded: str) -> str:
    """A value as text, or as base64 where it is none."""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except UnicodeDecodeError:
        text = f"(bytes, in base64) {encoded}"
    except binascii.Error:
        raise ValueError("no base64") from None
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"


def why_refused(view: ClusterView, name: str) -> str:
    """Why a member takes no connection, and what to do."""
    member = next(member for member in view.members if member.name == name)
    if member.state == "running":
        return f"{name} refuses connections: it is starting, or waits for a leader before it serves"
    return f"{name} refuses connections: its process is {member.state}. Restart {name}, or ask another"


def why_silent(view: ClusterView, request: KeyRequest, name: str, seconds: float) -> str:
    """Why a member did not answer in time, as far as is known from here."""
    member = next(member for member in view.members if member.name == name)
    unsure = "; whether it was written is not known" if request.operation == "put" else ""
    began = f"no answer within {seconds:g} s{unsure}"
    if member.state == "paused":
        return f"{began}. {name} is paused: resume {name}, or ask another"
    if member.role == "no leader":
        return (
            f"{began}. {name} knows no leader: {view.alive} of {len(view.members)} members answer, "
            f"{view.quorum} decide"
        )
    return f"{began}. Look at the story, or ask another"
