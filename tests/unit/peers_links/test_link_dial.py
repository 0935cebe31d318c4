"""What this machine itself refuses when a guest is called."""

import errno
import os
import socket

import pytest

from roadstead.errors import LinkError
from roadstead.kit.gates import Gate
from roadstead.peers.links.dialing import Gates
from roadstead.peers.links.ssh import SshTarget, open_ssh
from roadstead.settings.schema import LinkSettings


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EAFNOSUPPORT, "address family not supported by protocol"),
        (errno.EMFILE, "too many open files"),
    ],
)
async def test_a_socket_that_is_not_to_be_had_is_the_links_failure(
    monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    """When the system gives no socket (no IPv6, too many files), the guest is unreachable for that reason."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    target = SshTarget("root", 22, ("2001:db8::1", "192.0.2.1"), "/run/engine.sock")
    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(LinkError) as caught:
        await open_ssh(target, [], settings=LinkSettings(), gates=Gates(Gate(1), Gate(1)))

    assert caught.value.code == "unreachable"
    assert caught.value.fields == {"addresses": "2001:db8::1, 192.0.2.1", "reason": reason}
