"""A pool is told of a failure once in a while, and of no flood; a plugin's action ends before the plugin gives up."""

import asyncio
import re

import pytest

from roadstead.act.plugin import functions as plugin
from roadstead.act.plugin.functions import Asked
from roadstead.act.plugin.said import AGAIN_SECONDS, POOL_MESSAGES, Said
from roadstead.artifacts import placing
from roadstead.errors import EngineError
from roadstead.model import PoolId, VmId
from tests.unit.serve import stage

POOL, VM = PoolId("pool-1"), VmId("vm-1")


def test_the_same_failure_is_said_again_after_a_while() -> None:
    """Of the same VM; another failure, another VM and another pool have their own turn."""
    said = Said()
    assert said.is_due(POOL, VM, "no", 0)
    assert not said.is_due(POOL, VM, "no", AGAIN_SECONDS - 1)
    assert said.is_due(POOL, VM, "other", 1)
    assert said.is_due(POOL, VmId("vm-2"), "no", 1)
    assert said.is_due(PoolId("pool-2"), VM, "no", 1)
    assert said.is_due(POOL, VM, "no", AGAIN_SECONDS)


def test_a_pool_gets_no_flood() -> None:
    """However many VMs and failures there are."""
    said = Said()
    assert sum(said.is_due(POOL, VmId(str(number)), str(number), 0) for number in range(1000)) == POOL_MESSAGES
    assert said.is_due(POOL, VM, "no", AGAIN_SECONDS)


def test_the_server_ends_before_the_plugin() -> None:
    """Action and message together fit into what the plugin waits."""
    found = re.search(rb"^ANSWER_SECONDS = (\d+)$", placing.PLUGIN, re.MULTILINE)
    assert found is not None
    assert int(found[1]) > plugin.ACTION_SECONDS + plugin.MESSAGE_SECONDS


@pytest.mark.looptime
async def test_an_action_that_hangs_is_told_in_time() -> None:
    """The client learns what happened from us, not from a plugin that gave up."""
    world = stage.World(stage.FEW)
    world.pools.keep("pool-1", "https://10.0.0.1")
    world.vms.stuck = asyncio.Event()
    container = next(one for one in world.store.containers_of(VM).values())
    began = asyncio.get_running_loop().time()
    with pytest.raises(EngineError) as caught:
        await world.commands.plugin.call(Asked(POOL, "stop", {"vmuuid": VM, "container": container.name}))
    assert caught.value.code == "engine-timed-out"
    assert asyncio.get_running_loop().time() - began == plugin.ACTION_SECONDS
    assert world.pools.xapi.calls == ["raise_message"]
