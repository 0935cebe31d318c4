"""What is read of a pool's disks, devices and storage, and of a VM as far as its disks go."""

from msgspec import Struct

from roadstead.peers.xapi.messages.records import XapiObject, reference, string, string_map

SYSTEM_CHARACTERS = 200
_DIGITS = 20
"""Of 64 bits."""


class Machine(Struct, frozen=True, kw_only=True):
    """A VM, a template, or something that only looks like one."""

    ref: str
    uuid: str
    name: str
    power: str
    is_template: bool
    is_snapshot: bool
    is_control_domain: bool
    devices: tuple[str, ...]
    cards: tuple[str, ...]
    guest_metrics: str | None = None


class Storage(Struct, frozen=True, kw_only=True):
    """A storage repository; ``host`` is the address of a host that sees it (empty: the master), None if none does."""

    ref: str
    name: str
    is_for_cds: bool
    host: str | None


class Disk(Struct, frozen=True, kw_only=True):
    """A VDI; ``devices`` are the VBDs that show it to VMs."""

    ref: str
    uuid: str
    name: str = ""
    storage: str
    size: int
    marks: dict[str, str]
    devices: tuple[str, ...]


class Device(Struct, frozen=True, kw_only=True):
    """A VBD with the disk that it shows; an empty drive shows none."""

    ref: str
    is_attached: bool
    is_drive: bool
    is_cd_drive: bool = False
    marks: dict[str, str]
    disk: Disk | None


def machine_record(ref: str, record: XapiObject) -> Machine:
    """Return what a VM's record says."""
    return Machine(
        ref=ref,
        uuid=string(record, "uuid"),
        name=string(record, "name_label"),
        power=string(record, "power_state"),
        is_template=record.get("is_a_template") is True,
        is_snapshot=record.get("is_a_snapshot") is True,
        is_control_domain=record.get("is_control_domain") is True,
        devices=references(record, "VBDs"),
        cards=references(record, "VIFs"),
        guest_metrics=reference(record, "guest_metrics"),
    )


def system_name(metrics: XapiObject) -> str:
    """Return what the guest tools say that runs in a VM: ``os_version`` of its guest metrics has a ``name`` (that of
    Windows goes on with folders behind ``|``) and, of Linux, a ``distro``.
    """
    told = string_map(metrics, "os_version")
    words = (told.get("name", "").partition("|")[0], told.get("distro", ""))
    return " ".join(word for word in words if word)[:SYSTEM_CHARACTERS]


def storage_record(ref: str, record: XapiObject, *, host: str | None) -> Storage:
    """Return what an SR's record says; ``host`` is that of `Storage`."""
    is_for_cds = string(record, "content_type") == "iso" or string(record, "type") == "udev"
    return Storage(ref=ref, name=string(record, "name_label"), is_for_cds=is_for_cds, host=host)


def device_record(ref: str, record: XapiObject, *, disk: Disk | None) -> Device:
    """Return what a VBD's record says; ``disk`` is what it shows."""
    return Device(
        ref=ref,
        is_attached=record.get("currently_attached") is True,
        is_drive=string(record, "type") != "Disk",
        is_cd_drive=string(record, "type") == "CD",
        marks=string_map(record, "other_config"),
        disk=disk,
    )


def disk_record(ref: str, record: XapiObject) -> Disk:
    """Return what a VDI's record says."""
    return Disk(
        ref=ref,
        uuid=string(record, "uuid"),
        name=string(record, "name_label"),
        storage=reference(record, "SR") or "",
        size=_size(record.get("virtual_size")),
        marks=string_map(record, "other_config"),
        devices=references(record, "VBDs"),
    )


def _size(value: object) -> int:
    """A number, or the text of one; 0 for anything else."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= _DIGITS:
        return int(value)
    return value if isinstance(value, int) else 0


def references(record: XapiObject, field: str) -> tuple[str, ...]:
    """Return a field that is a set of references."""
    found = record.get(field)
    return tuple(ref for ref in found if isinstance(ref, str)) if isinstance(found, list) else ()
