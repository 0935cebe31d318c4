r"""How a filter is written: cuts its text into terms, so that what they mean can be read apart from how they are typed.

The language: terms divided by spaces; a term is ``field:value``, ``field:value,value`` or free text, and ``-`` in front
negates it. Values are globs (``*``, ``?``, ``[abc]``). What stands in double quotes is taken as it is: spaces, commas,
colons and globs mean nothing there, and ``\"`` is a quote.
"""

import glob
import re
from typing import NamedTuple

from roadstead.errors import InputError

LONGEST_CHARACTERS = 1024
"""Longest filter that is read: the cost of a glob grows with the square of its length."""
MOST_TERMS = 100
"""Most terms of one filter."""

_FIELD = re.compile(r"([A-Za-z][A-Za-z_-]*):")
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s",]+)', re.DOTALL)
_TEXT_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', re.DOTALL)


class Term(NamedTuple):
    """One term: its ``field`` (empty for free text) and its ``values`` as globs, of which one must match."""

    field: str
    values: tuple[str, ...]
    negated: bool
    source: str
    """The term as it was typed, for messages."""


class Language:
    """The fields that may be named."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def wrong(self, term: str, reason: str) -> InputError:
        """Return the error that names ``term``, says why it makes no sense, and lists the fields."""
        return InputError("filter-invalid", term=term, reason=reason, known=", ".join(self._known))

    def terms(self, text: str) -> list[Term]:
        """Cut ``text`` into terms. Raises `InputError` ``filter-invalid``, naming the term."""
        if len(text) > LONGEST_CHARACTERS:
            raise self.wrong(text[:20], f"it is longer than {LONGEST_CHARACTERS} characters")
        terms: list[Term] = []
        at = _next_word(text, 0)
        while at < len(text):
            term, at = self._term(text, at)
            terms.append(term)
            at = _next_word(text, at)
        if len(terms) > MOST_TERMS:
            raise self.wrong(terms[MOST_TERMS].source, f"there are more than {MOST_TERMS} terms")
        return terms

    def _term(self, text: str, start: int) -> tuple[Term, int]:
        negated = text[start] == "-"
        at = start + negated
        field = ""
        if named := _FIELD.match(text, at):
            field, at = named[1].lower(), named.end()
            self._check_field(field, text, start)
        values, end = self._values(text, start, at, commas=bool(field))
        return Term(field, tuple(values), negated, text[start:end]), end

    def _check_field(self, field: str, text: str, start: int) -> None:
        if field not in self._known:
            reason = f"there is no field {field}; in quotes it is searched as text"
            raise self.wrong(_word(text, start), reason)

    def _values(self, text: str, start: int, at: int, *, commas: bool) -> tuple[list[str], int]:
        """Read what stands after the field: pieces, bare or quoted, up to a space; ``commas`` divide values."""
        values = [""]
        while at < len(text) and not text[at].isspace():
            if commas and text[at] == ",":
                values.append("")
                at += 1
                continue
            piece = (_PIECE if commas else _TEXT_PIECE).match(text, at)
            if piece is None:
                raise self.wrong(_word(text, start), "the quotation mark is not closed")
            values[-1] += piece[2] if piece[1] is None else glob.escape(re.sub(r"\\(.)", r"\1", piece[1]))
            at = piece.end()
        if not all(values):
            raise self.wrong(text[start:at], "a value is missing")
        return values, at


def _next_word(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _word(text: str, start: int) -> str:
    return text[start:].split(maxsplit=1)[0]
