"""Guests' addresses are free text: the one strict reading of it, so that two spellings can never pass for two hosts."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
_NETWORK = re.compile(r"[0-9A-Fa-f:./]{1,64}")


def parse_address(text: str) -> Address | None:
    """Return the address that ``text`` is, or None: no names, zones or ports; IPv4 mapped into IPv6 is unwrapped."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def canonical(text: str) -> str | None:
    """Return the one spelling of the address that ``text`` is, or None when it is none."""
    address = parse_address(text)
    return None if address is None else str(address)


def parse_network(text: str, *, strict: bool = True) -> IPv4Network | IPv6Network:
    """Return the network that ``text`` is; unless ``strict``, its address may be any within it. Raises ValueError, also
    where it has a zone, which may be any text.
    """
    if not _NETWORK.fullmatch(text):
        raise ValueError(f"{text!r} is no network")
    return ip_network(text, strict=strict)
