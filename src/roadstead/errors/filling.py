"""The texts of the table of codes are filled in here, so that a command in one can be copied as it stands.

What stands between backticks is a command, or a part of one: a name with a space in it is quoted there, and nowhere
else.
"""

import re
import shlex
from collections.abc import Mapping

_NAMES = {"name", "path", "pool", "vm"}
"""Fields that people chose freely, and that stand as one word in commands."""
_PLAIN = re.compile(r"[\w@%+=:,./…-]+")
"""What no shell takes for anything but a word, in whatever script; `shlex.quote` would quote ``Übung`` too."""
_CODE = re.compile("(`[^`]*`)")


def quoted(name: str) -> str:
    """Return ``name`` as one word of a command for a POSIX shell."""
    return name if _PLAIN.fullmatch(name) else shlex.quote(name)


def filled(text: str, fields: Mapping[str, str]) -> str:
    """Return a cause or a remedy with its ``fields``; in commands the names among them are `quoted`."""
    said = _Fields(fields)
    in_commands = _Fields({key: quoted(value) if key in _NAMES else value for key, value in fields.items()})
    parts = _CODE.split(text)
    return "".join(part.format_map(in_commands if part.startswith("`") else said) for part in parts)


class _Fields(dict[str, str]):
    """Fields for `str.format_map`; one that nobody gave reads as an ellipsis instead of hiding the whole text."""

    def __missing__(self, key: str) -> str:
        return "…"
