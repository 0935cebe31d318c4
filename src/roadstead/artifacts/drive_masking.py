"""A config drive as people are shown it: everything stays but secrets, which stand there in clear.

`masking` knows how secrets are written in one line; here are besides private keys, blocks of YAML under a secret's
name, and the lists of ``chpasswd``.
"""

import re

from roadstead.artifacts import masking
from roadstead.artifacts.masking import MASK

_PRIVATE = re.compile(
    r"(?P<begin>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----).{0,65536}?(?P<end>-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_LET_IN = re.compile(r"(ssh[-_]authorized[-_]keys|sshAuthorizedKeys|authorized_keys|ssh_pwauth|lock_passwd|lockPasswd)")
"""Names that look like a secret's and are none."""
_BLOCK = re.compile(
    r"(?P<indent> {0,64})[\w\"'.-]{0,64}(?:pass|pwd|secret|token|private|credential)[\w\"'.-]{0,64}:"
    r"\s{0,8}[|>][+-]?\d?\s*",
    re.IGNORECASE,
)
_CHPASSWD = re.compile(r"(?P<indent> {0,64})chpasswd:.{0,256}")
_ACCOUNT = re.compile(r"(?P<kept>\s{0,64}(?:- )?[\"']?[a-z_][\w.-]{0,31}:)(?P<value>[^\s:].{0,1024})")


def masked(text: str) -> str:
    """Return ``text`` with what looks like a secret replaced; it has as many lines as before, save in private keys."""
    text = _PRIVATE.sub(rf"\g<begin>{MASK}\g<end>", text)
    shown: list[str] = []
    hidden, accounts = -1, -1
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" "))
        if line.strip() and indent <= hidden:
            hidden = -1
        if line.strip() and indent <= accounts:
            accounts = -1
        if hidden >= 0:
            shown.append(" " * indent + MASK if line.strip() else line)
            continue
        if block := _BLOCK.fullmatch(line):
            hidden = len(block["indent"])
        elif begun := _CHPASSWD.fullmatch(line):
            accounts = len(begun["indent"])
        elif accounts >= 0:
            line = _ACCOUNT.sub(rf"\g<kept>{MASK}", line)  # noqa: PLW2901 - it is shown
        shown.append(_line(line))
    return "\n".join(shown)


def _line(line: str) -> str:
    pieces = _LET_IN.split(line)
    return "".join(piece if number % 2 else masking.masked(piece) for number, piece in enumerate(pieces))
