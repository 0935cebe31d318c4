"""How engines differ, one test for each difference: ``docs/engines.md`` lists them with the tests' names.

What six engines really said is in ``tests/data/engine`` (Docker 20.10, 26.1, 28.5, 29.7, Podman 4.3, 5.4). No other
release was recorded: where a test is about one (API below 1.41, between 1.51 and 1.55, Podman 3.0 and 5.8, Windows),
the engine is a stand-in that answers as its upstream documents, and the docstring says so.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from roadstead.errors import EngineError
from roadstead.kit.streams import Stream
from roadstead.model import Container, VmId
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.messages import containers, processes, versions
from roadstead.peers.engine.messages.events import ACTIONS, Splitter, read_event
from tests.unit.peers_engine.pretender import Pretender, entry
from tests.unit.peers_engine.recorded import ENGINES, recorded, wire
from tests.unit.peers_engine.scripted import answer, chunked

DOCKERS = [name for name in ENGINES if name.startswith("docker")]
PODMANS = [name for name in ENGINES if name.startswith("podman")]
ID = "ab" * 32
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RELEASES = {
    "1.24": "Docker 1.12",
    "1.26": "Docker 1.13",
    "1.39": "Docker 18.09",
    "1.40": "Docker 19.03, Podman 3.0",
    "1.41": "Docker 20.10, Podman 4.3 and 5.4",
    "1.43": "Docker 24",
    "1.44": "Docker 25, Podman 5.8",
    "1.45": "Docker 26",
    "1.46": "Docker 27.0",
    "1.47": "Docker 27.5",
    "1.48": "Docker 28.0",
    "1.51": "Docker 28.5",
    "1.52": "Docker 29.0",
    "1.53": "Docker 29.2",
    "1.54": "Docker 29.3",
    "1.55": "Docker 29.7",
}


async def _introduced(engine: Pretender) -> EngineClient:
    client = engine.client()
    await client.hello()
    return client


def _record(**said: Any) -> Container:
    (one,) = containers.read_entries(json.dumps([{"Id": ID, **said}]).encode(), 64)
    return containers.container(VmId("vm-1"), one, NOW, 4096)


def _actions(name: str, stream: str = "unversioned") -> list[str]:
    values = Splitter(2**18).feed(wire(recorded(name).streams[stream]))
    return [event.action for value in values if (event := read_event(value, 64)) is not None]


# Versions


@pytest.mark.parametrize("version", RELEASES)
async def test_the_api_version_of_each_release(version: str) -> None:
    """Every version from 1.24 to 1.55 is spoken as the engine's newest; those that were not recorded are stand-ins."""
    hello = await Pretender(newest=version, oldest="1.24").client().hello()

    assert hello.engine.api_version == version


@pytest.mark.parametrize(
    ("newest", "lowest"),
    [("1.41", "1.12"), ("1.44", "1.24"), ("1.53", "1.44"), ("1.55", "1.40"), ("1.24", ""), ("1.60", "1.55")],
)
async def test_the_lowest_version_that_an_engine_accepts(newest: str, lowest: str) -> None:
    """It moved up (29.0: 1.44) and down again (29.3: 1.40); Docker 1.12 does not tell it. Stand-ins, but for 1.41 and
    1.55. What we ask for is never below it.
    """
    engine = Pretender(newest=newest, oldest=lowest)
    spoken = (await engine.client().hello()).engine.api_version

    assert versions.parsed_version(spoken) >= (versions.parsed_version(lowest) or (0, 0))  # type: ignore[operator]
    assert all(asked.startswith(f"GET /v{spoken}/") for asked in engine.asked[2:])


@pytest.mark.parametrize("name", DOCKERS)
def test_a_version_outside_is_refused_in_text_or_json(name: str) -> None:
    """Engines say 400 to versions that they do not speak; whatever form the words have, they are shown."""
    said = recorded(name)

    assert said.statuses["/v1.99"] == "400"
    for body in (b"client version 1.12 is too old\n", b'{"message":"client version 1.99 is too new"}\n'):
        assert versions.refusal(400, body).fields["reason"].startswith("client version")


