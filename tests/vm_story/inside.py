"""The VM as somebody meets it who signs in by SSH: with the pool's key, with another one, with passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncssh

from tests.vm_story.steps import StoryError

CONNECT_SECONDS, COMMAND_SECONDS = 60.0, 120.0
PENALTY_SECONDS, RETRY_SECONDS = 180.0, 3.0
"""OpenSSH keeps away for a while whoever failed to sign in; how long at most, and how often we ask again."""
ALONE: dict[str, Any] = {
    "config": None,
    "agent_path": None,
    "gss_auth": False,
    "gss_kex": False,
    "known_hosts": None,
    "connect_timeout": CONNECT_SECONDS,
}
"""Nothing of this machine's user takes part. That it is the right host, Roadstead's own link has settled."""


class _Guesser(asyncssh.SSHClient):
    """Somebody who tries passwords."""

    def __init__(self, passwords: Sequence[str]) -> None:
        self._left = list(passwords)

    def password_auth_requested(self) -> str | None:
        return self._left.pop(0) if self._left else None


def typed(address: str, user: str, key: str, command: str) -> str:
    """Return what a command prints in the VM, for who has the private ``key``. Raises `StoryError`."""
    return asyncio.run(_typed(address, user, key, command))


async def _typed(address: str, user: str, key: str, command: str) -> str:
    options: dict[str, Any] = {**ALONE, "client_keys": [asyncssh.import_private_key(key)], "password": None}
    async with asyncssh.connect(address, username=user, **options) as connection:
        done = await connection.run(command, timeout=COMMAND_SECONDS)
    if done.exit_status != 0:
        raise StoryError(f"{command}: {done.stderr!r}")
    return str(done.stdout)


def write_another_key(path: Path) -> None:
    """Write the public half of a key that nobody else has."""
    asyncssh.generate_private_key("ssh-ed25519", comment="another").write_public_key(path)


def opens_with_other_key(address: str, user: str) -> bool:
    """Whether a key opens it that nobody let in."""
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    options: dict[str, Any] = {"client_keys": [stranger], "preferred_auth": ["publickey"]}
    return asyncio.run(_opens(address, user, (), options))


def opens_with_password(address: str, user: str, passwords: Sequence[str]) -> bool:
    """Whether one of these opens it."""
    options: dict[str, Any] = {"client_keys": None, "preferred_auth": ["password", "keyboard-interactive"]}
    return asyncio.run(_opens(address, user, passwords, options))


async def _opens(address: str, user: str, passwords: Sequence[str], options: dict[str, Any]) -> bool:
    """A refusal counts only when it is one of the sign-in: a server that keeps us away is asked again."""
    said = {**ALONE, **options, "username": user, "client_factory": lambda: _Guesser(passwords)}
    async with asyncio.timeout(PENALTY_SECONDS):
        while True:
            try:
                async with asyncssh.connect(address, **said):
                    return True
            except asyncssh.PermissionDenied:
                return False
            except (OSError, asyncssh.Error):
                await asyncio.sleep(RETRY_SECONDS)
