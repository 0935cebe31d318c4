"""The pool's SSH key pair: found in the pool's secret store, or made there on first need.

It is one 4096-bit RSA pair for the whole pool, under the historic keys, so that the old pack and other instances use
the same. Loading an RSA-4096 private key costs a quarter of a second of CPU, so it happens once, off the loop.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import structlog

from roadstead.act.pool_database.secrets import PoolSecrets
from roadstead.artifacts.authorized_keys import is_public_key
from roadstead.errors import LinkError, PoolError
from roadstead.model import PoolId, config_keys
from roadstead.peers.links import keys, messages
from roadstead.peers.links.keys import PoolKey
from roadstead.peers.xapi.client import XapiClient

log = structlog.get_logger()

REREAD_SECONDS = 10.0
"""How old our knowledge must be to be doubted: a thousand guests that refuse the key cost one reading."""


@dataclass(frozen=True)
class KeyPair:
    """The pool's pair: what opens guests (``private``, during a rotation the former one after it), and its public half
    as one line of OpenSSH's; ``former`` is that of the pair that is being replaced, empty when none is.
    """

    private: tuple[PoolKey, ...]
    public: str
    former: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """The public half's SHA-256 fingerprint in OpenSSH's form, ``SHA256:…``."""
        return _fingerprint(self.public)

    @cached_property
    def former_fingerprint(self) -> str:
        """The same of the pair that is being replaced; empty when none is."""
        return _fingerprint(self.former) if self.former else ""

    def refused(self, taken: str) -> tuple[str, ...]:
        """The fingerprints of the keys that a guest refused which then took the one of the fingerprint ``taken``."""
        return (self.fingerprint,) if self.former and taken == self.former_fingerprint else ()


class PoolKeys:
    """Reads, makes and remembers the key pair of one pool."""

    def __init__(self, client: XapiClient, pool: PoolId) -> None:
        self._pool = pool
        self._secrets = PoolSecrets(client, pool)
        self._pair: KeyPair | None = None
        self._is_doubted = False
        self._read_at = 0.0
        self._lock = asyncio.Lock()

    async def pair(self) -> KeyPair:
        """Return the pair, made in the pool if it has none; a pool that fails now does not take away one that is known.

        Raises `PoolError`, or `LinkError` ``pool-key-missing`` when what the pool holds is no key.
        """
        async with self._lock:
            if self._pair is None:
                self._pair = await self._found() or await self._make()
                self._read_at = _now()
            elif self._is_doubted:
                self._pair = await self._reread(self._pair)
            return self._pair

    async def existing(self) -> KeyPair:
        """Return the pair, for whoever must change nothing: none is made, and nothing is given back to the pool.

        Raises `PoolError`, or `LinkError` ``pool-key-missing`` when there is none.
        """
        async with self._lock:
            if self._pair is not None and not self._is_doubted:
                return self._pair
            if pair := await self._read(await self._secrets.names()):
                return pair
            raise LinkError("pool-key-missing", pool=self._pool)

    async def public_lines(self) -> tuple[str, ...]:
        """Return the public halves as the pool tells them to whoever asks: no private key is read, and nothing is made.

        Raises `PoolError`.
        """
        if self._pair is not None:
            return tuple(filter(None, (self._pair.public, self._pair.former)))
        names = await self._secrets.names()
        named = (names.get(config_keys.PUBLIC_KEY_SECRET), names.get(config_keys.FORMER_PUBLIC_KEY_SECRET))
        values = [await self._secrets.value(uuid) for uuid in named if uuid]
        return tuple(line for value in values if value and is_public_key(line := value.strip()))

    def forget(self) -> None:
        """Read the pool's secrets again at the next need, unless that was just done: a guest refuses the key."""
        self._is_doubted = self._is_doubted or _now() >= self._read_at + REREAD_SECONDS

    def changed(self) -> None:
        """Read the pool's secrets again at the next need: the pool names others by now."""
        self._is_doubted = True

    async def _reread(self, known: KeyPair) -> KeyPair:
        try:
            pair = await self._found() or await self._make()
        except PoolError:  # most guests still take the known one, and the next refusal asks again
            pair = known
        self._is_doubted = False
        self._read_at = _now()
        return pair

    async def _found(self) -> KeyPair | None:
        """Return the pool's pair if it has one, after giving back its public secret if that is gone."""
        config = await self._secrets.names()
        pair = await self._read(config)
        if pair is not None and config_keys.FORMER_PRIVATE_KEY_SECRET not in config:
            try:
                await self._restore(pair.public, config.get(config_keys.PUBLIC_KEY_SECRET))
            except PoolError as error:  # we need it for nothing
                log.warning("public key not restored", pool=self._pool, problem=error.code)
        return pair

    async def _restore(self, public: str, named: str | None) -> None:
        """Clients of old read the public half from its own secret: put it back into the pool where it is missing."""
        if named:
            if await self._secrets.value(named) is not None:
                return
            await self._secrets.clear(config_keys.PUBLIC_KEY_SECRET)
        await self._secrets.offer(config_keys.PUBLIC_KEY_SECRET, public)

    async def _read(self, config: Mapping[str, str]) -> KeyPair | None:
        """Return the pair, None where none is named. Of two pairs during a rotation one is enough: its beginning or its
        end may have been interrupted.
        """
        named = (config.get(config_keys.PRIVATE_KEY_SECRET), config.get(config_keys.FORMER_PRIVATE_KEY_SECRET))
        uuids = list(dict.fromkeys(uuid for uuid in named if uuid))
        if not uuids:
            return None
        loaded = [key for uuid in uuids if (key := await self._load(uuid)) is not None]
        if not loaded:
            raise LinkError("pool-key-missing", pool=self._pool)
        former = _public_line(loaded[1]) if len(loaded) > 1 else ""
        return KeyPair(tuple(loaded), _public_line(loaded[0]), former)

    async def _load(self, secret: str) -> PoolKey | None:
        value = await self._secrets.value(secret)
        try:
            return await keys.load_pool_key(value) if value is not None else None
        except LinkError:
            return None

    async def _make(self) -> KeyPair:
        """Make a pair and put it into the pool; whoever was faster wins."""
        private, public = await keys.generate_pool_key()
        if not await self._secrets.offer(config_keys.PRIVATE_KEY_SECRET, private):
            return await self._others()
        await self._secrets.put(config_keys.PUBLIC_KEY_SECRET, public)
        await self._secrets.keep()
        return KeyPair((await keys.load_pool_key(private),), public.strip())

    async def _others(self) -> KeyPair:
        """Somebody else made the pair at the same time and was first: take theirs.

        Its public half is not restored: they may be about to write it.
        """
        if pair := await self._read(await self._secrets.names()):
            return pair
        raise LinkError("pool-key-missing", pool=self._pool)


def _fingerprint(public: str) -> str:
    return messages.fingerprint(public.split()[1])


def _public_line(key: PoolKey) -> str:
    """The public half, from the private one: so it fits, and is there even if its own secret is not (yet)."""
    kind, blob = key.export_public_key().decode("ascii").split()[:2]
    return f"{kind} {blob} {keys.COMMENT}"


def _now() -> float:
    return asyncio.get_running_loop().time()
