"""Clients for servers with or without authentication: any RPC by gRPC or JSON, as any user."""

import contextlib
import http.client
import json
import ssl
from typing import NamedTuple

import grpc
from google.protobuf import message_factory

from miniraft.api.gateway_errors import HTTP_STATUS
from miniraft.api.gateway_routes import ROUTES
from miniraft.api.method import MethodTable
from miniraft.errors import Code
from tests.support.json_messages import read_message, read_stream_fault, spelled, spelled_otherwise

_BY_PATH = MethodTable({}, {}, ()).by_path


def _methods(*services):
    return {path.rpartition("/")[2]: method for path, method in _BY_PATH.items() if path.startswith(services)}


METHODS = _methods("/etcdserverpb.")
ALL_METHODS = METHODS | _methods("/v3lockpb.", "/v3electionpb.")
_JSON_PATHS = {path: route for route, path in reversed(ROUTES.items())}
PATIENCE_SECONDS = 20


class Failure(NamedTuple):
    """An error as a client sees it."""

    code: int
    message: str


def response_type(name):
    return message_factory.GetMessageClass(ALL_METHODS[name].descriptor.output_type)


class GrpcClient:
    """Calls RPCs by their name."""

    def __init__(self, address, credentials=None, options=()):
        self.address = address
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=list(options))
        else:
            self.channel = grpc.secure_channel(address, credentials, options=list(options))

    def call(self, name, request, token=None, metadata=()):
        """Returns the response message, or a Failure."""
        method = ALL_METHODS[name]
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
        with contextlib.closing(self.responses(name, [request], token)) as responses:
            return next(responses)

    def responses(self, name, requests, token=None):
        """Sends requests on a stream; yields what comes back until it ends, a Failure at last."""
        path, read = ALL_METHODS[name].path, response_type(name).FromString
        call = self.channel.stream_stream(path, lambda request: request.SerializeToString(), read)
        metadata = [] if token is None else [("token", token)]
        stream = call(iter(requests), timeout=PATIENCE_SECONDS, metadata=metadata)
        try:
            yield from stream
        except grpc.RpcError as error:
            yield Failure(error.code().value[0], error.details())
        finally:
            stream.cancel()

    def login(self, name, password):
        """Returns a token, or a Failure."""
        return _login(self, name, password)

    def close(self):
        self.channel.close()


class JsonClient:
    """The same by JSON. What comes back must be written and framed as etcd's gateway does."""

    def __init__(self, address, context=None, *, other_spelling=False):
        """`other_spelling`: requests in lowerCamelCase, with numbers for integers and enums."""
        self._address = address
        self._context = context
        self._spell = spelled_otherwise if other_spelling else spelled
        self._token_header = "Grpc-Metadata-Token" if other_spelling else "Authorization"
        self._connection = self._connect()

    def _connect(self):
        host, port = self._address.split(":")
        if self._context is None:
            return http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
        return http.client.HTTPSConnection(host, int(port), timeout=PATIENCE_SECONDS, context=self._context)

    def post(self, path, body, headers=None):
        """Returns (status, body) of a POST."""
        response = self._post(path, body, headers or {})
        return response.status, response.read()

    def _post(self, path, body, headers):
        self._connection.request("POST", path, body, headers)
        return self._connection.getresponse()

    def _headers(self, token):
        return {} if token is None else {self._token_header: token}

    def call(self, name, request, token=None):
        """Returns the response message, or a Failure."""
        path = _JSON_PATHS[ALL_METHODS[name].path]
        response = self._post(path, self._spell(request), self._headers(token))
        body = response.read()
        assert response.headers["Content-Type"] == "application/json"
        if response.status != 200:
            return _failure(response, json.loads(body))
        assert response.headers["Grpc-Metadata-Content-Type"] == "application/grpc"
        return read_message(body, response_type(name))

    def first_of_stream(self, name, request, token=None):
        """Sends one request on a stream; returns the first response, or a Failure."""
        with contextlib.closing(self.responses(name, [request], token)) as responses:
            return next(responses)

    def responses(self, name, requests, token=None):
        """Sends requests on a stream; yields what comes back until it ends, a Failure at last."""
        body = "".join(map(self._spell, requests))
        with contextlib.closing(self._connect()) as connection:
            connection.request("POST", _JSON_PATHS[ALL_METHODS[name].path], body, self._headers(token))
            response = connection.getresponse()
            for number, line in enumerate(_lines(response)):
                assert response.headers["Content-Type"] == "application/json"
                message = json.loads(line)
                if "error" in message:
                    fault = Failure(*read_stream_fault(message))
                    # By then the status of a stream with responses is long sent.
                    assert response.status == (200 if number else HTTP_STATUS[Code(fault.code)])
                    assert response.headers["WWW-Authenticate"] is None  # that is for unary calls
                    yield fault
                    return
                assert response.headers["Grpc-Metadata-Content-Type"] == "application/grpc"
                assert set(message) == {"result"}
                yield read_message(message["result"], response_type(name))

    def login(self, name, password):
        """Returns a token, or a Failure."""
        return _login(self, name, password)

    def close(self):
        self._connection.close()


def _login(client, name, password):
    request = message_factory.GetMessageClass(METHODS["Authenticate"].descriptor.input_type)
    answer = client.call("Authenticate", request(name=name, password=password))
    return answer if isinstance(answer, Failure) else answer.token


def _failure(response, fault):
    """Reads the error of a unary call."""
    code, message = fault.pop("code"), fault.pop("message")
    assert response.status == HTTP_STATUS[Code(code)]
    assert (response.headers["WWW-Authenticate"] == message) == (code == Code.UNAUTHENTICATED)
    assert fault in ({}, {"error": message})  # the second as before etcd 3.6: ours serve both kinds of client
    return Failure(code, message)


def _lines(response):
    """Yields the lines of a stream; no chunk of the transfer holds more than one."""
    line = b""
    while piece := response.read1():  # at most one chunk, perhaps a part of one
        assert b"\n" not in piece[:-1]
        line += piece
        if line.endswith(b"\n"):
            yield line
            line = b""
    assert line == b""


def tls_context(certificate, authority):
    """An http.client context that shows a certificate."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context
