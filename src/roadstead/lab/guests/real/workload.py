"""What runs in a real guest: busybox containers that look like somebody's small shop, in all the states there are."""

import io
import itertools
import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from roadstead.errors import StartError
from roadstead.lab.guests.real.dockerd import Dockerd
from roadstead.lab.guests.real.kinds import DOCKER, EngineKind

BASE_IMAGE = "lab/busybox:1"
APPLETS = ("sh", "ash", "cat", "date", "echo", "hostname", "httpd", "kill", "ls", "nc", "ps", "sleep", "top", "wget")
PARALLEL_STARTS = 3
PAUSE_TRIES = 3
SECOND_NS = 1_000_000_000
PROBE_SECONDS = 10
PROBE_LIMIT_SECONDS = 5

IDLE = ("sh", "-c", "trap 'exit 0' TERM; while :; do date; sleep 5 & wait $!; done")


@dataclass(frozen=True)
class Recipe:
    """One container to make."""

    name: str
    image: str = BASE_IMAGE
    command: tuple[str, ...] = IDLE
    ports: tuple[tuple[int, int], ...] = ()
    """Pairs of the guest's port and the container's."""
    labels: dict[str, str] = field(default_factory=dict)
    probe: tuple[str, ...] = ()
    """The command of its health check, if it has one."""
    state: str = "running"
    """``created``, ``running``, ``paused`` or ``exited`` (it ends by itself)."""
    restart: str = "unless-stopped"

    def settings(self) -> dict[str, Any]:
        """The body of the engine's create call."""
        health = {
            "Test": ["CMD", *self.probe],
            "Interval": PROBE_SECONDS * SECOND_NS,
            "Timeout": PROBE_LIMIT_SECONDS * SECOND_NS,
            "Retries": 1,
        }
        return {
            "Image": self.image,
            "Cmd": list(self.command),
            "Hostname": self.name,
            "Labels": self.labels,
            "ExposedPorts": {f"{inner}/tcp": {} for _, inner in self.ports},
            "HostConfig": {
                "PortBindings": {f"{inner}/tcp": [{"HostPort": str(outer)}] for outer, inner in self.ports},
                "RestartPolicy": {"Name": "no" if self.state == "exited" else self.restart},
                "NetworkMode": "bridge" if self.ports else "none",
            },
            **({"Healthcheck": health} if self.probe else {}),
        }


SHOP = {"com.docker.compose.project": "shop"}
RECIPES = (
    Recipe("web", "lab/web:1.4", ("httpd", "-f", "-p", "80"), ((8080, 80),), SHOP | {"tier": "front"}, ("true",)),
    Recipe("db", "lab/db:16", labels=SHOP | {"tier": "back"}),
    Recipe("cache", "lab/cache:7", labels=SHOP | {"tier": "back"}),
    Recipe("backup", "lab/backup:2", ("echo", "nothing to back up"), labels={"schedule": "nightly"}, state="exited"),
    Recipe("batch", "lab/batch:0.9", state="paused"),
    Recipe("mail", "lab/mail:3", probe=("false",)),
    Recipe("queue", "lab/queue:3", labels=SHOP | {"tier": "back"}),
    Recipe("report", "lab/batch:0.9", ("sh", "-c", "echo out of paper; exit 3"), state="exited"),
)


def recipes(count: int, engine: EngineKind = DOCKER) -> list[Recipe]:
    """The first ``count`` containers of a guest, the same ones each time, as far as its engine can have them."""
    return [_fitted(recipe, engine) for recipe in itertools.islice(_endless(), count)]


def _fitted(recipe: Recipe, engine: EngineKind) -> Recipe:
    ports = recipe.ports if engine.has_networks else ()
    state = "running" if engine.is_rootless and recipe.state == "paused" else recipe.state
    return replace(recipe, ports=ports, state=state)


def _endless() -> Iterator[Recipe]:
    for turn in itertools.count(1):
        for recipe in RECIPES:
            if turn == 1:
                yield recipe
            else:
                ports = tuple((outer + turn - 1, inner) for outer, inner in recipe.ports)
                yield replace(recipe, name=f"{recipe.name}-{turn}", ports=ports)


def install(engine: Dockerd, wanted: Iterable[Recipe]) -> None:
    """Make the containers that are not there yet, a few at a time, and bring each into its state."""
    known = {name for container in engine.containers() for name in container["Names"]}
    missing = [recipe for recipe in wanted if f"/{recipe.name}" not in known]
    if not missing:
        return
    if not engine.has_image(BASE_IMAGE):
        engine.load(BASE_IMAGE, image_archive())
    for image in {recipe.image for recipe in missing}:
        engine.tag(BASE_IMAGE, image)
    with ThreadPoolExecutor(PARALLEL_STARTS, thread_name_prefix="lab containers") as threads:
        list(threads.map(lambda recipe: _bring_up(engine, recipe), missing))


def _bring_up(engine: Dockerd, recipe: Recipe) -> None:
    container = engine.create(recipe.name, recipe.settings())
    if recipe.state == "created":
        return
    engine.act("start", container)
    if recipe.state == "exited":
        engine.act("wait", container)
    if recipe.state == "paused":
        _pause(engine, container)


def _pause(engine: Dockerd, container: str) -> None:
    """Pause a container. Debian 11's runc (1.0.0-rc93) now and then is "unable to freeze" one on a busy machine."""
    for _ in range(PAUSE_TRIES - 1):
        try:
            engine.act("pause", container)
        except StartError:
            continue
        return
    engine.act("pause", container)


def image_archive() -> bytes:
    """The files of the image: Debian's static busybox and the names it answers to."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(_busybox(), "bin/busybox", filter=_owned_by_root)
        for applet in (*APPLETS, "true", "false"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return archive.getvalue()


def _busybox() -> Path:
    return Path("/bin/busybox").resolve()


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
