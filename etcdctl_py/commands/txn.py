"""`txn`: several operations as one, guarded by comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.command import Command
from etcdctl_py.console import to_text
from etcdctl_py.failure import CommandError, ExitCode, bad_arguments
from etcdctl_py.flags import switch
from etcdctl_py.messages import TxnResponse
from etcdctl_py.txn_text import parse_compare, parse_operation, strip

if TYPE_CHECKING:
    from collections.abc import Callable

    from etcdctl_py.invocation import Invocation


async def run(call: Invocation) -> None:
    """Reads the three paragraphs from standard input and sends them. A transaction has no limit."""
    if call.arguments:
        raise bad_arguments("txn command does not accept argument")
    printer = call.printer("txn")
    async with call.client() as client:
        request = {
            "compare": _read_paragraph(call, "compares:", parse_compare),
            "success": _read_paragraph(call, "success requests (get, put, del):", parse_operation),
            "failure": _read_paragraph(call, "failure requests (get, put, del):", parse_operation),
        }
        answer = await client.call("/v3/kv/txn", request, limited=False)
    printer.txn(TxnResponse.read(answer))


def _read_paragraph(
    call: Invocation, prompt: str, parse: Callable[[str], dict[str, Any]]
) -> list[dict[str, Any]]:
    if call.flags["interactive"]:
        call.console.line(prompt)
    parsed: list[dict[str, Any]] = []
    while True:
        line = call.console.read_line()
        if not line.endswith(b"\n"):
            raise CommandError(
                "EOF",
                ExitCode.INVALID_INPUT,
                ("The input ended early: an empty line must end each of the three parts.",),
            )
        text = strip(to_text(line))
        if not text:
            return parsed
        parsed.append(parse(text))


TXN = Command(
    "txn",
    run,
    usage="txn [options]",
    summary="do several operations as one, guarded by comparisons",
    flags=(switch("interactive", "ask for each part", "i"),),
    description="""
Three parts are read from standard input, each ended by an empty line: comparisons, the operations
when all hold, and the operations when one does not. For example

  mod("lock") = "0"

  put lock "it is mine"

  get lock

The targets of a comparison are version, create, mod, value and lease (hexadecimal); its operators
are = != < and >; key and value stand in double quotes. Operations are get, put and del with their
own flags.
""",
)
