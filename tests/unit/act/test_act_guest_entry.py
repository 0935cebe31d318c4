"""What a guest says of itself goes into its line: one that cannot be handed on is told, and nothing is done."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from roadstead.act.preparing.entry import NOTHING, Guest, Inside
from roadstead.errors import ConflictError
from roadstead.settings.schema import LinkSettings

KEY = f"ssh-rsa {'A' * 40}"


@pytest.mark.parametrize("line", [f"{'a' * 9000} {KEY}", f"it's {KEY}", "restrict"])
async def test_a_line_that_cannot_be_handed_on_is_told(line: str) -> None:
    """With what is left behind, which is nothing."""
    guest = Guest("web", "core", 22, (), LinkSettings())
    inside = Inside(guest, cast("Any", SimpleNamespace(server="")), "10.0.0.1", None)
    with pytest.raises(ConflictError) as caught:
        await inside.put(line, KEY)
    assert caught.value.code == "guest-no-relay"
    assert caught.value.fields["left"] == NOTHING
