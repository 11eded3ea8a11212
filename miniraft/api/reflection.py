"""gRPC server reflection: tells clients without .proto files what the services and messages are.

See https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. Only what the client API
is made of is told, not how members speak to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from miniraft.errors import Code
from miniraft.pb.reflection_pb2 import (
    FileDescriptorResponse,
    ServerReflectionRequest,
    ServerReflectionResponse,
    ServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.descriptor import FileDescriptor

    from miniraft.api.call import StreamCall, StreamHandler


class ReflectionApi:
    """Handlers of `grpc.reflection.v1.ServerReflection` and of its older twin, v1alpha."""

    def __init__(self, files: Iterable[FileDescriptor]) -> None:
        """`files` define the services there are, all in one pool."""
        roots = list(files)
        self._pool = roots[0].pool
        self._services = sorted(
            service.full_name for file in roots for service in file.services_by_name.values()
        )
        self._files = {file.name: file for root in roots for file in _with_dependencies(root)}

    def streams(self) -> dict[str, StreamHandler]:
        """Returns the stream handlers by path."""
        return {
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo": self.answer_all
            for version in ("v1", "v1alpha")
        }

    async def answer_all(self, call: StreamCall) -> None:
        """Answers each request of a stream in turn."""
        while (raw := await call.receive()) is not None:
            await call.send(self.answer(ServerReflectionRequest.FromString(raw)).SerializeToString())

    def answer(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        """Answers one request; what is not found is told in the response and does not end the stream."""
        response = ServerReflectionResponse(valid_host=request.host, original_request=request)
        try:
            self._fill(response, request)
        except KeyError as error:
            response.error_response.error_code = Code.NOT_FOUND
            response.error_response.error_message = f"not found: {error.args[0]}"
        return response

    def _fill(self, response: ServerReflectionResponse, request: ServerReflectionRequest) -> None:
        """Raises KeyError."""
        match request.WhichOneof("message_request"):
            case "list_services":
                services = [ServiceResponse(name=name) for name in self._services]
                response.list_services_response.service.extend(services)
            case "file_by_filename":
                response.file_descriptor_response.CopyFrom(self._file(request.file_by_filename))
            case "file_containing_symbol":
                response.file_descriptor_response.CopyFrom(self._symbol(request.file_containing_symbol))
            case "all_extension_numbers_of_type":
                name = self._message_name(request.all_extension_numbers_of_type)
                response.all_extension_numbers_response.base_type_name = name  # proto3: none is extended
            case "file_containing_extension":
                extension = request.file_containing_extension
                raise KeyError(f"extension {extension.extension_number} of {extension.containing_type}")
            case _:
                response.error_response.error_code = Code.INVALID_ARGUMENT
                response.error_response.error_message = "nothing is asked for: set a field besides host"

    def _file(self, name: str) -> FileDescriptorResponse:
        """Returns a file and all it imports. Raises KeyError."""
        if name not in self._files:
            raise KeyError(f"file {name}")
        files = {file.name: file for file in _with_dependencies(self._files[name])}
        return FileDescriptorResponse(file_descriptor_proto=[_serialized(file) for file in files.values()])

    def _symbol(self, name: str) -> FileDescriptorResponse:
        """Returns the file that defines a symbol, and all it imports. Raises KeyError."""
        # The pool finds methods by a call of their own only.
        for find in (self._pool.FindFileContainingSymbol, self._file_of_method):
            try:
                file = find(name)
            except KeyError:
                continue
            if file.name in self._files:
                return self._file(file.name)
        raise KeyError(f"symbol {name}")

    def _file_of_method(self, name: str) -> FileDescriptor:
        return self._pool.FindMethodByName(name).containing_service.file

    def _message_name(self, name: str) -> str:
        """Returns the full name of a message there is. Raises KeyError."""
        try:
            return self._pool.FindMessageTypeByName(name).full_name
        except KeyError:
            raise KeyError(f"message {name}") from None


def _with_dependencies(file: FileDescriptor) -> Iterator[FileDescriptor]:
    yield file
    for dependency in file.dependencies:
        yield from _with_dependencies(dependency)


def _serialized(file: FileDescriptor) -> bytes:
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    return proto.SerializeToString()
