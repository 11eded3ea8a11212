"""make-mirror by both programs, between the real etcd and ours in every direction."""

import contextlib
import itertools
from functools import partial

import pytest

from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.auth_pb2 import Permission
from tests.conformance.server import Server
from tests.mvcc.helpers import delete_operation, put_operation
from tests.support.certificates import Authority
from tests.support.etcdctl import run_ours, run_real, running, until
from tests.support.member_processes import Processes, initial_cluster
from tests.support.real_etcd import real_binary
from tests.support.server_under_test import MINIRAFT, Tls, running_server

KINDS = ("etcd", "miniraft")
PROGRAMS = ("etcdctl", "etcdctl-py")
ALL = {"key": b"\0", "range_end": b"\0"}


def program_of(kind):
    return (str(real_binary("etcd")),) if kind == "etcd" else MINIRAFT


class Place:
    """One side of a mirror."""

    def __init__(self, address):
        self.address = address
        self._server = Server(address)
        self.call = self._server.call

    def put(self, **pairs):
        for key, value in pairs.items():
            self.call(rpc.PutRequest(key=key.encode(), value=value.encode()))

    def fill(self, pairs):
        """Holds these pairs afterwards, and nothing else. Returns the revision."""
        self.call(rpc.DeleteRangeRequest(**ALL))
        for key, value in pairs.items():
            self.call(rpc.PutRequest(key=key, value=value))
        return self.call(rpc.RangeRequest(key=b"a")).header.revision

    def pairs(self):
        return {pair.key: pair.value for pair in self.call(rpc.RangeRequest(**ALL)).kvs}

    def revision_of(self, key):
        """The revision in which the key was written last."""
        return self.call(rpc.RangeRequest(key=key)).kvs[0].mod_revision


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A source and a destination of either kind."""
    with contextlib.ExitStack() as stack:
        yield {
            (role, kind): Place(
                stack.enter_context(
                    running_server(tmp_path_factory.mktemp(f"{role}-{kind}"), program=program_of(kind))
                )
            )
            for role in ("source", "target")
            for kind in KINDS
        }


def mirror(folder, program, source, target, *flags):
    """Runs the mirror in the background."""
    words = ("--endpoints", source.address, "make-mirror", target.address, *flags)
    return running(folder, *words, real=program == "etcdctl")


def wait_until_holds(run, place, pairs):
    def holds():
        assert run.process.poll() is None, run.err
        return place.pairs() == pairs

    until(holds)


# What is copied -------------------------------------------------------------------------------
BEFORE = {
    b"m/1": b"one",
    b"m/2": b"two",
    b"m/3": b"",
    b"m/\xff\0": b"\0\xff",
    b"n/1": b"outside",
    b"m": b"too",
}
ALREADY_THERE = {b"copy/m/old": b"stays", b"elsewhere": b"stays", b"m/1": b"of the destination"}
CHANGES = (
    rpc.PutRequest(key=b"m/1", value=b"new"),
    rpc.PutRequest(key=b"n/2", value=b"outside"),
    rpc.TxnRequest(
        success=[put_operation(b"m/4", b"x"), delete_operation(b"m/2"), put_operation(b"m/5", b"y")]
    ),
    rpc.DeleteRangeRequest(key=b"m/3", range_end=b"m/4"),
    rpc.PutRequest(key=b"m/6", value=b"last"),
)
AFTER = {
    b"m/1": b"new",
    b"m/4": b"x",
    b"m/5": b"y",
    b"m/6": b"last",
    b"m/\xff\0": b"\0\xff",
    b"n/1": b"outside",
    b"n/2": b"outside",
    b"m": b"too",
}
FLAGS = {
    "everything": (),
    "a prefix": ("--prefix", "m/"),
    "another prefix": ("--prefix", "m/", "--dest-prefix", "copy/m/"),
    "no prefix": ("--prefix", "m/", "--no-dest-prefix"),
}


def mapped(pairs, what):
    """Where pairs of the source are found at the destination."""
    if what == "everything":
        return pairs
    new_prefix = {"a prefix": b"m/", "another prefix": b"copy/m/", "no prefix": b""}[what]
    return {new_prefix + key[2:]: value for key, value in pairs.items() if key.startswith(b"m/")}


@pytest.mark.parametrize(
    ("program", "source", "target", "what"),
    [
        *((*sides, "another prefix") for sides in itertools.product(PROGRAMS, KINDS, KINDS)),
        *(
            (*sides, what)
            for sides in (("etcdctl", "miniraft", "etcd"), ("etcdctl-py", "etcd", "miniraft"))
            for what in ("everything", "a prefix", "no prefix")
        ),
    ],
)
def test_what_is_there_and_what_changes(places, tmp_path, program, source, target, what):
    source, target = places["source", source], places["target", target]
    source.fill(BEFORE)
    target.fill(ALREADY_THERE)
    with mirror(tmp_path, program, source, target, *FLAGS[what]) as run:
        wait_until_holds(run, target, ALREADY_THERE | mapped(BEFORE, what))
        for change in CHANGES:
            source.call(change)
        wait_until_holds(run, target, ALREADY_THERE | mapped(AFTER, what))
    assert source.pairs() == AFTER
    first, second = (target.revision_of(key) for key in mapped({b"m/4": b"", b"m/5": b""}, what))
    assert first == second, "what was one transaction is one there too"


@pytest.mark.parametrize("program", PROGRAMS)
def test_more_than_a_page_while_it_changes(places, tmp_path, program):
    source, target = places["source", "miniraft"], places["target", "miniraft"]
    source.fill({})
    target.fill({})
    # The last of the first 1000 is the beginning of the next one.
    keys = [b"page/%03d" % (number // 2) + b"!" * (number % 2) for number in range(1, 1101)]
    for some in (keys[start : start + 100] for start in range(0, len(keys), 100)):
        source.call(rpc.TxnRequest(success=[put_operation(key, b"before") for key in some]))
    with mirror(tmp_path, program, source, target) as run:
        until(target.pairs)
        for number in range(200):  # some before they are copied, some after
            source.call(rpc.PutRequest(key=keys[number * 11 % 1100], value=b"%d" % number))
            source.call(rpc.DeleteRangeRequest(key=keys[number * 7 % 1100]))
        wait_until_holds(run, target, source.pairs())


def test_from_a_revision_on_and_few_changes_at_once(places, tmp_path):
    """Flags of etcdctl since 3.6."""
    source, target = places["source", "etcd"], places["target", "miniraft"]
    revision = source.fill({b"m/before": b"not copied", b"m/then": b"copied"})
    target.fill({})
    flags = ("--rev", str(revision), "--max-txn-ops", "2", "--dest-prefix", "copy/", "--prefix", "m/")
    with mirror(tmp_path, "etcdctl-py", source, target, *flags) as run:
        wait_until_holds(run, target, {b"copy/then": b"copied"})
        keys = [b"m/%d" % number for number in range(5)]
        source.call(rpc.TxnRequest(success=[put_operation(key, b"v") for key in keys]))
        wait_until_holds(run, target, {b"copy/then": b"copied"} | {b"copy/" + key[2:]: b"v" for key in keys})
    revisions = [target.revision_of(b"copy/%d" % number) for number in range(5)]
    assert [revision - revisions[0] for revision in revisions] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("rev", ["0", "1"])
def test_without_a_revision_before_it_everything_is_copied(places, tmp_path, rev):
    source, target = places["source", "miniraft"], places["target", "etcd"]
    revision = source.fill({b"m/1": b"1"})
    source.call(rpc.CompactionRequest(revision=revision))
    target.fill({})
    with mirror(tmp_path, "etcdctl-py", source, target, "--rev", rev) as run:
        wait_until_holds(run, target, {b"m/1": b"1"})


# What goes wrong ------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_a_compacted_revision_ends_it(places, kind):
    source, target = places["source", kind], places["target", kind]
    revision = source.fill({b"m/1": b"1", b"m/2": b"2"})
    source.call(rpc.CompactionRequest(revision=revision))
    ours = run_ours("--endpoints", source.address, "make-mirror", target.address, "--rev", "2")
    assert (ours.code, ours.last_error) == (
        1,
        "Error: etcdserver: mvcc: required revision has been compacted",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_destination_that_refuses_ends_it(places, kind):
    """Without its prefix, a key that is the prefix is no key."""
    source, target = places["source", kind], places["target", kind]
    source.fill({b"m/": b"value"})
    target.fill({})
    words = (
        *("--endpoints", source.address, "make-mirror", target.address),
        *("--prefix", "m/", "--no-dest-prefix"),
    )
    real, ours = run_real(*words), run_ours(*words)
    assert (ours.code, ours.last_error) == (real.code, real.last_error)
    assert ours.code == 1


# TLS and users --------------------------------------------------------------------------------
class Guarded(Place):
    """Asks for names and passwords."""

    def __init__(self, address):
        super().__init__(address)
        for request in (
            rpc.AuthUserAddRequest(name="root", password="secret"),
            rpc.AuthUserGrantRoleRequest(user="root", role="root"),
            rpc.AuthRoleAddRequest(name="mirror"),
            rpc.AuthRoleGrantPermissionRequest(
                name="mirror", perm=Permission(permType=Permission.READWRITE, key=b"m/", range_end=b"m0")
            ),
            rpc.AuthUserAddRequest(name="ann", password="pass:word"),
            rpc.AuthUserGrantRoleRequest(user="ann", role="mirror"),
            rpc.AuthEnableRequest(),
        ):
            self.call(request)
        token = self.call(rpc.AuthenticateRequest(name="root", password="secret")).token
        self.call = lambda request: self._server.call(request, token=token)


@pytest.fixture(scope="module", params=KINDS)
def secured(request, tmp_path_factory):
    """A server behind TLS that asks for certificates, of one kind, with the flags to get there, and one
    of the other kind with users."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    client, server = authority.issue("client"), authority.issue("server")
    other = KINDS[KINDS[0] == request.param]
    with (
        running_server(
            tmp_path_factory.mktemp("tls"),
            tls=Tls(server.cert_file, server.key_file, authority.cert_file),
            program=program_of(request.param),
        ) as tls_address,
        running_server(
            tmp_path_factory.mktemp("users"), "--bcrypt-cost", "4", program=program_of(other)
        ) as address,
    ):
        files = {"cacert": authority.cert_file, "cert": client.cert_file, "key": client.key_file}
        yield tls_address, files, Guarded(address)


