"""`roadstead lab`: a pool with guests that runs until it is stopped, and orders to a lab that runs."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from roadstead.errors import InputError, StartError
from roadstead.lab import control
from roadstead.lab.guests import GuestMaker
from roadstead.lab.guests.profiles import WINDOWS_PROFILE
from roadstead.lab.guests.real import RealGuests
from roadstead.lab.guests.simulated import GUESTS_PER_PROCESS, SimulatedGuests
from roadstead.lab.guests.tlsd import PORT as TLS_PORT
from roadstead.lab.pool import contents, dom0, historic
from roadstead.lab.pool.driver import NewVm
from roadstead.lab.pool.profiles import CURRENT, PROFILES
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.state import WINDOWS, Folder
from roadstead.model import parse_address

PORT = 8443
NETWORK = "10.213.0.0/16"
HOSTS, SECOND_HOSTS = "127.88.0", "127.88.1"
"""Where the hosts of the two pools are."""
SECOND_FIRST = 101
SECOND_MOST = 2_000
CONFORMANCE_VMS = ("vm1", "vm2")
LABPLUG = Path(dom0.__file__).parent / "labplug"

_FILES_OF_ONE_GUEST = 6
_FILES_BESIDES = 1024


@dataclass(frozen=True, slots=True)
class LabOptions:
    """The options of `roadstead lab`, named like them."""

    state: Path
    hosts: int = 3
    vms: int = 5
    containers: int = 20
    guests: Literal["simulated", "real", "none"] = "simulated"
    rate: float = 0.0
    """Changes a second that containers make by themselves, all guests together."""
    port: int = PORT
    seed: int = 0
    vm: tuple[str, ...] = field(default=())
    """VMs of somebody else: `NAME=ADDRESS[,ADDRESS…][@USER]`, or a name alone."""
    plugin: tuple[Path, ...] = field(default=())
    """Files for the hosts' plugin folder."""
    conformance: bool = False
    """Whether the pool holds what the conformance script asks for."""
    windows: int = 0
    """How many further VMs run Windows: with an engine that is simulated, and reached over TLS."""
    raw: int = 0
    """How many further VMs nobody has prepared: their users have the pool's password."""
    historic: bool = False
    """Whether the old pack's keys are there already."""
    second: int = 0
    """How many VMs a second pool has; none: there is no second pool."""
    profile: str = CURRENT.name
    """The release that the pools pass for."""
    network: str = NETWORK
    """Where real guests get their addresses from."""
    json: bool = False
    """Whether the caller prints `LabReady.line`; nothing here depends on it."""


@dataclass(frozen=True, slots=True)
class LabReady:
    """What one needs to use a lab that is ready."""

    url: str
    fingerprint: str
    """SHA-256 of the master's certificate, pairs of digits with colons between."""
    user: str
    password_file: Path
    state: Path
    admit: tuple[str, ...]
    """The networks of its guests, for `pool add --admit`."""
    vms: int = 0
    """How many VMs the pool has."""
    notes: tuple[str, ...] = ()
    """Sentences that the operator should read, for example that the limit of open files is too low."""
    second: LabReady | None = None
    """The second pool."""

    @property
    def line(self) -> str:
        """The one line that `--json` prints."""
        return json.dumps(self.told)

    @property
    def told(self) -> dict[str, object]:
        """The same, not yet as text."""
        told: dict[str, object] = {
            "url": self.url,
            "fingerprint": self.fingerprint,
            "user": self.user,
            "password_file": str(self.password_file),
            "state": str(self.state),
            "admit": list(self.admit),
            "vms": self.vms,
        }
        return told if self.second is None else {**told, "second": self.second.told}


