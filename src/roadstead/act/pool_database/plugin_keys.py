"""What a pool tells its plugin: where it calls, what certificate is shown there, and its token. That goes when the
operator takes it back, and with the pool: a token that nobody knows any more would only be refused.
"""

import hashlib
from collections.abc import Collection
from typing import NamedTuple

from roadstead.act.pool_database.secrets import PoolSecrets
from roadstead.model import PoolId, config_keys
from roadstead.peers.xapi.client import XapiClient


class Told(NamedTuple):
    """What a pool tells its plugin; empty is what it does not tell."""

    url: str
    fingerprint: str
    """SHA-256 of the certificate."""
    token: str | None
    """None where the secret that is named is gone."""


NOTHING = Told("", "", "")


def hashed(token: str) -> str:
    """Return what is kept of a token here: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


async def read(client: XapiClient, pool: PoolId) -> Told:
    """Return what the pool tells its plugin now. Raises `PoolError`."""
    held = PoolSecrets(client, pool)
    named = await held.names()
    uuid = named.get(config_keys.PLUGIN_TOKEN_SECRET, "")
    token = await held.value(uuid) if uuid else ""
    return Told(named.get(config_keys.PLUGIN_URL, ""), named.get(config_keys.PLUGIN_FINGERPRINT, ""), token)


async def tell(client: XapiClient, pool: PoolId, url: str, fingerprint: str, token: str) -> None:
    """Let the pool tell its plugin this, the token last. Raises `PoolError`."""
    held = PoolSecrets(client, pool)
    for key, value in ((config_keys.PLUGIN_URL, url), (config_keys.PLUGIN_FINGERPRINT, fingerprint)):
        await client.set_pool_key(key, value)
    await held.replace(config_keys.PLUGIN_TOKEN_SECRET, token)
    await held.keep()


async def withdraw(client: XapiClient, pool: PoolId) -> None:
    """Let the pool tell its plugin nothing any more. Raises `PoolError`."""
    held = PoolSecrets(client, pool)
    await held.replace(config_keys.PLUGIN_TOKEN_SECRET, None)
    for key in (config_keys.PLUGIN_URL, config_keys.PLUGIN_FINGERPRINT):
        await client.set_pool_key(key, None)
    await held.keep()


async def names_one_of(client: XapiClient, pool: PoolId, hashes: Collection[str]) -> bool:
    """Whether the token that the pool keeps is one of those with these ``hashes``: another server may have given it its
    own since. Raises `PoolError`.
    """
    token = (await read(client, pool)).token
    return token is not None and hashed(token) in hashes
