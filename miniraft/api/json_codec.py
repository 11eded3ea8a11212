"""protobuf messages as the JSON gateway's JSON, both ways.

The mapping is protobuf's own JSON mapping with etcd's settings: int64 as strings, bytes as
base64, field names as in the .proto files, fields at their default left out; on input also
numbers for int64, lowerCamelCase names, enum numbers, URL-safe and unpadded base64, null for
the default; unknown fields are dropped.

A codec is compiled once for each message type from its descriptor: a plan of small functions,
one a field. `google.protobuf.json_format` does the same by reflection on every message and
takes ten times as long; a test holds the two against each other.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor
    from google.protobuf.message import Message

# protobuf's own bound on nested messages.
_MAX_DEPTH = 100

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_EXACT_FLOAT = 2.0**53  # above it, a float is not the number that was written
_WIDE_INTEGERS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)

_FromJson = Callable[[Any], Any]
_ToJson = Callable[[Any], Any]
_FieldFromJson = Callable[[Any, Any, int], None]
_FieldToJson = Callable[[Any, dict[str, Any]], None]


class JsonError(ValueError):
    """The text is not JSON, or not JSON for the message expected; says what and where."""


class MessageCodec:
    """Reads and writes one message type."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._class: type[Message] = GetMessageClass(descriptor)
        self._plan = _plan_for(descriptor)

    def decode(self, text: bytes) -> Message:
        """Returns the message a JSON text stands for; an empty text is `{}`. Raises JsonError."""
        message = self._class()
        if not text:
            return message
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            if not text.strip():
                return message
            raise JsonError(f"invalid JSON: {error}") from None
        self._plan.from_json(value, message, _MAX_DEPTH)
        return message

    def encode_serialized(self, serialized: bytes) -> bytes:
        """Returns a serialized message as compact JSON."""
        return self.encode(self._class.FromString(serialized))

    def encode(self, message: Message) -> bytes:
        """Returns `message` as compact JSON."""
        return orjson.dumps(self._plan.to_json(message))


