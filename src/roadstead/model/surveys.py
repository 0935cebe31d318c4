"""What a guest looks like to a user who signed in to it: what is decided from when it is prepared."""

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

USERS_OWN = "/run/user/"
"""Below it each user has a folder, named after the user's number, which nobody else may open."""


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
class Engine:
    """Which engine of a guest is meant: Podman or Docker, the user's own or the whole guest's."""

    is_podman: bool = False
    is_own: bool = False

    @property
    def service(self) -> str:
        """What lets it start, as systemd names it."""
        return "podman.socket" if self.is_podman else "docker"

    def starts_by(self, enabled: Container[str]) -> str:
        """Return which of the services that are ``enabled`` starts it; empty when none does."""
        services = _PODMANS if self.is_podman else _DOCKERS
        return next((service for service in services if service in enabled), "")


OWN_PODMAN = Engine(is_podman=True, is_own=True)
_DOCKERS = ("docker.service", "docker.socket", "docker")
_PODMANS = ("podman.socket", "podman.service", "podman")
"""The services of systemd, and last the one of OpenRC, any of which starts it with the guest."""


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at a guest. All of it is the guest's own word, checked for its form."""

    user: str
    uid: int
    groups: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    """``ID`` and ``ID_LIKE`` of ``os-release``."""
    version: str = ""
    """``VERSION_ID`` of it."""
    packagers: tuple[str, ...] = ()
    """The package managers that can install something while the guest runs."""
    client: str = ""
    """Our address, as the guest sees it."""
    sockets: tuple[EngineSocket, ...] = ()
    docker: str = ""
    """Path of Docker's own command."""
    has_dockerd: bool = False
    """Whether Docker's engine is installed, running or not."""
    podman: str = ""
    sudo: str = ""
    """Path of ``sudo``."""
    root: Root = Root.NONE
    sudo_relays: bool = False
    """Whether ``sudo`` lets the user reach the engine without a password."""
    init: str = ""
    """``systemd``, ``openrc``, or empty: what else starts services is not known."""
    enabled: tuple[str, ...] = ()
    """The engines' services that start with the guest."""
    own_enabled: tuple[str, ...] = ()
    """The engines' services of the user's own that start with the user's others."""
    lingers: bool = False
    """Whether the user's own services run while nobody is signed in."""
    may_linger: bool = False
    """Whether the user may let them, which needs no root where polkit is: systemd's own rule allows it."""
    forwards: bool | None = None
    """Whether the SSH server's settings let sockets be forwarded; None: they cannot be read, or say nothing."""
    is_matched: bool = False
    """Whether a ``Match`` block of those settings names files of keys, which may be the user's: that is not known."""
    lines: tuple[str, ...] = ()
    """The lines in which the pool's key stands, or the one that a rotation replaces, in the server's order."""
    former: tuple[str, ...] = ()
    """Public keys (``type blob``) of other pools."""

    def engine(self, socket: str = "") -> Engine:
        """Return the engine that listens at ``socket``; without one, the one that is there, Docker's before Podman."""
        if not socket:
            is_podman = bool(self.podman) and not self.has_dockerd
            return Engine(is_podman, is_own=is_podman and self.root is not Root.IS)
        is_own = self.owns(socket)
        # What Docker is asked at, the package podman-docker makes a link to root's Podman.
        is_link = not is_own and bool(self.podman) and not (self.has_dockerd or self.docker)
        return Engine("podman" in socket or is_link, is_own)

    def owns(self, socket: str) -> bool:
        """Whether ``socket`` is where engines of the user's own listen."""
        return socket.startswith(f"{USERS_OWN}{self.uid}/")
