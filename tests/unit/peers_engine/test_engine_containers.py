"""Entries of lists become records, whatever a guest puts into them."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import EngineError
from roadstead.model import Container, Port, VmId
from roadstead.peers.engine.messages import containers
from roadstead.peers.engine.messages.containers import PARTS

VM = VmId("vm-1")
ID = "ab" * 32
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NAMES = ["Id", "Names", "Image", "Command", "Created", "Ports", "Labels", "State", "Status", "Health"]


def _records(data: bytes, text_bytes: int = 4096) -> list[Container]:
    return [containers.container(VM, entry, NOW, text_bytes) for entry in containers.read_entries(data, 64)]


def _record(**fields: Any) -> Container:
    (record,) = _records(json.dumps([{"Id": ID, **fields}]).encode())
    return record


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["/web"], "web"),
        (["/other/link", "/web"], "web"),
        (["/a/b"], "b"),
        ([], ID[:12]),
        (["/"], ID[:12]),
        (None, ID[:12]),
    ],
)
def test_the_name_is_the_entry_with_one_slash(names: list[str] | None, name: str) -> None:
    """Entries with two slashes are names under which links know the container."""
    assert _record(Names=names).name == name


@pytest.mark.parametrize(
    ("status", "state", "exit_code", "health"),
    [
        ("Up 3 minutes", "running", None, ""),
        ("Up 3 minutes (healthy)", "running", None, "healthy"),
        ("Up 3 minutes (unhealthy)", "running", None, "unhealthy"),
        ("Up 3 seconds (health: starting)", "running", None, "starting"),
        ("Up 2 hours (Paused)", "paused", None, ""),
        ("Exited (137) 5 minutes ago", "exited", 137, ""),
        ("Exited (0) About a minute ago", "exited", 0, ""),
        ("Restarting (1) 4 seconds ago", "restarting", 1, ""),
        ("Created", "created", None, ""),
        ("Removal In Progress", "removing", None, ""),
        ("Dead", "dead", None, ""),
        ("whatever", "", None, ""),
    ],
)
def test_what_the_status_text_says(status: str, state: str, exit_code: int | None, health: str) -> None:
    """State, exit code and health are worked out of the text where nothing else says them."""
    record = _record(Status=status)

    assert (record.state, record.exit_code, record.health) == (state, exit_code, health)
    assert record.restarting is (state == "restarting")


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ("Up Less than a second", 0),
        ("Up 1 second", 1),
        ("Up 45 seconds", 45),
        ("Up About a minute", 60),
        ("Up 3 minutes (healthy)", 180),
        ("Up About an hour", 3600),
        ("Up 5 hours", 5 * 3600),
        ("Up 2 days", 2 * 86400),
        ("Up 3 weeks", 21 * 86400),
        ("Up 4 months", 120 * 86400),
        ("Up 2 years", 730 * 86400),
        ("Exited (0) 2 days ago", None),
        ("Up 999999999 years", None),
        ("Created", None),
    ],
)
def test_when_a_container_started(status: str, seconds: int | None) -> None:
    """The start is as coarse as the text; what is not running has none."""
    started = _record(Status=status).started

    assert started == (None if seconds is None else NOW - timedelta(seconds=seconds))


@pytest.mark.parametrize(("said", "state"), [("Running", "running"), ("stopped", "exited"), ("initialized", "created")])
def test_podmans_words_become_dockers(said: str, state: str) -> None:
    """Podman has states of its own, and cases differ."""
    assert _record(State=said).state == state


@pytest.mark.parametrize("status", ["healthy", "unhealthy", "starting"])
def test_health_has_a_place_of_its_own_since_docker_29(status: str) -> None:
    """The object goes before the text; `none` is no health."""
    assert _record(Status="Up 1 second", Health={"Status": status, "FailingStreak": 0}).health == status
    assert _record(Status="Up 1 second", Health={"Status": "none"}).health == ""


def test_ports_are_kept_as_published() -> None:
    """Published ones carry address and port, others neither; what is no port is left out."""
    said = [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 53, "Type": "udp"},
        {"PrivatePort": 70000, "Type": "tcp"},
        {"PrivatePort": "80"},
    ]

    assert _record(Ports=said).ports == (Port(80, "tcp", 8080, "0.0.0.0"), Port(53, "udp"))


@pytest.mark.parametrize("bad", ["", "AB" * 32, "ab" * 31, "ab" * 33, "../" * 20, "g" * 64, 5, None, ["a"]])
def test_an_entry_without_an_exact_id_is_left_out(bad: object) -> None:
    """An id goes into paths and keys, so only 64 hexadecimal digits are one; its neighbours stay."""
    data = json.dumps([{"Id": bad, "Names": ["/bad"]}, {"Id": ID, "Names": ["/good"]}]).encode()

    assert [record.name for record in _records(data)] == ["good"]


def test_one_broken_entry_does_not_hide_the_others() -> None:
    """Fields of a wrong type count as absent, in that entry alone; labels and ports lose the bad ones only."""
    broken = {
        "Id": "cd" * 32,
        "Names": "web",
        "Image": 5,
        "Created": "yesterday",
        "Labels": {"good": "yes", "bad": 5},
        "Ports": [{"PrivatePort": 80}, 7],
        "Status": ["Up"],
        "State": "running",
    }
    data = json.dumps([broken, 7, None, {"Id": ID, "Names": ["/web"], "Image": "nginx"}]).encode()
    first, second = _records(data)

    assert (first.name, first.image, first.state, first.created) == ("cd" * 6, "", "running", None)
    assert first.labels == {"good": "yes"}
    assert first.ports == (Port(80),)
    assert (second.name, second.image) == ("web", "nginx")


@pytest.mark.parametrize(
    "data",
    [
        b'[{"Id":"%s","Names":["/w\xff\xfeb"]}]' % ID.encode(),
        b'[{"Id":"%s","Names":["/web"],"Created":NaN,"Labels":{"a":"\\ud800"}}]' % ID.encode(),
        b'[{"Id":"%s","Names":["/\\ud800"],"Ports":[{"PrivatePort":1,"IP":"\\udfff"}]}]' % ID.encode(),
        b'[{"Id":"%s","Names":["/web"],"Created":%s}]' % (ID.encode(), b"9" * 6000),
        b'[{"Id":"%s","Names":["/web"],"Created":1e400}]' % ID.encode(),
        b'[{"Id":"x","Id":"%s","Names":["/web"]}]' % ID.encode(),
    ],
)
def test_what_json_should_not_hold_costs_nothing_else(data: bytes) -> None:
    """Invalid UTF-8, NaN, endless numbers, lone surrogates and repeated keys: the container is still there."""
    (record,) = _records(data)

    assert record.engine_id == ID
    msgspec.json.encode(record)


def test_of_the_same_container_twice_the_last_counts() -> None:
    """A list has each container once."""
    data = json.dumps([{"Id": ID, "Names": ["/old"]}, {"Id": ID, "Names": ["/new"]}]).encode()

    assert [record.name for record in _records(data)] == ["new"]


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"[", b"not json", b'"text"', b"[" * 100_000])
def test_what_is_no_list_is_refused(data: bytes) -> None:
    """Anything but a list is no answer of an engine."""
    with pytest.raises(EngineError) as caught:
        containers.read_entries(data, 64)
    assert caught.value.code == "engine-answer-invalid"


def test_texts_are_cut() -> None:
    """Names, labels and commands keep their bound, and so do all labels together."""
    labels = {f"key{number}": "v" * 100 for number in range(50)}
    said = {"Id": ID, "Names": ["/" + "ü" * 500], "Command": "c" * 500, "Image": "i" * 500, "Labels": labels}
    (record,) = _records(json.dumps([said]).encode(), 64)

    for text in (record.name, record.command, record.image, *record.labels.values()):
        assert len(text.encode()) <= 64
    assert 0 < len(record.labels) <= 16


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON), max_size=4), st.lists(st.booleans(), max_size=4))
def test_no_entry_breaks_the_reader(entries: list[dict[str, Any]], real: list[bool]) -> None:
    """Whatever the fields hold, reading gives records that can be written again, one for each exact id."""
    for number, (entry, is_real) in enumerate(zip(entries, real, strict=False)):
        if is_real:
            entry["Id"] = f"{number:064x}"
    records = _records(json.dumps(entries).encode())

    assert [record.engine_id for record in records] == [
        entry["Id"] for entry in entries if isinstance(entry.get("Id"), str) and len(entry["Id"]) == 64
    ]
    for record in records:
        msgspec.json.encode(record)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Bytes are records or the one error."""
    with contextlib.suppress(EngineError):
        _records(data)


def test_ports_and_labels_have_a_number() -> None:
    """An answer within its bound may name a hundred thousand of either."""
    ports = [{"PrivatePort": number % 60_000, "Type": "tcp"} for number in range(3 * PARTS)]
    said = {"Id": ID, "Ports": ports, "Labels": {f"{number:x}": "" for number in range(3 * PARTS)}}
    (record,) = _records(json.dumps([said]).encode())

    assert len(record.ports) == len(record.labels) == PARTS
