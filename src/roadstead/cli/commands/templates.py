"""Templates of config drives: read from files and saved, what the server says of them printed."""

from collections.abc import Sequence

import msgspec

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.template_views import Template, TemplateText
from roadstead.cli.commands import drives
from roadstead.cli.display import output, table, words
from roadstead.errors import InputError
from roadstead.kit.text import terminal_clean

Given = tuple[str, str | None, int | None]
"""File, profile and the version that it was made from, as they stand on the command line."""
_BUILT_IN = {"0 (built in)", "built in", "built-in"}


def show_all(connected: client.Client, pool: str, format: str) -> None:
    """Print the templates of a pool."""
    waiting = connected.ask(_path(pool))
    if format == "json":
        output.write_json(waiting.raw())
        return
    found = waiting.read(list[Template])
    _table(found, table.Column("DEFAULT", ["yes" if one.is_default else "no" for one in found]))


def show(connected: client.Client, pool: str, name: str, version: int | None, format: str) -> None:
    """Print the text of a template."""
    waiting = connected.ask(_path(pool, name), {"version": str(version)} if version is not None else None)
    if format == "json":
        output.write_json(waiting.raw())
    else:
        drives.as_it_is(waiting.read(TemplateText).text)


def save(connected: client.Client, pool: str, name: str, given: Given, format: str) -> None:
    """Save a text; print the version that it is now."""
    file, profile, after = given
    body = {"template": drives.read(file), "profile": profile, "after": after}
    told = {key: value for key, value in body.items() if value is not None}
    saved = connected.post(TemplateText, _path(pool, name), told)
    if format == "json":
        output.write_json(msgspec.json.encode(saved))
    else:
        _say(saved)


def history(connected: client.Client, pool: str, name: str, format: str) -> None:
    """Print the versions of a template."""
    waiting = connected.ask(f"{_path(pool, name)}/versions")
    if format == "json":
        output.write_json(waiting.raw())
    else:
        _table(waiting.read(list[Template]))


def restore(connected: client.Client, pool: str, name: str, version: int) -> None:
    """Make a former version the newest one; one with the text of the newest leaves that as it is."""
    before = connected.get(TemplateText, _path(pool, name))
    restored = connected.post(TemplateText, f"{_path(pool, name)}/restore", {"version": version})
    _say(restored, is_new=(restored.version, restored.text) != (before.version, before.text))


def remove(connected: client.Client, pool: str, name: str, *, yes: bool) -> None:
    """Remove a template, after a question."""
    refusal = InputError("confirmation-needed", candidates=f"the template {name}")
    question = f"Remove the template {terminal_clean(name)} with all its versions?"
    if not yes and not session.agreed(question, refusal=refusal):
        failures.stop()
    left = connected.remove(list[Template], _path(pool, name), confirm=name)
    is_back = any(one.name == name for one in left)
    output.result(name, "removed; the product's own counts again" if is_back else "removed")


def version_of(text: str) -> int:
    """Return the version that is meant: `history` calls the product's own one ``0 (built in)``. Raises `InputError`."""
    if text.strip().lower() in _BUILT_IN:
        return 0
    if not text.isascii() or not text.isdigit():
        raise InputError("field-invalid", field="VERSION", reason=f"{text!r} is no number that `history` shows")
    return int(text)


def _say(saved: TemplateText, *, is_new: bool = True) -> None:
    said = f"is version {saved.version} now" if is_new else f"unchanged: version {saved.version} has this text"
    output.result(saved.name, f"{said} ({saved.profile})")
    if saved.variables:
        names = ", ".join(saved.variables)
        output.write([terminal_clean(f"Drives need values for: {names} (`create --var NAME=VALUE`).")])
    output.write(terminal_clean(f"Warning: {one}") for one in saved.warnings)


def _table(found: Sequence[Template], *more: table.Column) -> None:
    made = [
        table.Column("NAME", [one.name for one in found], least=10),
        table.Column("PROFILE", [one.profile for one in found], whole=True),
        table.Column("VERSION", [str(one.version or "0 (built in)") for one in found], whole=True),
        *more,
        table.Column("SAVED", [words.moment(one.saved) if one.saved else "-" for one in found], whole=True),
        table.Column("BY", [one.who or "-" for one in found]),
        table.Column("BYTES", [str(one.size) for one in found], rank=2, whole=True),
    ]
    output.write(table.lines(made, output.room()))


def _path(pool: str, name: str | None = None) -> str:
    path = f"/pools/{client.part(pool)}/drive-templates"
    return path if name is None else f"{path}/{client.part(name)}"
