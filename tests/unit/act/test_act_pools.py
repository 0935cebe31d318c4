"""The pools: tried before they are kept, changed one at a time, and none of them is another's trouble."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from msgspec import structs

from roadstead.act.audit import Audit
from roadstead.act.memory import Memories
from roadstead.act.pools import pools
from roadstead.act.pools.pools import Pools
from roadstead.act.pools.trials import PoolChange
from roadstead.act.publishing.outputs import Outputs, Wiped
from roadstead.errors import ConflictError, InputError, NotFoundError, PoolError, RoadsteadError
from roadstead.inventory.store import Store
from roadstead.kit import clocks, tasks
from roadstead.kit.text import fingerprint_digits
from roadstead.lab.pool.server import LabPool
from roadstead.model import Fact, PoolId
from roadstead.peers.database.client import Database, StoredPool
from roadstead.settings.schema import AuditSettings, PoolSettings, Settings
from tests.unit.fakes.databases import FakeDatabase, stored_pool

SETTINGS = PoolSettings(connect_seconds=5, call_seconds=5, list_seconds=5, event_seconds=0.3, retry_first_seconds=0.05)
PATIENCE_SECONDS = 10.0


@dataclass
class Office:
    """Pools that are kept, with what they keep and tell."""

    database: FakeDatabase = field(default_factory=FakeDatabase)
    store: Store = field(default_factory=Store)
    retried: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memories = Memories(cast("Database", self.database))
        self.audit = Audit(cast("Database", self.database), AuditSettings())
        self.pools = Pools(
            cast("Database", self.database),
            self.memories,
            self.audit,
            SETTINGS,
            self.tell,
            self.retried.append,
            lambda pool, choice: Outputs(self.store, Settings(), pool, choice),
        )

    def tell(self, facts: Sequence[Fact]) -> None:
        """Take facts."""
        self.store.apply(*facts)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Pools]:
        """Let the pools be kept."""
        async with asyncio.TaskGroup() as group:
            task = tasks.spawn(group, self.pools.run(), "pools")
            await self.pools.wait_started()
            yield self.pools
            await tasks.stop(task)


class CountingDatabase(FakeDatabase):
    """One that counts how often a pool was to be written."""

    tries = 0

    async def update_pool(self, pool: StoredPool) -> None:
        """Count, then write."""
        self.tries += 1
        await super().update_pool(pool)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of two hosts."""
    async with LabPool(tmp_path / "lab", hosts=2) as running:
        yield running


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """An office without pools, open."""
    made = Office()
    async with made.open():
        yield made


def _change(lab: LabPool, **fields: Any) -> PoolChange:
    right = PoolChange(url=lab.url, user=lab.user, password=lab.password, fingerprint=lab.fingerprint)
    return replace(right, **fields)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def _sessions(lab: LabPool) -> int:
    return len(lab.core.sessions)


# ---- adding


async def test_a_pool_that_is_right_is_kept_and_followed(office: Office, lab: LabPool) -> None:
    """Its record is that of the first listing; what is needed to find it again is kept."""
    pool = await office.pools.add(_change(lab, admit=("127.88.0.0/16",), only=("10.0.0.0/8", "10.0.0.0/8")))
    assert pool.live
    assert office.store.pools == {pool.id: pool}
    assert len(office.store.hosts) == 2
    kept = office.database.stored[pool.id]
    assert (kept.url, kept.user, kept.password) == (lab.url, lab.user, lab.password)
    assert (kept.admit, kept.only) == (("127.88.0.0/16",), ("10.0.0.0/8",))
    assert len(kept.members) == 2
    assert set(kept.fingerprints) >= set(kept.members)
    assert office.pools.rules(pool.id).admit
    assert office.pools.statistics() == {"pools": 1, "live": 1}


