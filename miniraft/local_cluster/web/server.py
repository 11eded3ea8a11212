"""Serves the page of a running cluster on 127.0.0.1: its files, one WebSocket, and what it may ask.

GET  /              the page; GET /NAME its scripts, styles and icon
GET  /stream        WebSocket: first {"type": "hello"} with everything, then what is new
POST /member        do something to a member
POST /key           put or get
POST /writer        write once a second, or no longer
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import shlex
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import WSCloseCode, web

from miniraft.local_cluster.layout import DEFAULT_FOLDER, HOST
from miniraft.local_cluster.problem import ClusterError
from miniraft.local_cluster.web.guard import protecting_headers, refusal
from miniraft.local_cluster.web.history import History
from miniraft.local_cluster.web.members import Members
from miniraft.local_cluster.web.observer import Observer
from miniraft.local_cluster.web.records import request_record
from miniraft.local_cluster.web.requests import (
    ANY,
    BadRequest,
    read_action,
    read_key_request,
    read_writer_switch,
)
from miniraft.local_cluster.web.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from miniraft.local_cluster.supervisor import Supervisor
    from miniraft.local_cluster.view import Happening
    from miniraft.local_cluster.web.requests import KeyAnswer, KeyRequest

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES = 128 << 10
MAX_PAGES = 32  # open at a time
MAX_WAITING_REQUESTS = 32
SEND_SECONDS = 0.05  # what is new is gathered for so long
SHUTDOWN_SECONDS = 1.0
_FILES = Path(__file__).with_name("page")
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class PageServer:
    """The page's server. `changed` is for the supervisor to call, as it calls a view's."""

    def __init__(self, supervisor: Supervisor, members: Members, port: int) -> None:
        self._supervisor = supervisor
        self._members = members
        self._port = port
        self._token = secrets.token_urlsafe(24)
        self._history = History()
        self._observer = Observer()
        self._writer = Writer(members, self._took)
        self._pages: dict[web.WebSocketResponse, asyncio.Event] = {}
        self._waiting_requests = 0
        self._files = {
            "/" if file.name == "index.html" else f"/{file.name}": (file.read_bytes(), _TYPES[file.suffix])
            for file in _FILES.iterdir()
            if file.suffix in _TYPES
        }

    def application(self) -> web.Application:
        """The routes, behind the guard."""
        application = web.Application(middlewares=[self._guarded], client_max_size=MAX_BODY_BYTES)
        application.on_response_prepare.append(self._protect)
        application.on_shutdown.append(self._close_pages)
        for path in self._files:
            application.router.add_get(path, self._file)
        application.router.add_get("/stream", self._stream)
        application.router.add_post("/member", self._member)
        application.router.add_post("/key", self._key)
        application.router.add_post("/writer", self._switch_writer)
        return application

    def changed(self, happenings: list[Happening]) -> None:
        """Notices what is new and tells the open pages."""
        now_ms = round(time.time() * 1000, 3)
        records = self._observer.observe(self._supervisor.view(), happenings, now_ms)
        for record in records:
            self._history.add(record)
        if records:
            self._wake()

    # What every request goes through -------------------------------------------------------
    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = refusal(request.method, request.headers, self._port, self._token)
        if refused is not None:
            return _reply(refused.status, ok=False, message=refused.text)
        try:
            return await handler(request)
        except BadRequest as error:
            return _reply(400, ok=False, message=str(error))
        except ClusterError as error:
            return _reply(409, ok=False, message=str(error))
        except web.HTTPRequestEntityTooLarge:
            return _reply(
                413, ok=False, message=f"the body is too large; send at most {MAX_BODY_BYTES} bytes"
            )

    async def _protect(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(protecting_headers(self._port))

    # The page ------------------------------------------------------------------------------
    async def _file(self, request: web.Request) -> web.StreamResponse:
        content, kind = self._files[request.path]
        return web.Response(body=content, content_type=kind, charset="utf-8")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._pages) >= MAX_PAGES:
            return _reply(503, ok=False, message=f"{MAX_PAGES} pages are open already; close one")
        stream = web.WebSocketResponse(heartbeat=20.0, max_msg_size=1024, compress=False)
        await stream.prepare(request)
        self._pages[stream] = asyncio.Event()
        sender = asyncio.get_running_loop().create_task(self._send(stream))
        try:
            async for _message in stream:
                pass  # a page has nothing to say here; this notices that it goes away
        finally:
            sender.cancel()
            del self._pages[stream]
        return stream

    async def _send(self, stream: web.WebSocketResponse) -> None:
        """Tells a page everything, then what is new, as fast as it takes it."""
        news = self._pages[stream]
        with contextlib.suppress(ConnectionError):
            told = self._history.end
            await stream.send_str(json.dumps(self._hello()))
            while True:
                await news.wait()
                await asyncio.sleep(SEND_SECONDS)
                news.clear()
                records = self._history.after(told)
                told = self._history.end
                message = self._hello() if records is None else self._news(records)
                await stream.send_str(json.dumps(message))

    def _news(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        return {"type": "news", "writer": self._writer.state, "records": records}

    def _hello(self) -> dict[str, Any]:
        layout = self._supervisor.layout
        return {
            "type": "hello",
            "token": self._token,
            "folder": str(layout.folder),
            "arguments": _arguments(layout.folder),
            "members": [
                {
                    "number": member.number,
                    "name": member.name,
                    "url": layout.client_url(member),
                    "start": shlex.join(("miniraft", *layout.member_flags(member))),
                }
                for member in layout.members
            ],
            "writer": self._writer.state,
            "sinceMs": self._history.since_ms,
            "records": self._history.all(),
        }

    def _wake(self) -> None:
        for news in self._pages.values():
            news.set()

    async def _close_pages(self, _application: web.Application) -> None:
        await self._writer.close()
        for stream in list(self._pages):
            await stream.close(code=WSCloseCode.GOING_AWAY, message=b"the cluster stops")

    # What a page asks for ------------------------------------------------------------------
    async def _member(self, request: web.Request) -> web.StreamResponse:
        action = read_action(await request.read())
        return _reply(200, ok=True, message=await self._supervisor.execute(action.command, action.member))

    async def _key(self, request: web.Request) -> web.StreamResponse:
        asked = read_key_request(await request.read())
        if self._waiting_requests >= MAX_WAITING_REQUESTS:
            text = f"{MAX_WAITING_REQUESTS} requests wait for an answer already; wait for one of them"
            return _reply(429, ok=False, message=text)
        self._waiting_requests += 1
        time_ms = round(time.time() * 1000, 3)
        try:
            answer = await self._members.ask(asked)
        finally:
            self._waiting_requests -= 1
        self._note(request_record(asked, answer, time_ms, writer=False))
        return web.json_response(answer._asdict())

    async def _switch_writer(self, request: web.Request) -> web.StreamResponse:
        switch = read_writer_switch(await request.read())
        if switch.member != ANY:
            self._supervisor.layout.member(switch.member)
        self._writer.switch(switch)
        self._wake()
        return _reply(200, ok=True, message="writing once a second" if switch.on else "writing no longer")

    def _took(self, request: KeyRequest, answer: KeyAnswer, time_ms: float) -> None:
        self._note(request_record(request, answer, time_ms, writer=True))

    def _note(self, record: dict[str, Any]) -> None:
        self._history.add(record)
        self._wake()


def _reply(status: int, *, ok: bool, message: str) -> web.Response:
    return web.json_response({"ok": ok, "message": message}, status=status)


def _arguments(folder: Path) -> str:
    """What `miniraft cluster kill n1` needs behind it, for the shell."""
    return "" if folder == Path(DEFAULT_FOLDER).absolute() else f" --data-dir {shlex.quote(str(folder))}"


class WebPort(NamedTuple):
    """Where to serve the page: at `port`, or nowhere if that is None. Whether a person named it."""

    port: int | None
    chosen: bool = False


class ServedPage(NamedTuple):
    """The page's URL, or why there is none; and what to call when there is something new."""

    url: str
    problem: str
    changed: Callable[[list[Happening]], None]


