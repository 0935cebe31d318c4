"""Of a pool's guests only so many are opened at once as can be called; the others wait, and hold nothing meanwhile."""

import asyncio
from typing import cast

import pytest

from roadstead.act.guests.guest import Opened
from roadstead.act.guests.tls_ways import GuestWays
from roadstead.act.guests.ways import SshWays
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import LinkError
from roadstead.model import PoolId, Vm, VmId
from roadstead.settings.schema import LinkSettings
from tests.unit.fakes import records

pytestmark = pytest.mark.looptime
VMS = {VmId(f"{pool}-{number}"): pool for pool in ("a", "b") for number in range(6)}


class Slow:
    """In the place of `SshWays`: each call takes a second."""

    settings = LinkSettings(parallel_connects=2, parallel_logins=1)

    def __init__(self) -> None:
        self.gone: set[VmId] = set()
        self.began: list[tuple[VmId, float]] = []

    def found(self, vm_id: VmId) -> tuple[Vm, PoolKeeper]:
        """See `SshWays`."""
        if vm_id in self.gone:
            raise LinkError("link-lost", vm=vm_id)
        return records.vm(vm_id, pool=PoolId(VMS[vm_id])), cast("PoolKeeper", None)

    async def open(self, vm_id: VmId) -> Opened:
        """See `SshWays`."""
        self.began.append((vm_id, asyncio.get_running_loop().time()))
        await asyncio.sleep(1)
        raise LinkError("timed-out", vm=vm_id)


async def _opened(ways: GuestWays) -> None:
    await asyncio.gather(*(ways.open(vm) for vm in VMS), return_exceptions=True)


async def test_each_pool_has_turns_of_its_own() -> None:
    """Three of each pool begin at once, as both gates have places for them, and three when those have ended."""
    slow = Slow()
    await _opened(GuestWays(cast("SshWays", slow)))
    for pool in ("a", "b"):
        assert [at for vm, at in slow.began if VMS[vm] == pool] == [0, 0, 0, 1, 1, 1]


async def test_a_guest_that_went_meanwhile_is_not_called() -> None:
    """Whoever waited is looked up anew when its turn comes."""
    slow = Slow()
    asyncio.get_running_loop().call_later(0.5, slow.gone.add, VmId("a-5"))
    await _opened(GuestWays(cast("SshWays", slow)))
    assert {vm for vm, _ in slow.began} == VMS.keys() - {"a-5"}
