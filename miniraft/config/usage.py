"""What --help and --version print."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from miniraft import version
from miniraft.config.flags import FLAGS, SECTIONS
from miniraft.runtime.config import FEATURE_GATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.config.flags import Flag

USAGE = """\
Usage:

  miniraft [flags]
    Start a member. Without flags: one member on localhost:2379, data in default.etcd.

  miniraft cluster [--nodes 3]
    Start a local TLS cluster, watch it, and break it (miniraft cluster --help).

  miniraft --config-file FILE
    Take the settings from a YAML file; other flags and the environment are ignored.

  miniraft --version
    Show the version.

  miniraft -h | --help
    Show the flags. Each has an environment variable too: --data-dir is ETCD_DATA_DIR.
"""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def version_text() -> str:
    """The four lines of `etcd --version`; scripts read the first."""
    machine = platform.machine()
    return (
        f"etcd Version: {version.SERVER_VERSION}\n"
        f"Git SHA: miniraft\n"
        f"Go Version: none (Python {platform.python_version()})\n"
        f"Go OS/Arch: {platform.system().lower()}/{_MACHINES.get(machine, machine)}\n"
    )


def help_text() -> str:
    """The usage, every flag with its default, and the feature gates."""
    lines = [USAGE]
    for section in SECTIONS:
        lines.append(f"{section}:")
        lines.extend(line for flag in FLAGS.values() if flag.section == section for line in _flag_lines(flag))
        lines.append("")
    lines.append("Feature gates (--feature-gates=Name=true,Name=false):")
    lines.extend(f"  {name} ({'on' if enabled else 'off'})" for name, enabled in FEATURE_GATES.items())
    return "\n".join(lines) + "\n"


def _flag_lines(flag: Flag) -> Iterator[str]:
    default = _shown(flag)
    yield f"  --{flag.name} '{default}'" if default or not flag.unit else f"  --{flag.name}"
    note = f" (accepted without effect: {flag.ignored})" if flag.ignored else ""
    yield f"    {flag.meaning}{note}"


def _shown(flag: Flag) -> str:
    value: Any = flag.default
    if flag.name == "data-dir":
        return "${name}.etcd"
    if flag.name == "feature-gates":
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if flag.unit == "_seconds" and isinstance(value, float):
        return _duration(value)
    return str(value)


def _duration(seconds: float) -> str:
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
