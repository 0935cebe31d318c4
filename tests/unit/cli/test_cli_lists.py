"""What the listing commands print: piped, on terminals of several widths, and with hostile names."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.cli.canned import (
    LIMIT_SECONDS,
    Asked,
    Canned,
    Raw,
    Terminal,
    container,
    problem,
    run,
    run_shell,
    vm,
)

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def plain(text: str) -> list[str]:
    """Return the lines without colours."""
    return ANSI.sub("", text).splitlines()


def minutes_ago(minutes: int) -> str:
    """Return a time as the API writes it."""
    return (datetime.now(UTC) - timedelta(minutes=minutes, seconds=5)).isoformat().replace("+00:00", "Z")


def test_ps_piped_is_an_aligned_plain_table(canned: Canned) -> None:
    """Piped, `ps` prints a heading and aligned rows by VM and name, without colours, and asks only for its columns."""
    canned.answers["GET /containers"] = [
        container("web", "vm2", created=minutes_ago(300), started=minutes_ago(3), health="healthy"),
        container("database", "vm1", "exited", exit_code=137, ports=[{"private": 5432}]),
    ]

    done = run(canned, "ps")

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0].split() == ["NAME", "VM", "IMAGE", "STATE", "STATUS", "PORTS", "AGE"]
    assert re.match(r"database  vm1  nginx:1.27  exited   exit code 137 +5432/tcp", lines[1])
    assert re.match(r"web       vm2  nginx:1.27  running  up 3 min, healthy  - +5 h$", lines[2])
    fields = canned.asked[0].query["fields"][0].split(",")
    assert "labels" not in fields and "command" not in fields


def test_ps_shows_stale_containers_as_unknown_with_their_time(canned: Canned) -> None:
    """A stale container is never shown as running, but as what it was, as of when."""
    canned.answers["GET /containers"] = [container(stale=True, as_of=minutes_ago(3))]

    line = run(canned, "ps").stdout.splitlines()[1]

    assert "unknown (was running)" in line and "as of 3 min ago" in line


def test_ps_passes_filters_on_as_one_search(canned: Canned) -> None:
    """Repeated filters are one search of which every term must match; the server alone reads its language."""
    canned.answers["GET /containers"] = []

    done = run(canned, "ps", "-f", "state:running", "--filter", "vm:web* label:a=b")

    assert canned.asked[0].query["q"] == ["state:running vm:web* label:a=b"]
    assert done.stdout.split() == ["NAME", "VM", "IMAGE", "STATE", "STATUS", "PORTS", "AGE"]


BROKEN = vm("a", "broken") | {"enabled": True}
POOL = {"id": "p", "name": "p"}


@pytest.mark.parametrize(
    ("words", "vms", "pools", "said"),
    [
        (["ps"], [], [], "`roadstead pool add URL`"),
        (["ps"], [vm("a", "unmanaged") | {"enabled": False}], [POOL], "`roadstead enable VM`"),
        (
            ["ps", "--format", "wide"],
            [BROKEN, vm("b") | {"enabled": True}],
            [POOL],
            "1 VM cannot be heard: `roadstead vms -f state:b",
        ),
        (["ps"], [vm("b") | {"enabled": True}], [POOL], "The managed VMs have no containers."),
        (["ps", "-f", "state:running"], [BROKEN], [POOL], "Nothing matches."),
        (["ps", "--fields", "name,state"], [], [], "`roadstead pool add URL`"),
        (["vms"], [], [], "`roadstead pool add URL`"),
        (["vms"], [], [POOL], "have no VM."),
        (["vms", "-f", "state:live"], [], [POOL], "Nothing matches."),
        (["ps", "-f", "state:running vm:Old web 1"], [BROKEN], [POOL], 'with a space is written vm:"Old web 1".'),
        (["vms", "-f", "vm:Büro Köln"], [], [POOL], 'with a space is written vm:"Büro Köln".'),
        (["pool", "list"], [], [], "`roadstead pool add URL`"),
    ],
)
def test_a_list_without_rows_says_what_to_do(
    canned: Canned, words: list[str], vms: list[Any], pools: list[Any], said: str
) -> None:
    """In one sentence on stderr; on stdout is the heading alone, and for programs nothing is added."""
    canned.answers |= {"GET /containers": [], "GET /vms": vms, "GET /pools": pools}

    done = run(canned, *words)
    for_programs = run(canned, *words[: 2 if words[0] == "pool" else 1], "--format", "json")

    assert (done.returncode, len(done.stdout.splitlines()), len(done.stderr.splitlines())) == (0, 1, 1)
    assert said in done.stderr
    assert for_programs.stderr == ""


def test_ps_says_which_vms_do_not_answer_just_now(canned: Canned) -> None:
    """Below the list, on stderr: it is not clear yet that they are lost, so nothing of them is stale. Only those whose
    containers are shown; programs, and whoever asks a server that cannot tell, get the list alone.
    """
    shown = [container("a", "web-1"), container("b", "web-2")]
    silent = [
        vm(name) | {"problem": {"code": "no-answer", "cause": "", "remedy": ""}} for name in ("web-1", "elsewhere")
    ]
    canned.answers |= {"GET /containers": shown, "GET /vms": silent}

    done = run(canned, "ps")
    for_programs = run(canned, "ps", "--format", "json")
    canned.answers["GET /vms"] = problem(500, "internal-error", "It failed.")
    blind = run(canned, "ps")

    assert canned.asked[1].query["q"] == ["problem:no-answer"]
    assert done.stderr == "No answer from web-1: what is shown of their containers may be out of date.\n"
    assert (for_programs.stderr, blind.stderr) == ("", "")
    assert (done.stdout, blind.returncode) == (blind.stdout, 0)


def test_ps_json_is_one_list(canned: Canned) -> None:
    """`--format json` prints one list of the records as they are."""
    records = [container("a"), container("b")]
    canned.answers["GET /containers"] = records

    assert json.loads(run(canned, "ps", "--format", "json").stdout) == records


def test_ps_fields_choose_columns_in_table_and_json(canned: Canned) -> None:
    """`--fields` names the columns; a field that only the order needs is asked for and not shown."""
    canned.answers["GET /containers"] = [
        {"name": "a", "exit_code": 1, "created": "2026-01-01T00:00:00Z"},
        {"name": "b", "exit_code": None, "created": "2026-02-01T00:00:00Z"},
    ]

    table = run(canned, "ps", "--fields", "name,exit_code", "--sort", "-created").stdout.splitlines()
    listed = run(canned, "ps", "--fields", "name", "--sort", "created", "--format", "json").stdout

    assert canned.asked[0].query["fields"] == ["name,exit_code,created"]
    assert [line.split() for line in table] == [["NAME", "EXIT_CODE"], ["b", "-"], ["a", "1"]]
    assert json.loads(listed) == [{"name": "a"}, {"name": "b"}]


def test_ps_names_the_option_of_a_field_that_there_is_not(canned: Canned) -> None:
    """`--fields` is named as it was typed, not as the API calls it."""
    canned.answers["GET /containers"] = problem(
        422,
        "field-invalid",
        "fields is not valid: there is no 'x'.",
        "Correct it.",
        fields={"field": "fields"},
    )

    done = run(canned, "ps", "--fields", "x")

    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "Error: --fields is not valid: there is no 'x'.",
    )


def test_ps_quiet_prints_ids(canned: Canned) -> None:
    """`-q` prints the ids alone, for `stop $(roadstead ps -q)`."""
    canned.answers["GET /containers"] = [{"id": "u/1"}, {"id": "u/2"}]

    assert run(canned, "ps", "-q").stdout == "u/1\nu/2\n"


@pytest.mark.parametrize("sort", ["nonsense", "-nonsense", "ports"])
def test_ps_refuses_an_order_by_nothing(canned: Canned, sort: str) -> None:
    """A field that nothing can be ordered by is named, with those that can; the exit code is that of wrong usage."""
    canned.answers["GET /containers"] = [container("a", ports=[{"private": 1}]), container("b", ports=[{"private": 2}])]

    done = run(canned, "ps", "--sort", sort)

    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: --sort is not valid: there is no '{sort.removeprefix('-')}' among ")
    assert canned.asked == []


def test_narrow_terminals_show_what_matters_most(canned: Canned) -> None:
    """At 60 columns a VM's problem is whole, and a container's age is there; what is left out is marked."""
    broken = vm("vm-with-a-name", "broken", host_name="host-of-the-pool", problem={"code": "address-not-allowed"})
    canned.answers["GET /vms"] = [broken]
    canned.answers["GET /containers"] = [
        container("name-of-a-container", "vm-with-a-name", image="registry/image:1", started=minutes_ago(3))
    ]

    def shown(*words: str) -> list[str]:
        with Terminal(canned, *words, columns=60) as terminal:
            return plain(terminal.ended()[1])

    vms, containers = shown("vms"), shown("ps")

    assert vms[0].split() == ["NAME", "STATE", "CONTAINERS", "PROBLEM", "…"]
    assert vms[1].split()[-1] == "address-not-allowed"
    assert containers[0].split() == ["NAME", "VM", "STATE", "STATUS", "AGE", "…"]
    assert all(len(line) <= 60 for line in [*vms, *containers])


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_ps_fits_the_terminal(canned: Canned, columns: int) -> None:
    """On a terminal no line is longer than it is wide: the right columns give way first, name and state stay."""
    canned.answers["GET /containers"] = [
        container(
            "a-quite-long-name-of-a-container", "vm-with-a-name", image="registry.local/team/project/image:1.2.3-rc4"
        ),
        container(
            "容器" * 12,
            "虚拟机",
            image="x",
            ports=[{"private": n, "public": n, "ip": "10.0.0.1"} for n in range(80, 90)],
        ),
    ]

    with Terminal(canned, "ps", columns=columns) as terminal:
        code, shown = terminal.ended()

    lines = plain(shown)
    assert code == 0
    assert all(sum(2 if ord(c) > 0x2E80 else 1 for c in line) <= columns for line in lines)
    assert "NAME" in lines[0] and "STATE" in lines[0] and len(lines) == 3
    assert ("…" in shown) == (columns < 200) or columns == 200


def test_ps_no_trunc_shortens_nothing(canned: Canned) -> None:
    """`--no-trunc` prints every value whole on a terminal, too."""
    canned.answers["GET /containers"] = [container("n" * 100)]

    with Terminal(canned, "ps", "--no-trunc", columns=60, lines=20) as terminal:
        assert "n" * 100 in terminal.ended()[1]


def test_colours_are_for_terminals_that_want_them(canned: Canned) -> None:
    """A state is coloured on a terminal, and not when NO_COLOR is set or the terminal is dumb."""
    canned.answers["GET /containers"] = [container()]

    def shown(**more: str) -> str:
        with Terminal(canned, "ps", more=more) as terminal:
            return terminal.ended()[1]

    assert "\x1b[32mrunning\x1b[0m" in shown()
    assert "\x1b" not in shown(NO_COLOR="1")
    assert "\x1b" not in shown(TERM="dumb")


@pytest.mark.parametrize("format", ["table", "json"])
def test_hostile_names_cannot_command_the_terminal(canned: Canned, format: str) -> None:
    """No control character of a guest's text reaches the output, in tables and in JSON alike; JSON stays the same."""
    hostile = "a\x1b]0;owned\x07\u202eb\x9b31m\nc\u2028\x7f"
    records = [container(hostile, hostile, image=hostile)]
    canned.answers["GET /containers"] = records

    done = run(canned, "ps", "--format", format)

    assert not set(done.stdout) & set("\x1b\x07\u202e\x9b\u2028\x7f\r")
    assert done.stdout.count("\n") == (2 if format == "table" else 1)
    assert format == "table" or json.loads(done.stdout) == records


