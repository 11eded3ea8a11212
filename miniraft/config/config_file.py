"""Reads --config-file: YAML (or JSON, which is YAML) with etcd's keys.

Every other flag and variable is ignored then. A key nobody knows warns, as etcd itself passes
over it; within the two groups that set up TLS it is refused, because a misspelt key there would
leave a door open.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniraft.config.command_line import Settings, kind_of
from miniraft.config.flags import ALIASES, FLAGS, GATE_ALIASES
from miniraft.config.problem import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.config.warning import Warnings

MAX_FILE_BYTES = 1 << 20
_SECURITY_GROUPS = ("client-transport-security", "peer-transport-security")

_PATHS = {flag.yaml_path: flag.name for flag in FLAGS.values() if flag.yaml_path} | {
    (name,): name for name in (*ALIASES, *GATE_ALIASES)
}
_GROUPS = {path[:depth] for path in _PATHS for depth in range(1, len(path))}


def read_config_file(path: str, warnings: Warnings) -> Settings:
    """Reads the file. Raises ConfigError when it cannot be read or holds what cannot be."""
    settings = Settings()
    for keys, value in _leaves(_load(path), (), path):
        name = _PATHS.get(keys)
        if name is None:
            _unknown(keys, path, warnings)
        elif value is not None:
            settings.set(name, _read(path, keys, name, value))
    return settings


def _load(path: str) -> dict[str, Any]:
    import yaml

    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"open {path}: {reason}", "name a readable file with --config-file") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes", "name a configuration file")
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"error converting YAML to JSON: yaml: {_words(error)}", f"correct {path}; it is YAML, key: value"
        ) from None
    if document is None:
        return {}
    if type(document) is not dict:
        raise ConfigError(f"{path} holds no settings", "write it as YAML, one key: value a line")
    return document


def _words(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}"


def _leaves(
    group: dict[Any, Any], outer: tuple[str, ...], file: str
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The settings of a group and of the groups within."""
    for key, value in group.items():
        keys = (*outer, str(key))
        if keys not in _GROUPS:
            yield keys, value
        elif type(value) is dict:
            yield from _leaves(value, keys, file)
        elif value is not None:
            raise ConfigError(
                f"{file}: {'.'.join(keys)} holds keys of its own, not a value", f"indent them below {key}:"
            )


def _unknown(keys: tuple[str, ...], file: str, warnings: Warnings) -> None:
    name = ".".join(keys)
    close = difflib.get_close_matches(name, [".".join(path) for path in _PATHS], n=1, cutoff=0.75)
    hint = f"did you mean {close[0]}?" if close else "leave it out"
    if keys[0] in _SECURITY_GROUPS:
        raise ConfigError(f"{file}: unknown key {name}", hint)
    warnings.add("unknown key in the configuration file has no effect", path=file, key=name, hint=hint)


def _read(file: str, keys: tuple[str, ...], name: str, value: Any) -> Any:
    kind = kind_of(name)
    if kind is None:
        raise ConfigError(f"{file}: {name} names no flag")
    try:
        return kind.from_yaml(value)
    except ValueError as error:
        raise ConfigError(f"{file}: {'.'.join(keys)}: {error}", f"correct {file}") from None
