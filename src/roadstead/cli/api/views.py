"""The API's answers as far as the command line looks at them.

Every field has a default: an answer to ``fields=`` holds only some, and a newer server may leave some out.
"""

from datetime import datetime

from msgspec import Struct, field


class Port(Struct, frozen=True, gc=False):
    """One port of a container; ``public`` is 0 when it is not published."""

    private: int = 0
    type: str = "tcp"
    public: int = 0
    ip: str = ""


class Container(Struct, frozen=True, kw_only=True, gc=False):
    """A container's record."""

    id: str = ""
    engine_id: str = ""
    name: str = ""
    vm: str = ""
    vm_name: str = ""
    pool: str = ""
    host: str | None = None
    image: str = ""
    command: str = ""
    state: str = ""
    health: str = ""
    status: str = ""
    ports: tuple[Port, ...] = ()
    created: datetime | None = None
    started: datetime | None = None
    exit_code: int | None = None
    restarting: bool = False
    as_of: datetime | None = None
    stale: bool = False
    problem: str = ""


class Problem(Struct, frozen=True):
    """Why something cannot be watched."""

    code: str = ""
    cause: str = ""
    remedy: str = ""
    since: datetime | None = None


class Counts(Struct, frozen=True):
    """How many containers a VM has; a stale one is not counted as running."""

    total: int = 0
    running: int = 0
    stale: int = 0


class Vm(Struct, frozen=True, kw_only=True):
    """A VM as the API shows it."""

    id: str = ""
    name: str = ""
    pool: str = ""
    pool_name: str = ""
    host: str | None = None
    host_name: str = ""
    power: str = ""
    addresses: tuple[str, ...] = ()
    as_of: datetime | None = None
    enabled: bool = False
    state: str = ""
    stale: bool = False
    address: str = ""
    containers: Counts = Counts()
    problem: Problem | None = None
    warning: str = ""
    """Of a VM that was enabled."""


class Certificate(Struct, frozen=True):
    """What a pool's certificate is verified by: ``fingerprint`` or ``ca``."""

    kind: str = ""
    fingerprint: str = ""


class Pool(Struct, frozen=True, kw_only=True):
    """A pool as the API shows it."""

    id: str = ""
    name: str = ""
    url: str = ""
    version: str = ""
    live: bool = False
    user: str = ""
    certificate: Certificate | None = None
    publish: str = ""
    admit: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    vms: int = 0
    managed: int = 0
    running: int = 0
    problem: Problem | None = None


class Probe(Struct, frozen=True):
    """What a pool's server shows before anybody signs in."""

    url: str = ""
    fingerprint: str = ""
    address: str = ""


class Step(Struct, frozen=True):
    """One step of the test of a pool."""

    step: str = ""
    ok: bool = False
    seconds: float = 0.0
    message: str = ""


class PoolTest(Struct, frozen=True):
    """The test of a pool, step by step."""

    ok: bool = False
    steps: tuple[Step, ...] = ()


class StepFinding(Struct, frozen=True, kw_only=True):
    """What was found at one step of the path to a VM's engine."""

    step: str = ""
    state: str = ""
    seconds: float = 0.0
    finding: str = ""
    address: str = ""
    code: str = ""
    remedy: str = ""


class OpenedVm(Struct, frozen=True, kw_only=True):
    """A VM that a pool key opens."""

    name: str = ""
    managed: bool = True


class PoolKey(Struct, frozen=True, kw_only=True):
    """A pool's public key, its line for ``authorized_keys``, and the VMs that it opens."""

    pool: str = ""
    public_key: str = ""
    fingerprint: str = ""
    line: str = ""
    vms: tuple[OpenedVm, ...] = ()


class OpeningKey(Struct, frozen=True, kw_only=True):
    """A key that opens a VM."""

    fingerprint: str = ""
    key: str = ""


class KeyedVm(Struct, frozen=True, kw_only=True):
    """A VM that keys of a pool are known to open."""

    id: str = ""
    name: str = ""
    state: str = ""
    pool_name: str = ""
    power: str = ""
    until: datetime | None = None
    keys: tuple[OpeningKey, ...] = ()


class RotatedVm(Struct, frozen=True, kw_only=True):
    """A managed VM during a rotation."""

    id: str = ""
    name: str = ""
    state: str = ""
    reason: str = ""
    needs_old: bool = False


class Rotation(Struct, frozen=True, kw_only=True):
    """How the rotation of a pool's key stands."""

    pool: str = ""
    state: str = ""
    fingerprint: str = ""
    old_fingerprint: str = ""
    vms: tuple[RotatedVm, ...] = ()


class CertificatesOf(Struct, frozen=True, kw_only=True):
    """Until when the certificates of a VM are good."""

    vm: str = ""
    name: str = ""
    pool_name: str = ""
    state: str = ""
    until: datetime | None = None
    whose: str = ""
    problem: str = ""


class NewCertificates(Struct, frozen=True, kw_only=True):
    """How the new certificates of a VM stand."""

    vm: str = ""
    name: str = ""
    state: str = ""
    addresses: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    until: datetime | None = None
    last: str = ""


class PluginState(Struct, frozen=True, kw_only=True):
    """How a pool's plugin stands with the server."""

    state: str = ""
    reason: str = ""
    url: str = ""
    fingerprint: str = ""
    since: datetime | None = None
    listen: str = ""
    hint: str = ""


class SeenHost(Struct, frozen=True, kw_only=True):
    """A host of a pool and the SSH host key that it shows, or why it shows none."""

    id: str = ""
    name: str = ""
    address: str = ""
    type: str = ""
    fingerprint: str = ""
    code: str = ""
    message: str = ""


