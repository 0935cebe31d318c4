"""Commands on one VM: enabling, judging its host key, learning why it is not watched."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, cast

import pytest
from msgspec.structs import replace

from roadstead.act.audit import Audit
from roadstead.act.guests.links import Links
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.guests.vms import HostKey, Vms
from roadstead.act.memory import Memories, Met
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.pools.pools import Pools
from roadstead.act.preparing import entry
from roadstead.errors import ConflictError, LinkError, NotFoundError, RoadsteadError
from roadstead.inventory.store import Store
from roadstead.model import LOCAL_POOL, LinkState, PoolId, PowerState, Seen, VmId, container_id
from roadstead.model.config_keys import HOST_KEY, MODE, MONITOR, TLS, TLS_SECRETS
from roadstead.peers.database.client import Database
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links.messages import fingerprint
from roadstead.plan.pins import HOST_KEY_PROBLEMS, Memory
from roadstead.settings.schema import AuditSettings
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase

pytestmark = pytest.mark.looptime
ONE = records.VM
BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3vh1mF6n3Rr7iHcZ0m0u3nq3Vf8xk3f7j4mI2aVb0Q"
PRINT = fingerprint(BLOB)
SHOWN = "ssh-ed25519 SHA256:shown"


@dataclass
class Desk:
    """The commands, and what they ask of pools and links."""

    store: Store = field(default_factory=Store)
    written: list[tuple[str, str, str | None]] = field(default_factory=list)
    tries: list[tuple[str, str]] = field(default_factory=list)
    engines: dict[VmId, object] = field(default_factory=dict)
    outcome: str | None = None
    """What comes of a try; None when that takes too long."""
    shown: dict[VmId, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        database = cast("Database", FakeDatabase())
        self.memories = Memories(database)
        self.audit = Audit(database, AuditSettings())
        self.vms = Vms(
            self.store, cast("Pools", self), cast("Links", self), cast("SshWays", self), self.memories, self.audit
        )
        self.store.apply(Seen(records.pool()), Seen(records.host()))

    # what commands ask of pools and their keepers

    def keeper(self, pool: PoolId) -> PoolKeeper:
        if pool != records.POOL:
            raise NotFoundError("no-such-pool", name=pool)
        return cast("PoolKeeper", self)

    @property
    def config(self) -> Self:
        return self

    async def set(self, vm: VmId, key: str, value: str | None) -> None:
        self.written.append((vm, key, value))

    # what commands ask of links

    def try_now(self, vm: VmId) -> None:
        self.tries.append(("now", vm))

    def reconnect(self, vm: VmId) -> None:
        self.tries.append(("anew", vm))

    def end(self, vm: VmId) -> None:
        assert (vm, MONITOR, "False") in self.written
        self.tries.append(("end", vm))

    def resume(self, vm: VmId) -> None:
        assert (vm, MONITOR, "True") in self.written
        self.tries.append(("resume", vm))

    async def tried(self, vm: VmId, seconds: float) -> bool:
        self.tries.append((f"within {seconds:g} s", vm))
        if self.outcome is not None:
            self.see(vm, code=self.outcome)
        return self.outcome is not None

    def engine(self, vm: VmId) -> EngineClient | None:
        return cast("EngineClient | None", self.engines.get(vm))

    def until(self, vm: VmId) -> str:
        """Nobody knows when its certificates end."""
        return ""

    def heard(self, vm: VmId) -> datetime | None:
        return records.at(7) if vm in self.engines else None

    # what a test says

    def see(self, id: str = ONE, code: str = "", settings: Mapping[str, str] = records.MANAGED, **fields: Any) -> None:
        """A VM as the pool shows it; with ``code`` its link is broken."""
        self.store.apply(Seen(records.vm(id, settings=dict(settings), **fields)))
        state = LinkState.BROKEN if code else LinkState.LIVE
        self.store.apply(Seen(records.link(id, state, problem=records.problem(code) if code else None)))


@pytest.fixture
def desk() -> Desk:
    """Commands, a pool, and no VM yet."""
    return Desk()


async def test_why_tells_that_a_vm_still_starts(desk: Desk) -> None:
    """What it waits for, and since when; no problem."""
    desk.store.apply(Seen(records.vm(ONE)), Seen(records.link(ONE, LinkState.CONNECTING)))
    why = await desk.vms.why(ONE)
    facts = dict(why.facts)
    assert (why.state, why.problem, facts["waiting for"]) == ("connecting", None, "its address")
    assert facts["no address since"].startswith("2030-01-01T00:00:00")


# ---- enabling


async def test_enabling_is_written_into_the_pool_and_tried_at_once(desk: Desk) -> None:
    """The inventory is not touched: what follows is observed."""
    desk.see(settings={})
    before = desk.store.number
    await desk.vms.enable(ONE)
    assert desk.written == [(ONE, MONITOR, "True")]
    assert desk.tries == [("resume", ONE), ("now", ONE)]
    assert desk.store.number == before


async def test_disabling_is_written_into_the_pool(desk: Desk) -> None:
    """In the historic word, which old clients read as well; the link ends before the pool tells of it."""
    desk.see()
    await desk.vms.disable(ONE)
    assert desk.written == [(ONE, MONITOR, "False")]
    assert desk.tries == [("end", ONE)]


@pytest.mark.parametrize("command", ["enable", "disable", "forget_host_key"])
async def test_an_engine_of_this_machine_has_no_pool_to_write_to(desk: Desk, command: str) -> None:
    """It is managed as it stands."""
    desk.see("local-1", pool=LOCAL_POOL)
    with pytest.raises(ConflictError) as caught:
        await getattr(desk.vms, command)(VmId("local-1"))
    assert caught.value.code == "vm-not-in-a-pool"
    assert desk.written == []


# ---- host keys


def test_a_vm_that_was_never_met_has_no_keys(desk: Desk) -> None:
    """Neither remembered nor shown."""
    desk.see()
    keys = desk.vms.host_keys(ONE)
    assert (keys.pinned, keys.shown, keys.state) == (None, None, "none")


def test_keys_are_told_as_people_compare_them(desk: Desk) -> None:
    """Type and fingerprint, of the remembered and of the shown one."""
    desk.see(settings=records.MANAGED | {HOST_KEY: BLOB})
    desk.shown[ONE] = SHOWN
    keys = desk.vms.host_keys(ONE)
    assert keys.pinned == HostKey(type="ssh-ed25519", fingerprint=PRINT)
    assert keys.shown == HostKey(type="ssh-ed25519", fingerprint="SHA256:shown")
    assert (keys.state, keys.name) == ("pinned", "name of vm-1")


async def test_our_own_memory_stands_in_for_a_pin_that_vanished(desk: Desk) -> None:
    """That is what the guest is held to."""
    desk.see()
    desk.memories.met(ONE, Met(records.POOL, BLOB))
    assert desk.vms.host_keys(ONE).pinned == HostKey(type="ssh-ed25519", fingerprint=PRINT)


@pytest.mark.parametrize("pin", ["nonsense", "AAAA", "é", "=" * 100])
def test_a_pin_that_is_no_key_is_told_as_such(desk: Desk, pin: str) -> None:
    """Administrators of VMs write it as they please."""
    desk.see(settings=records.MANAGED | {HOST_KEY: pin})
    assert desk.vms.host_keys(ONE).pinned == HostKey(type="unreadable", fingerprint="")


@pytest.mark.parametrize("code", sorted(HOST_KEY_PROBLEMS))
async def test_the_key_that_was_compared_is_confirmed(desk: Desk, code: str) -> None:
    """It alone is accepted in the next contact, which is made at once."""
    desk.see(code=code)
    desk.shown[ONE] = SHOWN
    keys = await desk.vms.confirm_host_key(ONE, "SHA256:shown")
    assert keys.state == code
    assert desk.memories.of(desk.store.vms[ONE]).consent == SHOWN
    assert desk.tries == [("now", ONE)]


@pytest.mark.parametrize("compared", ["SHA256:other", "", None])
async def test_another_key_than_the_compared_one_is_not_confirmed(desk: Desk, compared: str | None) -> None:
    """Between looking and saying yes the guest, or somebody in between, showed another."""
    desk.see(code="host-key-changed")
    desk.shown[ONE] = SHOWN
    with pytest.raises(ConflictError) as caught:
        await desk.vms.confirm_host_key(ONE, compared)
    assert caught.value.code == "host-key-moved"
    assert desk.memories.of(desk.store.vms[ONE]).consent is None
    assert desk.tries == []


async def test_an_address_that_is_claimed_twice_is_confirmed_and_no_key_is(desk: Desk) -> None:
    """No key was shown that could have been compared; an older one plays no part."""
    desk.see(code="address-claimed-twice")
    desk.shown[ONE] = SHOWN
    await desk.vms.confirm_host_key(ONE, None)
    memory = desk.memories.of(desk.store.vms[ONE])
    assert (memory.consent, memory.address_accepted) == (None, True)
    assert desk.tries == [("now", ONE)]


async def test_what_was_not_shown_is_not_confirmed(desk: Desk) -> None:
    """A VM without a key of the remembered type showed none: whichever comes next was compared by nobody."""
    desk.see(code="host-key-type-gone")
    with pytest.raises(ConflictError) as caught:
        await desk.vms.confirm_host_key(ONE, None)
    assert caught.value.code == "nothing-to-confirm"
    assert desk.memories.of(desk.store.vms[ONE]) == Memory()


@pytest.mark.parametrize("code", ["", "refused", "key-rejected"])
async def test_where_no_key_waits_there_is_nothing_to_confirm(desk: Desk, code: str) -> None:
    """A live guest, and one that cannot be reached for another reason."""
    desk.see(code=code)
    desk.shown[ONE] = SHOWN
    with pytest.raises(ConflictError) as caught:
        await desk.vms.confirm_host_key(ONE, "SHA256:shown")
    assert caught.value.code == "nothing-to-confirm"
    assert desk.memories.of(desk.store.vms[ONE]).consent is None


async def test_a_forgotten_key_is_forgotten_everywhere(desk: Desk) -> None:
    """In the pool and here, at once; the next contact is a first one with no consent to anything."""
    desk.see(code="host-key-changed", settings=records.MANAGED | {HOST_KEY: BLOB})
    desk.memories.met(ONE, Met(records.POOL, BLOB))
    await desk.vms.forget_host_key(ONE)
    assert desk.written == [(ONE, HOST_KEY, None)]
    memory = desk.memories.of(desk.store.vms[ONE])
    assert (memory.last, memory.consent, memory.address_accepted) == (None, None, False)
    assert desk.vms.host_keys(ONE).pinned is None
    assert desk.tries == [("anew", ONE), ("now", ONE)]


@pytest.mark.parametrize(("power", "settings"), [(PowerState.HALTED, {}), (PowerState.RUNNING, records.MANAGED)])
async def test_which_key_a_vm_must_show_is_said_beforehand(
    desk: Desk, power: PowerState, settings: dict[str, str]
) -> None:
    """Also of one that is off or not enabled; of a fingerprint only we know, so the pool is not written to."""
    desk.store.apply(Seen(records.vm(power=power, settings=settings)))
    keys = await desk.vms.expect_host_key(ONE, PRINT)
    assert (keys.state, keys.expected, keys.pinned) == ("expected", HostKey(type="", fingerprint=PRINT), None)
    assert (desk.written, desk.tries) == ([], [("anew", ONE), ("now", ONE)])
    assert dict((await desk.vms.why(ONE)).facts)["host key expected"] == PRINT


async def test_a_whole_key_is_written_into_the_pool(desk: Desk) -> None:
    """There other instances and the old pack find it."""
    desk.see(code="refused")
    keys = await desk.vms.expect_host_key(ONE, f"ssh-ed25519 {BLOB} root@web1")
    assert desk.written == [(ONE, HOST_KEY, BLOB)]
    assert keys.expected == keys.pinned == HostKey(type="ssh-ed25519", fingerprint=PRINT)


async def test_a_vm_that_shows_the_key_already_is_left_alone(desk: Desk) -> None:
    """Its link stays, and nothing is expected of the next one."""
    desk.see()
    desk.shown[ONE] = f"ssh-ed25519 {PRINT}"
    keys = await desk.vms.expect_host_key(ONE, PRINT)
    assert (keys.expected, desk.tries, desk.written) == (None, [], [])
    assert (await desk.vms.expect_host_key(ONE, "SHA256:" + "A" * 43)).state == "expected"
    assert desk.tries == [("anew", ONE), ("now", ONE)]


async def test_what_is_no_host_key_changes_nothing(desk: Desk) -> None:
    """It is refused before anything is written."""
    desk.see()
    with pytest.raises(RoadsteadError) as caught:
        await desk.vms.expect_host_key(ONE, "nonsense")
    assert caught.value.code == "field-invalid"
    assert (desk.tries, desk.written) == ([], [])


async def test_where_no_ssh_is_spoken_no_key_can_be_said(desk: Desk) -> None:
    """Nobody would ever compare it; and no key is missed there."""
    desk.see(settings=records.MANAGED | {MODE: TLS})
    with pytest.raises(RoadsteadError) as caught:
        await desk.vms.expect_host_key(ONE, PRINT)
    assert caught.value.code == "host-key-unused"
    assert "--mode ssh" in caught.value.remedy
    assert (desk.tries, desk.written) == ([], [])
    keys = desk.vms.host_keys(ONE)
    assert (keys.state, keys.expected) == ("tls", None)


# ---- why


async def test_why_tells_what_is_known(desk: Desk) -> None:
    """State, problem, and the facts that they follow from; looking has the guest tried."""
    desk.see(code="refused", addresses=("192.0.2.1",), settings=records.MANAGED | {"roadstead-ssh-port": "2222"})
    why = await desk.vms.why(ONE)
    facts = dict(why.facts)
    assert (why.state, why.problem and why.problem.code) == ("broken", "refused")
    assert facts["announced addresses"] == "192.0.2.1"
    assert facts["roadstead-ssh-port"] == "2222"
    assert (facts["pool"], facts["host"], facts["power"], facts["enabled"]) == (
        "name of pool-1",
        "name of host-1",
        "Running",
        "yes",
    )
    assert HOST_KEY not in facts
    assert desk.tries == [("within 3 s", ONE)]


SECRETS = dict.fromkeys(TLS_SECRETS, "11111111-1111-1111-1111-111111111111")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (records.MANAGED | SECRETS | {MODE: TLS}, [*TLS_SECRETS]),
        (SECRETS | {MODE: TLS}, []),
        (records.MANAGED | SECRETS, ["certificates for TLS"]),
    ],
    ids=["in use", "just unprepared", "reached over SSH"],
)
async def test_why_names_certificates_where_they_are_in_use(
    desk: Desk, settings: dict[str, str], told: list[str]
) -> None:
    """Keys that vanished count as there for a while: what was just destroyed is not told of as if it were used."""
    desk.see(settings=settings)
    facts = dict((await desk.vms.why(ONE)).facts)
    assert sorted(name for name in facts if "tls-" in name or "TLS" in name) == sorted(told)


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({}, "`roadstead prepare {}` (with `--mode tls` if it runs Windows)"),
        ({MODE: TLS}, "`roadstead prepare {} --mode tls`"),
        (records.MANAGED, None),
    ],
)
async def test_why_tells_what_has_a_vm_managed(desk: Desk, settings: dict[str, str], step: str | None) -> None:
    """As a command, for a VM that nobody manages."""
    desk.see(settings=settings)
    facts = dict((await desk.vms.why(ONE)).facts)
    assert facts.get("next step") == (step and step.format(shlex.quote(desk.store.vms[ONE].name)))


@pytest.mark.parametrize("code", ["vm-not-prepared", "guest-unreachable"])
def test_who_has_windows_is_told_of_its_mode(code: str) -> None:
    """Its VM was reached over TLS before it was unprepared, and has no SSH server."""
    assert "--mode tls" in ConflictError(code, vm="win-2", besides=entry.WINDOWS).remedy


async def test_why_tells_the_key_that_is_shown_now(desk: Desk) -> None:
    """Not the one of the link that was; what that link had is called the last that is known."""
    desk.see(code="host-key-changed")
    old = replace(
        desk.store.vms[ONE].link or records.link(ONE), address="192.0.2.1", relay="socat", host_key="SHA256:a"
    )
    desk.store.apply(Seen(old))
    desk.shown[ONE] = SHOWN
    facts = dict((await desk.vms.why(ONE)).facts)
    assert facts["host key shown"] == SHOWN
    assert (facts["last known address"], facts["last known relay"]) == ("192.0.2.1", "socat")
    assert not {"address", "relay", "engine"} & facts.keys()


@pytest.mark.parametrize(
    ("code", "named"),
    [("", "host key shown"), ("refused", "last known host key"), ("host-key-shared", "host key shown")],
)
async def test_why_calls_a_key_shown_only_while_it_is(desk: Desk, code: str, named: str) -> None:
    """A guest that does not answer shows none."""
    desk.see(code=code)
    desk.shown[ONE] = SHOWN
    facts = dict((await desk.vms.why(ONE)).facts)
    assert {name: value for name, value in facts.items() if "host key" in name} == {named: SHOWN}


async def test_why_tells_what_came_of_its_own_try(desk: Desk) -> None:
    """Not what was before it."""
    desk.see(code="refused")
    desk.outcome = "key-rejected"
    why = await desk.vms.why(ONE)
    assert why.problem is not None
    assert (why.problem.code, "a new try" in dict(why.facts)) == ("key-rejected", False)


async def test_why_says_when_its_try_is_not_through(desk: Desk) -> None:
    """So that nobody takes the answer for the last word."""
    desk.see(code="refused")
    why = await desk.vms.why(ONE)
    assert why.problem is not None
    assert (why.problem.code, dict(why.facts)["a new try"]) == ("refused", "is under way; ask again in a moment")


async def test_why_tells_when_a_live_guest_was_heard(desk: Desk) -> None:
    """By its link, not by the last change of its record."""
    desk.see()
    desk.engines[ONE] = object()
    assert dict((await desk.vms.why(ONE)).facts)["last heard"].startswith("2030-01-01T00:00:07")


# ---- its engine


def test_a_live_guest_has_an_engine(desk: Desk) -> None:
    """Which operations act on."""
    desk.see()
    desk.engines[ONE] = object()
    assert desk.vms.engine(ONE) is desk.engines[ONE]


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        pytest.param({"settings": {}}, ConflictError, "vm-not-enabled", id="not-enabled"),
        pytest.param({"power": PowerState.HALTED}, ConflictError, "vm-off", id="off"),
        pytest.param({"code": "refused"}, LinkError, "vm-not-live", id="broken"),
    ],
)
def test_why_there_is_no_engine_is_said(
    desk: Desk, fields: dict[str, Any], kind: type[RoadsteadError], code: str
) -> None:
    """By the VM's name."""
    desk.see(**fields)
    with pytest.raises(kind) as caught:
        desk.vms.engine(ONE)
    assert caught.value.code == code
    assert "name of vm-1" in str(caught.value)


