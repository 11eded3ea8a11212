import os

import pytest

from tests.conformance.endpoint import MAX_TXN_OPERATIONS, GrpcEndpoint, KeyspaceEndpoint
from tests.support.real_etcd import running_etcd


@pytest.fixture(scope="session")
def real_etcd(tmp_path_factory):
    """The etcd to compare with, one for the whole session."""
    with running_etcd(tmp_path_factory.mktemp("etcd"), "--max-txn-ops", str(MAX_TXN_OPERATIONS)) as address:
        endpoint = GrpcEndpoint(address)
        yield endpoint
        endpoint.close()


@pytest.fixture(params=["keyspace", "grpc"])
def candidate(request):
    """Makes the endpoint under test, anew for each example where that is cheap."""
    if request.param == "keyspace":
        yield KeyspaceEndpoint
        return
    address = os.environ.get("MINIRAFT_CANDIDATE")
    if not address:
        pytest.skip("set MINIRAFT_CANDIDATE to the host:port of a server run with --max-txn-ops 8")
    endpoint = GrpcEndpoint(address)
    yield lambda: endpoint
    endpoint.close()