@pytest.mark.parametrize("name", PODMANS)
def test_podman_takes_any_version(name: str) -> None:
    """So its own word for its newest is what counts, and we never ask for a later one."""
    said = recorded(name)

    assert {said.statuses[path] for path in ("/v1.12", "/v1.99")} == {"200"}
    assert versions.negotiated(said.ping["api-version"], said.version["MinAPIVersion"]) == "1.41"


@pytest.mark.parametrize("name", ENGINES)
def test_the_header_of_a_ping_names_the_newest_version(name: str) -> None:
    """The same that ``/version`` says."""
    assert recorded(name).ping["api-version"] == recorded(name).version["ApiVersion"]


async def test_a_ping_that_names_no_version() -> None:
    """Docker 1.12 (a stand-in) has no such header: ``/version`` tells."""
    engine = Pretender(newest="1.24", oldest="1.12")
    engine.answers["/_ping"] = answer(b"OK")
    hello = await engine.client().hello()

    assert (hello.engine.api_version, hello.date) == ("1.24", None)


@pytest.mark.parametrize("name", ENGINES)
def test_podman_and_the_system_are_told_by_headers(name: str) -> None:
    """``Server`` begins with ``Libpod/``; Podman 4.3 sends no ``Ostype``, and is no Windows for that."""
    said = recorded(name)
    version = versions.VersionAnswer(version="1", system=said.version["Os"])
    engine = versions.described(VmId("vm-1"), "1.41", said.ping, version, versions.InfoAnswer())

    assert (engine.name == "Podman") is said.ping["server"].startswith("Libpod/") is name.startswith("podman")
    assert ("ostype" in said.ping) is (name != "podman-4.3")
    assert engine.kind == "linux"


# The end of an answer


async def test_no_request_is_half_closed_and_no_end_is_waited_for() -> None:
    """Engines cancel a request whose sending side ends, and relays linger: an answer ends where its framing says."""
    engine = Pretender()
    client = await _introduced(engine)

    assert (await client.containers()).total == 3
    assert len(engine.link.streams) == 1
    assert {name for name in vars(Stream) if name[0] != "_"} == {"write", "pause_reading", "resume_reading", "abort"}


async def test_answers_in_chunks_end_with_the_last_one() -> None:
    """Large answers have no length: the stream stays open, and is used again."""
    engine = Pretender()
    client = await _introduced(engine)
    listed = json.dumps([entry(1)]).encode()
    engine.answers["/containers/json"] = chunked(listed)

    assert [(await client.containers()).total for _ in range(2)] == [1, 1]
    assert len(engine.link.streams) == 1


# Events


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("stream", ["unversioned", "v1.41"])
def test_fields_of_events(name: str, stream: str) -> None:
    """``status``, ``id`` and ``from`` are gone since API 1.52, before 1.22 there was nothing else: both are read."""
    events = [event for event in recorded(name).streams[stream] if event["Type"] == "container"]

    assert all(("status" in event) is not (name == "docker-29.7" and stream == "unversioned") for event in events)
    old: list[dict[str, Any]] = [
        {key: event[key] for key in ("status", "id", "from", "time") if key in event} for event in events
    ]
    for said in (events, old if "status" in events[0] else events):
        read = [event.action for each in said if (event := _read(each)) is not None]
        assert read == _actions(name, stream)


def _read(said: dict[str, Any]) -> Any:
    return read_event(json.dumps(said).encode(), 64)


def test_content_types_of_events() -> None:
    """JSON, JSON lines since 1.52, or values behind record separators, should an engine send these unasked."""
    types = {recorded(name).content_types["unversioned"] for name in ENGINES}
    assert types == {"application/json", "application/jsonl"}
    said = [{"Type": "container", "Action": "start", "Actor": {"ID": ID}}] * 3
    for between in (b"\n", b"", b"\r\n", b"\n\n"):
        assert len(Splitter(2**18).feed(between.join(json.dumps(each).encode() for each in said) + b"\n")) == 3
    sequence = b"".join(b"\x1e" + json.dumps(each).encode() + b"\n" for each in said)
    assert [_bytes_read(value) for value in Splitter(2**18).feed(sequence)] == ["start"] * 3
    assert [_bytes_read(value) for value in Splitter(2**18).feed(b'{"Type":"container","x":"}{"}\n')] == [""]


def _bytes_read(value: bytes) -> str:
    event = read_event(value, 64)
    return event.action if event is not None else ""


