"""Random histories against the naive model, with restarts and crashes in between."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.endpoint import Failure, FixedLeases, KeyspaceEndpoint
from tests.conformance.requests import LEASES, PROLOGUE, sequences
from tests.mvcc.naive_keyspace import NaiveKeyspace

_REFUSED_BY_VALIDATION = (
    "key is not provided",
    "value is provided",
    "lease is provided",
    "too many operations",
    "duplicate key",
)


def ask_model(model, request):
    try:
        return model.call(request)
    except EtcdError as error:
        return Failure(int(error.code), error.message)


def is_refused_by_validation(answer, request):
    if not isinstance(answer, Failure):
        return False
    empty_operation = isinstance(request, rpc.TxnRequest) and request.success == [rpc.RequestOp()]
    return empty_operation or any(text in answer.message for text in _REFUSED_BY_VALIDATION)


def restart(endpoint):
    """Throws the keyspace away and makes it again from its store, as after a crash."""
    leases = FixedLeases()
    leases.keys = {lease: set() for lease in endpoint.leases.keys}
    again = KeyspaceEndpoint()
    again.leases = leases
    again.keyspace = Keyspace(endpoint.keyspace._store.copy(), leases)
    assert leases.keys == endpoint.leases.keys
    assert again.keyspace.revision == endpoint.keyspace.revision
    assert again.keyspace.compact_revision == endpoint.keyspace.compact_revision
    assert again.keyspace.key_count == endpoint.keyspace.key_count
    return again


def assert_same_everywhere(endpoint, model):
    for revision in range(max(1, model.compact_revision), model.revision + 1):
        everything = rpc.RangeRequest(key=b"\0", range_end=b"\0", revision=revision)
        assert endpoint.call(everything) == ask_model(model, everything)
    attached = {}
    for key, pair in model.state(model.revision).items():
        if pair.lease:
            attached.setdefault(pair.lease, set()).add(key)
    assert {lease: keys for lease, keys in endpoint.leases.keys.items() if keys} == attached
    assert endpoint.keyspace.key_count == len(model.state(model.revision))


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(sequences, st.integers(1, 12))
def test_same_answers_as_the_model(requests, restart_every):
    endpoint, model = KeyspaceEndpoint(), NaiveKeyspace(LEASES)
    for lease in LEASES:
        endpoint.grant_lease(lease)
    # Fills up to where the requests expect to begin (see tests/conformance/requests.py).
    filler = [rpc.PutRequest(key=b"a", value=b"%d" % number) for number in range(18)]
    delete = rpc.DeleteRangeRequest(key=b"\0", range_end=b"\0")
    for number, request in enumerate([*filler, delete, *PROLOGUE, *requests]):
        answer = endpoint.call(request)
        if not is_refused_by_validation(answer, request):
            assert answer == ask_model(model, request)
        if number % restart_every == 0:
            endpoint = restart(endpoint)
    assert_same_everywhere(endpoint, model)
    assert_same_everywhere(restart(endpoint), model)
