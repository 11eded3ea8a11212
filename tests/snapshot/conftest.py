"""A snapshot of a real etcd with something of everything in it, and what that etcd said of itself."""

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from miniraft.pb import rpc_pb2 as pb
from tests.support.real_etcd import real_binary, running_etcd
from tests.support.server_under_test import running_server

LARGE = bytes(range(256)) * 400  # 100 kB: pages with overflow


class Client:
    """Plain calls of the v3 API."""

    def __init__(self, channel):
        self.channel = channel

    def call(self, method, request, response):
        call = self.channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return call(request, timeout=10)

    def put(self, key, value, lease=0):
        return self.call("KV/Put", pb.PutRequest(key=key, value=value, lease=lease), pb.PutResponse)

    def delete(self, key, end=b""):
        return self.call(
            "KV/DeleteRange", pb.DeleteRangeRequest(key=key, range_end=end), pb.DeleteRangeResponse
        )

    def compact(self, revision):
        request = pb.CompactionRequest(revision=revision, physical=True)
        return self.call("KV/Compact", request, pb.CompactionResponse)

    def everything(self, revision=0):
        """All pairs at a revision, serialized."""
        request = pb.RangeRequest(key=b"\0", range_end=b"\0", revision=revision)
        found = self.call("KV/Range", request, pb.RangeResponse)
        return [pair.SerializeToString(deterministic=True) for pair in found.kvs]

    def revision(self):
        return self.call("KV/Range", pb.RangeRequest(key=b"x"), pb.RangeResponse).header.revision

    def hash(self, revision=0):
        """(hash, compact revision) at a revision."""
        found = self.call("Maintenance/HashKV", pb.HashKVRequest(revision=revision), pb.HashKVResponse)
        return found.hash, found.compact_revision


@contextlib.contextmanager
def client_of(address):
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        yield Client(channel)


@dataclass
class Recorded:
    """A snapshot file, and what its server answered when it was made."""

    path: Path
    revision: int
    pairs: list
    earlier_revision: int
    earlier_pairs: list
    hash: tuple


def fill(client):
    """Puts, deletes, leases, users and roles, a compaction, and something after it."""
    grant = client.call("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=3600, ID=77), pb.LeaseGrantResponse)
    for number in range(300):
        client.put(b"key%03d" % (number % 120), b"value %d" % number, grant.ID if number % 9 == 0 else 0)
    client.put(b"large", LARGE)
    client.delete(b"key010", b"key030")
    auth = [
        ("RoleAdd", pb.AuthRoleAddRequest(name="reader"), pb.AuthRoleAddResponse),
        ("UserAdd", pb.AuthUserAddRequest(name="ada", password="secret"), pb.AuthUserAddResponse),
        (
            "UserGrantRole",
            pb.AuthUserGrantRoleRequest(user="ada", role="reader"),
            pb.AuthUserGrantRoleResponse,
        ),
    ]
    for name, request, response in auth:
        client.call(f"Auth/{name}", request, response)
    client.compact(client.revision() - 60)
    earlier = client.revision()
    for number in range(20):
        client.put(b"late%d" % number, b"x" * number)
    client.delete(b"late7")
    return earlier


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """The snapshot of the real etcd."""
    folder = tmp_path_factory.mktemp("real")
    path = folder / "snapshot.db"
    with running_etcd(folder) as address, client_of(address) as client:
        earlier = fill(client)
        result = Recorded(
            path, client.revision(), client.everything(), earlier, client.everything(earlier), client.hash()
        )
        save(address, path)
    return result


def save(address, path):
    """`etcdctl snapshot save`, the real one."""
    command = [str(real_binary("etcdctl")), "--endpoints", address, "snapshot", "save", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)


def etcdutl(*words):
    """Runs the real etcdutl."""
    command = [str(real_binary("etcdutl")), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def etcdutl_py(*words):
    """Runs ours, as a program."""
    command = [sys.executable, "-m", "miniraft.etcdutl", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


@contextlib.contextmanager
def serving_miniraft(folder, monkeypatch, *flags):
    """Runs our server on `folder/data`; yields a client of it."""
    monkeypatch.setenv("MINIRAFT_TEST_SERVER", "miniraft")
    with running_server(folder, *flags, name="default") as address, client_of(address) as client:
        yield client
