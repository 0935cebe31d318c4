"""Xen Orchestra reads what a pool publishes: its rules, on the XML parser that it uses, npm's fast-xml-parser.

The rules stand in ``xen_orchestra.mjs``. A value that it cannot read costs Xen Orchestra the whole VM.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from roadstead.artifacts import published
from roadstead.artifacts.legacy_xml import cleaned
from roadstead.artifacts.masking import masked
from roadstead.model import Container, VmId
from roadstead.peers.engine.messages import containers, versions
from tests.contract.npm import NODE, package
from tests.unit.artifacts.hostile import CONTAINERS, CREATED, made
from tests.unit.peers_engine.recorded import ENGINES, Recorded, recorded

SCRIPT = Path(__file__).with_name("xen_orchestra.mjs")
LIMIT = 128 * 1024
LARGEST = 200 * 1024
"""What the setting allows."""
MONITORED = {"xscontainer-monitor": "True"}
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RUNNING = ["stop", "restart", "pause"]
BUTTONS = {"Up": RUNNING, "Up (Paused)": ["unpause"], "Exited (137)": ["start"]}
EXAMPLES = 300


def shown(*configs: dict[str, str]) -> list[dict[str, Any]]:
    """What Xen Orchestra makes of each ``other_config``; one process reads them all."""
    run = subprocess.run(
        [NODE, SCRIPT, package("fast-xml-parser")],
        input="".join(json.dumps(config) + "\n" for config in configs),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return [json.loads(line) for line in run.stdout.split("\n") if line]


def tabs(*values: str) -> list[list[dict[str, Any]]]:
    """The rows of the tab "Container" for each value of ``docker_ps``."""
    answers = shown(*({**MONITORED, "docker_ps": value} for value in values))
    assert [answer["error"] for answer in answers if "error" in answer] == []
    return [answer["rows"] for answer in answers]


def numbered(held: Sequence[Container]) -> list[Container]:
    """The containers with an id of their own each."""
    return [structs.replace(one, engine_id=f"{number:010x}".ljust(64, "0")) for number, one in enumerate(held)]


def of_engine(name: str, said: Recorded) -> list[Container]:
    """Its one container as three: as it ran, paused, and ended with the code that its events tell (Docker's phrase)."""
    state, paused = said.paused
    code = next(
        event["Actor"]["Attributes"]["exitCode"]
        for event in said.streams["unversioned"]
        if (event.get("Action") or event.get("status")) == "die"
    )
    moments: tuple[dict[str, Any], ...] = (
        {},
        {"Names": ["/Held.up-1"], "State": state, "Status": paused},
        {"Names": ["/ended"], "State": "exited", "Status": f"Exited ({code}) 3 seconds ago"},
    )
    entries = [
        {**said.entry, "Created": CREATED, **moment, "Id": f"{number:010x}".ljust(64, "a")}
        for number, moment in enumerate(moments)
    ]
    read = containers.read_entries(json.dumps(entries).encode(), 64)
    return [containers.container(VmId(name), entry, NOW, 4096) for entry in read]


@pytest.mark.parametrize("name", ENGINES)
def test_every_recorded_engine_reads_right(name: str) -> None:
    """The containers, their literal status, their buttons, and the engine itself: Docker 20.10 to 29.7 and Podman."""
    said = recorded(name)
    version = versions.read_version(json.dumps(said.version).encode())
    engine = versions.described(VmId(name), "1.41", said.ping, version, versions.InfoAnswer(storage_driver="overlay2"))
    config = {
        **MONITORED,
        "docker_ps": published.docker_ps(of_engine(name, said), LIMIT),
        "docker_info": published.docker_info(engine),
        "docker_version": published.docker_version(engine),
    }

    (answer,) = shown(config)

    rows = sorted((row["container"], row["name"], row["status"], row["buttons"]) for row in answer["rows"])
    assert rows == [
        ("0000000000", "web1", "Up", RUNNING),
        ("0000000001", "Held.up-1", "Up (Paused)", ["unpause"]),
        ("0000000002", "ended", "Exited (137)", ["start"]),
    ]
    assert {row["command"] for row in answer["rows"]} == {said.entry["Command"]}
    assert {row["created"] for row in answer["rows"]} == {CREATED * 1000}
    assert answer["docker"]["enabled"] is True
    assert answer["docker"]["info"]["Driver"] == "overlay2"
    assert answer["docker"]["version"]["Version"] == said.version["Version"]
    assert answer["docker"]["version"]["ApiVersion"] == said.version["ApiVersion"]


def test_a_vm_has_the_tab_by_its_setting_alone() -> None:
    """Without the setting there is none; `False` shows it empty, as does a VM of which nothing is published."""
    full = {"docker_ps": published.docker_ps([made()], LIMIT)}
    absent, empty, off, on, wiped = shown(
        full,
        {**full, "xscontainer-monitor": ""},
        {**full, "xscontainer-monitor": "False"},
        {**full, **MONITORED},
        MONITORED,
    )

    assert absent == empty == {"docker": None, "rows": []}
    assert off == {"docker": {"enabled": False}, "rows": []}
    assert [row["name"] for row in on["rows"]] == ["shop-frontend"]
    assert wiped == {"docker": {"enabled": True, "containers": []}, "rows": []}


def test_none_and_one_are_lists_too() -> None:
    """The parser gives an empty text for no containers, and no array for one."""
    none, one, two = tabs(*(published.docker_ps(numbered([made()] * count), LIMIT) for count in range(3)))

    assert none == []
    assert one == [
        {
            "name": "shop-frontend",
            "command": 'nginx -g "daemon off;"',
            "created": CREATED * 1000,
            "status": "Up",
            "buttons": RUNNING,
            "container": "0000000000",
        }
    ]
    assert [row["container"] for row in two] == ["0000000000", "0000000001"]


@pytest.mark.parametrize(
    ("fields", "status", "buttons"),
    [
        ({"state": "running", "health": "unhealthy", "status": "Up 3 minutes (unhealthy)"}, "Up", RUNNING),
        ({"state": "paused", "health": "healthy"}, "Up (Paused)", ["unpause"]),
        ({"state": "exited", "exit_code": 137}, "Exited (137)", ["start"]),
        ({"state": "exited", "exit_code": 0}, "Exited (0)", []),
        ({"state": "restarting", "exit_code": 1}, "Restarting (1)", []),
        ({"state": "created"}, "Created", []),
        ({"state": "removing"}, "Removal In Progress", []),
        ({"state": "dead"}, "Dead", []),
    ],
)
def test_buttons_are_those_of_the_state(fields: dict[str, Any], status: str, buttons: list[str]) -> None:
    """By whole words; health does not take them away. That it starts nothing that ended otherwise is its own rule."""
    ((row,),) = tabs(published.docker_ps([made(**fields)], LIMIT))

    assert (row["status"], row["buttons"]) == (status, buttons)


def test_a_list_that_was_cut_shows_what_is_in_it() -> None:
    """The mark is no container, also where it stands alone or beside a single one."""
    held = numbered([made(state="running" if n % 10 == 0 else "exited", exit_code=0) for n in range(1000)])
    single = published.size(published.docker_ps(held[:1], LIMIT)) + 40
    many, one, none = tabs(*(published.docker_ps(held, limit) for limit in (50_000, single, 100)))

    assert 100 < len(many) < 1000
    assert sum(row["buttons"] == RUNNING for row in many) == 100
    assert len({row["container"] for row in many}) == len(many)
    assert [row["status"] for row in one] == ["Up"]
    assert none == []


def test_the_longest_list_full_of_markup_is_read() -> None:
    """The parser gives a value up in which it has to expand a thousand entities."""
    texts = [
        "&" * 32,
        "&" * 64,
        "<" * 64,
        "'\"" * 32,
        "&lt;&#13;&amp;",
        "]]><entry>",
        "<!-- <![CDATA[ <?x ?> <!DOCTYPE a>",
    ]
    held = numbered([made(name=f"{n} {texts[n % 7]}", command=texts[n % 7], image=texts[n % 7]) for n in range(800)])

    (rows,) = tabs(published.docker_ps(held, LARGEST))

    assert len(rows) > 250
    assert {row["name"] for row in rows} < {one.name for one in held}
    assert {row["command"] for row in rows} == set(texts)


@pytest.mark.limit(60)
def test_no_guest_can_break_xen_orchestra() -> None:
    """As many rows as containers, each with its own texts, status and buttons, whatever they are called."""
    lists = generated()
    read = tabs(*(published.docker_ps(held, LIMIT) for held in lists))

    assert len(read) == len(lists)
    assert sum(map(len, lists)) > EXAMPLES
    for held, rows in zip(lists, read, strict=True):
        assert {row["container"]: bare(row) for row in rows} == {one.engine_id[:10]: expected(one) for one in held}


def generated() -> list[list[Container]]:
    """Lists of hostile containers."""
    lists: list[list[Container]] = []

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], database=None)
    @given(st.lists(CONTAINERS, max_size=4).map(numbered))
    def collect(held: list[Container]) -> None:
        lists.append(held)

    collect()
    return lists


