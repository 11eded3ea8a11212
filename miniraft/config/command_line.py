"""Reads a command line as Go's flag package does.

`-f` and `--f` are the same; a value follows after `=` or as the next word; a truth value stands
bare or after `=`, so that in `--pre-vote true` the second word is a stray argument.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from miniraft.config.flags import ALIASES, DEAD_FLAGS, FLAGS, GATE_ALIASES, REMOVED
from miniraft.config.problem import ConfigError, UsageError
from miniraft.config.values import BOOLEAN, TEXT, boolean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.config.values import Kind


@dataclass(slots=True)
class Settings:
    """What one source (command line, environment or file) sets."""

    values: dict[str, Any] = field(default_factory=dict)  # by flag name, read
    gates: dict[str, bool] = field(default_factory=dict)  # set by their older flags
    config_file: str = ""
    help: bool = False
    version: bool = False

    def set(self, name: str, value: Any) -> None:
        """Takes a value for a flag by any name it is known under."""
        if name in GATE_ALIASES:
            self.gates[GATE_ALIASES[name]] = value
        elif name == "config-file":
            self.config_file = value
        elif name == "version":
            self.version = value
        elif name not in DEAD_FLAGS:
            flag = FLAGS[ALIASES.get(name, name)]
            self.values[flag.name] = flag.zero_means if flag.zero_means and not value else value


def kind_of(name: str) -> Kind | None:
    """The kind of value a name takes, or None for a name that is no flag."""
    if name in DEAD_FLAGS or name in GATE_ALIASES or name == "version":
        return BOOLEAN
    if name == "config-file":
        return TEXT
    flag = FLAGS.get(ALIASES.get(name, name))
    return flag.kind if flag else None


def read_command_line(arguments: Sequence[str]) -> Settings:
    """Reads the words after the program's name.

    Raises UsageError (exit 2) where Go's flag package would, ConfigError for a stray argument.
    """
    settings = Settings()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--" or not word.startswith("-") or word == "-":
            _refuse_stray(words if word == "--" else [word], settings)
            break
        name, equals, text = word[2 if word.startswith("--") else 1 :].partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {word}", "write --name=value")
        if name in ("help", "h"):
            settings.help = True
            break
        kind = kind_of(name)
        if kind is None:
            raise UsageError(f"flag provided but not defined: -{name}", _suggestion(name))
        if kind is BOOLEAN:
            text = text if equals else "true"
        elif not equals:
            if not words:
                raise UsageError(f"flag needs an argument: -{name}", f"write --{name}=VALUE")
            text = words.pop(0)
        settings.set(name, _read(name, kind, text))
    return settings


def _read(name: str, kind: Kind, text: str) -> Any:
    if name in DEAD_FLAGS:
        return None
    try:
        return kind.from_text(text)
    except ValueError as error:
        what = "boolean value" if kind is BOOLEAN else "value"
        preposition = "for" if kind is BOOLEAN else "for flag"
        raise UsageError(
            f'invalid {what} "{text}" {preposition} -{name}: {error}', f"--{name} takes {kind.name}"
        ) from None


def _refuse_stray(words: Sequence[str], settings: Settings) -> None:
    """What follows the flags is a mistake, except when only the version was asked for."""
    if not words or settings.version:
        return
    fix = "every setting is a flag, as in --name=n1"
    try:
        boolean(words[0])
        fix = f"write a truth value after an equals sign, as in --client-cert-auth={words[0]}"
    except ValueError:
        pass
    raise ConfigError(f'"{words[0]}" is not a valid flag', fix)


def _suggestion(name: str) -> str:
    if name in REMOVED:
        return REMOVED[name]
    close = difflib.get_close_matches(name, [*FLAGS, *ALIASES, *GATE_ALIASES], n=1, cutoff=0.75)
    return f"did you mean --{close[0]}?" if close else "miniraft --help lists the flags"