def with_prefix(prefix, files):
    return [word for name, file in files.items() for word in (f"{prefix}{name}", file)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_between_a_server_with_tls_and_one_with_users(secured, tmp_path, program):
    """There and back again."""
    tls_address, files, guarded = secured
    through_tls = ("--endpoints", f"https://{tls_address}", *with_prefix("--", files))
    real = program == "etcdctl"
    guarded.fill({b"m/1": b"there"})
    run_ours(*through_tls, "del", "", "--prefix")
    there = (
        *("--endpoints", guarded.address, "--user", "ann:pass:word", "make-mirror", f"https://{tls_address}"),
        *("--prefix", "m/", "--dest-prefix", "there/", "--dest-insecure-transport=false"),
        *with_prefix("--dest-", files),
    )
    back = (
        *(*through_tls, "make-mirror", guarded.address, "--prefix", "there/", "--dest-prefix", "m/back/"),
        *("--dest-user", "ann", "--dest-password", "pass:word"),
    )
    with running(tmp_path, *there, real=real) as run:
        until(lambda: run_ours(*through_tls, "get", "there/1").out == b"there/1\nthere\n")
        guarded.call(rpc.PutRequest(key=b"m/2", value=b"changed"))
        until(lambda: run_ours(*through_tls, "get", "there/2").out == b"there/2\nchanged\n")
        assert run.process.poll() is None, run.err
    with running(tmp_path, *back, real=real) as run:
        held = {b"m/1": b"there", b"m/2": b"changed", b"m/back/1": b"there", b"m/back/2": b"changed"}
        wait_until_holds(run, guarded, held)
        run_ours(*through_tls, "del", "there/1")
        del held[b"m/back/1"]
        wait_until_holds(run, guarded, held)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--dest-user", "ann:wrong"), 2),
        (("--dest-user", "nobody", "--dest-password", "pass:word"), 2),
        (("--dest-user", "ann:pass:word", "--dest-prefix", "elsewhere/"), 1),
        ((), 1),
    ],
    ids=["a wrong password", "an unknown user", "a key that is not hers", "no user"],
)
def test_who_may_not_write_there(secured, places, flags, code):
    _, _, guarded = secured
    source = places["source", "miniraft"]
    source.fill({b"m/1": b"1"})
    words = ("--endpoints", source.address, "make-mirror", guarded.address, "--prefix", "m/", *flags)
    real, ours = run_real(*words), run_ours(*words)
    assert (ours.code, ours.last_error) == (real.code, real.last_error)
    assert ours.code == code