class HostPlugin(Struct, frozen=True, kw_only=True):
    """How the plugin stands on a host."""

    name: str = ""
    state: str = ""
    version: str = ""
    former: str = ""
    backup: str = ""
    python: str = ""


class GuestOffer(Struct, frozen=True, kw_only=True):
    """What can be done in a guest that is prepared."""

    id: str = ""
    title: str = ""
    commands: tuple[str, ...] = ()
    runs_as: str = "root"
    about: tuple[str, ...] = ()
    is_needed: bool = False
    apart: bool = False


class GuestPreparation(Struct, frozen=True, kw_only=True):
    """How far a guest is, and what is asked."""

    user: str = ""
    mode: str = ""
    state: str = ""
    question: str = ""
    address: str = ""
    host_key: str = ""
    remembered: str = ""
    others: str = ""
    offers: tuple[GuestOffer, ...] = ()
    checked: tuple[tuple[str, str], ...] = ()
    line: str = ""
    addresses: tuple[str, ...] = ()
    todo: str = ""
    preparation: str = ""
    last: str = ""
    until: datetime | None = None
    done: tuple[str, ...] = ()


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Who did what."""

    at: datetime | None = None
    who: str = ""
    origin: str = field(default="", name="from")
    what: str = ""
    target: str = ""
    name: str = ""
    result: str = ""
    code: str = ""


class Why(Struct, frozen=True):
    """What stands between us and a VM."""

    vm: str = ""
    name: str = ""
    state: str = ""
    problem: Problem | None = None
    facts: tuple[tuple[str, str], ...] = ()


class Key(Struct, frozen=True):
    """A host key by type and fingerprint."""

    type: str = ""
    fingerprint: str = ""


class Wiped(Struct, frozen=True):
    """What became of what was published in a pool that was removed."""

    vms: int = 0
    left: int = 0
    reason: str = ""
    plugin: str = ""


class HostKey(Struct, frozen=True):
    """A VM's SSH host key: the remembered one, the one it shows, and how these stand to each other."""

    vm: str = ""
    pinned: Key | None = None
    expected: Key | None = None
    shown: Key | None = None
    state: str = ""


class Usage(Struct, frozen=True, kw_only=True):
    """What a container takes of its guest."""

    cpu_percent: float | None = None
    cpus: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    processes: int | None = None


class UsageResult(Struct, frozen=True, kw_only=True):
    """The usage of one container, or why there is none."""

    name: str = ""
    vm_name: str = ""
    ok: bool = False
    code: str = ""
    message: str = ""
    usage: Usage | None = None


class LogEntry(Struct, frozen=True):
    """A line that a container wrote, or a part of a long one; or a word of the server's: a notice, or why there are no
    more.
    """

    stream: str = ""
    text: str = ""
    data: bytes = b""
    time: str = ""
    partial: bool = False


class Match(Struct, frozen=True):
    """A container that a name stands for."""

    id: str = ""
    name: str = ""
    vm_name: str = ""


class Result(Struct, frozen=True):
    """What became of one target; ``ok`` is None while it is under way."""

    target: str = ""
    ok: bool | None = None
    code: str = ""
    message: str = ""


class Operation(Struct, frozen=True):
    """A command under way."""

    id: str = ""
    state: str = ""
    results: tuple[Result, ...] = ()


class Health(Struct, frozen=True):
    """How the server is."""

    version: str = ""
    number: int = 0
    uptime_seconds: float = 0.0
    pools: int = 0
    vms: int = 0
    containers: int = 0


class Found(Struct, frozen=True):
    """Answer to a search."""

    vms: tuple[Vm, ...] = ()
    containers: tuple[Container, ...] = ()


class PortFinding(Struct, frozen=True):
    """What one port of a VM did when it was tried."""

    address: str = ""
    port: int = 0
    expected: str = ""
    state: str = ""
    ok: bool = False
    remedy: str = ""


class VmFindings(Struct, frozen=True):
    """What a check of firewalls found at one VM."""

    vm: str = ""
    name: str = ""
    ok: bool = False
    ports: tuple[PortFinding, ...] = ()
    notes: tuple[str, ...] = ()


class DriveFile(Struct, frozen=True, kw_only=True):
    """A file on a config drive."""

    path: str = ""
    size: int = 0
    text: str = ""


class Beginning(Struct, frozen=True, kw_only=True):
    """The template that a config drive begins with."""

    profile: str = ""
    template: str = ""


class TextFault(Struct, frozen=True, kw_only=True):
    """Something that is wrong with a text for a config drive."""

    line: int = 0
    column: int = 0
    severity: str = ""
    message: str = ""


class CheckedText(Struct, frozen=True, kw_only=True):
    """What was found out of a text for a config drive."""

    profile: str = ""
    ok: bool = False
    faults: tuple[TextFault, ...] = ()


class DrivePreview(Struct, frozen=True, kw_only=True):
    """A config drive that would be made."""

    vm: str = ""
    name: str = ""
    profile: str = ""
    storage: str = ""
    replaces: str = ""
    replaced_key: str = ""
    applies: str = ""
    opens: bool = False
    does: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[DriveFile, ...] = ()


class MadeDrive(Struct, frozen=True, kw_only=True):
    """A config drive that was made."""

    vm: str = ""
    name: str = ""
    disk: str = ""
    profile: str = ""
    applies: str = ""
    forgotten: bool = False


class VmDrive(Struct, frozen=True, kw_only=True):
    """The config drive that a VM has."""

    vm: str = ""
    name: str = ""
    disk: str = ""
    size: int = 0
    storage: str = ""
    template: str = ""
    profile: str = ""
    key: str = ""
    ssh_keys: tuple[str, ...] = ()
    does: tuple[str, ...] = ()
    files: tuple[DriveFile, ...] = ()
