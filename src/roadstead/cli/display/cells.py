"""Text measured in cells of a terminal: a Chinese character takes two, a combining one none."""

import unicodedata
from functools import lru_cache

from roadstead.kit.text import terminal_clean

ELLIPSIS = "…"


def width(text: str) -> int:
    """Return how many cells a terminal gives to ``text``."""
    return len(text) if text.isascii() else _wide(text)


@lru_cache(maxsize=4096)
def _wide(text: str) -> int:
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def shortened(text: str, cells: int) -> str:
    """Return ``text`` in at most ``cells`` cells, its end replaced by an ellipsis when it does not fit: between two
    words, where that loses less than half of it.
    """
    if width(text) <= cells:
        return text
    kept = text[: max(cells - 1, 0)] if text.isascii() else _beginning(text, cells - 1)
    blank = kept.rfind(" ", len(kept) // 2) if text[len(kept) : len(kept) + 1] != " " else -1
    return (kept if blank < 0 else kept[: blank + 1]) + ELLIPSIS[:cells]


def _beginning(text: str, room: int) -> str:
    kept = []
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept)


def padded(text: str, cells: int) -> str:
    """Return ``text`` with spaces after it, so that it takes at least ``cells`` cells."""
    return text + " " * (cells - width(text))


def cleaned(values: list[str]) -> tuple[list[str], bool]:
    """Return ``values`` such that none can command a terminal, and whether all are ASCII (as nearly always)."""
    together = "".join(values)
    if together.isascii():
        if together.isprintable():
            return values, True
        return [terminal_clean(value) for value in values], True
    return [terminal_clean(value) for value in values], False
