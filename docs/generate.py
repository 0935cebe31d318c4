"""Makes the reference pages out of the code that they describe, so that neither can say what the other does not.

``scripts/docs`` writes them, ``scripts/docs --check`` fails when one is out of date.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import json
from pydantic.fields import FieldInfo

import roadstead.app.main  # noqa: F401 - it adds its commands to those of `cli`
from roadstead.cli import document
from roadstead.errors import codes
from roadstead.inventory.search import FIELDS
from roadstead.serve.app import openapi_document
from roadstead.settings.schema import Settings

HERE = Path(__file__).parent
NOTE = "<!-- Made by scripts/docs; change the code instead. -->"
NAME = "#/components/schemas/"


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    return {name: "\n".join([NOTE, *lines()]) + "\n" for name, lines in PAGES.items()}


# ---- errors


def errors() -> Iterator[str]:
    """The codes of errors and problems."""
    yield from (
        "# Errors and problems",
        "",
        "Every failure has a code that stays the same. The API answers with a problem document (RFC 9457) that carries",
        "it, a VM that cannot be watched shows it as its problem, and the result of an operation names it for each",
        "target. Words in braces are filled in.",
    )
    for title, group in GROUPS.items():
        yield from ("", f"## {title}", "", "| code | status | what happened | what to do |", "|---|---|---|---|")
        for code, row in sorted(group.items()):
            yield f"| `{code}` | {row.status} | {cell(row.cause)} | {cell(row.remedy)} |"


GROUPS: dict[str, Mapping[str, codes.Code]] = {
    "Reaching a guest": codes.REACHING_A_GUEST,
    "Reaching its engine": codes.REACHING_AN_ENGINE,
    "Pools": codes.POOLS,
    "Hosts of pools": codes.HOSTS,
    "Preparing a guest": codes.PREPARING,
    "Certificates": codes.CERTIFICATES,
    "What was asked for": codes.INPUT,
    "The plugin's calls": codes.PLUGIN,
    "Config drives": codes.DRIVES,
    "Firewalls": codes.FIREWALL,
    "The server and its clients": codes.RUNNING,
}


# ---- settings


def settings() -> Iterator[str]:
    """The settings of the server."""
    yield from (
        "# Settings",
        "",
        "Read once, when the server starts: defaults, then the settings files (TOML;",
        "`/etc/roadstead/roadstead.toml`, then `$XDG_CONFIG_HOME/roadstead/roadstead.toml`, or the one that `--config`",
        "or `ROADSTEAD_CONFIG` names), then the environment. A setting `field` of a `section` is `field = value`",
        "under `[section]` in a file and `ROADSTEAD_SECTION__FIELD` in the environment.",
    )
    for name, section in Settings.model_fields.items():
        kind = section.annotation
        yield from ("", f"## [{name}]", "", (kind.__doc__ or "").strip(), "")
        yield from ("| setting | default | meaning |", "|---|---|---|")
        for field, info in getattr(kind, "model_fields", {}).items():
            yield f"| `{field}` | `{default(info)}` | {cell(info.description or '')} |"


def default(info: FieldInfo) -> str:
    """Return a default as it is written in TOML."""
    return json.encode(info.default).decode()


# ---- API


def api() -> Iterator[str]:
    """The REST API."""
    described: dict[str, Any] = json.decode(openapi_document())
    yield from (
        "# REST API",
        "",
        "The server answers on its local socket, where the rights of the file decide who may ask, and on loopback with",
        "`Authorization: Bearer TOKEN`. The whole description, for generating clients, is at `/api/v1/openapi.json`.",
        "",
        "Errors are problem documents (RFC 9457) with `code`, `detail`, `remedy`, `fields`, for an ambiguous name",
        "`candidates`, for an unknown one `suggestions`: see [errors](errors.md). Lists carry the header",
        "`Roadstead-Number`: the number of the last change that they contain, for `since=` of the stream of changes.",
        "Times are RFC 3339 in UTC.",
        "",
        "**What cannot be undone is confirmed by naming it.** Where the table of a request has `confirm`, that is",
        "the id of what it is done to (a template has its name), in the query: without it, or with another one,",
        "nothing is done, and the error `confirmation-missing` says in `fields` which `id` is meant, and in `what`",
        "what would be done. Ids, not names: what a name stands for may change. Requests whose body names it",
        "already need no more: the targets of an operation, the VMs that a dropped key loses, the offers in",
        "`agreed` while a VM is prepared (its imported certificates are replaced when `tls-imported` stands there),",
        "the key of a host that is signed in to.",
        "",
        "## Requests",
    )
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield from request(method.upper(), path, operation)
    yield from filters()
    yield from ("", "## Records")
    for name, schema in sorted(described["components"]["schemas"].items()):
        yield from record(name, schema)


def request(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """One request: what it does, what it takes, what it answers."""
    yield from ("", f"### {method} {path}", "", " ".join(operation["description"].split()), "")
    yield f"Permission: {operation['x-permission']}. Answer: {', '.join(answers(operation['responses']))}."
    given = [(each["name"], each["in"], each["description"]) for each in operation.get("parameters", ())]
    if given:
        yield from ("", "| parameter | in | meaning |", "|---|---|---|")
        yield from (f"| `{name}` | {place} | {cell(meaning)} |" for name, place, meaning in given)
    body = operation.get("requestBody")
    if body:
        yield from ("", f"Body: {shape(body['content']['application/json']['schema'])}.")


def answers(responses: Mapping[str, Any]) -> Iterator[str]:
    """What a request is answered with when it was done."""
    for status, response in responses.items():
        if status != "default":
            kinds = [shape(content["schema"]) for content in response.get("content", {}).values()]
            yield " ".join([status, *kinds])


def filters() -> Iterator[str]:
    """The search language."""
    yield from (
        "",
        "## Filters",
        "",
        "`q` is a filter: terms `field:value` and free text with spaces between them, for example",
        "`state:running image:nginx vm:web* -label:env=test`. Values are globs, without regard to case. Values of one",
        "field (`state:running,paused`, or the field named twice) are alternatives, different fields must all match,",
        "and so must all words of free text. `-` in front leaves out what matches. In double quotes nothing has a",
        "meaning of its own.",
        "",
        "| field | matches |",
        "|---|---|",
        *(f"| `{name}` | {cell(field.help)} |" for name, field in FIELDS.items()),
        "",
        "A stale container is found by `state:stale` or `state:unknown` and by no other state. In a list of VMs a",
        "field of containers finds the VMs of which one container has all of them.",
    )


def record(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """One record with its fields."""
    yield from ("", f"### {name}", "")
    if schema.get("description"):
        yield from (" ".join(schema["description"].split()), "")
    if "enum" in schema:
        yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}."
    if "properties" in schema:
        yield from ("| field | type |", "|---|---|")
        for field, kind in schema["properties"].items():
            words = [shape(kind), cell(kind.get("description", ""))]
            yield f"| `{field}` | {'. '.join(filter(None, words))} |"


def shape(schema: Mapping[str, Any]) -> str:
    """Describe a schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(NAME)
        return f"[{name}](#{name.lower()})"
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(shape(each) for each in schema[choice]))
    if schema.get("type") == "array":
        inner = schema.get("items") or schema.get("prefixItems") or {}
        return f"list of {shape(inner) if isinstance(inner, Mapping) else ' and '.join(map(shape, inner))}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"map of {shape(inner)}" if isinstance(inner, Mapping) else "object"
    return "time" if schema.get("format") == "date-time" else str(schema.get("type", "JSON"))


def cell(text: str) -> str:
    """Return ``text`` for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").rstrip(".")


# ---- command line


def cli() -> Iterator[str]:
    """The command line."""
    yield document.text().rstrip()


PAGES = {"api.md": api, "cli.md": cli, "errors.md": errors, "settings.md": settings}


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` tell which are out of date."""
    stale = [name for name, text in pages().items() if read(HERE / name) != text]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is out of date: run scripts/docs")
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(pages()[name], encoding="utf-8")
        print(f"docs/{name} written")
    return 0


def read(path: Path) -> str | None:
    """Return the text of a page, None when there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
