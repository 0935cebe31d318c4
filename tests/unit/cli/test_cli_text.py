"""Cells, tables and words: the pure parts of the output."""

import shlex
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.cli.api.views import Container, Port
from roadstead.cli.display import cells, output, rows, table, words
from roadstead.cli.display.notes import Note, fitted

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", 3), ("容器", 4), ("e\u0301", 1), ("\uff71", 1), ("\uff21", 2), ("", 0)]
)
def test_width_is_counted_in_cells(text: str, expected: int) -> None:
    """A wide character takes two cells, a combining one none."""
    assert cells.width(text) == expected


@given(st.text(max_size=30), st.integers(0, 40))
def test_shortened_text_fits(text: str, room: int) -> None:
    """Shortened text is never wider than its room, and untouched when it fits."""
    short = cells.shortened(text, room)

    assert cells.width(short) <= room
    assert short == text or cells.width(text) > room


@given(st.lists(st.text(max_size=20), max_size=5))
def test_cleaned_text_is_one_printable_line(values: list[str]) -> None:
    """Whatever guests call things, no cleaned cell holds a control character or a line break."""
    cleaned, plain = cells.cleaned(values)

    assert all(value.isprintable() or " " in value or value.strip() for value in cleaned)
    assert not any(set(value) & set("\x00\x07\x1b\n\r\t\x7f\x85\x9b\u2028\u202e") for value in cleaned)
    assert not plain or all(value.isascii() for value in cleaned)


@given(
    st.lists(st.builds(table.Size, st.integers(1, 60), st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=9),
    st.integers(4, 250),
)
def test_columns_find_room_or_are_left_out(sizes: list[table.Size], room: int) -> None:
    """Columns together, with the mark of those left out, are never wider than the terminal; the less important go."""
    chosen = table.fitted(sizes, room)

    left_out = set(range(len(sizes))) - set(chosen)
    mark = 3 if left_out else 0
    assert chosen
    assert sum(chosen.values()) + len(table.GAP) * (len(chosen) - 1) + mark <= room
    assert len(chosen) == 1 or all(width <= sizes[at].widest for at, width in chosen.items())
    assert all(sizes[gone].rank >= sizes[at].rank for gone in left_out for at in chosen)


def test_what_a_container_was_and_when_comes_before_what_it_is() -> None:
    """On 60 columns a row that is not heard keeps its names, what it was and as of when; other columns give way."""
    lost = Container(
        id="v/1", name="worker-queue", vm_name="queue-1", image="lab/busybox:1", state="running", stale=True,
        as_of=NOW - timedelta(minutes=9), created=NOW - timedelta(days=9),
    )  # fmt: skip
    heading, row = table.lines(rows.columns([lost], NOW), 59)

    assert heading.split() == ["NAME", "VM", "STATE", "STATUS", "…"]
    assert row.split("  ") == ["worker-qu…", "queue…", "unknown (was running)", "as of 9 min …"]


def test_a_wide_terminal_shortens_nothing() -> None:
    """Where there is room every column has its natural width."""
    sizes = [table.Size(30), table.Size(20), table.Size(10)]

    assert table.fitted(sizes, 64) == {0: 30, 1: 20, 2: 10}
    assert table.fitted(sizes, 63) == {0: 29, 1: 20, 2: 10}


def test_a_column_that_is_left_out_leaves_a_mark() -> None:
    """The heading ends in an ellipsis where columns found no room; the others keep their places."""
    columns = [table.Column(title, ["x" * 20], rank=rank) for title, rank in (("A", 0), ("B", 2), ("C", 1))]

    assert list(table.lines(columns, 21)) == ["A         C         …", "xxxxxxx…  xxxxxxx…"]
    assert next(table.lines(columns, 30)).split() == ["A", "B", "C"]


def test_words_are_not_broken_where_that_can_be() -> None:
    """Text ends between two words, unless that would lose half of it; a name that is one word is cut where it must."""
    assert cells.shortened("up 9 d, healthy", 12) == "up 9 d, …"
    assert cells.shortened("a bcdefghijklmnop", 10) == "a bcdefgh…"
    assert cells.shortened("one two", 4) == "one…"
    assert cells.shortened("容器 abc defgh", 11) == "容器 abc …"


@pytest.mark.parametrize("room", [20, 40, 60, 80, 120])
def test_what_is_copied_is_never_cut(room: int) -> None:
    """A code, a fingerprint: whole in a column, or in a block for each row where the terminal has no room for it."""
    code, key, long = "guest-host-key-differs", "SHA256:" + "x" * 43, "a sentence that says why this is so"

    made = [
        table.Column("VM", ["web-1", "web-2"]),
        table.Column("RESULT", [f"failed: {code}", "prepared"], whole=True),
        table.Column("KEY", [key, "-"], whole=True),
        table.Column("REASON", [long, "-"], rank=1),
    ]
    lines = list(table.lines(made, room))

    shown = [word for line in lines for word in line.split()]
    assert {code, key, "web-1", "web-2", "prepared"} <= set(shown)
    assert not [line for line in lines if len(line) > room and key not in line and code not in line]
    assert lines[0].startswith("VM ") == (room >= 100)
    assert room >= 100 or " ".join(shown).count(long) == 1


def test_piped_values_are_whole_and_padding_is_bounded() -> None:
    """Without a width no value is cut, and one long value does not make every row long."""
    long = "x" * 500

    made = list(table.lines([table.Column("A", ["a", long]), table.Column("B", ["1", "2"])], None))

    assert made[1].endswith("  1") and len(made[1]) == table.PADDING_CELLS + 3
    assert made[2] == f"{long}  2"


def test_piped_columns_stay_aligned_beside_long_names() -> None:
    """An image that is named with its digest shifts no column."""
    image = "registry.example.org/team/project/image@sha256:" + "0" * 64

    made = list(table.lines([table.Column("IMAGE", ["busybox", image]), table.Column("B", ["1", "2"])], None))

    assert [len(line) for line in made] == [len(image) + 3] * 3


def test_wide_characters_keep_columns_aligned() -> None:
    """The second column begins in the same cell in every row."""
    made = list(table.lines([table.Column("NAME", ["容器", "abc"]), table.Column("B", ["1", "2"])], 40))

    assert [cells.width(line[: line.rindex(line[-1])]) for line in made] == [6, 6, 6]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172800, "2 d"),
        (60 * 86400, "2 mo"),
        (3 * 365 * 86400, "3 y"),
    ],
)
def test_spans_have_the_unit_that_says_enough(seconds: int, expected: str) -> None:
    """Ages grow from seconds to years; two clocks that differ give no negative age."""
    assert words.span(seconds) == expected


