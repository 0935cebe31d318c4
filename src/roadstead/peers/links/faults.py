"""What goes wrong on the way to a guest, as our errors: made here, at the border, and weighed against each other."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import asyncssh

from roadstead.errors import LinkError
from roadstead.model import config_keys
from roadstead.peers.links.messages import HOST_KEY_ALGORITHMS, Overheard

CONNECTING = "connecting"
GREETING = "waiting for the SSH server's greeting"
SIGNING_IN = "signing in"
SHA1_ONLY = "it takes RSA keys with SHA-1 signatures only, as OpenSSH did before 7.2"
TRIES_SPENT = "Too many authentication failures"
"""What OpenSSH disconnects with where more keys were offered than it lets fail (``MaxAuthTries``)."""
SHAKING_HANDS = "shaking hands for TLS"


class Server(NamedTuple):
    """What listens for us in a guest: its name, and the key of the VM that says at which port."""

    name: str
    key: str


SSH = Server("the SSH server", config_keys.SSH_PORT)
ENGINE = Server("the engine with TLS", config_keys.TLS_PORT)

_RANK = (
    "key-rejected",
    "ssh-refuses-us",
    f"timed-out {SIGNING_IN}",
    f"timed-out {GREETING}",
    "host-key-type-gone",
    "host-key-changed",
    "host-key-shared",
    "ssh-failed",
    "tls-client-rejected",
    "tls-floods",
    "tls-expired",
    "tls-wrong-address",
    "tls-handshake-failed",
    "plain-http-engine",
    f"timed-out {SHAKING_HANDS}",
    "tls-untrusted",
    "refused",
    f"timed-out {CONNECTING}",
    "address-of-another",
    "unreachable",
)
"""Of several addresses' failures the one that says most about the guest. A guest that answered but did not show its
host key may be the right one, so it goes before what another answer's wrong key says. A certificate of the VM's own CA
is the guest's, so what is wrong with it goes before what another machine shows."""


_REASONS = {
    "refused": "it refuses connections to port {port}",
    "timed-out": "it did not answer in time while {step}",
    "unreachable": "{reason}",
    "ssh-refuses-us": "it closed the connection before it introduced itself",
    "ssh-failed": "{reason}",
    "link-lost": "the connection was lost before the work was done",
}
"""Failures in words about any far end, a VM or a host."""


def reason(error: LinkError) -> str:
    """Return why a far end could not be worked with, as the part of a sentence that says "…: it refuses…"."""
    said = _REASONS.get(error.code)
    return said.format_map(error.fields) if said is not None else error.clause


def dial_fault(error: OSError, address: str, port: int, server: Server) -> LinkError:
    """Return the error for an address where ``server`` could not be connected to."""
    if isinstance(error, TimeoutError):
        return timed_out(CONNECTING, address)
    if isinstance(error, ConnectionRefusedError):
        return LinkError("refused", addresses=address, port=port, server=server.name, key=server.key)
    return unreachable(error, address)


def unreachable(error: OSError, address: str) -> LinkError:
    """Return the error for an address that this machine could not use, in the system's words."""
    reason = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    return LinkError("unreachable", addresses=address, reason=reason)


def timed_out(step: str, address: str) -> LinkError:
    """Return the error for an address that did not answer in time while we did ``step``."""
    return LinkError("timed-out", addresses=address, step=step)


def login_fault(
    error: Exception, overheard: Overheard, wanted: Sequence[str], user: str, *, offered: bool = True
) -> LinkError:
    """Return the error for a handshake or sign-in that failed with ``error``.

    ``wanted`` are the types of host keys that we would have taken: one when there is a pin. ``offered`` tells whether
    our key was offered at all: a pool's key is an RSA key, and it signs with SHA-2 or not at all.
    """
    if isinstance(error, asyncssh.PermissionDenied):
        return LinkError("key-rejected", user=user) if offered else LinkError("ssh-failed", reason=SHA1_ONLY)
    if not overheard.banner:
        is_stranger = overheard.received > 0 and not overheard.turned_away
        return LinkError("ssh-failed", reason="it speaks no SSH") if is_stranger else LinkError("ssh-refuses-us")
    if overheard.offered and not _common(overheard.offered, wanted):
        if len(wanted) == 1 and not _sha1_only(overheard.offered, wanted):
            return LinkError("host-key-type-gone", type=wanted[0])
        return LinkError("ssh-failed", reason="it offers no host key with today's signatures")
    if isinstance(error, asyncssh.DisconnectError) and not isinstance(error, asyncssh.ConnectionLost):
        return LinkError("ssh-failed", reason=error.reason)
    return LinkError("ssh-failed", reason="the connection was closed during the handshake")


def _common(offered: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(name in offered for kind in wanted for name in HOST_KEY_ALGORITHMS.get(kind, ()))


def _sha1_only(offered: Sequence[str], wanted: Sequence[str]) -> bool:
    """A server older than OpenSSH 7.2 still has its RSA key, but signs with SHA-1 only."""
    return "ssh-rsa" in wanted and "ssh-rsa" in offered


def verdict(failures: Sequence[tuple[str, LinkError]]) -> LinkError:
    """Return the one error that tells best why none of several addresses led to the guest."""
    worst = min((error for _, error in failures), key=_rank)
    same = [address for address, error in failures if _rank(error) == _rank(worst)]
    fields = {**worst.fields, "addresses": ", ".join(same)} if "addresses" in worst.fields else worst.fields
    told = LinkError(worst.code, **fields)
    told.__cause__ = worst.__cause__
    return told


def _rank(error: LinkError) -> int:
    """What has no rank says least: it never stands before what is known to say something."""
    name = f"{error.code} {error.fields.get('step')}" if error.code == "timed-out" else error.code
    return _RANK.index(name) if name in _RANK else len(_RANK)
