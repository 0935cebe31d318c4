"""What a guest still needs before the pool's key leads to its engine, decided from one look at it."""

from collections.abc import Set
from dataclasses import dataclass

from roadstead.model.surveys import OWN_PODMAN, USERS_OWN, Engine, EngineSocket, Part, Root, SocketState, Survey

_NEAREST = (SocketState.READY, SocketState.DENIED, SocketState.DEAD)
"""Of several sockets the one that is nearest to working is taken."""
_GROUP = "docker"
"""Whose members open the engine's socket; Podman has none."""
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
    wanted = _wanted(survey, wishes)
    socket = _chosen(survey, wanted)
    if socket is None:
        code, needed = _missing(survey, survey.engine(wanted))
        return Decision(wanted, obstacle=code, needed=needed, useful=former)
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


def _wanted(survey: Survey, wishes: Wishes) -> str:
    """The socket that was said; nothing where it is another user's own: whoever signed in before was meant."""
    is_anothers = wishes.socket.startswith(USERS_OWN) and not survey.owns(wishes.socket)
    return "" if is_anothers else wishes.socket


def _missing(survey: Survey, engine: Engine) -> tuple[str, Part]:
    """What is said where there is no socket, and what helps."""
    if not survey.has_dockerd and not survey.podman:
        return "guest-engine-missing", Part.ENGINE
    # Whether root's Podman runs nobody else sees, and nobody else may use it.
    return "guest-engine-down", Part.OWN_ENGINE if engine == OWN_PODMAN else Part.ENGINE_START


def _chosen(survey: Survey, wanted: str) -> EngineSocket | None:
    there = [
        socket for socket in survey.sockets if socket.state is not SocketState.ABSENT and wanted in {"", socket.path}
    ]
    return min(there, key=lambda socket: _NEAREST.index(socket.state), default=None)


def _useful(survey: Survey, socket: EngineSocket) -> tuple[Part, ...]:
    """What lets the engine start with the guest, where that is not so."""
    engine = survey.engine(socket.path)
    if not engine.is_own:
        return () if engine.starts_by(survey.enabled) or not survey.init else (Part.ENGINE_AUTOSTART,)
    if survey.init != "systemd":
        return ()
    lingering = () if survey.lingers else (Part.LINGER,)
    return lingering if engine.starts_by(survey.own_enabled) else (*lingering, Part.ENGINE_AUTOSTART)
