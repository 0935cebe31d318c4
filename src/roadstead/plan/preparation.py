"""What a guest still needs before the pool's key leads to its engine, decided from one look at it."""

from collections.abc import Set
from dataclasses import dataclass

from roadstead.model.surveys import EngineSocket, Part, Root, SocketState, Survey

_NEAREST = (SocketState.READY, SocketState.DENIED, SocketState.DEAD)
"""Of several sockets the one that is nearest to working is taken."""
_GROUP = "docker"
"""Whose members open the engine's socket; Podman has none."""
_USERS_OWN = "/run/user/"
_OBSTACLES = {
    SocketState.DENIED: ("guest-engine-denied", Part.ENGINE_GROUP),
    SocketState.DEAD: ("guest-engine-down", Part.ENGINE_START),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was said beforehand: the one ``socket`` that counts (empty: whichever works), whether ``sudo`` is the way,
    and what was declined.
    """

    socket: str = ""
    is_sudo: bool = False
    declined: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """How the engine is reached, or what stands in the way: its code, and the part that would help.

    ``useful`` are parts that would do good, and that nothing depends on.
    """

    socket: str = ""
    is_sudo: bool = False
    obstacle: str = ""
    needed: Part | None = None
    useful: tuple[Part, ...] = ()


def decide(survey: Survey, wishes: Wishes) -> Decision:
    """Return what is to be done about the guest of ``survey``."""
    former = (Part.FORMER_KEY,) if survey.former else ()
    socket = _chosen(survey, wishes)
    if socket is None:
        is_there = bool(survey.docker or survey.podman)
        code = "guest-engine-down" if is_there else "guest-engine-missing"
        return Decision(obstacle=code, needed=Part.ENGINE_START if is_there else Part.ENGINE, useful=former)
    if socket.state is SocketState.READY:
        return Decision(socket.path, useful=(*_useful(survey, socket), *former))
    cannot_be_added = survey.root is Root.ASKS  # who may do this one thing without a password
    is_by_sudo = wishes.is_sudo or cannot_be_added or Part.ENGINE_GROUP in wishes.declined
    if socket.state is SocketState.DENIED and survey.sudo_relays and is_by_sudo:
        return Decision(socket.path, is_sudo=True, useful=(*_useful(survey, socket), *former))
    obstacle, needed = _OBSTACLES[socket.state]
    if socket.state is SocketState.DENIED and socket.group != _GROUP and survey.podman:
        needed = Part.OWN_ENGINE
    return Decision(socket.path, obstacle=obstacle, needed=needed, useful=former)


def _chosen(survey: Survey, wishes: Wishes) -> EngineSocket | None:
    there = [
        socket
        for socket in survey.sockets
        if socket.state is not SocketState.ABSENT and wishes.socket in {"", socket.path}
    ]
    return min(there, key=lambda socket: _NEAREST.index(socket.state), default=None)


def _useful(survey: Survey, socket: EngineSocket) -> tuple[Part, ...]:
    if socket.path.startswith(_USERS_OWN):
        return () if survey.lingers or survey.init != "systemd" else (Part.LINGER,)
    return () if survey.enabled or not survey.init else (Part.ENGINE_AUTOSTART,)
