"""The few pieces of protobuf's wire format that responses are put together from.

Key-value pairs come from the store serialized, so a response is a concatenation: building a
message object only to serialize it again would cost more than everything else in a read.
"""

from __future__ import annotations


def _plain_varint(value: int) -> bytes:
    """The format's definition: seven bits a byte, lowest first, high bit set on all but the last."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_SHORT_BITS = 14
_SHORT_LIMIT = 1 << _SHORT_BITS
_SHORT = [_plain_varint(value) for value in range(_SHORT_LIMIT)]
# The two low bytes of a longer varint, for every value of its low fourteen bits.
_LOW = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(_SHORT_LIMIT)]
_LOW_MASK = _SHORT_LIMIT - 1


def varint(value: int) -> bytes:
    """Returns `value` (0 <= value < 2**64) as a varint."""
    if value < _SHORT_LIMIT:
        return _SHORT[value]
    high = value >> _SHORT_BITS
    if high < _SHORT_LIMIT:
        return _LOW[value & _LOW_MASK] + _SHORT[high]
    return _LOW[value & _LOW_MASK] + varint(high)


def embedded(tag: bytes, payload: bytes) -> bytes:
    """Returns a length-delimited field: `tag` is the encoded field key."""
    return tag + varint(len(payload)) + payload
