"""Help, completion, the generated page, and a start that imports no more than it needs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.main import get_command

from roadstead.cli import document, quick
from roadstead.cli.main import app
from tests.unit.cli.canned import PROGRAM, Canned, environment, problem, run, vm


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that does something, with its words."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, one in below.items():
        yield from commands(one, (*path, name))


COMMANDS = {
    words: one for words, one in commands(get_command(app)) if one.callback.__module__.startswith("roadstead.cli")
}
"""Without those that `app` adds once another test has imported it."""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_helps_with_examples(words: tuple[str, ...]) -> None:
    """Each command's help has a sentence, an example that begins with its words, and a text for every option."""
    command = COMMANDS[words]

    assert command.help.split("\n")[0].endswith(".")
    assert (
        f"\b\nExamples:\n  roadstead {' '.join(words)}" in command.help
        or f" roadstead {' '.join(words)}" in command.help
    )
    assert all(parameter.help for parameter in command.params if parameter.name != "ctx")


def test_help_shows_commands_in_sections() -> None:
    """The help of the whole lists every command in its section, summaries uncut."""
    shown = run(None, "--help").stdout

    assert shown.index("See:") < shown.index("Control:") < shown.index("Virtual machines:") < shown.index("Pools:")
    assert "..." not in shown.split("See:")[1]
    assert all(f"\n  {words[0]} " in shown for words in COMMANDS)


def test_the_page_holds_every_command() -> None:
    """`docs/cli.md` is made from the commands: each has its heading and help; twice made is the same."""
    page = document.text()

    assert all(f"`roadstead {' '.join(words)}`\n" in page for words in COMMANDS)
    assert page == document.text() and "\x1b" not in page and page.endswith("```\n")


def complete(canned: Canned | None, line: str, **more: str) -> list[str]:
    """Return what bash is offered at the end of ``line``."""
    words = line.split(" ")
    told = {"_ROADSTEAD_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        PROGRAM, env=environment(canned, **told | more), capture_output=True, text=True, timeout=15, check=False
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def test_tab_completes_containers_vms_and_pools(canned: Canned) -> None:
    """Tab offers the names that the server knows; a container's VM once a slash was typed."""
    canned.answers["GET /containers/match"] = [
        {"id": "1", "name": "web", "vm_name": "vm1"},
        {"id": "2", "name": "web", "vm_name": "vm2"},
        {"id": "3", "name": "w\x1b]x", "vm_name": "vm2"},
    ]
    canned.answers["GET /vms"] = [vm("vm1"), vm("db")]
    canned.answers["GET /pools"] = [{"name": "lab"}]

    assert complete(canned, "roadstead stop w") == ["web"]
    assert complete(canned, "roadstead stop vm") == []
    assert complete(canned, "roadstead stop vm1/") == ["vm1/web"]
    assert complete(canned, "roadstead why v") == ["vm1"]
    assert complete(canned, "roadstead pool test ") == ["lab"]
    assert [asked.query["name"] for asked in canned.asked if "name" in asked.query] == [["w*"], ["vm*"], ["vm1/*"]]


@pytest.mark.parametrize(
    ("word", "offered"),
    [("B", r"Büro\ \(Süd\)"), ("'B", "Büro (Süd)"), (r"Büro\ ", r"Büro\ \(Süd\)")],
)
def test_tab_offers_names_as_they_are_to_be_typed(canned: Canned, word: str, offered: str) -> None:
    """A name with spaces is one word on the command line, in quotes or without."""
    canned.answers["GET /vms"] = [vm("Büro (Süd)")]
    told = {"COMP_WORDS": f"roadstead\nwhy\n{word}", "COMP_CWORD": "2"}

    assert complete(canned, "roadstead why x", **told) == [offered]


def test_tab_uses_the_server_that_was_typed(canned: Canned) -> None:
    """`--server` counts for completion, too."""
    canned.answers["GET /vms"] = [vm("vm1")]

    assert complete(None, f"roadstead --server unix:{canned.path} why v", ROADSTEAD_SOCKET="/nonexistent") == ["vm1"]


def test_tab_is_silent_without_a_server(canned: Canned) -> None:
    """No server, or one that refuses, offers nothing and says nothing."""
    canned.answers["GET /containers/match"] = problem(404, "no-such-container", "None.")

    assert complete(canned, "roadstead stop x") == []
    assert complete(None, "roadstead stop x", ROADSTEAD_SOCKET="/nonexistent") == []


def test_plain_command_lines_need_no_pydantic(canned: Canned) -> None:
    """A command line of plain words starts without what Typer needs for others: a third of its time."""
    canned.answers["GET /containers"] = []
    words = [*PROGRAM[:1], "-X", "importtime", *PROGRAM[1:], "ps", "-f", "state:running", "--format", "wide"]

    done = subprocess.run(words, env=environment(canned), capture_output=True, text=True, timeout=15, check=True)

    assert "roadstead.cli.commands.ps" in done.stderr and "pydantic" not in done.stderr


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (str, "x", True),
        (int, None, True),
        (list[str], ("a", "b"), True),
        (Literal["a", "b"], "a", True),
        (Literal["a", "b"], "c", False),
        (int, "1", False),
        (list[int], ("1",), False),
        (Path, "x", False),
    ],
)
def test_only_values_that_need_no_check_are_plain(annotation: Any, value: Any, expected: bool) -> None:  # noqa: FBT001
    """Text, words that may be chosen, and nothing at all are plain; what must be converted is not."""
    assert quick.is_plain(annotation, value) is expected


def test_the_start_imports_no_more_than_it_needs() -> None:
    """Starting the command line loads neither Rich, nor asyncio, nor what only a server needs."""
    code = "import sys, roadstead.cli.main; print(' '.join(sys.modules))"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}

    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True
        ).stdout.split()
    )

    assert not loaded & {
        "rich",
        "asyncio",
        "msgspec",
        "pydantic",
        "fastapi",
        "asyncssh",
        "sqlalchemy",
        "importlib.metadata",
    }
