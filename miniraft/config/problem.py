"""What can be wrong with a configuration. Each names the fault and what to type instead."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration cannot be used: the process exits with 1."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message  # etcd's words where etcd has them
        self.fix = fix  # what to type or do


class UsageError(Exception):
    """The command line cannot be read: the process prints its usage and exits with 2."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
