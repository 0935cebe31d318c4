"""Templates that are saved: what is wrong with one is named, and nothing of it is kept."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from roadstead.act.audit import Audit
from roadstead.act.drives import templates
from roadstead.act.drives.templates import NewTemplate
from roadstead.artifacts import user_data
from roadstead.errors import InputError, NotFoundError
from roadstead.model import PoolId
from roadstead.settings.schema import AuditSettings
from tests.unit.fakes.databases import FakeDatabase

POOL = PoolId("pool-1")
TEXT = "#cloud-config\nhostname: %VMNAMETOHOSTNAME%\nssh_authorized_keys:\n  - ssh-rsa %CONTAINERRSAPUB% x\n"


@pytest.mark.parametrize(
    ("name", "text", "profile", "code", "fields"),
    [
        ("Web", TEXT, "", "field-invalid", {"field": "name"}),
        ("../x", TEXT, "", "field-invalid", {"field": "name"}),
        ("flatcar", TEXT, "ignition", "field-invalid", {"field": "profile"}),
        ("web", "", "", "config-invalid", {"line": "1"}),
        ("web", "#cloud-config\nhostname: a\nb: [\n", "", "config-invalid", {"line": "4"}),
        ("web", '{"ignition": {}}', "ignition", "config-invalid", {"line": "1"}),
        ("web", TEXT, "ignition", "config-invalid", {"line": "1"}),
        ("flatcar", TEXT + "# %TYPO%\n", "", "token-unknown", {"token": "TYPO", "line": "5"}),
        ("web", TEXT + "%HIN%\n", "", "config-invalid", {"line": "5"}),
        ("web", "#!/bin/sh\n" + "x" * templates.TEXT_BYTES, "", "config-too-large", {}),
    ],
)
async def test_what_no_drive_could_be_made_of_is_not_kept(
    name: str, text: str, profile: str, code: str, fields: dict[str, str]
) -> None:
    """The field, or the line, is named; nothing is kept."""
    database = FakeDatabase()
    kept = cast("Any", database)
    known = templates.Templates(kept.templates, Audit(kept, AuditSettings()))
    with pytest.raises(InputError) as caught:
        await known.save(POOL, name, NewTemplate(text=text, profile=profile))
    assert caught.value.code == code
    assert {key: caught.value.fields[key] for key in fields} == fields
    assert all(one.version == 0 for one in await known.listed(POOL))
    with pytest.raises(NotFoundError):
        await known.text(POOL, "web")


async def test_a_text_is_judged_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long one takes a second."""
    judging: list[int] = []
    judge = user_data.findings

    def noted(*given: str) -> list[user_data.Finding]:
        judging.append(threading.get_ident())
        return judge(*given)

    monkeypatch.setattr(user_data, "findings", noted)
    kept = cast("Any", FakeDatabase())
    known = templates.Templates(kept.templates, Audit(kept, AuditSettings()))
    await known.save(POOL, "web", NewTemplate(text=TEXT))
    await known.text(POOL, "web")
    await known.text(POOL, "cloud-config")
    assert len(judging) > 2 and threading.get_ident() not in judging


@pytest.mark.parametrize(("name", "profile"), [("web", "ignition"), ("flatcar", "")])
async def test_all_faults_are_told_at_once(name: str, profile: str) -> None:
    """As `validate` tells them: the first one's place as fields, the others' in words, and not without an end."""
    kept = cast("Any", FakeDatabase())
    known = templates.Templates(kept.templates, Audit(kept, AuditSettings()))
    text = TEXT + "b: [\n# %TYPO%\n" if name == "flatcar" else TEXT + "b: [\n"
    found = [one for one in user_data.findings(text, profile or name) if one.severity == "error"]
    assert len(found) > 1
    with pytest.raises(InputError) as caught:
        await known.save(POOL, name, NewTemplate(text=text, profile=profile))
    assert caught.value.code == "config-invalid"
    assert all(one.message in caught.value.cause for one in found)
    many = TEXT + "".join(f"# %TYPO{number}%\n" for number in range(100))
    with pytest.raises(InputError, match=r"%TYPO0%.*%TYPO1%.* more, which `roadstead config-drive validate` tells\."):
        await known.save(POOL, "flatcar", NewTemplate(text=many))
