import pytest

from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.store import Bucket
from miniraft.server.bootstrap import (
    BootstrapError,
    check_own_entry,
    find_own_member,
    new_cluster,
    parse_initial_cluster,
    parse_urls,
    seed_store,
)
from miniraft.server.identity import format_id
from miniraft.server.membership import Cluster
from miniraft.server.metastate import load_position
from miniraft.server.service import MemberInfo

THREE = "a=http://a:2380,b=http://b:2380,c=https://c:2380"


def test_initial_cluster_is_parsed():
    assert parse_initial_cluster(THREE) == {
        "a": ("http://a:2380",),
        "b": ("http://b:2380",),
        "c": ("https://c:2380",),
    }


def test_a_name_may_have_several_urls():
    parsed = parse_initial_cluster(" a=http://a:2380, a=http://10.0.0.1:2380/,b=unix://b.sock:1")
    assert parsed == {"a": ("http://10.0.0.1:2380", "http://a:2380"), "b": ("unix://b.sock:1",)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--initial-cluster is empty"),
        (",", "--initial-cluster is empty"),
        ("http://a:2380", "is not NAME=URL"),
        ("=http://a:2380", "is not NAME=URL"),
        ("a=", "is not NAME=URL"),
        ("a=a:2380", "URL scheme must be http, https, unix, or unixs"),
        ("a=ftp://a:2380", "URL scheme must be"),
        ("a=http://a", 'does not have the form "host:port"'),
        ("a=http://:2380", 'does not have the form "host:port"'),
        ("a=http://a:99999", "Port out of range"),
        ("a=http://a:2380/path", "must not contain a path"),
        ("a=unix://", "path is missing"),
        ("a=http://x:1,b=http://x:1", "gives http://x:1 to both a and b"),
    ],
)
def test_a_wrong_initial_cluster_is_explained(text, said):
    with pytest.raises(BootstrapError, match=said):
        parse_initial_cluster(text)


def test_urls_of_a_flag():
    assert parse_urls("http://b:1,http://a:1,http://a:1", "--x") == ("http://a:1", "http://b:1")
    with pytest.raises(BootstrapError, match="--listen-peer-urls holds no URL"):
        parse_urls(" ", "--listen-peer-urls")


def test_own_entry_must_be_there():
    parsed = parse_initial_cluster(THREE)
    check_own_entry(parsed, "a", ["http://a:2380"])
    with pytest.raises(BootstrapError) as caught:
        check_own_entry(parsed, "d", ["http://d:2380"])
    text = str(caught.value)
    assert text.startswith('couldn\'t find local name "d" in the initial cluster configuration')
    assert "it names a, b, c" in text
    assert "add d=http://d:2380 to --initial-cluster" in text


def test_advertised_urls_must_be_those_of_the_own_entry():
    parsed = parse_initial_cluster(THREE)
    with pytest.raises(BootstrapError) as caught:
        check_own_entry(parsed, "a", ["http://localhost:2380"])
    assert str(caught.value).startswith(
        "--initial-cluster has http://a:2380 but missing from"
        " --initial-advertise-peer-urls=http://localhost:2380 ("
    )
    assert "type --initial-advertise-peer-urls=http://a:2380" in str(caught.value)
    with pytest.raises(BootstrapError) as caught:
        check_own_entry(parsed, "a", ["http://a:2380", "http://more:2380"])
    assert str(caught.value).startswith(
        "--initial-advertise-peer-urls has http://more:2380 but missing from"
        " --initial-cluster=a=http://a:2380 ("
    )


def test_all_members_of_a_new_cluster_begin_alike():
    parsed = parse_initial_cluster(THREE)
    states = [new_cluster(parsed, name, "token") for name in parsed]
    assert len({state.member_id for state in states}) == 3
    assert len({(state.cluster_id, state.members, state.snapshot) for state in states}) == 1
    contents = []
    for state in states:
        store = MemoryStore()
        seed_store(store, state)
        contents.append([list(store.scan(bucket)) for bucket in Bucket])
        assert load_position(store) == state.snapshot
        assert Cluster(store).members() == state.members
        seed_store(store, state)
        assert [list(store.scan(bucket)) for bucket in Bucket] == contents[-1]
    assert contents[0] == contents[1] == contents[2]
    assert states[0].snapshot.config.voters == tuple(sorted(state.member_id for state in states))


def test_another_token_is_another_cluster():
    parsed = parse_initial_cluster(THREE)
    assert new_cluster(parsed, "a", "one").cluster_id != new_cluster(parsed, "a", "two").cluster_id


def test_new_cluster_without_the_own_name():
    with pytest.raises(BootstrapError, match='couldn\'t find local name "x"'):
        new_cluster(parse_initial_cluster(THREE), "x", "token")


def test_a_joining_member_finds_its_entry():
    added = MemberInfo(0xABC, "", ("http://new:2380",), (), True)
    old = MemberInfo(0xDEF, "old", ("http://old:2380",), (), False)
    assert find_own_member([old, added], "new", ["http://new:2380"]) == added
    with pytest.raises(BootstrapError) as caught:
        find_own_member([old, added], "other", ["http://other:2380"])
    assert "etcdctl member add other --peer-urls=http://other:2380" in str(caught.value)
    assert "http://old:2380" in str(caught.value)


def test_a_member_that_lost_its_data_is_told_how_to_come_back():
    old = MemberInfo(0xDEF, "old", ("http://old:2380",), (), False)
    with pytest.raises(BootstrapError) as caught:
        find_own_member([old], "old", ["http://old:2380"])
    assert f"etcdctl member remove {format_id(0xDEF)}" in str(caught.value)
    assert "etcdctl member add old --peer-urls=http://old:2380" in str(caught.value)
