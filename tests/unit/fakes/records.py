"""Records and facts for tests, each with the little that a test wants to say of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from roadstead.errors import LinkError, PeerError
from roadstead.model import (
    Container,
    Engine,
    Host,
    HostId,
    Link,
    LinkState,
    Pool,
    PoolId,
    PowerState,
    Problem,
    Vm,
    VmId,
    container_id,
)

START = datetime(2030, 1, 1, tzinfo=UTC)
POOL = PoolId("pool-1")
HOST = HostId("host-1")
VM = VmId("vm-1")
MONITOR = "xscontainer-monitor"
HOST_KEY = "xscontainer-sshhostkey"
MANAGED = {MONITOR: "True"}


def at(seconds: float) -> datetime:
    """The time of day so many seconds after the start of the test's story."""
    return START + timedelta(seconds=seconds)


def pool(id: str = POOL, **fields: Any) -> Pool:
    """A pool."""
    return Pool(**{"id": PoolId(id), "name": f"name of {id}", "as_of": START, **fields})


def host(id: str = HOST, **fields: Any) -> Host:
    """A host of the first pool."""
    return Host(**{"id": HostId(id), "pool": POOL, "name": f"name of {id}", "as_of": START, **fields})


def vm(id: str = VM, **fields: Any) -> Vm:
    """A managed VM that runs on the first host of the first pool."""
    defaults = {
        "id": VmId(id),
        "pool": POOL,
        "name": f"name of {id}",
        "host": HOST,
        "power": PowerState.RUNNING,
        "settings": MANAGED,
        "as_of": START,
    }
    return Vm(**{**defaults, **fields})


def link(vm: str = VM, state: LinkState = LinkState.LIVE, **fields: Any) -> Link:
    """How a VM stands with us."""
    return Link(**{"vm": VmId(vm), "state": state, "since": START, **fields})


def engine(vm: str = VM, **fields: Any) -> Engine:
    """A Docker engine."""
    return Engine(**{"vm": VmId(vm), "name": "Docker", "version": "29.0.0", "api_version": "1.52", **fields})


def engine_id(number: int) -> str:
    """An id of 64 digits."""
    return f"{number:064x}"


def container(number: int = 1, vm: str = VM, **fields: Any) -> Container:
    """A running container of the first VM."""
    name = engine_id(number)
    defaults = {
        "id": container_id(VmId(vm), name),
        "engine_id": name,
        "name": f"container-{number}",
        "vm": VmId(vm),
        "state": "running",
        "as_of": START,
    }
    return Container(**{**defaults, **fields})


def problem(code: str = "link-lost", since: datetime = START) -> Problem:
    """A problem as a link tells it."""
    error = PeerError(code)
    return Problem(code, error.cause, error.remedy, since)


def link_error(code: str = "refused", **fields: object) -> LinkError:
    """What a sign-in meets."""
    return LinkError(code, **fields)
