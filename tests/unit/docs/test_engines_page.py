"""The page about engines names the tests that it promises."""

import re
from pathlib import Path

from docs import generate

PAGE = Path(generate.__file__).parent / "engines.md"
FOLDER = Path(__file__).parents[1] / "peers_engine"
TESTS = tuple(FOLDER / f"test_engine_{part}.py" for part in ("differences", "statistics", "logs"))


def test_every_difference_has_its_test() -> None:
    """Each row names one that exists, and each test is named by one row."""
    named = re.findall(r"\| `(test_\w+)` \|", PAGE.read_text(encoding="utf-8"))
    written = [
        test
        for file in TESTS
        for test in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert sorted(named) == sorted(written)


def test_every_story_of_a_family_is_there() -> None:
    """Each file that the families' table names exists."""
    families = PAGE.read_text(encoding="utf-8").partition("## Guest families")[2]
    named = re.findall(r"`(tests/[\w/]+\.py)`", families)

    assert len(named) > len(TESTS)
    assert not [file for file in named if not (PAGE.parents[1] / file).is_file()]