def test_vms_lists_states_counts_and_problems(canned: Canned) -> None:
    """`vms` shows how each VM stands; of a stale one nobody claims how many containers run."""
    broken = vm(
        "vm2", "broken", stale=True, containers={"total": 4, "running": 0, "stale": 4}, problem={"code": "refused"}
    )
    canned.answers["GET /vms"] = [broken, vm("vm1")]

    lines = run(canned, "vms").stdout.splitlines()

    assert lines[0].split() == ["NAME", "STATE", "CONTAINERS", "POOL", "HOST", "ADDRESS", "PROBLEM", "ID"]
    assert re.match(r"vm1   live    3, 2 running  lab   host1  10.0.0.7  -        vm1-uuid$", lines[1])
    assert re.match(r"vm2   broken  4, unknown .* refused  vm2-uuid$", lines[2])


def test_vms_tells_by_which_id_one_can_be_named(canned: Canned) -> None:
    """As much as names it, all of it with --no-trunc; where there is little room it gives way first."""
    uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    canned.answers["GET /vms"] = [vm("vm1", id=uuid)]

    assert run(canned, "vms").stdout.split()[-1] == uuid[:8]
    assert run(canned, "vms", "--no-trunc").stdout.split()[-1] == uuid
    with Terminal(canned, "vms", columns=50) as terminal:
        assert "ID" not in terminal.ended()[1].split()


