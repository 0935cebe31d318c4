"""Removing a pool takes away what was published in it, as far as the pool lets us, and is never held up by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead.act.pool_database.secrets import PoolSecrets
from roadstead.model.config_keys import PLUGIN_FINGERPRINT, PLUGIN_TOKEN_SECRET, PLUGIN_URL, PUBLISHED_KEYS
from roadstead.settings.schema import AlertSettings
from tests.contract.plugged import plugged
from tests.contract.world import QUICK, World, add, world
from tests.contract.xapi_pools import address, signed_in

HASTY = QUICK.model_copy(update={"alert": AlertSettings(after_seconds=0.0)})
"""A message is raised at once."""
PLUGIN = {PLUGIN_URL, PLUGIN_FINGERPRINT, PLUGIN_TOKEN_SECRET}


def _published(one: World) -> set[str]:
    """The names of the VMs of which clients of the pool are shown something."""
    vms = [vm for _, vm in one.pool.core.database.all("VM")]
    return {str(vm["name_label"]) for vm in vms if set(vm["other_config"]) & set(PUBLISHED_KEYS)}


def _messages(one: World) -> list[str]:
    return [str(message["body"]) for _, message in one.pool.core.database.all("message")]


async def _until_published(one: World) -> None:
    """Two VMs are published, and of a third one there is a message."""
    await one.guest("vm-3").stop()
    await one.until(lambda: len(_messages(one)) == 1, "a message")
    await one.until(lambda: {"vm-1", "vm-2"} <= _published(one), "published")


@pytest.mark.parametrize("keep", [False, True])
async def test_what_was_published_goes_with_the_pool(tmp_path: Path, *, keep: bool) -> None:
    """Values and our messages; VMs stay enabled and pinned. With `--keep-published` it stays as it is."""
    async with world(tmp_path, vms=3, settings=HASTY) as one:
        await _until_published(one)
        before = _published(one), len(_messages(one))
        wiped = await one.core.commands.pools.remove(one.pool_id, keep_published=keep)
        assert (wiped.left, wiped.reason) == (0, "")
        assert (_published(one), len(_messages(one))) == (before if keep else (set(), 0))
        config = one.pool.core.vm(one.pool.find("vm-1"))["other_config"]
        assert {"xscontainer-monitor", "xscontainer-sshhostkey"} <= config.keys()
        await add(one)
        await one.until(lambda: {"vm-1", "vm-2"} <= _published(one), "published again")


async def test_the_old_packs_messages_and_values_of_foreign_vms_stay(tmp_path: Path) -> None:
    """What we did not write, and would not have taken away while the pool was known."""
    async with world(tmp_path, vms=1) as one, signed_in(address(one.pool)) as xe:
        await one.core.commands.pools.remove(one.pool_id)
        await xe.raise_message("Container Management cannot monitor VM", one.pool.uuid_of("vm-1"), "of the old pack")
        await xe.raise_message("Another title", one.pool.uuid_of("vm-1"), "of somebody")
        await add(one)
        await one.until_live("vm-1")
        await one.core.commands.pools.remove(one.pool_id)
        assert "of somebody" in _messages(one)


@pytest.mark.parametrize("keep", [False, True])
async def test_what_the_plugin_was_told_goes_with_the_pool(tmp_path: Path, *, keep: bool) -> None:
    """It would only be refused from then on; whether the lists stay makes no difference."""
    async with plugged(tmp_path, vms=1) as client:
        one = client.one
        secrets = len(list(one.pool.core.database.all("secret")))
        assert _pool_config(one).keys() >= PLUGIN
        wiped = await one.core.commands.pools.remove(one.pool_id, keep_published=keep)
        assert wiped.plugin == ""
        assert not PLUGIN & _pool_config(one).keys()
        assert len(list(one.pool.core.database.all("secret"))) == secrets - 1


async def test_what_another_server_told_the_plugin_stays(tmp_path: Path) -> None:
    """It was told where to call by somebody else since: that is not ours to take away."""
    async with plugged(tmp_path, vms=1) as client:
        one = client.one
        xapi = one.core.commands.pools.keeper(one.pool_id).client
        await PoolSecrets(xapi, one.pool_id).replace(PLUGIN_TOKEN_SECRET, "another server's")
        before = _pool_config(one)
        assert (await one.core.commands.pools.remove(one.pool_id)).plugin == ""
        assert {key: before[key] for key in PLUGIN} == {key: _pool_config(one)[key] for key in PLUGIN}


async def test_a_plugin_of_a_pool_that_does_not_answer_is_told_of(tmp_path: Path) -> None:
    """What it was told stays, with the reason."""
    async with plugged(tmp_path, vms=1) as client:
        one = client.one
        await one.pool.kill_host(1)
        await one.until(lambda: not one.seen_pool().live, "lost")
        assert (await one.core.commands.pools.remove(one.pool_id)).plugin


def _pool_config(one: World) -> dict[str, str]:
    return dict(one.pool.core.database.get("pool", one.pool.core.pool)["other_config"])


async def test_a_pool_that_does_not_answer_is_removed_all_the_same(tmp_path: Path) -> None:
    """What stays in it is told, with the reason."""
    async with world(tmp_path, vms=2) as one:
        await one.until(lambda: _published(one) == {"vm-1", "vm-2"}, "published")
        await one.pool.kill_host(1)
        await one.until(lambda: not one.seen_pool().live, "lost")
        wiped = await one.core.commands.pools.remove(one.pool_id)
        assert (wiped.vms, wiped.left) == (0, 2)
        assert wiped.reason
        assert not one.core.store.pools
