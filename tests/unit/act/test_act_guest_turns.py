"""Of a pool's guests only so many are opened at once as can be called; the others wait, and hold nothing meanwhile."""

import asyncio
from typing import cast

import pytest

from roadstead.act.guests.guest import Opened
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.guests.tls_ways import TlsWays
from roadstead.act.guests.unix_ways import UnixWays
from roadstead.act.guests.ways import Ways
from roadstead.errors import LinkError
from roadstead.inventory.store import Store
from roadstead.model import Gone, PoolId, Seen, VmId
from roadstead.settings.schema import LinkSettings
from tests.unit.fakes import records

pytestmark = pytest.mark.looptime
VMS = {VmId(f"{pool}-{number}"): pool for pool in ("a", "b") for number in range(6)}


class Slow:
    """In the place of `SshWays`: each call takes a second."""

    def __init__(self) -> None:
        self.store = Store()
        self.store.apply(*(Seen(records.vm(vm, pool=PoolId(pool))) for vm, pool in VMS.items()))
        self.began: list[tuple[VmId, float]] = []

    async def open(self, vm_id: VmId) -> Opened:
        """See `SshWays`."""
        self.began.append((vm_id, asyncio.get_running_loop().time()))
        await asyncio.sleep(1)
        raise LinkError("timed-out", vm=vm_id)


async def _opened(slow: Slow) -> None:
    others = cast("TlsWays", None), cast("UnixWays", None)
    ways = Ways(slow.store, cast("SshWays", slow), *others, LinkSettings(parallel_connects=2, parallel_logins=1))

    async def opened(vm: VmId) -> None:
        async with ways.turn(vm):
            await ways.open(vm)

    await asyncio.gather(*(opened(vm) for vm in VMS), return_exceptions=True)


async def test_each_pool_has_turns_of_its_own() -> None:
    """Three of each pool begin at once, as both gates have places for them, and three when those have ended."""
    slow = Slow()
    await _opened(slow)
    for pool in ("a", "b"):
        assert [at for vm, at in slow.began if VMS[vm] == pool] == [0, 0, 0, 1, 1, 1]


async def test_a_guest_that_went_meanwhile_is_not_called() -> None:
    """Whoever waited is looked up anew when its turn comes."""
    slow = Slow()
    asyncio.get_running_loop().call_later(0.5, slow.store.apply, Gone("vm", VmId("a-5"), PoolId("a")))
    await _opened(slow)
    assert {vm for vm, _ in slow.began} == VMS.keys() - {"a-5"}
