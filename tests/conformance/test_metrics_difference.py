"""Three members of etcd and three of ours do the same work: their metrics tell the same of it.

What is counted must come out equal, and no histogram that etcd feeds may stay empty here.
"""

import contextlib
import re
import urllib.request

import pytest

from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.auth_pb2 import Permission
from tests.support.auth_client import Failure, GrpcClient
from tests.support.member_processes import Processes, initial_cluster, until
from tests.support.real_etcd import real_binary
from tests.support.watch_client import WatchClient

_FLAGS = (
    *("--unsafe-no-fsync", "--bcrypt-cost", "4", "--log-level", "warn"),
    *("--heartbeat-interval", "100", "--election-timeout", "2000"),  # no election while it works
    *("--snapshot-count", "100", "--experimental-snapshot-catchup-entries", "5"),
    "--experimental-enable-lease-checkpoint=false",  # else here: entries that etcd has not
)
_AGREED = re.compile(r'etcd_cluster_version{cluster_version="3\.[1-9]')  # etcd may begin with 3.0
ROLES = ("leader", "first follower", "second follower")

# Families of etcd that have no counterpart here, and why.
NOT_HERE = {
    "go_": "Go's runtime",
    "promhttp_": "Go's library for scraping",
    "etcd_server_go_version": "there is a etcd_server_python_version",
    "etcd_grpc_proxy_": "the proxy is another program, whose metrics etcd registers too",
    "etcd_debugging_store_": "there is no v2 store",
    "etcd_debugging_disk_backend_commit_": "phases of a commit that only bbolt has",
    "etcd_debugging_mvcc_index_compaction_pause_": "index and keyspace are compacted in the same slices",
    "etcd_debugging_snap_save_marshalling_": "the record of a snapshot has a few bytes",
}
# Series that come out differently, and why.
VARIES = {
    "process_": "of the process",
    "os_fd_": "of the process",
    "etcd_server_version": "",
    "etcd_cluster_version": "",
    "etcd_server_id": "",
    "etcd_disk_": "when what is written to disk is a matter of time",
    "etcd_snap_": "likewise",
    "etcd_debugging_snap_": "likewise",
    "etcd_mvcc_db_total_size_": "another format",
    "etcd_mvcc_db_open_read_transactions": "of this moment",
    "etcd_network_peer_": "another protocol",
    "etcd_network_client_grpc_": "the ids of members are in it, which have as many bytes as they happen to",
    "etcd_server_proposals_": "here users and roles are read without an entry",
    "etcd_debugging_mvcc_db_compaction_last": "a time",
    "etcd_debugging_mvcc_db_compaction_pause_": "how many slices there are",
    'etcd_server_apply_duration_seconds_count{op="AuthUserList"': "read without an entry",
}


class Cluster:
    """Three members of one program, and what they have told so far."""

    def __init__(self, processes, prefix, program=None):
        self.members = [processes.new(f"{prefix}{number}") for number in (1, 2, 3)]
        for member in self.members:
            if program is not None:
                member.launcher, member.program = (), (program,)
        self.clients = [GrpcClient(member.client) for member in self.members]

    def start(self):
        for member in self.members:
            member.start(initial_cluster(*self.members), "new", *_FLAGS)

    def settle(self):
        """Waits for a leader that all know, and puts it in front."""
        until(self.has_settled, "a leader that all members know")
        leads = [self.scrape(member)["etcd_server_is_leader"] for member in self.members]
        order = sorted(range(3), key=lambda place: -leads[place])
        self.members = [self.members[place] for place in order]
        self.clients = [self.clients[place] for place in order]
        self.ids = [re.search(r'server_id="(\w+)"', scraped(member))[1] for member in self.members]
        self.remember()

    def has_settled(self):
        told = [self.scrape(member) for member in self.members]
        return sum(samples.get("etcd_server_is_leader", 0) for samples in told) == 1 and all(
            samples.get("etcd_server_has_leader") == 1 and any(map(_AGREED.match, samples))
            for samples in told
        )

    def scrape(self, member):
        """{series: value}; empty while the member does not answer."""
        return parse(scraped(member))[1]

    def tell(self, role):
        """{family: type} and {series: value} of the member that had this role at first.

        In the series each member goes by its role.
        """
        text = scraped(self.members[ROLES.index(role)])
        for member_id, name in zip(self.ids, ROLES, strict=True):
            text = text.replace(f'="{member_id}"', f'="{name}"')
        return parse(text)

    def remember(self):
        """What is counted from now on counts."""
        self.before = {role: self.tell(role)[1] for role in ROLES}

    def call(self, number, name, request, token=None):
        return self.clients[number].call(name, request, token)

    def close(self):
        for client in self.clients:
            client.close()


