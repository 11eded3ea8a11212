"""Random requests for the difference test, over few keys so that they get in each other's way.

Revisions in them are relative: ORIGIN stands for the revision at which the example begins,
on each server another one. `shifted` turns them into a server's own, `relative` its answer back.
"""

from hypothesis import strategies as st

from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.endpoint import MAX_TXN_OPERATIONS

ORIGIN = 20  # so revisions 1 to 19 are compacted ones
LEASES = (77, 78)
UNKNOWN_LEASES = (99, -5)


def mixed(*weighted):
    """Draws from one of the strategies, each as often as its weight says."""
    choices = [strategy for weight, strategy in weighted for _ in range(weight)]
    return st.sampled_from(range(len(choices))).flatmap(choices.__getitem__)


_EARLY = st.integers(ORIGIN, ORIGIN + 18)  # the prologue's revisions and a few more
_ANY_REVISION = st.integers(-2, ORIGIN + 60)

_keys = mixed((60, st.sampled_from([b"a", b"ab", b"b", b"c\xff", b"d", b"\0", b"\xff"])), (1, st.just(b"")))
_range_ends = st.sampled_from([b"", b"", b"", b"\0", b"\0", b"\0", b"b", b"c", b"a", b"ac", b"\xff", b"e"])
_values = st.sampled_from([b"", b"x", b"y", b"xx", b"\xff\0"])
_leases = mixed((4, st.just(0)), (4, st.sampled_from(LEASES)), (1, st.sampled_from(UNKNOWN_LEASES)))
_rarely = st.sampled_from([False] * 7 + [True])
_sometimes = st.booleans()
_revisions = mixed((5, st.just(0)), (4, _EARLY), (1, _ANY_REVISION))
_bounds = mixed((8, st.just(0)), (3, _EARLY), (1, st.just(-1)))
_limits = st.sampled_from([0, 0, 0, 1, 2, 3, 10, -1, 2**63 - 1])

ranges = st.builds(
    rpc.RangeRequest,
    key=_keys,
    range_end=_range_ends,
    limit=_limits,
    revision=_revisions,
    sort_order=st.sampled_from([0, 0, 1, 2]),
    sort_target=st.sampled_from([0, 0, 1, 2, 3, 4]),
    serializable=_sometimes,
    keys_only=_rarely,
    count_only=_rarely,
    min_mod_revision=_bounds,
    max_mod_revision=_bounds,
    min_create_revision=_bounds,
    max_create_revision=_bounds,
)
plain_ranges = st.builds(
    rpc.RangeRequest, key=_keys, range_end=_range_ends, revision=_revisions, limit=_limits
)
puts = st.builds(
    rpc.PutRequest,
    key=_keys,
    value=_values,
    lease=_leases,
    prev_kv=_sometimes,
    ignore_value=_rarely,
    ignore_lease=_rarely,
)
plain_puts = st.builds(rpc.PutRequest, key=_keys, value=_values, prev_kv=_sometimes)
delete_ranges = st.builds(rpc.DeleteRangeRequest, key=_keys, range_end=_range_ends, prev_kv=_sometimes)
compactions = st.builds(
    rpc.CompactionRequest,
    revision=mixed((4, _EARLY), (1, _ANY_REVISION)),
)


@st.composite
def _compares(draw):
    compare = rpc.Compare(
        key=draw(_keys),
        range_end=draw(_range_ends),
        result=draw(st.sampled_from([0, 0, 1, 2, 3, 7])),
        target=draw(st.sampled_from([0, 1, 2, 3, 4, 4, 9])),
    )
    operands = {
        "version": st.integers(-1, 3),
        "create_revision": _revisions,
        "mod_revision": _revisions,
        "value": _values,
        "lease": _leases,
    }
    fitting = ["version", "create_revision", "mod_revision", "value", "lease"][min(compare.target, 4)]
    name = draw(st.sampled_from([fitting, fitting, fitting, *operands, None]))
    if name is not None:
        setattr(compare, name, draw(operands[name]))
    return compare


def _operations(txns):
    return mixed(
        (4, st.builds(rpc.RequestOp, request_put=plain_puts)),
        (2, st.builds(rpc.RequestOp, request_put=puts)),
        (2, st.builds(rpc.RequestOp, request_range=ranges)),
        (2, st.builds(rpc.RequestOp, request_range=plain_ranges)),
        (2, st.builds(rpc.RequestOp, request_delete_range=delete_ranges)),
        *([(3, st.builds(rpc.RequestOp, request_txn=txns))] if txns is not None else []),
    )


