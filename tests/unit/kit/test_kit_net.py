"""Which addresses are this machine's own."""

import errno
import os
import socket

import pytest

from roadstead.kit.net import is_own, source_towards


@pytest.mark.parametrize("address", ["127.0.0.1", "127.88.0.1", "0.0.0.0", "::1", "::"])
def test_what_can_be_bound_is_our_own(address: str) -> None:
    """The loopback network and the unspecified addresses lead to this machine."""
    assert is_own(address)


@pytest.mark.parametrize("address", ["192.0.2.1", "198.51.100.7", "2001:db8::1", "fe80::1"])
def test_others_are_not(address: str) -> None:
    """Addresses that belong to no interface of this machine are not ours."""
    assert not is_own(address)


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EMFILE], ids=["no IPv6", "too many files"])
def test_without_a_socket_nothing_is_our_own(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where the system gives no socket to try with, the answer is no, not an error."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", refuse)

    assert not is_own("::1")


def test_the_way_to_an_address_names_our_own() -> None:
    """What we call ourselves from is an address of ours; where no way leads there is none."""
    assert source_towards("127.0.0.1") == "127.0.0.1"
    with pytest.raises(OSError, match=r"denied|unreachable"):
        source_towards("255.255.255.255")
