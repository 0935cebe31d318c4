"""What tells one release of OpenSSH's server from another, as data: a simulated guest can be as old as is asked.

None of these is OpenSSH: asyncssh stands in for it, limited to the algorithms that a release has switched on by default
(``myproposal.h`` of its sources) and to what it says of them. Its other habits are asyncssh's.
"""

from __future__ import annotations

from typing import NamedTuple

_CURVES = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521")
_GROUPS = ("diffie-hellman-group-exchange-sha256",)
_SHA1_GROUPS = ("diffie-hellman-group14-sha1",)
_SHA2_GROUPS = ("diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512", "diffie-hellman-group14-sha256")
_CIPHERS = (
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
)
_MACS = (
    "umac-64-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "umac-64@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
_PLAIN_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256")
_SHA1 = ("ssh-rsa",)
_SHA2 = ("rsa-sha2-256", "rsa-sha2-512")


class Release(NamedTuple):
    """One release."""

    version: str
    """As it stands in the banner; empty for asyncssh's own."""
    exchanges: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...] | None
    signatures: tuple[str, ...] | None
    """Of users' keys; None: whatever asyncssh takes."""
    tells_signatures: bool = True
    """Whether it names these (RFC 8308, ``server-sig-algs``), without which no RSA key signs with SHA-2."""


TODAY = Release("", ("curve25519-sha256", *_CURVES[:2]), ("aes128-gcm@openssh.com",), None, None)
"""The one that costs least: most guests of a lab have it."""
RELEASES: dict[str, Release] = {
    "6.7": Release(
        "OpenSSH_6.7p1",
        (*_CURVES, *_GROUPS, *_SHA1_GROUPS),
        _CIPHERS,
        _MACS,
        (*_PLAIN_KEYS, *_SHA1),
        tells_signatures=False,
    ),
    "7.2": Release(
        "OpenSSH_7.2p2", (*_CURVES, *_GROUPS, *_SHA1_GROUPS), _CIPHERS, _MACS, (*_PLAIN_KEYS, *_SHA2, *_SHA1)
    ),
    "7.4": Release(
        "OpenSSH_7.4p1",
        ("curve25519-sha256", *_CURVES, *_GROUPS, *_SHA2_GROUPS, *_SHA1_GROUPS),
        _CIPHERS,
        _MACS,
        (*_PLAIN_KEYS, *_SHA2, *_SHA1),
    ),
    "7.9": Release(
        "OpenSSH_7.9p1",
        ("curve25519-sha256", *_CURVES, *_GROUPS, *_SHA2_GROUPS, *_SHA1_GROUPS),
        _CIPHERS,
        _MACS,
        (*_PLAIN_KEYS, *_SHA2, *_SHA1),
    ),
}
"""By their number; 6.7 is the first that forwards to sockets, 7.2 the first that knows RSA with SHA-2."""
