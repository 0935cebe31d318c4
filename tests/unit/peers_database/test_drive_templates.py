"""Templates in the database: versions that stay what they are, for all servers that share it, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text, update

from roadstead.errors import ConflictError, PeerError
from roadstead.model import PoolId
from roadstead.peers.database import drive_templates
from roadstead.peers.database.client import Database
from roadstead.peers.database.drive_templates import KEPT_VERSIONS, NewText
from roadstead.peers.database.tables import DriveTemplateRow

POOL, OTHER = PoolId("pool-1"), PoolId("pool-2")


def new(words: str, name: str = "web", after: int | None = None) -> NewText:
    """A version that is to be kept."""
    return NewText(name=name, profile="cloud-config", text=words, who="ann", after=after)


async def opened(folder: Path) -> Database:
    """The database of a server."""
    return await Database.open(folder / "roadstead.db", folder / "secret.key")


async def test_versions_are_kept_and_seen_by_every_server(tmp_path: Path) -> None:
    """What one saves another reads; a former version stays what it was; the same text is no new version."""
    one, other = await opened(tmp_path), await opened(tmp_path)
    assert (await one.templates.add(POOL, new("first"))).version == 1
    assert (await other.templates.add(POOL, new("second"))).version == 2
    assert (await one.templates.add(POOL, new("second"))).version == 2
    newest = await one.templates.text(POOL, "web")
    former = await other.templates.text(POOL, "web", 1)
    assert newest and former
    assert (newest.text, former.text, former.who) == ("second", "first", "ann")
    assert [kept.version for kept in await one.templates.versions(POOL, "web")] == [2, 1]
    assert [(kept.name, kept.version) for kept in await other.templates.newest(POOL)] == [("web", 2)]
    assert await one.templates.text(OTHER, "web") is None
    assert await one.templates.text(POOL, "web", 9) is None
    assert await one.templates.remove(POOL, "web")
    assert not await other.templates.remove(POOL, "web")
    await one.close()
    await other.close()


async def test_who_edited_an_older_version_is_told(tmp_path: Path) -> None:
    """Nobody's text is overwritten unseen: of a new template as well."""
    kept = await opened(tmp_path)
    await kept.templates.add(POOL, new("first", after=0))
    await kept.templates.add(POOL, new("second", after=1))
    for after in (0, 1, 3):
        with pytest.raises(ConflictError) as caught:
            await kept.templates.add(POOL, new("third", after=after))
        assert (caught.value.code, caught.value.fields["version"]) == ("drive-template-changed", "2")
    await kept.close()


async def test_number_of_versions_and_templates_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest versions go; a template more than fit is refused, a version of one that is there is not."""
    monkeypatch.setattr(drive_templates, "MOST_TEMPLATES", 2)
    kept = await opened(tmp_path)
    for number in range(KEPT_VERSIONS + 3):
        await kept.templates.add(POOL, new(f"text {number}"))
    versions = [one.version for one in await kept.templates.versions(POOL, "web")]
    assert versions == list(range(KEPT_VERSIONS + 3, 3, -1))
    await kept.templates.add(POOL, new("a", "db"))
    with pytest.raises(ConflictError, match="2 templates"):
        await kept.templates.add(POOL, new("a", "third"))
    await kept.templates.add(POOL, new("b", "db"))
    await kept.templates.add(OTHER, new("a", "third"))
    await kept.close()


async def test_texts_are_sealed_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    """A copy of the database betrays no text; one that was moved to another version is not taken for it."""
    kept = await opened(tmp_path)
    await kept.templates.add(POOL, new("password: hunter2"))
    await kept.templates.add(POOL, new("other"))
    async with kept._session() as session:  # noqa: SLF001 - what an attacker would do
        rows = (await session.execute(text("select version, sealed_text from drive_templates"))).all()
        assert all(b"hunter2" not in sealed for _, sealed in rows)
        await session.execute(update(DriveTemplateRow).values(text=dict(map(tuple, rows))[1]))
        await session.commit()
    with pytest.raises(PeerError, match="version 2 of the template web is damaged"):
        await kept.templates.text(POOL, "web")
    await kept.close()


async def test_they_go_with_their_pool(tmp_path: Path) -> None:
    """A pool that is removed leaves none behind."""
    kept = await opened(tmp_path)
    await kept.templates.add(POOL, new("a"))
    await kept.templates.add(OTHER, new("a"))
    await kept.remove_pool(POOL)
    assert not await kept.templates.newest(POOL)
    assert len(await kept.templates.newest(OTHER)) == 1
    await kept.close()
