"""The simulated engine keeps the rules of the Engine API that the recordings do not show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from roadstead.lab.guests import records
from roadstead.lab.guests.containers import Container
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from tests.unit.lab.guests_support import engine_client


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A guest with eight containers in all the usual states."""
    made = lone_guest("states", count=8)
    yield made
    await made.stop()


@pytest.fixture
async def client(guest: SimulatedGuest, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A client on its engine."""
    async with engine_client(guest, tmp_path) as session:
        yield session


def one(guest: SimulatedGuest, state: str) -> Container:
    """A container that is put into `state`."""
    container = next(iter(guest.engine.containers.values()))
    container.state = state
    return container


async def listed(client: aiohttp.ClientSession, **filters: list[str]) -> list[dict[str, Any]]:
    """All containers that pass the filters."""
    async with client.get("/v1.41/containers/json", params={"all": "1", "filters": json.dumps(filters)}) as response:
        assert response.status == 200
        entries: list[dict[str, Any]] = await response.json()
        return entries


async def post(client: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    """Status and error text."""
    async with client.post(f"/v1.41/containers/{path}") as response:
        body = await response.text()
        return response.status, json.loads(body)["message"] if body else ""


async def test_a_list_without_all_shows_what_runs(guest: SimulatedGuest, client: aiohttp.ClientSession) -> None:
    """Only running, paused and restarting containers are listed unless `all` or `limit` is given; newest first."""
    one(guest, "exited")
    async with client.get("/containers/json") as response:
        running = await response.json()
    async with client.get("/containers/json?limit=3") as response:
        newest = await response.json()

    everything = await listed(client)
    assert {entry["State"] for entry in running} <= {"running", "paused", "restarting"}
    assert len(everything) == 8
    assert [entry["Id"] for entry in everything[:3]] == [entry["Id"] for entry in newest]
    assert [entry["Created"] for entry in everything] == sorted((e["Created"] for e in everything), reverse=True)


async def test_filters_select_by_id_name_state_and_label(guest: SimulatedGuest, client: aiohttp.ClientSession) -> None:
    """Values of one filter are alternatives, different filters must all hold."""
    container = one(guest, "paused")

    assert [entry["Id"] for entry in await listed(client, id=[container.id])] == [container.id]
    assert [entry["Id"] for entry in await listed(client, id=[container.id[:12], "f" * 64])] == [container.id]
    assert [entry["Id"] for entry in await listed(client, name=[f"^{container.name}$"])] == [container.id]
    assert container.id in {entry["Id"] for entry in await listed(client, status=["paused"])}
    assert await listed(client, id=[container.id], status=["exited"]) == []
    assert len(await listed(client, label=["com.example.tier=lab"])) == 8
    assert await listed(client, label=["com.example.tier=other"]) == []


@pytest.mark.parametrize("filters", ['{"foo":["a"]}', '{"status":["a"]}', "nonsense", "[]"])
async def test_impossible_filters_are_refused(client: aiohttp.ClientSession, filters: str) -> None:
    """A filter that does not exist, and one that is no JSON, get 400 and a text."""
    async with client.get("/containers/json", params={"filters": filters}) as response:
        assert response.status == 400
        assert "invalid filter" in (await response.json())["message"]


@pytest.mark.parametrize(
    ("state", "action", "status", "text"),
    [
        ("exited", "pause", 409, "is not running"),
        ("paused", "pause", 409, "is already paused"),
        ("paused", "start", 409, "cannot start a paused container, try unpause instead"),
        ("running", "start", 304, ""),
        ("exited", "stop", 304, ""),
        ("created", "kill", 409, "is not running"),
        ("running", "kill?signal=FOO", 400, "Invalid signal: FOO"),
        ("running", "unpause", 500, "is not paused"),
        ("running", "rename?name=", 400, "Neither old nor new names may be empty"),
        ("running", "rename?name=-x", 400, "Invalid container name (/-x)"),
        ("running", "unknown", 404, "page not found"),
    ],
)
async def test_actions_that_do_not_fit_are_refused(
    guest: SimulatedGuest, client: aiohttp.ClientSession, state: str, action: str, status: int, text: str
) -> None:
    """Each impossible transition has the status and words of a real engine, and changes nothing."""
    container = one(guest, state)

    found = await post(client, f"{container.id}/{action}")

    assert (status, True) == (found[0], text in found[1])
    assert container.state == state


async def test_a_name_that_is_taken_is_refused(guest: SimulatedGuest, client: aiohttp.ClientSession) -> None:
    """Renaming to the name of another container is a conflict that names the other."""
    first, second = list(guest.engine.containers.values())[:2]

    status, text = await post(client, f"{first.id}/rename?name={second.name}")

    assert status == 409
    assert second.id in text


async def test_only_force_removes_a_running_container(guest: SimulatedGuest, client: aiohttp.ClientSession) -> None:
    """DELETE of a running container is 409; with `force=1` it is killed and gone."""
    container = one(guest, "running")
    async with client.delete(f"/containers/{container.name}") as response:
        assert response.status == 409
    async with client.delete(f"/containers/{container.name}?force=1") as response:
        assert response.status == 204

    assert await listed(client, id=[container.id]) == []


async def test_a_container_is_found_by_the_beginning_of_its_id(
    guest: SimulatedGuest, client: aiohttp.ClientSession
) -> None:
    """An unambiguous prefix is enough, an ambiguous one is refused."""
    container = one(guest, "running")
    other = guest.engine.create("twin", container.image)
    guest.engine.containers[container.id[:4] + other.id[4:]] = other

    async with client.get(f"/containers/{container.id[:12]}/json") as response:
        assert (await response.json())["Name"] == f"/{container.name}"
    async with client.get(f"/containers/{container.id[:4]}/json") as response:
        assert response.status == 400


async def test_a_stop_waits_for_a_container_that_ignores_sigterm(
    guest: SimulatedGuest, client: aiohttp.ClientSession
) -> None:
    """A stop answers only when the container has ended, and other connections are served meanwhile."""
    container = one(guest, "running")
    container.ignores_sigterm = True
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(post(client, f"{container.id}/stop?t=1"))
        while not guest.engine.log.past(0, None, {}):
            await asyncio.sleep(0)
        during = await listed(client, id=[container.id])

    assert [entry["State"] for entry in during] == ["running"]
    assert stopping.result()[0] == 204
    assert (container.state, container.exit_code) == ("exited", 137)
    signals = [dict(event.attributes).get("signal") for event in guest.engine.log.past(0, None, {})]
    assert signals[:2] == ["15", "9"]


async def test_pipelined_requests_are_answered_in_order(guest: SimulatedGuest, tmp_path: Path) -> None:
    """A slow answer holds the ones behind it, as on a real engine's connection."""
    container = one(guest, "running")
    server = await guest.serve_unix(tmp_path / "raw.sock")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "raw.sock")
    stop = f"POST /v1.41/containers/{container.id}/stop HTTP/1.1\r\nHost: e\r\n\r\n".encode()
    writer.write(stop + b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n")

    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    await writer.wait_closed()
    server.close()


async def test_a_half_closed_stream_ends_the_events(guest: SimulatedGuest, tmp_path: Path) -> None:
    """Half-closing cancels what was asked for, as Go's server does."""
    server = await guest.serve_unix(tmp_path / "raw.sock")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "raw.sock")
    writer.write(b"GET /events HTTP/1.1\r\nHost: e\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert guest.engine.log.listeners == 1

    writer.write_eof()

    assert await reader.read() == b""
    assert guest.engine.log.listeners == 0
    writer.close()
    await writer.wait_closed()
    server.close()


async def test_events_since_a_time_come_first(guest: SimulatedGuest, client: aiohttp.ClientSession) -> None:
    """`since` brings what was kept from then on, `until` in the past ends the stream, filters hold for both."""
    container = one(guest, "running")
    guest.engine.pause(container)
    between = guest.engine.now()
    guest.engine.unpause(container)
    guest.engine.restart(container, 0, lambda: None)
    limits = {"since": f"{between / 1e9:.9f}", "until": f"{(guest.engine.now() + 10**8) / 1e9:.9f}"}

    async with client.get("/events", params={**limits, "filters": '{"type":["container"]}'}) as response:
        lines = [json.loads(line) async for line in response.content]

    actions = [line["Action"] for line in lines]
    assert actions == ["unpause", "kill", "stop", "die", "start", "restart"]
    assert [line["timeNano"] for line in lines] == sorted({line["timeNano"] for line in lines})


async def test_only_the_newest_events_are_kept(guest: SimulatedGuest) -> None:
    """The history is bounded, as a real engine's is."""
    container = one(guest, "running")
    for _ in range(300):
        guest.engine.emit(container, "top")

    assert len(guest.engine.log.past(0, None, {})) == 256


async def test_a_slow_reader_loses_events_without_a_word(guest: SimulatedGuest, tmp_path: Path) -> None:
    """What a client does not read in time is dropped beyond a bound; the stream goes on with what comes later."""
    container = one(guest, "running")
    server = await guest.serve_unix(tmp_path / "raw.sock")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "raw.sock")
    writer.write(b"GET /events HTTP/1.1\r\nHost: e\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")

    for _ in range(5000):
        guest.engine.emit(container, "top")
    async with asyncio.timeout(10):
        received = b""
        while b"end-of-test" not in received:
            received += await reader.read(2**20)
            guest.engine.emit(container, "end-of-test")

    assert 1024 <= received.count(b'"Action":"top"') < 3000
    writer.close()
    await writer.wait_closed()
    server.close()


