"""`ps --watch` and `events`: changes are seen at once, an absent server is told, Ctrl-C ends quietly."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from roadstead.cli.api.views import Container
from roadstead.cli.commands import watching
from roadstead.cli.display import happenings, screen
from tests.unit.cli.canned import PROGRAM, Asked, Canned, Stream, Terminal, container, environment, problem, run, vm


@pytest.fixture
def stream(canned: Canned) -> Iterator[Stream]:
    """The stream of changes of a server that has the container web."""
    made = Stream()
    made.relist()
    canned.answers["GET /containers"] = [container("web")]
    canned.answers["GET /vms"] = [vm("vm1")]
    canned.answers["GET /changes"] = made
    yield made
    made.put(None)


def ended_by_interrupt(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Interrupt ``process``; return its code and what it printed and was not yet read."""
    process.send_signal(2)
    out, err = process.communicate(timeout=15)
    return process.returncode, out, err


def piped(canned: Canned, *words: str) -> subprocess.Popen[str]:
    """Start the command line with its output piped."""
    return subprocess.Popen(
        [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(canned)
    )


def test_watch_redraws_at_once_and_restores_the_terminal(canned: Canned, stream: Stream) -> None:
    """The live view shows each change as it comes, on the other screen, and Ctrl-C ends it with 0."""
    with Terminal(canned, "ps", "--watch") as terminal:
        start = terminal.wait_for("running\x1b[0m")
        stream.change(2, "container", container("web", state="paused"))
        terminal.wait_for("paused\x1b[0m")
        stream.change(3, "container", container("db"))
        terminal.wait_for("db ")
        stream.change(4, "container", None, container("db")["id"])
        terminal.wait_for("1 container, 0 running")
        terminal.interrupt()
        code, shown = terminal.ended()

    assert start.startswith("\x1b[?1049h\x1b[?25l")
    assert code == 0 and shown.endswith("\x1b[?25h\x1b[?1049l")


def test_watch_says_why_it_is_empty(canned: Canned, stream: Stream) -> None:
    """Below the heading, as long as there are no rows."""
    canned.answers |= {"GET /containers": [], "GET /vms": [], "GET /pools": []}
    with Terminal(canned, "ps", "--watch") as terminal:
        terminal.wait_for("No pool is known yet")
        stream.change(2, "container", container("db"))
        terminal.wait_for("db ")
        terminal.interrupt()
        _, shown = terminal.ended()
    assert "No pool" not in shown.rpartition("db ")[2]


def test_watch_piped_says_why_it_is_empty(canned: Canned, stream: Stream) -> None:
    """On stderr: what reads its output reads a table."""
    canned.answers["GET /containers"] = []
    process = piped(canned, "ps", "--watch", "-f", "state:running")
    assert process.stderr is not None
    assert process.stderr.readline() == "Nothing matches.\n"
    ended_by_interrupt(process)


def test_watch_shows_what_fits(canned: Canned, stream: Stream) -> None:
    """On a small terminal the first rows are shown, and how many more there are; what ends a line erases none of it."""
    canned.answers["GET /containers"] = [container(f"c{n:03}", image="image" * 20) for n in range(100)]

    with Terminal(canned, "ps", "-w", columns=60, lines=12) as terminal:
        picture = terminal.wait_for("scroll\x1b[K")

    assert "100 containers, 100 running" in picture and "c000" in picture and "c007" in picture
    assert "… 92 more below" in picture and picture.count("\n") <= 12
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", picture).splitlines()
    # Where the last column holds a cell, the cursor stays on it, and erasing the rest of the line erases it.
    assert max(map(len, lines)) == 59


def test_watch_scrolls(canned: Canned, stream: Stream) -> None:
    """Keys show the rows that did not fit, and how many there are in each direction; q ends it with 0."""
    canned.answers["GET /containers"] = [container(f"c{n:03}") for n in range(100)]

    with Terminal(canned, "ps", "-w", columns=60, lines=12) as terminal:
        terminal.wait_for("… 92 more below")
        assert not terminal.echoes()
        for typed, told in (
            ("\x1b[B", "… 1 above, 91 more below"),
            ("\x1b[6~", "… 9 above, 83 more below"),
            ("\x1b[F", "… 92 above"),
            ("k", "… 91 above, 1 more below"),
            ("\x1b[5~", "… 83 above, 9 more below"),
            ("\x1b[H", "… 92 more below"),
        ):
            terminal.type(typed)
            terminal.wait_for(told)
        terminal.type("q")
        code, shown = terminal.ended()
        assert terminal.echoes()

    assert code == 0 and shown.endswith("\x1b[?25h\x1b[?1049l")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_gives_the_terminal_back_however_it_ends(canned: Canned, stream: Stream, number: int) -> None:
    """After Ctrl-C and after SIGTERM typed text is shown again, on the screen that was there before."""
    with Terminal(canned, "ps", "-w") as terminal:
        terminal.wait_for("running\x1b[0m")
        assert not terminal.echoes()
        terminal.interrupt(number)
        code, shown = terminal.ended()
        assert terminal.echoes()

    assert code == (0 if number == signal.SIGINT else 128 + number)
    assert shown.endswith("\x1b[?25h\x1b[?1049l")


def test_watch_gives_the_terminal_back_while_it_is_suspended(canned: Canned, stream: Stream) -> None:
    """Ctrl-Z leaves the other screen before the process stops; when it goes on, it draws there again."""
    with Terminal(canned, "ps", "-w") as terminal:
        terminal.wait_for("running\x1b[0m")
        # A process without a shell above it is not stopped by this signal; what it does around it is the same.
        terminal.interrupt(signal.SIGTSTP)
        terminal.wait_for("\x1b[?25h\x1b[?1049l")
        terminal.wait_for("\x1b[?1049h\x1b[?25l")
        terminal.wait_for("running\x1b[0m")
        terminal.type("q")
        assert terminal.ended()[0] == 0
        assert terminal.echoes()


def test_a_vm_in_doubt_is_told_as_such() -> None:
    """One that is still connected and has a problem is not said to be current, and the end of it is told."""
    silent = vm("vm1", problem={"code": "no-answer", "cause": "It has stopped answering."})

    assert list(happenings.of_vm(vm("vm1"), silent)) == ["vm1  VM in doubt: It has stopped answering."]
    assert list(happenings.of_vm(silent, vm("vm1"))) == ["vm1  VM without a problem again"]


@pytest.mark.parametrize(
    ("text", "found", "rest"),
    [
        ("", [], ""),
        ("jkG", ["down", "up", "end"], ""),
        ("\x1b[A\x1bOB\x1b[5~", ["up", "down", "page-up"], ""),
        ("xé?\x1b[15~\x1b[1;5Cq", ["quit"], ""),
        ("j\x1b[6", ["down"], "\x1b[6"),
        ("\x1b", [], "\x1b"),
        ("\x1bq", ["quit"], ""),
    ],
)
def test_keys_are_read_as_terminals_send_them(text: str, found: list[str], rest: str) -> None:
    """Sequences that mean nothing are passed over whole, and one that has only half arrived is waited for."""
    assert screen.keys(text) == (found, rest)


def test_a_place_in_a_list_follows_the_list() -> None:
    """What is shown never runs past the end, also when the list becomes shorter or the terminal higher."""
    place, every = watching.Place(), [Container(name=f"c{n}") for n in range(30)]

    def shown(room: int, rows: int = 30) -> list[str]:
        return [row.name for row in place.part(every[:rows], room)]

    assert shown(10) == [f"c{n}" for n in range(9)]
    place.moved(["end"])
    assert shown(10) == [f"c{n}" for n in range(21, 30)]
    assert shown(10, 12) == [f"c{n}" for n in range(3, 12)]
    assert shown(40) == [row.name for row in every] and place.rest(30, 80) == []
    assert shown(1, 5) == ["c0"] and shown(5, 0) == []


def test_watch_tells_which_vms_do_not_answer(canned: Canned, stream: Stream) -> None:
    """Before it is clear that a VM is lost its name stands above the list; one of which nothing is shown does not."""
    silent = {"code": "no-answer", "cause": "The VM has stopped answering."}
    canned.answers["GET /vms"] = [vm("vm1", problem=silent), vm("vm2", problem=silent), vm("vm3")]

    with Terminal(canned, "ps", "--watch") as terminal:
        terminal.wait_for("1 running, no answer from vm1   ")
        stream.change(2, "vm", vm("vm1"))
        terminal.wait_for("1 running   ")
        stream.change(3, "vm", vm("vm1", problem=silent))
        terminal.wait_for("no answer from vm1   ")


def test_watch_vouches_for_nothing_without_a_server(canned: Canned, stream: Stream) -> None:
    """When the server goes away the screen says so and claims nothing to be running; when it is back all is well."""
    again = Stream()
    with Terminal(canned, "ps", "--watch") as terminal:
        terminal.wait_for("running\x1b[0m")
        canned.answers["GET /changes"] = problem(503, "shutting-down", "The server is stopping.")
        stream.put(None)
        terminal.wait_for("The server does not answer")
        terminal.wait_for("unknown (was running)")
        again.relist()
        canned.answers["GET /changes"] = again
        terminal.wait_for("1 container, 1 running")
        again.put(None)


def test_watch_with_a_filter_asks_the_server_what_matches(canned: Canned, stream: Stream) -> None:
    """With a filter a change makes the server say again what matches: only it knows the language."""
    with Terminal(canned, "ps", "--watch", "-f", "state:running") as terminal:
        terminal.wait_for("web ")
        canned.answers["GET /containers"] = [container("other")]
        stream.change(2, "container", container("web", state="exited"))
        terminal.wait_for("other ")

    assert all(asked.query["q"] == ["state:running"] for asked in canned.asked if asked.path == "/containers")


def test_watch_refuses_a_bad_filter_and_an_absent_server_at_once(canned: Canned) -> None:
    """What is wrong at the start ends the command with its code; only later outages are waited for."""
    canned.answers["GET /changes"] = stream = Stream()
    stream.relist()
    canned.answers["GET /containers"] = problem(422, "filter-invalid", "It makes no sense.", "Write it well.")

    with Terminal(canned, "ps", "--watch", "-f", "x:") as terminal:
        code, shown = terminal.ended()
    gone = run(None, "--server", "unix:/nonexistent/s", "ps", "--watch")
    stream.put(None)

    assert (code, shown) == (2, "Error: It makes no sense.\nWrite it well.\n")
    assert gone.returncode == 5


def test_watch_lists_again_when_told(canned: Canned, stream: Stream) -> None:
    """`relist` means that changes were missed: everything is listed again."""
    with Terminal(canned, "ps", "--watch") as terminal:
        terminal.wait_for("web ")
        canned.answers["GET /containers"] = [container("fresh")]
        stream.relist(9)
        terminal.wait_for("fresh ")


@pytest.mark.parametrize("words", [["ps", "--watch"], ["events"]])
def test_piped_each_change_is_one_line(canned: Canned, stream: Stream, words: list[str]) -> None:
    """Piped, the live view prints the list, then a line for each change, in words, and ends with 0."""
    process = piped(canned, *words)
    canned.wait_for("GET", "/containers")
    stream.change(2, "container", container("web", state="paused"))
    stream.change(3, "container", container("web", state="paused"))
    stream.change(4, "container", container("web", state="exited", exit_code=3))
    assert process.stdout is not None
    if "--watch" in words:
        listed = [process.stdout.readline(), process.stdout.readline()]
        assert listed[0].startswith("NAME  VM ") and re.match(r"web   vm1  nginx:1.27  running ", listed[1])
    lines = [process.stdout.readline(), process.stdout.readline()]

    assert re.fullmatch(r"\d\d:\d\d:\d\d  vm1/web  paused\n", lines[0])
    assert lines[1].endswith("vm1/web  stopped, exit code 3\n")
    assert ended_by_interrupt(process) == (0, "", "")


def test_watch_json_begins_with_the_list(canned: Canned, stream: Stream) -> None:
    """`ps --watch --format json` tells first what there is, in the same form as the changes that follow."""
    process = piped(canned, "ps", "--watch", "--format", "json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    stream.change(2, "container", container("db"))
    second = json.loads(process.stdout.readline())

    web = container("web")
    assert first == {"number": 1, "kind": "container", "id": web["id"], "op": "set", "record": web}
    assert (second["number"], second["record"]["name"]) == (2, "db")
    assert ended_by_interrupt(process) == (0, "", "")


@pytest.mark.parametrize("words", [["ps", "--watch", "--format", "json"], ["ps", "--watch"], ["events"]])
def test_it_ends_when_nobody_reads_any_more(canned: Canned, stream: Stream, words: list[str]) -> None:
    """`… | head -1` comes to an end without another change."""
    process = piped(canned, *words)
    canned.wait_for("GET", "/containers")
    assert process.stdout is not None and process.stderr is not None
    if words != ["events"]:
        process.stdout.readline()
    process.stdout.close()

    with process.stderr:
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_events_tell_of_vms_too(canned: Canned, stream: Stream) -> None:
    """`events` tells when a VM is lost, with the cause, and when it is back."""
    process = piped(canned, "events")
    canned.wait_for("GET", "/vms")
    broken = vm("vm1", "broken", problem={"code": "timed-out", "cause": "It did not answer in time."})
    stream.change(2, "vm", broken)
    stream.change(3, "vm", vm("vm1"))
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]

    assert lines[0].endswith("vm1  VM cannot be watched: It did not answer in time.\n")
    assert lines[1].endswith("vm1  VM connected, and kept current\n")
    assert ended_by_interrupt(process)[0] == 0


def test_events_json_prints_each_change_as_it_came(canned: Canned, stream: Stream) -> None:
    """`events --format json` prints one document in a line, harmless for terminals."""
    process = piped(canned, "events", "--format", "json")
    stream.change(2, "container", container("w\u202eb"))
    assert process.stdout is not None
    line = process.stdout.readline()

    assert "\u202e" not in line
    record = container("w\u202eb")
    assert json.loads(line) == {"number": 2, "kind": "container", "id": record["id"], "op": "set", "record": record}
    assert ended_by_interrupt(process)[0] == 0


def test_events_json_with_a_filter_prints_what_matches_or_matched(canned: Canned, stream: Stream) -> None:
    """With a filter a change is printed when its container matches now or did before."""
    web, other = container("web"), container("other")
    matching = [[{"id": web["id"]}], [{"id": web["id"]}], []]
    canned.answers["GET /containers"] = lambda _asked: matching.pop(0) if len(matching) > 1 else matching[0]
    process = piped(canned, "events", "--format", "json", "-f", "name:web")
    canned.wait_for("GET", "/containers")
    stream.change(2, "container", other)
    canned.wait_for("GET", "/containers", 2)
    stream.change(3, "container", web)
    assert process.stdout is not None

    assert json.loads(process.stdout.readline())["number"] == 3
    assert ended_by_interrupt(process) == (0, "", "")


def test_events_tell_an_outage_once(canned: Canned, stream: Stream) -> None:
    """An absent server is said once on stderr when it goes and once when it is back."""
    again, refusals = Stream(), []

    def refuse(asked: Asked) -> Any:
        refusals.append(asked)
        return problem(503, "shutting-down", "Stopping.") if len(refusals) < 3 else again

    process = piped(canned, "events")
    canned.wait_for("GET", "/containers")
    canned.answers["GET /changes"] = refuse
    stream.put(None)
    assert process.stderr is not None
    assert process.stderr.readline() == "The server does not answer; trying again.\n"
    again.relist()
    assert process.stderr.readline() == "The server answers again.\n"
    again.put(None)
    assert ended_by_interrupt(process)[0] == 0


def at(second: int) -> datetime:
    """Return a moment."""
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def told(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[str]:
    """Return the sentences for a change of the container vm1/web."""
    made = [
        None if one is None else Container(**{"name": "web", "vm_name": "vm1", "state": "running"} | one)
        for one in (before, after)
    ]
    return [sentence.removeprefix("vm1/web  ") for sentence in happenings.of_container(made[0], made[1])]


@pytest.mark.parametrize(
    ("before", "after", "sentences"),
    [
        (None, {}, ["appeared: running"]),
        ({}, None, ["gone"]),
        ({"name": "old"}, {}, ["renamed, it was old"]),
        ({"state": "paused"}, {}, ["resumed"]),
        ({"state": "created"}, {}, ["started"]),
        ({}, {"state": "exited"}, ["stopped"]),
        ({}, {"state": "restarting"}, ["restarting"]),
        ({}, {"state": "something new"}, ["something new"]),
        ({"started": at(1), "as_of": at(5)}, {"started": at(7)}, ["restarted"]),
        ({"started": at(1), "as_of": at(5)}, {"started": at(3)}, []),
        ({"started": at(7), "as_of": at(7)}, {"started": at(8)}, []),
        ({"started": at(1), "as_of": at(5)}, {"started": at(7), "state": "exited"}, ["stopped"]),
        ({"health": "starting"}, {"health": "unhealthy"}, ["unhealthy"]),
        ({}, {"stale": True}, ["not heard any more: unknown (was running)"]),
        ({"stale": True}, {"state": "paused"}, ["heard again: paused"]),
        ({"image": "a"}, {"image": "b"}, []),
    ],
)
def test_changes_are_told_in_words(before: dict[str, Any], after: dict[str, Any], sentences: list[str]) -> None:
    """What became different of a container is told as what happened; what nobody cares about is not told."""
    assert told(before, after) == sentences
