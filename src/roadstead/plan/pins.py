"""What to make of a VM's remembered SSH host key: before the handshake, and after it.

The pin stands in the pool (``VM.other_config:xscontainer-sshhostkey``), where the old pack and other instances find
it. Our database remembers each VM's last pin, so that one that vanished or was copied with a clone is noticed.
"""

from dataclasses import dataclass
from enum import Enum

from roadstead.errors import LinkError
from roadstead.model import Snapshot, Vm, config_keys

HOST_KEY = config_keys.HOST_KEY


class Standing(Enum):
    """How a VM's pin stands."""

    PINNED = "pinned"
    """The pool remembers the key."""
    VANISHED = "vanished"
    """The pool lost it; we remember it: another key than that one is for the operator to judge."""
    EXPECTED = "expected"
    """The operator said which key the VM must show, whatever is remembered."""
    NONE = "none"
    """First contact."""


class Amends(Enum):
    """What is to be done about the pin that the pool holds of a VM that we are connected to."""

    NOTHING = "nothing"
    WRITE = "write"
    """Put the key that we remember into the pool."""
    CALL_ANEW = "call anew"
    """Somebody else changed the pin, and the pool's pin rules: the guest is held to it in a new handshake."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What the handshake must hold the guest to. ``key`` is the base64 blob, None at first contact."""

    standing: Standing
    key: str | None = None
    confirmed: str | None = None
    """Another key (``<type> <fingerprint>``) that the operator said yes to; of one that was said beforehand the type
    may be empty.
    """


@dataclass(frozen=True, slots=True)
class Memory:
    """What we know of one VM: its ``last`` pin, and whether its pool was known before the VM came."""

    last: str | None = None
    pool_known: bool = False
    is_anothers: bool = False
    """Whether the pin that the pool holds of a VM that was never met is the last one of another VM."""
    forgotten: frozenset[str] = frozenset()
    """The keys that the operator had forgotten: the pool may show them as its pin for a moment still."""
    expected: str | None = None
    """The key (``<type> <fingerprint>``, the type may be empty) that the operator said the VM must show."""
    consent: str | None = None
    """The key (``<type> <fingerprint>``) that the operator compared and confirmed for the next contact."""
    address_accepted: bool = False
    """Whether the operator said that the VM may be called at an address that another announces, too."""


HOST_KEY_PROBLEMS = frozenset(
    {"host-key-changed", "host-key-forgotten", "host-key-shared", "host-key-type-gone", "host-key-not-as-said"}
)
"""The problems that wait for the operator to judge a host key."""


def pin_before(vm: Vm, memory: Memory, snapshot: Snapshot) -> Pin:
    """Return what the guest is held to in the next handshake."""
    if memory.expected is not None:
        return Pin(Standing.EXPECTED, confirmed=memory.expected)
    key = pool_pin(vm, memory)
    if key and not _is_copy(vm, key, memory, snapshot):
        return Pin(Standing.PINNED, key, memory.consent)
    if not key and memory.last is not None:
        return Pin(Standing.VANISHED, memory.last, memory.consent)
    return Pin(Standing.NONE, confirmed=memory.consent)


def pool_pin(vm: Vm, memory: Memory) -> str | None:
    """Return the pin that the pool holds of ``vm``; None without any, and for one that the operator had forgotten."""
    key = vm.settings.get(config_keys.HOST_KEY)
    return key if key and key not in memory.forgotten else None


def amends(vm: Vm, memory: Memory, *, signed_in: bool) -> Amends:
    """Return what is to be done about the pin of ``vm``, which is connected; ``signed_in`` when its key was only just
    accepted (at first contact, or since the operator confirmed it) and replaces whatever the pool holds.
    """
    pin = vm.settings.get(config_keys.HOST_KEY)
    if memory.last is None or pin == memory.last:
        return Amends.NOTHING
    return Amends.WRITE if signed_in or not pin else Amends.CALL_ANEW


def explain(error: LinkError, pin: Pin) -> LinkError:
    """Return ``error`` as it reads for this pin: with one that vanished there is nothing to compare with but our own
    memory, and what the operator said beforehand is not what was remembered.
    """
    if pin.standing is Standing.EXPECTED and pin.confirmed is not None:
        return _unexpected(error, pin.confirmed)
    if error.code == "host-key-changed" and pin.standing is Standing.VANISHED:
        return LinkError("host-key-forgotten", **error.fields)
    return error


def _unexpected(error: LinkError, expected: str) -> LinkError:
    if error.code == "host-key-changed":
        fields = {**error.fields, "expected": expected.strip()}
        return LinkError("host-key-not-as-said", **fields)
    if error.code == "host-key-type-gone":
        return LinkError(
            "host-key-not-as-said", shown="none of this type", type=error.fields.get("type"), expected=expected.strip()
        )
    return error


def _is_copy(vm: Vm, key: str, memory: Memory, snapshot: Snapshot) -> bool:
    """Whether the pin came with a VM that is new to us, from another, which may be off or gone by now."""
    if memory.last is not None or not memory.pool_known:
        return False
    return memory.is_anothers or bool(snapshot.pinned(key) - {vm.id})
