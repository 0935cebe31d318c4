"""Errors: few classes, one table of codes, texts that are whole and harmless."""

import inspect
import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead import errors
from roadstead.errors import CODES, InputError, NotFoundError, PeerError, RoadsteadError, codes, explained, tame

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
MOST_CLASSES = 25
HOSTILE = st.text(st.characters(exclude_categories=()), max_size=2000)


def _fields(code: str) -> list[str]:
    row = CODES[code]
    return [
        name for text in (row.cause, row.remedy) for _, name, *_ in string.Formatter().parse(text) if name is not None
    ]


def test_there_are_few_classes() -> None:
    """Codes tell errors apart; classes only say how to treat them."""
    assert len(CLASSES) <= MOST_CLASSES


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_tree_is_drawn(kind: type[Exception]) -> None:
    """Every class stands in the module's picture and under the common root."""
    assert kind.__name__ in (errors.__doc__ or "")
    assert issubclass(kind, RoadsteadError)


def test_outages_can_be_told_from_everything_else() -> None:
    """What `kit.keep` retries is what something outside did; wrong input and a wrong state are not."""
    outages = {kind.__name__ for kind in CLASSES if issubclass(kind, PeerError)}
    assert outages == {"PeerError", "PoolError", "LinkError", "EngineError", "ServerError"}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_a_whole_row(code: str) -> None:
    """A stable name, a status of an error, a cause and a remedy in whole sentences."""
    row = CODES[code]
    assert set(code) <= set(string.ascii_lowercase + "-")
    assert 400 <= row.status <= 599
    for text in (row.cause, row.remedy):
        assert text[0].isupper() or text[0] in "{`"
        assert text.endswith((".", "?", "!"))
        assert "  " not in text
        assert text.isprintable()


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_remedy_is_something_to_do(code: str) -> None:
    """A remedy is an act or says that none is needed; it never sends the reader to a message that he has not got."""
    row = CODES[code]
    assert "message" not in row.remedy
    assert not row.remedy.startswith("See ")


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_fields_of_every_row_can_be_filled(code: str) -> None:
    """Placeholders are plain names; filled, nothing of their braces is left."""
    names = _fields(code)
    assert all(name.isidentifier() for name in names)
    error = RoadsteadError(code, **{name: f"<{name}>" for name in names if name != "code"})
    assert "{" not in str(error)
    assert "…" not in str(error)
    for name in names:
        assert f"<{name}>" in str(error)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_field_that_nobody_gave_hides_no_text(code: str) -> None:
    """A mistake in raising an error costs a word, never the sentence."""
    error = RoadsteadError(code)
    assert "{" not in str(error)
    assert ("…" in str(error)) == bool(_fields(code))


def test_no_code_has_two_meanings() -> None:
    """The table is put together of parts: of two rows with one code the later would silently be the only one."""
    tables = [value for name, value in vars(codes).items() if name.isupper() and name != "CODES" and value]
    named = [code for table in tables if isinstance(table, dict) for code in table]
    assert sorted(named) == sorted(CODES)


def test_an_unknown_code_is_a_mistake() -> None:
    """There are no codes beside the table."""
    with pytest.raises(KeyError):
        _ = RoadsteadError("no-such-code").cause


def test_records_that_kept_code_and_fields_read_the_same() -> None:
    """`explained` gives the texts that the error had."""
    error = RoadsteadError("refused", port=22, addresses="192.0.2.1")
    assert explained(error.code, error.fields) == (error.cause, error.remedy)
    assert error.status == CODES["refused"].status


def test_a_field_is_text_and_never_a_template() -> None:
    """Foreign text with braces is shown as it is: nothing in it is looked up."""
    error = RoadsteadError("engine-refused", reason="{secret} {0} {reason.__class__} %s")
    assert "{secret} {0} {reason.__class__} %s" in error.cause


@given(HOSTILE)
def test_foreign_text_in_a_field_is_tamed(text: str) -> None:
    """One line of bounded length, without controls, marks of direction or surrogates."""
    shown = RoadsteadError("engine-refused", reason=text).fields["reason"]
    assert len(shown) <= errors.FIELD_CHARACTERS
    assert shown.isprintable()
    shown.encode()
    assert shown == shown.strip()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("a\x1b[31mb", "a [31mb", id="escape"),
        pytest.param("a\r\nb", "a  b", id="lines"),
        pytest.param("a\u202eb", "a b", id="direction"),
        pytest.param("a\ud800b", "a b", id="surrogate"),
        pytest.param(22, "22", id="number"),
        pytest.param("x" * 257, "x" * 255 + "…", id="long"),
        pytest.param("x" * 256, "x" * 256, id="just-fits"),
    ],
)
def test_taming(value: object, shown: str) -> None:
    """What taming makes of single cases."""
    assert tame(value) == shown


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_to_another_process(kind: type[RoadsteadError]) -> None:
    """Pickled and read again it is the same error."""
    error = kind("no-such-vm", name="web")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert (copy.code, copy.fields, str(copy)) == (error.code, error.fields, str(error))


def test_candidates_survive_it_too() -> None:
    """They stay a list, however many there are besides."""
    error = NotFoundError("ambiguous-name", candidates=["web-1", "web-2"], more=3, name="web", count=5, kind="VM")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert copy.candidates == ("web-1", "web-2")
    assert copy.fields["candidates"] == "web-1, web-2, and 3 more"
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(["a", "b"], ("a", "b"), id="list"),
        pytest.param("abc", ("abc",), id="one-string-is-one-candidate"),
        pytest.param((), (), id="none"),
        pytest.param(["a\x1bb"], ("a b",), id="tamed"),
    ],
)
def test_candidates(given: list[str], expected: tuple[str, ...]) -> None:
    """Names that may have been meant are told one by one, and stand in the text only when there are some."""
    error = InputError("ambiguous-name", candidates=given)
    assert error.candidates == expected
    assert ("candidates" in error.fields) == bool(expected)


def test_a_name_with_a_space_can_be_copied_with_its_command() -> None:
    """In commands it is one word of a shell, elsewhere it stands as it is; a plain one is quoted nowhere."""
    error = InputError("no-such-config-drive", vm="Übung 1")
    assert error.cause == "Übung 1 has no config drive."
    assert error.remedy == "`roadstead config-drive create 'Übung 1'` makes one."
    assert explained("vm-not-enabled", {"vm": "it's; rm"})[1] == """Enable it with `roadstead enable 'it'"'"'s; rm'`."""
    assert "enable Übung-1`" in explained("vm-not-enabled", {"vm": "Übung-1"})[1]
    assert "enable …`" in explained("vm-not-enabled", {})[1]


@pytest.mark.parametrize("code", CODES)
def test_every_command_of_the_texts_has_an_end(code: str) -> None:
    """A backtick without the other would have names quoted where no command stands."""
    assert not [text for text in (CODES[code].cause, CODES[code].remedy) if text.count("`") % 2]
