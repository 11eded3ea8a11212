"""Members as processes of their own, and a client that writes to them all the while."""

import contextlib
import os
import subprocess
import sys
import threading
import time

import grpc

from miniraft.pb.rpc_pb2 import (
    HashKVRequest,
    HashKVResponse,
    MemberListRequest,
    MemberListResponse,
    PutRequest,
    RangeRequest,
    RangeResponse,
    StatusRequest,
    StatusResponse,
)
from tests.support.real_etcd import free_port

PATIENCE_SECONDS = 40
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class MemberProcess:
    """One member: its ports, folder and flags, and the process while it runs."""

    def __init__(self, folder, name):
        self.name = name
        self.data = folder / name
        self.log_file = folder / f"{name}.log"
        self.client = f"127.0.0.1:{free_port()}"
        self.peer_url = f"http://127.0.0.1:{free_port()}"
        self.launcher = (sys.executable,)
        self.program = ("-m", "miniraft")
        self.process = None
        self.channel = grpc.insecure_channel(self.client, options=_CHANNEL_OPTIONS)

    def start(self, initial_cluster, state="new", *flags):
        command = [
            *(*self.launcher, *self.program, "--name", self.name, "--data-dir", str(self.data)),
            *("--listen-client-urls", f"http://{self.client}", "--advertise-client-urls"),
            *(f"http://{self.client}", "--listen-peer-urls", self.peer_url),
            *("--initial-advertise-peer-urls", self.peer_url, "--initial-cluster", initial_cluster),
            *("--initial-cluster-state", state, "--heartbeat-interval", "50", "--election-timeout", "500"),
            *flags,
        ]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def kill(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()
            self.process = None

    def log(self):
        return self.log_file.read_text(errors="replace")

    def call(self, method, request, response_type, timeout=10, wait=True):
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"{self.name} has ended: {self.log()[-1500:]}")
        raw = self.channel.unary_unary(f"/etcdserverpb.{method}")(
            request.SerializeToString(), timeout=timeout, wait_for_ready=wait
        )
        return response_type.FromString(raw)

    def fails(self, method, request):
        """Returns code and text of the error that a request ends with."""
        try:
            self.channel.unary_unary(f"/etcdserverpb.{method}")(
                request.SerializeToString(), timeout=PATIENCE_SECONDS, wait_for_ready=True
            )
        except grpc.RpcError as error:
            return error.code().name, error.details()
        raise AssertionError(f"{method} did not fail")

    def status(self):
        return self.call("Maintenance/Status", StatusRequest(), StatusResponse)

    def members(self):
        return self.call(
            "Cluster/MemberList", MemberListRequest(linearizable=True), MemberListResponse
        ).members

    def hash_kv(self, revision):
        """The hash of all that the member holds at a revision, once it has got there."""
        until(lambda: self.status().header.revision >= revision, f"{self.name} at revision {revision}")
        request = HashKVRequest(revision=revision)
        answer = self.call("Maintenance/HashKV", request, HashKVResponse)
        return answer.hash, answer.compact_revision

    def pairs(self, serializable=False):
        """Every pair there is."""
        request = RangeRequest(key=b"\0", range_end=b"\0", serializable=serializable)
        return self.call("KV/Range", request, RangeResponse).kvs

    def keys(self, serializable=False):
        """Every key with its value."""
        return {pair.key: pair.value for pair in self.pairs(serializable)}


class Processes:
    """Makes members and ends what still runs."""

    def __init__(self, folder):
        self.folder = folder
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.all:
            member.kill()
            member.channel.close()

    def new(self, name):
        member = MemberProcess(self.folder, name)
        self.all.append(member)
        return member


def initial_cluster(*members):
    return ",".join(f"{member.name}={member.peer_url}" for member in members)


def until(condition, what, seconds=PATIENCE_SECONDS):
    """Waits until the condition holds, through errors of members that are not there; returns its value."""
    deadline = time.monotonic() + seconds
    problem = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except grpc.RpcError as error:
            problem = error.details()
        time.sleep(0.05)
    raise AssertionError(f"not in {seconds} s: {what} ({problem})")


class Writer:
    """Puts a fresh key again and again, at any member, and remembers what was acknowledged."""

    def __init__(self, members, prefix=b"key"):
        self.members = list(members)
        self.prefix = prefix
        self.acknowledged = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)

    def _run(self):
        number = 0
        while not self._stop.is_set():
            number += 1
            member = self.members[number % len(self.members)]
            key, value = b"%s-%06d" % (self.prefix, number), b"value-%d" % number
            put = member.channel.unary_unary("/etcdserverpb.KV/Put")
            try:
                put(PutRequest(key=key, value=value).SerializeToString(), timeout=2)
            except grpc.RpcError:
                time.sleep(0.02)
            else:
                self.acknowledged[key] = value
            time.sleep(0.002)

    def assert_nothing_lost(self, member, serializable=False):
        """Nor applied twice: no key is written again, so each has its first version."""
        pairs = [pair for pair in member.pairs(serializable) if pair.key.startswith(self.prefix + b"-")]
        found = {pair.key: pair.value for pair in pairs}
        lost = [key for key, value in self.acknowledged.copy().items() if found.get(key) != value]
        assert not lost, f"{member.name} lost {len(lost)} of {len(self.acknowledged)}: {lost[:5]}"
        twice = [pair.key for pair in pairs if pair.version != 1]
        assert not twice, f"{member.name} applied {len(twice)} of {len(pairs)} twice: {twice[:5]}"
