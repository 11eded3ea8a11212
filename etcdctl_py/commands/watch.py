"""`watch`: shows every change to keys as it happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from etcdctl_py import keyrange
from etcdctl_py.command import DASH, Command
from etcdctl_py.console import to_bytes, to_text
from etcdctl_py.failure import CommandError, ExitCode, SilentExit, bad_arguments
from etcdctl_py.flags import FlagError, FlagSet, number, switch
from etcdctl_py.golang.quoting import quote
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import EVENT_TYPE, Event, KeyValue, WatchResponse
from etcdctl_py.resumed_watch import resumed_watch

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation
    from etcdctl_py.printers.base import Printer

_BAD_NUMBER = "bad number of arguments"
_COMPACTED = "etcdserver: mvcc: required revision has been compacted"


class WatchSpec(NamedTuple):
    """What one watch looks at, and the command it runs for each event."""

    create: dict[str, Any]
    command: list[str]


def watch_spec(
    arguments: list[str], before_dash: int | None, flags: dict[str, Any], environment: dict[str, str]
) -> WatchSpec:
    """Reads the arguments of watch: `[key [range_end]] [-- command...]`. Raises CommandError.

    Without a key, ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END name the keys.
    """
    named = arguments if before_dash is None else arguments[:before_dash]
    command = [] if before_dash is None else arguments[before_dash:]
    if before_dash is not None and not command:
        raise bad_arguments(f"{_BAD_NUMBER} (found separator --, but no commands)")
    if environment.get("ETCDCTL_WATCH_KEY"):
        if named:
            raise bad_arguments(
                f"{_BAD_NUMBER} (found conflicting environment key)",
                "ETCDCTL_WATCH_KEY is set: unset it, or leave out the key.",
            )
        named = [environment["ETCDCTL_WATCH_KEY"], environment.get("ETCDCTL_WATCH_RANGE_END", "")]
        named = [word for word in named if word]
    if not named:
        raise bad_arguments(_BAD_NUMBER, "Name the key to watch: watch <key>, or watch --prefix <prefix>.")
    return WatchSpec(_create_request(named, flags), command)


def _create_request(named: list[str], flags: dict[str, Any]) -> dict[str, Any]:
    key = to_bytes(named[0])
    end = to_bytes(named[1]) if len(named) > 1 else b""
    if flags["prefix"]:
        if end:
            raise bad_arguments("`range_end` and `--prefix` are mutually exclusive")
        key, end = (key, keyrange.prefix_end(key)) if key else (b"\0", keyrange.EVERYTHING_FROM)
    request: dict[str, Any] = {"key": encode(key)}
    if end:
        request["range_end"] = encode(end)
    if flags["rev"]:
        request["start_revision"] = str(flags["rev"])
    if flags["prev-kv"]:
        request["prev_kv"] = True
    if flags["progress-notify"]:
        request["progress_notify"] = True
    return request


class Watch:
    """One watch: shows its answers, and takes up where it was when the connection breaks."""

    def __init__(
        self,
        call: Invocation,
        client: Client,
        printer: Printer,
        spec: WatchSpec,
        questions: asyncio.Queue[dict[str, Any]] | None = None,
    ) -> None:
        self._call = call
        self._client = client
        self._printer = printer
        self._spec = spec
        self._questions = questions

    def ask_for_progress(self) -> None:
        """Has the server say how far the watch has come."""
        if self._questions is not None:
            self._questions.put_nowait({"progress_request": {}})

    async def run(self) -> None:
        """Runs until the server cancels the watch. Raises CommandError (exit 5) then."""
        console = self._call.console
        async for response in resumed_watch(self._client, console, self._spec.create, self._questions):
            self._show(response)

    def _show(self, response: WatchResponse) -> None:
        console = self._call.console
        if response.created and not response.canceled:
            return
        if response.created:  # refused at once: etcdctl shows such an answer without a header
            reason = response.cancel_reason
            response = WatchResponse.read({"header": {}, "canceled": True, "cancel_reason": reason})
        if response.canceled:
            console.error_line(f"watch was canceled ({_cancel_reason(response)})")
        elif not response.events:
            console.line(f"progress notify: {response.head.revision}")
        self._printer.watch(response)
        console.flush()
        if response.canceled:
            raise CommandError("watch is canceled by the server", ExitCode.INTERRUPTED)
        for event in response.events:
            if self._spec.command:
                _run_for(self._call, self._spec.command, response.head.revision, event)


def _cancel_reason(response: WatchResponse) -> str:
    if response.compact_revision:
        return _COMPACTED
    reason = response.cancel_reason
    if not reason:
        return "etcdserver: mvcc: required revision is a future revision"
    if reason.startswith(("etcdserver: ", "rpc error: ")):
        return reason
    return f"rpc error: code = FailedPrecondition desc = {reason}"


def _run_for(call: Invocation, command: list[str], revision: int, event: Event) -> None:
    from etcdctl_py.children import run_child

    pair = event.kv or KeyValue()
    variables = {
        "ETCD_WATCH_REVISION": str(revision).encode(),
        "ETCD_WATCH_EVENT_TYPE": quote(EVENT_TYPE.name(event.type).encode()).encode(),
        "ETCD_WATCH_KEY": quote(pair.key).encode(),
        "ETCD_WATCH_VALUE": quote(pair.value).encode(),
    }
    shown = " ".join(quote(to_bytes(word)) for word in command)
    try:
        code = run_child(command, variables, call.console)
    except CommandError as error:
        call.console.error_line(f"command [{shown}] error ({error.message})")
        raise SilentExit(1) from None
    if code != 0:
        call.console.error_line(f"command [{shown}] error (exit status {code})")
        raise SilentExit(1)


async def run(call: Invocation) -> None:
    """Starts the watch, or with --interactive those that standard input asks for."""
    if call.flags["interactive"]:
        await _run_interactively(call)
        return
    before_dash = call.context.meta.get(DASH)
    spec = watch_spec(call.arguments, before_dash, call.flags, call.console.environment)
    if before_dash is None:
        call.note_ignored(2)
    printer = call.printer("watch")
    async with call.client() as client:
        await Watch(call, client, printer, spec).run()


async def _run_interactively(call: Invocation) -> None:
    """Reads `watch ...` and `progress` lines; the watches run side by side."""
    printer = call.printer("watch")
    async with call.client() as client:
        watches: list[Watch] = []
        tasks: set[asyncio.Task[None]] = set()
        lines = _input_lines(call)
        reading = asyncio.ensure_future(lines.get())
        try:
            while True:
                done, _ = await asyncio.wait({reading, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {reading}:
                    task.result()
                if reading in done:
                    line = reading.result()
                    reading = asyncio.ensure_future(lines.get())
                    watch = _obey(call, client, printer, line, watches)
                    if watch is not None:
                        watches.append(watch)
                        tasks.add(asyncio.ensure_future(watch.run()))
        finally:
            for task in (reading, *tasks):
                task.cancel()
            await asyncio.gather(reading, *tasks, return_exceptions=True)


def _input_lines(call: Invocation) -> asyncio.Queue[bytes]:
    """Reads standard input in a thread that does not keep the program from ending."""
    from threading import Thread

    lines: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        line = b"\n"
        while line.endswith(b"\n"):
            line = call.console.stdin.readline()
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(lines.put_nowait, line)

    Thread(target=read, daemon=True).start()
    return lines


def _obey(
    call: Invocation, client: Client, printer: Printer, line: bytes, watches: list[Watch]
) -> Watch | None:
    """Carries out one line of interactive input; returns the watch it starts."""
    from etcdctl_py.txn_text import split_words, strip

    if not line.endswith(b"\n"):
        raise CommandError("error reading watch request line: EOF", ExitCode.INVALID_INPUT)
    text = strip(to_text(line))
    words = split_words(text)
    if words == ["progress"]:
        for watch in watches:
            watch.ask_for_progress()
        return None
    if words[:1] != ["watch"]:
        call.console.error_line(f"Invalid command {text} (only support watch)")
        return None
    flags = FlagSet(WATCH_FLAGS)
    try:
        given, arguments = flags.parse(words[1:])
        settings = flags.defaults() | given
        spec = watch_spec(arguments, flags.arguments_before_dash, settings, call.console.environment)
    except (FlagError, CommandError) as error:
        call.console.error_line(f"Invalid command {text} ({getattr(error, 'message', error)})")
        return None
    return Watch(call, client, printer, spec, asyncio.Queue())


WATCH_FLAGS = (
    switch("prefix", "every key that begins with the given one"),
    number("rev", "start with the changes of this revision (0: from now on)"),
    switch("prev-kv", "show the pair before each change too"),
    switch("progress-notify", "have the server say every ten minutes how far it is"),
)
WATCH = Command(
    "watch",
    run,
    usage="watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
    summary="show changes to keys as they happen",
    flags=(switch("interactive", "read watches from standard input", "i"), *WATCH_FLAGS),
    description="""
With a command behind '--' it runs for each event, with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE,
ETCD_WATCH_KEY and ETCD_WATCH_VALUE (quoted) in its environment.

Without a key, ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END name what to watch.

With --interactive each line of standard input is 'watch [options] <key> [range_end]' or 'progress'.
""",
)
