"""The codecs on what real engines said, each of six."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from roadstead.model import VmId
from roadstead.peers.engine.messages import containers, versions
from roadstead.peers.engine.messages.events import EngineEvent, Splitter, read_event
from tests.unit.peers_engine.recorded import ENGINES, recorded, wire

VM = VmId("vm-1")
ID = "ab" * 32
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _events(name: str, stream: str) -> list[EngineEvent]:
    values = Splitter(2**18).feed(wire(recorded(name).streams[stream]))
    return [event for value in values if (event := read_event(value, 64)) is not None]


@pytest.mark.parametrize("name", ENGINES)
def test_versions_are_negotiated_with_every_engine(name: str) -> None:
    """The engine's newest version is spoken, up to ours; Podman is told from Docker by its Server header."""
    said = recorded(name)
    version = versions.read_version(json.dumps(said.version).encode())
    spoken = versions.negotiated(said.ping["api-version"], version.oldest)
    info = versions.InfoAnswer(containers=1, system="Debian")
    engine = versions.described(VM, spoken, said.ping, version, info)

    assert engine.api_version == said.version["ApiVersion"]
    assert engine.name == ("Podman" if name.startswith("podman") else "Docker")
    assert (engine.version, engine.kind, engine.os, engine.containers) == (
        said.version["Version"],
        "linux",
        "Debian",
        1,
    )


@pytest.mark.parametrize("name", ENGINES)
def test_the_engines_clock_is_read(name: str) -> None:
    """The Date header of a ping is a time of the day on which it was recorded."""
    date = versions.read_date(recorded(name).ping["date"])

    assert date is not None
    assert datetime.fromtimestamp(date, UTC).date().isoformat() == "2026-11-23"


@pytest.mark.parametrize("name", ENGINES)
def test_a_running_container_of_every_engine(name: str) -> None:
    """Name, state, health and start are read whatever the engine leaves out."""
    said = recorded(name).entry
    (entry,) = containers.read_entries(json.dumps([{**said, "Id": ID}]).encode(), 64)
    record = containers.container(VM, entry, NOW, 4096)

    assert (record.name, record.state, record.exit_code, record.restarting) == ("web1", "running", None, False)
    assert record.health == ("" if name.startswith("podman") else "healthy")
    assert record.started is not None
    assert (NOW - record.started).total_seconds() == 3
    assert record.command == said["Command"]


@pytest.mark.parametrize("name", ENGINES)
def test_a_paused_container_of_every_engine(name: str) -> None:
    """A pause is seen, also where the engine says it in the status text only."""
    state, status = recorded(name).paused
    for said in ({"State": state}, {}):
        text = json.dumps([{**said, "Id": ID, "Status": status}]).encode()
        (entry,) = containers.read_entries(text, 64)
        expected = "paused" if said or "(Paused)" in status else "running"
        assert containers.container(VM, entry, NOW, 4096).state == expected


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("stream", ["unversioned", "v1.41"])
def test_the_story_of_a_container_is_the_same_from_every_engine(name: str, stream: str) -> None:
    """Both forms of events and both vocabularies tell the same story; what asking causes is left out."""
    told = _events(name, stream)
    story = [event.action for event in told if event.action not in {"kill", "stop", "die", "health_status"}]

    assert [action for action in story if action != "restart"] == [
        "create",
        "start",
        "pause",
        "unpause",
        "rename",
        "start",
        "destroy",
    ]
    assert story.count("restart") == 1
    assert len({event.engine_id for event in told}) == 1
    assert all(len(event.engine_id) == 64 and event.time_nano > 10**18 for event in told)


@pytest.mark.parametrize("name", ENGINES)
def test_refusals_keep_the_engines_words(name: str) -> None:
    """Whatever form an engine's message has, it is shown."""
    said = recorded(name)

    assert said.refusals
    for status, body in said.refusals:
        reason = versions.refusal(status, body).fields["reason"]
        if body.strip():
            assert reason[:20] in body.decode()
            assert "{" not in reason
