"""What a guest looks like to a user who signed in to it: what is decided from when it is prepared."""

from dataclasses import dataclass
from enum import StrEnum


class SocketState(StrEnum):
    """How an engine's socket stands for the user who looked."""

    READY = "ready"
    DENIED = "denied"
    """It may not be opened."""
    DEAD = "dead"
    """Nobody listens on it."""
    ABSENT = "absent"


class Root(StrEnum):
    """How the user becomes root."""

    IS = "is"
    """The user is root."""
    FREE = "free"
    """``sudo`` asks for no password."""
    ASKS = "asks"
    """``sudo`` is there, and asks for the user's password."""
    NONE = "none"


class Part(StrEnum):
    """What a guest may lack, and what can be offered to be done there."""

    ENGINE = "engine"
    """Install an engine, start it, let the user open its socket."""
    ENGINE_START = "engine-start"
    """Start the engine, now and with the guest."""
    ENGINE_GROUP = "engine-group"
    """Add the user to the group that the engine's socket belongs to."""
    OWN_ENGINE = "own-engine"
    """Start an engine of the user's own, where the one that is there is root's alone: Podman's."""
    ENGINE_AUTOSTART = "engine-autostart"
    """Let the engine start with the guest."""
    LINGER = "linger"
    """Let the user's own engine run while nobody is signed in."""
    FORMER_KEY = "former-key"
    """Take the lines of other pools' keys out; needs no root."""


@dataclass(frozen=True, slots=True)
class EngineSocket:
    """A socket at which an engine may listen, and the group that it belongs to."""

    path: str
    state: SocketState
    group: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at a guest. All of it is the guest's own word, checked for its form."""

    user: str
    uid: int
    groups: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    """``ID`` and ``ID_LIKE`` of ``os-release``."""
    client: str = ""
    """Our address, as the guest sees it."""
    sockets: tuple[EngineSocket, ...] = ()
    docker: str = ""
    """Path of Docker's own command."""
    podman: str = ""
    sudo: str = ""
    """Path of ``sudo``."""
    root: Root = Root.NONE
    sudo_relays: bool = False
    """Whether ``sudo`` lets the user reach the engine without a password."""
    init: str = ""
    """``systemd``, ``openrc``, or empty: what else starts services is not known."""
    enabled: tuple[str, ...] = ()
    """The engine's services that start with the guest."""
    lingers: bool = False
    """Whether the user's own services run while nobody is signed in."""
    forwards: bool | None = None
    """Whether the SSH server's settings let sockets be forwarded; None: they cannot be read, or say nothing."""
    is_matched: bool = False
    """Whether a ``Match`` block of those settings names files of keys, which may be the user's: that is not known."""
    lines: tuple[str, ...] = ()
    """The lines in which the pool's key stands, or the one that a rotation replaces, in the server's order."""
    former: tuple[str, ...] = ()
    """Public keys (``type blob``) of other pools."""
