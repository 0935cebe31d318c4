"""The reference pages say what the code says."""

from pathlib import Path

import pytest

from docs import generate
from roadstead.errors import CODES
from roadstead.serve.routes import PREFIX, TABLE
from roadstead.settings.schema import Settings

PAGES = generate.pages()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    """The page in the repository is the one that the code makes (scripts/docs writes it)."""
    assert (Path(generate.__file__).parent / name).read_text(encoding="utf-8") == PAGES[name]


def test_every_code_stands_in_its_page() -> None:
    """Each code of the table is documented, once."""
    assert [code for code in CODES if PAGES["errors.md"].count(f"| `{code}` |") != 1] == []


def test_every_setting_stands_in_its_page() -> None:
    """Each setting is documented with words."""
    for section in Settings.model_fields.values():
        for field, info in getattr(section.annotation, "model_fields", {}).items():
            assert f"| `{field}` |" in PAGES["settings.md"]
            assert info.description


def test_every_route_stands_in_its_page() -> None:
    """Each row of the table of routes is documented."""
    assert [row for row in TABLE if f"### {row.method} {PREFIX}{row.path}\n" not in PAGES["api.md"]] == []


def test_links_inside_the_page_lead_somewhere() -> None:
    """A record that is named is described."""
    text = PAGES["api.md"]
    named = {part.split(")")[0] for part in text.split("](#")[1:]}

    assert named <= {line.removeprefix("### ").lower() for line in text.splitlines() if line.startswith("### ")}


def test_stale_page_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that is not current fails the check, and is then written."""
    monkeypatch.setattr(generate, "HERE", tmp_path)

    assert generate.main(["--check"]) == 1
    assert "docs/api.md" in capsys.readouterr().out
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
