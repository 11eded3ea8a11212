"""What a client is told when its write does not fit into the quota any more."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

from miniraft.errors import NO_SPACE, EtcdError
from miniraft.server.alarms import NOSPACE, alarm_request
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from miniraft.api.call import Call
    from miniraft.server.service import Service


async def refuse_for_space(service: Service, call: Call) -> NoReturn:
    """Raises the alarm for this member, so that all members refuse writes; then raises NO_SPACE."""
    if (service.member_id, NOSPACE) not in service.alarms():
        await _raise_alarm(service, call)
    raise NO_SPACE.fresh()


async def await_alarm(service: Service, call: Call, error: EtcdError) -> None:
    """A write failed. If that was for want of space the client is told once the alarm stands, as by etcd."""
    if error.message == NO_SPACE.message and not any(kind == NOSPACE for _, kind in service.alarms()):
        await _raise_alarm(service, call)


async def _raise_alarm(service: Service, call: Call) -> None:
    with contextlib.suppress(EtcdError):  # the client is told the cause either way
        await call.wait_on(service.propose(RequestKind.ALARM, alarm_request(service.member_id, NOSPACE)))
