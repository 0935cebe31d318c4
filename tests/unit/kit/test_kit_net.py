"""Which addresses are this machine's own."""

import pytest

from roadstead.kit.net import is_own


@pytest.mark.parametrize("address", ["127.0.0.1", "127.88.0.1", "0.0.0.0", "::1", "::"])
def test_what_can_be_bound_is_our_own(address: str) -> None:
    """The loopback network and the unspecified addresses lead to this machine."""
    assert is_own(address)


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.7", "2001:db8::1", "fe80::1"])
def test_others_are_not(address: str) -> None:
    """Addresses that belong to no interface of this machine are not ours."""
    assert not is_own(address)
