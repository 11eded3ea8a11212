import pytest

from tests.conformance.endpoint import MAX_TXN_OPERATIONS, GrpcEndpoint, JsonEndpoint, KeyspaceEndpoint
from tests.support.real_etcd import running_etcd
from tests.support.server_under_test import MINIRAFT, running_server

_LIMIT = ("--max-txn-ops", str(MAX_TXN_OPERATIONS))


@pytest.fixture(scope="session")
def real_etcd(tmp_path_factory):
    """The etcd to compare with, one for the whole session."""
    with running_etcd(tmp_path_factory.mktemp("etcd"), *_LIMIT) as address:
        endpoint = GrpcEndpoint(address)
        yield endpoint
        endpoint.close()


@pytest.fixture(scope="session")
def our_address(tmp_path_factory):
    """One member of ours, as a process, for the whole session."""
    with running_server(tmp_path_factory.mktemp("miniraft"), *_LIMIT, program=MINIRAFT) as address:
        yield address


@pytest.fixture(params=["keyspace", "grpc", "json"])
def candidate(request):
    """Makes the endpoint under test, anew for each example where that is cheap."""
    if request.param == "keyspace":
        yield KeyspaceEndpoint
        return
    address = request.getfixturevalue("our_address")
    endpoint = GrpcEndpoint(address) if request.param == "grpc" else JsonEndpoint(address)
    yield lambda: endpoint
    endpoint.close()
