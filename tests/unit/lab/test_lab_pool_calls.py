"""Calls of the pool: who may make them, how they fail, and what they do to records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.sessions import SESSIONS_OF_NOBODY, SESSIONS_PER_ORIGINATOR
from tests.unit.lab.pool_support import Client, PlainGuests, Refusal, signed_in


@pytest.fixture
async def guests() -> PlainGuests:
    """Guests that remember what was done to them."""
    return PlainGuests()


@pytest.fixture
async def pool(tmp_path: Path, guests: PlainGuests) -> AsyncIterator[LabPool]:
    """A pool of two hosts with a running VM."""
    async with LabPool(tmp_path / "lab", hosts=2, guests=guests) as running:
        await running.create_vm("web-1")
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A signed-in client."""
    async with signed_in(pool) as made:
        yield made


# Signing in.


@pytest.mark.parametrize("user", [role.label for role in Role])
async def test_every_role_has_an_account(pool: LabPool, user: str) -> None:
    """Each role's account signs in with the pool's password, and reads."""
    async with signed_in(pool, user) as client:
        assert await client.call("VM.get_all")


async def test_unknown_users_are_refused(client: Client, pool: LabPool) -> None:
    """A wrong name fails like a wrong password, with another reason."""
    with pytest.raises(Refusal) as refused:
        await client.bare("session.login_with_password", "nobody", pool.password)

    assert refused.value.reason[:2] == ["SESSION_AUTHENTICATION_FAILED", "nobody"]


@pytest.mark.parametrize(("originator", "limit"), [("mine", SESSIONS_PER_ORIGINATOR), ("", SESSIONS_OF_NOBODY)])
async def test_oldest_session_of_an_originator_goes(pool: LabPool, originator: str, limit: int) -> None:
    """One session too many of an originator, and the oldest ends; others stay."""
    async with signed_in(pool) as client:
        account = pool.core.sessions.find(client.session).account
        first, *others = [pool.core.sessions.open(account, originator, "host") for _ in range(limit + 1)]

        assert first.ended.is_set()
        assert not any(session.ended.is_set() for session in others)
        assert await client.call("VM.get_all")


async def test_member_knows_only_its_master(pool: LabPool) -> None:
    """A member sends every caller to the master, an invalid session excepted."""
    async with signed_in(pool) as client, signed_in(pool, host=2) as member:
        with pytest.raises(Refusal) as refused:
            await member.bare("session.login_with_password", "root", "wrong")
        assert refused.value.reason == ["HOST_IS_SLAVE", "127.88.0.1"]

        member.session = client.session
        assert await member.refused("VM.get_all") == ["HOST_IS_SLAVE", "127.88.0.1"]
        member.session = "OpaqueRef:none"
        assert await member.refused("VM.get_all") == ["SESSION_INVALID", "OpaqueRef:none"]


async def test_local_session_reads_on_a_member(pool: LabPool) -> None:
    """A member's own session may read there."""
    async with signed_in(pool, host=2) as member:
        member.session = await member.bare("session.slave_local_login_with_password", "root", pool.password)

        assert await member.call("VM.get_all")


# Rights.


@pytest.mark.parametrize(
    ("user", "method", "params", "permission"),
    [
        ("read-only", "VM.add_to_other_config", ("VM", "a", "b"), "vm.add_to_other_config"),
        ("read-only", "VM.start", ("VM", False, False), "vm.start"),
        ("read-only", "secret.get_all", (), "secret.get_all"),
        ("vm-admin", "pool.sync_database", (), "pool.sync_database"),
        ("vm-admin", "VM.pool_migrate", ("VM", "HOST", {}), "vm.pool_migrate"),
        ("vm-power-admin", "VM.add_to_other_config", ("VM", "pci", "b"), "vm.add_to_other_config/key:pci"),
        ("pool-operator", "host.call_plugin", ("HOST", "a", "b", {}), "host.call_plugin"),
    ],
)
async def test_calls_need_their_role(
    pool: LabPool, user: str, method: str, params: tuple[object, ...], permission: str
) -> None:
    """Who has a lower role is refused with the permission and the roles that have it."""
    known = {"VM": pool.find("web-1"), "HOST": pool.host_ref(1)}
    async with signed_in(pool, user) as client:
        refused = await client.refused(method, *(known.get(str(param), param) for param in params))

    assert refused[:2] == ["RBAC_PERMISSION_DENIED", permission]
    enough = refused[2].rstrip(")").rpartition(": ")[2].split(", ")
    higher = [role.label for role in Role if role > Role[user.upper().replace("-", "_")]]
    assert set(enough) <= set(higher)
    assert "pool-admin" in enough


