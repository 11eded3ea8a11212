from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("cluster_id", "member_id", "receiver_id", "server_version", "member_name", "peer_urls")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_URLS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    member_id: int
    receiver_id: int
    server_version: str
    member_name: str
    peer_urls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cluster_id: _Optional[int] = ..., member_id: _Optional[int] = ..., receiver_id: _Optional[int] = ..., server_version: _Optional[str] = ..., member_name: _Optional[str] = ..., peer_urls: _Optional[_Iterable[str]] = ...) -> None: ...

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
    __slots__ = ("id", "name", "peer_urls", "client_urls", "is_learner", "life")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_URLS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_URLS_FIELD_NUMBER: _ClassVar[int]
    IS_LEARNER_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    peer_urls: _containers.RepeatedScalarFieldContainer[str]
    client_urls: _containers.RepeatedScalarFieldContainer[str]
    is_learner: bool
    life: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., peer_urls: _Optional[_Iterable[str]] = ..., client_urls: _Optional[_Iterable[str]] = ..., is_learner: _Optional[bool] = ..., life: _Optional[int] = ...) -> None: ...

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

class LeaseQuestion(_message.Message):
    __slots__ = ("lease_id", "renew", "keys")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    lease_id: int
    renew: bool
    keys: bool
    def __init__(self, lease_id: _Optional[int] = ..., renew: _Optional[bool] = ..., keys: _Optional[bool] = ...) -> None: ...

class LeaseQuestions(_message.Message):
    __slots__ = ("hello", "questions")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    questions: _containers.RepeatedCompositeFieldContainer[LeaseQuestion]
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., questions: _Optional[_Iterable[_Union[LeaseQuestion, _Mapping]]] = ...) -> None: ...

class LeaseAnswer(_message.Message):
    __slots__ = ("granted_ttl", "remaining_ttl", "keys", "error_code", "error")
    GRANTED_TTL_FIELD_NUMBER: _ClassVar[int]
    REMAINING_TTL_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    granted_ttl: int
    remaining_ttl: int
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    error_code: int
    error: str
    def __init__(self, granted_ttl: _Optional[int] = ..., remaining_ttl: _Optional[int] = ..., keys: _Optional[_Iterable[bytes]] = ..., error_code: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class LeaseAnswers(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[LeaseAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[LeaseAnswer, _Mapping]]] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("hello",)
    HELLO_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ...) -> None: ...

class LearnerQuestion(_message.Message):
    __slots__ = ("hello", "member_id")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    member_id: int
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., member_id: _Optional[int] = ...) -> None: ...

class LearnerAnswer(_message.Message):
    __slots__ = ("error_code", "error")
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error_code: int
    error: str
    def __init__(self, error_code: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class HashQuestion(_message.Message):
    __slots__ = ("hello", "revision")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    revision: int
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class HashAnswer(_message.Message):
    __slots__ = ("hash", "compact_revision", "hash_revision", "revision", "error_code", "error")
    HASH_FIELD_NUMBER: _ClassVar[int]
    COMPACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    HASH_REVISION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    hash: int
    compact_revision: int
    hash_revision: int
    revision: int
    error_code: int
    error: str
    def __init__(self, hash: _Optional[int] = ..., compact_revision: _Optional[int] = ..., hash_revision: _Optional[int] = ..., revision: _Optional[int] = ..., error_code: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...