@contextlib.asynccontextmanager
async def served_page(supervisor: Supervisor, where: WebPort) -> AsyncIterator[ServedPage]:
    """Serves the page while the body runs.

    Raises ClusterError when the port that a person named cannot be used. One that was only the
    default is done without, and `problem` says so.
    """
    if where.port is None:
        yield ServedPage("", "", lambda _: None)
        return
    try:
        listener = _listen(where.port)
    except OSError as error:
        problem = f"port {where.port} for the page cannot be used: {error.strerror}"
        if where.chosen:
            raise ClusterError(f"{problem}; choose another --web-port, or --no-web") from None
        yield ServedPage("", f"no page in the browser: {problem}; choose one with --web-port", lambda _: None)
        return
    async with Members(supervisor) as members:
        server = PageServer(supervisor, members, where.port)
        runner = web.AppRunner(
            server.application(),
            access_log=None,
            logger=_silent(),
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield ServedPage(f"http://{HOST}:{where.port}/", "", server.changed)
        finally:
            await runner.cleanup()


def _listen(port: int) -> socket.socket:
    """A socket bound to 127.0.0.1 alone. Raises OSError."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _silent() -> logging.Logger:
    """The terminal is the live view's: what aiohttp has to say of broken requests goes nowhere."""
    logger = logging.getLogger("miniraft.local_cluster.web")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
