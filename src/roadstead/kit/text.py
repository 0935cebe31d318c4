"""Foreign text made harmless for where it goes: a pool's database, a terminal, a bounded record."""

import re
import unicodedata
from functools import cache

BRIEF_CHARACTERS = 48
"""What is shown of a value that is wrong: enough to find it again."""
_LINE_BREAKING = {"\u2028", "\u2029", "\x85"}


def xml_clean(text: str, replacement: str = "\ufffd") -> str:
    """Return ``text`` with everything replaced that XAPI's database must never hold.

    Allowed is XML 1.0 ``Char`` without C0 controls other than tab and newline, and without U+FFFE and U+FFFF: one of
    those makes a pool's database unreadable at its next start.
    """
    return _not_xml().sub(replacement, text)


@cache
def _not_xml() -> re.Pattern[str]:
    """Compiled at first need: that takes 5 ms, and every start of the command line imports this module."""
    return re.compile("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


def terminal_clean(text: str) -> str:
    """Return ``text`` as one line that cannot command a terminal: controls and bidirectional marks become ``?``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in _LINE_BREAKING or unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}:
        return "?"
    return character


def brief(text: str) -> str:
    """Return how foreign text is quoted in a sentence: one short line, with a mark where something was left out."""
    shown = terminal_clean(text[: BRIEF_CHARACTERS + 1])
    return shown if len(text) <= BRIEF_CHARACTERS else shown[: BRIEF_CHARACTERS - 1] + "…"


def pem_certificates(text: str) -> str:
    """Return the certificates of a PEM file and nothing else of it: a private key that stands there is nobody's
    business.
    """
    found = re.findall(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----", text)
    return "".join(f"{one}\n" for one in found)


def fingerprint_digits(text: str) -> str | None:
    """Return the SHA-256 fingerprint that ``text`` is, in whatever spelling, as 64 lower-case digits; None if none."""
    digits = re.sub(r"[:\s]", "", text).lower().removeprefix("sha256")
    return digits if re.fullmatch(r"[0-9a-f]{64}", digits) else None


def fingerprint_shown(digits: str) -> str:
    """Return a fingerprint as openssl prints it on the host, so that people can compare the two."""
    return ":".join(digits[start : start + 2] for start in range(0, len(digits), 2)).upper()


def cut(text: str, limit: int) -> str:
    """Return at most ``limit`` bytes (as UTF-8) of ``text``, cut between characters, with a mark when cut."""
    if len(text) * 4 <= limit:
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return text
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"
