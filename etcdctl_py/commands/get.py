"""`get`: reads a key or a range of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py import keyrange
from etcdctl_py.command import Command
from etcdctl_py.console import to_bytes
from etcdctl_py.failure import CommandError, ExitCode, bad_arguments
from etcdctl_py.flags import number, string, switch
from etcdctl_py.golang.quoting import quote_text
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import RangeResponse

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation

_TARGETS = {"CREATE": "CREATE", "KEY": "KEY", "MODIFY": "MOD", "VALUE": "VALUE", "VERSION": "VERSION"}
_ORDERS = {"ASCEND": "ASCEND", "DESCEND": "DESCEND"}
_REVISION_LIMITS = {
    "min-create-rev": "min_create_revision",
    "max-create-rev": "max_create_revision",
    "min-mod-rev": "min_mod_revision",
    "max-mod-rev": "max_mod_revision",
}


def key_range(
    arguments: list[str], flags: dict[str, Any], command: str, *, listing: bool = False
) -> dict[str, Any]:
    """Returns `key` and `range_end` for the arguments of get and del.

    `listing` takes a missing key as the empty one when --prefix or --from-key says what to list.
    Raises CommandError (exit 128).
    """
    prefix, from_key = flags["prefix"], flags["from-key"]
    if prefix and from_key:
        raise bad_arguments("`--prefix` and `--from-key` cannot be set at the same time, choose one")
    if not arguments and listing:
        arguments = [""]
        prefix = prefix or not from_key
    # etcdctl's get passes over a third argument, its del does not.
    if not arguments or (len(arguments) > 2 and command != "get"):
        raise bad_arguments(
            f"{command} command needs one argument as key and an optional argument as range_end",
            *_listing_hint(command, arguments),
        )
    if len(arguments) > 1 and (prefix or from_key):
        raise bad_arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set"
        )
    key = to_bytes(arguments[0])
    end = to_bytes(arguments[1]) if len(arguments) > 1 else b""
    if (prefix or from_key) and not key:
        key, end = keyrange.EVERYTHING_FROM, keyrange.EVERYTHING_FROM
    elif prefix:
        end = keyrange.prefix_end(key)
    elif from_key:
        end = keyrange.EVERYTHING_FROM
    return {"key": encode(key), **({"range_end": encode(end)} if end else {})}


def _listing_hint(command: str, arguments: list[str]) -> tuple[str, ...]:
    if arguments or command != "get":
        return ()
    return ('All keys are listed by: get "" --prefix --keys-only',)


def range_request(arguments: list[str], flags: dict[str, Any], *, listing: bool = False) -> dict[str, Any]:
    """Returns the request for the arguments of get. Raises CommandError."""
    keys_only, count_only = flags["keys-only"], flags["count-only"]
    if keys_only and count_only:
        raise bad_arguments("`--keys-only` and `--count-only` cannot be set at the same time, choose one")
    request = key_range(arguments, flags, "get", listing=listing)
    consistency = flags["consistency"]
    if consistency not in {"l", "s"}:
        raise CommandError(f"unknown consistency flag {quote_text(consistency)}", ExitCode.BAD_FEATURE)
    if consistency == "s":
        request["serializable"] = True
    request |= _sorting(flags["order"], flags["sort-by"])
    request |= {name: str(flags[flag]) for flag, name in _REVISION_LIMITS.items() if flags[flag]}
    if flags["limit"]:
        request["limit"] = str(flags["limit"])
    if flags["rev"] > 0:
        request["revision"] = str(flags["rev"])
    if keys_only:
        request["keys_only"] = True
    if count_only:
        request["count_only"] = True
    return request


def _sorting(order: str, target: str) -> dict[str, str]:
    """A target without an order sorts ascending; keys ascend by themselves."""
    if order.upper() not in {"", *_ORDERS}:
        raise CommandError(f"bad sort order {order}", ExitCode.BAD_FEATURE)
    if target.upper() not in {"", *_TARGETS}:
        raise CommandError(f"bad sort target {target}", ExitCode.BAD_FEATURE)
    if not order and not target:
        return {}
    chosen = _TARGETS.get(target.upper(), "KEY")
    if not order and chosen == "KEY":
        return {}
    return {"sort_order": _ORDERS.get(order.upper(), "ASCEND"), "sort_target": chosen}


async def run(call: Invocation) -> None:
    """Sends the range request."""
    flags = call.flags
    listing = flags["keys-only"] or flags["prefix"] or flags["from-key"] or flags["count-only"]
    request = range_request(call.arguments, flags, listing=listing)
    call.note_ignored(2)
    output = call.options["write-out"]
    if flags["count-only"] and output != "fields":
        raise bad_arguments("--count-only is only for `--write-out=fields`")
    if flags["print-value-only"] and output != "simple":
        raise bad_arguments("print-value-only is only for `--write-out=simple`")
    printer = call.printer("get")
    printer.values_only = flags["print-value-only"]
    async with call.client() as client:
        answer = await client.call("/v3/kv/range", request, repeatable=True)
    printer.get(RangeResponse.read(answer))


GET = Command(
    "get",
    run,
    usage="get [options] <key> [range_end]",
    summary="read a key or a range of keys",
    flags=(
        string("consistency", "l (linearizable) or s (serializable: fast, maybe stale)", "l"),
        string("order", "order of results: ASCEND or DESCEND (ASCEND by default)"),
        string("sort-by", "what to sort by: CREATE, KEY, MODIFY, VALUE or VERSION"),
        number("limit", "show at most so many (0: all)"),
        switch("prefix", "every key that begins with the given one"),
        switch("from-key", "every key from the given one on"),
        number("rev", "as of this revision (0: now)"),
        switch("keys-only", "without values"),
        switch("count-only", "only the number of keys (with -w fields)"),
        switch("print-value-only", "only values (with -w simple)"),
        number("min-create-rev", "only keys created at this revision or later"),
        number("max-create-rev", "only keys created at this revision or earlier"),
        number("min-mod-rev", "only keys changed at this revision or later"),
        number("max-mod-rev", "only keys changed at this revision or earlier"),
        switch("stream", "accepted for compatibility; large answers need no stream here"),
    ),
    description="""
With range_end, the keys from <key> up to but without <range_end>.
Without a key, --prefix, --from-key, --keys-only and --count-only mean all keys:
  get --prefix --keys-only
""",
)
