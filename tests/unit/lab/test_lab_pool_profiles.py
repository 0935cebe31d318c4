"""A pool that passes for an older release has the fields and calls of that release."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.lab.pool.profiles import PROFILES
from roadstead.lab.pool.schema import SCHEMAS
from roadstead.lab.pool.server import LabPool
from tests.unit.lab.pool_support import Client, recorded_shapes, signed_in

KINDS_ON_THE_WIRE = {"maps": "map"}
"""Types that only the lab tells apart."""


@asynccontextmanager
async def passing_for(tmp_path: Path, name: str) -> AsyncIterator[tuple[LabPool, Client]]:
    """A pool of that release and a client of it."""
    pool = LabPool(tmp_path / "lab", hosts=1)
    pool.profile = PROFILES[name]
    async with pool, signed_in(pool) as client:
        yield pool, client


@pytest.mark.parametrize(
    ("name", "version", "fields"),
    [("8.2", "8.2.1", (False, False)), ("8.3", "8.3.0", (True, False)), ("current", "26.17.0", (True, True))],
)
async def test_records_have_the_fields_of_their_release(
    tmp_path: Path, name: str, version: str, fields: tuple[bool, bool]
) -> None:
    """Records, events, getters and the list of calls agree on what there is."""
    async with passing_for(tmp_path, name) as (pool, client):
        host = pool.host_ref(1)
        record = await client.call("host.get_record", host)
        (event,) = (await client.events(["host"]))["events"]
        listed = await client.bare("system.listMethods")

        for names in (record, (await client.call("host.get_all_records"))[host], event["snapshot"]):
            assert ("https_only" in names, "ssh_enabled" in names) == fields
        assert ("host.get_https_only" in listed, "host.get_ssh_enabled" in listed) == fields
        assert record["software_version"]["product_version"] == version
        if not fields[0]:
            unknown = ["MESSAGE_METHOD_UNKNOWN", "host.get_https_only"]
            assert await client.refused("host.get_https_only", host) == unknown


async def test_old_pools_do_not_look_into_whole_maps(tmp_path: Path) -> None:
    """Before 26.12 a vm-admin could change a guarded key by replacing the map."""
    async with passing_for(tmp_path, "8.3") as (pool, _):
        pool.add_bare_vms("web-1")
        async with signed_in(pool, "vm-admin") as admin:
            await admin.call("VM.set_other_config", pool.find("web-1"), {"pci": "0"})


async def test_folder_serves_every_profile(tmp_path: Path) -> None:
    """The same folder passes for another release in the next run."""
    for name in PROFILES:
        async with passing_for(tmp_path, name) as (pool, client):
            record = await client.call("host.get_record", pool.host_ref(1))
            assert record["API_version_minor"] == PROFILES[name].api_minor


def test_the_newest_has_the_fields_of_the_recorded_pool() -> None:
    """Of every class that was recorded: no field more, none fewer, each of its type."""
    recorded = recorded_shapes()
    shapes = {
        kind: {field.name: field.kind.name for field in schema.fields.values()} for kind, schema in SCHEMAS.items()
    }
    shapes["session record"] = shapes.pop("session")
    told = {
        kind: {name: KINDS_ON_THE_WIRE.get(type, type) for name, type in shape.items()}
        for kind, shape in shapes.items()
    }

    assert len(recorded) > 10
    assert {kind: told[kind] for kind in recorded} == recorded


def test_an_older_release_lacks_more() -> None:
    """What a release lacks is there in the newest, and was not there in the one before."""
    oldest, middle, newest = (PROFILES[name].hidden for name in ("8.2", "8.3", "current"))

    assert not newest
    for kind, names in middle.items():
        assert names < oldest[kind] or names == oldest[kind], kind
    for kind, names in oldest.items():
        assert names <= SCHEMAS[kind].fields.keys(), kind
