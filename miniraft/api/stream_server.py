"""Runs streaming calls, by whichever protocol, and ends them when the client does not.

A stream may last for days. It ends with an error of ours when the server stops, when its
deadline passes, or, if the client asked for that with the metadata `hasleader`, when there has
been no leader for a while: the client then turns to another member.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from miniraft.api.answers import answer_to
from miniraft.api.asgi import ClientGone
from miniraft.api.call import StreamCall
from miniraft.api.grpc_framing import seconds_to_answer
from miniraft.errors import DEADLINE_EXCEEDED, NO_LEADER, SERVER_STOPPED, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.api.admission import Admission
    from miniraft.api.call import StreamHandler
    from miniraft.api.method import Method
    from miniraft.errors import EtcdError


class CarriedCall(StreamCall, Protocol):
    """A stream call as its protocol has it."""

    async def end(self) -> None:
        """Ends the stream without an error."""

    async def fail(self, error: EtcdError) -> None:
        """Ends the stream with an error. A client that is gone is no error."""


class StreamServer:
    """Runs the handlers of streaming methods.

    Invariant: `_open` holds the task of every handler that runs, and nothing else.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._open: dict[asyncio.Task[object], _End] = {}
        self._is_stopping = False

    def stop(self) -> None:
        """Ends every stream with `server stopped`; further ones are refused so."""
        self._is_stopping = True
        for end in list(self._open.values()):
            end.bring_about(SERVER_STOPPED)

    def leader_lost(self) -> None:
        """Ends the streams of clients that want a member with a leader."""
        for end in list(self._open.values()):
            if end.needs_leader:
                end.bring_about(NO_LEADER)

    async def run(self, method: Method, handler: StreamHandler, call: CarriedCall) -> None:
        """Runs one call to its end."""
        method.started += 1
        code = Code.CANCELLED  # unless the stream comes to an end
        began = time.perf_counter()
        try:
            code = await self._run(method, handler, call)
        finally:
            method.handled[code] += 1
            if method.handling_seconds is not None:
                method.handling_seconds.observe(time.perf_counter() - began)

    async def _run(self, method: Method, handler: StreamHandler, call: CarriedCall) -> Code:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI application must be called from a task")
        end = self._open[task] = _End(task, call.metadata)
        try:
            end.set_deadline(call.metadata)
            self._admit(method, call.metadata)
            await handler(call)
            await call.end()
        except asyncio.CancelledError:
            if end.reason is None:
                raise  # the client is gone
            error = end.reason
        except (ClientGone, OSError):
            return Code.CANCELLED
        except Exception as exception:  # noqa: BLE001 (answered and, if unexpected, logged)
            error = answer_to(method, exception)
        else:
            return Code.OK
        finally:
            del self._open[task]
            end.cancel_deadline()
        await call.fail(error)
        return error.code

    def _admit(self, method: Method, metadata: Mapping[bytes, bytes]) -> None:
        self._admission.admit(method, metadata)
        if self._is_stopping:
            raise SERVER_STOPPED.fresh()


class _End:
    """What ends one stream, other than its client and its handler."""

    __slots__ = ("_task", "_timer", "needs_leader", "reason")

    def __init__(self, task: asyncio.Task[object], metadata: Mapping[bytes, bytes]) -> None:
        self.reason: EtcdError | None = None  # not None: the task was cancelled for it
        self.needs_leader = metadata.get(b"hasleader") == b"true"
        self._task = task
        self._timer: asyncio.TimerHandle | None = None

    def set_deadline(self, metadata: Mapping[bytes, bytes]) -> None:
        """Ends the stream at the client's deadline, if it set one. Raises EtcdError when malformed."""
        timeout = metadata.get(b"grpc-timeout")
        if timeout is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds_to_answer(timeout), self.bring_about, DEADLINE_EXCEEDED)

    def cancel_deadline(self) -> None:
        """Called when the stream has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def bring_about(self, reason: EtcdError) -> None:
        """Ends the stream; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self._task.cancel()
