"""Which fields of a pool's objects are read at all.

XAPI sends whole records (a VM has 92 fields, 2.5 KiB) with every event. What does not stand here is skipped by the
decoder: ten times less time and a fraction of the memory for a listing of 10,000 VMs. Every field may be missing and of
any type, as in other versions.
"""

from typing import Any, TypedDict

CLASSES = {
    "certificate": "Certificate",
    "host": "host",
    "message": "message",
    "pool": "pool",
    "secret": "secret",
    "vm": "VM",
    "vm_guest_metrics": "VM_guest_metrics",
    "vm_metrics": "VM_metrics",
}
"""The classes that we read: as events spell them, and as calls spell them."""


class _Common(TypedDict, total=False):
    uuid: Any
    name_label: Any
    other_config: Any


class _Pool(TypedDict, total=False):
    master: Any


class _Host(TypedDict, total=False):
    address: Any
    hostname: Any
    enabled: Any
    software_version: Any


class _Vm(TypedDict, total=False):
    power_state: Any
    is_a_template: Any
    is_a_snapshot: Any
    is_control_domain: Any
    resident_on: Any
    guest_metrics: Any
    metrics: Any
    tags: Any


class _GuestMetrics(TypedDict, total=False):
    networks: Any


class _Metrics(TypedDict, total=False):
    start_time: Any


class _Certificate(TypedDict, total=False):
    type: Any
    host: Any
    fingerprint: Any
    fingerprint_sha256: Any


class _Message(TypedDict, total=False):
    name: Any
    cls: Any
    obj_uuid: Any
    body: Any


class Fields(_Common, _Pool, _Host, _Vm, _GuestMetrics, _Metrics, _Certificate, _Message, total=False):
    """What is kept of an object of any class."""
