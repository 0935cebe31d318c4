"""Whose address it is, the host key decides: trust on first use, and a pin from then on.

asyncssh is told which types of key to negotiate (with a pin: its type only) and asks us about every key that it is
shown, before it signs in. Its own lists of known hosts stay empty, so that there is one judge and not two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import asyncssh

from roadstead.errors import LinkError
from roadstead.kit.text import brief
from roadstead.model import PathStep, config_keys
from roadstead.peers.links.messages import HOST_KEY_ALGORITHMS, encoded, fingerprint, key_type
from roadstead.peers.links.witness import NOBODY, Witness

OfferedKey = asyncssh.SSHKey | asyncssh.SSHKeyPair
"""A key that signs by itself, or one that is signed with elsewhere."""
_SHA2_SIGNATURES = {b"rsa-sha2-256", b"rsa-sha2-512"}


@dataclass(frozen=True, slots=True)
class Pins:
    """What is known about host keys when a guest is called; keys are base64 of their blobs, as in ``other_config``."""

    pin: str | None = None
    """This VM's own; None at first contact."""
    confirmed: str | None = None
    """Another key that an operator said yes to, as `named` (its type may be empty): it is taken as well as `pin`, whose
    else it may be, and no third one.
    """
    owner: Callable[[str], str | None] = lambda _: None
    """The names of the other running VMs for which a key is pinned, None without any."""

    def types(self) -> tuple[str, ...]:
        """Return the types of keys to negotiate. Raises `LinkError` ``setting-invalid`` when the pin is no key."""
        kinds = [kind] if self.confirmed is not None and (kind := self.confirmed.partition(" ")[0]) else []
        if self.pin is not None:
            kinds.append(_pinned_type(self.pin))
        return tuple(dict.fromkeys(kinds)) or tuple(HOST_KEY_ALGORITHMS)

    def judged(self, shown: str) -> LinkError | None:
        """Return why the key ``shown`` is not taken, None when it is."""
        if self._is_confirmed(shown):
            return None
        if self.pin is not None:
            return None if shown == self.pin else self._compared(shown, fingerprint(self.pin))
        if self.confirmed is not None:
            return self._compared(shown, self.confirmed.partition(" ")[2])
        if (others := self.owner(shown)) is None:
            return None
        return LinkError("host-key-shared", type=key_type(shown), shown=fingerprint(shown), others=others)

    def _is_confirmed(self, shown: str) -> bool:
        kind, _, digest = (self.confirmed or "").partition(" ")
        return digest == fingerprint(shown) and kind in {"", key_type(shown)}

    def _compared(self, shown: str, wanted: str) -> LinkError:
        """Return why ``shown``, which is not the key with the fingerprint ``wanted``, is not taken."""
        if (other := self.owner(shown)) is not None:
            # Another VM answers at an address that this one announces too: that says nothing about this one.
            return LinkError("address-of-another", others=other, addresses="")
        return LinkError("host-key-changed", type=key_type(shown), shown=fingerprint(shown), pinned=wanted)


@dataclass(slots=True)
class Refusals:
    """Host keys whose server refused our sign-in in this race: the same guest is not asked again by another address."""

    keys: dict[str, LinkError] = field(default_factory=dict)


class HostKeyJudge(asyncssh.SSHClient):
    """Our side of one sign-in: judges the host key (`fault` says why it was refused), then offers ``keys`` in turn."""

    def __init__(
        self, pins: Pins, refusals: Refusals, keys: Sequence[OfferedKey] = (), witness: Witness = NOBODY
    ) -> None:
        self._pins = pins
        self._refusals = refusals
        self._witness = witness
        self._connection: asyncssh.SSHClientConnection | None = None
        self.keys = tuple(keys)
        self._unoffered = list(keys)
        self.shown = ""
        """The key that the server showed (base64 of its blob)."""
        self.fault: LinkError | None = None
        self.offered = ""
        """Fingerprint of the key of ours that was offered last: after the sign-in, the one that was taken."""

    def public_key_auth_requested(self) -> OfferedKey | None:
        """Return our next key, None when there is no further one; called by asyncssh."""
        if not self._unoffered:
            return None
        key = self._unoffered.pop(0)
        self.offered = fingerprint(encoded(key.public_data))
        return key

    def types(self) -> tuple[str, ...]:
        """Return the types of keys to negotiate; see `Pins.types`."""
        return self._pins.types()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Called by asyncssh."""
        self._connection = conn

    def _version(self) -> str:
        """The server's version line, which it has said by the time that it shows a key; nothing afterwards."""
        connection, self._connection = self._connection, None
        return str(connection.get_extra_info("server_version", "")) if connection is not None else ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Say whether to go on; called by asyncssh before the sign-in."""
        # ``host`` is the address that was called: each connection is made with it.
        self._witness.passed(PathStep.HANDSHAKE, self._version(), host)
        if key.algorithm == b"ssh-rsa":
            # A signature names its algorithm once more; asyncssh would take SHA-1 here whatever was negotiated.
            key.all_sig_algorithms = _SHA2_SIGNATURES
        self.shown = encoded(key.public_data)
        self.fault = self._pins.judged(self.shown) or self._refusals.keys.get(self.shown)
        if self.fault is None:
            self._witness.passed(PathStep.HOST_KEY, named(self.shown), host)
        return self.fault is None


def named(blob: str) -> str:
    """Return how people and consents name a host key: its type and its fingerprint."""
    return f"{key_type(blob)} {fingerprint(blob)}"


def _pinned_type(pin: str) -> str:
    kind = key_type(pin)
    if kind is None:
        raise LinkError("setting-invalid", key=config_keys.HOST_KEY, value=brief(pin), reason="it is no public key")
    if kind not in HOST_KEY_ALGORITHMS:
        raise LinkError("host-key-type-gone", type=kind)
    return kind
