"""Which guest is to be connected, and with what: the record that a handshake needs to know."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from roadstead.errors import LinkError
from roadstead.model import LinkState, Snapshot, Vm, VmId
from roadstead.plan import addresses, pins
from roadstead.plan.access import Access, Defaults, TlsAccess, access_of, check_mode, tls_access_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """One connection to be made."""

    vm: VmId
    access: Access
    addresses: tuple[str, ...]
    """Allowed, in order, best first."""
    pin: pins.Pin


@dataclass(frozen=True, slots=True)
class WantedTls:
    """One connection over TLS to be made; whose address it is, the certificate decides."""

    access: TlsAccess
    addresses: tuple[str, ...]
    """Allowed, in order, best first."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What planning a link needs besides the snapshot."""

    defaults: Defaults
    rules: addresses.Rules
    memory: pins.Memory
    winner: str | None = None
    """The address that answered last time."""
    now: datetime | None = None
    boot_seconds: float = 0.0
    """How long a VM that has just started may take to announce an address."""


def wanted_state(vm: Vm | None) -> LinkState:
    """Return how ``vm`` is meant to stand with us; `LinkState.CONNECTING` means that a link is wanted."""
    if vm is None or not vm.enabled:
        return LinkState.UNMANAGED
    return LinkState.CONNECTING if vm.running else LinkState.OFF


def wanted(vm: Vm, snapshot: Snapshot, circumstances: Circumstances) -> Wanted:
    """Return the connection over SSH that ``vm``, which is to be connected, needs now.

    Raises `LinkError` when its settings or addresses forbid one: ``mode-unsupported``, ``setting-invalid``,
    ``no-address-yet``, ``no-address``, ``no-guest-tools``, ``address-not-allowed``, ``address-claimed-twice``.
    """
    check_mode(vm)
    return _wanted(vm, snapshot, circumstances)


def _wanted(vm: Vm, snapshot: Snapshot, circumstances: Circumstances) -> Wanted:
    access = access_of(vm, circumstances.defaults)
    usable = _usable(vm, access.address, circumstances)
    pin = pins.pin_before(vm, circumstances.memory, snapshot)
    is_known = pin.key is not None or pin.confirmed is not None
    if not is_known and not circumstances.memory.address_accepted:
        usable = addresses.unclaimed(vm, usable, snapshot)
    return Wanted(vm.id, access, usable, pin)


def wanted_for_preparing(vm: Vm, snapshot: Snapshot, circumstances: Circumstances) -> Wanted:
    """Return how ``vm`` is called while somebody prepares it, who confirms its host key: an address that others
    announce, too, may be called then, and its mode may be any. Raises as `wanted`.
    """
    memory = replace(circumstances.memory, address_accepted=True)
    return _wanted(vm, snapshot, replace(circumstances, memory=memory))


def wanted_tls(vm: Vm, circumstances: Circumstances) -> WantedTls:
    """Return the connection over TLS that ``vm``, which is to be connected, needs now.

    Raises `LinkError` ``setting-invalid``, ``no-address-yet``, ``no-address``, ``no-guest-tools``,
    ``address-not-allowed``.
    """
    access = tls_access_of(vm)
    return WantedTls(access, _usable(vm, access.address, circumstances))


def _usable(vm: Vm, given: str | None, circumstances: Circumstances) -> tuple[str, ...]:
    """Return the addresses that may be called; ``given`` is one that the operator gave."""
    if given is None and _is_booting(vm, circumstances):
        raise LinkError("no-address-yet", vm=vm.id)
    return addresses.candidates(vm, given, circumstances.winner, circumstances.rules)


def _is_booting(vm: Vm, circumstances: Circumstances) -> bool:
    """Whether ``vm`` announces no address, but not for so long that something must be wrong."""
    since, now = vm.no_address_since, circumstances.now
    return since is not None and now is not None and now - since < timedelta(seconds=circumstances.boot_seconds)


def owner(host_key: str, vm: VmId, snapshot: Snapshot) -> str | None:
    """Return the names of the other running VMs whose remembered key is ``host_key`` (base64 blob), or None."""
    owners = [snapshot.vms[each] for each in snapshot.pinned(host_key) - {vm}]
    return ", ".join(sorted(each.name for each in owners if each.running)) or None