def bare(row: dict[str, Any]) -> tuple[Any, ...]:
    """What must be the container's own; the parser takes spaces away around a text."""
    return spaceless(row["name"]), spaceless(row["command"]), row["status"], row["buttons"], row["created"]


def expected(one: Container) -> tuple[Any, ...]:
    """What a row must say of it."""
    ended = f"Exited ({one.exit_code or 0})"
    status = {"running": "Up", "paused": "Up (Paused)", "exited": ended}.get(one.state, one.state)
    command = masked(cleaned(one.command))[: published.COMMAND_CHARACTERS]
    names = spaceless(cleaned(one.name)), spaceless(cleaned(command))
    return (*names, status, BUTTONS.get(status, []), CREATED * 1000)


def spaceless(text: str) -> str:
    """Without what JavaScript takes for spaces, at the ends."""
    return text.replace("\ufeff", " ").strip()


@pytest.mark.parametrize(
    "value",
    [
        "<docker_ps><item><entry><names",
        "",
        "no XML",
        "<docker_ps><item/></docker_ps>",
        "<docker_ps><item><entry><names><b>x</b></names></entry></item></docker_ps>",
        f"<docker_ps><item><entry><names>{'&lt;' * 1001}</names></entry></item></docker_ps>",
    ],
)
def test_the_rules_see_what_would_break_it(value: str) -> None:
    """Else the tests above would say nothing."""
    (answer,) = shown({**MONITORED, "docker_ps": value})

    assert "error" in answer
