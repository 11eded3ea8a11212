"""Key-value pairs in serialized form.

The bytes are those etcd stores: fields in ascending order, zero values left out. The
protobuf library writes them so, and faster than Python code can.
"""

from __future__ import annotations

from typing import Final

from miniraft.pb.kv_pb2 import KeyValue

_KEY_TAG: Final = b"\x0a"
_ONE_BYTE_LENGTH: Final = 0x80


def encode_pair(
    key: bytes, create_revision: int, mod_revision: int, version: int, value: bytes, lease: int
) -> bytes:
    """Returns a serialized KeyValue."""
    return KeyValue(
        key=key,
        create_revision=create_revision,
        mod_revision=mod_revision,
        version=version,
        value=value,
        lease=lease,
    ).SerializeToString()


def encode_tombstone(key: bytes) -> bytes:
    """Returns what is stored for a delete: a KeyValue with nothing but its key."""
    return KeyValue(key=key).SerializeToString()


def without_value(pair: KeyValue, *, keep_lease: bool) -> bytes:
    """Returns the pair serialized again with its value, and unless told its lease, left out."""
    return encode_pair(
        pair.key,
        pair.create_revision,
        pair.mod_revision,
        pair.version,
        b"",
        pair.lease if keep_lease else 0,
    )


def key_of(pair: bytes) -> bytes:
    """Returns the key of a serialized pair, which its first field is, without reading the rest."""
    if pair[:1] == _KEY_TAG and len(pair) > 1 and pair[1] < _ONE_BYTE_LENGTH:
        return pair[2 : 2 + pair[1]]
    return KeyValue.FromString(pair).key
