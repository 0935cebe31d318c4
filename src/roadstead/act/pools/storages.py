"""What is asked of a storage in which a small disk is made: a host that sees it, and what its refusals mean."""

from roadstead.errors import ConflictError, PoolError
from roadstead.peers.xapi.messages.disks import Storage

_FULL = frozenset({"SR_BACKEND_FAILURE_44", "SR_FULL", "SR_BACKEND_FAILURE_110"})
_UNSEEN = frozenset({"SR_HAS_NO_PBDS", "SR_NOT_ATTACHED", "SR_NO_PBDS"})


def host_of(storage: Storage) -> str:
    """Return the address of a host that sees the storage (empty: the master).

    Raises `ConflictError` ``storage-refuses`` for one that keeps CDs, ``storage-unseen`` when no host sees it.
    """
    if storage.is_for_cds:
        raise ConflictError("storage-refuses", storage=storage.name, reason="it keeps CDs")
    if storage.host is None:
        raise ConflictError("storage-unseen", storage=storage.name)
    return storage.host


def fault(error: PoolError, storage: Storage, size: int) -> PoolError | ConflictError:
    """Return what a storage that makes no disk of ``size`` bytes means for who asked for it."""
    if error.code != "pool-call-failed":
        return error
    word = error.fields.get("xapi", "")
    if word in _FULL:
        return ConflictError("storage-full", storage=storage.name, size=size)
    if word in _UNSEEN:
        return ConflictError("storage-unseen", storage=storage.name)
    return ConflictError("storage-refuses", storage=storage.name, reason=error.fields["reason"])
