"""Secrets that keys of ``other_config`` name, of a pool or of a VM, where any instance and the old clients find them.

Each that is made here is marked with whose it is, so that it is used for nobody else, and collected with its owner.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

import structlog

from roadstead.act.pool_database.syncing import synchronise
from roadstead.errors import PoolError
from roadstead.model import PoolId, Vm
from roadstead.model.config_keys import NAMED_MARK, POOL_MARK, TLS_SECRETS, VM_MARK
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import string_map
from roadstead.plan import secrets

log = structlog.get_logger()


class PoolSecrets:
    """Reads and makes the secrets of one pool. Every call raises `PoolError`."""

    def __init__(self, client: XapiClient, pool: PoolId) -> None:
        self._client = client
        self._pool = pool

    async def names(self) -> dict[str, str]:
        """Return the pool's ``other_config``: under the keys that name secrets stand their uuids."""
        return string_map((await self._client.pool())[1], "other_config")

    async def value(self, uuid: str) -> str | None:
        """Return what a secret holds, or None when it is gone."""
        secret = await self._client.read_secret(uuid)
        return None if secret is None else secret.value

    async def offer(self, key: str, value: str) -> bool:
        """Keep ``value`` under ``key`` unless there is something by now; return whether it was kept. Of several who
        offer at the same time one wins, and the others leave no secret behind.
        """
        return await self._kept_under(key, value, self._client.add_pool_key)

    async def put(self, key: str, value: str) -> None:
        """Keep ``value`` under ``key``, whatever is named there."""
        await self._kept_under(key, value, self._client.set_pool_key)

    async def claim(self, key: str, uuid: str) -> bool:
        """Let ``key`` name the secret ``uuid`` unless it names one; return whether it did so: of several one wins."""
        return await self._client.add_pool_key(key, uuid)

    async def destroy(self, key: str) -> None:
        """Destroy the secret that ``key`` names, then let it name nothing; what breaks off between can be done again.

        A secret goes only if it is one for ``key``, and no other key names it: ``key`` may be edited to name any other.
        """
        await self._destroy_former(key, await self.names())
        await self.clear(key)

    async def clear(self, key: str) -> None:
        """Let ``key`` name nothing; a secret that it named stays."""
        await self._client.set_pool_key(key, None)

    async def replace(self, key: str, value: str | None) -> None:
        """Keep ``value`` under ``key``, or nothing; the secret that was named there goes, after the new one is named.

        Only one that is for this key goes: the key may be edited to name any other.
        """
        names = await self.names()
        if value is None:
            await self.clear(key)
        else:
            await self.put(key, value)
        await self._destroy_former(key, names)

    async def keep(self) -> None:
        """Make what was written survive a failover."""
        await synchronise(self._client)

    async def _destroy_former(self, key: str, names: Mapping[str, str]) -> None:
        """Destroy the secret that ``key`` named when the pool named these ``names``, if it is one for ``key``."""
        uuid = names.get(key)
        if not uuid or any(other == uuid for name, other in names.items() if name != key):
            return
        secret = await self._client.read_secret(uuid)
        if secret is not None and secrets.may_destroy(self._pool, key, secret.marks, secret.value):
            await self._client.destroy_secret(uuid)

    async def _kept_under(self, key: str, value: str, name: Callable[[str, str], Awaitable[bool | None]]) -> bool:
        """Make a secret of ``value`` and have ``name`` let ``key`` name it; return False when another was there."""
        uuid = await self._client.create_secret(value, {POOL_MARK: self._pool, NAMED_MARK: key})
        try:
            is_named = await name(key, uuid) is not False
        except PoolError as error:
            if await self._is_named_after_all(key, uuid, error):
                return True
            raise
        if not is_named:
            await self._client.destroy_secret(uuid)
        return is_named

    async def _is_named_after_all(self, key: str, uuid: str, error: PoolError) -> bool:
        """Whether ``key`` names the secret ``uuid`` although naming it ended with ``error``: only the answer was lost.

        If not, a secret of which the pool refused the naming goes. Where the pool may still be about it, it stays: a
        key must not come to name what is gone. `act.leftovers` takes it later.
        """
        try:
            if (await self.names()).get(key) == uuid:
                return True
            if "xapi" in error.fields:
                await self._client.destroy_secret(uuid)
        except PoolError as later:  # the first one is on its way
            log.info("secret left for now", pool=self._pool, key=key, secret=uuid, problem=later.code)
        return False


async def vm_secrets(
    client: XapiClient, vm: Vm, keys: Sequence[str] = TLS_SECRETS, vms: Collection[Vm] = ()
) -> list[bytes]:
    """Return the PEM texts of the secrets that ``keys`` (of `config_keys.TLS_SECRETS`) of ``vm`` name, once it is
    certain that they are this VM's (see `plan.secrets`), and not those of another one of the ``vms``.

    Raises `LinkError` ``secret-missing``, ``secret-of-another``, ``secret-shared``, ``secret-unusable`` or
    ``setting-invalid``, and `PoolError`, ``pool-not-permitted`` among them.
    """
    pool_config = string_map((await client.pool())[1], "other_config")

    def check(key: str, marks: Mapping[str, str] | None) -> None:
        secrets.check_owner(vm, key, marks, pool_config)
        if not secrets.is_marked(marks or {}):
            secrets.check_sole(vm, key, vms)

    return [await _vm_secret(client, vm, key, partial(check, key)) for key in keys]


async def _vm_secret(client: XapiClient, vm: Vm, key: str, check: Callable[[Mapping[str, str] | None], None]) -> bytes:
    secret = await client.read_secret(secrets.named(vm, key), check)
    # What it carries may have changed since, and it may be gone: what was read is judged.
    check(None if secret is None else secret.marks)
    value = "" if secret is None else secret.value
    secrets.check_value(vm, key, value)
    return value.encode()


async def make_vm_secret(client: XapiClient, vm: Vm, value: str) -> str:
    """Keep ``value`` as a secret of ``vm``, and return the uuid by which one of its keys is to name it."""
    return await client.create_secret(value, {VM_MARK: vm.id})


async def collect_vm_secrets(client: XapiClient, vm: Vm, former: Collection[str]) -> None:
    """Destroy those of the secrets ``former`` (uuids) that were ``vm``'s own, by their mark or as the old pack made
    them, once no object of the pool names them any more. Raises `PoolError`.
    """
    named = await client.mentioned(former) if former else set()
    for uuid in set(former) - named:
        secret = await client.read_secret(uuid)
        if secret is None:
            continue
        if secrets.owner(secret.marks) == vm.id or secrets.is_left_by_old_pack(secret.marks, secret.value):
            await client.destroy_secret(uuid)
