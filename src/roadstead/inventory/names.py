"""What people type for pools, VMs and containers, resolved in one place for every command and every path.

Pure. Accepted, the first that finds something winning: an id, the exact name, the name without regard to case and to
the spelling of accented letters, the beginning of an id (at least four characters), a glob. Containers are also named
``vm/container``, each part in any of these ways. What names several things is refused with the candidates; what names
nothing is refused with the nearest names, when looking for them is cheap.
"""

import difflib
import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from roadstead.errors import AmbiguousError, NotFoundError
from roadstead.inventory.search import fold
from roadstead.model import Container, ContainerId, HostId, Pool, PoolId, Snapshot, Vm, VmId, container_id

CANDIDATES = 20
"""How many candidates an error lists."""
LEAST_ID_CHARACTERS = 4
"""How much of an id must be given."""
COMPARED_NAMES = 2000
"""Up to this many names are compared for a suggestion: more would hold the loop for too long."""

GLOB_CHARACTERS = 1024
"""A longer name is no glob: the cost of reading one grows with the square of its length."""

_GLOB = re.compile(r"[*?\[]")
_ID_BEGINNING = re.compile(f"[0-9a-f]{{{LEAST_ID_CHARACTERS},64}}")

R = TypeVar("R", Pool, Vm, Container)


def find_pool(inventory: Snapshot, name: str) -> Pool:
    """Return the one pool that ``name`` names. Raises `NotFoundError` ``no-such-pool`` or `AmbiguousError`."""
    return _Kind("pool", inventory.pools.values()).one(name)


def find_vm(inventory: Snapshot, name: str) -> Vm:
    """Return the one VM that ``name`` names. Raises `NotFoundError` ``no-such-vm`` or `AmbiguousError`."""
    return _Kind("vm", inventory.vms.values()).one(name)


def find_containers(inventory: Snapshot, names: Iterable[str]) -> list[Container]:
    """Return the containers that ``names`` name, each once, in the order of the names.

    Raises `NotFoundError` ``no-such-container``, or `AmbiguousError` when a name without a glob is that of several.
    """
    found: dict[str, Container] = {}
    for name in names:
        found.update((container.id, container) for container in _containers(inventory, name))
    return list(found.values())


def in_vm(inventory: Snapshot, vm: VmId, name: str) -> Container | None:
    """Return the container of one VM that has this id or, to the letter, this name, or whose id begins so; None when
    there is none. Programs name containers like this: nothing is folded, and nothing is a pattern.

    Raises `AmbiguousError` when the beginning is that of several ids.
    """
    known = inventory.containers_of(vm)
    containers = list(known.values())
    exact = known.get(container_id(vm, name)) or next((one for one in containers if one.name == name), None)
    if exact is not None:
        return exact
    if not _ID_BEGINNING.fullmatch(name):
        return None
    found = [one for one in containers if one.engine_id.startswith(name)]
    if len(found) > 1:
        raise ambiguous("container", name, [one.name for one in found])
    return found[0] if found else None


class _Kind(Generic[R]):
    """The records of one kind, and how they are found by name."""

    def __init__(self, kind: str, records: Iterable[R], show: Callable[[R], str] | None = None) -> None:
        self._kind = kind
        self.records: tuple[R, ...] = tuple(records)
        self._show: Callable[[R], str] = show or _own_name

    def one(self, name: str) -> R:
        """Return the only record that ``name`` names, or raise."""
        found = self.some(name)
        if len(found) > 1:
            raise self.ambiguous(name, found)
        return found[0]

    def some(self, name: str) -> list[R]:
        """Return what ``name`` names: one record, or what a glob finds; or raise."""
        found = self.exact(name)
        if len(found) > 1:
            raise self.ambiguous(name, found)
        found = found or self.like(name)
        if not found:
            raise missing(self._kind, name, {record.name for record in self.records})
        return found

    def exact(self, name: str) -> list[R]:
        """Return the records of this id or name, or of an id that begins so; several when that is ambiguous."""
        name = name.strip()
        if by_id := [record for record in self.records if record.id == name]:
            return by_id
        if by_name := [record for record in self.records if record.name == name]:
            return by_name
        folded = fold(name)
        if by_name := [record for record in self.records if fold(record.name) == folded]:
            return by_name
        if len(name) < LEAST_ID_CHARACTERS:
            return []
        return [record for record in self.records if _has_id(record, folded)]

    def like(self, name: str) -> list[R]:
        """Return the records whose name is like the glob ``name``; none when it is no glob."""
        if len(name) > GLOB_CHARACTERS or not _GLOB.search(name):
            return []
        pattern = re.compile(fnmatch.translate(fold(name.strip())))
        return [record for record in self.records if pattern.match(fold(record.name)) or pattern.match(record.id)]

    def ambiguous(self, name: str, found: Sequence[R]) -> AmbiguousError:
        """Return the error that ``name`` names all of ``found``."""
        return ambiguous(self._kind, name, self._shown(found))

    def _shown(self, records: Sequence[R]) -> list[str]:
        """Return what to type for each of ``records``: the shown name where it is the only one, else the id, with
        where the record is, to choose by.
        """
        names = [self._show(record) for record in records]
        uses = Counter(names)
        return [name if uses[name] == 1 else _told_apart(record) for name, record in zip(names, records, strict=True)]


