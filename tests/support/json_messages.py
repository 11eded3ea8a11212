"""Messages as etcd's JSON gateway writes them, read strictly, and as clients may spell them."""

import base64
import json
from http import HTTPStatus

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from miniraft.api.gateway_errors import HTTP_STATUS
from miniraft.errors import Code


def read_message(value, message_type):
    """Returns the message in a JSON text (or in what was read from one).

    There is one way to write it: field names as in the .proto files, integers of 64 bits as
    strings, bytes in base64, enums by name, and nothing that has its default.
    """
    value = json.loads(value) if isinstance(value, str | bytes) else value
    message = json_format.ParseDict(value, message_type())
    assert value == json_format.MessageToDict(message, preserving_proto_field_name=True)
    return message


def read_stream_fault(line):
    """Returns code and message of a stream's last line, `{"error":{...}}`."""
    (error,) = line.values()
    code, message = error.pop("code"), error.pop("message")
    status = HTTP_STATUS[Code(code)]
    as_before_etcd_3_6 = {
        "grpc_code": code,
        "http_code": status,
        "http_status": HTTPStatus(status).phrase if status != 499 else "",
        "details": [],
    }
    assert error in ({}, as_before_etcd_3_6)  # ours serve both kinds of client
    return code, message


def spelled(message):
    """Returns the JSON of a message as etcd itself would write it."""
    return json_format.MessageToJson(message, preserving_proto_field_name=True)


def spelled_otherwise(message):
    """Returns the JSON of a message in lowerCamelCase, with numbers for integers and enums."""
    return json.dumps(_spelled_otherwise(message))


def _spelled_otherwise(message):
    spelled = {}
    for field, value in message.ListFields():
        values = list(value) if field.is_repeated else [value]
        if field.message_type is not None:
            values = [_spelled_otherwise(each) for each in values]
        elif field.type == FieldDescriptor.TYPE_BYTES:
            values = [base64.b64encode(each).decode() for each in values]
        spelled[field.json_name] = values if field.is_repeated else values[0]
    return spelled
