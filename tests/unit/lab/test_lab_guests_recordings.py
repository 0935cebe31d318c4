"""A simulated engine answers the script of the recordings as the recorded engine of its release did."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from roadstead.lab.guests.containers import Container, Image
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import lone_guest
from tests.unit.lab.guests_support import Recording, engine_client, recording

NAMES = ("docker-20.10", "docker-26.1", "docker-28.5", "docker-29.7", "podman-4.3", "podman-5.4")
VARIABLE_HEADERS = ("Date", "X-Reference-Id", "Content-Length")


class Stage:
    """A guest of a recorded release with the recording's container, and a client on its engine."""

    def __init__(self, name: str, guest: SimulatedGuest, client: aiohttp.ClientSession) -> None:
        self.recorded: Recording = recording(name)
        self.guest = guest
        self.engine = guest.engine
        self.engine.network = ("none", "null")
        self.engine.sample_seconds = 0.01
        self.client = client

    def create(self) -> Container:
        """The recording's container."""
        image = next(event["from"] for event in self.recorded.streams["v1.41"][1] if event.get("from"))
        has_health = not self.engine.profile.podman
        command = ("sh", "-c", "while true; do sleep 1; done")
        made = self.engine.create("web1", Image(image, "web", command, (), has_health))
        made.ignores_sigterm = True
        return made

    def run(self) -> Container:
        """The same, started and healthy."""
        made = self.create()
        self.engine.start(made)
        if made.image.has_health:
            self.engine.check_health(made, "healthy")
        return made

    async def ask(self, method: str, path: str) -> tuple[int, str]:
        """Status and body."""
        async with self.client.request(method, path) as response:
            return response.status, await response.text()

    async def get(self, path: str) -> Any:
        """The JSON of an answer."""
        async with self.client.get(path) as response:
            return await response.json()


@pytest.fixture(params=NAMES)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    """One stage for each recorded release."""
    guest = lone_guest("recorded", count=0, profile=request.param)
    async with engine_client(guest, tmp_path) as client:
        yield Stage(request.param, guest, client)
    await guest.stop()


def without(events: list[dict[str, Any]], *, command: str) -> list[dict[str, Any]]:
    """Events without those of the health check (it ran when it wanted) and without values that chance decides."""
    health = {f"exec_create: {command} ", f"exec_start: {command} "}
    checks = {event["Actor"]["A"].get("execID") for event in events if event["Action"] in health}
    kept = [event for event in events if not checks & {event["Actor"]["A"].get("execID", "")}]
    return [_plain(event) for event in kept]


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    variable = ("execID", "execDuration", "container")
    attributes = {key: "" if key in variable else value for key, value in event["Actor"]["A"].items()}
    plain = {key: "" if key == "id" else value for key, value in event.items()}
    return plain | {"Actor": {"A": attributes}}


