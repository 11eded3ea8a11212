"""A client for servers with authentication: any RPC by gRPC or JSON, as any user."""

import http.client
import json
import ssl
from typing import NamedTuple

import grpc
from google.protobuf import json_format

from miniraft.api.gateway_routes import ROUTES
from miniraft.api.method import MethodTable
from miniraft.pb import rpc_pb2 as rpc

METHODS = {
    path.rpartition("/")[2]: method
    for path, method in MethodTable({}, {}, ()).by_path.items()
    if path.startswith("/etcdserverpb.")
}
_JSON_PATHS = {path: route for route, path in reversed(ROUTES.items())}
PATIENCE_SECONDS = 20


class Failure(NamedTuple):
    """An error as a client sees it."""

    code: int
    message: str


def response_type(name):
    return getattr(rpc, METHODS[name].descriptor.output_type.name)


class GrpcClient:
    """Calls RPCs of `etcdserverpb` by their name."""

    def __init__(self, address, credentials=None, options=()):
        self.address = address
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=list(options))
        else:
            self.channel = grpc.secure_channel(address, credentials, options=list(options))

    def call(self, name, request, token=None, metadata=()):
        """Returns the response message, or a Failure."""
        method = METHODS[name]
        metadata = [*metadata] if token is None else [("token", token), *metadata]
        call = self.channel.unary_unary(
            method.path, type(request).SerializeToString, response_type(name).FromString
        )
        try:
            return call(request, timeout=PATIENCE_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            return Failure(error.code().value[0], error.details())

    def first_of_stream(self, name, request, token=None):
        """Sends one request on a stream; returns the first response, or a Failure."""
        call = self.channel.stream_stream(
            METHODS[name].path, type(request).SerializeToString, response_type(name).FromString
        )
        stream = call(
            iter([request]),
            timeout=PATIENCE_SECONDS,
            metadata=[] if token is None else [("token", token)],
        )
        try:
            return next(stream)
        except grpc.RpcError as error:
            return Failure(error.code().value[0], error.details())
        finally:
            stream.cancel()

    def login(self, name, password):
        """Returns a token, or a Failure."""
        answer = self.call("Authenticate", rpc.AuthenticateRequest(name=name, password=password))
        return answer if isinstance(answer, Failure) else answer.token

    def close(self):
        self.channel.close()


class JsonClient:
    """The same by JSON."""

    def __init__(self, address, context=None):
        host, port = address.split(":")
        if context is None:
            self._connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
        else:
            self._connection = http.client.HTTPSConnection(
                host, int(port), timeout=PATIENCE_SECONDS, context=context
            )

    def post(self, path, body, headers=None):
        """Returns (status, body) of a POST."""
        self._connection.request("POST", path, body, headers or {})
        response = self._connection.getresponse()
        return response.status, response.read()

    def call(self, name, request, token=None):
        """Returns the response message, or a Failure."""
        body = json_format.MessageToJson(request, preserving_proto_field_name=True)
        headers = {} if token is None else {"Authorization": token}
        status, answer = self.post(_JSON_PATHS[METHODS[name].path], body, headers)
        if status != 200:
            fault = json.loads(answer)
            return Failure(fault["code"], fault["message"])
        return json_format.Parse(answer, response_type(name)())

    def first_of_stream(self, name, request, token=None):
        """Sends one request on a stream; returns the first response, or a Failure."""
        connection = http.client.HTTPConnection(
            self._connection.host, self._connection.port, timeout=PATIENCE_SECONDS
        )
        try:
            headers = {} if token is None else {"Authorization": token}
            body = json_format.MessageToJson(request, preserving_proto_field_name=True)
            connection.request("POST", _JSON_PATHS[METHODS[name].path], body, headers)
            line = json.loads(connection.getresponse().readline())
            if "error" in line:
                return Failure(line["error"]["grpc_code"], line["error"]["message"])
            return json_format.ParseDict(line["result"], response_type(name)())
        finally:
            connection.close()

    def login(self, name, password):
        """Returns a token, or a Failure."""
        answer = self.call("Authenticate", rpc.AuthenticateRequest(name=name, password=password))
        return answer if isinstance(answer, Failure) else answer.token

    def close(self):
        self._connection.close()


def tls_context(certificate, authority):
    """An http.client context that shows a certificate."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context
