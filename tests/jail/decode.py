"""Decodes what Coder's workspace agent would read from its socket, by Google's own implementation of protocol
buffers: frames on standard input, a JSON object for each on standard output."""

import json
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, timestamp_pb2

try:
    from google.protobuf.message_factory import GetMessageClass
except ImportError:
    from google.protobuf.message_factory import MessageFactory

    GetMessageClass = MessageFactory().GetPrototype

MESSAGES = {
    "Http": [(1, "method", "string"), (2, "url", "string"), (3, "matched_rule", "string")],
    "Log": [(1, "allowed", "bool"), (2, "time", ".google.protobuf.Timestamp"), (3, "http_request", ".t.Http"),
            (4, "sequence_number", "int32")],
    "Logs": [(1, "logs", "*.t.Log"), (2, "session_id", "string"), (3, "confined_process_name", "string")],
    "Status": [(1, "dropped_channel_full", "int64"), (2, "dropped_batch_full", "int64")],
    "Message": [(1, "logs", ".t.Logs"), (2, "status", ".t.Status")],
}

Field = descriptor_pb2.FieldDescriptorProto
file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
file.dependency.append("google/protobuf/timestamp.proto")
for name, fields in MESSAGES.items():
    message = file.message_type.add(name=name)
    for number, field, kind in fields:
        label = Field.LABEL_REPEATED if kind.startswith("*") else Field.LABEL_OPTIONAL
        made = message.field.add(name=field, number=number, label=label)
        if "." in kind:
            made.type, made.type_name = Field.TYPE_MESSAGE, kind.lstrip("*")
        else:
            made.type = getattr(Field, "TYPE_" + kind.upper())
pool = descriptor_pool.DescriptorPool()
pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
pool.AddSerializedFile(file.SerializeToString())
Message = GetMessageClass(pool.FindMessageTypeByName("t.Message"))

while head := sys.stdin.buffer.read(4):
    (head,) = struct.unpack(">I", head)
    tag, length = head >> 24, head & 0xFFFFFF
    assert tag == 2 and length <= 32768, (tag, length)
    body = sys.stdin.buffer.read(length)
    assert len(body) == length, "cut short"
    message = Message.FromString(body)
    assert message.SerializeToString(deterministic=True) == body, "fields that the format hasn't"
    print(json_format.MessageToJson(message, indent=None, preserving_proto_field_name=True))