@pytest.mark.parametrize(
    ("container", "state", "status"),
    [
        (
            Container(state="running", started=NOW - timedelta(hours=5), health="unhealthy"),
            "running",
            "up 5 h, unhealthy",
        ),
        (Container(state="running"), "running", "up"),
        (Container(state="paused", started=NOW - timedelta(days=3)), "paused", "up 3 d"),
        (Container(state="exited", exit_code=0), "exited", "exit code 0"),
        (Container(state="created", exit_code=0), "created", "-"),
        (
            Container(state="running", stale=True, as_of=NOW - timedelta(minutes=9)),
            "unknown (was running)",
            "as of 9 min ago",
        ),
        (Container(state="", stale=True), "unknown (was unknown)", "as of an unknown time"),
    ],
)
def test_states_claim_no_more_than_is_known(container: Container, state: str, status: str) -> None:
    """State and status say what is known: since when, how it ended, or only as of when."""
    assert (words.state(container), words.status(container, NOW)) == (state, status)


def test_ports_read_like_dockers() -> None:
    """A port published on every address is written once, without the address; others with it."""
    every = (Port(80, "tcp", 8080, "0.0.0.0"), Port(80, "tcp", 8080, "::"), Port(53, "udp"), Port(1, "tcp", 2, "::1"))

    assert words.ports(every) == "8080->80/tcp, 53/udp, [::1]:2->1/tcp"
    assert words.ports(()) == "-"


def test_names_are_listed_to_a_limit() -> None:
    """A long list of names is cut, and says how many are missing."""
    assert words.listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert words.listed(["a"], 2) == "a"


@given(st.text())
def test_safe_json_is_the_same_json(text: str) -> None:
    """Escaping what commands a terminal never changes what the JSON says."""
    import json  # noqa: PLC0415

    document = json.dumps({"x": text}, ensure_ascii=False)

    assert json.loads(output.json_safe(document)) == {"x": text}
    assert not set(output.json_safe(document)) & set("\x1b\x7f\x9b\u202e\u2028")


@pytest.mark.parametrize("width", [24, 40, 59, 79, 200])
def test_notes_are_copied_whole(width: int) -> None:
    """However narrow the terminal, what is copied of a command's lines is that command; nothing else is cut either."""
    note = Note("what it does", "roadstead lab enter --state .lab/pool web-1 ip link set eth0 down")
    made = note.lines(width)

    copied = "\n".join(line for line in made if not line.lstrip().startswith("#"))
    assert shlex.split(copied.replace("\\\n", ""), comments=True) == note.command.split()
    assert "# what it does" in "\n".join(made) and max(map(len, made)) <= width
    assert " ".join(Note("a sentence of some length that says much").lines(width)).endswith("says much")


def test_notes_that_find_no_room_are_told() -> None:
    """Those that are shown are whole; of the others there is a line."""
    notes = [Note("", f"command {number}") for number in range(5)]

    assert fitted(notes, 60, 5) == [f"  command {number}" for number in range(5)]
    assert fitted(notes, 60, 3)[:2] == ["  command 0", "  command 1"] and "3 more" in fitted(notes, 60, 3)[2]
    assert fitted(notes, 60, 1) == []
