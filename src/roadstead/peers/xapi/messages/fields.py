"""Which fields of a pool's objects are read at all.

XAPI sends whole records (a VM has 92 fields, 2.5 KiB) with every event. What does not stand here is skipped by the
decoder: ten times less time and a fraction of the memory for a listing of 10,000 VMs. Every field may be missing and of
any type, as in other versions.

Of what is published of a VM, which may be hundreds of kilobytes of any letters, only a `Digest` is kept in its place:
each ``other_config`` is reduced as soon as it is decoded, before the next one is. All its other keys stay: who judges
whether a secret may be read must see everything that names one.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypedDict

from roadstead.model.config_keys import PUBLISHED_KEYS

TEXT_BYTES = 4096
"""What is kept of a name, a tag or a key's value."""

CLASSES = {
    "certificate": "Certificate",
    "host": "host",
    "message": "message",
    "pif": "PIF",
    "pool": "pool",
    "secret": "secret",
    "vm": "VM",
    "vm_guest_metrics": "VM_guest_metrics",
    "vm_metrics": "VM_metrics",
}
"""The classes that we read: as events spell them, and as calls spell them."""


class Digest(str):
    """What tells one published value from another; it stands in the value's place."""

    __slots__ = ()

    @classmethod
    def of(cls, value: str) -> "Digest":
        """Return the digest of a value, or what is one already."""
        return (
            value
            if isinstance(value, cls)
            else cls(blake2b(value.encode("utf-8", "replace"), digest_size=12).hexdigest())
        )


class Config(dict[str, str]):
    """What is kept of an ``other_config``."""


def config(kind: type, value: Any) -> Config:
    """Return what is kept of an ``other_config`` as it was sent; called by msgspec for each."""
    if kind is not Config:
        raise NotImplementedError(kind)
    sent: Mapping[str, Any] = value if isinstance(value, dict) else {}
    return Config({key: _kept(key, member) for key, member in sent.items() if isinstance(member, str)})


def _kept(key: str, value: str) -> str:
    return Digest.of(value) if key in PUBLISHED_KEYS else value


class _Common(TypedDict, total=False):
    uuid: Any
    name_label: Any
    other_config: Config


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
    os_version: Any
    PV_drivers_version: Any
    other: Any


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


class _Pif(TypedDict, total=False):
    management: Any
    IP: Any
    netmask: Any
    IPv6: Any


class Fields(_Common, _Pool, _Host, _Vm, _GuestMetrics, _Metrics, _Certificate, _Message, _Pif, total=False):
    """What is kept of an object of any class."""
