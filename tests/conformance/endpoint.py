"""What answers requests in the difference test: something behind gRPC, or a keyspace right here."""

import http.client
import json
from typing import NamedTuple

import grpc
from google.protobuf import json_format

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.results import DeleteRangeResult, PutResult, RangeResult
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.server import validation
from tests.support.dict_store import DictStore

METHODS = {
    "Range": (rpc.RangeRequest, rpc.RangeResponse),
    "Put": (rpc.PutRequest, rpc.PutResponse),
    "DeleteRange": (rpc.DeleteRangeRequest, rpc.DeleteRangeResponse),
    "Txn": (rpc.TxnRequest, rpc.TxnResponse),
    "Compact": (rpc.CompactionRequest, rpc.CompactionResponse),
}
PATHS = {
    method: f"/v3/kv/{name}"
    for method, name in zip(METHODS, ("range", "put", "deleterange", "txn", "compaction"), strict=True)
}
METHOD_OF = {request: method for method, (request, _) in METHODS.items()}
MAX_TXN_OPERATIONS = 8  # small, so that requests reach it


class Failure(NamedTuple):
    """An error as a client sees it."""

    code: int
    message: str


class GrpcEndpoint:
    """A server at `host:port`. Has to run with --max-txn-ops 8."""

    def __init__(self, address):
        self._channel = grpc.insecure_channel(address)
        self._calls = {
            method: self._channel.unary_unary(
                f"/etcdserverpb.KV/{method}", request.SerializeToString, response.FromString
            )
            for method, (request, response) in METHODS.items()
        }
        self._grant = self._channel.unary_unary(
            "/etcdserverpb.Lease/LeaseGrant",
            rpc.LeaseGrantRequest.SerializeToString,
            rpc.LeaseGrantResponse.FromString,
        )
        self._hash = self._channel.unary_unary(
            "/etcdserverpb.Maintenance/HashKV",
            rpc.HashKVRequest.SerializeToString,
            rpc.HashKVResponse.FromString,
        )

    def call(self, request):
        """Returns the response message, or a Failure."""
        try:
            return self._calls[METHOD_OF[type(request)]](request, timeout=10)
        except grpc.RpcError as error:
            return Failure(error.code().value[0], error.details())

    def hash_kv(self, revision):
        """Returns (hash, compact revision), or a Failure."""
        try:
            response = self._hash(rpc.HashKVRequest(revision=revision), timeout=10)
        except grpc.RpcError as error:
            return Failure(error.code().value[0], error.details())
        return response.hash, response.compact_revision

    def grant_lease(self, lease):
        """Makes sure the lease exists."""
        try:
            self._grant(rpc.LeaseGrantRequest(ID=lease, TTL=3600), timeout=10)
        except grpc.RpcError as error:
            if "lease already exists" not in error.details():
                raise

    def close(self):
        self._channel.close()


class JsonEndpoint:
    """A server at `host:port`, asked through its JSON gateway."""

    def __init__(self, address):
        host, port = address.split(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=10)

    def _post(self, path, message):
        body = json_format.MessageToJson(message, preserving_proto_field_name=True)
        self._connection.request("POST", path, body)
        response = self._connection.getresponse()
        return response.status, response.read()

    def call(self, request):
        """Returns the response message, or a Failure."""
        status, body = self._post(PATHS[METHOD_OF[type(request)]], request)
        if status != 200:
            fault = json.loads(body)
            return Failure(fault["code"], fault["message"])
        answer = METHODS[METHOD_OF[type(request)]][1]()
        return json_format.Parse(body, answer)

    def grant_lease(self, lease):
        """Makes sure the lease exists."""
        status, body = self._post("/v3/lease/grant", rpc.LeaseGrantRequest(ID=lease, TTL=3600))
        if status != 200 and b"lease already exists" not in body:
            raise AssertionError(body)

    def close(self):
        self._connection.close()


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

    def call(self, request):
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