@pytest.mark.parametrize(
    ("user", "key"), [("vm-operator", "folder"), ("vm-operator", "XenCenter.CustomFields.a"), ("vm-admin", "any")]
)
async def test_keys_have_roles_of_their_own(pool: LabPool, user: str, key: str) -> None:
    """Some keys of `other_config` need less than others."""
    async with signed_in(pool, user) as client:
        assert await client.call("VM.add_to_other_config", pool.find("web-1"), key, "x") == ""


async def test_pool_operator_does_all_that_we_need(pool: LabPool) -> None:
    """The role that Roadstead's account has suffices for its writes."""
    async with signed_in(pool, "pool-operator") as client:
        secret = await client.call("secret.create", {"value": "v"})
        uuid = await client.call("secret.get_uuid", secret)
        ours = (await client.call("pool.get_all"))[0]

        assert await client.call("pool.add_to_other_config", ours, "xscontainer-public-secret-uuid", uuid) == ""
        assert await client.call("pool.sync_database") == ""
        assert await client.call("secret.destroy", secret) == ""


# Records.


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('field "name__label" = "web-1"', 1),
        ('not (field "is_a_template" = "true") and not (field "is_control_domain" = "true")', 1),
        ('field "is_control_domain"="true" or field "name__label"="web-1"', 3),
        ("true", 4),
        ("false", 0),
    ],
)
async def test_records_are_found_by_expressions(client: Client, expression: str, found: int) -> None:
    """`get_all_records_where` understands comparisons, and, or, not and brackets."""
    assert len(await client.call("VM.get_all_records_where", expression)) == found


@pytest.mark.parametrize("expression", ["zzz", 'field "a"', "(true", "true true", 'field "a" = and', ""])
async def test_bad_expressions_are_refused(client: Client, expression: str) -> None:
    """An expression that makes no sense is refused by its text."""
    assert (await client.refused("VM.get_all_records_where", expression))[:2] == ["INVALID_VALUE", expression]


async def test_strings_are_cut_at_control_characters(client: Client, pool: LabPool) -> None:
    """Single strings are cut, without an error, where the database cannot hold them; whole maps are refused."""
    vm = pool.find("web-1")
    await client.call("VM.set_name_description", vm, "good\x01bad")
    await client.call("VM.add_to_other_config", vm, "key", "good\tand\x02bad")

    assert await client.call("VM.get_name_description", vm) == "good"
    assert (await client.call("VM.get_other_config", vm))["key"] == "good\tand"
    assert await client.refused("VM.set_other_config", vm, {"a": "b\x01"}) == [
        "INTERNAL_ERROR",
        "Db_exn.Invalid_value",
    ]


async def test_pool_that_could_not_start_again_is_found(client: Client, pool: LabPool) -> None:
    """U+FFFE is taken, as a real pool takes it; the lab can say where it stands."""
    vm = pool.find("web-1")
    assert pool.unreadable() == []

    await client.call("VM.add_to_other_config", vm, "key", "bad \ufffe")

    assert pool.unreadable() == [("VM", vm, "other_config")]


async def test_sets_hold_each_member_once(client: Client, pool: LabPool) -> None:
    """Tags are added once and removed."""
    vm = pool.find("web-1")
    for _ in range(2):
        await client.call("VM.add_tags", vm, "docker")

    assert await client.call("VM.get_tags", vm) == ["docker"]
    await client.call("VM.remove_tags", vm, "docker")
    assert await client.call("VM.get_tags", vm) == []


