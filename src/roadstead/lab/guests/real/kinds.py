"""What a real guest is made of: whose files it has, which engine runs in it, and what its SSH server allows.

A guest has this machine's own files unless it is given a root: the folder of an installed Debian, which it sees as its
own and cannot change. That is how one machine has guests of many releases, each with its own server and engines.
"""

from dataclasses import dataclass
from pathlib import Path

USER = "core"
USER_NUMBER = 61999
DOCKER_GROUP_NUMBER = 61998
HOME = f"/run/home/{USER}"
RUNTIME = f"/run/user/{USER_NUMBER}"
"""What a session manager gives a user who has signed in."""
ROOTLESS = f"{HOME}/engine"
"""Where an engine of the user's own keeps its data."""


@dataclass(frozen=True)
class EngineKind:
    """One engine and how it is started."""

    name: str
    socket: str
    """Its path in the guest."""
    processes: tuple[str, ...]
    """The names of the processes that answer there."""
    command: tuple[str, ...]
    """What starts it; ``{data}`` stands for the folder of its data, ``{group}`` for its containers' control group."""
    leftovers: tuple[str, ...]
    """What one that was killed leaves, and the next one minds."""
    check: tuple[str, ...] = ()
    """What, before a container's name, checks its health, where nothing in a guest does so at intervals."""
    user: str = USER
    """Who may open its socket."""
    is_rootless: bool = False
    """Whether it runs as that user, who may make no control groups: its containers cannot be paused."""
    has_networks: bool = True
    """Whether its containers get a network with published ports without the firewall's tools."""

    def starting(self, data: Path, group: str) -> tuple[str, ...]:
        """The command that starts it with its data in this folder and its containers below this control group."""
        return tuple(word.format(data=data, group=group) for word in self.command)

    def checking(self, data: Path, container: str) -> tuple[str, ...]:
        """The command that checks the health of a container now; empty where the engine does so by itself."""
        return (*(word.format(data=data) for word in self.check), container) if self.check else ()


DOCKER_SOCKET = "/var/run/docker.sock"
PODMAN_SOCKET = "/run/podman/podman.sock"
_AS_USER = (
    "setpriv",
    f"--reuid={USER_NUMBER}",
    f"--regid={USER_NUMBER}",
    "--init-groups",
    "env",
    f"HOME={HOME}",
    f"XDG_RUNTIME_DIR={RUNTIME}",
    "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
)
_PODMAN = ("podman", "--root={data}", "--runroot=/run/containers/storage")
_PODMAN_OF_USER = (*_AS_USER, "podman", f"--root={ROOTLESS}")
# Nothing in a guest keeps a journal, or makes control groups for others.
_ALONE = ("--cgroup-manager=cgroupfs", "--events-backend=file")
_SERVE = ("--log-level=warn", "system", "service", "--time=0")
_CHECK = ("healthcheck", "run")

DOCKER = EngineKind(
    name="docker",
    socket=DOCKER_SOCKET,
    processes=("dockerd",),
    command=(
        "dockerd",
        "--data-root={data}",
        "--cgroup-parent=/{group}",
        "--exec-root=/run/docker",
        "--pidfile=/run/docker.pid",
        f"--host=unix://{DOCKER_SOCKET}",
        "--exec-opt=native.cgroupdriver=cgroupfs",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-masq=false",
        "--bip=192.168.213.1/24",
        # Containers outlive a killed dockerd and are found again, as on hosts that are run with care.
        "--live-restore",
        "--log-level=warn",
    ),
    leftovers=("/run/docker.pid",),
)
PODMAN = EngineKind(
    name="podman",
    socket=PODMAN_SOCKET,
    processes=("podman",),
    command=(*_PODMAN, *_ALONE, *_SERVE, f"unix://{PODMAN_SOCKET}"),
    leftovers=(PODMAN_SOCKET,),
    check=(*_PODMAN, *_ALONE, *_CHECK),
    # Its folder is root's alone.
    user="root",
    has_networks=False,
)
ROOTLESS_DOCKER = EngineKind(
    name="rootless-docker",
    socket=f"{RUNTIME}/docker.sock",
    processes=("dockerd",),
    command=(
        *_AS_USER,
        "sh",
        "/usr/share/docker.io/contrib/dockerd-rootless.sh",
        f"--data-root={ROOTLESS}",
        "--iptables=false",
        "--ip6tables=false",
        "--log-level=warn",
    ),
    leftovers=(f"{RUNTIME}/docker.pid",),
    is_rootless=True,
    has_networks=False,
)
ROOTLESS_PODMAN = EngineKind(
    name="rootless-podman",
    socket=f"{RUNTIME}/podman/podman.sock",
    processes=("podman", "exe"),
    command=(*_PODMAN_OF_USER, *_ALONE, *_SERVE, f"unix://{RUNTIME}/podman/podman.sock"),
    leftovers=(f"{RUNTIME}/podman/podman.sock",),
    check=(*_PODMAN_OF_USER, *_ALONE, *_CHECK),
    is_rootless=True,
    has_networks=False,
)
ENGINES = {kind.name: kind for kind in (DOCKER, PODMAN, ROOTLESS_DOCKER, ROOTLESS_PODMAN)}


@dataclass(frozen=True)
class Kind:
    """What one guest is made of."""

    root: Path | None = None
    """An installed Debian; None is this machine's own."""
    engine: EngineKind = DOCKER
    sshd: tuple[str, ...] = ()
    """Lines of sshd_config that hold whatever a test asks for besides."""