WRONG: list[Any] = [
    pytest.param({"url": None}, InputError, "field-invalid", id="no-url"),
    pytest.param({"user": ""}, InputError, "field-invalid", id="no-user"),
    pytest.param({"password": None}, InputError, "field-invalid", id="no-password"),
    pytest.param({"url": "http://127.88.0.1"}, InputError, "address-invalid", id="not-https"),
    pytest.param({"url": "https://"}, InputError, "address-invalid", id="no-host"),
    pytest.param({"url": "https://root:secret@127.88.0.1"}, InputError, "address-invalid", id="password-in-url"),
    pytest.param({"url": "https://127.88.0.1/path"}, InputError, "address-invalid", id="path"),
    pytest.param({"fingerprint": "abc"}, InputError, "fingerprint-invalid", id="no-fingerprint"),
    pytest.param({"fingerprint": None}, ConflictError, "fingerprint-needed", id="unconfirmed"),
    pytest.param({"fingerprint": "00" * 32}, PoolError, "pool-certificate-changed", id="other-certificate"),
    pytest.param({"ca_pem": "nonsense"}, InputError, "field-invalid", id="no-certificate-authority"),
    pytest.param({"password": "wrong"}, PoolError, "pool-sign-in-failed", id="wrong-password"),
    pytest.param({"user": "nobody"}, PoolError, "pool-sign-in-failed", id="wrong-user"),
    pytest.param({"user": "read-only"}, PoolError, "pool-not-permitted", id="too-few-rights"),
    pytest.param({"admit": ("10.0.0.1/8",)}, InputError, "network-invalid", id="host-bits"),
    pytest.param({"only": ("everything",)}, InputError, "network-invalid", id="no-network"),
]


@pytest.mark.parametrize(("fields", "kind", "code"), WRONG)
async def test_a_pool_that_is_wrong_is_not_kept(
    office: Office, lab: LabPool, fields: dict[str, Any], kind: type[RoadsteadError], code: str
) -> None:
    """One clear error; nothing is kept, nothing is told, no session is left, and the password is in no text."""
    with pytest.raises(kind) as caught:
        await office.pools.add(_change(lab, **fields))
    assert caught.value.code == code
    assert lab.password not in str(caught.value)
    assert "secret@" not in str(caught.value)
    assert (office.database.stored, dict(office.store.pools), office.pools.keepers) == ({}, {}, {})
    assert _sessions(lab) == 0


async def test_a_server_that_is_not_there_is_said(office: Office) -> None:
    """Nobody listens at the address."""
    change = PoolChange(url="https://127.88.0.250:1", user="root", password="x", fingerprint="00" * 32)
    with pytest.raises(PoolError) as caught:
        await office.pools.add(change)
    assert caught.value.code == "pool-unreachable"
    assert office.database.stored == {}


async def test_a_password_is_not_sent_to_an_unconfirmed_server(office: Office, lab: LabPool) -> None:
    """The error shows the certificate that is to be compared; with it, or with trust in whatever is shown, it works."""
    with pytest.raises(ConflictError) as caught:
        await office.pools.add(_change(lab, fingerprint=None))
    shown = caught.value.fields["shown"]
    assert (await office.pools.probe(lab.url)).fingerprint == fingerprint_digits(shown)
    assert shown.count(":") == 31
    assert lab.core.sessions.originators() == {}
    assert (await office.pools.add(_change(lab, fingerprint=shown))).live
    await office.pools.remove(next(iter(office.store.pools)))
    assert (await office.pools.add(_change(lab, fingerprint=None, accept_new=True))).live


def _certificate_files(tmp_path: Path) -> list[str]:
    return [file.read_text() for file in sorted((tmp_path / "lab").rglob("*.pem"))]


async def test_of_a_ca_file_no_private_key_is_kept(office: Office, lab: LabPool, tmp_path: Path) -> None:
    """Whoever gives the host's own file, in which its key stands, does not leave that with us."""
    first, *_ = await asyncio.to_thread(_certificate_files, tmp_path)
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    pool = await office.pools.add(_change(lab, fingerprint=None, ca_pem=key + first))
    kept = office.database.stored[pool.id]
    assert "PRIVATE" not in kept.ca_pem
    assert "BEGIN CERTIFICATE" in kept.ca_pem
    assert set(kept.fingerprints) == set(kept.members)


async def test_of_a_ca_file_that_was_kept_whole_the_key_goes(office: Office, lab: LabPool, tmp_path: Path) -> None:
    """With the next writing, which every sign-in causes."""
    first, *_ = await asyncio.to_thread(_certificate_files, tmp_path)
    pool = await office.pools.add(_change(lab, fingerprint=None, ca_pem=first))
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    whole = structs.replace(office.database.stored[pool.id], ca_pem=first + key)
    again = Office(FakeDatabase(stored={pool.id: whole}))
    async with again.open():
        await _until(lambda: "PRIVATE" not in again.database.stored[pool.id].ca_pem)
        assert again.store.pools[pool.id].live


