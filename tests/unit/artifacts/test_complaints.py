"""The message about an action that failed, in the old pack's form."""

import pytest

from roadstead.artifacts import complaints
from roadstead.errors import EngineError, LinkError


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("driver failed: port is taken: 80", "driver failed"),
        ("no colon at all", complaints.OTHERWISE),
        (": nothing before it", complaints.OTHERWISE),
        ("  : spaces before it", complaints.OTHERWISE),
        ("x" * 200 + ": long", "x" * complaints.TITLE_CHARACTERS),
        ("a\x1b[31mb\n: controls", "a [31mb"),
    ],
)
def test_the_title_is_what_stands_before_the_first_colon(said: str, title: str) -> None:
    """Bounded and clean; the body is all of it, with the HTTP status at its end."""
    complaint = complaints.about(EngineError("engine-refused", reason=said, status=500))
    assert complaint.title == title
    assert complaint.body.endswith(" (500)")
    assert complaint.body.isprintable()


def test_what_is_no_engines_refusal_is_told_in_our_words() -> None:
    """Cause and remedy, and no status that nobody gave."""
    complaint = complaints.about(LinkError("vm-not-live", vm="web"))
    assert complaint == (complaints.OTHERWISE, str(LinkError("vm-not-live", vm="web")))
    assert complaints.about(EngineError("engine-refused", reason="no")).body == "no"


@pytest.mark.parametrize("code", ["engine-refused", "engine-answer-invalid"])
def test_a_secret_in_the_engines_words_is_masked(code: str) -> None:
    """It quotes the command that it could not run, and every account of the pool reads the message."""
    said = 'exec: "app --password=hunter2 --port=80": not found'
    complaint = complaints.about(EngineError(code, reason=said))

    assert "hunter2" not in complaint.title + complaint.body
    assert "--password=******" in complaint.body
    assert "not found" in complaint.body


def test_a_secret_is_not_shown_by_the_title() -> None:
    """Where it stands before the first colon."""
    complaint = complaints.about(EngineError("engine-refused", reason="no --password hunter2 : bad"))
    assert complaint.title == "no --password ******"
