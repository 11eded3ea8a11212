"""One run of etcdutl-py: finds the command, runs it, and tells how it failed."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.flags import HELP, FlagSet
from miniraft.etcdutl.command import PROGRAM, WRITE_OUT, Command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etcdctl_py.flags import Flag
    from miniraft.etcdutl.command import Invocation

# Words -> where the command is. Its file is imported only when it is asked for.
_PLACES = {
    "completion bash": "completion:BASH",
    "completion fish": "completion:FISH",
    "completion powershell": "completion:POWERSHELL",
    "completion zsh": "completion:ZSH",
    "defrag": "defrag:DEFRAG",
    "hashkv": "hashkv:HASHKV",
    "migrate": "migrate:MIGRATE",
    "snapshot export": "snapshot_export:EXPORT",
    "snapshot restore": "snapshot_restore:RESTORE",
    "snapshot status": "snapshot_status:STATUS",
    "version": "version:VERSION",
}
_ABSENT = {
    "backup": "etcd's v2 data has no place here: save a v3 snapshot with `etcdctl-py snapshot save FILE`",
    "check": "there is no v2 data to check for",
}


def run(words: list[str]) -> int:
    """Runs one command line; returns its exit code."""
    try:
        if words[:1] == ["__complete"]:
            _complete(words[1:])
        else:
            _dispatch(words)
    except CommandError as error:
        for note in error.notes:
            sys.stderr.write(f"{note}\n")
        sys.stderr.write(f"Error: {error.message}\n")
        return error.code
    return ExitCode.SUCCESS


def _dispatch(words: list[str]) -> None:
    path, rest = _find(words)
    if path not in _PLACES:
        _show_group(path, rest)
        return
    command = _load(path)
    invocation = command.read(rest)
    if invocation is None:
        _show_help(command)
    else:
        _guarded(command, invocation)


def _guarded(command: Command, invocation: Invocation) -> None:
    """Runs a command; what can go wrong with files becomes a CommandError."""
    from miniraft.bolt.problem import BoltError
    from miniraft.errors import EtcdError
    from miniraft.runtime.data_dir import DataFolderError
    from miniraft.runtime.lmdb_store import StoreRefused
    from miniraft.server.bootstrap import BootstrapError
    from miniraft.snapshot.problem import SnapshotError
    from miniraft.wal.interface import WalError

    try:
        command.run(invocation)
    except SnapshotError as error:
        notes = (f"{error.remedy}.",) if error.remedy else ()
        raise CommandError(error.message, ExitCode.ERROR, notes) from error
    except BoltError as error:
        remedy = "The file is no snapshot, or it is damaged: take the original, or save another one."
        raise CommandError(f"invalid database: {error}", ExitCode.ERROR, (remedy,)) from error
    except OSError as error:
        raise CommandError(_in_words(error), ExitCode.ERROR) from error
    except EtcdError as error:
        raise CommandError(error.message, ExitCode.ERROR) from error
    except (BootstrapError, DataFolderError, StoreRefused, WalError) as error:
        raise CommandError(str(error), ExitCode.ERROR) from error


def _in_words(error: OSError) -> str:
    """Says what etcdutl says for a file that is not there, and much the same otherwise."""
    if isinstance(error, FileNotFoundError):
        return f"stat {error.filename}: no such file or directory"
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _find(words: list[str]) -> tuple[str, list[str]]:
    """Splits a command line into the path of a command or group, and the rest."""
    path = ""
    rest = list(words)
    flags = FlagSet((WRITE_OUT, HELP))
    while path not in _PLACES:
        index = flags.first_argument(rest)
        if index is None:
            break
        longer = f"{path} {rest[index]}".strip()
        if not any(place == longer or place.startswith(f"{longer} ") for place in _PLACES):
            break
        path = longer
        del rest[index]
    return path, rest


def _load(path: str) -> Command:
    module, _, attribute = _PLACES[path].partition(":")
    command: Command = getattr(import_module(f"miniraft.etcdutl.{module}"), attribute)
    return command


# Help and completion ------------------------------------------------------------------------
def _show_group(path: str, rest: list[str]) -> None:
    """Help for a group that was named alone; an error for a word that is no command of it."""
    words = [word for word in rest if not word.startswith("-")]
    if words:
        raise _unknown(path, words[0])
    paths = [place for place in _PLACES if not path or place.startswith(f"{path} ")]
    _print(
        "USAGE:",
        f"  {f'{PROGRAM} {path}'.strip()} <command> [flags]",
        "",
        "COMMANDS:",
        *_aligned((place, _load(place).summary) for place in paths),
        "",
        f"Use '{PROGRAM} <command> --help' for the flags of a command.",
    )


def _unknown(path: str, word: str) -> CommandError:
    program = f"{PROGRAM} {path}".strip()
    if not path and word in _ABSENT:
        return CommandError(f'"{word}" is not here: {_ABSENT[word]}', ExitCode.ERROR)
    names = {place.removeprefix(f"{path} ").split()[0] for place in _PLACES if place.startswith(path)}
    near = get_close_matches(word, sorted(names), n=1)
    notes = [f"Did you mean {near[0]}?"] if near else []
    notes.append(f"Run '{program} --help' for usage.")
    return CommandError(f'unknown command "{word}" for "{program}"', ExitCode.ERROR, tuple(notes))


def _show_help(command: Command) -> None:
    flags = [*sorted(command.flags, key=lambda flag: flag.long), WRITE_OUT, HELP]
    _print(
        command.summary,
        "",
        "USAGE:",
        f"  {PROGRAM} {command.path} {command.usage}".rstrip(),
        "",
        "FLAGS:",
        *_aligned(map(_describe, flags)),
    )


def _describe(flag: Flag) -> tuple[str, str]:
    short = f"-{flag.shorthand}, " if flag.shorthand else "    "
    value = f" {flag.kind.name}" if flag.takes_value else ""
    default = f" (default {flag.kind.show(flag.initial)})" if flag.takes_value and flag.initial else ""
    return f"{short}--{flag.long}{value}", f"{flag.help or ''}{default}"


def _aligned(rows: Iterable[tuple[str, str]]) -> list[str]:
    table = list(rows)
    width = max(len(left) for left, _ in table)
    return [f"  {left:<{width}}  {right}".rstrip() for left, right in table]


def _complete(words: list[str]) -> None:
    """Prints what may stand for the last word, with a tab and what it is."""
    *before, begun = words or [""]
    begun = "" if begun in {'""', "''"} else begun
    path, _ = _find(before)
    for name, text in _candidates(path, begun):
        if name.startswith(begun):
            _print(f"{name}\t{text}")


def _candidates(path: str, begun: str) -> Iterable[tuple[str, str]]:
    if begun.startswith("-"):
        own = _load(path).flags if path in _PLACES else ()
        return [(f"--{flag.long}", flag.help or "") for flag in (*own, WRITE_OUT, HELP)]
    if path in _PLACES:
        return []
    inside = [place for place in _PLACES if not path or place.startswith(f"{path} ")]
    names = dict.fromkeys(place.removeprefix(path).split()[0] for place in inside)
    return [(name, "") for name in names]


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
