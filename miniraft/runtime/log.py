"""The log of the process: one event a line, readable on a terminal and JSON elsewhere.

    event("info", "became leader", logger="raft", term=4, member_id="8e9e05c52164694d")

The JSON is laid out as etcd's (zap's): `level`, `ts` in UTC, `logger` when given, `caller`,
`msg`, then the fields in the order given, with hyphens for underscores. Tools that read etcd's
log read this one. Events that tell of elections carry `logger="raft"`: a terminal shows them
in colour, and `miniraft cluster` merges them over all members.

What libraries and other rooms say through Python's `logging` comes out the same way.

Nothing here raises: a full disk or a closed pipe must not stop a member, so what cannot be
written is dropped. Safe from any thread.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Formatter = Callable[["Record"], str]

LEVELS = {"debug": 0, "info": 1, "warn": 2, "error": 3, "dpanic": 4, "panic": 5, "fatal": 6}
FORMATS = ("auto", "console", "json")

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_LEVEL_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warn": "\x1b[33m"}
_SERIOUS_COLOUR = "\x1b[31m"
_RAFT_COLOUR = "\x1b[1;36m"
_KEYS: dict[str, str] = {}  # field name to its spelling in the log


class Record:
    """One event, before it is laid out."""

    __slots__ = ("caller", "fields", "level", "logger", "message", "time")

    def __init__(
        self, time: datetime, level: str, logger: str, caller: str, message: str, fields: dict[str, Any]
    ) -> None:
        self.time = time  # UTC
        self.level = level
        self.logger = logger
        self.caller = caller  # folder/file.py:line
        self.message = message
        self.fields = fields


class _Output:
    """Where lines go. `owned` files are closed when the log is configured anew."""

    __slots__ = ("formatter", "owned", "stream")

    def __init__(self, stream: TextIO | None, formatter: Formatter, *, owned: bool) -> None:
        self.stream = stream  # None: whatever sys.stderr is at that moment
        self.formatter = formatter
        self.owned = owned

    def write(self, record: Record) -> None:
        stream = self.stream or sys.stderr
        # ValueError: the stream was closed, as happens while the interpreter shuts down.
        with contextlib.suppress(OSError, ValueError):
            stream.write(self.formatter(record))
            stream.flush()


def format_json(record: Record) -> str:
    """Lays an event out as etcd's JSON, with a line feed."""
    line: dict[str, Any] = {
        "level": record.level,
        "ts": record.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    if record.logger:
        line["logger"] = record.logger
    line["caller"] = record.caller
    line["msg"] = record.message
    for name, value in record.fields.items():
        line[_key(name)] = value
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False, default=_as_json) + "\n"


def format_console(record: Record) -> str:
    """Lays an event out for a reader: local time, level, message, key=value."""
    return _console(record, "", "", "")


def format_console_coloured(record: Record) -> str:
    """The same for a terminal that shows colours."""
    level = _LEVEL_COLOURS.get(record.level, _SERIOUS_COLOUR)
    message = _RAFT_COLOUR if record.logger == "raft" else ""
    return _console(record, level, message, _DIM)


def _console(record: Record, level_colour: str, message_colour: str, field_colour: str) -> str:
    time = record.time.astimezone().strftime("%H:%M:%S.%f")[:-3]
    level = _painted(f"{record.level.upper():5}", level_colour)
    parts = [time, level, _painted(_one_line(record.message), message_colour)]
    fields = " ".join(f"{_key(name)}={_console_value(value)}" for name, value in record.fields.items())
    if fields:
        parts.append(_painted(fields, field_colour))
    return " ".join(parts) + "\n"


def _painted(text: str, colour: str) -> str:
    return f"{colour}{text}{_RESET}" if colour else text


def _one_line(text: str) -> str:
    """Text without control characters: a log line stays one line, and never steers a terminal."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _console_value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_as_json)
    if not isinstance(value, str):
        return text
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text)


def _as_json(value: Any) -> Any:
    """What json.dumps cannot write by itself."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def _key(name: str) -> str:
    key = _KEYS.get(name)
    if key is None:
        key = _KEYS[name] = name.replace("_", "-")
    return key


def _caller(depth: int) -> str:
    """`folder/file.py:line` of the code that logs."""
    frame = sys._getframe(depth + 1)
    folder, _, file = frame.f_code.co_filename.rpartition(os.sep)
    return f"{folder.rpartition(os.sep)[2]}/{file}:{frame.f_lineno}"


