"""What a guest is held to: the pin, our memory of one, or nothing at first contact."""

from dataclasses import replace
from datetime import timedelta

import pytest

from roadstead.errors import LinkError
from roadstead.inventory.store import Store
from roadstead.model import LinkState, PowerState, Seen, Vm, VmId
from roadstead.plan import pins
from roadstead.plan.access import Defaults
from roadstead.plan.addresses import Rules
from roadstead.plan.links import Circumstances, Wanted, owner, wanted, wanted_state
from roadstead.plan.pins import Amends, Memory, Pin, Standing
from tests.unit.fakes import records

KEY, OTHER = "AAAAkey", "AAAAother"
FIRST_CONTACT = Pin(Standing.NONE)


def _vm(id: str = records.VM, pin: str | None = None, **fields: object) -> Vm:
    settings = records.MANAGED | ({records.HOST_KEY: pin} if pin is not None else {})
    return records.vm(id, settings=settings, **{"addresses": ("192.0.2.1",), **fields})


def _store(*vms: Vm) -> Store:
    store = Store()
    store.apply(*(Seen(vm) for vm in vms))
    return store


def test_a_vm_that_was_never_met_is_a_first_contact() -> None:
    """No pin, no memory: trust on first use."""
    assert pins.pin_before(_vm(), Memory(), _store()) == FIRST_CONTACT


@pytest.mark.parametrize("memory", [Memory(), Memory(last=KEY), Memory(last=OTHER, pool_known=True)], ids=str)
def test_the_pools_pin_rules(memory: Memory) -> None:
    """What the pool remembers counts, whatever we remember: another instance may have changed it."""
    assert pins.pin_before(_vm(pin=KEY), memory, _store(_vm(pin=KEY))) == Pin(Standing.PINNED, KEY)


@pytest.mark.parametrize("pin", [None, ""], ids=["removed", "emptied"])
def test_a_pin_that_vanished_is_still_held_to(pin: str | None) -> None:
    """A reverted snapshot does not make the next guest a first contact."""
    assert pins.pin_before(_vm(pin=pin), Memory(last=KEY, pool_known=True), _store()) == Pin(Standing.VANISHED, KEY)


# ---- amends


@pytest.mark.parametrize(
    ("pin", "last", "signed_in", "expected"),
    [
        pytest.param(None, None, False, Amends.NOTHING, id="never-met"),
        pytest.param(KEY, None, True, Amends.NOTHING, id="nothing-remembered"),
        pytest.param(KEY, KEY, False, Amends.NOTHING, id="agreed"),
        pytest.param(KEY, KEY, True, Amends.NOTHING, id="agreed-at-sign-in"),
        pytest.param(None, KEY, True, Amends.WRITE, id="first-contact"),
        pytest.param(OTHER, KEY, True, Amends.WRITE, id="confirmed"),
        pytest.param(None, KEY, False, Amends.WRITE, id="removed"),
        pytest.param("", KEY, False, Amends.WRITE, id="emptied"),
        pytest.param(OTHER, KEY, False, Amends.CALL_ANEW, id="changed-by-others"),
    ],
)
def test_what_the_pool_is_to_hold(pin: str | None, last: str | None, *, signed_in: bool, expected: Amends) -> None:
    """A sign-in replaces a pin, what vanished is put back, and a pin that others set rules."""
    assert pins.amends(_vm(pin=pin), Memory(last=last), signed_in=signed_in) is expected


# ---- copies


@pytest.mark.parametrize(
    ("memory", "others"),
    [
        pytest.param(Memory(pool_known=True), [_vm("other", pin=KEY)], id="of-one-that-runs"),
        pytest.param(
            Memory(pool_known=True), [_vm("other", pin=KEY, power=PowerState.HALTED)], id="of-one-that-is-off"
        ),
        pytest.param(Memory(pool_known=True, is_anothers=True), [], id="that-only-we-remember"),
    ],
)
def test_a_pin_that_came_with_a_new_vm_and_is_anothers_is_a_copy(memory: Memory, others: list[Vm]) -> None:
    """A clone of a VM is not held to the key of its original: its first contact begins anew."""
    clone = _vm("clone", pin=KEY)
    assert pins.pin_before(clone, memory, _store(clone, *others)) == FIRST_CONTACT


@pytest.mark.parametrize(
    ("memory", "others"),
    [
        pytest.param(Memory(pool_known=False), [_vm("other", pin=KEY)], id="first-listing-of-the-pool"),
        pytest.param(Memory(last=KEY, pool_known=True), [_vm("other", pin=KEY)], id="vm-is-known"),
        pytest.param(Memory(pool_known=True), [], id="nobody-elses"),
        pytest.param(Memory(pool_known=True), [_vm("other", pin=OTHER)], id="others-have-other-keys"),
    ],
)
def test_other_pins_are_no_copies(memory: Memory, others: list[Vm]) -> None:
    """Pins of a pool that is new to us are taken as they stand; equal keys alone cut nobody off."""
    vm = _vm(pin=KEY)
    assert pins.pin_before(vm, memory, _store(vm, *others)) == Pin(Standing.PINNED, KEY)