@pytest.mark.parametrize(("is_given", "code"), [(False, "pool-member"), (True, "pool-certificate-untrusted")])
async def test_a_member_is_told_from_a_master_that_the_authority_does_not_know(
    office: Office, lab: LabPool, tmp_path: Path, code: str, *, is_given: bool
) -> None:
    """Who gave a CA file is not told to give one."""
    member = lab.urls[1]
    change = _change(lab, url=member, fingerprint=lab.fingerprints[1])
    if is_given:
        change = replace(change, fingerprint=None, ca_pem=(await asyncio.to_thread(_certificate_files, tmp_path))[1])
    with pytest.raises(PoolError) as caught:
        await office.pools.add(change)
    assert caught.value.code == code
    assert "127.88.0.1" in str(caught.value)


async def test_a_pool_is_known_once(office: Office, lab: LabPool) -> None:
    """By whichever of its hosts it is named."""
    await office.pools.add(_change(lab))
    with pytest.raises(ConflictError) as caught:
        await office.pools.add(_change(lab))
    assert caught.value.code == "pool-exists"
    assert len(office.pools.keepers) == 1


# ---- changing


async def test_networks_can_be_changed_alone(office: Office, lab: LabPool) -> None:
    """What is not named stays; guests that could not be reached are tried again."""
    pool = await office.pools.add(_change(lab, admit=("127.0.0.0/8",)))
    await office.pools.change(pool.id, PoolChange(only=("10.0.0.0/8",)))
    kept = office.database.stored[pool.id]
    assert (kept.admit, kept.only, kept.password) == (("127.0.0.0/8",), ("10.0.0.0/8",), lab.password)
    await office.pools.change(pool.id, PoolChange(admit=()))
    assert office.database.stored[pool.id].admit == ()
    assert office.database.stored[pool.id].only == ("10.0.0.0/8",)
    assert office.retried == [pool.id, pool.id]
    assert office.store.pools[pool.id].live


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(PoolChange(password="wrong"), "pool-sign-in-failed", id="password"),
        pytest.param(PoolChange(fingerprint="00" * 32), "pool-certificate-changed", id="fingerprint"),
        pytest.param(PoolChange(url="https://127.88.0.250:1"), "pool-unreachable", id="url"),
        pytest.param(PoolChange(admit=("nonsense",), user="read-only"), "network-invalid", id="network"),
        pytest.param(PoolChange(user="read-only"), "pool-not-permitted", id="rights"),
    ],
)
async def test_a_change_that_is_wrong_changes_nothing(
    office: Office, lab: LabPool, change: PoolChange, code: str
) -> None:
    """It is tried first; the pool goes on as it was."""
    pool = await office.pools.add(_change(lab))
    before, keeper = office.database.stored[pool.id], office.pools.keeper(pool.id)
    with pytest.raises(RoadsteadError) as caught:
        await office.pools.change(pool.id, change)
    assert caught.value.code == code
    assert office.database.stored[pool.id] == before
    assert office.pools.keeper(pool.id) is keeper
    assert keeper.record.live


async def test_an_address_of_another_pool_is_no_new_address(office: Office, lab: LabPool, tmp_path: Path) -> None:
    """A pool cannot become another one."""
    pool = await office.pools.add(_change(lab))
    async with LabPool(tmp_path / "other", hosts=1, network="127.88.7", seed=7) as other:
        with pytest.raises(PoolError, match="Another pool answers"):
            await office.pools.change(
                pool.id, PoolChange(url=other.url, password=other.password, fingerprint=other.fingerprint)
            )
    assert office.database.stored[pool.id].url == lab.url


async def test_two_changes_at_once_both_count(office: Office, lab: LabPool) -> None:
    """The second begins with what the first has made."""
    pool = await office.pools.add(_change(lab))
    await asyncio.gather(
        office.pools.change(pool.id, PoolChange(admit=("127.0.0.0/8",))),
        office.pools.change(pool.id, PoolChange(only=("10.0.0.0/8",))),
    )
    kept = office.database.stored[pool.id]
    assert (kept.admit, kept.only) == (("127.0.0.0/8",), ("10.0.0.0/8",))


