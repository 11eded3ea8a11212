"""Reads the ETCD_* variables: each flag has one, and an empty one counts as unset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.config.command_line import Settings, kind_of
from miniraft.config.flags import ALIASES, DEAD_FLAGS, FLAGS, GATE_ALIASES
from miniraft.config.problem import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.config.warning import Warnings

_PREFIX = "ETCD_"
_NAMES = {
    _PREFIX + name.replace("-", "_").upper(): name
    for name in (*FLAGS, *ALIASES, *GATE_ALIASES, "config-file")
    if name not in DEAD_FLAGS
}


def read_environment(environment: Mapping[str, str], given: Settings, warnings: Warnings) -> Settings:
    """Reads the variables; `given` is what the command line says.

    Raises ConfigError when a variable and the command line set the same flag (neither could be
    trusted to win), or when a value cannot be read. Variables that are no flag's warn.
    """
    settings = Settings()
    for variable in sorted(environment):
        text = environment[variable]
        if not variable.startswith(_PREFIX) or not text:
            continue
        if variable == "ETCD_UNSUPPORTED_ARCH":
            continue
        if variable == "ETCD_VERSION":
            warnings.add("cannot set special environment variable", key=variable, value=text)
        elif variable not in _NAMES:
            warnings.add("unrecognized environment variable", environment_variable=f"{variable}={text}")
        else:
            _take(variable, text, given, settings)
    return settings


def _take(variable: str, text: str, given: Settings, settings: Settings) -> None:
    name = _NAMES[variable]
    if (
        ALIASES.get(name, name) in given.values
        or GATE_ALIASES.get(name) in given.gates
        or (name == "config-file" and given.config_file)
    ):
        raise ConfigError(
            f'conflicting environment variable "{variable}" is shadowed by corresponding command-line flag '
            "(either unset environment variable or disable flag)",
            f"unset {variable}, or leave out --{name}",
        )
    kind = kind_of(name)
    if kind is None:
        raise ConfigError(f"{variable} names no flag")
    try:
        settings.set(name, kind.from_text(text))
    except ValueError as error:
        raise ConfigError(
            f'invalid value "{text}" for {variable}: {error}', f"{variable} takes {kind.name}"
        ) from None