# ---- consent


CONFIRMED = "ssh-ed25519 SHA256:abc"


@pytest.mark.parametrize(
    ("pin", "memory", "expected"),
    [
        pytest.param(KEY, Memory(last=KEY), Pin(Standing.PINNED, KEY, CONFIRMED), id="pinned"),
        pytest.param(None, Memory(last=KEY), Pin(Standing.VANISHED, KEY, CONFIRMED), id="vanished"),
        pytest.param(None, Memory(), Pin(Standing.NONE, None, CONFIRMED), id="first-contact"),
    ],
)
def test_a_confirmed_key_is_taken_beside_what_was_known(pin: str | None, memory: Memory, expected: Pin) -> None:
    """The operator's word opens the way for that one key, and for no other."""
    consenting = replace(memory, consent=CONFIRMED)
    assert pins.pin_before(_vm(pin=pin), consenting, _store()) == expected


def test_a_forgotten_pin_is_a_first_contact() -> None:
    """Also while the pool shows it for a moment still; another one that somebody set there counts."""
    memory = Memory(pool_known=True, forgotten=frozenset({KEY}))
    assert pins.pin_before(_vm(pin=KEY), memory, _store()) == FIRST_CONTACT
    assert pins.pin_before(_vm(), memory, _store()) == FIRST_CONTACT
    assert pins.pin_before(_vm(pin=OTHER), memory, _store()) == Pin(Standing.PINNED, OTHER)


# ---- what is said


def test_another_key_than_the_vanished_one_asks() -> None:
    """There is no pin to compare with, so it is not called a change; what was shown stays in it."""
    error = LinkError("host-key-changed", shown="SHA256:abc", type="ssh-rsa")
    told = pins.explain(error, Pin(Standing.VANISHED, KEY))
    assert (told.code, told.fields) == ("host-key-forgotten", error.fields)


