"""What a call is answered when its handler raised something."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from miniraft.api.method import Method

_log = logging.getLogger("miniraft.api")


def answer_to(method: Method, error: Exception) -> EtcdError:
    """Returns the error a client is told, for one that a handler raised.

    A mistake of ours is logged and answered UNKNOWN rather than INTERNAL: some clients take
    a member out of use on INTERNAL.
    """
    if isinstance(error, EtcdError):
        return error
    if isinstance(error, DecodeError):
        expected = method.descriptor.input_type.full_name
        return EtcdError(Code.INTERNAL, f"grpc: error unmarshalling request: not a {expected} message")
    _log.error("unexpected error in %s", method.path, exc_info=error)
    return EtcdError(Code.UNKNOWN, "unexpected error in the server: its log has the details")