def test_ids_of_events_may_be_short() -> None:
    """Those of very old engines (a stand-in) have 12 digits."""
    for digits in (12, 64):
        assert _read({"status": "start", "id": ID[:digits]}).engine_id == ID[:digits]


@pytest.mark.parametrize("name", ENGINES)
def test_events_of_other_types_are_left_out(name: str) -> None:
    """Network events never had the old fields; Podman's image event has some of them, so the type comes first."""
    others = [event for event in recorded(name).streams["v1.41"] if event["Type"] != "container"]

    assert {event["Type"] for event in others} == ({"image"} if name.startswith("podman") else {"network"})
    assert [_read(event) for event in others] == [None] * len(others)


def test_attributes_of_events_are_not_needed() -> None:
    """Exit codes and durations differ; what a container is now is asked."""
    assert _read({"Type": "container", "Action": "die", "Actor": {"ID": ID}}).action == "die"


def test_actions_of_every_version() -> None:
    """What changes a container is followed, whenever it was introduced; what asking causes is not."""
    for action in ACTIONS:
        assert _read({"Type": "container", "Action": action, "Actor": {"ID": ID}}).action == action
    for action in ("top", "exec_create", "exec_start", "exec_die", "exec_detach", "attach", "resize", "export", "copy"):
        assert _read({"Type": "container", "Action": action, "Actor": {"ID": ID}}) is None


@pytest.mark.parametrize("action", ["health_status: healthy", "health_status:unhealthy", "exec_create: /bin/true "])
def test_suffixes_of_actions(action: str) -> None:
    """Some actions carry what follows a colon, with a blank at its end."""
    read = _read({"Type": "container", "Action": action, "Actor": {"ID": ID}})

    assert (read.action if read else "") == ("health_status" if action.startswith("health") else "")


@pytest.mark.parametrize("said", ["remove", "destroy", "died", "die"])
def test_podmans_words_for_actions(said: str) -> None:
    """``remove`` is Docker's ``destroy``, ``died`` of older ones (a stand-in) its ``die``."""
    assert _read({"status": said, "id": ID}).action == {"remove": "destroy", "died": "die"}.get(said, said)
    for own in ("init", "cleanup", "exec", "exec_died", "mount", "unmount"):
        assert _read({"status": own, "id": ID}) is None


@pytest.mark.parametrize("name", ENGINES)
def test_the_order_of_events_is_not_relied_upon(name: str) -> None:
    """A restart is said before or after it, a stop before or after the end, or not at all: all name the container."""
    actions = _actions(name)

    assert ("stop" in actions) is name.startswith("docker")
    assert (actions.index("restart") < actions.index("die")) is name.startswith("podman")
    assert actions[-1] == "destroy"


@pytest.mark.parametrize("name", ENGINES)
def test_asking_feeds_no_further_asking(name: str) -> None:
    """Questions for processes and health checks cause events: none of them is followed."""
    said = [event["Action"].partition(":")[0] for event in recorded(name).streams["v1.41"]]
    caused = {action for action in said if action == "top" or action.startswith("exec")}

    assert caused
    assert not caused & set(_actions(name))


@pytest.mark.parametrize("name", ENGINES)
def test_a_rename_names_the_container_by_its_id(name: str) -> None:
    """Docker tells the old name, Podman does not: neither is needed."""
    (event,) = [each for each in recorded(name).streams["v1.41"] if each["Action"] == "rename"]

    assert ("oldName" in event["Actor"]["Attributes"]) is name.startswith("docker")
    read = _read(event)
    assert (read.action, len(read.engine_id)) == ("rename", 64)


# Lists


def test_names_of_links() -> None:
    """Of several names the one with a single slash is the container's own."""
    assert _record(Names=["/other/web1", "/web1"]).name == "web1"


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        (None, "Up 3 seconds", "running"),
        (None, "Up 3 seconds (Paused)", "paused"),
        (None, "Exited (0) 3 seconds ago", "exited"),
        ("removing", "Removal In Progress", "removing"),
        ("stopping", "Stopping", "running"),
        ("configured", "Created", "created"),
        ("dead", "Dead", "dead"),
    ],
)
def test_states_and_where_they_stand(state: str | None, status: str, expected: str) -> None:
    """Below API 1.23 only the status text tells; Podman has words of its own (``configured`` and ``stopping`` as 5.8's
    sources have them, a stand-in).
    """
    assert _record(State=state, Status=status).state == expected


