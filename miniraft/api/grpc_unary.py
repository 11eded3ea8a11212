"""Unary gRPC calls: the server's hottest code.

It keeps to what a call needs: no task, no timer unless the call has to wait and has a
deadline, responses put together from shared messages, counters as plain integers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from miniraft.api.answers import answer_to
from miniraft.api.asgi import ClientGone
from miniraft.api.call import Call
from miniraft.api.grpc_framing import (
    METADATA,
    PREFIX_BYTES,
    FrameReader,
    encode_frame,
    is_grpc,
    seconds_to_answer,
)
from miniraft.api.grpc_responses import START, TRAILERS_OK, reject_content_type, send_error
from miniraft.api.paced_send import UNPACED_BYTES, paced
from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from miniraft.api.admission import Admission
    from miniraft.api.asgi import Application, Receive, Scope, Send
    from miniraft.api.call import UnaryHandler
    from miniraft.api.method import Method
    from miniraft.api.traffic import Traffic


def unary_endpoint(
    method: Method, handler: UnaryHandler, admission: Admission, traffic: Traffic, max_request_bytes: int
) -> Application:
    """Returns the ASGI application that serves one unary method."""
    handled = method.handled
    admit = admission.admit

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        metadata = {name: value for name, value in scope["headers"] if name in METADATA}
        content_type = metadata.get(b"content-type")
        if content_type != b"application/grpc" and not is_grpc(content_type):
            await reject_content_type(send)
            return
        method.started += 1
        code = Code.CANCELLED  # unless the call comes to an end
        call = None
        began = time.perf_counter() if method.handling_seconds is not None else 0.0
        try:
            timeout = metadata.get(b"grpc-timeout")
            call = Call(metadata, None if timeout is None else seconds_to_answer(timeout), scope)
            call.receive = receive
            admit(method, metadata)
            message = await receive()
            body = message.get("body", b"")
            length = len(body) - PREFIX_BYTES
            if (
                0 <= length <= max_request_bytes
                and not body[0]
                and int.from_bytes(body[1:PREFIX_BYTES]) == length
            ):
                request = body[PREFIX_BYTES:]
            else:
                request = await _only_message(FrameReader(receive, max_request_bytes, message))
            traffic.received_bytes += len(request)
            method.messages_received += 1
            response = await handler(call, request)
            traffic.sent_bytes += len(response)
            if len(response) > UNPACED_BYTES:
                send = paced(scope, send)
            await send(START)
            await send({"type": "http.response.body", "body": encode_frame(response)})
            await send(TRAILERS_OK)
            method.messages_sent += 1
            code = Code.OK
        except (ClientGone, OSError):
            pass  # nobody is left to be told
        except Exception as exception:  # noqa: BLE001 (answered and, if unexpected, logged)
            error = answer_to(method, exception)
            code = error.code
            await send_error(send, error)
        finally:
            handled[code] += 1
            if call is not None:
                call.finish()
            if method.handling_seconds is not None:
                method.handling_seconds.observe(time.perf_counter() - began)

    return serve


async def _only_message(reader: FrameReader) -> bytes:
    """Returns the one message of a request that did not come in one piece, or is malformed.

    What the client may send behind it is not waited for.
    """
    message = await reader.next()
    if message is None:
        raise EtcdError(Code.INTERNAL, "the request has no message: a unary call sends exactly one")
    if reader.has_more:
        raise EtcdError(
            Code.INTERNAL, "the request has more than one message: a unary call sends exactly one"
        )
    return message
