"""Reads a ``#cloud-config`` as far as must be known before it goes onto a drive: can the guest read it, whose keys does
it bring.

Guests read it with PyYAML or a reader as strict. Nothing is built here but texts, lists and maps: numbers and dates can
cost a builder minutes, and merged maps grow with every alias. Depth, aliases and the number of nodes are bounded.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.reader import Reader

from roadstead.errors import InputError

_MARK = re.compile(r"#cloud-config(?![\w-])")
"""How one begins; ``#cloud-config-archive`` is something else."""
DEPTH = 64
ALIASES = 32
NODES = 50_000

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""The same on libyaml, twenty times as fast, where PyYAML was built with it."""
_STANDARD = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _STANDARD + name
    for name in ("binary", "bool", "float", "int", "map", "merge", "null", "omap", "pairs", "seq", "set", "str")
) | {_STANDARD + "timestamp", "!"}


def is_one(text: str) -> bool:
    """Whether guests take a text for a cloud-config."""
    return _MARK.match(text) is not None


def check(text: str) -> Any:
    """Return what a cloud-config says, all scalars as texts. Raises `InputError` ``config-invalid``, with the place."""
    strange = Reader.NON_PRINTABLE.search(text)
    if strange is not None:
        start = text.rfind("\n", 0, strange.start()) + 1
        reason = f"the character U+{ord(strange[0]):04X} may not stand here"
        raise _invalid(text.count("\n", 0, start), strange.start() - start, reason)
    try:
        _bound(text)
        loader = _Loader(text)
        try:
            said = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _at(mark, error.problem or error.context or "it is no YAML") from error
    if said not in (None, "") and not isinstance(said, dict):
        raise _invalid(0, 0, "it is no map of settings (`name: value`)")
    return said or {}


def keys(said: Any) -> frozenset[str]:
    """Return the middle parts (base64) of the SSH keys that a cloud-config lets in, for any account."""
    return frozenset(
        part for owner in (said, *_items(said, "users")) for line in _items(owner, *_KEYS) for part in _parts(line)
    )


_KEYS = ("ssh_authorized_keys", "ssh-authorized-keys")


def _items(owner: Any, *names: str) -> Iterator[Any]:
    for name in names:
        found = owner.get(name) if isinstance(owner, dict) else None
        if isinstance(found, list):
            yield from found


def _parts(line: Any) -> list[str]:
    return line.split() if isinstance(line, str) else []


def _bound(text: str) -> None:
    """Refuse what would cost too much to build, and the tags that no guest knows."""
    depth = aliases = nodes = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        tag = getattr(event, "tag", None)
        refusals = (
            (depth > DEPTH, f"it is nested deeper than {DEPTH} levels"),
            (aliases > ALIASES, f"it has more than {ALIASES} aliases"),
            (nodes > NODES, f"it has more than {NODES} parts"),
            (documents > 1, "a second document begins here"),
            (tag is not None and tag not in _TAGS, f"no guest knows the tag {tag}"),
        )
        for refused, reason in refusals:
            if refused:
                raise _at(event.start_mark, reason)


def _at(mark: Any, reason: str) -> InputError:
    return _invalid(mark.line, mark.column, reason) if mark is not None else _invalid(0, 0, reason)


def _invalid(line: int, column: int, reason: str) -> InputError:
    return InputError("config-invalid", line=line + 1, column=column + 1, reason=reason)
