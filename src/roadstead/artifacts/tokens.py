"""The tokens of config-drive templates: ``%NAME%``, and the same with ``XS`` before the name, as older packs had them.

They are replaced in the text, before anybody takes it for YAML, which it is not yet: a line of YAML cannot begin with
``%``.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from roadstead.errors import InputError

HOSTNAME = "VMNAMETOHOSTNAME"
POOL_KEY = "CONTAINERRSAPUB"
DEVICE = "HIN"
BEGIN, END = "HINEXISTS", "ENDHINEXISTS"
KNOWN = (HOSTNAME, POOL_KEY, DEVICE, BEGIN, END)

NAME = "[A-Z][A-Z0-9_]{2,31}"
"""How a token, and a variable of an operator's, may be called."""
_TOKEN = re.compile(f"%({NAME})%")
"""What may be meant for a token; shorter ones are formats of dates and the like (``date +%Y%m%d``)."""
_PREFIX = "XS"


class Values(NamedTuple):
    """What tokens stand for."""

    hostname: str
    pool_key: str
    """The middle part of an OpenSSH public key, base64."""
    device: str | None = None
    """The number of the VM's network card in the host-internal network; None when it has none there."""


class _Token(NamedTuple):
    name: str
    start: int
    end: int


def used(text: str) -> frozenset[str]:
    """Return which of the `KNOWN` tokens a template holds."""
    return frozenset(token.name for token in _tokens(text))


def unknown(text: str) -> list[tuple[str, int]]:
    """Return what looks like a token and is none, each with its line."""
    found = ((match[1], match.start()) for match in _TOKEN.finditer(text) if _canonical(match[1]) is None)
    return [(name, _line(text, at)) for name, at in found]


def without_unknown(text: str) -> str:
    """Return a text with a plain word, as long as it, in the place of each that is `unknown`."""
    return _TOKEN.sub(lambda match: match[0] if _canonical(match[1]) else f"x{match[1]}x", text)


def refuse_unknown(text: str) -> None:
    """Raise `InputError` ``token-unknown`` for the first that is `unknown`."""
    for name, line in unknown(text):
        raise InputError("token-unknown", token=name, line=line, known=", ".join(f"%{each}%" for each in KNOWN))


def assign(text: str, variables: Mapping[str, str]) -> str:
    """Return a template in which the operator's own ``%NAME%`` are replaced; tokens in a value stay tokens.

    Raises `InputError` ``variable-invalid`` for a name that cannot be one, ``variable-unused`` for one that the text
    does not have.
    """
    for name in variables:
        if re.fullmatch(NAME, name) is None or _canonical(name) is not None:
            raise InputError("variable-invalid", name=name)
        if f"%{name}%" not in text:
            raise InputError("variable-unused", name=name)
    return _TOKEN.sub(lambda match: variables.get(match[1], match[0]), text)


def fill(text: str, values: Values) -> str:
    """Return a template with its tokens replaced; what stands between `BEGIN` and `END` stays for a VM that has a card
    in the host-internal network, and goes for others.

    Raises `InputError` ``token-unpaired``, ``token-without-value``.
    """
    pieces: list[str] = []
    at, begun = 0, None
    for token in _tokens(text):
        if begun is None or values.device is not None:
            pieces.append(text[at : token.start])
        at = token.end
        if token.name in {BEGIN, END}:
            if (begun is None) != (token.name == BEGIN):
                raise InputError("token-unpaired", line=_line(text, token.start))
            begun = token.start if token.name == BEGIN else None
        elif begun is None or values.device is not None:
            pieces.append(_value(text, token, values))
    if begun is not None:
        raise InputError("token-unpaired", line=_line(text, begun))
    return "".join((*pieces, text[at:]))


def _value(text: str, token: _Token, values: Values) -> str:
    if token.name == HOSTNAME:
        return values.hostname
    if token.name == POOL_KEY:
        return values.pool_key
    if values.device is None:
        raise InputError("token-without-value", line=_line(text, token.start))
    return values.device


def _tokens(text: str) -> list[_Token]:
    named = ((_canonical(match[1]), match) for match in _TOKEN.finditer(text))
    return [_Token(name, match.start(), match.end()) for name, match in named if name is not None]


def _canonical(name: str) -> str | None:
    for known in (name, name.removeprefix(_PREFIX)):
        if known in KNOWN:
            return known
    return None


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
