"""The records of the inventory, in the shape in which the REST API shows them.

They are msgspec structs: frozen, compact (200,000 containers must fit into memory), left out of garbage collection
(they hold no cycles), and encoded to JSON at C speed. Fields marked *joined* belong to another record and are
filled by the inventory when it takes the record in; whoever observes a container or a VM leaves them alone.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from roadstead.errors import RoadsteadError
from roadstead.model import config_keys
from roadstead.model.ids import ContainerId, HostId, PoolId, VmId

CONTAINER_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
"""Docker's words for the state of a container."""
HEALTHS = ("healthy", "unhealthy", "starting")
"""Docker's words for what a health check says."""


class PowerState(StrEnum):
    """XAPI's ``VM.power_state``; a value that we do not know is `UNKNOWN`."""

    HALTED = "Halted"
    PAUSED = "Paused"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    UNKNOWN = "Unknown"


class LinkState(StrEnum):
    """How a VM stands with us."""

    UNMANAGED = "unmanaged"
    """Container management is not enabled."""
    OFF = "off"
    """Enabled, but the VM is not running: no problem, nothing to do."""
    CONNECTING = "connecting"
    """On the way to the first listing."""
    LIVE = "live"
    """Listed, and kept current by the engine's events."""
    BROKEN = "broken"
    """Not reachable; `Link.problem` says why."""


class Problem(Struct, frozen=True, gc=False):
    """Why something cannot be watched: a stable ``code`` of the error table with its texts, and since when."""

    code: str
    cause: str
    remedy: str
    since: datetime

    @staticmethod
    def of(error: RoadsteadError, since: datetime) -> "Problem":
        """Return the problem that ``error`` is."""
        return Problem(error.code, error.cause, error.remedy, since)


class Pool(Struct, frozen=True, kw_only=True, gc=False):
    """A hypervisor pool (XAPI ``pool``). ``url`` is what the operator gave, ``master`` the id of its master host."""

    id: PoolId
    name: str
    url: str = ""
    master: HostId | None = None
    version: str = ""
    live: bool = False
    """Whether its events reach us now; when not, everything of the pool is as of ``as_of``."""
    problem: Problem | None = None
    """Why its events do not reach us; of a live pool, what it does not permit us."""
    as_of: datetime


class Host(Struct, frozen=True, kw_only=True, gc=False):
    """A host of a pool (XAPI ``host``)."""

    id: HostId
    pool: PoolId
    name: str
    address: str = ""
    enabled: bool = True
    as_of: datetime


class Engine(Struct, frozen=True, kw_only=True, gc=False):
    """What a VM's container engine says of itself (``/_ping``, ``/version``, ``/info``)."""

    vm: VmId
    name: str
    """``Docker`` or ``Podman``."""
    version: str
    api_version: str
    """The negotiated API version, which stands in every path."""
    os: str = ""
    """Operating system of the guest, as the engine names it."""
    kind: str = "linux"
    """``linux`` or ``windows`` (header ``Ostype``)."""
    containers: int = 0
    """How many containers the engine says it has; may exceed what the bounds let us list."""
    newest_api_version: str = ""
    """The newest API version that it speaks."""
    git_commit: str = ""
    arch: str = ""
    """Processor architecture, as Go names it (``amd64``)."""
    storage_driver: str = ""
    index_server: str = ""
    """Address of the registry that images without a registry's name come from; Podman says none."""
    ipv4_forwarding: bool = False


class Link(Struct, frozen=True, kw_only=True, gc=False):
    """How one VM's engine is reached, as observed by whoever holds the link."""

    vm: VmId
    state: LinkState
    since: datetime
    """When ``state`` began."""
    heard: datetime | None = None
    """When the guest was last heard; what stale containers are *as of*."""
    address: str = ""
    relay: str = ""
    """``streamlocal``, ``dial-stdio``, ``sudo``, ``socat``, ``nc``, ``python3``, ``ncat`` or ``unix``."""
    host_key: str = ""
    """SHA-256 fingerprint (``SHA256:…``) of the host key that the guest showed."""
    problem: Problem | None = None


class Vm(Struct, frozen=True, kw_only=True, gc=False):
    """A real VM of a pool (no template, snapshot or control domain), or the stand-in for an engine without a pool."""

    id: VmId
    pool: PoolId
    name: str
    host: HostId | None = None
    """Where it runs (``VM.resident_on``); None when it does not."""
    power: PowerState = PowerState.UNKNOWN
    addresses: tuple[str, ...] = ()
    """As the guest tools announce them, in the order of the VIFs; untrusted free text; empty unless it runs."""
    has_tools: bool = True
    """Whether its guest tools have said anything since it was started; counts only while it runs."""
    started: datetime | None = None
    """When it was started; None unless it runs, or when the pool does not say."""
    tags: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    """The keys of ``VM.other_config`` that concern us, as they stand there (untrusted)."""
    as_of: datetime
    no_address_since: datetime | None = None
    """Joined; since when it runs without announcing an address, as one that has just started does."""
    pool_name: str = ""
    """Joined."""
    host_name: str = ""
    """Joined."""
    link: Link | None = None
    """Joined; None until somebody looked at the VM."""
    engine: Engine | None = None
    """Joined; the engine as last known."""

    @property
    def enabled(self) -> bool:
        """Whether container management is enabled: only the exact ``True`` counts, as it always did."""
        return self.settings.get(config_keys.MONITOR) == config_keys.ENABLED

    @property
    def running(self) -> bool:
        """Whether the VM runs, by the pool's account."""
        return self.power is PowerState.RUNNING


class Port(Struct, frozen=True, gc=False, omit_defaults=True):
    """One port of a container; ``public`` is 0 and ``ip`` empty when it is not published."""

    private: int
    type: str = "tcp"
    public: int = 0
    ip: str = ""


class Container(Struct, frozen=True, kw_only=True, gc=False):
    """One container of one VM's engine, as last known."""

    id: ContainerId
    engine_id: str
    name: str
    vm: VmId
    vm_name: str = ""
    """Joined."""
    pool: PoolId = PoolId("")
    """Joined."""
    host: HostId | None = None
    """Joined."""
    image: str = ""
    command: str = ""
    state: str = ""
    """Docker's word: created, running, paused, restarting, removing, exited, dead; as last known when stale."""
    health: str = ""
    """``healthy``, ``unhealthy``, ``starting``, or empty when there is no health check."""
    status: str = ""
    """The engine's own phrase, for example ``Up 3 minutes (healthy)``; it ages, ``as_of`` says from when it is."""
    ports: tuple[Port, ...] = ()
    labels: dict[str, str] = {}
    created: datetime | None = None
    started: datetime | None = None
    """From the engine's start event when we saw it, otherwise worked out of ``status`` and as coarse as that."""
    exit_code: int | None = None
    restarting: bool = False
    isolation: str = ""
    """On Windows ``process`` or ``hyperv``, as far as the engine tells; empty elsewhere."""
    as_of: datetime
    """When the engine last said so; for a stale container, when the guest was last heard."""
    stale: bool = False
    """Joined: the guest is not being heard, so ``state`` is only what it was."""
    problem: str = ""
    """Joined: code of the VM's problem, when that is why the container is stale."""


Record = Pool | Host | Vm | Link | Engine | Container
"""Everything that can be observed."""