def scraped(member):
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://{member.client}/metrics", timeout=10) as answer,
    ):
        return answer.read().decode()
    return ""


def parse(text):
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    samples = {}
    for name, labels, value in re.findall(r"^([a-z]\w*)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        pairs = sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        shown = ",".join(f'{label}="{text}"' for label, text in pairs)
        samples[f"{name}{{{shown}}}" if shown else name] = float(value)
    return types, samples


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """The real one and ours, in this order, after the work."""
    with Processes(tmp_path_factory.mktemp("metrics")) as processes:
        pair = [Cluster(processes, "real", str(real_binary("etcd"))), Cluster(processes, "ours")]
        for cluster in pair:
            cluster.start()
        for cluster in pair:
            cluster.settle()
        for cluster in pair:
            work(cluster)
        yield pair
        for cluster in pair:
            cluster.close()


# The work ---------------------------------------------------------------------------------------
def work(cluster):
    """A bit of everything, at every member. No transaction has both a put and a range:
    etcd leaves the range out on members whose answer nobody awaits."""
    call = cluster.call
    write_and_read(call)
    call(0, "LeaseGrant", rpc.LeaseGrantRequest(ID=1, TTL=3))  # ends while the rest is done
    call(1, "Put", rpc.PutRequest(key=b"leased", lease=1))
    watch_and_change(cluster)
    use_leases(cluster)
    administer(call)
    use_users(call)
    fail(cluster, call)
    for member in cluster.members:
        for path in ("livez", "readyz", "readyz/non_learner"):
            urllib.request.urlopen(f"http://{member.client}/{path}", timeout=10).close()
    post = urllib.request.Request(
        f"http://{cluster.members[0].client}/v3/kv/put", b'{"key":"YQ==","value":"YQ=="}'
    )
    urllib.request.urlopen(post, timeout=10).close()
    ended = "etcd_debugging_server_lease_expired_total"
    until(lambda: cluster.tell(ROLES[0])[1][ended] == 1, "the lease has ended")


def write_and_read(call):
    for number in range(12):
        call(number % 3, "Put", rpc.PutRequest(key=b"k%d" % (number % 8), value=b"x" * 50))
        call(number % 3, "Range", rpc.RangeRequest(key=b"k1", serializable=number % 2 == 0))
    call(0, "Put", rpc.PutRequest(key=b"k1", value=b"y", prev_kv=True))
    call(1, "Put", rpc.PutRequest(key=b"k1", ignore_value=True))
    call(1, "Put", rpc.PutRequest(key=b"missing", ignore_lease=True))
    call(2, "Range", rpc.RangeRequest(key=b"k", range_end=b"l", count_only=True))
    call(2, "Range", rpc.RangeRequest(key=b"k", revision=1_000_000))
    call(0, "DeleteRange", rpc.DeleteRangeRequest(key=b"k0"))
    call(1, "DeleteRange", rpc.DeleteRangeRequest(key=b"k2", range_end=b"k4", prev_kv=True))
    call(2, "DeleteRange", rpc.DeleteRangeRequest(key=b"nothing"))
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"t"))
    other = rpc.RequestOp(request_put=rpc.PutRequest(key=b"u", prev_kv=True))
    nested = rpc.RequestOp(request_txn=rpc.TxnRequest(success=[other], compare=[missing(), missing(7)]))
    read = rpc.RequestOp(request_range=rpc.RangeRequest(key=b"t"))
    delete = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=b"k5"))
    for number, txn in enumerate(
        (
            rpc.TxnRequest(success=[put]),
            rpc.TxnRequest(success=[put, delete], compare=[missing()]),
            rpc.TxnRequest(failure=[put, nested], compare=[missing(7), missing()]),
            rpc.TxnRequest(success=[read, read]),
            rpc.TxnRequest(success=[read], compare=[missing(), missing()]),
            rpc.TxnRequest(),
        )
    ):
        call(number % 3, "Txn", txn)


def missing(version=0):
    return rpc.Compare(key=b"none", target=rpc.Compare.VERSION, result=rpc.Compare.EQUAL, version=version)


def watch_and_change(cluster):
    """Each event is awaited by itself: how many come in one message is a matter of time."""
    with WatchClient(cluster.clients[1].channel) as watch:
        watch.create(key=b"w", range_end=b"x", prev_kv=True)
        for number in range(4):
            cluster.call(0, "Put", rpc.PutRequest(key=b"w%d" % (number % 2)))
            watch.next()
        cluster.call(0, "DeleteRange", rpc.DeleteRangeRequest(key=b"w", range_end=b"x"))
        watch.next()


