"""What a line of the pool's key that stands in a guest already allows: preparing that guest anew keeps it.

A line is read as sshd(8) says (AUTHORIZED_KEYS FILE FORMAT). It is a stranger's word: somebody may have changed it by
hand. What is not one of our own is taken for the nearest of ours that allows no forwarding which it forbids.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from roadstead.artifacts.authorized_keys import NO_COMMAND, Form
from roadstead.peers.links.messages import DOCKER_SOCKET

LONGEST = 4096
"""A line of this many characters was cut: what it allows is not known."""
_QUOTED = r'"(?:\\"|[^"])*+"'
_OPTIONS = re.compile(rf'((?:\\"|{_QUOTED}|[^" \t])++)[ \t]+(\S.*)')
"""As sshd's ``auth2-pubkeyfile.c`` finds their end: an escaped quotation mark neither begins nor ends anything. Nothing
is read in two ways, else a line of such marks would take for ever.
"""
_NAME = re.compile(r"[A-Za-z0-9-]{1,32}")
_OPTION = re.compile(rf"({_NAME.pattern})(?:=({_QUOTED}))?(?:,|$)")
_SOURCE = re.compile(r"[A-Za-z0-9.:/*?_-]{1,64}")
"""An address, a network or a pattern. One that begins with an exclamation mark could not be handed on."""
_CLOSED = {"restrict", "no-port-forwarding"}
_OLD = {"no-port-forwarding", "no-x11-forwarding", "no-agent-forwarding", "no-pty"}
_OURS = {
    frozenset(): Form.UNRESTRICTED,
    frozenset({"restrict", "port-forwarding", "permitopen", "permitlisten", "command"}): Form.RESTRICTED,
    frozenset({"restrict", "command"}): Form.EXEC_ONLY,
    frozenset({*_OLD, "command"}): Form.EXEC_ONLY,
    frozenset({*_OLD, "no-user-rc", "command"}): Form.EXEC_ONLY,
}
"""The options of our lines besides ``from``."""
_PATH = r"(?:/[A-Za-z0-9._+-]+)"
_RELAY = re.compile(rf"(?:{_PATH}*/sudo -n )?{_PATH}*/docker (?:-H unix://({_PATH}+) )?system dial-stdio")
_OPENS = re.compile(rf"\[({_PATH}+)\]:\*")
_LISTENS = "localhost:1"
"""The values of our lines' options."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A line that is there: its ``text``, the ``form`` that it has or is nearest to, where the key may come from
    (anywhere when that is empty; None: it is said in a way that cannot be kept), and the names of the options in a line
    that is none of ours.
    """

    text: str
    form: Form
    sources: tuple[str, ...] | None = ()
    strange: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.form, *(["from", ", ".join(self.sources)] if self.sources else [])])


def first(lines: Iterable[str], key: str) -> Standing | None:
    """Return the first of ``lines`` that is one of the public ``key``: it is the one that the server goes by."""
    return next((found for line in lines if (found := read(line, key)) is not None), None)


def read(line: str, key: str) -> Standing | None:
    """Return what a line allows; None when it is none of the public ``key``."""
    if len(line) >= LONGEST:
        return Standing(line, Form.EXEC_ONLY, None)
    named = key.split()[:2]
    if line.split()[:2] == named:
        return Standing(line, Form.UNRESTRICTED)
    found = _OPTIONS.match(line.strip())
    if found is None or line.lstrip().startswith("#") or found[2].split()[:2] != named:
        return None
    return _read(line, found[1])


def told(line: str, standing: Standing | None, key: str) -> str:
    """Return what setting ``line`` of ``key`` did where ``standing`` was, for people."""
    if standing is None:
        return "its line was added"
    new = read(line, key)
    is_usual = new is None or (new.form is Form.RESTRICTED and not new.sources)
    if standing.text == line:
        return f"its line is as it should be{'' if is_usual else f' ({new})'}"
    if standing.strange:
        return f"its line was replaced: it had the options {', '.join(standing.strange)}, and is {new} now"
    is_same = str(new) == str(standing)
    return "its line was replaced" if is_same else f"its line was replaced: it was {standing}, and is {new} now"


def _read(text: str, options: str) -> Standing:
    given: dict[str, list[str]] = {}
    ends = 0
    while option := _OPTION.match(options, ends):
        ends = option.end()
        given.setdefault(option[1].lower(), []).append((option[2] or "")[1:-1])
    if ends != len(options):
        unclear = _NAME.match(options, ends)
        return Standing(text, Form.EXEC_ONLY, None, (*given, unclear[0] if unclear else "?"))
    sources = _sources(given.pop("from", []))
    form = _OURS.get(frozenset(given))
    if form is None or not _is_ours(given):
        return Standing(text, _nearest(given), sources, tuple(given))
    return Standing(text, form, sources)


def _is_ours(given: Mapping[str, list[str]]) -> bool:
    """Whether each option of a line stands there once, with a value as ours have it: the command must lead to the
    socket that is opened besides it.
    """
    if any(len(values) > 1 for values in given.values()):
        return False
    said = {name: values[0] for name, values in given.items()}
    command, opens, listens = (said.pop(name, None) for name in ("command", "permitopen", "permitlisten"))
    if any(said.values()) or listens not in {None, _LISTENS}:
        return False
    relay = _RELAY.fullmatch(command or "")
    if opens is None:
        return command is None or relay is not None
    socket = _OPENS.fullmatch(opens)
    return socket is not None and (
        command == NO_COMMAND or (relay is not None and socket[1] == (relay[1] or DOCKER_SOCKET))
    )


def _sources(given: list[str]) -> tuple[str, ...] | None:
    if not given:
        return ()
    sources = tuple(source.strip() for source in given[0].split(","))
    is_plain = len(given) == 1 and all(map(_SOURCE.fullmatch, sources))
    return sources if is_plain else None


def _nearest(given: Mapping[str, object]) -> Form:
    is_open = "port-forwarding" in given or not _CLOSED & set(given)
    return Form.RESTRICTED if is_open else Form.EXEC_ONLY
