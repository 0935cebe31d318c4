"""Stores a VM's new certificates in its pool, lets its keys name them, and collects the ones that it had."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import structlog

from roadstead.act.pool_database.secrets import collect_vm_secrets, make_vm_secret
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import LinkError, PoolError
from roadstead.model import Vm, config_keys
from roadstead.peers.xapi.messages import string, string_map
from roadstead.plan import secrets

log = structlog.get_logger()

PAUSES = (0.5, 3.0, 15.0)
"""Seconds between tries: the engine uses the new certificates already, and without them here the VM is lost."""


async def store(keeper: PoolKeeper, vm: Vm, values: Sequence[str], *, is_legacy: bool) -> None:
    """Keep ``values`` (for `config_keys.TLS_SECRETS`) for ``vm``, and have it managed with them over TLS.

    The former secrets go after the new ones are named. Raises `PoolError` when it does not work in several tries; the
    keys name then what they named. Raises `LinkError` ``prepare-unfinished`` when only the end is missing.
    """
    made = await _named(keeper, vm, values)
    try:
        if is_legacy or config_keys.TLS_LEGACY in vm.settings:
            legacy = config_keys.ENABLED if is_legacy else config_keys.DISABLED
            await keeper.config.set(vm.id, config_keys.TLS_LEGACY, legacy)
        await keeper.config.set(vm.id, config_keys.MODE, config_keys.TLS)
        await keeper.config.set(vm.id, config_keys.MONITOR, config_keys.ENABLED)
    except PoolError as error:
        raise LinkError("prepare-unfinished", vm=vm.name, reason=error.clause) from error
    await collect(keeper, vm, set(made.values()))


async def forget(keeper: PoolKeeper, vm: Vm) -> None:
    """Let the VM's keys name no certificates, and destroy those that were its own; what breaks off between can be done
    again, as the mode goes last. Raises `PoolError`.
    """
    for key in config_keys.TLS_SECRETS:
        await keeper.config.set(vm.id, key, None)
    await _destroy_but(keeper, vm, set())
    for key in (config_keys.TLS_LEGACY, config_keys.MODE):  # whatever was seen so far: it may just have been written
        await keeper.config.set(vm.id, key, None)


async def _named(keeper: PoolKeeper, vm: Vm, values: Sequence[str]) -> Mapping[str, str]:
    for pause in PAUSES:
        try:
            return await _named_once(keeper, vm, values)
        except PoolError as error:
            log.warning("new certificates not stored yet", vm=vm.id, problem=error.code)
        await asyncio.sleep(pause)
    return await _named_once(keeper, vm, values)


async def _named_once(keeper: PoolKeeper, vm: Vm, values: Sequence[str]) -> Mapping[str, str]:
    """Make the secrets and let the VM's keys name them; return their uuids by the keys."""
    made: dict[str, str] = {}
    try:
        for key, value in zip(config_keys.TLS_SECRETS, values, strict=True):
            made[key] = await make_vm_secret(keeper.client, vm, value)
        for key, uuid in made.items():
            await keeper.config.set(vm.id, key, uuid)
    except BaseException:
        await _give_up(keeper, vm, made)
        raise
    return made


async def _give_up(keeper: PoolKeeper, vm: Vm, made: Mapping[str, str]) -> None:
    """Let the keys name what they named, and destroy what was made and is not named any more; what fails of that holds
    up nothing else, and is done by the next try.
    """
    undoings = [
        *(partial(keeper.config.set, vm.id, key, vm.settings.get(key)) for key in made),
        partial(collect_vm_secrets, keeper.client, vm, made.values()),
    ]
    for undoing in undoings:
        try:
            await undoing()
        except PoolError as error:
            log.warning("new certificates not taken back", vm=vm.id, problem=error.code)


async def collect(keeper: PoolKeeper, vm: Vm, kept: Collection[str]) -> None:
    """Destroy the secrets that the VM had, also those of tries that broke off, but for the ``kept`` ones (uuids)."""
    try:
        await _destroy_but(keeper, vm, kept)
    except PoolError as error:  # they carry the VM's mark, so they go with it at the latest
        log.warning("former certificates not collected", vm=vm.id, problem=error.code)


async def _destroy_but(keeper: PoolKeeper, vm: Vm, kept: Collection[str]) -> None:
    held = (await keeper.client.list_all("secret")).values()
    marked = {string(one, "uuid") for one in held if secrets.owner(string_map(one, "other_config")) == vm.id}
    await collect_vm_secrets(keeper.client, vm, (secrets.all_named(vm) | marked) - set(kept))