def test_vms_json_and_sort(canned: Canned) -> None:
    """`vms --format json` prints one list, in the order that was asked for."""
    canned.answers["GET /vms"] = [vm("a"), vm("b")]

    listed = json.loads(run(canned, "vms", "--format", "json", "--sort", "-name").stdout)

    assert [one["name"] for one in listed] == ["b", "a"]
    assert run(canned, "vms", "--sort", "colour").returncode == 2


def test_search_shows_vms_and_containers(canned: Canned) -> None:
    """`search` joins its words to one search and shows both kinds that were found."""
    canned.answers["GET /search"] = {"vms": [vm()], "containers": [container()]}

    done = run(canned, "search", "nginx", "port:80")

    assert canned.asked[0].query["q"] == ["nginx port:80"]
    assert "CONTAINERS" in done.stdout and "IMAGE" in done.stdout


def test_search_says_when_nothing_matches(canned: Canned) -> None:
    """A search that finds nothing says so and is no failure."""
    canned.answers["GET /search"] = {"vms": [], "containers": []}

    assert (run(canned, "search", "nothing").stdout, run(canned, "search", "nothing").returncode) == (
        "Nothing matches.\n",
        0,
    )


def test_tree_draws_every_level(canned: Canned) -> None:
    """`tree` shows pool, host, VM and container below each other, and stale ones as unknown."""
    branch = vm("vm1") | {"containers": [container("a"), container("b", stale=True)]}
    off = vm("vm2", "off") | {"containers": []}
    canned.answers["GET /tree"] = [
        {"name": "lab", "live": True, "hosts": [{"name": "host1", "vms": [branch]}], "vms": [off]}
    ]

    assert run(canned, "tree").stdout.splitlines() == [
        "pool lab",
        "├─ host host1",
        "│  └─ vm1  live",
        "│     ├─ a  running  nginx:1.27",
        "│     └─ b  unknown (was running)  nginx:1.27",
        "└─ on no host",
        "   └─ vm2  off",
    ]