async def test_a_pool_has_a_keeper_all_the_time(office: Office, lab: LabPool) -> None:
    """Whoever asks while it is changed gets an answer."""
    pool = await office.pools.add(_change(lab))
    changing = asyncio.ensure_future(office.pools.change(pool.id, PoolChange(admit=("127.0.0.0/8",))))  # noqa: TID251 - a test's own task
    while not changing.done():
        assert office.pools.keeper(pool.id).id == pool.id
        await asyncio.sleep(0)
    await changing


# ---- removing


async def test_a_pool_that_is_removed_is_forgotten(office: Office, lab: LabPool) -> None:
    """With all that was known of it; no session is left in it."""
    pool = await office.pools.add(_change(lab))
    await office.pools.remove(pool.id)
    assert (office.database.stored, dict(office.store.pools), dict(office.store.hosts)) == ({}, {}, {})
    assert office.pools.keepers == {}
    assert _sessions(lab) == 0
    with pytest.raises(NotFoundError):
        office.pools.keeper(pool.id)


async def test_removing_twice_is_not_found(office: Office, lab: LabPool) -> None:
    """Also when both are asked for at the same time."""
    pool = await office.pools.add(_change(lab))
    results = await asyncio.gather(office.pools.remove(pool.id), office.pools.remove(pool.id), return_exceptions=True)
    assert [type(result) for result in results] == [Wiped, NotFoundError]