class _Plan:
    """How one message type is read and written. Filled in after creation: types may nest in
    themselves, as TxnRequest does."""

    __slots__ = ("name", "readers", "writers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.readers: dict[str, _FieldFromJson] = {}  # by both spellings
        self.writers: list[_FieldToJson] = []  # in order of field numbers

    def from_json(self, value: Any, message: Any, depth: int) -> None:
        """Fills `message`. Raises JsonError."""
        if type(value) is not dict:
            raise JsonError(f"{self.name} must be a JSON object, not {_kind(value)}")
        if not depth:
            raise JsonError(f"messages are nested deeper than {_MAX_DEPTH} levels")
        readers = self.readers
        for key, item in value.items():
            reader = readers.get(key)
            if reader is not None and item is not None:
                reader(item, message, depth)

    def to_json(self, message: Any) -> dict[str, Any]:
        """Returns the JSON object of `message`."""
        out: dict[str, Any] = {}
        for writer in self.writers:
            writer(message, out)
        return out


_plans: dict[str, _Plan] = {}


def _plan_for(descriptor: Descriptor) -> _Plan:
    plan = _plans.get(descriptor.full_name)
    if plan is not None:
        return plan
    plan = _plans[descriptor.full_name] = _Plan(descriptor.name)
    for field in sorted(descriptor.fields, key=lambda field: field.number):
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            raise NotImplementedError(f"{field.full_name}: maps have no JSON codec")
        reader = _field_reader(field)
        if field.containing_oneof is not None:
            reader = _oneof_reader(field, reader)
        plan.readers[field.name] = reader
        plan.readers[field.json_name] = reader
        plan.writers.append(_field_writer(field))
    return plan


# Reading ------------------------------------------------------------------------------------


def _field_reader(field: FieldDescriptor) -> _FieldFromJson:
    """Returns what puts one field's JSON value into a message."""
    name = field.name
    if field.message_type is not None:
        return _message_reader(name, _plan_for(field.message_type), repeated=field.is_repeated)
    convert = _value_reader(field)
    if field.is_repeated:

        def read_repeated(value: Any, message: Any, _depth: int) -> None:
            if type(value) is not list:
                raise JsonError(f"{name} must be an array, not {_kind(value)}")
            getattr(message, name).extend([convert(item) for item in value])

        return read_repeated

    def read(value: Any, message: Any, _depth: int) -> None:
        setattr(message, name, convert(value))

    return read


def _message_reader(name: str, plan: _Plan, *, repeated: bool) -> _FieldFromJson:
    if repeated:

        def read_repeated(value: Any, message: Any, depth: int) -> None:
            if type(value) is not list:
                raise JsonError(f"{name} must be an array, not {_kind(value)}")
            add = getattr(message, name).add
            for item in value:
                plan.from_json(item, add(), depth - 1)

        return read_repeated

    def read(value: Any, message: Any, depth: int) -> None:
        inner = getattr(message, name)
        inner.SetInParent()  # `{}` is a message that is there and empty
        plan.from_json(value, inner, depth - 1)

    return read


def _oneof_reader(field: FieldDescriptor, reader: _FieldFromJson) -> _FieldFromJson:
    """Refuses a second member of the same oneof, of which only one could be kept."""
    oneof = field.containing_oneof.name if field.containing_oneof is not None else ""
    name = field.name

    def read(value: Any, message: Any, depth: int) -> None:
        other = message.WhichOneof(oneof)
        if other is not None and other != name:
            raise JsonError(f"{other} and {name} are both set: only one of them may be")
        reader(value, message, depth)

    return read


def _value_reader(field: FieldDescriptor) -> _FromJson:
    """Returns what turns one JSON value into a scalar."""
    name = field.name
    if field.enum_type is not None:
        return _enum_reader(name, field.enum_type)
    if field.cpp_type in _INTEGERS:
        return _integer_reader(name, *_INTEGERS[field.cpp_type])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes_reader(name)
    expected = {FieldDescriptor.TYPE_STRING: str, FieldDescriptor.TYPE_BOOL: bool}.get(field.type)
    if expected is None:
        raise NotImplementedError(f"{field.full_name}: no JSON codec for fields of type {field.type}")
    described = "a string" if expected is str else "true or false"

    def read(value: Any) -> Any:
        if type(value) is not expected:
            raise JsonError(f"{name} must be {described}, not {_kind(value)}")
        return value

    return read


def _integer_reader(name: str, lowest: int, highest: int) -> _FromJson:
    def read(value: Any) -> int:
        if type(value) is not int:
            value = _parse_integer(name, value)
        if not lowest <= value <= highest:
            raise JsonError(f"{name} is {value}, which is not in {lowest} to {highest}")
        return value  # type: ignore[no-any-return]  # an int by now

    return read


def _parse_integer(name: str, value: Any) -> int:
    """Takes "12", 12.0 and 1e3, as protobuf's mapping does."""
    if type(value) is str and value.isascii():
        digits = value.removeprefix("-")
        if digits.isdigit() and len(digits) <= 20:
            return int(value)
    if type(value) is float and value.is_integer() and abs(value) <= _EXACT_FLOAT:
        return int(value)
    raise JsonError(f"{name} must be an integer, as a number or a string, not {_shown(value)}")


def _enum_reader(name: str, enum: EnumDescriptor) -> _FromJson:
    numbers = {value.name: value.number for value in enum.values}
    lowest, highest = _INTEGERS[FieldDescriptor.CPPTYPE_INT32]

    def read(value: Any) -> int:
        number = numbers.get(value) if type(value) is str else value
        if type(number) is float and number.is_integer():
            number = int(number)
        if type(number) is not int or not lowest <= number <= highest:
            raise JsonError(f"{name} must be one of {', '.join(numbers)} or a number, not {_shown(value)}")
        return number

    return read


def _bytes_reader(name: str) -> _FromJson:
    def read(value: Any) -> bytes:
        if type(value) is not str:
            raise JsonError(f"{name} must be a base64 string, not {_kind(value)}")
        try:
            return a2b_base64(value, strict_mode=True)
        except (Base64Error, ValueError):
            return _lenient_base64(name, value)

    return read


_URL_ALPHABET = str.maketrans("-_", "+/", "\r\n")


def _lenient_base64(name: str, value: str) -> bytes:
    """Takes the URL-safe alphabet, missing padding and line breaks too."""
    text = value.translate(_URL_ALPHABET)
    try:
        return a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (Base64Error, ValueError):
        raise JsonError(f"{name} must be base64, not {_shown(value)}: encode keys and values") from None


# Writing ------------------------------------------------------------------------------------


def _field_writer(field: FieldDescriptor) -> _FieldToJson:
    """Returns what adds one field to a JSON object, unless it is at its default."""
    name = field.name
    convert = _value_writer(field)
    if field.is_repeated:

        def write_repeated(message: Any, out: dict[str, Any]) -> None:
            values = getattr(message, name)
            if values:
                out[name] = [convert(value) for value in values]

        return write_repeated
    if field.has_presence:

        def write_present(message: Any, out: dict[str, Any]) -> None:
            if message.HasField(name):
                out[name] = convert(getattr(message, name))

        return write_present

    def write(message: Any, out: dict[str, Any]) -> None:
        value = getattr(message, name)
        if value:
            out[name] = convert(value)

    return write


def _value_writer(field: FieldDescriptor) -> _ToJson:
    """Returns what turns one value of a field into what orjson can write."""
    if field.message_type is not None:
        return _plan_for(field.message_type).to_json
    if field.enum_type is not None:
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda number: names.get(number, number)
    if field.cpp_type in _WIDE_INTEGERS:
        return str
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _base64
    return _unchanged


def _base64(value: bytes) -> str:
    return b2a_base64(value, newline=False).decode()


def _unchanged(value: Any) -> Any:
    return value


# What errors say ----------------------------------------------------------------------------


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    """Returns a value for an error message, cut to a bearable length."""
    text = repr(value) if not isinstance(value, dict | list) else _kind(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
