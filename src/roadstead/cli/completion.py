"""Names for the shell's Tab key: asked of the server with little patience, and silent about every failure."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self

import typer

from roadstead.cli import session
from roadstead.cli.api import client

PATIENCE_SECONDS = 1.0
_SPECIAL = re.compile(r"""[\s\\'"`$&|;<>()*?\[\]{}!#~]""")
OFFERED = 200
"""More names than this help nobody at a prompt."""


def containers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer containers whose name begins like ``incomplete``; ``vm/container`` once a slash was typed."""
    rows = _answer(ctx, "/containers/match", {"name": _begins(incomplete)})
    if "/" in incomplete:
        return _offered(f"{row.get('vm_name')}/{row.get('name')}" for row in rows)
    return _offered(row.get("name") for row in rows)


def vms(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer VMs whose name begins like ``incomplete``."""
    rows = _answer(ctx, "/vms", {"fields": "name"})
    return _offered(row.get("name") for row in rows if str(row.get("name")).startswith(incomplete))


def pools(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the pools that are known."""
    rows = _answer(ctx, "/pools", {})
    return _offered(row.get("name") for row in rows if str(row.get("name")).startswith(incomplete))


def _answer(ctx: typer.Context, path: str, query: client.Query) -> list[dict[str, Any]]:
    # While a line is completed the root command's callback does not run, so its options are read from its context.
    given = ctx.find_root().params
    with suppress(Exception):
        chosen = session.Session(given.get("server"), given.get("token_file")).client(PATIENCE_SECONDS)
        return chosen.get(list[dict[str, Any]], path, query)
    return []


def _begins(incomplete: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in incomplete) + "*"


def _offered(names: Iterable[Any]) -> list[str]:
    usable = (name for name in names if isinstance(name, str) and name.isprintable() and name)
    return [_typed(name) for name in sorted(dict.fromkeys(usable))[:OFFERED]]


def _typed(name: str) -> str:
    """Return ``name`` as it is to stand on the command line.

    bash takes what it is offered as it is, unless the word was begun with a quotation mark; other shells quote.
    """
    if not os.environ.get("_ROADSTEAD_COMPLETE", "").endswith("bash"):
        return name
    words = os.environ.get("COMP_WORDS", "").split("\n")
    place = int(os.environ.get("COMP_CWORD") or 0)
    is_quoted = place < len(words) and words[place].startswith(("'", '"'))
    return name if is_quoted else _Word(name)


class _Word(str):
    """A name as it stands on the command line without quotation marks.

    Typer leaves out what does not begin like the word that was begun, which is compared with the name itself.
    """

    __slots__ = ("_name",)
    _name: str

    def __new__(cls, name: str) -> Self:
        """Put a backslash before everything that means something to a shell."""
        word = super().__new__(cls, _SPECIAL.sub(r"\\\g<0>", name))
        word._name = name
        return word

    def startswith(self, prefix: str | tuple[str, ...], *place: Any) -> bool:
        """See above."""
        return self._name.startswith(prefix, *place)
