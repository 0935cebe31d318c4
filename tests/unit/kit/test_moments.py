"""Times as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from roadstead.errors import InputError
from roadstead.kit import moments

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-27T13:00:00+02:00", NOW - timedelta(hours=1)),
        ("2026-11-27T12:00:00Z", NOW),
        ("2026-11-27 12:00", NOW),
        ("2026-11-27", NOW - timedelta(hours=12)),
    ],
)
def test_moments_are_read(text: str | None, moment: datetime | None) -> None:
    """As ages, and as dates with and without a zone."""
    assert moments.read("since", text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "soon", "-5m", "5", "5w", "999999999d", "2026-13-01", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_moment_names_the_field(text: str) -> None:
    """And what would be one."""
    with pytest.raises(InputError) as caught:
        moments.read("since", text, NOW)
    assert (caught.value.code, caught.value.fields["field"]) == ("field-invalid", "since")
    assert "10m" in str(caught.value)
