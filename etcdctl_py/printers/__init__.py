"""Output formats, one a file; each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.failure import CommandError, ExitCode

if TYPE_CHECKING:
    from etcdctl_py.console import Console
    from etcdctl_py.printers.base import Printer


def make_printer(name: str, console: Console, hexadecimal: bool) -> Printer:
    """Returns the printer of that name. Raises CommandError (exit 4) for an unknown one."""
    if name == "simple":
        from etcdctl_py.printers.simple import SimplePrinter

        return SimplePrinter(console, hexadecimal)
    if name == "json":
        from etcdctl_py.printers.json import JsonPrinter

        return JsonPrinter(console, hexadecimal)
    if name == "fields":
        from etcdctl_py.printers.fields import FieldsPrinter

        return FieldsPrinter(console, hexadecimal)
    if name == "table":
        from etcdctl_py.printers.table import TablePrinter

        return TablePrinter(console, hexadecimal)
    if name == "protobuf":
        from etcdctl_py.printers.protobuf import ProtobufPrinter

        return ProtobufPrinter(console, hexadecimal)
    raise CommandError(
        "unsupported output format",
        ExitCode.BAD_FEATURE,
        (f"--write-out {name} is none of simple, json, fields, table and protobuf.",),
    )
