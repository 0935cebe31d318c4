"""Secrets in text that others will read: what looks like one is replaced, whatever stands around it stays.

A command line often carries what should have been in a file: a password behind an option, a token in a variable, both
in an address. What is masked is the value, so that one still sees which option it was. This errs on the side of
masking; what gives no sign of being secret cannot be known. The text is a guest's: what a client would not show is
dropped before anything is looked for, since it could stand in the middle of a word; and no pattern has two parts that
can share out the same characters in many ways, so that none can be made slow.
"""

import re
from functools import cache

from roadstead.artifacts.legacy_xml import cleaned

MASK = "******"
_KEYS = "api|access|account|encryption|license|master|private|session|shared|signing|storage"
_WORD = (
    rf"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|(?:{_KEYS})[-_]?key|auth(?:orization)?|"
    r"connection[-_]?string|dsn|jwt|cookie|signature|(?:(?<![a-z])|root|bind)pw|(?<![a-z])sig(?![a-z]))"
    r"[A-Za-z0-9_.-]{0,64}+"
)
_INNER = r"""(?=[^\s"',;:&|)\]}])"""
"""A quote in a value begins another piece of it only before such a character; else it ends what is around the value."""
_VALUE = (
    r"(?:"
    r"""\\"(?:[^"\\]|\\[^"])*(?:\\"|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z)|'[^']*(?:'|\Z)|(?:\\.|[^\s"'\\]))"""
    rf"""(?:"{_INNER}(?:[^"\\]|\\.)*(?:"|\Z)|'{_INNER}[^']*(?:'|\Z)|\\.|[^\s"'\\])*"""
)
"""A word as a shell takes it, with what is quoted in it; JSON in a string has its quotes escaped."""
_SCHEME = r"(?:(?:Bearer|Basic|Digest|Token|Api-?Key|Key|OAuth|Negotiate|NTLM|SharedKey|Bot|JWT)\s+)"
_OPENS = r"(?<![\w.-])"
_AUTHORIZATION = rf"""(?P<kept>\bAuthorization\\?["']?\s*[=:]\s*(?:\\?["'])?{_SCHEME}?)[^\s"'][^"']*"""
"""``Authorization: token x``: whatever the scheme, up to where the header ends."""
_GIVEN = rf"""(?P<kept>{_WORD}\\?["']?\s*[=:]\s*{_SCHEME}?){_VALUE}"""
"""``--db-password=x``, ``PASSWORD=x``, ``token: x``, ``"secret":"x"``"""
_OPTION = rf"""(?P<kept>{_OPENS}--?[A-Za-z0-9_.-]{{0,64}}?{_WORD}(?:\s+|\\?["']\s*,\s*)){_VALUE}"""
"""``--password x``, ``["--password", "x"]``"""
_HEADER = rf"(?P<kept>\b(?:Bearer|Basic)\s+){_VALUE}"
"""``Bearer x`` in any other place"""
_USER = rf"""(?P<kept>{_OPENS}--(?:proxy-)?user[\s=]+["']?[^\s:"']*:)(?!\d{{1,10}}(?!\S)){_VALUE}"""
"""``--user name:x``; two numbers are a user and a group."""
_PEM = r"(?P<kept>-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----).*?(?=-----END [A-Z ]{0,24}PRIVATE KEY-----|\Z)"
_FORMS = (
    r"(?P<kept>\b)(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|"
    r"AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|sk-[\w-]{16,}|npm_[A-Za-z0-9]{30,}|dckr_pat_[\w-]{16,}|hvs\.[\w-]{16,}|"
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
"""What is known by its form: tokens of GitHub, GitLab, Slack, AWS, Google, OpenAI, npm, Docker, Vault; JSON Web Tokens.
"""
_SHORT = {
    "mysql|mariadb": "-p",
    "sshpass|mongo": r"-p\s*",
    "redis|valkey|keydb": r"-a\s*",
    "sqlcmd|mosquitto|ipmitool": r"-P\s*",
    "ldap": r"-w\s*",
    "curl": r"""-[uU]\s*["']?[^\s:"']*:""",
    "smbclient|rpcclient": r"""-U\s*["']?[^\s%"']*%""",
}
"""Programs and their option of one letter behind which a secret stands: alone it says nothing."""
_ADDRESS = r"://(?P<rest>\S+)"
_PORT = r"\d{1,5}(?![\w.@:-])"
_INVISIBLE = "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
"""What stands between two characters without being seen."""
_HARMLESS_USERS = frozenset({"git"})


def masked(text: str) -> str:
    """Return ``text`` as clients show it (see `legacy_xml.cleaned`), with what looks like a secret replaced."""
    text = _pattern(_INVISIBLE).sub("", cleaned(text))
    for pattern in _patterns():
        text = pattern.sub(rf"\g<kept>{MASK}", text)
    for program, option in _SHORT.items():
        if _pattern(program, re.IGNORECASE).search(text):
            text = _pattern(rf"(?P<kept>{_OPENS}{option}){_VALUE}").sub(rf"\g<kept>{MASK}", text)
    end = len(text)
    return _pattern(_ADDRESS).sub(lambda found: "://" + _address(found["rest"], is_end=found.end() == end), text)


def _address(rest: str, *, is_end: bool) -> str:
    """Return what follows ``://`` in a word with the secret in it masked: ``user:x@host``, ``x@host``.

    The word is the text's last (``is_end``): it may have been cut in the middle of the secret. A password may hold
    ``@`` and ``/``; what follows a host's name and its port is a path.
    """
    user, colon, after = rest.partition(":")
    has_user = bool(colon) and not {"/", "@", "["} & set(user) and not _pattern(_PORT).match(after)
    if has_user and ("@" in after or is_end):
        _, at, host = after.rpartition("@")
        return f"{user}:{MASK}{at}{host}" if at else f"{user}:{MASK}"
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return f"{MASK}{at}{host}{slash}{path}" if at and user not in _HARMLESS_USERS else rest


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    by_word = [_pattern(text, re.IGNORECASE) for text in (_AUTHORIZATION, _GIVEN, _OPTION, _HEADER, _USER)]
    return (_pattern(_PEM), *by_word, _pattern(_FORMS))


@cache
def _pattern(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    return re.compile(text, flags)
