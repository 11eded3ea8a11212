"""Who belongs to a cluster that registers with a discovery service."""

import pytest

from miniraft.discovery.problem import DiscoveryError
from miniraft.discovery.registry import Registry, member_key, members_prefix, read_size, size_key

TOKEN = "6c007a14"


def filled(size, *names):
    """A registry in which these have registered, the first one first."""
    registry = Registry(size)
    for revision, name in enumerate(names, 10):
        assert registry.add(f"members/{name}", f"{name}=http://{name}:2380", revision) == ""
    return registry


def test_keys_are_those_of_etcd():
    assert size_key(TOKEN) == "/_etcd/registry/6c007a14/_config/size"
    assert (
        member_key(TOKEN, 0x0ABC) == members_prefix(TOKEN) + "abc" == "/_etcd/registry/6c007a14/members/abc"
    )


def test_the_size_an_operator_has_set():
    assert read_size(TOKEN, b"3") == 3
    with pytest.raises(
        DiscoveryError, match=r"discovery: size key not found: set it with: etcdctl put /_etcd"
    ):
        read_size(TOKEN, None)
    for value in (b"0", b"-1", b"x", b"", b"3.0", b"\xff", b"1001"):
        with pytest.raises(DiscoveryError, match="discovery: size key is bad"):
            read_size(TOKEN, value)


def test_those_who_registered_first_are_the_members():
    registry = Registry(2)
    for name, revision in (("late", 30), ("first", 10), ("second", 20)):
        registry.add(f"members/{name}", f"{name}=http://{name}:2380", revision)
    assert registry.initial_cluster() == "first=http://first:2380,second=http://second:2380"
    registry.check_place("members/second")
    with pytest.raises(DiscoveryError, match=r"discovery: cluster is full.*member add"):
        registry.check_place("members/late")


def test_there_is_room_until_all_have_come():
    registry = filled(3, "a", "b")
    assert not registry.is_complete
    registry.check_place("members/new")
    registry.add("members/c", "c=http://c:2380", 40)
    assert registry.is_complete
    with pytest.raises(DiscoveryError, match="cluster is full"):
        registry.check_place("members/new")


def test_what_does_not_count():
    registry = filled(2, "a")
    assert registry.add("members/b", "nonsense", 11) == "invalid peer info returned from discovery service"
    assert registry.add("members/a", "a=http://x:1", 11) == "found duplicate peer from discovery service"
    assert registry.found == 1


def test_members_that_cannot_be_a_cluster():
    registry = filled(2, "a")
    registry.add("members/b", "b=http://a:2380", 20)
    with pytest.raises(DiscoveryError, match=r"discovery: invalid peer URL: .*to both a and b"):
        registry.initial_cluster()
