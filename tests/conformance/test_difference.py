"""The same requests to the real etcd and to ours: the same answers and the same errors."""

from hypothesis import given
from hypothesis import strategies as st

from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.differences import (
    deletes_from_key_and_puts,
    is_other_fault_first,
    without_keys_only_leases,
)
from tests.conformance.examples import examples
from tests.conformance.requests import LEASES, ORIGIN, PROLOGUE, any_request, relative, shifted
from tests.conformance.server import GRPC, WAYS, ways
from tests.support.auth_client import Failure

_SEQUENCES = st.lists(st.tuples(any_request, ways), min_size=10, max_size=30)
_ALL = {"key": b"\0", "range_end": b"\0"}


def begin(endpoint):
    """Empties the server, compacts it, and returns what turns relative revisions into its own."""
    for lease in LEASES:
        endpoint.grant_lease(lease)
    while endpoint.call(rpc.RangeRequest(key=b"a")).header.revision < ORIGIN:
        endpoint.call(rpc.PutRequest(key=b"a"))
    revision = endpoint.call(rpc.DeleteRangeRequest(**_ALL)).header.revision
    endpoint.call(rpc.CompactionRequest(revision=revision))  # or it was compacted there already
    return revision - ORIGIN


def ask(endpoint, request, offset, way=GRPC):
    answer = endpoint.call(shifted(request, offset), way)
    return answer if isinstance(answer, Failure) else relative(answer, offset)


def compare(request, expected, actual):
    if isinstance(expected, Failure) or isinstance(actual, Failure):
        assert actual == expected or is_other_fault_first(request, expected, actual)
        return
    without_keys_only_leases(request, expected)
    without_keys_only_leases(request, actual)
    assert actual == expected


def test_same_answers(real_etcd, candidate):
    @examples(200)
    @given(_SEQUENCES)
    def run(requests):
        endpoint = candidate()
        real_offset, offset = begin(real_etcd), begin(endpoint)
        prologue = [(request, GRPC) for request in PROLOGUE]
        epilogue = [(rpc.RangeRequest(**_ALL), way) for way in WAYS]
        for request, way in [*prologue, *requests, *epilogue]:
            if not deletes_from_key_and_puts(request):
                expected = ask(real_etcd, request, real_offset, way)
                compare(request, expected, ask(endpoint, request, offset, way))

    run()