def test_inspect_prints_a_list_of_what_the_engines_say(canned: Canned) -> None:
    """`inspect` resolves names, asks each engine, and prints one JSON list, harmless for terminals."""
    canned.answers["GET /containers/match"] = [{"id": "u 1/abc", "name": "web", "vm_name": "vm1"}]
    canned.answers["GET /containers/u%201/abc/inspect"] = {"Id": "abc", "Env": ["A=\x1b[2J"]}

    done = run(canned, "inspect", "vm1/web")

    assert json.loads(done.stdout) == [{"Id": "abc", "Env": ["A=\x1b[2J"]}]
    assert "\x1b" not in done.stdout
    assert canned.asked[0].query["name"] == ["vm1/web"]


USED = {
    "cpu_percent": 12.34, "cpus": 2, "memory_bytes": 5 * 2**20, "memory_limit_bytes": 2**31,
    "network_received_bytes": 900, "network_sent_bytes": 2048, "processes": 3,
}  # fmt: skip


def test_stats_prints_what_containers_take(canned: Canned) -> None:
    """A row for each, in order, with a dash for what an engine does not tell; hostile names do no harm."""
    canned.answers["GET /containers/stats"] = [
        {"name": "web\x1b[2J", "vm_name": "vm2", "ok": True, "usage": {"memory_bytes": 1023, "disk_read_bytes": 2**50}},
        {"name": "web", "vm_name": "vm1", "ok": True, "usage": USED},
    ]

    done = run(canned, "stats", "web*", "vm1/web")

    assert done.stdout.splitlines() == [
        "NAME     VM   CPU %  OF CPUS  MEMORY   LIMIT    RECEIVED  SENT     READ     WRITTEN  PROCESSES",
        "web      vm1  12.3   2        5.0 MiB  2.0 GiB  900 B     2.0 KiB  -        -        3",
        "web?[2J  vm2  -      -        1023 B   -        -         -        1.0 PiB  -        -",
    ]
    assert canned.asked[0].query["name"] == ["web*", "vm1/web"]


@pytest.mark.parametrize(
    ("others", "code"), [([], 1), ([{"name": "b", "vm_name": "vm1", "ok": True, "usage": USED}], 4)]
)
def test_stats_says_why_there_are_none(canned: Canned, others: list[dict[str, Any]], code: int) -> None:
    """In a line for each such container, and by the exit code."""
    failed = {"name": "a", "vm_name": "vm1", "ok": False, "code": "vm-not-live", "message": "vm1 is not\nconnected."}
    canned.answers["GET /containers/stats"] = [failed, *others]

    done = run(canned, "stats", "vm1/*")

    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (
        code,
        "vm1/a: vm1 is not?connected.\n",
        2 * len(others),
    )


