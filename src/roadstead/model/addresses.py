"""Guests' addresses are free text: the one strict reading of it, so that two spellings can never pass for two hosts."""

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


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
