"""The database keeps what it was given, encrypted where it must be, and refuses what it cannot use."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import create_engine

from roadstead.errors import ConflictError, NotFoundError, PeerError, StartError
from roadstead.kit import tasks
from roadstead.model import AuditEntry, PoolId, VmId
from roadstead.peers.database.client import STATEMENT_ITEMS, Database, StoredPool
from roadstead.peers.database.migrations import load_scripts, migrate
from roadstead.peers.database.places import url_of
from roadstead.peers.database.tables import Base

POOL = StoredPool(
    id=PoolId("11111111-aaaa-4000-8000-000000000001"),
    name="harbour",
    url="https://10.0.0.1",
    user="root",
    password="correct horse ü",
    ca_pem="-----BEGIN CERTIFICATE-----",
    fingerprints={"": "ab" * 32, "10.0.0.2": "cd" * 32},
    members=("10.0.0.1", "10.0.0.2"),
    admit=("10.0.0.0/8",),
    only=("10.1.0.0/16",),
    added=datetime(2026, 11, 24, 3, 0, tzinfo=UTC),
)
OTHER = replace(POOL, id=PoolId("22222222-aaaa-4000-8000-000000000002"), name="other")
VM = VmId("33333333-aaaa-4000-8000-000000000003")


def files(folder: Path) -> tuple[Path, Path]:
    """Where the database and its key are."""
    return folder / "state" / "roadstead.db", folder / "state" / "secret.key"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A new database."""
    opened = await Database.open(*files(tmp_path))
    yield opened
    await opened.close()


async def test_pool_survives_reopening(tmp_path: Path, database: Database) -> None:
    """A pool comes back after a restart with every field as it was given."""
    await database.add_pool(POOL)
    await database.close()

    again = await Database.open(*files(tmp_path))
    try:
        assert await again.pools() == (POOL,)
    finally:
        await again.close()


async def test_password_is_not_in_the_files(tmp_path: Path, database: Database) -> None:
    """Neither database, nor its log, nor the key file holds the password in clear, and no repr shows it."""
    await database.add_pool(POOL)

    written = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"10.0.0.1" in written
    assert b"correct horse" not in written
    assert "correct horse" not in repr(POOL) + repr(database)


async def test_everything_is_private(tmp_path: Path, database: Database) -> None:
    """The folder is for its owner only, and so is every file in it."""
    await database.add_pool(POOL)

    folder = tmp_path / "state"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "roadstead.db": 0o600,
        "roadstead.db-shm": 0o600,
        "roadstead.db-wal": 0o600,
        "secret.key": 0o600,
    }


async def test_password_cannot_be_moved_to_another_row(tmp_path: Path, database: Database) -> None:
    """A sealed password copied into another pool's row does not open there."""
    await database.add_pool(POOL)
    await database.add_pool(replace(OTHER, password="other"))
    with sqlite3.connect(files(tmp_path)[0]) as raw:
        raw.execute("update pools set password = (select password from pools where name = 'harbour')")
    raw.close()

    harbour, other = await database.pools()
    assert (harbour.password, other.password) == (POOL.password, "")
    assert other.flaw == "password cannot be read from the database"


DAMAGE = [
    ("password", b"damaged"),
    ("password", b"x" * 60),
    ("fingerprints", "{"),
    ("fingerprints", "[]"),
    ("fingerprints", '{"": 7}'),
    ("members", "7"),
    ("admit", "null"),
    ("only_networks", b"\xff"),
    ("ca_pem", b"\xff\xfe"),
    ("name", 7),
    ("url", b"\x00"),
    ("added", "yesterday"),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE)
async def test_a_damaged_row_is_that_pools_trouble(
    tmp_path: Path, database: Database, column: str, value: object
) -> None:
    """Also when it is the only one: it is read as far as it can be, with what is damaged, and can be written anew."""
    await database.add_pool(POOL)
    await database.close()
    with sqlite3.connect(files(tmp_path)[0]) as raw:
        raw.execute(f"update pools set {column} = ?", [value])  # noqa: S608 - a name of ours
    raw.close()

    again = await Database.open(*files(tmp_path))
    try:
        (pool,) = await again.pools()
        if column != "name":  # SQLite makes a text of any number
            assert column.removesuffix("_networks") in pool.flaw
            assert pool.name == POOL.name
        await again.update_pool(POOL)
        assert await again.pools() == (POOL,)
        await again.remove_pool(POOL.id)
        assert await again.pools() == ()
    finally:
        await again.close()