def use_leases(cluster):
    call = cluster.call
    for number in (2, 3, 4):
        call(number % 3, "LeaseGrant", rpc.LeaseGrantRequest(ID=number, TTL=60 * number))
        call(0, "Put", rpc.PutRequest(key=b"l%d" % number, lease=number))
        call(0, "Put", rpc.PutRequest(key=b"m%d" % number, lease=number))
    call(1, "LeaseGrant", rpc.LeaseGrantRequest(ID=4, TTL=60))
    for number, lease in ((0, 2), (1, 3), (0, 99)):
        keep_alive = cluster.clients[number].channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            rpc.LeaseKeepAliveRequest.SerializeToString,
            rpc.LeaseKeepAliveResponse.FromString,
        )
        assert len(list(keep_alive(iter([rpc.LeaseKeepAliveRequest(ID=lease)]), timeout=20))) == 1
    call(0, "LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=2, keys=True))
    call(2, "LeaseLeases", rpc.LeaseLeasesRequest())
    call(2, "LeaseRevoke", rpc.LeaseRevokeRequest(ID=2))
    call(2, "LeaseRevoke", rpc.LeaseRevokeRequest(ID=99))


def administer(call):
    revision = call(0, "Range", rpc.RangeRequest(key=b"k1")).header.revision
    call(1, "Compact", rpc.CompactionRequest(revision=revision - 2, physical=True))
    call(1, "Compact", rpc.CompactionRequest(revision=1))
    own_id = call(0, "Status", rpc.StatusRequest()).header.member_id
    for number in range(3):
        for name, request in (
            ("HashKV", rpc.HashKVRequest()),
            ("Hash", rpc.HashRequest()),
            ("Defragment", rpc.DefragmentRequest()),
        ):
            assert not isinstance(call(number, name, request), Failure), name
    for action in (rpc.AlarmRequest.ACTIVATE, rpc.AlarmRequest.DEACTIVATE):
        call(0, "Alarm", rpc.AlarmRequest(action=action, memberID=own_id, alarm=rpc.NOSPACE))
        call(2, "Put", rpc.PutRequest(key=b"in between"))
    call(1, "MemberList", rpc.MemberListRequest())


def use_users(call):
    for name, request in (
        ("UserAdd", rpc.AuthUserAddRequest(name="root", password="p")),
        ("RoleAdd", rpc.AuthRoleAddRequest(name="r")),
        ("RoleAdd", rpc.AuthRoleAddRequest(name="r")),
        ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")),
        (
            "RoleGrantPermission",
            rpc.AuthRoleGrantPermissionRequest(name="r", perm=Permission(key=b"a")),
        ),
        ("AuthEnable", rpc.AuthEnableRequest()),
    ):
        call(0, name, request)
    call(0, "Authenticate", rpc.AuthenticateRequest(name="root", password="wrong"))
    token = call(0, "Authenticate", rpc.AuthenticateRequest(name="root", password="p")).token
    call(0, "UserList", rpc.AuthUserListRequest(), token)
    call(0, "UserList", rpc.AuthUserListRequest())
    call(0, "Put", rpc.PutRequest(key=b"a"), token)
    call(0, "Put", rpc.PutRequest(key=b"a"))
    call(0, "Range", rpc.RangeRequest(key=b"a"))
    call(0, "AuthDisable", rpc.AuthDisableRequest(), token)


def fail(cluster, call):
    call(0, "Range", rpc.RangeRequest())
    call(1, "Put", rpc.PutRequest(key=b"on no lease", lease=999))
    in_txn = rpc.RequestOp(request_put=rpc.PutRequest(key=b"x", lease=999))
    call(1, "Txn", rpc.TxnRequest(success=[in_txn]))
    call(2, "LeaseGrant", rpc.LeaseGrantRequest(TTL=9_999_999_999))
    stream = cluster.clients[1].channel.unary_stream(
        "/etcdserverpb.Maintenance/Snapshot",
        rpc.SnapshotRequest.SerializeToString,
        rpc.SnapshotResponse.FromString,
    )
    assert sum(len(piece.blob) for piece in stream(rpc.SnapshotRequest(), timeout=20))


# What they tell ---------------------------------------------------------------------------------
def named_in(table, series):
    return any(series.startswith(name) for name in table)


def family_of(series):
    return re.sub(r"_(bucket|sum|count)$", "", series.partition("{")[0])


def counted(cluster, role):
    """{series: how far it has moved} of what is counted, histograms by their count."""
    types, samples = cluster.tell(role)
    before = cluster.before[role]
    moved = {}
    for key, value in samples.items():
        name = key.partition("{")[0]
        if types.get(family_of(key)) == "histogram" and not name.endswith("_count"):
            continue
        if not named_in(VARIES, key) and not named_in(NOT_HERE, key):
            moved[key] = value - before.get(key, 0)
    return moved


def differences(clusters, role):
    real, ours = (counted(cluster, role) for cluster in clusters)
    return {
        key: (real.get(key, 0), ours.get(key, 0))
        for key in {*real, *ours}
        if real.get(key, 0) != ours.get(key, 0)
    }


def moved_histograms(cluster, role):
    types, samples = cluster.tell(role)
    return {
        key
        for key, value in samples.items()
        if key.partition("{")[0].endswith("_count")
        and types.get(family_of(key)) == "histogram"
        and value > cluster.before[role].get(key, 0)
    }


@pytest.mark.parametrize("role", ROLES)
def test_every_metric_of_etcd_is_here(clusters, role):
    real, ours = (cluster.tell(role)[0] for cluster in clusters)
    missing = {name for name in real if name not in ours and not named_in(NOT_HERE, name)}
    assert not missing
    assert not {name for name in ours if named_in(NOT_HERE, name)}, "take them out of NOT_HERE"
    assert {name: kind for name, kind in ours.items() if name in real} == {
        name: kind for name, kind in real.items() if name in ours
    }


@pytest.mark.parametrize("role", ROLES)
def test_the_same_work_counts_the_same(clusters, role):
    with contextlib.suppress(AssertionError):
        until(lambda: not differences(clusters, role), "equal counts", seconds=5)  # followers lag a bit
    assert differences(clusters, role) == {}, "series: (etcd, ours)"


@pytest.mark.parametrize("role", ROLES)
def test_no_histogram_that_etcd_feeds_stays_empty(clusters, role):
    read_without_entry = 'etcd_server_apply_duration_seconds_count{op="AuthUserList"'

    def empty():
        real, ours = (moved_histograms(cluster, role) for cluster in clusters)
        return {
            key
            for key in real - ours
            if not named_in(NOT_HERE, key) and not key.startswith(read_without_entry)
        }

    with contextlib.suppress(AssertionError):
        until(lambda: not empty(), "round trips have been measured", seconds=10)
    assert empty() == set()
    assert len(moved_histograms(clusters[1], role)) > 20


def test_a_leader_that_dies_and_is_sent_a_snapshot(clusters):
    """The last one here: the leader's own figures begin anew."""
    for cluster in clusters:
        cluster.remember()
        cluster.before[ROLES[0]] = {}
        cluster.members[0].kill()
    for cluster in clusters:
        until(lambda cluster=cluster: survivors_follow(cluster), "another leader")
        for number in range(300):
            assert not isinstance(cluster.call(1, "Put", rpc.PutRequest(key=b"s%d" % number)), Failure)
        cluster.members[0].start(initial_cluster(*cluster.members), "existing", *_FLAGS)
    for cluster in clusters:
        until(lambda cluster=cluster: has_snapshot(cluster), "the snapshot has been received and installed")
        until(lambda cluster=cluster: all_see_each_other(cluster), "connections to the one that was gone")
    moved = [snapshot_histograms(cluster) for cluster in clusters]
    assert moved[0] == moved[1]
    assert len(moved[0]) >= 6


def survivors_follow(cluster):
    told = [cluster.tell(role)[1] for role in ROLES[1:]]
    return all(
        samples["etcd_server_has_leader"] == 1 and samples["etcd_server_leader_changes_seen_total"] >= 2
        for samples in told
    )


def has_snapshot(cluster):
    told = cluster.tell(ROLES[0])[1]
    received = [
        value for key, value in told.items() if key.startswith("etcd_network_snapshot_receive_success")
    ]
    return 1 in received and told["etcd_snap_fsync_duration_seconds_count"]


def all_see_each_other(cluster):
    for role in ROLES[1:]:
        told, labels = cluster.tell(role)[1], f'{{Local="{role}",Remote="{ROLES[0]}"}}'
        lost = told[f"etcd_network_disconnected_peers_total{labels}"]
        if not (lost >= 1 and told[f"etcd_network_active_peers{labels}"] == 1):
            return False
    return True


def snapshot_histograms(cluster):
    """Which of the survivors leads, and so sends, is chance."""
    return {
        re.sub(r'(To|From)="[^"]*"', r"\1", key)
        for role in ROLES
        for key in moved_histograms(cluster, role)
        if "snap" in key and not named_in(NOT_HERE, key)
    }
