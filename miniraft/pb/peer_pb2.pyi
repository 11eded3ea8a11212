from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("cluster_id", "member_id", "receiver_id", "server_version", "member_name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    member_id: int
    receiver_id: int
    server_version: str
    member_name: str
    def __init__(self, cluster_id: _Optional[int] = ..., member_id: _Optional[int] = ..., receiver_id: _Optional[int] = ..., server_version: _Optional[str] = ..., member_name: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("kind", "sender", "receiver", "term", "log_term", "index", "commit", "reject", "reject_hint", "reject_hint_term", "reject_reason", "context", "entries", "snapshot")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LOG_TERM_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    REJECT_HINT_FIELD_NUMBER: _ClassVar[int]
    REJECT_HINT_TERM_FIELD_NUMBER: _ClassVar[int]
    REJECT_REASON_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    kind: int
    sender: int
    receiver: int
    term: int
    log_term: int
    index: int
    commit: int
    reject: bool
    reject_hint: int
    reject_hint_term: int
    reject_reason: int
    context: int
    entries: bytes
    snapshot: SnapshotMetadata
    def __init__(self, kind: _Optional[int] = ..., sender: _Optional[int] = ..., receiver: _Optional[int] = ..., term: _Optional[int] = ..., log_term: _Optional[int] = ..., index: _Optional[int] = ..., commit: _Optional[int] = ..., reject: _Optional[bool] = ..., reject_hint: _Optional[int] = ..., reject_hint_term: _Optional[int] = ..., reject_reason: _Optional[int] = ..., context: _Optional[int] = ..., entries: _Optional[bytes] = ..., snapshot: _Optional[_Union[SnapshotMetadata, _Mapping]] = ...) -> None: ...

class MessageBatch(_message.Message):
    __slots__ = ("hello", "messages", "sent_at_ns")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_NS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    sent_at_ns: int
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., sent_at_ns: _Optional[int] = ...) -> None: ...

class MessageStreamReply(_message.Message):
    __slots__ = ("hello", "echo_sent_at_ns")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ECHO_SENT_AT_NS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    echo_sent_at_ns: int
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., echo_sent_at_ns: _Optional[int] = ...) -> None: ...

class ConfigState(_message.Message):
    __slots__ = ("voters", "learners")
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    voters: _containers.RepeatedScalarFieldContainer[int]
    learners: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, voters: _Optional[_Iterable[int]] = ..., learners: _Optional[_Iterable[int]] = ...) -> None: ...

class SnapshotMetadata(_message.Message):
    __slots__ = ("index", "term", "config")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    config: ConfigState
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., config: _Optional[_Union[ConfigState, _Mapping]] = ...) -> None: ...

class SnapshotChunk(_message.Message):
    __slots__ = ("hello", "message", "total_bytes", "data", "sha256")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    message: Message
    total_bytes: int
    data: bytes
    sha256: bytes
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., message: _Optional[_Union[Message, _Mapping]] = ..., total_bytes: _Optional[int] = ..., data: _Optional[bytes] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class InstallSnapshotReply(_message.Message):
    __slots__ = ("accepted",)
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    def __init__(self, accepted: _Optional[bool] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MemberDescription(_message.Message):
    __slots__ = ("id", "name", "peer_urls", "client_urls", "is_learner")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_URLS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_URLS_FIELD_NUMBER: _ClassVar[int]
    IS_LEARNER_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    peer_urls: _containers.RepeatedScalarFieldContainer[str]
    client_urls: _containers.RepeatedScalarFieldContainer[str]
    is_learner: bool
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., peer_urls: _Optional[_Iterable[str]] = ..., client_urls: _Optional[_Iterable[str]] = ..., is_learner: _Optional[bool] = ...) -> None: ...

class DescribeReply(_message.Message):
    __slots__ = ("bootstrapped", "cluster_id", "member_id", "member_name", "server_version", "cluster_version", "leader_id", "term", "members")
    BOOTSTRAPPED_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_NAME_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    bootstrapped: bool
    cluster_id: int
    member_id: int
    member_name: str
    server_version: str
    cluster_version: str
    leader_id: int
    term: int
    members: _containers.RepeatedCompositeFieldContainer[MemberDescription]
    def __init__(self, bootstrapped: _Optional[bool] = ..., cluster_id: _Optional[int] = ..., member_id: _Optional[int] = ..., member_name: _Optional[str] = ..., server_version: _Optional[str] = ..., cluster_version: _Optional[str] = ..., leader_id: _Optional[int] = ..., term: _Optional[int] = ..., members: _Optional[_Iterable[_Union[MemberDescription, _Mapping]]] = ...) -> None: ...
