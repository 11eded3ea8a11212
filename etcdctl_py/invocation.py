"""One run of one command: what it was given and what it may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.failure import CommandError, ExitCode

if TYPE_CHECKING:
    import click

    from etcdctl_py.client import Client
    from etcdctl_py.console import Console
    from etcdctl_py.options import Options
    from etcdctl_py.printers.base import Printer


class Invocation:
    """Arguments, flags and settings of a run, its streams, and the way to the cluster."""

    def __init__(
        self,
        context: click.Context,
        arguments: list[str],
        flags: dict[str, Any],
        options: Options,
        console: Console,
    ) -> None:
        self.context = context
        self.arguments = arguments
        self.flags = flags
        self.options = options
        self.console = console

    def printer(self, *needs: str) -> Printer:
        """Returns the printer for --write-out.

        Raises CommandError (exit 4) when the format is unknown or cannot show what the command
        `needs`; asked before the request is sent, so that nothing is written in vain.
        """
        from etcdctl_py.printers import make_printer

        printer = make_printer(self.options["write-out"], self.console, bool(self.options["hex"]))
        for need in needs:
            if not printer.can(need):
                raise CommandError(f"{printer.name} not supported as output format", ExitCode.BAD_FEATURE)
        return printer

    def note_ignored(self, used: int) -> None:
        """Says so when there are more arguments than the command looks at, as etcdctl does not."""
        if len(self.arguments) > used:
            self.console.error_line(f"Note: ignored: {' '.join(self.arguments[used:])}")

    def client(self) -> Client:
        """Returns a client for --endpoints. Raises CommandError for flags that cannot work."""
        if self.options["discovery-srv"]:
            raise CommandError(
                "--discovery-srv is not supported",
                ExitCode.ERROR,
                ("Look the records up (dig SRV _etcd-client._tcp.<domain>) and give them as --endpoints.",),
            )
        from etcdctl_py.client import Client

        return Client(self.options, self.console)