async def test_wrong_arguments_are_internal_errors(client: Client, pool: LabPool) -> None:
    """Arguments of the wrong type are told in XAPI's notation."""
    vm = pool.find("web-1")

    assert await client.refused("VM.set_order", vm, "x") == ["INTERNAL_ERROR", 'Failure("Int64.of_string")']
    assert await client.refused("VM.set_order", vm, True) == [
        "INTERNAL_ERROR",
        "Failure(\"Expected int, got 'B(true)'\")",
    ]
    assert await client.refused("VM.set_tags", vm, "x") == [
        "INTERNAL_ERROR",
        "Failure(\"Expected set, got 'S(x)'\")",
    ]


async def test_asynchronous_calls_are_tasks(client: Client, pool: LabPool) -> None:
    """`Async.` returns a task that tells how the call ended."""
    vm = pool.find("web-1")
    stopped = await client.call("Async.VM.hard_shutdown", vm)
    async with asyncio.timeout(5):
        while (await client.call("task.get_status", stopped)) == "pending":
            await asyncio.sleep(0.01)
    failed = await client.call("Async.VM.hard_shutdown", vm)
    async with asyncio.timeout(5):
        while (await client.call("task.get_status", failed)) == "pending":
            await asyncio.sleep(0.01)

    assert await client.call("task.get_status", stopped) == "success"
    assert (await client.call("task.get_error_info", failed))[0] == "VM_BAD_POWER_STATE"


# Secrets and keys.


def newest(guests: PlainGuests) -> tuple[str, ...]:
    """The keys that were authorised last."""
    return guests.authorized[-1]


async def test_the_first_public_key_of_the_pool_opens_every_guest(
    client: Client, pool: LabPool, guests: PlainGuests
) -> None:
    """It is authorised before the call that names it is answered; later ones have to be brought into the guests."""
    secrets = [await client.call("secret.create", {"value": f"ssh-rsa {number} c\n"}) for number in range(2)]
    uuids = [await client.call("secret.get_uuid", secret) for secret in secrets]

    await client.call("pool.add_to_other_config", pool.core.pool, "xscontainer-public-secret-uuid", uuids[0])
    assert newest(guests) == ("ssh-rsa 0 c",)

    await client.call("pool.add_to_other_config", pool.core.pool, "roadstead-old-public-secret-uuid", uuids[0])
    await client.call("pool.remove_from_other_config", pool.core.pool, "xscontainer-public-secret-uuid")
    await client.call("pool.add_to_other_config", pool.core.pool, "xscontainer-public-secret-uuid", uuids[1])
    assert newest(guests) == ("ssh-rsa 0 c",)
    assert pool.machines.public_keys() == ("ssh-rsa 1 c", "ssh-rsa 0 c")


async def test_secrets_are_made_with_a_given_uuid_once(client: Client) -> None:
    """`introduce` keeps the uuid; the same uuid again is refused."""
    uuid = "3f0f6e4e-8383-4e72-99db-8de5cdb4fdb6"
    made = await client.call("secret.introduce", uuid, "v", {})

    assert await client.call("secret.get_by_uuid", uuid) == made
    assert "Uniqueness_constraint_violation" in (await client.refused("secret.introduce", uuid, "v", {}))[1]


async def test_certificates_are_those_that_are_shown(client: Client, pool: LabPool) -> None:
    """The pool tells each host's certificate, and that one is served."""
    records = (await client.call("Certificate.get_all_records")).values()
    hosts = await client.call("host.get_all_records")
    told = {
        hosts[record["host"]]["address"]: record["fingerprint_sha256"] for record in records if record["type"] == "host"
    }

    assert told == {"127.88.0.1": pool.fingerprints[0], "127.88.0.2": pool.fingerprints[1]}
    assert all(len(host["certificates"]) == 2 for host in hosts.values())
    assert "BEGIN CERTIFICATE" in await client.call("host.get_server_certificate", pool.host_ref(2))