@pytest.mark.parametrize("command", ["enable", "disable", "forget_host_key", "why"])
async def test_an_unknown_vm_is_not_found(desk: Desk, command: str) -> None:
    """Whatever is asked of it, and nothing is written."""
    with pytest.raises(NotFoundError) as caught:
        await getattr(desk.vms, command)(VmId("nobody"))
    assert caught.value.code == "no-such-vm"
    assert (desk.written, desk.tries) == ([], [])


@pytest.mark.parametrize("command", ["host_keys", "engine"])
def test_an_unknown_vm_has_nothing_to_tell(desk: Desk, command: str) -> None:
    """Neither keys nor an engine."""
    with pytest.raises(NotFoundError):
        getattr(desk.vms, command)(VmId("nobody"))


def test_containers_are_known_by_their_ids(desk: Desk) -> None:
    """As the inventory has them, stale or not."""
    desk.see()
    desk.store.apply(Seen(records.container(1)))
    assert desk.vms.exists(container_id(ONE, records.engine_id(1)))
    assert not desk.vms.exists(container_id(ONE, records.engine_id(2)))
    assert not desk.vms.exists(container_id(VmId("nobody"), records.engine_id(1)))


async def test_what_is_changed_is_noted_and_what_is_read_is_not(desk: Desk) -> None:
    """Each command with its VM and what came of it."""
    desk.see()
    await desk.vms.enable(ONE)
    await desk.vms.disable(ONE)
    await desk.vms.forget_host_key(ONE)
    with pytest.raises(ConflictError):
        await desk.vms.confirm_host_key(ONE, "SHA256:other")
    with pytest.raises(NotFoundError):
        await desk.vms.enable(VmId("nowhere"))
    await desk.vms.why(ONE)
    desk.vms.host_keys(ONE)
    noted = [(entry.what, entry.target, entry.code) for entry in await desk.audit.recent(10)]
    assert noted[::-1] == [
        ("enable", ONE, ""),
        ("disable", ONE, ""),
        ("hostkey forget", ONE, ""),
        ("hostkey confirm", ONE, "nothing-to-confirm"),
        ("enable", "nowhere", "no-such-vm"),
    ]
