"""Why a guest may refuse its pool's key: nobody put the key in, or the VM came from another pool, whose key it holds.

Each pool has a key of its own, and what a VM's ``other_config`` says (managed, as whom, its host key) comes along when
it is migrated to another pool. No guest tells whose key it holds, so this is concluded from what was seen, and told as
likely where nothing more can be said.
"""

from dataclasses import dataclass

from roadstead.errors import LinkError
from roadstead.model import Vm
from roadstead.plan.pins import Memory, pool_pin

REFUSED, MOVED = "key-rejected", "key-of-another-pool"
KEY_PROBLEMS = frozenset({REFUSED, MOVED})
"""The problems of a guest that does not take the pool's key."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What was seen of a VM before it refused the key."""

    opened_here: bool
    """Whether a key of its present pool ever opened it."""
    opened_by: tuple[str, ...]
    """Names of the other pools whose keys opened it."""
    memory: Memory


def explain(error: LinkError, vm: Vm, origin: Origin) -> LinkError:
    """Return ``error`` as it reads for a VM that holds another pool's key, as far as can be told."""
    evidence = _evidence(vm, origin) if error.code == REFUSED else ""
    return LinkError(MOVED, **error.fields, evidence=evidence) if evidence else error


def _evidence(vm: Vm, origin: Origin) -> str:
    """What says that ``vm`` came from another pool; nothing without any.

    A VM that this pool's key opened once is from here, whatever else was seen. One that Roadstead reached in another
    pool has moved. And one that was managed and had a remembered host key when it first appeared, in a pool whose VMs
    we knew, brought that along; another server of this pool may have enabled it in the same moment, hence "likely". A
    pin that was forgotten here (by ``unprepare``, say) was brought by nobody, although the pool shows it a while still.
    """
    if origin.opened_here:
        return ""
    if origin.opened_by:
        return f"before it came here the key of the pool {', '.join(origin.opened_by)} opened it"
    memory = origin.memory
    brought = pool_pin(vm, memory) and memory.last is None and memory.pool_known
    return "it was managed and its host key remembered when it came here" if brought else ""
