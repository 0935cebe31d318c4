"""Usage: what a container takes of its guest, as two samples of its engine's statistics tell."""

from datetime import datetime

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """What a container takes; None stands for what its engine does not tell. Counts of bytes are since its start."""

    as_of: datetime
    cpu_percent: float | None = None
    """Of one CPU, on average between the two samples: 100 is one CPU that does nothing else, 200 are two."""
    cpus: int | None = None
    """How many CPUs the guest has."""
    memory_bytes: int | None = None
    """Without what the kernel can take back at once (cached files); on Windows the private working set."""
    memory_limit_bytes: int | None = None
    """The memory of the guest when the container has no limit of its own."""
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    processes: int | None = None
    """Processes and threads."""


class UsageResult(Struct, frozen=True, kw_only=True, gc=False):
    """The usage of one container, or why there is none: then ``code`` and ``message`` are those of an
    error.
    """

    id: str
    name: str
    vm: str
    vm_name: str
    ok: bool = False
    code: str = ""
    message: str = ""
    usage: Usage | None = None
