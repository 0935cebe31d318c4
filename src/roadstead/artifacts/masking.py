"""Secrets in text that others will read: what looks like one is replaced, whatever stands around it stays.

A command line often carries what should have been in a file: a password behind an option, a token in a variable, both
in an address. What is masked is the value, so that one still sees which option it was. This errs on the side of
masking; what gives no sign of being secret cannot be known. The text is a guest's: no pattern repeats without a bound,
so that none can be made slow.
"""

import re
from functools import cache

MASK = "******"
_WORD = (
    "(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|api[-_]?key|access[-_]?key|private[-_]?key|"
    "auth(?:orization)?|signing[-_]?key|encryption[-_]?key|connection[-_]?string|dsn)[A-Za-z0-9_.-]{0,32}"
)
_VALUE = r"""(?:"[^"]*(?:"|\Z)|'[^']*(?:'|\Z)|[^\s"',;&]+)"""
_GIVEN = rf"""(?P<kept>{_WORD}["']?\s{{0,4}}[=:]\s{{0,4}}(?:(?:Bearer|Basic|Digest)\s{{1,4}})?){_VALUE}"""
"""``--db-password=x``, ``PASSWORD=x``, ``token: x``, ``"secret":"x"``"""
_OPTION = rf"(?P<kept>(?<!\S)--?[A-Za-z0-9_.-]{{0,32}}?{_WORD}\s{{1,4}}){_VALUE}"
"""``--password x``"""
_HEADER = rf"(?P<kept>\b(?:Bearer|Basic)\s{{1,4}}){_VALUE}"
"""``Authorization: Bearer x``"""
_ADDRESS = r"(?P<kept>://[^\s/:@]{0,64}:)(?!\d{1,5}\Z)[^\s/@]+(?=@|\Z)"
"""``scheme://user:x@host``, also where the text was cut in the middle of it; what ends in a port stays."""
_KNOWN = (
    r"(?P<kept>\b)(?:gh[pousr]_[A-Za-z0-9]{16,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|"
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
"""What is known by its form: tokens of GitHub, GitLab, Slack and AWS, JSON Web Tokens."""


def masked(text: str) -> str:
    """Return ``text`` with everything that looks like a secret replaced."""
    for pattern in _patterns():
        text = pattern.sub(rf"\g<kept>{MASK}", text)
    return text


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    by_word = [re.compile(pattern, re.IGNORECASE) for pattern in (_GIVEN, _OPTION, _HEADER)]
    return (*by_word, re.compile(_ADDRESS), re.compile(_KNOWN))
