from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProposalHeader(_message.Message):
    __slots__ = ("username", "auth_revision", "leader_term")
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    AUTH_REVISION_FIELD_NUMBER: _ClassVar[int]
    LEADER_TERM_FIELD_NUMBER: _ClassVar[int]
    username: str
    auth_revision: int
    leader_term: int
    def __init__(self, username: _Optional[str] = ..., auth_revision: _Optional[int] = ..., leader_term: _Optional[int] = ...) -> None: ...

class ConfigChange(_message.Message):
    __slots__ = ("kind", "member_id", "request_id", "name", "peer_urls", "client_urls")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ADD_VOTER: _ClassVar[ConfigChange.Kind]
        ADD_LEARNER: _ClassVar[ConfigChange.Kind]
        REMOVE: _ClassVar[ConfigChange.Kind]
        UPDATE: _ClassVar[ConfigChange.Kind]
        PROMOTE: _ClassVar[ConfigChange.Kind]
    ADD_VOTER: ConfigChange.Kind
    ADD_LEARNER: ConfigChange.Kind
    REMOVE: ConfigChange.Kind
    UPDATE: ConfigChange.Kind
    PROMOTE: ConfigChange.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_URLS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_URLS_FIELD_NUMBER: _ClassVar[int]
    kind: ConfigChange.Kind
    member_id: int
    request_id: int
    name: str
    peer_urls: _containers.RepeatedScalarFieldContainer[str]
    client_urls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, kind: _Optional[_Union[ConfigChange.Kind, str]] = ..., member_id: _Optional[int] = ..., request_id: _Optional[int] = ..., name: _Optional[str] = ..., peer_urls: _Optional[_Iterable[str]] = ..., client_urls: _Optional[_Iterable[str]] = ...) -> None: ...

class PublishMember(_message.Message):
    __slots__ = ("member_id", "name", "client_urls", "life")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_URLS_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    member_id: int
    name: str
    client_urls: _containers.RepeatedScalarFieldContainer[str]
    life: int
    def __init__(self, member_id: _Optional[int] = ..., name: _Optional[str] = ..., client_urls: _Optional[_Iterable[str]] = ..., life: _Optional[int] = ...) -> None: ...

class SetClusterVersion(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    def __init__(self, version: _Optional[str] = ...) -> None: ...

class AssignToken(_message.Message):
    __slots__ = ("letters",)
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    letters: str
    def __init__(self, letters: _Optional[str] = ...) -> None: ...

class LogMetadata(_message.Message):
    __slots__ = ("cluster_id", "member_id", "created_by")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    member_id: int
    created_by: str
    def __init__(self, cluster_id: _Optional[int] = ..., member_id: _Optional[int] = ..., created_by: _Optional[str] = ...) -> None: ...
