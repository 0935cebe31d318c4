"""The steps of a rotation in the pool: a second key pair is named beside the first, and at the end the first goes.

The pool's ``other_config`` alone says how far it is, and each step can be done again, so a rotation that was broken off
anywhere is gone on with by any instance:

1. ``roadstead-old-private-secret-uuid`` names the same secret as the historic key: that it was added says who begins.
2. The public half's secret is named as the old one, too; a new pair is made, and the historic keys name it.
3. Guests are changed over (`act.rotation`).
4. The old secrets are destroyed, each before the key that names it is removed: nobody has to look for a private key
   that nothing names. What is left nameless all the same (a new pair whose naming failed) `act.leftovers` takes.
"""

from roadstead.act.keys.pair import PoolKeys
from roadstead.act.pool_database.secrets import PoolSecrets
from roadstead.model import PoolId, config_keys
from roadstead.peers.links import keys
from roadstead.peers.xapi.client import XapiClient
from roadstead.plan import secrets

PRIVATE, PUBLIC = config_keys.PRIVATE_KEY_SECRET, config_keys.PUBLIC_KEY_SECRET
FORMER_PRIVATE, FORMER_PUBLIC = config_keys.FORMER_PRIVATE_KEY_SECRET, config_keys.FORMER_PUBLIC_KEY_SECRET


class KeyChange:
    """The rotation of one pool's key. Every call raises `PoolError`, and `LinkError` ``pool-key-missing``."""

    def __init__(self, client: XapiClient, pool: PoolId, pool_keys: PoolKeys) -> None:
        self._client = client
        self._secrets = PoolSecrets(client, pool)
        self._keys = pool_keys

    async def is_begun(self) -> bool:
        """Whether the pool says that a rotation is under way."""
        return FORMER_PRIVATE in await self._secrets.names()

    async def is_broken_off(self) -> bool:
        """Whether somebody began or ended a rotation and has not got to the end of that step, or is just about it."""
        names = await self._secrets.names()
        if FORMER_PRIVATE not in names:
            return False
        return not await self._is_named(names) or await self._secrets.value(names[FORMER_PRIVATE]) is None

    async def begin(self) -> None:
        """Name a second pair, unless that was done; the links offer both from now on."""
        await self._keys.pair()
        names = await self._secrets.names()
        if PRIVATE in names and FORMER_PRIVATE not in names:
            await self._secrets.claim(FORMER_PRIVATE, names[PRIVATE])
        await self.resume()

    async def resume(self) -> None:
        """Go on with a rotation whose beginning, or whose end, was broken off."""
        names = await self._secrets.names()
        if FORMER_PRIVATE not in names:
            return
        if not await self._is_named(names):
            await self._name_new(names)
        elif await self._secrets.value(names[FORMER_PRIVATE]) is None:
            await self.retire()
            return
        await self._name_public()
        await self._kept()

    async def retire(self) -> None:
        """Destroy the old pair."""
        await self._secrets.destroy(FORMER_PRIVATE)
        await self._secrets.destroy(FORMER_PUBLIC)
        await self._kept()

    async def _is_named(self, names: dict[str, str]) -> bool:
        """Whether the historic key names a new pair that can be read."""
        named = names.get(PRIVATE)
        if named is None or named == names[FORMER_PRIVATE]:
            return False
        return secrets.fits(PRIVATE, await self._secrets.value(named) or "")

    async def _name_new(self, names: dict[str, str]) -> None:
        if PUBLIC in names:
            await self._secrets.claim(FORMER_PUBLIC, names[PUBLIC])
        private, _ = await keys.generate_pool_key()
        await self._secrets.put(PRIVATE, private)

    async def _name_public(self) -> None:
        """Let the historic key name the public half of the new pair, whatever it names."""
        self._keys.changed()
        public = (await self._keys.pair()).public
        named = (await self._secrets.names()).get(PUBLIC)
        held = await self._secrets.value(named) if named else None
        if held is None or held.split()[1:2] != public.split()[1:2]:
            await self._secrets.put(PUBLIC, public)

    async def _kept(self) -> None:
        self._keys.changed()
        await self._secrets.keep()
