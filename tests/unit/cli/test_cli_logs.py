"""`roadstead logs`: what a container wrote, on a terminal, in a pipe and in a file."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.canned import Canned, Raw, Stream, Terminal, problem, run, run_shell

MATCH = {"id": "vm1-uuid/ab", "name": "web", "vm_name": "vm1"}
LOGS = "GET /containers/vm1-uuid/ab/logs"
WRITTEN: tuple[dict[str, Any], ...] = (
    {"stream": "stdout", "text": "one\ttab\x1b[1;31m red\x1b[0m"},
    {"stream": "stderr", "text": "\x1b]0;owned\x07\x1b[2J\u202egpj \r50 %"},
    {"stream": "stdout", "text": "long ", "partial": True},
    {"stream": "stdout", "text": "line"},
)


def lines(*entries: dict[str, Any]) -> Raw:
    """What the server says."""
    return Raw(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))


@pytest.fixture
def logged(canned: Canned) -> Canned:
    """A server with one container that has written something."""
    canned.answers["GET /containers/match"] = [MATCH]
    canned.answers[LOGS] = lines(*WRITTEN)
    return canned


def test_logs_do_no_harm(logged: Canned) -> None:
    """Nothing in them commands a terminal, not even in a pipe; colours are left out, tabs are kept."""
    done = run(logged, "logs", "web")

    assert done.stdout == "one\ttab red\n?]0;owned??[2J?gpj ?50 %\nlong line\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_raw_logs_are_for_files(logged: Canned, tmp_path: Path) -> None:
    """There they are as they were written; a terminal gets none."""
    with (tmp_path / "out").open("wb") as out:
        done = run_shell(logged, f"roadstead logs web --raw > {out.name}")
    assert done.returncode == 0
    written = Path(out.name).read_bytes().decode()
    assert written == "one\ttab\x1b[1;31m red\x1b[0m\n\x1b]0;owned\x07\x1b[2J\u202egpj \r50 %\nlong line\n"
    assert [each.query["exact"] for each in logged.asked if each.path.endswith("/logs")] == [["true"]]
    with Terminal(logged, "logs", "web", "--raw") as terminal:
        code, shown = terminal.ended()
    assert code == 2
    assert "--raw" in shown
    assert "owned" not in shown


def test_raw_is_byte_for_byte(canned: Canned, tmp_path: Path) -> None:
    """What is no text, line ends of Windows, and a last line without an end; whatever the terminal's encoding is."""
    said = b"caf\xe9\r\n\xff\xfe\x00 \xc3\xbc\nno end"
    pieces = said.split(b"\n")
    canned.answers["GET /containers/match"] = [MATCH]
    canned.answers[LOGS] = lines(
        {"stream": "stdout", "text": "caf\ufffd", "data": base64.b64encode(pieces[0]).decode()},
        {"stream": "stdout", "text": "x", "data": base64.b64encode(pieces[1]).decode()},
        {"stream": "stdout", "text": "no end", "partial": True},
    )
    done = run_shell(canned, f"PYTHONIOENCODING=ascii roadstead logs web --raw > {tmp_path / 'out'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out").read_bytes() == said


@pytest.mark.parametrize("form", [[], ["--format", "json"]])
def test_that_the_vm_was_lost_is_told_beside(canned: Canned, form: list[str]) -> None:
    """On stderr, tamed; what goes on there is nothing but logs, and the command does not fail."""
    canned.answers["GET /containers/match"] = [MATCH]
    one, two = ({"stream": "stdout", "text": text} for text in ("one", "two"))
    lost = {"stream": "notice", "text": "The connection was lost.\x1b[2J", "code": "link-lost"}
    canned.answers[LOGS] = lines(one, lost, {"stream": "notice", "text": "It is back."}, two)
    done = run(canned, "logs", "web", "--follow", *form)

    assert (done.returncode, done.stderr) == (0, "Note: The connection was lost.?[2J\nNote: It is back.\n")
    assert done.stdout == ("".join(json.dumps(each) + "\n" for each in (one, two)) if form else "one\ntwo\n")


def test_stderr_is_red_on_a_terminal(logged: Canned) -> None:
    """And nothing else is."""
    with Terminal(logged, "logs", "web") as terminal:
        code, shown = terminal.ended()
    assert code == 0
    assert shown.splitlines()[1:] == ["\x1b[31m?]0;owned??[2J?gpj ?50 %\x1b[0m", "long line"]


