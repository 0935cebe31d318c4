"""What a pool tells its plugin: where it calls, what certificate is shown there, and its token. That goes when the
operator takes it back, and with the pool: a token that nobody knows any more would only be refused.
"""

import hashlib
from collections.abc import Collection

from roadstead.act.pool_database.secrets import PoolSecrets
from roadstead.model import PoolId, config_keys
from roadstead.peers.xapi.client import XapiClient


def hashed(token: str) -> str:
    """Return what is kept of a token here: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


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
    held = PoolSecrets(client, pool)
    uuid = (await held.names()).get(config_keys.PLUGIN_TOKEN_SECRET, "")
    token = await held.value(uuid) if uuid else None
    return token is not None and hashed(token) in hashes
