"""A pool's SSH key: what it is, which VMs it opens, and its rotation."""

from collections.abc import Collection

from starlette.responses import Response

from roadstead.act.keys.pair import KeyPair
from roadstead.artifacts import authorized_keys
from roadstead.errors import tame
from roadstead.inventory import names
from roadstead.model import PoolId, VmId
from roadstead.serve import answers, shapes
from roadstead.serve.bodies import LostVms
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import Confirm, PoolName, VmPart, must_confirm


async def show_pool_key(call: Call, pool: PoolName) -> Response:
    """Show the public half of the pool's SSH key, and its line for `authorized_keys`; makes the key on first need."""
    id = _id(call, pool)
    pair = await call.commands.pools.key(id)
    managed = {vm.id for vm in call.store.vms.values() if vm.pool == id and vm.enabled}
    opened = managed | {vm for vm, keys in call.commands.pools.keyed(id).items() if pair.fingerprint in keys}
    key = shapes.PoolKeyView(
        pool=id,
        public_key=pair.public,
        fingerprint=pair.fingerprint,
        line=authorized_keys.line(pair.public, call.services.engine_socket),
        vms=sorted((_opened(call, vm, managed) for vm in opened), key=lambda vm: vm.name),
    )
    return answers.record(key)


async def list_keyed_vms(call: Call, pool: PoolName) -> Response:
    """List the VMs that keys of the pool are known to open, managed or not, also those that left the pool."""
    return await _keyed_vms(call, _id(call, pool))


async def forget_retired_keys(call: Call, pool: PoolName, vm: VmPart) -> Response:
    """Forget that retired keys open a VM, because their lines were taken out there; answers with the VMs that are left.

    What the pool's present keys open stays listed.
    """
    id = _id(call, pool)
    await call.commands.pools.forget_retired(id, VmId(vm))
    return await _keyed_vms(call, id)


async def _keyed_vms(call: Call, id: PoolId) -> Response:
    pair = await call.commands.pools.key(id)
    keyed = call.commands.pools.keyed(id).items()
    return answers.record(sorted((_keyed(call, id, pair, vm, keys) for vm, keys in keyed), key=lambda vm: vm.name))


async def show_rotation(call: Call, pool: PoolName) -> Response:
    """Show whether the pool's key is being replaced, and how far each managed VM is."""
    return answers.record(await call.commands.rotations.state(_id(call, pool)))


async def rotate_pool_key(call: Call, pool: PoolName, confirm: Confirm = "") -> Response:
    """Make a second key for the pool and change its guests over to it; a rotation that is under way is gone on with.

    Answers when the new key is made; the guests follow. The old key goes when no managed VM needs it any more.
    """
    found = names.find_pool(call.store, pool)
    must_confirm(confirm, found.id, f"replace the SSH key of the pool {tame(found.name)} in all its managed VMs")
    return answers.record(await call.commands.rotations.begin(found.id), 202)


async def drop_old_key(call: Call, pool: PoolName, body: LostVms) -> Response:
    """End a rotation: retire the old key although the VMs that are named need it. They are lost by that.

    Refused with `rotation-moved` when these are not exactly the VMs that need it now.
    """
    return answers.record(await call.commands.rotations.drop(_id(call, pool), map(VmId, body.vms)))


def _opened(call: Call, vm: VmId, managed: Collection[VmId]) -> shapes.OpenedVm:
    known = call.store.vms.get(vm)
    return shapes.OpenedVm(id=vm, name=known.name if known is not None else vm, managed=vm in managed)


def _keyed(call: Call, pool: PoolId, pair: KeyPair, id: VmId, keys: Collection[str]) -> shapes.KeyedVmView:
    roles = {pair.fingerprint: "current", pair.former_fingerprint: "old"}
    vm = call.store.vms.get(id)
    openings = [shapes.OpeningKey(fingerprint=key, key=roles.get(key, "retired")) for key in sorted(keys)]
    if vm is None:
        return shapes.KeyedVmView(
            id=id, name=id, state="gone", until=call.commands.pools.keyed_until(id), keys=openings
        )
    state = "moved" if vm.pool != pool else "managed" if vm.enabled else "formerly-managed"
    return shapes.KeyedVmView(
        id=id, name=vm.name, state=state, pool_name=vm.pool_name, power=vm.power.value, keys=openings
    )


def _id(call: Call, name: str) -> PoolId:
    return names.find_pool(call.store, name).id
