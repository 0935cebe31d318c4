"""A plain list needs no parser, and is what the parser would have made of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.canned import LIMIT_SECONDS, Canned, environment, problem, run

SCRIPT = str(Path(sys.executable).with_name("roadstead"))
CONTAINER = {"id": "vm-1/" + "a" * 64, "name": "web", "vm_name": "shop", "state": "running"}


def typed(canned: Canned | None, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the console script itself."""
    return subprocess.run(
        [SCRIPT, *words],
        env=environment(canned, **more),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("words", [["ps"], ["ps", "--sort", "name"], ["ps", "-f", "state:running"]])
def test_containers_are_asked_for_once(canned: Canned, words: list[str]) -> None:
    """Whether the parser took part or not."""
    canned.answers["GET /containers"] = [CONTAINER]

    done = typed(canned, *words)

    assert (done.returncode, done.stderr) == (0, "")
    assert "web" in done.stdout
    assert [asked.path for asked in canned.asked].count("/containers") == 1


def test_the_server_that_is_named_is_asked(canned: Canned) -> None:
    """An option counts for more than the environment."""
    canned.answers["GET /containers"] = [CONTAINER]

    done = typed(None, "--server", f"unix:{canned.path}", "ps", ROADSTEAD_SERVER="unix:/nowhere")

    assert done.returncode == 0
    assert canned.asked


def test_a_plain_list_needs_no_parser(canned: Canned) -> None:
    """It prints what the parser's command prints, to the letter."""
    canned.answers["GET /containers"] = [CONTAINER, CONTAINER | {"name": "db"}]
    script = (
        "import sys; sys.argv = ['roadstead', 'ps']\n"
        "from roadstead.app.entry import main; main()\n"
        "assert not {'typer', 'ssl', 'email'} & sys.modules.keys(), sorted(sys.modules)"
    )
    plain = subprocess.run(
        [sys.executable, "-c", script], env=environment(canned), capture_output=True, text=True, timeout=30, check=False
    )

    assert (plain.returncode, plain.stderr) == (0, "")
    assert plain.stdout == run(canned, "ps").stdout


def test_what_goes_wrong_is_told_as_ever(canned: Canned) -> None:
    """A refusal, and a server that is not there: one sentence and the exit code."""
    canned.answers["GET /containers"] = problem(409, "shutting-down", "The server is about to stop.", "Start it again.")

    refused, nobody = typed(canned, "ps"), typed(None, "ps", ROADSTEAD_SERVER="unix:/nowhere/at/all")

    assert (refused.returncode, refused.stderr) == (5, "Error: The server is about to stop.\nStart it again.\n")
    assert nobody.returncode == 5
    assert "unix:/nowhere/at/all" in nobody.stderr
    assert typed(None, "ps", ROADSTEAD_SERVER="gopher://x").returncode == 2
