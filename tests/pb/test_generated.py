"""miniraft/pb is what `make proto` makes of proto/, and lives beside other etcd clients."""

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pool

from miniraft.pb import rpc_pb2

ROOT = Path(__file__).resolve().parents[2]


def test_generated_modules_are_not_stale():
    command = [sys.executable, str(ROOT / "proto" / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_messages_stay_out_of_the_default_pool():
    assert rpc_pb2.DESCRIPTOR.pool is not descriptor_pool.Default()
    try:
        descriptor_pool.Default().FindMessageTypeByName("etcdserverpb.PutRequest")
    except KeyError:
        return
    raise AssertionError("a client library for etcd could not be imported in the same process")
