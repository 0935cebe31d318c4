"""Who may do what: subjects and their roles, the role that each call and each key needs, and the lists of both."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.lab.pool import methods
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.values import NULL
from tests.unit.lab.pool_support import Client, Refusal, signed_in

DENIED = "RBAC_PERMISSION_DENIED"
LOWEST: dict[str, tuple[tuple[Any, ...], ...]] = {
    "read-only": (("VM.get_all_records",), ("task.create", "mine", ""), ("subject.get_all",)),
    "vm-operator": (("VM.start", "vm", False, False), ("VM.add_tags", "vm", "t"), ("VBD.eject", "OpaqueRef:x")),
    "vm-admin": (
        ("VM.set_name_label", "vm", "web-1"),
        ("VM.add_to_other_config", "vm", "docker_ps", "<docker_ps/>"),
        ("VM.remove_from_other_config", "vm", "docker_ps"),
        ("VM.set_other_config", "vm", {}),
        ("VDI.destroy", "OpaqueRef:x"),
        ("network.create", {}),
    ),
    "vm-power-admin": (
        ("SR.scan", "OpaqueRef:x"),
        ("VM.start_on", "vm", "host", False, False),
        ("VM.pool_migrate", "vm", "host", {}),
    ),
    "pool-operator": (
        ("secret.get_all",),
        ("secret.create", {"value": "v"}),
        ("message.create", "G", 3, "VM", "zz", ""),
        ("pool.add_to_other_config", "pool", "k", "v"),
        ("pool.sync_database",),
    ),
    "pool-admin": (
        ("host.call_plugin", "host", "nosuch", "f", {}),
        ("VM.add_to_other_config", "vm", "pci", "0"),
        ("VM.add_to_other_config", "vm", "hvm_serial", "none"),
        ("subject.create", {}),
    ),
}
"""The lowest role that may make each of these calls."""


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool with a halted VM."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        running.add_bare_vms("web-1")
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A client signed in as root."""
    async with signed_in(pool) as made:
        yield made


async def outcome(client: Client, pool: LabPool, call: str, *arguments: object) -> str:
    """How a call ends: the code of its failure, or an empty string."""
    known = {"vm": pool.find("web-1"), "host": pool.host_ref(1), "pool": pool.core.pool}
    try:
        await client.call(call, *(known.get(word, word) if isinstance(word, str) else word for word in arguments))
    except Refusal as refusal:
        return refusal.reason[0]
    return ""


CALLS = [(role, call) for role, calls in LOWEST.items() for call in calls]


@pytest.mark.parametrize(("role", "call"), CALLS, ids=lambda value: value if isinstance(value, str) else value[0])
async def test_each_call_has_its_lowest_role(pool: LabPool, role: str, call: tuple[Any, ...]) -> None:
    """The role below is denied, the role itself is not, whatever else becomes of the call."""
    async with signed_in(pool, role) as client:
        assert await outcome(client, pool, *call) != DENIED
    if role != "read-only":
        below = Role(Role.of(role) - 1).label
        async with signed_in(pool, below) as client:
            assert await outcome(client, pool, *call) == DENIED


async def test_keys_of_other_tools_are_free(pool: LabPool) -> None:
    """A vm-operator writes folders and custom fields, and no other key."""
    vm = pool.find("web-1")
    async with signed_in(pool, "vm-operator") as client:
        await client.call("VM.add_to_other_config", vm, "folder", "/a")
        await client.call("VM.add_to_other_config", vm, "XenCenter.CustomFields.owner", "me")
        refused = await client.refused("VM.add_to_other_config", vm, "xscontainer-monitor", "True")
    enough = "vm-power-admin, vm-admin, pool-admin, pool-operator"
    reason = f"No permission in user session. (Roles with this permission: {enough})"
    assert refused == [DENIED, "vm.add_to_other_config", reason]


async def test_whole_map_is_judged_by_what_changes(client: Client, pool: LabPool) -> None:
    """Who replaces the map may leave a guarded key as it is, but neither change nor drop it."""
    vm = pool.find("web-1")
    await client.call("VM.set_other_config", vm, {"pci": "0", "k": "v"})
    async with signed_in(pool, "vm-admin") as admin:
        await admin.call("VM.set_other_config", vm, {"pci": "0"})
        for wanted in ({}, {"pci": "1"}):
            assert (await admin.refused("VM.set_other_config", vm, wanted))[:2] == [
                DENIED,
                "vm.set_other_config/key:pci",
            ]