@pytest.mark.parametrize("words", [["vm1/web"], ["vm1", "web"]])
def test_options_reach_the_server(logged: Canned, words: list[str]) -> None:
    """Both ways to name a container; of the options only those that were given."""
    options = ["--follow", "--tail", "5", "--since", "10m", "--until", "5m", "--timestamps", "--stream", "stderr"]
    assert run(logged, "logs", *words).returncode == 0
    assert run(logged, "logs", *words, *options).returncode == 0
    asked = [each.query for each in logged.asked if each.path.endswith("/logs")]

    assert [each.query["name"] for each in logged.asked if each.path.endswith("/match")] == [["vm1/web"]] * 2
    assert asked[0] == {}
    assert asked[1] == {
        "follow": ["true"],
        "tail": ["5"],
        "since": ["10m"],
        "until": ["5m"],
        "timestamps": ["true"],
        "stream": ["stderr"],
    }


def test_times_stand_before_lines(canned: Canned) -> None:
    """As the engine tells them, tamed."""
    canned.answers["GET /containers/match"] = [MATCH]
    canned.answers[LOGS] = lines({"stream": "stdout", "text": "x", "time": "2026-11-27T12:00:00Z"})

    assert run(canned, "logs", "web", "--timestamps").stdout == "2026-11-27T12:00:00Z x\n"


def test_json_is_passed_on(logged: Canned) -> None:
    """An object on each line, escaped further where it would command a terminal."""
    done = run(logged, "logs", "web", "--format", "json")

    assert [json.loads(line) for line in done.stdout.splitlines()] == list(WRITTEN)
    assert "\u202e" not in done.stdout


def test_a_break_is_told(canned: Canned) -> None:
    """After what came, with the exit code of a failure."""
    canned.answers["GET /containers/match"] = [MATCH]
    ended: dict[str, Any] = {"stream": "problem", "text": "The connection was lost.\nAgain.", "code": "link-lost"}
    canned.answers[LOGS] = lines({"stream": "stdout", "text": "x"}, ended)
    done = run(canned, "logs", "web")

    assert (done.returncode, done.stdout) == (1, "x\n")
    assert done.stderr == "Error: The connection was lost.?Again.\n"


def test_a_refusal_is_told(logged: Canned) -> None:
    """By the engine, and by ourselves: logs are those of one container."""
    logged.answers[LOGS] = problem(502, "logs-unreadable", "The engine cannot read them.", "Look elsewhere.")
    done = run(logged, "logs", "web")
    assert (done.returncode, done.stderr) == (1, "Error: The engine cannot read them.\nLook elsewhere.\n")
    logged.answers[LOGS] = problem(422, "field-invalid", "since is not valid: no.", fields={"field": "since"})
    assert run(logged, "logs", "web", "--since", "x").stderr.startswith("Error: --since is not valid: no.")
    logged.answers["GET /containers/match"] = [MATCH, {**MATCH, "name": "db"}]
    done = run(logged, "logs", "*")
    assert done.returncode == 2
    assert "2 containers (vm1/web, vm1/db)" in done.stderr


def test_following_ends_with_ctrl_c(canned: Canned) -> None:
    """Cleanly; what is written is shown at once."""
    stream = Stream()
    canned.answers |= {"GET /containers/match": [MATCH], LOGS: stream}
    with Terminal(canned, "logs", "web", "--follow") as terminal:
        stream.put('{"stream":"stdout","text":"first"}\n\n')
        terminal.wait_for("first")
        stream.put('{"stream":"stdout","text":"second"}\n')
        terminal.wait_for("second")
        terminal.interrupt()
        code, shown = terminal.ended()
    stream.put(None)
    assert (code, shown.strip()) == (0, "")


class Beating(Stream):
    """One line, then heartbeats for as long as somebody reads."""

    def get(self) -> str | None:
        if self.opened.acquire(blocking=False):
            return '{"stream":"stdout","text":"first"}\n'
        time.sleep(0.02)
        return "\n"


def test_following_ends_with_its_reader(canned: Canned) -> None:
    """`head` has seen enough: a heartbeat ends it, although the container writes no more."""
    canned.answers |= {"GET /containers/match": [MATCH], LOGS: Beating()}
    done = run_shell(canned, "roadstead logs web --follow | head -n 1")
    assert (done.stdout, done.stderr) == ("first\n", "")
