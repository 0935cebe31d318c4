"""What a pool publishes of a VM's engine: the values of ``docker_ps``, ``docker_info`` and ``docker_version``.

XenCenter, XCP-ng Center and Xen Orchestra read them, each in its own way: XenCenter takes every ``entry`` for a
container, Xen Orchestra compares ``status`` with whole words. Every account of the pool can read them too, so they
hold what these clients show and no more: no labels, no environment, and no secret that stands in a command.

Nothing in them ages by itself: a phrase like "Up 3 minutes" would have to be written again every minute.
"""

from collections.abc import Iterable, Sequence

from msgspec import json

from roadstead.artifacts import legacy_xml
from roadstead.artifacts.legacy_xml import Value
from roadstead.artifacts.masking import masked
from roadstead.model import Container, Engine, Port

COMMAND_CHARACTERS = 512
SHORT_ID = 10
"""So many digits of the id are the argument of every action of the clients."""
OMITTED = "omitted"
"""The element that says how many containers, or ports of one, are left out, beside those that are there."""
PORTS = 64
"""So many ports of one container are published: clients show a line for each."""
_TRIES = 64
"""So many containers that do not fit are passed over in a list before it ends."""
_STATUS = {
    "running": "Up",
    "paused": "Up (Paused)",
    "created": "Created",
    "removing": "Removal In Progress",
    "dead": "Dead",
}
_ENDED = {"exited": "Exited", "restarting": "Restarting"}
_RUNNING = frozenset({"running", "paused", "restarting"})


def docker_ps(containers: Iterable[Container], limit: int) -> str:
    """Return the list of ``containers`` in at most ``limit`` bytes, as they count in a JSON request.

    Of a longer list those that run come first, then the newest; how many are left out stands in it. One that is too
    large for what is left is passed over, so that it hides no other.
    """
    ordered = sorted(containers, key=_rank)
    room = limit - size(legacy_xml.document("docker_ps", {OMITTED: len(ordered)}))
    items: list[str] = []
    tries = _TRIES
    for container in ordered:
        item = f"<item><entry>{legacy_xml.inner(_entry(container))}</entry></item>"
        if (needed := size(item)) <= room:
            room -= needed
            items.append(item)
        elif not (tries := tries - 1):
            break
    omitted = len(ordered) - len(items)
    if omitted:
        items.append(legacy_xml.element(OMITTED, omitted))
    return legacy_xml.document("docker_ps", legacy_xml.Written("".join(items)))


def docker_info(engine: Engine) -> str:
    """Return what the clients show of the engine's ``/info``; they show it beside ``docker_version`` only."""
    return legacy_xml.document(
        "docker_info",
        {
            "Driver": engine.storage_driver,
            "IndexServerAddress": engine.index_server,
            "IPv4Forwarding": engine.ipv4_forwarding,
            "OSType": engine.kind,
        },
    )


def docker_version(engine: Engine) -> str:
    """Return what the clients show of the engine's ``/version``."""
    return legacy_xml.document(
        "docker_version",
        {
            "Version": engine.version,
            "ApiVersion": engine.newest_api_version,
            "GitCommit": engine.git_commit,
            "Os": engine.kind,
            "Arch": engine.arch,
        },
    )


def size(value: str) -> int:
    """Return how many bytes ``value`` takes in a JSON request."""
    return len(json.encode(value))


def _entry(container: Container) -> dict[str, Value]:
    entry: dict[str, Value] = {
        "id": container.engine_id,
        "names": container.name,
        "container": container.engine_id[:SHORT_ID],
        "status": status(container),
        "created": int(container.created.timestamp()) if container.created else "",
        "image": container.image,
        "command": _command(container.command),
        "ports": _ports(container.ports),
    }
    if container.health:
        entry["health"] = container.health
    return entry


def status(container: Container) -> str:
    """Return the state in the words that the clients compare with."""
    ended = _ENDED.get(container.state)
    if ended is not None:
        return f"{ended} ({container.exit_code or 0})"
    return _STATUS.get(container.state) or container.state.capitalize() or "Unknown"


def _command(command: str) -> str:
    # Cut before, since it costs, and after: what is cut off in its middle no longer looks like the secret that it is.
    # Clean before either: what is dropped must not shorten what was masked.
    return masked(legacy_xml.cleaned(command)[: 2 * COMMAND_CHARACTERS])[:COMMAND_CHARACTERS]


def _ports(ports: Sequence[Port]) -> Value:
    shown: list[Value] = [_port(port) for port in ports[:PORTS]]
    if len(ports) == len(shown):
        return shown
    return legacy_xml.Written(legacy_xml.inner(shown) + legacy_xml.element(OMITTED, len(ports) - len(shown)))


def _port(port: Port) -> dict[str, Value]:
    public: dict[str, Value] = {"PublicPort": port.public} if port.public else {}
    address: dict[str, Value] = {"IP": port.ip} if port.ip else {}
    return {**address, "PrivatePort": port.private, **public, "Type": port.type}


def _rank(container: Container) -> tuple[bool, float, str]:
    created = container.created.timestamp() if container.created else 0.0
    return container.state not in _RUNNING, -created, container.id
