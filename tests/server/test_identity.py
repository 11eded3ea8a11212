from miniraft.server.identity import added_member_id, bootstrap_member_id, cluster_id, format_id


def test_ids_are_those_every_default_etcd_shows():
    member = bootstrap_member_id(["http://localhost:2380"], "etcd-cluster")
    assert format_id(member) == "8e9e05c52164694d"
    assert format_id(cluster_id([member])) == "cdf818194e3a8c32"


def test_order_does_not_matter():
    urls = ["http://b:2380", "http://a:2380"]
    assert bootstrap_member_id(urls, "t") == bootstrap_member_id(urls[::-1], "t")
    assert cluster_id([3, 1, 2]) == cluster_id([1, 2, 3])


def test_token_and_time_make_other_ids():
    urls = ["http://a:2380"]
    ids = {
        bootstrap_member_id(urls, "one"),
        bootstrap_member_id(urls, "two"),
        added_member_id(urls, 1),
        added_member_id(urls, 2),
    }
    assert len(ids) == 4
    assert added_member_id(urls, 1700000000) == bootstrap_member_id(urls, "1700000000")


def test_ids_are_printed_without_padding():
    assert format_id(0x3A7A5854EA774E3) == "3a7a5854ea774e3"