def _as_recorded(line: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(line)
    assert event.pop("timeNano") // 10**9 == event.pop("time")
    return event | {"Actor": {"ID": event["Actor"]["ID"][:8], "A": event["Actor"]["Attributes"]}}


async def test_version_and_ping_tell_what_the_release_tells(stage: Stage) -> None:
    """`/version` and the headers of `/_ping` are those of the recording."""
    version = await stage.get("/version")
    async with stage.client.get("/_ping") as response:
        headers = dict(response.headers)
        body = await response.text()

    assert stage.recorded.version == {key: version[key] for key in stage.recorded.version}
    expected = {key: value for key, value in stage.recorded.ping.items() if key not in VARIABLE_HEADERS}
    assert expected == {key: value for key, value in headers.items() if key not in VARIABLE_HEADERS}
    assert body == "OK"


async def test_versions_in_the_path_are_judged_alike(stage: Stage) -> None:
    """Too old and too new versions get the recorded status and text."""
    for path, (status, text) in stage.recorded.probes.items():
        found = await stage.ask("GET", path)

        assert found[0] == status, path
        assert found[1].startswith(text), path


async def test_lists_have_the_recorded_fields(stage: Stage) -> None:
    """A list has the same keys with and without sizes, and the same texts."""
    stage.run()
    for size, (keys, fields) in enumerate(stage.recorded.lists):
        entry = (await stage.get(f"/containers/json?all=1&size={size}"))[0]

        assert keys == sorted(entry)
        assert fields["Names"] == entry["Names"]
        assert (fields["State"], fields["Command"]) == (entry["State"], entry["Command"])
        assert re.sub(r"\d+ seconds?|Less than a second", "N", fields["Status"]) == re.sub(
            r"\d+ seconds?|Less than a second", "N", entry["Status"]
        )


async def test_processes_and_statistics_have_the_recorded_form(stage: Stage) -> None:
    """`top` has the recorded titles, `stats` the recorded keys, and a one-shot no earlier sample."""
    stage.run()
    for path, recorded in zip(("top", "top?ps_args=aux"), stage.recorded.tops, strict=True):
        assert json.loads(recorded)["Titles"] == (await stage.get(f"/containers/web1/{path}"))["Titles"]
    for path, keys in zip(("stats?stream=0", "stats?stream=0&one-shot=1"), stage.recorded.stats_keys, strict=True):
        sample = await stage.get(f"/containers/web1/{path}")

        assert keys == sorted(sample)
        has_earlier = "one-shot" not in path and not stage.engine.profile.podman
        assert ("system_cpu_usage" in sample["precpu_stats"]) == has_earlier


async def test_the_script_has_the_recorded_results_and_events(stage: Stage) -> None:
    """Every status and error text of the script, and both streams of events, are those of the recording."""
    streams = {name: await _open_events(stage, name) for name in stage.recorded.streams}
    results = await _play(stage)

    identity = re.compile(r"[0-9a-f]{64}")
    for name, (status, body) in results.items():
        recorded = stage.recorded.values[name]
        expected = ast.literal_eval(recorded) if recorded.startswith("(") else (int(recorded), None)
        assert status == expected[0], name
        if expected[1] is not None:
            assert identity.sub("ID", body) == identity.sub("ID", expected[1].decode()), name
    for name, (content_type, events) in stage.recorded.streams.items():
        expected_events = without(events, command="/bin/true")
        expected_events = [event for event in expected_events if event["Type"] != "image"]
        response = streams[name]
        found = await _read_events(response, len(expected_events), command="/bin/true")

        assert content_type == response.headers["Content-Type"]
        assert expected_events == found
        assert [list(event) for event in expected_events] == [list(event) for event in found]


async def _open_events(stage: Stage, name: str) -> aiohttp.ClientResponse:
    return await stage.client.get("/events" if name == "unversioned" else f"/{name}/events")


async def _read_events(response: aiohttp.ClientResponse, count: int, *, command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(without(found, command=command)) < count:
            found.append(_as_recorded((await response.content.readline()).decode()))
    response.close()
    return without(found, command=command)


async def _play(stage: Stage) -> dict[str, tuple[int, str]]:
    """The script, as far as the simulated engine has its requests; the rest is done to the engine itself."""
    results: dict[str, tuple[int, str]] = {}
    container = stage.create()
    for name in ("start", "start again"):
        results[name] = await stage.ask("POST", "/containers/web1/start")
    if container.image.has_health:
        stage.engine.check_health(container, "healthy")
    for path in ("top", "top?ps_args=aux"):
        await stage.ask("GET", f"/containers/web1/{path}")
    results["pause"] = await stage.ask("POST", "/containers/web1/pause")
    results["unpause"] = await stage.ask("POST", "/containers/web1/unpause")
    results["pause bad"] = await stage.ask("POST", "/containers/web1/unpause")
    results["rename"] = await stage.ask("POST", "/containers/web1/rename?name=web2")
    stage.engine.exec(container, "true")
    for name, path in (("restart", "restart?t=0"), ("stop", "stop?t=0"), ("stop again", "stop?t=0")):
        results[name] = await stage.ask("POST", f"/containers/web2/{path}")
    results["top stopped"] = await stage.ask("GET", "/containers/web2/top")
    results["rm"] = await stage.ask("DELETE", "/containers/web2")
    results["missing"] = await stage.ask("POST", "/containers/nope/start")
    return results


async def test_statistics_of_a_stopped_container_are_as_recorded(stage: Stage) -> None:
    """A stopped container has a zeroed sample on Docker and an error or nothing, with 200, on Podman."""
    stage.run()
    await stage.ask("POST", "/containers/web1/stop?t=0")

    status, body = await stage.ask("GET", "/containers/web1/stats?stream=0")

    recorded = stage.recorded.values["stats stopped"]
    assert status == 200
    text = recorded.split(" OK ", 1)[1]
    if "cause" in text or text == "b''":
        assert body == ast.literal_eval(text).decode()
    else:
        assert json.loads(body)["read"] == "0001-01-01T00:00:00Z"
        assert json.loads(body)["id"]