async def test_a_key_is_proved_also_without_its_proof(tmp_path: Path, database: Database) -> None:
    """A database from before there was one gets it, when the key opens what is in it."""
    await database.add_pool(POOL)
    await database.close()
    path, key = files(tmp_path)
    right = key.read_bytes()
    with sqlite3.connect(path) as raw:
        raw.execute("delete from key_proof")
    raw.close()

    key.write_bytes(bytes(32))
    assert (await refusal(path, key)).code == "key-file-unusable"
    key.write_bytes(right)
    await (await Database.open(path, key)).close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("select count(*) from key_proof").fetchone() == (1,)
    raw.close()


async def test_an_unused_database_takes_a_new_key(tmp_path: Path, database: Database) -> None:
    """Nothing was sealed with the former one."""
    await database.close()
    path, key = files(tmp_path)
    key.unlink()
    for _ in range(2):
        await (await Database.open(path, key)).close()


async def test_a_pool_is_kept_once(database: Database) -> None:
    """A second pool of the same id is refused and changes nothing; names are the pools' own, and may be the same."""
    await database.add_pool(POOL)

    with pytest.raises(ConflictError) as caught:
        await database.add_pool(replace(POOL, name="fresh"))
    assert (caught.value.code, caught.value.fields["name"]) == ("pool-exists", "fresh")
    assert await database.pools() == (POOL,)

    await database.add_pool(replace(OTHER, name=POOL.name))
    assert {pool.id for pool in await database.pools()} == {POOL.id, OTHER.id}


async def test_pool_can_be_changed(database: Database) -> None:
    """An update replaces every field, and names a pool that is not there."""
    await database.add_pool(POOL)
    await database.add_pool(OTHER)
    changed = replace(POOL, password="new", fingerprints={}, members=("10.0.0.9",), admit=(), only=())

    await database.update_pool(changed)
    with pytest.raises(NotFoundError, match="nowhere"):
        await database.update_pool(replace(POOL, id=PoolId("x"), name="nowhere"))
    assert await database.pools() == (changed, OTHER)


async def test_removed_pool_takes_its_pins_along(database: Database) -> None:
    """Removing a pool forgets its pins, but not which VMs its key opens."""
    for pool, vm in ((POOL, VM), (OTHER, VmId("b"))):
        await database.add_pool(pool)
        await database.remember_pins(pool.id, {vm: "AAAA"})
    await database.remember_keyed_vms(POOL.id, [(VM, "SHA256:key")])

    await database.remove_pool(POOL.id)

    assert [pool.name for pool in await database.pools()] == ["other"]
    assert [pin.vm for pin in await database.pins()] == ["b"]
    assert [(known.vm, known.key) for known in await database.keyed_vms()] == [(VM, "SHA256:key")]


async def test_a_vm_has_one_pin(database: Database) -> None:
    """A new pin replaces the former one; a forgotten one is gone."""
    await database.remember_pins(POOL.id, {VM: "AAAA", VmId("b"): "BBBB"})
    await database.remember_pins(OTHER.id, {VM: "CCCC"})

    pins = {pin.vm: pin for pin in await database.pins()}
    assert {vm: (pin.pool, pin.key) for vm, pin in pins.items()} == {VM: (OTHER.id, "CCCC"), "b": (POOL.id, "BBBB")}
    assert pins[VM].since.tzinfo is UTC

    await database.forget_pin(VM)
    assert [pin.vm for pin in await database.pins()] == ["b"]