def _formatter(format_name: str, stream: TextIO) -> Formatter:
    terminal = False
    with contextlib.suppress(ValueError, AttributeError):
        terminal = stream.isatty()
    if format_name == "auto":
        format_name = "console" if terminal else "json"
    if format_name == "json":
        return format_json
    colours = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return format_console_coloured if colours else format_console


def _default_line(record: Record) -> str:
    """The layout before anybody configured the log."""
    return _formatter("auto", sys.stderr)(record)


_lock = threading.Lock()
_threshold = LEVELS["info"]
_outputs: list[_Output] = [_Output(None, _default_line, owned=False)]


def configure(format: str = "auto", level: str = "info", outputs: Iterable[str] = ("default",)) -> None:  # noqa: A002
    """Sets layout, level and outputs for the whole process.

    `format` is console, json or auto (console on a terminal, json elsewhere). `outputs` are
    default or stderr, stdout, systemd/journal (the same as stderr: the journal reads it), or
    file paths, which are appended to. Raises ValueError for an unknown format or level and
    OSError when a file cannot be opened; the log is unchanged then.
    """
    global _threshold  # noqa: PLW0603 - the log belongs to the process
    if format not in FORMATS:
        raise ValueError(f"unknown log format {format!r}; write one of {', '.join(FORMATS)}")
    if level not in LEVELS:
        raise ValueError(f"unrecognized level: {level!r}; write one of {', '.join(LEVELS)}")
    opened = _open_outputs(format, outputs)
    with _lock:
        for output in _outputs:
            if output.owned and output.stream is not None:
                output.stream.close()
        _outputs[:] = opened
        _threshold = LEVELS[level]
    _bridge_logging(level)


def set_level(level: str) -> None:
    """Changes the level while the process runs, and logs that it did, whatever the level.

    Raises KeyError for an unknown level.
    """
    global _threshold  # noqa: PLW0603 - the log belongs to the process
    _threshold = LEVELS[level]
    _bridge_logging(level)
    _write(Record(datetime.now(UTC), "info", "", _caller(1), "changed the log level", {"level": level}))


def _open_outputs(format_name: str, outputs: Iterable[str]) -> list[_Output]:
    opened: list[_Output] = []
    try:
        for name in dict.fromkeys("stderr" if o in ("default", "systemd/journal") else o for o in outputs):
            if name in ("stderr", "stdout"):
                stream = sys.stderr if name == "stderr" else sys.stdout
                opened.append(_Output(stream, _formatter(format_name, stream), owned=False))
            else:
                file = _append_to(name)
                opened.append(_Output(file, _formatter(format_name, file), owned=True))
    except OSError:
        for output in opened:
            if output.owned and output.stream is not None:
                output.stream.close()
        raise
    return opened


def _append_to(name: str) -> TextIO:
    """Opens a log file. What UTF-8 cannot say (file names that are no text) is escaped."""
    return Path(name).open("a", encoding="utf-8", errors="backslashreplace")


def enabled(level: str) -> bool:
    """Whether events of this level are written, for callers whose fields are dear to make."""
    return LEVELS[level] >= _threshold


class _LoggingBridge(logging.Handler):
    """Takes what is said through `logging` into this log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record; a traceback becomes a field."""
        level = _level_of(record.levelno)
        if LEVELS[level] < _threshold:
            return
        fields: dict[str, Any] = {}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            fields["stacktrace"] = logging.Formatter().formatException(record.exc_info)
        folder, _, file = record.pathname.rpartition(os.sep)
        caller = f"{folder.rpartition(os.sep)[2]}/{file}:{record.lineno}"
        time = datetime.fromtimestamp(record.created, UTC)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)  # arguments that do not fit are no reason to lose it
        _write(Record(time, level, "", caller, message, fields))


def _level_of(number: int) -> str:
    if number < logging.INFO:
        return "debug"
    if number < logging.WARNING:
        return "info"
    return "warn" if number < logging.ERROR else "error"


def _bridge_logging(level: str) -> None:
    """Makes this log the only handler of `logging`: ours at our level, libraries from warnings up."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _LoggingBridge)]
    root.addHandler(_LoggingBridge())
    logging.getLogger("miniraft").setLevel(logging.DEBUG if level == "debug" else logging.INFO)


def event(level: str, message: str, *, logger: str = "", **fields: Any) -> None:
    """Writes one event. `level` is one of LEVELS; fatal does not end the process, the caller does."""
    if LEVELS[level] < _threshold:
        return
    _write(Record(datetime.now(UTC), level, logger, _caller(1), message, fields))


def _write(record: Record) -> None:
    with _lock:
        for output in _outputs:
            output.write(record)
