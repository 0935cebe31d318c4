"""A sample of a container's statistics, as an engine tells them: ``GET /containers/{id}/stats``.

What a container used of the CPUs is the difference of two samples. Engines that send an earlier one along
(``precpu_stats``) take a second for it, others leave it empty; so both are our own.
Sources: the recordings in ``tests/data/engine``; moby's ``api/types/container/stats.go`` and
``daemon/stats_windows.go``; Docker's own command (``docker/cli``, ``command/container/stats_helpers.go``) for what
counts as used memory.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from roadstead.kit import moments
from roadstead.model import Usage
from roadstead.peers.engine.messages.guarded import check_depth, fitted, invalid, tolerant

MOST = 2**53
"""A larger count is none: XFS ends below it, and every client reads up to it exactly. Without a limit of memory an
engine may tell the largest number that it knows.
"""
TICK_NS = 100
"""Windows counts CPU time in units of 100 ns."""
_NEVER = "0001-01-01T00:00:00Z"
"""The zero of Go's times."""
_CACHED = ("total_inactive_file", "inactive_file")
"""What of the used memory is files that the kernel would drop first: under cgroup v1, and under v2."""


class CpuTime(Struct, gc=False):
    """CPU time that a container has used, in ns, on Windows in units of 100 ns."""

    total_usage: int | None = None
    percpu_usage: list[int] | None = None


class CpuAnswer(Struct, gc=False):
    """``cpu_stats``."""

    cpu_usage: CpuTime = field(default_factory=CpuTime)
    online_cpus: int | None = None


class MemoryAnswer(Struct, gc=False):
    """``memory_stats``: the first three of Linux, the last one of Windows. ``stats`` are the figures of the cgroup."""

    usage: int | None = None
    limit: int | None = None
    stats: dict[str, int] | None = None
    privateworkingset: int | None = None


class Interface(Struct, gc=False):
    """One network interface, in bytes."""

    rx_bytes: int = 0
    tx_bytes: int = 0


class Transfer(Struct, gc=False):
    """Bytes that were read from or written to one device; ``op`` is written large under cgroup v1."""

    op: str = ""
    value: int = 0


class DiskAnswer(Struct, gc=False):
    """``blkio_stats``, of Linux."""

    io_service_bytes_recursive: list[Transfer] | None = None


class StorageAnswer(Struct, gc=False):
    """``storage_stats``, of Windows, in bytes."""

    read_size_bytes: int | None = None
    write_size_bytes: int | None = None


class PidsAnswer(Struct, gc=False):
    """``pids_stats``."""

    current: int | None = None


class StatsAnswer(Struct, gc=False):
    """What is read of an answer."""

    read: str = ""
    os_type: str = ""
    num_procs: int = 0
    cpu_stats: CpuAnswer = field(default_factory=CpuAnswer)
    memory_stats: MemoryAnswer = field(default_factory=MemoryAnswer)
    networks: dict[str, Interface] | None = None
    network: Interface | None = None
    blkio_stats: DiskAnswer = field(default_factory=DiskAnswer)
    storage_stats: StorageAnswer = field(default_factory=StorageAnswer)
    pids_stats: PidsAnswer = field(default_factory=PidsAnswer)


class Sample(Struct, frozen=True, gc=False):
    """One sample; None stands for what the engine does not tell."""

    at_ns: int
    """When it was taken, by the engine's clock, in ns since the epoch."""
    cpu_ns: int | None
    """CPU time used since the container's start, of all CPUs together."""
    told: Usage
    """All that one sample tells, without the use of CPUs."""


def read_sample(data: bytes, depth: int, kind: str, as_of: datetime) -> Sample | None:
    """Read the body of an answer with status 200 that came at ``as_of``, of an engine of the ``kind`` ``linux`` or
    ``windows`` (from API 1.52 on the answer says so itself).

    Returns None when it holds no sample, as of a container that does not run: Docker's is zeroed, of the year 1;
    Podman 4.3's is empty; that of later ones is an error in spite of the status.

    Raises `EngineError` ``engine-answer-invalid``.
    """
    if not data.strip():
        return None
    check_depth(data, depth)
    told = fitted(tolerant(data), StatsAnswer)
    if told is None:
        raise invalid("it is no JSON object")
    at_ns = moments.nanoseconds(told.read) if told.read != _NEVER else None
    if at_ns is None:
        return None
    is_windows = (told.os_type or kind) == "windows"
    used = _count(told.cpu_stats.cpu_usage.total_usage)
    if used is not None and is_windows:
        used *= TICK_NS
    return Sample(at_ns, used, _windows(told, as_of) if is_windows else _linux(told, as_of))


def usage(first: Sample, second: Sample) -> Usage:
    """Return what a container takes, as two samples of it tell. The use of CPUs is not told of one that was started
    anew in between, nor by an engine whose clock stands or goes back.
    """
    return replace(second.told, cpu_percent=_percent(first, second))


def _percent(first: Sample, second: Sample) -> float | None:
    passed = second.at_ns - first.at_ns
    if first.cpu_ns is None or second.cpu_ns is None or second.cpu_ns < first.cpu_ns or passed <= 0:
        return None
    return round(100 * (second.cpu_ns - first.cpu_ns) / passed, 2)


def _linux(told: StatsAnswer, as_of: datetime) -> Usage:
    memory, cpu = told.memory_stats, told.cpu_stats
    received, sent = _transmitted(told)
    return Usage(
        as_of=as_of,
        # Below API 1.27 the CPUs are to be counted; under cgroup v2 they cannot be.
        cpus=_count(cpu.online_cpus) or len(cpu.cpu_usage.percpu_usage or ()) or None,
        memory_bytes=_used(_count(memory.usage), memory.stats or {}),
        memory_limit_bytes=_count(memory.limit) or None,
        network_received_bytes=received,
        network_sent_bytes=sent,
        disk_read_bytes=_transferred(told.blkio_stats, "read"),
        disk_written_bytes=_transferred(told.blkio_stats, "write"),
        processes=_count(told.pids_stats.current),
    )


def _windows(told: StatsAnswer, as_of: datetime) -> Usage:
    received, sent = _transmitted(told)
    return Usage(
        as_of=as_of,
        cpus=_count(told.num_procs) or None,
        memory_bytes=_count(told.memory_stats.privateworkingset),
        network_received_bytes=received,
        network_sent_bytes=sent,
        disk_read_bytes=_count(told.storage_stats.read_size_bytes),
        disk_written_bytes=_count(told.storage_stats.write_size_bytes),
    )


def _used(all_of_it: int | None, stats: dict[str, int]) -> int | None:
    cached = next((stats[name] for name in _CACHED if name in stats), 0)
    return all_of_it if all_of_it is None or not 0 <= cached < all_of_it else all_of_it - cached


def _transmitted(told: StatsAnswer) -> tuple[int | None, int | None]:
    """Return the bytes received and sent over all interfaces; one without a name is of API 1.20 and older."""
    interfaces = list((told.networks or {}).values()) or ([told.network] if told.network is not None else [])
    if not interfaces:
        return None, None
    return _sum(one.rx_bytes for one in interfaces), _sum(one.tx_bytes for one in interfaces)


def _transferred(disk: DiskAnswer, op: Literal["read", "write"]) -> int | None:
    transfers = disk.io_service_bytes_recursive
    return None if transfers is None else _sum(one.value for one in transfers if one.op.lower() == op)


def _sum(values: Iterable[int]) -> int | None:
    return _count(sum(value for value in values if value > 0))


def _count(value: int | None) -> int | None:
    return value if value is not None and 0 <= value < MOST else None