async def test_a_crash_is_followed_by_a_start(guest: SimulatedGuest) -> None:
    """A restart policy shows as `restarting`, then as running with a higher count."""
    container = one(guest, "running")
    guest.engine.crash(container)
    assert container.state == "restarting"

    async with asyncio.timeout(5):
        while container.state != "running":
            await asyncio.sleep(0)
    actions = [event.action for event in guest.engine.log.past(0, None, {"type": frozenset(["container"])})]
    assert actions == ["die", "start"]
    assert container.restart_count == 1


async def test_out_of_memory_is_told(guest: SimulatedGuest, client: aiohttp.ClientSession) -> None:
    """`oom` comes before `die`, and the inspection says why it ended."""
    container = one(guest, "running")
    guest.engine.oom(container)

    actions = [event.action for event in guest.engine.log.past(0, None, {"type": frozenset(["container"])})]
    assert actions == ["oom", "die"]
    async with client.get(f"/containers/{container.id}/json") as response:
        assert (await response.json())["State"]["OOMKilled"] is True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (3 * 86_400, "3 days"),
        (21 * 86_400, "3 weeks"),
        (90 * 86_400, "3 months"),
        (800 * 86_400, "2 years"),
    ],
)
def test_ages_are_told_in_dockers_words(seconds: int, text: str) -> None:
    """`Status` uses the coarse words that clients parse."""
    assert text == records.human_duration(seconds)


def test_the_same_seed_makes_the_same_containers() -> None:
    """A lab is reproducible."""
    first, second, other = (
        lone_guest("a").engine.truth(),
        lone_guest("a").engine.truth(),
        lone_guest("b").engine.truth(),
    )

    assert first == second
    assert first != other