async def test_session_tells_who_it_is(client: Client, pool: LabPool) -> None:
    """A subject's session has its subject, identifier, name and permissions; root's has none of them."""
    root = await client.call("session.get_record", client.session)
    assert (root["subject"], root["auth_user_sid"], root["rbac_permissions"]) == (NULL, "", [])
    async with signed_in(pool, "vm-operator") as other:
        record = await other.call("session.get_record", other.session)
    subject = await client.call("subject.get_record", record["subject"])
    assert subject["subject_identifier"] == record["auth_user_sid"]
    assert subject["other_config"]["subject-name"] == record["auth_user_name"] == "vm-operator"
    assert record["is_local_superuser"] is False
    assert {"vm.start", "vm.add_to_other_config/key:folder"} <= set(record["rbac_permissions"])
    assert not {"vm.set_name_label", "host.call_plugin", "http/get_export_raw_vdi"} & set(record["rbac_permissions"])
    assert await client.call("subject.get_permissions_name_label", record["subject"]) == record["rbac_permissions"]


async def test_roles_come_with_the_next_sign_in(client: Client, pool: LabPool) -> None:
    """A session keeps the role of its sign-in; the next one has the new role, and without any role there is none."""
    (subject,) = [
        ref
        for ref, record in (await client.call("subject.get_all_records")).items()
        if record["other_config"]["subject-name"] == "read-only"
    ]
    vm = pool.find("web-1")
    (old,) = await client.call("subject.get_roles", subject)
    (new,) = await client.call("role.get_by_name_label", "vm-admin")
    async with signed_in(pool, "read-only") as before:
        await client.call("subject.add_to_roles", subject, new)
        assert await client.refused("subject.add_to_roles", subject, new) == ["ROLE_ALREADY_EXISTS"]
        assert (await before.refused("VM.set_name_label", vm, "x"))[0] == DENIED
        async with signed_in(pool, "read-only") as after:
            await after.call("VM.set_name_label", vm, "web-1")
        for role in (old, new):
            await client.call("subject.remove_from_roles", subject, role)
        assert await client.refused("subject.remove_from_roles", subject, new) == ["ROLE_NOT_FOUND"]
        with pytest.raises(Refusal) as refused:
            await before.bare("session.login_with_password", "read-only", pool.password)
    assert refused.value.reason[2] == "Subject read-only (identifier u1000) has no roles in this pool"


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (
            "norole",
            [DENIED, "session.login_with_password", "Subject norole (identifier u1006) has no roles in this pool"],
        ),
        ("stranger", ["SESSION_AUTHORIZATION_FAILED", "stranger"]),
    ],
)
async def test_who_is_not_let_in(client: Client, pool: LabPool, user: str, reason: list[str]) -> None:
    """The right password is not enough for who has no role, or is no subject of the pool."""
    with pytest.raises(Refusal) as refused:
        await client.bare("session.login_with_password", user, pool.password)
    assert refused.value.reason[: len(reason)] == reason


async def test_stranger_becomes_a_subject(client: Client, pool: LabPool) -> None:
    """Somebody whom the directory knows gets in once the pool has made him a subject with a role."""
    subject = await client.call("subject.create", {"subject_identifier": "u1007", "other_config": {}})
    assert await client.refused("subject.create", {"subject_identifier": "u1007"}) == ["SUBJECT_ALREADY_EXISTS"]
    (role,) = await client.call("role.get_by_name_label", "pool-operator")
    await client.call("subject.add_to_roles", subject, role)
    async with signed_in(pool, "stranger") as stranger:
        assert await stranger.call("secret.get_all") == []
    await client.call("subject.destroy", subject)
    with pytest.raises(Refusal):
        await client.bare("session.login_with_password", "stranger", pool.password)


def test_more_role_is_more_permission() -> None:
    """Each role may all that the one below it may, and more; the highest may everything."""
    lists = [set(methods.permissions(role)) for role in Role]
    assert all(less < more for less, more in itertools.pairwise(lists))
    assert "vm.add_to_other_config/key:pci" in lists[-1] - lists[-2]