def _own_name(record: Pool | Vm | Container) -> str:
    return record.name


def _full_name(container: Container) -> str:
    return f"{container.vm_name}/{container.name}"


def _told_apart(record: Pool | Vm | Container) -> str:
    """Return the id, and in brackets by what people know which one it is."""
    place = _place(record)
    return f"{record.id} ({place})" if place else record.id


def _place(record: Pool | Vm | Container) -> str:
    match record:
        case Vm():
            host = f" on {record.host_name}" if record.host_name else ""
            return f"in the pool {record.pool_name}{host}, {record.power.value.lower()}"
        case Container():
            return f"{record.image}, {record.state}"
        case Pool():
            return record.url


def _has_id(record: Pool | Vm | Container, beginning: str) -> bool:
    if isinstance(record, Container) and record.engine_id.startswith(beginning):
        return True
    return record.id.startswith(beginning)


def _containers(inventory: Snapshot, name: str) -> list[Container]:
    name = name.strip()
    vm_name, slash, own_name = name.rpartition("/")
    by_id = inventory.containers_of(VmId(vm_name)).get(ContainerId(name))
    if by_id is not None:
        return [by_id]
    if slash and vm_name:
        return _within(inventory, name, vm_name, own_name)
    everywhere = (one for vm in inventory.vms for one in inventory.containers_of(vm).values())
    return _Kind("container", everywhere, _full_name).some(own_name)


def _within(inventory: Snapshot, name: str, vm_name: str, own_name: str) -> list[Container]:
    """Return the containers called ``own_name`` in the VMs called ``vm_name``; without a glob there must be one."""
    guests = _Kind("vm", inventory.vms.values())
    exact = guests.exact(vm_name)
    vms = exact or guests.like(vm_name)
    if not vms:
        raise missing("vm", vm_name, {vm.name for vm in inventory.vms.values()})
    kind = _Kind("container", (one for vm in vms for one in inventory.containers_of(vm.id).values()), _full_name)
    found = kind.exact(own_name)
    if len(found) > 1 and exact:
        raise kind.ambiguous(name, found)
    found = found or kind.like(own_name)
    if not found:
        near = nearest(own_name, {one.name for one in kind.records})
        listed = [_full_name(one) for one in kind.records if one.name in near]
        raise NotFoundError("no-such-container", name=name, candidates=listed[:CANDIDATES])
    return found


# ---- the other way round


def of_target(inventory: Snapshot, target: str) -> str:
    """Return what ``target``, an id as commands note it, is called now; empty where neither of its parts has a name.

    It is the id of a VM or of a pool, alone or followed by that of a container or a host, or what was given for one.
    """
    first, slash, rest = target.partition("/")
    vm, pool = inventory.vms.get(VmId(first)), inventory.pools.get(PoolId(first))
    if vm is not None:
        container = inventory.containers_of(vm.id).get(container_id(vm.id, rest))
        return vm.name + slash + (container.name if container is not None else rest)
    if pool is not None:
        host = inventory.hosts.get(HostId(rest))
        return pool.name + slash + (host.name if host is not None else rest)
    return ""


# ---- refusals


def missing(kind: str, name: str, known: set[str]) -> NotFoundError:
    """Return the error that nothing of ``kind`` is called ``name``, with the nearest of the ``known`` names."""
    return NotFoundError(f"no-such-{kind}", name=name, candidates=nearest(name, known))


def nearest(name: str, known: set[str]) -> list[str]:
    """Return up to three of ``known`` that ``name`` may be a slip of; none when there are too many to compare."""
    if len(known) > COMPARED_NAMES:
        return []
    by_fold: Mapping[str, str] = {fold(one): one for one in sorted(known)}
    return [by_fold[one] for one in difflib.get_close_matches(fold(name), by_fold, n=3, cutoff=0.7)]


def ambiguous(kind: str, name: str, candidates: Sequence[str]) -> AmbiguousError:
    """Return the error that ``name`` names several things of ``kind``, listing the first `CANDIDATES` of them."""
    listed, count = sorted(candidates)[:CANDIDATES], len(candidates)
    return AmbiguousError(
        "ambiguous-name", name=name, kind=kind, count=count, candidates=listed, more=count - len(listed)
    )