# Members that die -----------------------------------------------------------------------------
def succeeds(endpoints, *words):
    """A request sent to a leader that is gone is lost, and soon asked again."""
    return run_ours("--endpoints", endpoints, *words, "--command-timeout", "500ms").code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_at_another_member(places, tmp_path, kind):
    """Whichever of the three each program is connected to, it is killed once."""
    target = places["target", "miniraft"]
    target.fill({})
    with Processes(tmp_path) as processes, contextlib.ExitStack() as stack:
        members = [processes.new(name) for name in ("m1", "m2", "m3")]
        cluster = initial_cluster(*members)
        for member in members:
            member.launcher, member.program = program_of(kind), ()
            member.start(cluster, "new", "--unsafe-no-fsync")
        endpoints = ",".join(member.client for member in members)
        until(partial(succeeds, endpoints, "put", "m/start", "v"))
        runs = [
            stack.enter_context(
                running(
                    tmp_path,
                    *("--endpoints", endpoints, "make-mirror", target.address),
                    *("--prefix", "m/", "--dest-prefix", f"{program}/"),
                    real=program == "etcdctl",
                )
            )
            for program in PROGRAMS
        ]
        held = {f"{program}/start".encode(): b"v" for program in PROGRAMS}
        until(lambda: target.pairs() == held)
        for number, member in enumerate(members):
            member.kill()
            others = ",".join(other.client for other in members if other is not member)
            until(partial(succeeds, others, "put", f"m/{number}", "v"))
            held |= {f"{program}/{number}".encode(): b"v" for program in PROGRAMS}
            for run in runs:
                wait_until_holds(run, target, held)
            member.start(cluster, "existing", "--unsafe-no-fsync")
            until(partial(succeeds, member.client, "get", "m/start"))
