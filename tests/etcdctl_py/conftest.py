"""Servers for the tests of etcdctl-py: the real etcd, and then again our own."""

import contextlib
import os

import pytest

from tests.support.certificates import Authority
from tests.support.etcdctl import Twins
from tests.support.server_under_test import Tls, running_server

# Identifiers of cluster and member follow from these, so both twins have the same ones.
_ALIKE = (
    *("--initial-advertise-peer-urls", "http://127.0.0.1:2"),
    *("--initial-cluster", "m1=http://127.0.0.1:2"),
    *("--advertise-client-urls", "http://127.0.0.1:1"),
)


_CHOSEN = os.environ.get("MINIRAFT_TEST_SERVER")


@pytest.fixture(scope="session", params=[_CHOSEN] if _CHOSEN else ["etcd", "miniraft"])
def server_kind(request):
    """Which server `running_server` starts: each test that uses this runs with both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIRAFT_TEST_SERVER", request.param)
        yield request.param


@contextlib.contextmanager
def make_twins(folder, *flags):
    """Yields two servers whose answers differ in nothing."""
    with contextlib.ExitStack() as stack:
        yield Twins(*(stack.enter_context(running_server(folder / each, *_ALIKE, *flags)) for each in "ab"))


@pytest.fixture(scope="session")
def twins(server_kind, tmp_path_factory):
    """Two servers with one history."""
    with make_twins(tmp_path_factory.mktemp("twins")) as pair:
        yield pair


@pytest.fixture(scope="session")
def server(server_kind, tmp_path_factory):
    """One server, plain."""
    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """The authority behind the certificates."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def tls_server(server_kind, tmp_path_factory, authority):
    """A server that speaks TLS and asks for no client certificate."""
    issued = authority.issue("server")
    with running_server(
        tmp_path_factory.mktemp("tls"), tls=Tls(issued.cert_file, issued.key_file)
    ) as address:
        yield address


@pytest.fixture(scope="session")
def mutual_tls_server(server_kind, tmp_path_factory, authority):
    """A server that speaks TLS and asks for a client certificate."""
    issued = authority.issue("mutual")
    tls = Tls(issued.cert_file, issued.key_file, authority.cert_file)
    with running_server(tmp_path_factory.mktemp("mtls"), tls=tls) as address:
        yield address
