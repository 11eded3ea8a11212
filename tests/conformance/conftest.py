import pytest

from tests.conformance.endpoint import MAX_TXN_OPERATIONS, KeyspaceEndpoint
from tests.conformance.server import both_running


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """The real etcd and one member of ours, as processes, for the whole session."""
    with both_running(tmp_path_factory.mktemp("pair"), "--max-txn-ops", str(MAX_TXN_OPERATIONS)) as servers:
        yield servers


@pytest.fixture(scope="session")
def real_etcd(pair):
    """The etcd to compare with."""
    return pair[0]


@pytest.fixture(params=["keyspace", "member"])
def candidate(request, pair):
    """Makes the endpoint under test, anew for each example where that is cheap."""
    return KeyspaceEndpoint if request.param == "keyspace" else lambda: pair[1]
