"""The kinds of value a flag can have, read as Go's flag package and etcd read them.

A kind reads text (command line, environment) and what a YAML file holds. Both raise
ValueError with a reason fit to follow `invalid value "x" for flag -name: `.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from miniraft.runtime.config import DEFAULT_FEATURES, FEATURE_GATES, parse_duration_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PARSE_ERROR = "parse error"
OUT_OF_RANGE = "value out of range"
URL_SCHEMES = ("http", "https", "unix", "unixs")
MAX_LIST_LENGTH = 1000  # no list an operator types is longer

_BETA = frozenset({"TxnModeWriteWithSharedBuffer", "FastLeaseKeepAlive"})
FEATURE_GROUPS = {"AllAlpha": frozenset(FEATURE_GATES) - _BETA, "AllBeta": _BETA}

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Kind(NamedTuple):
    """One kind of value."""

    name: str  # as the help shows it
    from_text: Callable[[str], Any]
    from_yaml: Callable[[Any], Any]


def boolean(text: str) -> bool:
    """Reads a truth value."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(PARSE_ERROR)


def _integer(text: str, low: int, high: int) -> int:
    if not text.isascii() or text != text.strip():
        raise ValueError(PARSE_ERROR)
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits.startswith("0") and digits.isdigit()  # Go reads 010 as eight
    try:
        number = int(text, 8 if octal else 0)
    except ValueError:
        raise ValueError(PARSE_ERROR) from None
    if low == 0 and number < 0:
        raise ValueError(PARSE_ERROR)
    if not low <= number <= high:
        raise ValueError(OUT_OF_RANGE)
    return number


def signed(text: str) -> int:
    """Reads a whole number of 64 bits."""
    return _integer(text, -(2**63), 2**63 - 1)


def unsigned(text: str) -> int:
    """Reads a whole number of 64 bits that is not negative."""
    return _integer(text, 0, 2**64 - 1)


def unsigned32(text: str) -> int:
    """Reads a whole number of 32 bits that is not negative."""
    return _integer(text, 0, 2**32 - 1)


def duration(text: str) -> float:
    """Reads a Go duration into seconds."""
    try:
        return parse_duration_seconds(text)
    except ValueError:
        raise ValueError(f"{PARSE_ERROR}; a duration has a unit, as in 100ms, 5s or 1h30m") from None


def strings(text: str) -> tuple[str, ...]:
    """Reads a comma list; repetitions are dropped."""
    return _bounded(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def urls(text: str) -> tuple[str, ...]:
    """Reads a comma list of URLs, and returns them sorted as etcd does."""
    if not text:
        return ()
    return _bounded(sorted({_url(part.strip()) for part in text.split(",")}))


def origins(text: str) -> tuple[str, ...]:
    """Reads `*` or a comma list of URLs."""
    return ("*",) if text == "*" else urls(text)


def features(text: str) -> frozenset[str]:
    """Reads `Name=bool,Name=bool` over the defaults and returns the gates that are on."""
    enabled = set(DEFAULT_FEATURES)
    pairs = [_feature(part.strip()) for part in text.split(",") if part.strip()]
    pairs.sort(key=lambda pair: pair[0] not in FEATURE_GROUPS)  # a gate by name overrides its group
    for name, on in pairs:
        gates = FEATURE_GROUPS.get(name, frozenset({name}))
        enabled = enabled | gates if on else enabled - gates
    return frozenset(enabled)


def _feature(part: str) -> tuple[str, bool]:
    name, equals, value = part.partition("=")
    if not equals:
        raise ValueError(f"missing bool value for feature gate {name}; write {name}=true")
    if name not in FEATURE_GATES and name not in FEATURE_GROUPS:
        raise ValueError(f"unrecognized feature gate: {name}; known are {', '.join(FEATURE_GATES)}")
    try:
        return name, boolean(value)
    except ValueError:
        raise ValueError(f"invalid value of {name}={value}; write true or false") from None


def one_of(*choices: str) -> Callable[[str], str]:
    """A reader that takes one of these words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"invalid value; write one of {', '.join(choices)}")
        return text

    return read


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{error}: {text}") from None
    if parts.scheme not in URL_SCHEMES:
        raise ValueError(f"URL scheme must be http, https, unix, or unixs: {text}")
    if parts.scheme in ("http", "https"):
        if not parts.hostname or port is None:
            raise ValueError(f'URL address does not have the form "host:port": {text}')
        if parts.path or parts.query or parts.fragment:
            raise ValueError(f"URL must not contain a path: {text}")
        if parts.username is not None:
            raise ValueError(f"URL must not contain a user: {text}")
    return text


def _bounded(parts: Iterable[str]) -> tuple[str, ...]:
    found = tuple(parts)
    if len(found) > MAX_LIST_LENGTH:
        raise ValueError(f"{len(found)} entries, more than {MAX_LIST_LENGTH}")
    return found


def _yaml_of(type_: type, words: str) -> Callable[[Any], Any]:
    """A reader for YAML values that must be of one type already."""

    def read(value: Any) -> Any:
        if type(value) is not type_:
            quotes = f'; put it in quotes: "{value}"' if type_ is str else ""
            raise ValueError(f"wants {words}, not {_yaml_type(value)}{quotes}")
        return value

    return read


def _yaml_integer(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int:
            raise ValueError(f"wants a whole number, not {_yaml_type(value)}")
        if not low <= value <= high:
            raise ValueError(OUT_OF_RANGE)
        return value

    return read


def _yaml_duration(value: Any) -> float:
    if type(value) is int:
        return value / 1e9
    if type(value) is str:
        return duration(value)
    raise ValueError(f"wants nanoseconds or a duration such as 5s, not {_yaml_type(value)}")


def _yaml_text(read: Callable[[str], Any], *, numbers: bool = False) -> Callable[[Any], Any]:
    """A reader for YAML that takes a comma string or a list and reads on as text."""

    def read_yaml(value: Any) -> Any:
        if numbers and type(value) is int:
            value = str(value)
        if type(value) is list and all(type(part) is str for part in value):
            value = ",".join(value)
        if type(value) is not str:
            raise ValueError(f"wants text, not {_yaml_type(value)}; put it in quotes")
        return read(value)

    return read_yaml


def _yaml_type(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a group of keys" if type(value) is dict else "nothing")


BOOLEAN = Kind("bool", boolean, _yaml_of(bool, "true or false"))
TEXT = Kind("string", str, _yaml_of(str, "text"))
NUMBER = Kind("int", signed, _yaml_integer(-(2**63), 2**63 - 1))
COUNT = Kind("uint", unsigned, _yaml_integer(0, 2**64 - 1))
COUNT32 = Kind("uint", unsigned32, _yaml_integer(0, 2**32 - 1))
DURATION = Kind("duration", duration, _yaml_duration)
STRINGS = Kind("list", strings, _yaml_text(strings))
URLS = Kind("urls", urls, _yaml_text(urls))
ORIGINS = Kind("urls", origins, _yaml_text(origins))
RETENTION = Kind("string", str, _yaml_text(str, numbers=True))
GATES = Kind("Name=bool,...", features, _yaml_text(features))


def choice(*choices: str) -> Kind:
    """A kind whose value is one of these words."""
    read = one_of(*choices)
    return Kind("|".join(choices), read, _yaml_text(read))
