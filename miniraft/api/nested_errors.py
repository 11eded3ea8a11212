"""Errors of calls that are made of other calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from collections.abc import Awaitable

Result = TypeVar("Result")


async def texts_alone(work: Awaitable[Result]) -> Result:
    """Returns what `work` does; an error keeps its text, but its code becomes UNKNOWN.

    That is how etcd's locks and elections tell what went wrong beneath them; clients go by the text.
    """
    try:
        return await work
    except EtcdError as error:
        raise EtcdError(Code.UNKNOWN, error.message) from error
