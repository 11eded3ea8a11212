"""A watch that outlives the connection it came by: it goes on where it was, at another member if need be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from etcdctl_py.explain import UnreachableError
from etcdctl_py.messages import KeyValue, WatchResponse
from etcdctl_py.rpc_error import RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from etcdctl_py.client import Client
    from etcdctl_py.console import Console

_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 2.0


async def resumed_watch(
    client: Client,
    console: Console,
    create: dict[str, Any],
    questions: asyncio.Queue[dict[str, Any]] | None = None,
) -> AsyncIterator[WatchResponse]:
    """Yields the responses of a watch until the server cancels it.

    `create` asks for it, and is kept such that it would ask for what has not been yielded yet.
    `questions`: further requests for the same stream, sent when they come.
    Raises RpcError and UnreachableError, but not for a connection that breaks once there is a watch.
    """
    created = False
    retry_s = _FIRST_RETRY_S
    while True:
        try:
            async for answer in _answers(client, create, questions):
                response = WatchResponse.read(answer)
                yield response
                if response.canceled:
                    return
                created = created or response.created
                _go_on_behind(response, create)
                retry_s = _FIRST_RETRY_S
        except (UnreachableError, RpcError) as failure:
            lost = isinstance(failure, UnreachableError) or failure.may_pass_elsewhere
            if not (lost and created):
                raise
            console.error_line(f"{failure.message}; the watch is taken up again.")
        await asyncio.sleep(retry_s)
        retry_s = min(retry_s * 2, _LAST_RETRY_S)
        client.log_in_anew()  # days may have passed since the token was given


def _answers(
    client: Client, create: dict[str, Any], questions: asyncio.Queue[dict[str, Any]] | None
) -> AsyncIterator[dict[str, Any]]:
    request = {"create_request": create}
    if questions is None:
        return client.stream("/v3/watch", request)
    return client.converse("/v3/watch", request, questions)


def _go_on_behind(response: WatchResponse, create: dict[str, Any]) -> None:
    """A watch that is taken up again starts behind what was seen."""
    revision = response.head.revision
    if response.created and "start_revision" in create:
        return
    if response.events:
        revision = (response.events[-1].kv or KeyValue()).mod_revision
    create["start_revision"] = str(revision + 1)
