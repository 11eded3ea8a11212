"""Flags as etcdctl's own flag library reads them.

`--name value`, `--name=value`, `-w value`, `-wvalue`, `-w=value`; flags and arguments in any
order; `--` ends the flags; a switch takes its value only with `=`.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from etcdctl_py.golang.durations import format_duration, parse_duration
from etcdctl_py.golang.numbers import parse_bool, parse_int, parse_uint
from etcdctl_py.golang.quoting import quote_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class FlagError(Exception):
    """A flag that does not exist or has a bad value; the message is etcdctl's."""


class Kind(NamedTuple):
    """How the text of a flag becomes its value, and how a default is shown in help."""

    name: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]


def _parse_list(text: str) -> list[str]:
    return next(csv.reader([text]), []) if text else []


TEXT = Kind("string", str, quote_text)
LIST = Kind("list", _parse_list, lambda value: f"[{','.join(value)}]")
SWITCH = Kind("switch", parse_bool, lambda value: "true" if value else "false")
NUMBER = Kind("number", lambda text: parse_int(text, 0), str)
UNSIGNED = Kind("unsigned number", lambda text: parse_uint(text, 0), str)
DURATION = Kind("duration", parse_duration, lambda seconds: format_duration(round(seconds * 1e9)))


class Flag(click.Option):
    """A click option with a flag library's manners; its value is read by `kind`."""

    def __init__(self, name: str, kind: Kind, default: Any, text: str, shorthand: str = "") -> None:
        names = [f"--{name}", f"-{shorthand}"] if shorthand else [f"--{name}"]
        super().__init__(names, help=text, default=None)
        self.long = name
        self.shorthand = shorthand
        self.kind = kind
        self.initial = default

    @property
    def takes_value(self) -> bool:
        """Whether a value follows even without `=`."""
        return self.kind is not SWITCH

    def read(self, text: str) -> Any:
        """Reads a value. Raises FlagError."""
        try:
            return self.kind.parse(text)
        except ValueError as error:
            name = f"-{self.shorthand}, --{self.long}" if self.shorthand else f"--{self.long}"
            raise FlagError(
                f"invalid argument {quote_text(text)} for {quote_text(name)} flag: {error}"
            ) from None


def switch(name: str, text: str, shorthand: str = "", default: bool = False) -> Flag:
    """A flag that is on or off."""
    return Flag(name, SWITCH, default, text, shorthand)


def string(name: str, text: str, default: str = "") -> Flag:
    """A flag with text for a value."""
    return Flag(name, TEXT, default, text)


def number(name: str, text: str, default: int = 0) -> Flag:
    """A flag with a whole number for a value."""
    return Flag(name, NUMBER, default, text)


def unsigned(name: str, text: str, default: int = 0) -> Flag:
    """A flag with a whole number from zero on for a value."""
    return Flag(name, UNSIGNED, default, text)


HELP = switch("help", "show this help", shorthand="h")


class FlagSet:
    """The flags one command line may use, by long and by short name."""

    def __init__(self, flags: Iterable[Flag]) -> None:
        self.by_name: dict[str, Flag] = {}
        self.by_shorthand: dict[str, Flag] = {}
        self.arguments_before_dash: int | None = None
        for flag in flags:
            self.by_name.setdefault(flag.long, flag)
            if flag.shorthand:
                self.by_shorthand.setdefault(flag.shorthand, flag)

    def defaults(self) -> dict[str, Any]:
        """The values of a command line without flags."""
        return {name: flag.initial for name, flag in self.by_name.items()}

    def parse(self, words: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Returns the flags that were given, with their values, and the other arguments.

        Raises FlagError.
        """
        given: dict[str, Any] = {}
        arguments: list[str] = []
        rest = list(reversed(words))
        while rest:
            word = rest.pop()
            if word == "--":
                self.arguments_before_dash = len(arguments)
                arguments.extend(reversed(rest))
                break
            if word.startswith("--"):
                self._parse_long(word, rest, given)
            elif word.startswith("-") and word != "-":
                self._parse_short(word, rest, given)
            else:
                arguments.append(word)
        return given, arguments

    def _parse_long(self, word: str, rest: list[str], given: dict[str, Any]) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise FlagError(f"bad flag syntax: {word}")
        flag = self.by_name.get(name)
        if flag is None:
            raise FlagError(f"unknown flag: --{name}")
        if not equals:
            if not flag.takes_value:
                value = "true"
            elif rest:
                value = rest.pop()
            else:
                raise FlagError(f"flag needs an argument: {word}")
        _set(given, flag, value)

    def _parse_short(self, word: str, rest: list[str], given: dict[str, Any]) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self.by_shorthand.get(letter)
            if flag is None:
                raise FlagError(f"unknown shorthand flag: {_quote_rune(letter)} in -{letter}{letters}")
            if letters.startswith("=") and len(letters) > 1:
                value, letters = letters[1:], ""
            elif not flag.takes_value:
                value = "true"
            elif letters:
                value, letters = letters, ""
            elif rest:
                value = rest.pop()
            else:
                raise FlagError(f"flag needs an argument: {_quote_rune(letter)} in -{letter}")
            _set(given, flag, value)

    def first_argument(self, words: list[str]) -> int | None:
        """Returns the index of the first word that is neither a flag nor a flag's value.

        A flag that is not known (yet) counts as one with a value, as etcdctl counts it.
        """
        index = 0
        while index < len(words):
            word = words[index]
            if word == "--":
                return None
            if not word or not word.startswith("-") or word == "-":
                return index
            index += 2 if self._value_follows(word) else 1
        return None

    def _value_follows(self, word: str) -> bool:
        if "=" in word:
            return False
        if word.startswith("--"):
            flag = self.by_name.get(word[2:])
            return flag is None or flag.takes_value
        flag = self.by_shorthand.get(word[1:2])
        return len(word) == 2 and (flag is None or flag.takes_value)


def _set(given: dict[str, Any], flag: Flag, text: str) -> None:
    value = flag.read(text)
    if flag.kind is LIST and flag.long in given:
        value = given[flag.long] + value
    given[flag.long] = value


def _quote_rune(letter: str) -> str:
    return "'\\''" if letter == "'" else f"'{quote_text(letter)[1:-1]}'"
