"""Records for the tests of views, search and names: a small world, built through the real store."""

from datetime import UTC, datetime
from typing import Any

from roadstead.inventory.store import Store
from roadstead.model import (
    Container,
    Engine,
    Gone,
    Host,
    HostId,
    Link,
    LinkState,
    Pool,
    PoolId,
    PowerState,
    Problem,
    Seen,
    Vm,
    VmId,
    container_id,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANAGED = {"xscontainer-monitor": "True"}


def pool(id: str = "pool-1", name: str = "Rack 1", **fields: Any) -> Pool:
    """A pool."""
    return Pool(id=PoolId(id), name=name, **{"as_of": NOON, "live": True, **fields})


def host(id: str = "host-1", name: str = "north", pool: str = "pool-1") -> Host:
    """A host."""
    return Host(id=HostId(id), pool=PoolId(pool), name=name, as_of=NOON)


def vm(id: str = "vm-1", name: str = "web-1", *, managed: bool = True, **fields: Any) -> Vm:
    """A VM that runs and is managed."""
    settings = MANAGED if managed else {}
    known = {"pool": PoolId("pool-1"), "host": HostId("host-1"), "power": PowerState.RUNNING, "as_of": NOON}
    return Vm(id=VmId(id), name=name, **{**known, "settings": settings, **fields})


def link(vm: str = "vm-1", state: LinkState = LinkState.LIVE, problem: str = "") -> Link:
    """A link of a VM."""
    trouble = Problem(problem, "It went wrong.", "Mend it.", NOON) if problem else None
    return Link(vm=VmId(vm), state=state, since=NOON, heard=NOON, address="10.0.0.7", problem=trouble)


def engine(vm: str = "vm-1") -> Engine:
    """What the engine of a VM says of itself."""
    return Engine(vm=VmId(vm), name="Docker", version="29.0", api_version="1.52")


def container(vm: str = "vm-1", number: int = 1, name: str = "shop", **fields: Any) -> Container:
    """A running container of a VM."""
    engine_id = f"{number:04x}".ljust(64, "0")
    known = {"state": "running", "image": "docker.io/library/nginx:1.25", "as_of": NOON}
    return Container(
        id=container_id(VmId(vm), engine_id), engine_id=engine_id, name=name, vm=VmId(vm), **{**known, **fields}
    )


def store(*records: Any) -> Store:
    """A store that has seen ``records``, in order."""
    made = Store()
    made.apply(*(Seen(record) for record in records))
    return made


def gone(kind: str, id: str) -> Gone:
    """The fact that something is no longer there."""
    return Gone(kind, id)
