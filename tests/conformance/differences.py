"""Where the etcd compared with (3.5) answers otherwise than the one followed (3.7), on purpose.

Each is either smoothed over before comparing or not sent at all.
"""

from typing import NamedTuple

from miniraft import errors
from miniraft.pb import rpc_pb2 as rpc


class Difference(NamedTuple):
    what: str
    reason: str
    handling: str


KNOWN_DIFFERENCES = (
    Difference(
        "keys_only answers carry the lease",
        "3.7 reads them out of its index, which knows no leases (unless sorted by VALUE)",
        "the lease is taken out of the real answer",
    ),
    Difference(
        "an unknown sort order or target is accepted",
        "3.6 made it the error `invalid sort option`; 3.5 stops with a panic on a target it does not know",
        "not sent; tested against validation alone",
    ),
    Difference(
        "a txn whose branch has several faults names another one first",
        "3.5 checks all puts, then all ranges; from 3.6 operations are checked in order",
        "either of the errors passes, both servers still have to refuse",
    ),
    Difference(
        "a txn that deletes from a key on (range_end \\0) and puts a key behind it, compacted at its very "
        "revision, kills the server at the next read of that key",
        "the overlap goes unnoticed, and the compaction takes the tombstone in the middle for the key's end",
        "not sent in one txn; tested without compaction against a server of its own",
    ),
    Difference(
        "a watch that a compaction ended keeps its id, and its stream answers no progress, until the "
        "client cancels it all the same",
        "etcd forgets to forget it; here it is gone",
        "the tests' client cancels such a watch at once, as etcd's own does, and expects no answer",
    ),
    Difference(
        "JSON with an enum by an unknown name, or with text behind the request, is accepted",
        "etcd's gateway drops what it does not know, so that a misspelt order or comparison means another",
        "ours refuses it; test_json_input.py holds that",
    ),
    Difference(
        "JSON with a field twice is refused",
        "the JSON library used here keeps the second and does not tell",
        "ours accepts it; test_json_input.py holds that",
    ),
    Difference(
        "a stream's request that is no JSON is not answered",
        "etcd's gateway ends the requests there, and the stream goes on without any",
        "ours answers with an error; not compared",
    ),
)

_APPLY_ERRORS = {
    (int(error.code), error.message)
    for error in (errors.KEY_NOT_FOUND, errors.LEASE_NOT_FOUND, errors.COMPACTED, errors.FUTURE_REVISION)
}


def without_keys_only_leases(request, response):
    """Takes the leases 3.5 sends with keys_only out of `response`, in place."""
    if isinstance(request, rpc.RangeRequest):
        if request.keys_only and request.sort_target != rpc.RangeRequest.VALUE:
            for pair in response.kvs:
                pair.ClearField("lease")
    elif isinstance(request, rpc.TxnRequest):
        branch = request.success if response.succeeded else request.failure
        for operation, answer in zip(branch, response.responses, strict=True):
            kind = operation.WhichOneof("request")
            if kind in ("request_range", "request_txn"):
                part = getattr(answer, kind.replace("request", "response"))
                without_keys_only_leases(getattr(operation, kind), part)


def is_other_fault_first(request, one, other):
    """Whether two errors for a txn differ only in which of its operations' faults comes first."""
    return isinstance(request, rpc.TxnRequest) and {one, other} <= _APPLY_ERRORS


def deletes_from_key_and_puts(request):
    """Whether a txn holds both a delete without upper bound and a put, anywhere in it."""
    return isinstance(request, rpc.TxnRequest) and {"delete", "put"} <= set(_kinds(request))


def _kinds(txn):
    for operation in [*txn.success, *txn.failure]:
        if operation.HasField("request_put"):
            yield "put"
        elif operation.HasField("request_delete_range"):
            if operation.request_delete_range.range_end == b"\0":
                yield "delete"
        elif operation.HasField("request_txn"):
            yield from _kinds(operation.request_txn)
