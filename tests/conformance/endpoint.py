"""A keyspace right here, that answers requests as a server does."""

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.results import DeleteRangeResult, PutResult, RangeResult
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.server import validation
from tests.support.auth_client import Failure
from tests.support.dict_store import DictStore

MAX_TXN_OPERATIONS = 8  # small, so that requests reach it


class FixedLeases:
    """A table of leases that live for ever, and the keys on them."""

    def __init__(self):
        self.keys = {}

    def exists(self, lease_id):
        return lease_id in self.keys

    def attach(self, lease_id, key):
        self.keys[lease_id].add(key)

    def detach(self, lease_id, key):
        self.keys[lease_id].remove(key)


class KeyspaceEndpoint:
    """Validation and keyspace, called directly. Compaction crawls along beside the requests."""

    def __init__(self):
        self.leases = FixedLeases()
        self.keyspace = Keyspace(DictStore(), self.leases)

    def call(self, request, way=None):
        """Returns the response message, or a Failure; there is one `way` only."""
        self.keyspace.compact_step(2)
        try:
            return self._call(request)
        except EtcdError as error:
            return Failure(int(error.code), error.message)

    def _call(self, request):
        keyspace = self.keyspace
        match type(request):
            case rpc.RangeRequest:
                validation.check_range(request)
                return range_response(keyspace.range(request))
            case rpc.PutRequest:
                validation.check_put(request)
                return put_response(keyspace.put(request))
            case rpc.DeleteRangeRequest:
                validation.check_delete_range(request)
                return delete_range_response(keyspace.delete_range(request))
            case rpc.TxnRequest:
                validation.check_txn(request, MAX_TXN_OPERATIONS)
                if validation.is_read_only(request):
                    return txn_response(keyspace.read_only_txn(request))
                return txn_response(keyspace.txn(request))
            case rpc.CompactionRequest:
                return rpc.CompactionResponse(header=header(keyspace.compact(request).revision))
        raise TypeError(type(request))

    def hash_kv(self, revision):
        try:
            return self.keyspace.hash_kv(revision)[:2]
        except EtcdError as error:
            return Failure(int(error.code), error.message)

    def grant_lease(self, lease):
        self.leases.keys.setdefault(lease, set())

    def close(self):
        pass


def header(revision):
    return rpc.ResponseHeader(revision=revision)


def range_response(result):
    return rpc.RangeResponse(
        header=header(result.revision),
        kvs=[KeyValue.FromString(pair) for pair in result.kvs],
        more=result.more,
        count=result.count,
    )


def put_response(result):
    previous = None if result.previous is None else KeyValue.FromString(result.previous)
    return rpc.PutResponse(header=header(result.revision), prev_kv=previous)


def delete_range_response(result):
    return rpc.DeleteRangeResponse(
        header=header(result.revision),
        deleted=result.deleted,
        prev_kvs=[KeyValue.FromString(pair) for pair in result.previous],
    )


def txn_response(result):
    response = rpc.TxnResponse(header=header(result.revision), succeeded=result.succeeded)
    for part in result.responses:
        operation = response.responses.add()
        if isinstance(part, RangeResult):
            operation.response_range.CopyFrom(range_response(part))
        elif isinstance(part, PutResult):
            operation.response_put.CopyFrom(put_response(part))
        elif isinstance(part, DeleteRangeResult):
            operation.response_delete_range.CopyFrom(delete_range_response(part))
        else:
            operation.response_txn.CopyFrom(txn_response(part))
    return response
