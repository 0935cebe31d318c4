"""What the lab's pool needs of a guest, so that simulated and real guests can take each other's place.

The pool decides when a guest boots, stops and is destroyed; a guest maker decides what a guest is made of.  Both
sides know each other only by the two protocols of this module.
"""

from __future__ import annotations

from typing import Protocol

from roadstead.lab.guests.certificates import TlsKeys


class Guest(Protocol):
    """The inside of one VM: an SSH server with an engine behind it."""

    @property
    def name(self) -> str:
        """The VM's name at the time it was made."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the guest tools announce while it runs, one address for each VIF, in their order."""

    @property
    def port(self) -> int:
        """The port of its SSH server, or of its engine where that is reached over TLS."""

    @property
    def user(self) -> str:
        """The account that may reach the engine."""

    @property
    def tls(self) -> TlsKeys | None:
        """What reaches its engine over TLS; None where an SSH server leads to it."""

    @property
    def door(self) -> tuple[str, ...]:
        """The words that, before a command, run it inside while the guest is on; empty where there is no inside."""

    async def start(self) -> None:
        """Boot: when it returns, the SSH server and the engine answer.  Nothing happens when it runs already."""

    async def stop(self) -> None:
        """Power off: afterwards nothing answers at its addresses.  Containers and host keys are kept."""

    async def destroy(self) -> None:
        """Stop it and remove all that it kept."""

    async def new_host_key(self) -> None:
        """Give it another SSH host key, as a reinstalled guest would have, and end the connections that it has."""

    async def pin(self) -> str:
        """Its ed25519 host key as pools hold it: base64, without the name of its type."""

    async def admit(self, public_key: str) -> None:
        """Let the owner of this key in, too, as somebody does who appends it to `authorized_keys` in the guest."""

    async def make_raw(self, password: str) -> None:
        """Let it be as nobody has prepared it: no key opens it, and its user signs in with ``password``. Raises
        `ConflictError` ``lab-guest-without-inside`` where there is nothing to prepare.
        """

    async def truth(self) -> list[dict[str, object]]:
        """Its containers as it knows them itself: `id` (64 digits), `name` and `state` of each."""


class GuestMaker(Protocol):
    """Makes guests of one kind and owns what they share."""

    async def networks(self) -> tuple[str, ...]:
        """The networks of its guests in CIDR notation, as `roadstead pool add --admit` takes them."""

    async def make(self, name: str, number: int, containers: int) -> Guest:
        """The guest `number` (from 1; the same number gives the same guest after a restart of the lab), not started."""

    async def authorize(self, public_keys: tuple[str, ...]) -> None:
        """Let the owners of these keys (lines `ssh-rsa AAAA… comment`) in to every guest, and nobody else."""

    async def set_rate(self, events_per_second: float) -> None:
        """How many changes a second its containers make by themselves, all guests together."""

    async def close(self) -> None:
        """Stop every guest and release what they share; what they kept stays for the next start."""
