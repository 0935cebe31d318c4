"""Addresses and networks are free text of others: read strictly, in one spelling."""

import pytest

from roadstead.model.addresses import parse_network


@pytest.mark.parametrize(
    "text",
    ['fe80::1%x",environment="A=b', "fe80::1%eth0", "fe80::%a/64", "10.0.0.0/8\n", "\uff110.0.0.0/8", "", "10.0.0.1/8"],
)
def test_what_is_more_than_a_network_is_none(text: str) -> None:
    """A zone of IPv6 may be any text."""
    with pytest.raises(ValueError, match=r"no network|host bits"):
        parse_network(text)


def test_networks_are_read() -> None:
    """Of both versions; the address may be any within it where that is said."""
    assert str(parse_network("fd00::/8")) == "fd00::/8"
    assert str(parse_network("10.0.0.1/8", strict=False)) == "10.0.0.0/8"
