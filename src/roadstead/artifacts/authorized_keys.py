"""The line that lets the pool key into a guest: it opens the engine's socket, and nothing else that matters.

``restrict`` switches everything off, ``permitopen`` then lets OpenSSH forward to exactly this socket (strings are
compared), ``permitlisten`` keeps the guest from being listened on, and the command answers where forwarding is
forbidden. Measured on OpenSSH 9.2, 10.0 and 10.6: no shell, no other socket, no TCP but for root, who may listen on the
port that ``permitlisten`` has to name: root gets the form for commands only, wherever Docker's command is. What stays
possible with forwarding is to listen on Unix sockets at paths where the user may write; that form closes it, too.
"""

import base64
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from roadstead.peers.links.messages import DOCKER_SOCKET

COMMENT = "xscontainer"
LEAST_BYTES = 16
"""More than this any key has besides its type."""
_DOCKER = "/usr/bin/docker"
"""Where distributions put the command."""
NO_COMMAND = "/bin/false"
"""Forced where there is no command of Docker's."""
_OPENSSH = re.compile(r"OpenSSH_(?:for_Windows_)?([0-9]{1,3})\.([0-9]{1,3})")
_KNOWS_RESTRICT, _KNOWS_LISTEN = (7, 2), (7, 8)
"""OpenSSH's first versions with ``restrict`` and with ``permitlisten``, as its release notes say."""
_SOURCE = re.compile(r"[A-Za-z0-9.:/*?_-]{1,64}")
"""An address, a network or a pattern, and nothing that could end the option."""
_OLD = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty"
"""What ``restrict`` stands for, in the words that Dropbear knows; OpenSSH before 7.2 knows one more."""


class Form(StrEnum):
    """How much a line lets the pool key do."""

    RESTRICTED = "restricted"
    """The engine's socket, by forwarding or by the command."""
    EXEC_ONLY = "exec-only"
    """The engine by the command alone; no socket can be listened on either."""
    UNRESTRICTED = "unrestricted"
    """Whatever the user may do: the historic way, which statistics from cgroup files need."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a line is made for: the engine's ``socket``, the ``docker`` command's path (empty without any), the path of
    ``sudo`` where the user opens the socket only by it, whether the server ``forwards`` to sockets, how that server
    introduced itself, and the networks that the key may come from (any when none is named).
    """

    socket: str
    docker: str = ""
    sudo: str = ""
    forwards: bool = True
    server: str = "SSH-2.0-OpenSSH_9.2"
    sources: tuple[str, ...] = ()
    is_root: bool = False
    """Whether the key signs in as root, who may listen on the one port that ``permitlisten`` has to name."""

    @property
    def relay(self) -> str:
        """The command that relays to the engine; empty where there is none."""
        if not self.docker:
            return ""
        target = "" if self.socket == DOCKER_SOCKET else f"-H unix://{self.socket} "
        return f"{f'{self.sudo} -n ' if self.sudo else ''}{self.docker} {target}system dial-stdio"


def line(public_key: str, socket: str) -> str:
    """Return the line for ``authorized_keys`` that admits ``public_key`` (``ssh-rsa AAAA…``) to ``socket``, made for no
    guest in particular.
    """
    return _joined(_forwarding(socket, Terms(socket, _DOCKER).relay), public_key)


def made_for(public_key: str, form: Form, terms: Terms) -> str | None:
    """Return the line of ``form`` for one guest; None where no such line leads to the engine. Raises ValueError
    where a source has other characters than a network or pattern: it could bring an option along.
    """
    if form is Form.UNRESTRICTED:
        return _joined(_from(terms.sources), public_key)
    version = _openssh(terms.server)
    needs_relay = bool(terms.sudo) or version < _KNOWS_LISTEN or (terms.is_root and bool(terms.docker))
    forwards = form is Form.RESTRICTED and terms.forwards and not needs_relay
    if forwards:
        options = _forwarding(terms.socket, terms.relay or NO_COMMAND)
    elif terms.relay:
        options = f'{_closed(version)},command="{terms.relay}"'
    else:
        return None
    return _joined(",".join(filter(None, [_from(terms.sources), options])), public_key)


def _forwarding(socket: str, command: str) -> str:
    return f'restrict,port-forwarding,permitopen="[{socket}]:*",permitlisten="localhost:1",command="{command}"'


def _closed(version: tuple[int, int]) -> str:
    if version >= _KNOWS_RESTRICT:
        return "restrict"
    return f"{_OLD},no-user-rc" if version > (0, 0) else _OLD


def _from(sources: Iterable[str]) -> str:
    networks = tuple(sources)
    for network in networks:
        if not _SOURCE.fullmatch(network):
            raise ValueError(f"{network!r} is no source")
    return f'from="{",".join(networks)}"' if networks else ""


def _openssh(server: str) -> tuple[int, int]:
    """The version of an OpenSSH server; of any other it is 0.0."""
    found = _OPENSSH.search(server)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _joined(options: str, public_key: str) -> str:
    kind, blob = public_key.split()[:2]
    return " ".join(filter(None, [options, kind, blob, COMMENT]))


def is_public_key(text: str) -> bool:
    """Whether a line is a public key as OpenSSH prints it, without options: the type that is named is the one that the
    key itself begins with (RFC 4253, 6.6).
    """
    kind, _, rest = text.partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except ValueError:
        return False
    name = kind.encode("ascii", "replace")
    named = blob.startswith(struct.pack(">I", len(name)) + name)
    return text.isprintable() and bool(name) and named and len(blob) > len(name) + LEAST_BYTES
