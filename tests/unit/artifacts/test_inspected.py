"""What XenCenter shows of one container reads right there, whatever the engine says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from roadstead.artifacts import inspected
from tests.unit.artifacts import xencenter

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=12), inner, max_size=3)),
    max_leaves=20,
)


def test_an_inspection_is_a_tree() -> None:
    """Names of elements where they can be, attributes where not; lists as items; words as Python writes them."""
    value: dict[str, Any] = {
        "Id": "4f1c",
        "Config": {"ExposedPorts": {"80/tcp": {}}, "Cmd": ["nginx"], "Tty": False, "User": None},
    }

    assert inspected.docker_inspect(value) == (
        '<?xml version="1.0" ?><docker_inspect><Id>4f1c</Id><Config><ExposedPorts>'
        '<SPECIAL_XS_ENCODED_ELEMENT name="80/tcp"/></ExposedPorts><Cmd><item>nginx</item></Cmd><Tty>False</Tty>'
        "<User>None</User></Config></docker_inspect>"
    )


@given(st.dictionaries(st.text(max_size=12), TREES, max_size=4))
def test_any_inspection_can_be_read(value: dict[str, Any]) -> None:
    """Keys and values of every kind: XenCenter finds as many children as there are."""
    tree = xencenter.tree(inspected.docker_inspect(value))

    assert len(tree) == len(value)


def test_processes_have_the_columns_that_are_read() -> None:
    """As ``ps -ef`` prints them, a command with spaces whole."""
    titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    rows = [["root", "4242", "1", "0", "08:00", "?", "00:00:03", "nginx: master process"]]

    assert xencenter.processes(inspected.docker_top(titles, rows)) == [("4242", "nginx: master process", "00:00:03")]
    assert "<docker_top><item><Process><UID>root</UID><PID>4242</PID>" in inspected.docker_top(titles, rows)


def test_other_engines_have_other_columns() -> None:
    """Podman says COMMAND, Windows has columns that are no names; what is empty is a dash."""
    podman = inspected.docker_top(["USER", "PID", "%CPU", "TIME", "COMMAND"], [["root", "1", "0.0", "0s", "sleep 9"]])
    windows = inspected.docker_top(["Name", "PID", "CPU", "Private Working Set"], [["smss.exe", "8", "", "1 MB"]])

    assert xencenter.processes(podman) == [("1", "sleep 9", "0s")]
    assert xencenter.processes(windows) == [("8", "smss.exe", "-")]
    assert 'name="Private Working Set"' in windows
    assert xencenter.processes(inspected.docker_top([], [])) == []


def test_what_no_client_can_bear_is_a_dash() -> None:
    """A column that would be empty without it, for instance."""
    assert xencenter.processes(inspected.docker_top(["PID", "TIME", "CMD"], [["\uffff", "\x01", "sh"]])) == [
        ("-", "sh", "-")
    ]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=5), st.lists(st.lists(st.text(max_size=8)), max_size=4))
def test_any_table_of_processes_can_be_read(titles: list[str], rows: list[list[str]]) -> None:
    """A process for each row, none without the three columns."""
    assert len(xencenter.processes(inspected.docker_top(titles, rows))) == len(rows)
