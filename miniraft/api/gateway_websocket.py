"""The JSON gateway over WebSocket: each text frame is a request or a response.

A POST ends its requests when its body ends, and proxies and browsers send a body whole. Over a
WebSocket requests and responses come and go as they like: so etcd's gateway does it too, on the
same paths. Here such a connection is made to look like the POST it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniraft.api.asgi import Message, Receive, Scope, Send

_NORMAL_CLOSURE = 1000
_BEARER = "Bearer"  # browsers can set no header: a token comes as the subprotocol behind this one


class WebSocketExchange:
    """One connection, with `scope`, `receive` and `send` of the HTTP exchange it stands for.

    It is accepted when the request is first read: what is refused before that never was a WebSocket.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, one_request: bool) -> None:
        """With `one_request` the first frame is the whole body."""
        self.scope = _http_scope(scope)
        self._receive = receive
        self._send = send
        self._one_request = one_request
        self._subprotocol = _BEARER if _token(scope) else None
        self._accepted = False
        self._ended = False

    async def receive(self) -> Message:
        """Returns the next frame as a piece of a request's body."""
        if not self._accepted:
            await self._accept()
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._ended = True
            return {"type": "http.disconnect"}
        text = message.get("text")
        body = message.get("bytes") if text is None else text.encode()
        # A number at the end of a frame is not continued by the next one.
        return {"type": "http.request", "body": (body or b"") + b"\n", "more_body": not self._one_request}

    async def send(self, message: Message) -> None:
        """Sends a piece of the response as a frame; the last one ends the connection."""
        if message["type"] != "http.response.body" or self._ended:
            return
        body = message.get("body", b"").removesuffix(b"\n")
        if body and self._accepted:
            await self._send({"type": "websocket.send", "text": body.decode()})
        if not message.get("more_body", False):
            self._ended = True
            await refuse(self._send)

    async def _accept(self) -> None:
        self._accepted = True
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept", "subprotocol": self._subprotocol})


async def refuse(send: Send) -> None:
    """Ends a connection; one that was not accepted is answered 403."""
    await send({"type": "websocket.close", "code": _NORMAL_CLOSURE})


def _http_scope(scope: Scope) -> Scope:
    """Returns the scope of the POST that a connection stands for."""
    headers = list(scope["headers"])
    if token := _token(scope):
        headers.append((b"authorization", token.encode("latin-1", "replace")))
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    # As over HTTP/1.1, whatever carries it: a response must not be cut into frames.
    post = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": scheme, "headers": headers}
    return {**scope, **post}


def _token(scope: Scope) -> str:
    """Returns the token among the subprotocols (`Bearer, TOKEN`), or an empty text."""
    match scope.get("subprotocols") or ():
        case ["Bearer", token, *_]:
            return str(token)
    return ""