def test_stats_tells_of_a_silent_vm_once(canned: Canned) -> None:
    """Not once for each of its containers."""
    canned.answers["GET /containers/stats"] = [
        {"name": name, "vm_name": "vm1", "ok": False, "code": "path-silent", "message": "Nothing came."}
        for name in ("a", "b")
    ]

    assert run(canned, "stats", "vm1/*").stderr == "vm1 (2 containers): Nothing came.\n"


def test_stats_without_names_means_all(canned: Canned) -> None:
    """And says why there are none, in JSON with an empty list."""
    canned.answers["GET /containers/stats"] = [{"name": "web", "vm_name": "vm1", "ok": True, "usage": USED}]
    assert run(canned, "stats").returncode == 0
    assert canned.asked[0].query["name"] == ["*/*"]

    canned.answers["GET /containers/stats"] = problem(404, "no-such-container", "No container is called */*.")
    canned.answers["GET /vms"] = []
    canned.answers["GET /pools"] = []
    done = run(canned, "stats", "--format", "json")
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert "`roadstead pool add URL`" in done.stderr
    assert run(canned, "stats", "*/*").returncode == 3


def test_stats_says_that_it_waits(canned: Canned) -> None:
    """Whoever looks at a VM whose network was cut learns at once that something is under way."""
    goes_on = threading.Event()

    def slow(_: Asked) -> Any:
        assert goes_on.wait(LIMIT_SECONDS)
        return [{"name": "web", "vm_name": "vm1", "ok": True, "usage": USED}]

    canned.answers["GET /containers/stats"] = slow
    with Terminal(canned, "stats", "vm1/*") as terminal:
        terminal.wait_for("Waiting for the engines of vm1/* to answer …")
        goes_on.set()
        assert terminal.ended()[0] == 0


def test_version_tells_of_both_sides(canned: Canned) -> None:
    """`version` names program and server; without a server it still does its part."""
    canned.answers["GET /health"] = {"version": "9.9", "uptime_seconds": 70, "pools": 1, "vms": 2, "containers": 3}

    done = run(canned, "version")
    alone = run(None, "--server", "unix:/nonexistent/socket", "version")

    assert "9.9" in done.stdout and "1 pool, 2 VMs, 3 containers" in done.stdout
    assert alone.returncode == 0 and "none at unix:/nonexistent/socket" in alone.stdout


def test_a_reader_that_has_seen_enough_ends_the_output_quietly(canned: Canned) -> None:
    """`roadstead ps | head` ends without a word about the broken pipe."""
    canned.answers["GET /containers"] = [container(f"c{n}") for n in range(5000)]

    done = run_shell(canned, "roadstead ps | head -1")

    assert done.stdout.startswith("NAME") and done.stderr == ""


@pytest.mark.parametrize("words", ["ps", "vms", "--help", "ps --help"])
def test_output_that_finds_no_room_is_told_in_words(canned: Canned, words: str) -> None:
    """A full disk ends a command with a sentence and 1; an output that nobody opened is no failure."""
    canned.answers["GET /containers"] = [container()]
    canned.answers["GET /vms"] = [vm()]

    full = run_shell(canned, f"roadstead {words} >/dev/full")
    closed = run_shell(canned, f"roadstead {words} >&-")

    assert (full.returncode, full.stderr) == (1, "Error: The output cannot be written: no space left on device.\n")
    assert (closed.returncode, closed.stderr) == (0, "")


def test_names_are_utf_8_whatever_the_locale(canned: Canned) -> None:
    """A name with spaces and umlauts is asked for as it was typed; bytes that are no text name nothing."""
    name = "Büro Süd 1"
    canned.answers["GET /vms/B%C3%BCro%20S%C3%BCd%201/why"] = {"name": name, "state": "live"}
    plain_c = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    for more in ({}, plain_c):
        done = run(canned, "why", name, **more)
        assert done.returncode == 0 and done.stdout.endswith("d 1: live\n")
    missing = run(canned, "why", "B\udcffro")

    assert (missing.returncode, canned.asked[-1].path) == (1, "/vms/B%FFro/why")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(422, "filter-invalid", "The filter does not make sense at x:.", "Write terms as field:value."), 2),
        (problem(500, "internal", "Roadstead made a mistake; its log tells more.", "Report it."), 1),
        (Raw(b"<html>nginx</html>"), 5),
        (Raw(b"<html>nginx</html>", 502), 5),
        (Raw(b'{"not": "a list"}'), 5),
    ],
)
def test_bad_answers_are_told_in_words(canned: Canned, answer: object, code: int) -> None:
    """Whatever the server answers, there is a sentence on stderr, nothing on stdout, and the code of its kind."""
    canned.answers["GET /containers"] = answer

    done = run(canned, "ps")

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
