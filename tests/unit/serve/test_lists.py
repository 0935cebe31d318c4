"""Reading the inventory over the API."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from roadstead.model import Container, LinkState
from roadstead.serve import answers
from tests.unit.inventory_views import samples
from tests.unit.serve import stage

SHOP = "vm-1/" + "aaaa".ljust(64, "0")


async def test_containers_are_listed_as_records(tmp_path: Path) -> None:
    """Every container comes with every field of its record, as the store has it, and with the number."""
    async with (
        stage.running(tmp_path) as api,
        api.client.get("http://localhost/api/v1/containers") as answer,
    ):
        rows = await answer.json()
        assert answer.headers[answers.NUMBER_HEADER] == str(api.world.store.number)
        assert msgspec.convert(rows, list[Container]) == list(api.world.store.containers())
        assert {row["name"]: row["stale"] for row in rows if row["vm"] == "vm-2"} == {"shop": True}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/containers?q=state:running", ["shop"]),
        ("/containers?q=state:stale", ["shop"]),
        ("/containers?q=image:redis", ["cache"]),
        ("/containers?q=nothing", []),
        ("/containers?q=vm:web*%20-name:shop", ["cache"]),
        ("/vms?q=state:live", ["web-1"]),
        ("/vms?q=image:redis", ["web-1"]),
        ("/hosts", ["north"]),
        ("/pools", ["Rack 1"]),
    ],
)
async def test_lists_are_filtered(tmp_path: Path, path: str, names: list[str]) -> None:
    """`q` is the one search language."""
    async with stage.running(tmp_path) as api:
        assert [row["name"] for row in await api.get(path)] == names


async def test_fields_make_rows_of_only_those(tmp_path: Path) -> None:
    """`fields` names the columns, in their order; an unknown one is refused by name."""
    async with stage.running(tmp_path) as api:
        rows = await api.get("/containers?q=image:redis&fields=name,ports,%20vm_name")
        assert [list(row.items()) for row in rows] == [[("name", "cache"), ("ports", []), ("vm_name", "web-1")]]
        assert await api.get("/containers?q=image:redis&fields=id") == [{"id": "vm-1/" + "dead".ljust(64, "0")}]
        assert (await api.get("/vms?fields=name,state&q=web-1")) == [{"name": "web-1", "state": "live"}]
        problem = await api.refused("GET", "/containers?fields=name,color", 422, "field-invalid")
        assert "color" in problem["detail"]
        assert problem["fields"]["field"] == "fields"


async def test_vm_view_tells_state_and_counts(tmp_path: Path) -> None:
    """A VM shows its state, its problem and counts in which nothing stale runs."""
    async with stage.running(tmp_path) as api:
        live, lost, bare = [await api.get(f"/vms/{name}") for name in ("vm-1", "vm-2", "bare")]
        assert (live["state"], live["stale"], live["containers"]) == (
            "live",
            False,
            {"total": 2, "running": 1, "stale": 0},
        )
        assert (lost["state"], lost["stale"], lost["containers"]) == (
            "broken",
            True,
            {"total": 1, "running": 0, "stale": 1},
        )
        assert lost["problem"]["code"] == "key-rejected"
        assert (bare["state"], bare["enabled"], bare["problem"]) == ("unmanaged", False, None)


async def test_names_may_hold_anything(tmp_path: Path) -> None:
    """A name with a slash, a space and an umlaut is one part of a path when it is quoted."""
    async with stage.running(tmp_path) as api:
        name = quote("db/main Süd", safe="")
        assert (await api.get(f"/vms/{name}"))["id"] == "vm-2"
        assert (await api.get(f"/vms/{name}/why"))["name"] == "db/main Süd"


async def test_wrong_names_are_refused(tmp_path: Path) -> None:
    """An unknown name is 404 with suggestions, an ambiguous one 409 with candidates."""
    async with stage.running(tmp_path) as api:
        problem = await api.refused("GET", "/vms/wep-1", 404, "no-such-vm")
        assert problem["suggestions"] == ["web-1"]
        problem = await api.refused("GET", "/vms/*", 409, "ambiguous-name")
        assert problem["candidates"] == ["bare", "db/main Süd", "web-1"]
        await api.refused("GET", "/pools/nowhere", 404, "no-such-pool")
        await api.refused("GET", "/containers/vm-1/0000", 404, "no-such-container")


async def test_match_resolves_names(tmp_path: Path) -> None:
    """Names, ``vm/container`` and globs are resolved; the same container is told once."""
    async with stage.running(tmp_path) as api:
        found = await api.get("/containers/match", params=[("name", "web-1/*"), ("name", "cache")])
        assert [row["name"] for row in found] == ["shop", "cache"]
        assert found[0] == {
            "id": SHOP,
            "name": "shop",
            "vm": "vm-1",
            "vm_name": "web-1",
            "state": "running",
            "stale": False,
        }
        problem = await api.refused("GET", "/containers/match?name=shop", 409, "ambiguous-name")
        assert problem["candidates"] == ["db/main Süd/shop", "web-1/shop"]
        await api.refused("GET", "/containers/match?name=shap", 404, "no-such-container")
        problem = await api.refused("GET", "/containers/match", 422, "field-invalid")
        assert problem["fields"]["field"] == "name"


async def test_one_container_is_shown(tmp_path: Path) -> None:
    """A container is found by the two parts of its id."""
    async with stage.running(tmp_path) as api:
        assert (await api.get(f"/containers/{SHOP}"))["name"] == "shop"


async def test_malformed_filter_is_refused(tmp_path: Path) -> None:
    """The answer names the term and the known fields."""
    async with stage.running(tmp_path) as api:
        for path in ("/containers", "/vms", "/search"):
            problem = await api.refused("GET", f"{path}?q=state:running%20colour:red", 422, "filter-invalid")
            assert problem["fields"]["term"] == "colour:red"
            assert "image" in problem["fields"]["known"]
        for path, value in (("/containers", "live"), ("/vms", "running"), ("/search", "runing")):
            problem = await api.refused("GET", f"{path}?q=state:{value}", 422, "filter-value-unknown")
            assert (problem["fields"]["field"], problem["fields"]["value"]) == ("state", value)
            assert "stale" in problem["fields"]["known"]
        problem = await api.refused("GET", "/search", 422, "field-invalid")
        assert problem["fields"]["field"] == "q"


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/containers?filter=foo:bar", "q, fields"),
        ("/vms?q=web&Fields=name", "q, fields"),
        ("/hosts?q=north", "none"),
        ("/pools?x", "none"),
        ("/changes?from=7", "since, kinds"),
        ("/vms/vm-1?fields=name", "none"),
    ],
)
async def test_unknown_parameters_are_refused(tmp_path: Path, path: str, known: str) -> None:
    """A filter under another name would find everything and not say so."""
    async with stage.running(tmp_path) as api:
        problem = await api.refused("GET", path, 422, "field-invalid")
        assert problem["fields"]["field"] == path.partition("?")[2].split("&")[-1].partition("=")[0]
        assert f"it has {known}" in problem["detail"]


async def test_tree_shows_everything_in_its_place(tmp_path: Path) -> None:
    """Pools hold hosts, hosts hold VMs, VMs hold containers; a VM on no host stands under its pool."""
    records = (*stage.FEW, samples.host("host-2", "south"), samples.pool("pool-2", "Empty"))
    async with stage.running(tmp_path, records) as api:
        empty, pool = await api.get("/tree")
        assert (empty["name"], empty["hosts"], empty["vms"]) == ("Empty", [], [])
        north, south = pool["hosts"]
        assert (pool["name"], north["name"], south["name"], south["vms"]) == ("Rack 1", "north", "south", [])
        assert [vm["name"] for vm in north["vms"]] == ["db/main Süd", "web-1"]
        web = north["vms"][1]
        assert [container["name"] for container in web["containers"]] == ["cache", "shop"]
        assert web["counts"] == {"total": 2, "running": 1, "stale": 0}
        assert [vm["name"] for vm in pool["vms"]] == ["bare"]


async def test_empty_world(tmp_path: Path) -> None:
    """Nothing known gives empty lists, not errors."""
    async with stage.running(tmp_path, ()) as api:
        for path in ("/pools", "/hosts", "/vms", "/containers", "/tree", "/operations"):
            assert await api.get(path) == []
        assert await api.get("/search?q=x") == {"vms": [], "containers": []}


async def test_search_finds_both_kinds(tmp_path: Path) -> None:
    """One search gives VMs and containers."""
    async with stage.running(tmp_path) as api:
        found = await api.get("/search?q=web")
        assert [vm["name"] for vm in found["vms"]] == ["web-1"]
        assert [container["name"] for container in found["containers"]] == ["shop", "cache"]


async def test_health_tells_version_and_size(tmp_path: Path) -> None:
    """Health has the version, the number, counts, and the statistics of every part."""
    async with stage.running(tmp_path) as api:
        health = await api.get("/health")
        assert health["version"]
        assert health["uptime_seconds"] >= 0
        assert (health["pools"], health["vms"], health["containers"]) == (1, 3, 3)
        assert health["number"] == api.world.store.number
        assert health["statistics"] == {"links": {"live": 1}, "readers": {"open": 0}}


def many(vms: int, each: int) -> list[object]:
    """A fleet."""
    records: list[object] = [samples.pool(), samples.host()]
    for n in range(vms):
        records += [samples.vm(f"vm-{n}", f"web-{n}"), samples.link(f"vm-{n}")]
        records += [samples.container(f"vm-{n}", i, f"shop-{i}", labels={"n": str(i)}) for i in range(each)]
    return records


async def test_long_lists_leave_the_loop_its_turns(tmp_path: Path) -> None:
    """While a long list is written other requests are answered, and the list is that of one moment."""
    async with stage.running(tmp_path, many(200, 60)) as api:
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                if turns == 3:
                    api.world.apply(*(samples.gone("vm", vm) for vm in list(api.world.store.vms)))
                await asyncio.sleep(0)

        async with api.client.get("http://localhost/api/v1/containers") as answer:
            ticking = asyncio.create_task(tick())  # noqa: TID251 - a test's own task
            rows = await answer.json()
            ticking.cancel()
        assert answer.headers.get("Transfer-Encoding") == "chunked"
        assert len(rows) == 12_000
        assert turns > 3


async def test_tree_and_vms_of_a_fleet_are_of_one_moment(tmp_path: Path) -> None:
    """A long tree holds everything that was there when it was asked for."""
    async with stage.running(tmp_path, many(400, 30)) as api:
        (pool,) = await api.get("/tree")
        assert sum(len(vm["containers"]) for vm in pool["hosts"][0]["vms"]) == 12_000
        assert sum(vm["containers"]["running"] for vm in await api.get("/vms")) == 12_000
        found = await api.get("/search?q=name:shop-7")
        assert (len(found["vms"]), len(found["containers"])) == (0, 400)


async def test_slices_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing stops for the loop after a slice, even when nothing is kept."""
    monkeypatch.setattr(answers, "SLICE_SECONDS", -1.0)
    looked_at: list[int] = []

    def never(record: int) -> bool:
        looked_at.append(record)
        return False

    answer = answers.pieces(answers.listed(range(10_000), never), 1)
    assert isinstance(answer, answers.Patient)
    assert len(looked_at) == answers.BATCH_RECORDS
    assert b"".join([bytes(part) async for part in answer.body_iterator]) == b"[]"  # type: ignore[arg-type]
    assert len(looked_at) == 10_000


async def test_state_of_a_lost_vm_follows(tmp_path: Path) -> None:
    """A link that comes back heals the view."""
    async with stage.running(tmp_path) as api:
        api.world.tell(samples.link("vm-2", LinkState.LIVE), samples.container("vm-2", 0xBBBB, "shop"))
        assert (await api.get("/vms/vm-2"))["containers"] == {"total": 1, "running": 1, "stale": 0}
