"""The fixtures pytest finds as soon as miniraft is installed. A fixture of the same name in a
conftest.py takes their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.testing.cluster import EtcdCluster
    from miniraft.testing.etcd import Etcd


@pytest.fixture
def etcd() -> Iterator[Etcd]:
    """An etcd of one member in this process, empty at the start of each test."""
    from miniraft.testing.etcd import Etcd

    with Etcd() as server:
        yield server


@pytest.fixture
def etcd_cluster() -> Iterator[EtcdCluster]:
    """An etcd of three members, each a process, empty at the start of each test."""
    from miniraft.testing.cluster import EtcdCluster

    with EtcdCluster() as cluster:
        yield cluster
