"""HTTP requests to the JSON gateway, tried on one endpoint after the other.

A request that surely never reached a member is tried on the next endpoint. One that may have
been carried out is tried again only when doing it twice does no harm (`repeatable`).
"""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp

from etcdctl_py.endpoints import Endpoint, parse_endpoint
from etcdctl_py.explain import explain, explain_timeout
from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.rpc_error import RpcError, read_error

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from etcdctl_py.console import Console
    from etcdctl_py.options import Options

# While other endpoints are left, one that does not even connect is given up early.
_FIRST_DIAL_TIMEOUT_S = 0.5
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_LOST = (aiohttp.ClientError, ConnectionError, OSError)


class Client:
    """A connection to a cluster; use it as an asynchronous context manager."""

    def __init__(
        self,
        options: Options,
        console: Console,
        endpoints: list[str] | None = None,
        *,
        prompt: str = "Password: ",
    ) -> None:
        from etcdctl_py.options import check_tls_files

        written = options.endpoints if endpoints is None else endpoints
        if not written:
            raise CommandError("etcdclient: no available endpoints", ExitCode.BAD_CONNECTION)
        check_tls_files(options)
        self._options = options
        self._console = console
        self._prompt = prompt
        self._endpoints = [parse_endpoint(each, options.wants_tls) for each in written]
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._context: ssl.SSLContext | None = None
        self._token = str(options["auth-jwt-token"])
        self._needs_login = bool(options["user"]) and not self._token
        self._logged_in = not self._needs_login
        self._credentials: tuple[str, str] | None = None  # kept once they were asked for
        if options.wants_tls or any(endpoint.secure for endpoint in self._endpoints):
            self._tls_context()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    @property
    def timeout_s(self) -> float:
        """The time a command that answers once may take, in seconds."""
        return float(self._options["command-timeout"])

    def at(self, endpoint: str) -> Client:
        """Returns another client for one endpoint alone, with the same login."""
        other = Client(self._options, self._console, [endpoint])
        other._token, other._logged_in = self._token, self._logged_in
        other._context = other._context or self._context
        return other

    async def call(
        self, path: str, request: dict[str, Any], *, repeatable: bool = False, limited: bool = True
    ) -> dict[str, Any]:
        """Posts a request and returns the answer.

        `limited` applies --command-timeout. Raises RpcError for the server's own errors and
        UnreachableError, which names its cause, when no endpoint answered.
        """
        timeout_s = self.timeout_s if limited else None
        try:
            async with asyncio.timeout(timeout_s):
                return await self._call_logged_in(path, request, repeatable)
        except TimeoutError:
            raise await explain_timeout(self._endpoints[0], timeout_s or 0, self._options) from None

    async def stream(self, path: str, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Posts a request and yields the answers as they come.

        Raises RpcError for an error in the stream, UnreachableError when it breaks.
        """
        await self.log_in()
        body = json.dumps(request).encode("ascii")
        failures: dict[Endpoint, Exception] = {}
        for endpoint, dial_timeout_s in self._attempts(failures):
            try:
                async with self._request(endpoint, path, body, dial_timeout_s) as response:
                    if response.status != 200:
                        raise read_error(response.status, await response.read(), endpoint.written, path)
                    self._prefer(endpoint)
                    failures.clear()  # those before it are not why the stream may break
                    async for line in _lines(response.content):
                        yield _read_result(line, endpoint.written, path)
                    return
            except _LOST as error:
                failures[endpoint] = error
                if not isinstance(error, _NOT_SENT):
                    break
        raise await explain(failures, self._options)

    async def converse(
        self, path: str, first: dict[str, Any], later: asyncio.Queue[dict[str, Any]]
    ) -> AsyncIterator[dict[str, Any]]:
        """Like `stream`, but sends further requests while answers come, over a WebSocket.

        A POST cannot do that: etcd's server waits for the end of its body before it answers.
        """
        await self.log_in()
        endpoint = self._endpoints[0]
        try:
            async with self._session(endpoint).ws_connect(
                endpoint.url + path, headers=self._headers(), max_msg_size=0
            ) as socket:
                await socket.send_json(first)
                sending = asyncio.create_task(_send_each(socket, later))
                try:
                    async for frame in socket:
                        yield _read_result(frame.data, endpoint.written, path)
                finally:
                    sending.cancel()
        except aiohttp.WSServerHandshakeError:
            self._console.error_line(f"{endpoint.written} takes no WebSocket: 'progress' is not available.")
            async for answer in self.stream(path, first):
                yield answer
        except _LOST as error:
            raise await explain({endpoint: error}, self._options) from None

    async def log_in(self) -> None:
        """Fetches a token when --user was given. Raises CommandError (exit 2) on refusal."""
        if not self._logged_in:
            self._token = await self._authenticate()
            self._logged_in = True

    def log_in_anew(self) -> None:
        """Has the next request fetch another token, when --user was given."""
        self._logged_in = not self._needs_login

    async def _call_logged_in(self, path: str, request: dict[str, Any], repeatable: bool) -> dict[str, Any]:
        await self.log_in()
        try:
            return await self._try_endpoints(path, request, repeatable)
        except RpcError as error:
            if not (error.token_is_stale and self._options["user"]):
                raise
        self.log_in_anew()
        await self.log_in()
        return await self._try_endpoints(path, request, repeatable)

    async def _authenticate(self) -> str:
        if self._credentials is None:
            self._credentials = self._ask_credentials()
        name, password = self._credentials
        if not password:  # etcdctl then goes on without logging in
            return ""
        request = {"name": name, "password": password}
        try:
            answer = await self._try_endpoints("/v3/auth/authenticate", request, repeatable=True)
        except RpcError as error:
            if error.text == "etcdserver: authentication is not enabled":
                return ""
            error.code = ExitCode.BAD_CONNECTION
            raise
        return str(answer.get("token", ""))

    def _ask_credentials(self) -> tuple[str, str]:
        user = str(self._options["user"])
        if self._options["password"]:
            return user, str(self._options["password"])
        name, colon, password = user.partition(":")
        return name, password if colon else self._console.read_password(self._prompt)

    async def _try_endpoints(self, path: str, request: dict[str, Any], repeatable: bool) -> dict[str, Any]:
        body = json.dumps(request).encode("ascii")
        failures: dict[Endpoint, Exception] = {}
        last_error: RpcError | None = None
        for endpoint, dial_timeout_s in self._attempts(failures):
            try:
                answer = await self._post(endpoint, path, body, dial_timeout_s)
            except RpcError as error:
                last_error = error
                if not (error.never_applied or (repeatable and error.may_pass_elsewhere)):
                    raise
                failures[endpoint] = error
            except _LOST as error:
                failures[endpoint] = error
                if not (repeatable or isinstance(error, _NOT_SENT)):
                    break
            else:
                self._prefer(endpoint)
                return answer
            self._debug(f"{endpoint.written}: {failures[endpoint]}")
        if last_error is not None:
            raise last_error
        raise await explain(failures, self._options)

    def _attempts(self, failures: dict[Endpoint, Exception]) -> Iterator[tuple[Endpoint, float]]:
        """Yields each endpoint, and once more, patiently, those that were slow to connect."""
        dial_timeout_s = float(self._options["dial-timeout"])
        if len(self._endpoints) == 1:
            yield self._endpoints[0], dial_timeout_s
            return
        for endpoint in list(self._endpoints):
            yield endpoint, min(dial_timeout_s, _FIRST_DIAL_TIMEOUT_S)
        for endpoint, failure in list(failures.items()):
            if isinstance(failure, TimeoutError):
                yield endpoint, dial_timeout_s

    def _prefer(self, endpoint: Endpoint) -> None:
        """Puts the endpoint that answered first, for the next call."""
        if self._endpoints[0] is not endpoint:
            self._endpoints.remove(endpoint)
            self._endpoints.insert(0, endpoint)

    async def _post(
        self, endpoint: Endpoint, path: str, body: bytes, dial_timeout_s: float
    ) -> dict[str, Any]:
        async with self._request(endpoint, path, body, dial_timeout_s) as response:
            content = await response.read()
            if response.status != 200:
                raise read_error(response.status, content, endpoint.written, path)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise read_error(200, content, endpoint.written, path)
        return answer

    def _request(
        self, endpoint: Endpoint, path: str, body: bytes, dial_timeout_s: float
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session(endpoint).post(
            endpoint.url + path,
            data=BytesIO(body),
            headers=self._headers(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=dial_timeout_s),
            allow_redirects=False,
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = self._token
        return headers

    def _session(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        session = self._sessions.get(endpoint.socket_path)
        if session is None:
            connector: aiohttp.BaseConnector
            if endpoint.socket_path:
                connector = aiohttp.UnixConnector(endpoint.socket_path)
            else:
                connector = aiohttp.TCPConnector(ssl=self._context or True, limit=0)
            session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            self._sessions[endpoint.socket_path] = session
        return session

    def _tls_context(self) -> None:
        from etcdctl_py.tls import client_context

        self._context = client_context(self._options)

    def _debug(self, text: str) -> None:
        if self._options["debug"]:
            self._console.error_line(text)


async def _send_each(
    socket: aiohttp.ClientWebSocketResponse, requests: asyncio.Queue[dict[str, Any]]
) -> None:
    while True:
        await socket.send_json(await requests.get())


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Splits a body into lines of any length."""
    held: list[bytes] = []
    async for chunk in content.iter_any():
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            held.append(piece)
            yield b"".join(held)
            held.clear()
        if rest:
            held.append(rest)
    if held:
        yield b"".join(held)


def _read_result(line: bytes | str, endpoint: str, path: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if isinstance(message, dict) and isinstance(message.get("result"), dict):
        return dict(message["result"])
    raise read_error(200, line if isinstance(line, bytes) else line.encode(), endpoint, path)
