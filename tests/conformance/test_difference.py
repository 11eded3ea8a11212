"""The same requests to the real etcd and to ours: the same answers and the same errors."""

import os

from hypothesis import HealthCheck, given, settings

from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.differences import (
    deletes_from_key_and_puts,
    is_other_fault_first,
    without_keys_only_leases,
)
from tests.conformance.endpoint import Failure
from tests.conformance.requests import LEASES, ORIGIN, PROLOGUE, relative, sequences, shifted

_USUAL_EXAMPLES = 300
_EXAMPLES = int(os.environ.get("MINIRAFT_DIFFERENCE_EXAMPLES", _USUAL_EXAMPLES))
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


def ask(endpoint, request, offset):
    answer = endpoint.call(shifted(request, offset))
    return answer if isinstance(answer, Failure) else relative(answer, offset)


def compare(request, expected, actual):
    if isinstance(expected, Failure) or isinstance(actual, Failure):
        assert actual == expected or is_other_fault_first(request, expected, actual)
        return
    without_keys_only_leases(request, expected)
    without_keys_only_leases(request, actual)
    assert actual == expected


def test_same_answers(real_etcd, candidate):
    @settings(
        max_examples=_EXAMPLES,
        derandomize=_EXAMPLES == _USUAL_EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(sequences)
    def run(requests):
        endpoint = candidate()
        real_offset, offset = begin(real_etcd), begin(endpoint)
        for request in [*PROLOGUE, *requests]:
            if not deletes_from_key_and_puts(request):
                compare(request, ask(real_etcd, request, real_offset), ask(endpoint, request, offset))
        everything = rpc.RangeRequest(**_ALL)
        compare(everything, ask(real_etcd, everything, real_offset), ask(endpoint, everything, offset))

    run()