async def test_a_pool_is_not_changed_while_it_is_removed(
    office: Office, lab: LabPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a new keeper would publish again what the removal has just taken away; other pools go on meanwhile."""
    pool = await office.pools.add(_change(lab))
    keeper = office.pools.keeper(pool.id)
    is_wiping, may_end = asyncio.Event(), asyncio.Event()

    async def slow(seconds: float) -> Wiped:
        del seconds
        is_wiping.set()
        await may_end.wait()
        assert office.pools.keeper(pool.id) is keeper
        return Wiped()

    monkeypatch.setattr(keeper.outputs, "wipe", slow)
    async with asyncio.TaskGroup() as group:
        removing = tasks.spawn(group, office.pools.remove(pool.id), "removal")
        await is_wiping.wait()
        changing = tasks.spawn(group, _outcome(office.pools.change(pool.id, PoolChange(admit=("10.0.0.0/8",)))), "set")
        with pytest.raises(ConflictError):
            await office.pools.add(_change(lab))
        may_end.set()
    assert (removing.result(), changing.result()) == (Wiped(), "no-such-pool")


async def _outcome(command: Awaitable[object]) -> str:
    try:
        await command
    except RoadsteadError as error:
        return error.code
    return "done"


@pytest.mark.parametrize("command", ["change", "remove", "test", "key"])
async def test_an_unknown_pool_is_not_found(office: Office, command: str) -> None:
    """Whatever is asked of it."""
    arguments = [PoolChange()] if command == "change" else []
    with pytest.raises(NotFoundError) as caught:
        await getattr(office.pools, command)(PoolId("nobody"), *arguments)
    assert caught.value.code == "no-such-pool"


# ---- over time


async def test_pools_of_an_earlier_run_are_kept_again(lab: LabPool) -> None:
    """Each by itself: one that is away does not keep another from being live."""
    database = FakeDatabase()
    async with Office(database).open() as pools:
        pool = await pools.add(_change(lab))
    assert _sessions(lab) == 0
    database.stored[PoolId("away")] = stored_pool("away", url="https://127.88.0.250:1")
    office = Office(database)
    async with office.open() as pools:
        await _until(lambda: pools.statistics() == {"pools": 2, "live": 1})
        await _until(lambda: office.store.pools[PoolId("away")].problem)
        assert office.store.pools[pool.id].live


async def test_pools_are_known_in_the_order_in_which_they_were_added() -> None:
    """Whatever they are called: what two of them claim is the older one's, after every start."""
    office = Office()
    for age, id in enumerate(("young", "middle", "old")):
        added = clocks.now() - timedelta(days=age)
        office.database.stored[PoolId(id)] = stored_pool(id, url="https://127.88.0.250:1", added=added)
    async with office.open():
        await _until(lambda: len(office.store.pools) == 3)
        assert list(office.store.pools) == ["old", "middle", "young"]


async def test_pools_may_be_called_alike(office: Office, lab: LabPool, tmp_path: Path) -> None:
    """Two that nobody named, or that somebody renames: both are kept."""
    await office.pools.add(_change(lab))
    async with LabPool(tmp_path / "other", hosts=1, network="127.88.7", seed=7) as other:
        second = await office.pools.add(_change(other))
        assert [pool.name for pool in office.store.pools.values()] == ["lab", "lab"]
        assert office.pools.statistics() == {"pools": 2, "live": 2}
        await office.pools.remove(second.id)


async def test_a_new_name_is_kept(office: Office, lab: LabPool) -> None:
    """The pool is shown by it before it answers at the next start."""
    pool = await office.pools.add(_change(lab))
    client = office.pools.keeper(pool.id).client
    ref, _ = await client.pool()
    await client.call("pool.set_name_label", ref, "renamed")
    await _until(lambda: office.database.stored[pool.id].name == "renamed")
    assert office.store.pools[pool.id].name == "renamed"


async def test_a_pool_that_learns_while_it_is_removed_is_no_mistake(office: Office, lab: LabPool) -> None:
    """The end of one and the news of the other may cross."""
    pool = await office.pools.add(_change(lab))
    keeper = office.pools.keeper(pool.id)
    office.pools._learned(pool.id, "renamed", keeper.client.address)  # noqa: SLF001 - that very moment
    await office.pools.remove(pool.id)
    assert office.database.stored == {}


async def test_our_own_database_is_no_pools_outage(monkeypatch: pytest.MonkeyPatch, lab: LabPool) -> None:
    """While nothing can be written the pool is followed; that is told once, and what it said is written later."""
    monkeypatch.setattr(pools, "RETRY_SECONDS", 0.01)
    database = CountingDatabase()
    office = Office(database)
    with structlog.testing.capture_logs() as logs:
        async with office.open():
            pool = await office.pools.add(_change(lab))
            database.is_broken = True
            client = office.pools.keeper(pool.id).client
            ref, _ = await client.pool()
            await client.call("pool.set_name_label", ref, "renamed")
            await _until(lambda: database.tries >= 3)
            shown = office.store.pools[pool.id]
            assert (shown.name, shown.live, shown.problem) == ("renamed", True, None)
            assert office.pools.stored(pool.id).name == database.stored[pool.id].name == "lab"
            database.is_broken = False
            await _until(lambda: database.stored[pool.id].name == "renamed")
            await _until(lambda: office.pools.stored(pool.id).name == "renamed")
    assert [entry["problem"] for entry in logs if entry["log_level"] == "warning"] == ["state-unusable"]


# ---- what is stored and makes no sense

UNUSABLE: list[Any] = [
    pytest.param({"ca_pem": "nonsense"}, id="ca"),
    pytest.param({"url": "not an address"}, id="url"),
    pytest.param({"url": ""}, id="no-url"),
    pytest.param({"fingerprints": {"": "zz"}}, id="fingerprint"),
    pytest.param({"admit": ("everything",)}, id="networks"),
    pytest.param({"password": "", "flaw": "password cannot be read from the database"}, id="password"),
]


@pytest.mark.parametrize("fields", UNUSABLE)
async def test_a_pool_that_is_stored_unusably_is_that_pools_problem(lab: LabPool, fields: dict[str, Any]) -> None:
    """The others are live; it is shown with its problem, can be tested, and is mended by a change that works."""
    database = FakeDatabase()
    async with Office(database).open() as pools:
        id = (await pools.add(_change(lab))).id
    sound = database.stored[id]
    database.stored[id] = structs.replace(sound, **fields)
    office = Office(database)
    async with office.open() as pools:
        await _until(lambda: office.store.pools[id].problem)
        problem = office.store.pools[id].problem
        assert problem is not None
        assert problem.code == "pool-unusable"
        (step,) = await pools.test(id)
        assert not step.ok
        with pytest.raises(RoadsteadError):
            await pools.change(id, PoolChange(password="wrong"))
        assert database.stored[id] == structs.replace(sound, **fields)
        changed = await pools.change(id, _change(lab, admit=()))
        assert changed.live
        assert office.store.pools[id].problem is None
        assert (database.stored[id].flaw, database.stored[id].password) == ("", lab.password)


async def test_a_pool_that_is_stored_unusably_can_be_removed() -> None:
    """Whatever is wrong with it."""
    office = Office()
    office.database.stored[PoolId("broken")] = stored_pool("broken", url="", flaw="url cannot be read")
    async with office.open() as pools:
        await pools.remove(PoolId("broken"))
        assert (office.database.stored, dict(office.store.pools)) == ({}, {})


# ---- another pool


@pytest.mark.parametrize("moment", ["at-start", "while-running"])
async def test_a_pool_that_calls_itself_another_is_told_and_harms_nobody(
    lab: LabPool, tmp_path: Path, moment: str
) -> None:
    """Not the pool whose id it takes, nor what is known of itself: nothing is stored, told or shown of it."""
    office = Office()
    async with LabPool(tmp_path / "other", hosts=1, network="127.88.7", seed=7) as other:
        async with office.open() as pools:
            first, second = await pools.add(_change(lab)), await pools.add(_change(other))
            before = dict(office.database.stored)
            if moment == "while-running":
                _become(lab, second.id)
            await _check_other(office, first.id, second.id, before, is_other=moment == "while-running")
        if moment == "at-start":
            _become(lab, second.id)
            office = Office(office.database)
            async with office.open():
                await _check_other(office, first.id, second.id, before, is_other=True)


def _become(lab: LabPool, id: PoolId) -> None:
    (ref,) = lab.core.database.table("pool").rows
    lab.core.database.write("pool", ref, "uuid", id)
    lab.core.database.write("pool", ref, "name_label", "stolen")


async def _check_other(
    office: Office, first: PoolId, second: PoolId, before: dict[PoolId, StoredPool], *, is_other: bool
) -> None:
    """The second pool is live and as it was; the first one is, too, unless another answers for it: then it is told
    so, and can be removed.
    """
    if is_other:
        await _until(lambda: office.store.pools[first].problem)
        problem = office.store.pools[first].problem
        assert problem is not None
        assert problem.code == "pool-other-answers"
    await _until(lambda: office.store.pools[second].live)
    assert office.store.pools[second].name == before[second].name
    assert office.database.stored == before
    if is_other:
        steps = await office.pools.test(first)
        assert "Another pool answers" in steps[-1].message
        await office.pools.remove(first)
        assert set(office.database.stored) == {second}
        assert office.store.pools[second].live


# ---- asking


async def test_a_test_tells_each_step(office: Office, lab: LabPool) -> None:
    """What works, how long it took, and where it ends; the session that is kept takes no part in it."""
    pool = await office.pools.add(_change(lab))
    steps = await office.pools.test(pool.id)
    assert [step.ok for step in steps] == [True] * 4
    assert all(0 <= step.seconds < PATIENCE_SECONDS for step in steps)
    assert _sessions(lab) == 1


async def test_a_test_ends_with_the_step_that_fails() -> None:
    """And says why."""
    office = Office()
    office.database.stored[PoolId("away")] = stored_pool("away", url="https://127.88.0.250:1")
    async with office.open() as pools:
        (step,) = await pools.test(PoolId("away"))
        assert (step.step, step.ok) == ("sign in", False)
        assert "cannot be reached" in step.message


async def test_nothing_is_added_while_everything_ends(lab: LabPool) -> None:
    """The command is refused; what was begun is not left half done."""
    office = Office()
    async with office.open():
        pass
    with pytest.raises(ConflictError) as caught:
        await office.pools.add(_change(lab))
    assert caught.value.code == "shutting-down"
    assert office.database.stored == {}
    assert _sessions(lab) == 0


async def test_changes_of_pools_are_noted(office: Office, lab: LabPool) -> None:
    """With what was refused, and without any password."""
    pool = await office.pools.add(_change(lab))
    with pytest.raises(ConflictError):
        await office.pools.add(_change(lab))
    await office.pools.change(pool.id, PoolChange(admit=()))
    await office.pools.test(pool.id)
    await office.pools.remove(pool.id)
    entries = await office.audit.recent(10)
    assert [(entry.what, entry.target, entry.code) for entry in entries[::-1]] == [
        ("pool add", lab.url, ""),
        ("pool add", lab.url, "pool-exists"),
        ("pool set", pool.id, ""),
        ("pool remove", pool.id, ""),
    ]
    assert lab.password not in str(entries)
