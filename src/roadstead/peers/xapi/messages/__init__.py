"""What crosses the wire to a pool, as pure functions: calls and answers (`rpc`), objects (`records`).

Foreign data is read tolerantly: fields that are missing or of another type read as their empty value, unknown ones are
ignored, unknown enumeration values become `UNKNOWN`. XAPI's versions differ in exactly these ways.
"""

from roadstead.peers.xapi.messages.fields import CLASSES, Fields
from roadstead.peers.xapi.messages.records import (
    CANNOT_MONITOR,
    XapiObject,
    addresses,
    announced,
    digest,
    host_fingerprints,
    host_record,
    host_version,
    is_real_vm,
    management_networks,
    message_about_vm,
    pool_record,
    published,
    reference,
    start_time,
    string,
    string_map,
    vm_record,
)
from roadstead.peers.xapi.messages.rpc import (
    BODY_BYTES,
    Answer,
    Event,
    EventBatch,
    Failure,
    decode_answer,
    decode_events,
    decode_listing,
    decode_mentions,
    encode_call,
)

__all__ = [
    "BODY_BYTES",
    "CANNOT_MONITOR",
    "CLASSES",
    "Answer",
    "Event",
    "EventBatch",
    "Failure",
    "Fields",
    "XapiObject",
    "addresses",
    "announced",
    "decode_answer",
    "decode_events",
    "decode_listing",
    "decode_mentions",
    "digest",
    "encode_call",
    "host_fingerprints",
    "host_record",
    "host_version",
    "is_real_vm",
    "management_networks",
    "message_about_vm",
    "pool_record",
    "published",
    "reference",
    "start_time",
    "string",
    "string_map",
    "vm_record",
]
