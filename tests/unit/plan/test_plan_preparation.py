"""What a guest still needs is decided from one look at it."""

import pytest

from roadstead.model.surveys import EngineSocket, Part, Root, SocketState, Survey
from roadstead.plan.preparation import Decision, Wishes, decide

USUAL, OWN = "/var/run/docker.sock", "/run/user/1000/docker.sock"
ROOTS_PODMAN, OWN_PODMAN = "/run/podman/podman.sock", "/run/user/1000/podman/podman.sock"
READY, DENIED, DEAD, ABSENT = SocketState.READY, SocketState.DENIED, SocketState.DEAD, SocketState.ABSENT


def survey(*sockets: tuple[str, SocketState], group: str = "docker", **more: object) -> Survey:
    """A guest with these sockets, whose engine starts with it."""
    found = tuple(EngineSocket(path, state, group) for path, state in sockets)
    known: dict[str, object] = {
        "user": "ann",
        "uid": 1000,
        "init": "systemd",
        "enabled": ("docker.service",),
        "has_dockerd": True,
    }
    return Survey(sockets=found, **{**known, **more})  # type: ignore[arg-type]


CASES = [
    (survey((USUAL, READY), (OWN, READY)), Wishes(), Decision(USUAL)),
    (survey((USUAL, ABSENT), (OWN, READY), lingers=True, own_enabled=("docker.service",)), Wishes(), Decision(OWN)),
    (
        survey((USUAL, DENIED), (OWN, READY), own_enabled=("docker.service",)),
        Wishes(),
        Decision(OWN, useful=(Part.LINGER,)),
    ),
    (
        survey((OWN_PODMAN, READY), own_enabled=("docker.service",), lingers=True),
        Wishes(),
        Decision(OWN_PODMAN, useful=(Part.ENGINE_AUTOSTART,)),
    ),
    (survey((OWN_PODMAN, READY), init=""), Wishes(), Decision(OWN_PODMAN)),
    (survey((ROOTS_PODMAN, READY)), Wishes(), Decision(ROOTS_PODMAN, useful=(Part.ENGINE_AUTOSTART,))),
    (survey((ROOTS_PODMAN, READY), enabled=("podman.socket",)), Wishes(), Decision(ROOTS_PODMAN)),
    (
        survey((USUAL, READY), has_dockerd=False, podman="/usr/bin/podman", enabled=("podman.socket",)),
        Wishes(),
        Decision(USUAL),
    ),
    (survey((USUAL, READY), enabled=()), Wishes(), Decision(USUAL, useful=(Part.ENGINE_AUTOSTART,))),
    (survey((USUAL, READY), enabled=(), init=""), Wishes(), Decision(USUAL)),
    (survey((USUAL, READY), former=("ssh-rsa A",)), Wishes(), Decision(USUAL, useful=(Part.FORMER_KEY,))),
    (
        survey((USUAL, DENIED)),
        Wishes(),
        Decision(USUAL, obstacle="guest-engine-denied", needed=Part.ENGINE_GROUP),
    ),
    (
        survey(("/run/podman/podman.sock", DENIED), podman="/usr/bin/podman", group="root"),
        Wishes(),
        Decision("/run/podman/podman.sock", obstacle="guest-engine-denied", needed=Part.OWN_ENGINE),
    ),
    (survey((USUAL, DEAD)), Wishes(), Decision(USUAL, obstacle="guest-engine-down", needed=Part.ENGINE_START)),
    (
        survey((USUAL, ABSENT), has_dockerd=False, docker="/usr/bin/docker"),
        Wishes(),
        Decision(obstacle="guest-engine-missing", needed=Part.ENGINE),
    ),
    (survey((USUAL, ABSENT)), Wishes(), Decision(obstacle="guest-engine-down", needed=Part.ENGINE_START)),
    (
        survey((USUAL, ABSENT), has_dockerd=False, podman="/usr/bin/podman"),
        Wishes(),
        Decision(obstacle="guest-engine-down", needed=Part.OWN_ENGINE),
    ),
    (
        survey((USUAL, ABSENT), has_dockerd=False, podman="/usr/bin/podman", uid=0, root=Root.IS),
        Wishes(),
        Decision(obstacle="guest-engine-down", needed=Part.ENGINE_START),
    ),
    (
        survey((OWN, ABSENT), (USUAL, READY), has_dockerd=False),
        Wishes(socket=OWN),
        Decision(OWN, obstacle="guest-engine-missing", needed=Part.ENGINE),
    ),
    (survey((OWN, ABSENT), (USUAL, READY), uid=1001), Wishes(socket=OWN), Decision(USUAL)),
    (
        survey((USUAL, DENIED), sudo_relays=True, root=Root.FREE),
        Wishes(),
        Decision(USUAL, obstacle="guest-engine-denied", needed=Part.ENGINE_GROUP),
    ),
    (
        survey((USUAL, DENIED), sudo_relays=True, root=Root.FREE),
        Wishes(declined=frozenset({"engine-group"})),
        Decision(USUAL, is_sudo=True),
    ),
    (survey((USUAL, DENIED), sudo_relays=True, root=Root.ASKS), Wishes(), Decision(USUAL, is_sudo=True)),
    (survey((USUAL, DENIED), sudo_relays=True), Wishes(is_sudo=True), Decision(USUAL, is_sudo=True)),
]


@pytest.mark.parametrize(("guest", "wishes", "wanted"), CASES)
def test_the_engine_is_found_or_what_is_missing_is_named(guest: Survey, wishes: Wishes, wanted: Decision) -> None:
    """The socket that works, else the one that is nearest to it; what was said beforehand counts."""
    assert decide(guest, wishes) == wanted
