"""The page about the matrix says what the runs have found, of every row."""

from tests.matrix.__main__ import TABLE, last


def test_every_row_was_run_and_stands_in_the_page() -> None:
    """With a mark, and green or explained by what failed."""
    page = TABLE.read_text(encoding="utf-8")
    for outcome in last():
        assert outcome.when, f"{outcome.row.name} was not run: ./scripts/matrix {outcome.row.name}"
        mark = "FAILED" if outcome.failed else "green"
        assert any(line.startswith(f"| {outcome.row.name} |") and f"| {mark} |" in line for line in page.splitlines())
        assert all(f"- {outcome.row.name}: `{name}`" in page for name in outcome.failed)