@pytest.mark.parametrize(
    ("code", "pin"),
    [
        ("host-key-changed", Pin(Standing.PINNED, KEY)),
        ("host-key-type-gone", Pin(Standing.PINNED, KEY)),
        ("host-key-type-gone", Pin(Standing.VANISHED, KEY)),
        ("host-key-shared", Pin(Standing.VANISHED, KEY)),
        ("refused", Pin(Standing.VANISHED, KEY)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.standing.value,
)
def test_other_errors_are_said_as_they_are(code: str, pin: Pin) -> None:
    """Only what speaks of a lost pin is reworded."""
    error = LinkError(code)
    assert pins.explain(error, pin) is error


# ---- the connection that a VM needs


def _wanted(vm: Vm, *others: Vm, memory: Memory | None = None, winner: str | None = None) -> Wanted:
    circumstances = Circumstances(Defaults("core", "/var/run/docker.sock"), Rules(), memory or Memory(), winner)
    return wanted(vm, _store(vm, *others), circumstances)


@pytest.mark.parametrize(
    ("silent_seconds", "settings", "code"),
    [
        (0, {}, "no-address-yet"),
        (119, {}, "no-address-yet"),
        (120, {}, "no-address"),
        (0, {"roadstead-address": "192.0.2.1"}, ""),
    ],
)
def test_a_vm_that_starts_may_take_its_time(silent_seconds: int, settings: dict[str, str], code: str) -> None:
    """Without an address it is no problem for as long as booting may take; one that was given needs none announced."""
    vm = records.vm(settings=records.MANAGED | settings)
    defaults = Defaults("core", "/var/run/docker.sock")
    now = records.START + timedelta(seconds=silent_seconds)
    circumstances = Circumstances(defaults, Rules(), Memory(), now=now, boot_seconds=120)
    store = _store(vm)

    def outcome() -> str:
        try:
            wanted(store.vms[vm.id], store, circumstances)
        except LinkError as error:
            return error.code
        return ""

    assert outcome() == code


def test_a_handshake_is_told_everything() -> None:
    """Access, addresses in order, the pin."""
    plan = _wanted(_vm(pin=KEY, addresses=("192.0.2.1", "192.0.2.2")), winner="192.0.2.2")
    assert (plan.vm, plan.access.user, plan.addresses) == (records.VM, "core", ("192.0.2.2", "192.0.2.1"))
    assert plan.pin == Pin(Standing.PINNED, KEY)


@pytest.mark.parametrize(
    ("pin", "memory"),
    [
        pytest.param(KEY, Memory(), id="pinned"),
        pytest.param(None, Memory(last=KEY), id="vanished"),
        pytest.param(None, Memory(consent="ssh-rsa SHA256:abc"), id="consent-to-a-key"),
        pytest.param(None, Memory(address_accepted=True), id="consent-to-the-address"),
    ],
)
def test_a_vm_with_a_pin_may_use_what_others_announce_too(pin: str | None, memory: Memory) -> None:
    """The host key decides whose address it is: virtual addresses move, and no guest may cut off another."""
    plan = _wanted(_vm(pin=pin), _vm("other"), memory=memory)
    assert plan.addresses == ("192.0.2.1",)


@pytest.mark.parametrize(
    ("pin", "memory"),
    [
        pytest.param(None, Memory(pool_known=True), id="no-pin"),
        pytest.param(KEY, Memory(pool_known=True), id="copied-pin"),
        pytest.param(OTHER, Memory(pool_known=True, forgotten=frozenset({OTHER})), id="forgotten-pin"),
    ],
)
def test_a_vm_without_a_pin_leaves_out_what_others_announce(pin: str | None, memory: Memory) -> None:
    """Else one VM could show another's containers as its own; to have a key forgotten is no consent to that."""
    with pytest.raises(LinkError, match="announced by another running VM"):
        _wanted(_vm(pin=pin), _vm("other", pin=KEY), memory=memory)


def test_a_key_belongs_to_the_running_vms_that_it_is_remembered_for() -> None:
    """A copy whose original is off may be met; an address says nothing."""
    off = _vm("off", pin=OTHER, power=PowerState.HALTED)
    store = _store(_vm(pin=KEY), _vm("other", pin=KEY), off)
    assert owner(KEY, records.VM, store) == store.vms[VmId("other")].name
    assert owner(KEY, VmId("third"), store) == ", ".join(
        sorted(store.vms[VmId(id)].name for id in (records.VM, "other"))
    )
    assert owner(OTHER, records.VM, store) is None


@pytest.mark.parametrize(
    ("vm", "state"),
    [
        pytest.param(None, LinkState.UNMANAGED, id="gone"),
        pytest.param(records.vm(settings={}), LinkState.UNMANAGED, id="not-enabled"),
        pytest.param(records.vm(settings={}, power=PowerState.HALTED), LinkState.UNMANAGED, id="not-enabled-and-off"),
        pytest.param(records.vm(), LinkState.CONNECTING, id="running"),
        *[
            pytest.param(records.vm(power=power), LinkState.OFF, id=power.value)
            for power in PowerState
            if power is not PowerState.RUNNING
        ],
    ],
)
def test_how_a_vm_is_meant_to_stand(vm: Vm | None, state: LinkState) -> None:
    """Only a VM that is enabled and runs is connected."""
    assert wanted_state(vm) is state


# ---- what was said beforehand

EXPECTED = "ssh-ed25519 SHA256:said"


@pytest.mark.parametrize("pin", [None, KEY], ids=["first contact", "known"])
@pytest.mark.parametrize("memory", [Memory(), Memory(last=OTHER, pool_known=True)], ids=["never met", "met"])
def test_what_the_operator_said_beforehand_rules(pin: str | None, memory: Memory) -> None:
    """Whatever is remembered: a machine that is about to be installed anew will show the new key."""
    before = pins.pin_before(_vm(pin=pin), replace(memory, expected=EXPECTED), _store())
    assert before == Pin(Standing.EXPECTED, confirmed=EXPECTED)


def test_another_key_than_the_expected_one_is_said_so() -> None:
    """With both keys, as people compare them."""
    pin = Pin(Standing.EXPECTED, confirmed=" SHA256:said")
    shown = LinkError("host-key-changed", vm="x", type="ssh-rsa", shown="SHA256:shown", pinned="SHA256:said")
    told = pins.explain(shown, pin)
    assert (told.code, told.fields["expected"], told.fields["shown"]) == (
        "host-key-not-as-said",
        "SHA256:said",
        "SHA256:shown",
    )
    gone = pins.explain(LinkError("host-key-type-gone", type="ssh-ed25519"), Pin(Standing.EXPECTED, confirmed=EXPECTED))
    assert (gone.code, gone.fields["type"]) == ("host-key-not-as-said", "ssh-ed25519")
    assert pins.explain(LinkError("refused"), pin).code == "refused"


def test_an_expected_key_says_whose_address_it_is() -> None:
    """So the VM may be called where another announces itself, too."""
    one, other = _vm(), _vm("vm-2")
    assert _wanted(one, other, memory=Memory(expected=EXPECTED)).addresses == ("192.0.2.1",)
