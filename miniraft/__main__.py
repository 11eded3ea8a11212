"""The `miniraft` command: reads the configuration and runs one member, or a local cluster.

Imports are late so that --help and --version answer at once.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.config.load import Loaded
    from miniraft.runtime.config import ServerConfig

_ABSENT_COMMANDS = {
    "grpc-proxy": "there is no gRPC proxy; give clients several endpoints, or put 'miniraft gateway' there",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0 done, 1 refused or failed, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["cluster"]:
        from miniraft.local_cluster.command import main as cluster_main

        return cluster_main(words[1:])
    if words[:1] == ["gateway"]:
        from miniraft.gateway.command import main as gateway_main

        return gateway_main(words[1:])
    if words and words[0] in _ABSENT_COMMANDS:
        sys.stderr.write(f"miniraft {words[0]}: {_ABSENT_COMMANDS[words[0]]}\n")
        return 1
    return _run_member(words)


def _run_member(words: list[str]) -> int:
    from miniraft.config.load import load
    from miniraft.config.problem import ConfigError, UsageError

    try:
        loaded = load(words, os.environ)
    except UsageError as error:
        from miniraft.config.usage import USAGE

        hint = f" ({error.fix})" if error.fix else ""
        sys.stderr.write(f"{error.message}{hint}\n{USAGE}")
        return 2
    except ConfigError as error:
        _report(error.message, error.fix)
        return 1
    if loaded.help or loaded.version:
        from miniraft.config import usage

        sys.stdout.write(usage.help_text() if loaded.help else usage.version_text())
        return 0
    return _start(loaded, words)


def _report(message: str, fix: str) -> None:
    """Tells what is wrong: in sentences on a terminal, as etcd's log line elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"miniraft: {message}\n" + (f"  {fix}\n" if fix else ""))
        return
    from miniraft.runtime import log

    fields = {"fix": fix} if fix else {}
    log.event("fatal", "failed to verify flags", error=message, **fields)


def _start(loaded: Loaded, words: list[str]) -> int:
    from miniraft.runtime import log

    config = loaded.config
    try:
        log.configure(config.log_format or "auto", config.log_level, config.log_outputs)
    except OSError as error:
        _report(f"cannot open the log file {error.filename}: {error.strerror}", "correct --log-outputs")
        return 1
    log.event("info", "Running: ", args=["miniraft", *words])
    for warning in loaded.warnings.items:
        log.event("warn", warning.message, **warning.fields)
    return _serve(config)


def _serve(config: ServerConfig) -> int:
    import uvloop

    from miniraft.runtime.server import run_server

    return int(uvloop.run(run_server(config)) or 0)


if __name__ == "__main__":
    sys.exit(main())
