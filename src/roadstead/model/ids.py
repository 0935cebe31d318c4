"""Ids as types of their own, so that a VM's id can never be passed for a pool's."""

from typing import NewType

PoolId = NewType("PoolId", str)
"""XAPI uuid of a pool, or `LOCAL_POOL`."""
HostId = NewType("HostId", str)
"""XAPI uuid of a host, or `LOCAL_HOST`."""
VmId = NewType("VmId", str)
"""XAPI uuid of a VM, or ``local-N`` for an engine without a pool."""
ContainerId = NewType("ContainerId", str)
"""``<vm id>/<64-digit engine id>``."""

LOCAL_POOL = PoolId("local")
LOCAL_HOST = HostId("local")


def container_id(vm: VmId, engine_id: str) -> ContainerId:
    """Return the id, unique over all pools, of the container that the engine in ``vm`` calls ``engine_id``."""
    return ContainerId(f"{vm}/{engine_id}")


def split_container_id(container: ContainerId) -> tuple[VmId, str]:
    """Return the VM's id and the engine's own id that ``container`` is made of."""
    vm, _, engine_id = container.partition("/")
    return VmId(vm), engine_id