async def run_lab(options: LabOptions, *, ready: Callable[[LabReady], None]) -> None:
    """Run a lab until cancelled; `ready` is called once, when all VMs have booted.

    The state folder decides what the pool is: hosts and VMs of an earlier run are there again, and `vms` only adds
    what is missing.  `InputError` for options that make no sense, `StartError` when the lab cannot begin.
    """
    extra = tuple(_parse_vm(text) for text in checked(options).vm)
    notes = _raise_open_files(options)
    async with AsyncExitStack() as stack:
        second = await _second(stack, options) if options.second else None
        pool = await _open(stack, _Wanted(options, _absolute(options.state), extra=extra, neighbour=second))
        ready(await _ready(pool, options, notes, None if second is None else await _ready(second, options)))
        await asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One pool of the lab: what tells it apart from the other."""

    options: LabOptions
    state: Path
    extra: tuple[NewVm, ...] = ()
    neighbour: LabPool | None = None
    label: str = "lab"
    network: str = HOSTS
    first: int = 1
    """The number in the name of its first VM."""


async def _second(stack: AsyncExitStack, options: LabOptions) -> LabPool:
    """The second pool, in a folder within that of the first, at addresses of its own."""
    changed = replace(options, vms=options.second, windows=0, raw=0, seed=options.seed + 1, conformance=False)
    state = _absolute(options.state)
    # The outer folder first, so that it is its owner's alone.
    await asyncio.to_thread(Folder(state).make)
    return await _open(
        stack,
        _Wanted(changed, state / "second", label="lab-2", network=SECOND_HOSTS, first=SECOND_FIRST),
    )


async def _open(stack: AsyncExitStack, wanted: _Wanted) -> LabPool:
    """Start a pool, with all that it is to hold, until `stack` is closed."""
    options = wanted.options
    maker = await asyncio.to_thread(_guest_maker, wanted)
    pool = LabPool(
        wanted.state,
        hosts=options.hosts,
        port=options.port,
        network=wanted.network,
        guests=maker,
        seed=options.seed,
    )
    pool.label, pool.profile, pool.neighbour = wanted.label, PROFILES[options.profile], wanted.neighbour
    pool.windows_maker = _windows_maker(wanted)
    await stack.enter_async_context(pool)
    if options.conformance:
        pool.add_bare_vms(*CONFORMANCE_VMS)
    for file in (*options.plugin, *((LABPLUG,) if options.conformance else ())):
        await pool.core.plugins.install(file)
    await _populate(pool, options, wanted)
    if options.historic:
        await historic.leave(pool)
        await pool.save()
    await pool.machines.set_rate(options.rate)
    await stack.enter_async_context(control.listening(pool))
    return pool


async def _ready(
    pool: LabPool, options: LabOptions, notes: tuple[str, ...] = (), second: LabReady | None = None
) -> LabReady:
    return LabReady(
        url=pool.url,
        fingerprint=pool.fingerprint,
        user=pool.user,
        password_file=pool.folder.password_file,
        state=pool.folder.path,
        admit=await pool.machines.networks(),
        vms=len(pool.machines.known),
        notes=notes + _kept_notes(pool, options) + _boot_notes(pool),
        second=second,
    )


def _absolute(path: Path) -> Path:
    return path.absolute()


def checked(options: LabOptions) -> LabOptions:
    """Return ``options``. Raises `InputError` when they make no sense."""
    for name, least, most in (
        ("hosts", 1, 64),
        ("vms", 0, 50_000),
        ("windows", 0, 2_000),
        ("raw", 0, 100),
        ("containers", 0, 4096),
        ("port", 0, 65535),
    ):
        value = getattr(options, name)
        if not least <= value <= most:
            raise InputError("field-invalid", field=f"--{name}", reason=f"{value} is not between {least} and {most}")
    if not 0 <= options.second <= SECOND_MOST:
        reason = f"{options.second} is not between 0 and {SECOND_MOST}"
        raise InputError("field-invalid", field="--second-pool", reason=reason)
    if options.profile not in PROFILES:
        reason = f"{options.profile} is not one of {', '.join(PROFILES)}"
        raise InputError("field-invalid", field="--profile", reason=reason)
    if not 0 <= options.rate < float("inf"):
        raise InputError("field-invalid", field="--rate", reason=f"{options.rate} is not a rate")
    _check_raw(options)
    for text in options.vm:
        _parse_vm(text)
    return options


def _check_raw(options: LabOptions) -> None:
    if not options.raw:
        return
    if options.guests == "none":
        raise InputError("field-invalid", field="--raw", reason="without guests there is nothing to prepare")
    if options.guests == "simulated" and options.vms + options.windows + options.raw > GUESTS_PER_PROCESS:
        reason = f"among simulated guests they are possible in a pool of up to {GUESTS_PER_PROCESS} VMs"
        raise InputError("field-invalid", field="--raw", reason=reason)


def _parse_vm(text: str) -> NewVm:
    name, announces, rest = text.partition("=")
    listed, _, user = rest.partition("@")
    addresses = tuple(filter(None, (address.strip() for address in listed.split(","))))
    if not name or (announces and not addresses):
        raise InputError("field-invalid", field="--vm", reason=f"{text} is not NAME[=ADDRESS[,ADDRESS…][@USER]]")
    for address in addresses:
        if parse_address(address) is None:
            raise InputError("field-invalid", field="--vm", reason=f"{address} is no IP address")
    return NewVm(name, 0, enabled=False, addresses=addresses, user=user)


def _guest_maker(wanted: _Wanted) -> GuestMaker | None:
    options = wanted.options
    if options.guests == "none":
        return None
    folder = Folder(wanted.state)
    folder.make()
    folder.claim(options.guests)
    if options.guests == "real":
        return RealGuests(folder.guests, options.network)
    return SimulatedGuests(folder.guests, options.rate, options.seed)


def _windows_maker(wanted: _Wanted) -> GuestMaker:
    folder, options = Folder(wanted.state), wanted.options
    return SimulatedGuests(
        folder.guests / WINDOWS,
        options.rate,
        options.seed,
        base_port=TLS_PORT,
        profile=WINDOWS_PROFILE,
        is_tls=True,
    )


async def _populate(pool: LabPool, options: LabOptions, of: _Wanted) -> None:
    """Make the VMs that are missing, and let those of others announce what was asked for."""
    missing = max(0, options.vms - pool.seeded_vms)
    for name in contents.names(missing, pool.seeded_vms + of.first):
        await pool.make_vm(NewVm(name, options.containers), wait=False)
    pool.seeded_vms += missing
    there = sum(machine.kind == WINDOWS for machine in pool.machines.known.values())
    for number in range(there + 1, options.windows + 1):
        await pool.make_vm(NewVm(f"win-{number}", options.containers, kind=WINDOWS), wait=False)
    raw = sum(machine.raw for machine in pool.machines.known.values())
    for number in range(raw + 1, options.raw + 1):
        await pool.make_vm(NewVm(f"raw-{number}", options.containers, enabled=False, raw=True), wait=False)
    if pool.is_new:
        pool.decorate()
    for wanted in of.extra:
        await _adopt(pool, wanted)
    await pool.machines.booted()
    await pool.save()


def _kept_notes(pool: LabPool, options: LabOptions) -> tuple[str, ...]:
    """A sentence when the pool of an earlier run holds something else than the options ask for."""
    made = [machine for machine in pool.machines.known.values() if machine.number]
    has_more = pool.seeded_vms > options.vms and pool.label == "lab"
    if pool.is_new or not (has_more or any(machine.containers != options.containers for machine in made)):
        return ()
    stays = "The VMs of an earlier run stay as they were made; --vms and --containers count for VMs that are added."
    return (f"{stays} To begin anew, choose another --state or remove {pool.folder.path}.",)


def _boot_notes(pool: LabPool) -> tuple[str, ...]:
    """A sentence for each guest that did not boot; `StartError` when none did: the lab would show nothing."""
    failures = pool.machines.failures
    made = [uuid for uuid, machine in pool.machines.known.items() if machine.number]
    if failures and len(failures) == len(made):
        raise StartError("lab-guests-failed", reason=next(iter(failures.values())))
    return tuple(f"The guest of VM {uuid} did not boot: {reason}" for uuid, reason in failures.items())


async def _adopt(pool: LabPool, wanted: NewVm) -> None:
    refs = pool.find_all(wanted.name)
    if not refs:
        await pool.make_vm(wanted, wait=False)
        return
    pool.set_addresses(wanted.name, wanted.addresses or ())
    if wanted.user:
        pool.set_user(wanted.name, wanted.user)
    if pool.core.vm(refs[0])["power_state"] == "Halted":
        await pool.start_vm(wanted.name)


def _raise_open_files(options: LabOptions) -> tuple[str, ...]:
    """Raise the limit of open files as far as allowed; a sentence when that may not be enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = _FILES_BESIDES + _FILES_OF_ONE_GUEST * min(options.vms, GUESTS_PER_PROCESS)
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return ()
    return (f"The lab may open {hard} files, but {options.vms} VMs need about {wanted}: raise `ulimit -Hn`.",)