@pytest.mark.parametrize("name", ENGINES)
def test_health_of_a_list(name: str) -> None:
    """An object since Docker 29, in the text before; Podman's lists have neither."""
    said = recorded(name)

    assert ("Health" in said.keys) is (name == "docker-29.7")
    assert _record(**said.entry).health == ("healthy" if name.startswith("docker") else "")


async def test_health_of_podmans_containers() -> None:
    """Podman is asked for those of each health; of what does not run it is what it was, which nobody shows. Docker's
    lists say it: it is not asked.
    """
    podman, docker = Pretender(server="Libpod/5.8.6 (linux)"), Pretender()
    for engine in (podman, docker):
        engine.entries[2]["State"] = "exited"
        engine.health = {entry(number)["Id"]: "unhealthy" for number in (1, 2)}
        client = await _introduced(engine)
        listed = (await client.containers()).containers
        read = await client.containers_by_id([entry(1)["Id"]])
        shown = "unhealthy" if engine is podman else ""

        assert [record.health for record in listed] == ["", shown, ""]
        assert [record.health for record in read.values()] == [shown]
    assert not any("health" in asked for asked in docker.asked)


async def test_sizes_are_never_asked_for() -> None:
    """They walk every writable layer, and engines leave them out as they like."""
    engine = Pretender()
    client = await _introduced(engine)
    await client.containers()
    await client.containers_by_id([entry(1)["Id"]])

    assert not any("size" in asked for asked in engine.asked)


@pytest.mark.parametrize("name", ENGINES)
def test_commands_are_shown_as_they_are(name: str) -> None:
    """Docker quotes, Podman does not: nothing is made of it."""
    said = recorded(name).entry["Command"]

    assert ("'" in said) is name.startswith("docker")
    assert _record(Command=said).command == said


@pytest.mark.parametrize("name", ENGINES)
def test_fields_that_some_lists_lack(name: str) -> None:
    """Podman has no HostConfig and fields of its own: only what every engine has is needed."""
    keys = recorded(name).keys

    assert ("HostConfig" in keys) is name.startswith("docker")
    assert {"Id", "Names", "Image", "Command", "Created", "Ports", "Labels", "State", "Status"} <= keys


# Processes


@pytest.mark.parametrize("name", ENGINES)
def test_columns_of_processes(name: str) -> None:
    """Eight columns, or the lines of the container's own ``ps`` as one (Podman 4.3): those are taken apart."""
    top = processes.read_top(recorded(name).top, 64)
    titles = (
        ["PID", "USER", "COMMAND"]
        if name == "podman-4.3"
        else ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    )

    assert top.titles == titles
    assert [row[-1] for row in top.processes] == ["sh -c while true; do sleep 1; done", "sleep 1"]
    assert all(len(row) == len(titles) for row in top.processes)


def test_rows_with_fewer_fields_than_titles() -> None:
    """They are shown as they are, and nothing is raised."""
    body = b'{"Titles":["PID   USER     COMMAND"],"Processes":[["1"],[],["2 0 a b"],["  "]]}'

    assert processes.read_top(body, 64).processes == [["1"], [], ["2", "0", "a b"], []]


def test_columns_of_windows() -> None:
    """``Name``, ``PID``, ``CPU`` and memory (a stand-in, after the sources of Docker for Windows)."""
    titles = ["Name", "PID", "CPU", "Private Working Set"]
    body = json.dumps({"Titles": titles, "Processes": [["smss.exe", "9", "00:00:01", "1 MB"]]}).encode()

    assert processes.read_top(body, 64).titles == titles


@pytest.mark.parametrize("name", ENGINES)
async def test_processes_of_a_container_that_does_not_run(name: str) -> None:
    """409, 500 or nothing at all with 200: each means the same, and is told as that."""
    engine = Pretender()
    engine.entries = [entry(0, State="exited", Status="Exited (0) 1 second ago")]
    client = await _introduced(engine)
    status, body = recorded(name).top_stopped
    engine.answers[f"/containers/{entry(0)['Id']}/top"] = answer(body, status)

    with pytest.raises(EngineError) as caught:
        await client.top(entry(0)["Id"])
    assert (caught.value.code, caught.value.fields) == ("container-not-running", {"state": "exited"})


