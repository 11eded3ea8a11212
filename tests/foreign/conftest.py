"""Our servers for foreign clients: one member without TLS, and three with mutual TLS."""

import pytest

from tests.support.server_under_test import MINIRAFT, running_server
from tests.support.tls_cluster import TlsCluster


@pytest.fixture(scope="session")
def single(tmp_path_factory):
    """The `host:port` of one member."""
    folder = tmp_path_factory.mktemp("single")
    with running_server(folder, program=MINIRAFT, own_flags=("--log-level", "warn")) as address:
        yield address


@pytest.fixture(scope="session")
def tls_cluster(tmp_path_factory):
    """Three members; every client shows a certificate."""
    with TlsCluster(tmp_path_factory.mktemp("tls")) as cluster:
        yield cluster
