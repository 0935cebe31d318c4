"""A pool's objects as our records: what we read of XAPI's pool, host, VM, its metrics, guest metrics and certificate.

A *snapshot*, in the word of XAPI's events, is one object's record as it stands. References are joined by whoever holds
all objects (the pool's watcher): the functions here take what they refer to as arguments.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from roadstead.kit import text
from roadstead.model import Host, HostId, Pool, PoolId, PowerState, Vm, VmId
from roadstead.model.addresses import parse_network
from roadstead.model.config_keys import PUBLISHED_KEYS, TLS_SECRETS, VM_KEYS
from roadstead.peers.xapi.messages.fields import TEXT_BYTES, Digest

XapiObject = Mapping[str, Any]
"""One object's record, whole as XAPI sends it or reduced to `Fields`."""

CANNOT_MONITOR = "Container Management cannot monitor VM"
"""The title that the old pack gave to messages about VMs that it lost; clients show it as it is."""
ADDRESS_BYTES = 64
"""What is kept of one announced address: an IPv6 address has 39 characters, longer ones are none."""
ADDRESSES = 32
"""How many announced addresses of one VM are kept: more than are tried, since rules may bar some."""
TAGS = 256
"""How many tags of one VM are kept."""

NO_UUID = "no uuid"
"""What stands in the place of a value that should be the uuid of a secret, and is not."""

_NULL = "OpaqueRef:NULL"
_NEVER = datetime(1970, 1, 2, tzinfo=UTC)
"""XAPI says 1970 where it means never."""
_ADDRESS_KEY = re.compile(r"([0-9]{1,4})/(?:(ip)|(ipv4|ipv6)/([0-9]{1,4}))", re.ASCII)
_UUID = re.compile(r"[0-9a-f-]{36}", re.ASCII)
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def string(snapshot: XapiObject, field: str) -> str:
    """Return a string field, cut to `TEXT_BYTES`; empty when it is missing or no string."""
    value = snapshot.get(field)
    return text.cut(value, TEXT_BYTES) if isinstance(value, str) else ""


def string_map(snapshot: XapiObject, field: str) -> dict[str, str]:
    """Return a map field with those of its entries that are strings, uncut; empty when it is missing."""
    value = snapshot.get(field)
    if not isinstance(value, dict):
        return {}
    return {key: member for key, member in value.items() if isinstance(member, str)}


def reference(snapshot: XapiObject, field: str) -> str | None:
    """Return a reference field, or None when it is missing or refers to nothing."""
    value = snapshot.get(field)
    return value if isinstance(value, str) and value not in {"", _NULL} else None


def pool_record(
    snapshot: XapiObject, *, url: str, master: HostId | None, version: str, fallback_name: str, as_of: datetime
) -> Pool:
    """Return the pool; ``fallback_name`` (its master's) stands in for a name that nobody gave it."""
    name = string(snapshot, "name_label") or fallback_name
    return Pool(
        id=PoolId(string(snapshot, "uuid")), name=name, url=url, master=master, version=version, live=True, as_of=as_of
    )


def host_record(snapshot: XapiObject, *, pool: PoolId, as_of: datetime) -> Host:
    """Return the host."""
    return Host(
        id=HostId(string(snapshot, "uuid")),
        pool=pool,
        name=string(snapshot, "name_label") or string(snapshot, "hostname"),
        address=string(snapshot, "address"),
        enabled=snapshot.get("enabled") is not False,
        as_of=as_of,
    )


def management_networks(pif: XapiObject) -> list[IPv4Network | IPv6Network]:
    """Return the networks in which a host's interface (XAPI ``PIF``) is, when that one is for management: of ``IP`` and
    ``netmask``, and of each of ``IPv6`` (``address/length``). What makes no sense, and link-local ones, are left out.
    """
    if pif.get("management") is not True:
        return []
    texts, more = [f"{string(pif, 'IP')}/{string(pif, 'netmask') or '32'}"], pif.get("IPv6")
    texts += [one for one in more if isinstance(one, str)][:ADDRESSES] if isinstance(more, list) else []
    return [network for text in texts if (network := _network(text)) is not None and not network.is_link_local]


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return parse_network(text, strict=False)
    except ValueError:
        return None


def host_version(snapshot: XapiObject) -> str:
    """Return product and version of a host as people say them (``XCP-ng 8.3.0``), or xapi's own version."""
    software = string_map(snapshot, "software_version")
    product = " ".join(filter(None, (software.get("product_brand"), software.get("product_version"))))
    return text.cut(product or f"xapi {software.get('xapi_build', '')}".strip(), TEXT_BYTES)


def is_real_vm(snapshot: XapiObject) -> bool:
    """Whether a VM object is a VM that people mean: no template, no snapshot (a template, too), no control domain."""
    return not any(snapshot.get(field) is True for field in ("is_a_template", "is_a_snapshot", "is_control_domain"))