# What is done


@pytest.mark.parametrize("name", ENGINES)
async def test_nothing_to_do_is_success(name: str) -> None:
    """Starting what runs and stopping what does not is answered with 304 by all."""
    assert {recorded(name).statuses[step] for step in ("start again", "stop again")} == {"304"}
    engine = Pretender()
    client = await _introduced(engine)
    engine.answers[f"/containers/{ID}/start"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"

    await client.act("start", ID)


@pytest.mark.parametrize("name", ENGINES)
async def test_unpausing_what_is_not_paused(name: str) -> None:
    """All say 500; the engine's words are shown, not the code alone."""
    status, body = next(each for each in recorded(name).refusals if b"not paused" in each[1])
    engine = Pretender()
    client = await _introduced(engine)
    engine.answers[f"/containers/{ID}/unpause"] = answer(body, status)

    with pytest.raises(EngineError, match="not paused") as caught:
        await client.act("unpause", ID)
    assert (status, caught.value.code) == (500, "engine-refused")


async def test_windows_does_not_pause() -> None:
    """With process isolation it says 501 (a stand-in, after Docker's sources): its words are shown."""
    engine = Pretender()
    client = await _introduced(engine)
    words = "not implemented for containers using process isolation"
    engine.answers[f"/containers/{ID}/pause"] = answer(json.dumps({"message": words}).encode(), 501)

    with pytest.raises(EngineError, match=words):
        await client.act("pause", ID)


@pytest.mark.parametrize(
    "body",
    [b"no such thing\n", b'{"message":"no such thing"}', b'{"cause":"c","message":"no such thing","response":1}'],
)
def test_three_forms_of_errors(body: bytes) -> None:
    """Text below API 1.24, Docker's object, Podman's object."""
    assert versions.refusal(500, body).fields["reason"] == "no such thing"


@pytest.mark.parametrize("body", [b"", b'{"cause":"c","message":"container is stopped","response":500}'])
async def test_bodies_of_successes_are_looked_at(body: bytes) -> None:
    """Podman says 200 and means a failure: what is no list is none, whatever the status."""
    engine = Pretender()
    client = await _introduced(engine)
    engine.answers["/containers/json"] = answer(body)

    with pytest.raises(EngineError) as caught:
        await client.containers()
    assert caught.value.code == "engine-answer-invalid"


@pytest.mark.parametrize("settings", [{"IPAddress": "172.17.0.2"}, {"Networks": {"bridge": {}}}])
async def test_inspections_are_handed_on_as_they_are(settings: dict[str, Any]) -> None:
    """Addresses moved in API 1.52 (and were recorded nowhere: stand-ins): nothing here reads them."""
    engine = Pretender()
    client = await _introduced(engine)
    said = json.dumps({"Id": ID, "NetworkSettings": settings}).encode()
    engine.answers[f"/containers/{ID}/json"] = answer(said)

    assert await client.inspect(ID) == said


@pytest.mark.parametrize("header", ["Ostype: windows", "X-Nothing: 1"])
async def test_windows_is_told(header: str) -> None:
    """By the header of the ping or by ``/version`` (stand-ins: none was recorded)."""
    engine = Pretender(newest="1.43", oldest="1.24")
    engine.answers["/_ping"] = answer(b"OK", 200, "Api-Version: 1.43", header)
    said = {"Version": "24", "ApiVersion": "1.43", "MinAPIVersion": "1.24", "Os": "windows"}
    engine.answers["/version"] = answer(json.dumps(said if "Nothing" in header else {**said, "Os": ""}).encode())

    assert (await engine.client().hello()).engine.kind == "windows"


async def test_processes_are_asked_without_arguments() -> None:
    """Windows refuses ``ps_args``, Podman 4.3 does not heed them."""
    engine = Pretender()
    client = await _introduced(engine)
    engine.answers[f"/containers/{ID}/top"] = answer(b'{"Titles":[],"Processes":[]}')
    await client.top(ID)

    assert re.search(r"/top$", engine.asked[-1])