async def test_expected_keys_are_kept_by_vm(database: Database) -> None:
    """A new one replaces the former; they go with their pool, or when they are met."""
    for vm, key in ((VM, " SHA256:first"), (VM, "ssh-rsa SHA256:second"), (VmId("b"), " SHA256:b")):
        await database.expect_key(POOL.id, vm, key)
    await database.expect_key(OTHER.id, VmId("c"), " SHA256:c")
    await database.forget_expected_keys([VmId("b"), VmId("unknown")])
    said = {pin.vm: (pin.pool, pin.key) for pin in await database.expected_keys()}
    assert said == {VM: (POOL.id, "ssh-rsa SHA256:second"), "c": (OTHER.id, " SHA256:c")}
    await database.remove_pool(POOL.id)
    assert [pin.vm for pin in await database.expected_keys()] == ["c"]


async def test_keyed_vms_keep_their_first_time(database: Database) -> None:
    """That a key opens a VM is kept once, from the first time on, for each key of its own."""
    await database.remember_keyed_vms(POOL.id, [(VM, "SHA256:old")])
    (first,) = await database.keyed_vms()
    await database.remember_keyed_vms(POOL.id, [(VM, "SHA256:old")])
    await database.remember_keyed_vms(POOL.id, [(VM, "SHA256:new")])

    assert [known.key for known in await database.keyed_vms()] == ["SHA256:old", "SHA256:new"]
    assert (await database.keyed_vms())[0] == first


async def test_when_a_keyed_vm_went_is_kept(database: Database) -> None:
    """For each of its rows, until it is back."""
    await database.remember_keyed_vms(POOL.id, [(VM, "SHA256:old"), (VM, "SHA256:new"), (VmId("b"), "SHA256:new")])
    at = datetime(2030, 1, 1, tzinfo=UTC)
    await database.mark_keyed_vms([VM, VmId("unknown")], at)
    assert [(one.vm, one.gone) for one in await database.keyed_vms()] == [(VM, at), (VM, at), ("b", None)]
    await database.mark_keyed_vms([VM], None)
    assert {one.gone for one in await database.keyed_vms()} == {None}


async def test_plugin_tokens_belong_to_a_pool(database: Database) -> None:
    """Several are valid while one takes the place of the other; they go with the pool."""
    await database.add_pool(POOL)
    for pool, hash in ((POOL, "a" * 64), (POOL, "b" * 64), (OTHER, "c" * 64)):
        await database.keep_plugin_token(pool.id, hash)
    await database.forget_plugin_tokens(POOL.id, but="b" * 64)
    assert {(one.pool, one.hash) for one in await database.plugin_tokens()} == {
        (POOL.id, "b" * 64),
        (OTHER.id, "c" * 64),
    }
    await database.remove_pool(POOL.id)
    assert [one.pool for one in await database.plugin_tokens()] == [OTHER.id]


async def test_of_the_audit_the_newest_entries_stay(database: Database) -> None:
    """They are told from the newest on, also those of one batch, and more than are kept never stay."""
    entries = [
        AuditEntry(at=POOL.added, who="ann", origin="::1", what="stop", target=str(number), result="done")
        for number in range(10)
    ]
    await database.add_audit(entries[:6], keep=5)
    await database.add_audit(entries[6:], keep=5)
    assert list(await database.audit(100)) == entries[:4:-1]
    assert list(await database.audit(1)) == entries[-1:]


async def refusal(where: str | Path, key: Path) -> StartError:
    """How opening it fails."""
    with pytest.raises(StartError) as caught:
        await Database.open(where, key)
    return caught.value


async def test_newer_database_is_left_alone(tmp_path: Path, database: Database) -> None:
    """A database of a later version is refused with that reason and not touched."""
    await database.close()
    path, key = files(tmp_path)
    with sqlite3.connect(path) as raw:
        raw.execute("update alembic_version set version_num = '9999'")
    raw.close()

    error = await refusal(path, key)
    assert (error.code, "newer version" in str(error)) == ("state-unusable", True)
    with sqlite3.connect(path) as raw:
        assert raw.execute("select version_num from alembic_version").fetchone() == ("9999",)
    raw.close()