def vm_record(snapshot: XapiObject, *, pool: PoolId, as_of: datetime) -> Vm:
    """Return what the VM's own object says; its host, its `addresses` and its `start_time` stand in others."""
    return Vm(
        id=VmId(string(snapshot, "uuid")),
        pool=pool,
        name=string(snapshot, "name_label"),
        power=_power(snapshot),
        tags=_tags(snapshot),
        settings=_settings(snapshot),
        as_of=as_of,
    )


def published(snapshot: XapiObject) -> dict[str, str]:
    """Return the `digest` of each value that the VM publishes: the values are long, and only compared."""
    config = string_map(snapshot, "other_config")
    return {key: digest(config[key]) for key in PUBLISHED_KEYS if key in config}


def digest(value: str) -> str:
    """Return what tells one published value from another."""
    return Digest.of(value)


def message_about_vm(message: XapiObject, title: str) -> tuple[VmId, str] | None:
    """Return the VM that a message called ``title`` is about, and its body; None for any other message."""
    if string(message, "name") != title or string(message, "cls") != "VM":
        return None
    return VmId(string(message, "obj_uuid")), string(message, "body")


def addresses(guest_metrics: XapiObject) -> tuple[str, ...]:
    """Return what the guest tools announce in ``networks``: IPv4, then IPv6, each in the order of the VIFs' devices.

    Keys are ``<device>/ip`` (repeats the first IPv4) and ``<device>/ipv4/<n>``, ``<device>/ipv6/<n>``; the values are
    free text of the guest, of which only length and number are bounded here.
    """
    announced = string_map(guest_metrics, "networks")
    found = sorted(_placed(announced))
    unique = dict.fromkeys(value for *_, value in found)
    return tuple(unique)[:ADDRESSES]


def announced(guest_metrics: XapiObject) -> tuple[str, ...] | None:
    """Return the `addresses`; None when nothing is announced because no guest tools have said anything since the VM
    was started. ``PV_drivers_detected`` tells less: a guest's kernel has such drivers without any tools.
    """
    told = (string_map(guest_metrics, field) for field in ("networks", "os_version", "PV_drivers_version", "other"))
    return addresses(guest_metrics) if any(told) else None


def start_time(metrics: XapiObject) -> datetime | None:
    """Return when the VM of these VM metrics was started last, or None when it never was or nobody noted it."""
    try:
        moment = datetime.fromisoformat(string(metrics, "start_time"))
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment if moment > _NEVER else None


def host_fingerprints(certificates: Mapping[str, XapiObject], hosts: Mapping[str, XapiObject]) -> dict[str, str]:
    """Return the SHA-256 fingerprint (hexadecimal, lower case) of each host's server certificate, by host address.

    ``certificates`` and ``hosts`` are all objects of their class by reference. A certificate of ``type`` ``host`` is
    what the host shows its clients; servers that know no types have no others.
    """
    found = {}
    for certificate in certificates.values():
        host = hosts.get(reference(certificate, "host") or "")
        address = string(host, "address") if host is not None else ""
        digest = _fingerprint(certificate)
        if address and digest and certificate.get("type", "host") == "host":
            found[address] = digest
    return found


def _fingerprint(certificate: XapiObject) -> str:
    for field in ("fingerprint_sha256", "fingerprint"):
        digest = string(certificate, field).replace(":", "").lower()
        if _FINGERPRINT.fullmatch(digest):
            return digest
    return ""


def _power(snapshot: XapiObject) -> PowerState:
    try:
        return PowerState(string(snapshot, "power_state"))
    except ValueError:
        return PowerState.UNKNOWN


def _tags(snapshot: XapiObject) -> tuple[str, ...]:
    tags = snapshot.get("tags")
    if not isinstance(tags, list):
        return ()
    return tuple(text.cut(tag, TEXT_BYTES) for tag in tags[:TAGS] if isinstance(tag, str))


def _settings(snapshot: XapiObject) -> dict[str, str]:
    config = string_map(snapshot, "other_config")
    return {key: _setting(key, config[key]) for key in VM_KEYS if key in config}


def _setting(key: str, value: str) -> str:
    """Return what is kept of a value. People paste a private key where the uuid of its secret belongs: that is kept
    nowhere, and so shown to nobody.
    """
    if key in TLS_SECRETS and value and not _UUID.fullmatch(value):
        return NO_UUID
    return text.cut(value, TEXT_BYTES)


def _placed(announced: Mapping[str, str]) -> Iterator[tuple[bool, int, int, str]]:
    """Yield each announced address after its place: IPv6 or not, device, index."""
    for key, value in announced.items():
        match = _ADDRESS_KEY.fullmatch(key)
        if match is None or not value or len(value) > ADDRESS_BYTES:
            continue
        device, plain, family, index = match.groups()
        is_ipv6 = family == "ipv6" or (plain is not None and ":" in value)
        yield is_ipv6, int(device), -1 if plain else int(index), value