def _txns(nested, max_size):
    operations = st.lists(_operations(nested), min_size=1, max_size=max_size)
    return st.builds(
        rpc.TxnRequest,
        compare=st.lists(_compares(), max_size=2),
        success=operations,
        failure=operations,
    )


_inner_txns = _txns(_txns(None, 2), 2)
txns = _txns(_inner_txns, 4)
read_only_txns = st.builds(
    rpc.TxnRequest,
    compare=st.lists(_compares(), max_size=2),
    success=st.lists(st.builds(rpc.RequestOp, request_range=ranges), max_size=3),
    failure=st.lists(st.builds(rpc.RequestOp, request_range=plain_ranges), max_size=3),
)
odd_txns = st.one_of(
    st.just(rpc.TxnRequest(success=[rpc.RequestOp()])),
    st.just(rpc.TxnRequest(compare=[rpc.Compare()])),
    st.builds(
        lambda size: rpc.TxnRequest(
            success=[rpc.RequestOp(request_range=rpc.RangeRequest(key=b"a"))] * size,
        ),
        st.integers(MAX_TXN_OPERATIONS - 1, MAX_TXN_OPERATIONS + 1),
    ),
    st.builds(
        lambda outer, inner: rpc.TxnRequest(
            success=[
                *([rpc.RequestOp(request_range=rpc.RangeRequest(key=b"a"))] * outer),
                rpc.RequestOp(
                    request_txn=rpc.TxnRequest(
                        failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=b"a"))] * inner
                    )
                ),
            ],
        ),
        st.integers(2, 4),
        st.integers(2, 6),
    ),
)
any_request = mixed(
    (5, plain_puts),
    (5, puts),
    (4, delete_ranges),
    (8, ranges),
    (4, plain_ranges),
    (12, txns),
    (3, read_only_txns),
    (1, odd_txns),
    (2, compactions),
)


def _put(key, value, **options):
    return rpc.PutRequest(key=key, value=value, **options)


# What each example starts from: keys put, put again, deleted, created again, with leases.
PROLOGUE = (
    _put(b"b", b"y"),
    _put(b"a", b"x", lease=LEASES[0]),
    _put(b"c\xff", b"", lease=LEASES[1]),
    _put(b"a", b"xx", lease=LEASES[1]),
    _put(b"\0", b"x"),
    rpc.DeleteRangeRequest(key=b"a", range_end=b"c"),
    _put(b"b", b"x", lease=LEASES[0]),
    _put(b"ab", b"y"),
    _put(b"b", b"y", ignore_lease=True),
    _put(b"d", b"x"),
    rpc.DeleteRangeRequest(key=b"d"),
    _put(b"\xff", b"y", lease=LEASES[0]),
    _put(b"a", b""),
    _put(b"ab", b"\xff\0"),
)
sequences = st.lists(any_request, min_size=4, max_size=24)


_BOUNDS = ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision")


def shifted(request, offset):
    """Returns the request with `offset` added to the revisions in it."""
    copy = type(request)()
    copy.CopyFrom(request)
    _shift_request(copy, offset)
    return copy


def _shift_request(message, offset):
    match type(message):
        case rpc.RangeRequest:
            _shift(message, offset, "revision", *_BOUNDS)
        case rpc.CompactionRequest:
            _shift(message, offset, "revision")
        case rpc.TxnRequest:
            for compare in message.compare:
                if compare.WhichOneof("target_union") in ("create_revision", "mod_revision"):
                    _shift(compare, offset, compare.WhichOneof("target_union"))
            for operation in [*message.success, *message.failure]:
                if kind := operation.WhichOneof("request"):
                    _shift_request(getattr(operation, kind), offset)


def relative(response, offset):
    """Returns the response with `offset` taken off its revisions, and its header but for the
    revision left out."""
    copy = type(response)()
    copy.CopyFrom(response)
    _shift_response(copy, -offset)
    return copy


def _shift_response(message, offset):
    if message.HasField("header"):  # that of a nested Txn is there, and empty
        revision = message.header.revision
        message.header.Clear()
        message.header.revision = revision + offset if revision else 0
    pairs = []
    match type(message):
        case rpc.RangeResponse:
            pairs = message.kvs
        case rpc.PutResponse:
            pairs = [message.prev_kv] if message.HasField("prev_kv") else []
        case rpc.DeleteRangeResponse:
            pairs = message.prev_kvs
        case rpc.TxnResponse:
            for operation in message.responses:
                if kind := operation.WhichOneof("response"):
                    _shift_response(getattr(operation, kind), offset)
    for pair in pairs:
        _shift(pair, offset, "create_revision", "mod_revision")


def _shift(message, offset, *names):
    for name in names:
        if (value := getattr(message, name)) > 0:
            setattr(message, name, value + offset)
