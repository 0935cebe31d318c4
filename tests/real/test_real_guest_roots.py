"""Guests with files of their own: what they change is theirs and stays; what they were made from is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead.lab.guests.real import Kind, RealGuests

pytestmark = pytest.mark.real

MADE = "etc/made-in-a-guest"


async def test_a_guest_sees_its_root_and_cannot_change_it(tmp_path: Path) -> None:
    """Here it is made from this machine's own files, because others may not be there."""
    maker = RealGuests(tmp_path / "guests", kind=Kind(root=Path("/")))
    guest = await maker.make("rooted", 1, 2)
    try:
        await guest.start()
        await guest.inside("sh", "-c", f"echo here >/{MADE}")
        assert {entry["name"] for entry in await guest.truth()} == {recipe.name for recipe in guest.recipes}
        await guest.stop()
        await guest.start()

        assert await guest.inside("cat", f"/{MADE}") == "here\n"
        assert "overlay" in await guest.inside("sh", "-c", "grep ' / ' /proc/mounts")
        assert not Path("/", MADE).exists()
    finally:
        await maker.close()