async def test_garbage_is_no_database(tmp_path: Path) -> None:
    """A file that is no database is refused in plain words, and keeps its content."""
    path = tmp_path / "roadstead.db"
    path.write_text("this is a text, and a long one, so that it is no empty file\n" * 50)

    error = await refusal(path, tmp_path / "secret.key")
    assert (error.code, error.fields["reason"]) == ("state-unusable", "the file holds no database")
    assert path.read_text().startswith("this is a text")


async def test_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """Nobody else may be able to swap the files."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)

    error = await refusal(folder / "roadstead.db", folder / "secret.key")
    assert (error.code, "0700" in str(error)) == ("state-unusable", True)


@pytest.mark.parametrize("where", ["oracle-nonsense", "://", "nosuch://host/db"])
async def test_nonsense_url_is_refused(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that names no database that we speak is a clear refusal; a plain word is a file's name."""
    monkeypatch.chdir(tmp_path)
    if "://" not in where:
        await (await Database.open(where, tmp_path / "secret.key")).close()
        return
    assert (await refusal(where, tmp_path / "secret.key")).code == "state-unusable"


async def test_missing_key_of_a_used_database_is_not_replaced(tmp_path: Path, database: Database) -> None:
    """When passwords were sealed, a lost key is named and no new one is made in its place."""
    await database.add_pool(POOL)
    await database.close()
    path, key = files(tmp_path)
    key.unlink()

    error = await refusal(path, key)
    assert (error.code, "missing" in str(error), key.exists()) == ("key-file-unusable", True, False)


async def test_wrong_key_is_noticed_at_the_start(tmp_path: Path, database: Database) -> None:
    """A key that is not the one which sealed the passwords is refused before anything else happens."""
    await database.add_pool(POOL)
    await database.close()
    path, key = files(tmp_path)
    key.write_bytes(bytes(32))

    error = await refusal(path, key)
    assert (error.code, "another key" in str(error)) == ("key-file-unusable", True)


async def test_outage_while_running_is_a_peer_error(tmp_path: Path, database: Database) -> None:
    """A database that vanishes under us is an outage, not a bug."""
    with sqlite3.connect(files(tmp_path)[0]) as raw:
        raw.execute("drop table last_pins")
    raw.close()

    with pytest.raises(PeerError) as caught:
        await database.pins()
    assert caught.value.code == "state-unusable"


def test_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    """The scripts, run one after the other, give exactly the tables that the code declares."""
    engine = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    with engine.begin() as connection:
        migrate(connection, load_scripts())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_urls_get_the_drivers_of_asyncio() -> None:
    """People write plain URLs; the drivers are ours to name."""
    assert url_of("/srv/x.db").drivername == "sqlite+aiosqlite"
    assert url_of("postgresql://u:p@db/roadstead").drivername == "postgresql+asyncpg"
    assert url_of("sqlite:////srv/x.db").database == "/srv/x.db"


async def test_a_fleet_is_remembered_at_once(database: Database) -> None:
    """However many VMs are met for the first time, and however often: nothing of them is lost or kept twice."""
    vms = [VmId(f"vm-{number}") for number in range(2 * STATEMENT_ITEMS + 1)]
    await database.add_pool(POOL)
    await database.remember_keyed_vms(POOL.id, [(vms[7], "SHA256:key")])
    for _ in range(2):
        await database.remember_pins(POOL.id, dict.fromkeys(vms, "AAAA"))
        await database.remember_keyed_vms(POOL.id, [(vm, "SHA256:key") for vm in vms])

    assert {pin.vm for pin in await database.pins()} == set(vms)
    assert len(await database.keyed_vms()) == len(vms)
    await database.remember_pins(POOL.id, {})
    await database.remember_keyed_vms(POOL.id, [])


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_cancelled_write_is_done_whole_and_locks_nobody_out(database: Database, turns: int) -> None:
    """Wherever a write is cancelled, it is in the database when the cancellation has come through."""
    async with asyncio.TaskGroup() as group:
        write = tasks.spawn(group, database.remember_pins(POOL.id, {VM: "key"}), "write")
        for _ in range(turns + 1):
            await asyncio.sleep(0.0002)
        write.cancel()

    assert [pin.vm for pin in await database.pins()] == [VM]
    await database.remember_pins(POOL.id, {VM: "other"})
