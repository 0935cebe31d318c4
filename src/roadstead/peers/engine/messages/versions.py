"""What an engine says of itself: versions, name, clock, and why it refuses.

Sources: the recordings in ``tests/data/engine``; moby's ``api/docs``. Every path but ``/_ping`` and ``/version``
carries the negotiated version, because a call without one means the engine's newest API, whose fields change.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar

from msgspec import Struct, field

from roadstead.errors import EngineError
from roadstead.model import Engine, VmId
from roadstead.peers.engine.messages.guarded import check_depth, fitted, invalid, tolerant

OLDEST = (1, 24)
"""Docker 1.12."""
NEWEST = (1, 55)
"""Docker 29.7."""
MESSAGE_CHARACTERS = 256
MESSAGE_BYTES = 2**16
"""A longer refusal has no message."""
DEPTH = 64
"""How deep these answers may nest: real ones do half as much."""
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})")

Version = tuple[int, int]
S = TypeVar("S", bound=Struct)


class Component(Struct, gc=False, rename="pascal"):
    """A part of an engine, in ``/version``; Podman calls its first one ``Podman Engine``."""

    name: str = ""


class VersionAnswer(Struct, gc=False):
    """What is read of ``GET /version``."""

    version: str = field(default="", name="Version")
    api_version: str = field(default="", name="ApiVersion")
    oldest: str = field(default="", name="MinAPIVersion")
    git_commit: str = field(default="", name="GitCommit")
    system: str = field(default="", name="Os")
    arch: str = field(default="", name="Arch")
    components: list[Component] = field(default_factory=list, name="Components")


class InfoAnswer(Struct, gc=False):
    """What is read of ``GET /info``."""

    containers: int = field(default=0, name="Containers")
    system: str = field(default="", name="OperatingSystem")
    storage_driver: str = field(default="", name="Driver")
    index_server: str = field(default="", name="IndexServerAddress")
    ipv4_forwarding: bool = field(default=False, name="IPv4Forwarding")


def read_version(data: bytes) -> VersionAnswer:
    """Read the body of ``GET /version``. Raises `EngineError` ``engine-answer-invalid``."""
    return _object(data, VersionAnswer)


def read_info(data: bytes) -> InfoAnswer:
    """Read the body of ``GET /info``. Raises `EngineError` ``engine-answer-invalid``."""
    return _object(data, InfoAnswer)


def parsed_version(text: str) -> Version | None:
    """Return an API version such as ``1.41`` as numbers, or None when it is none."""
    found = _VERSION.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def negotiated(newest: str, oldest: str) -> str:
    """Return the API version to speak with an engine whose own bounds are ``oldest`` (may be unknown) and ``newest``.

    Raises `EngineError` ``engine-unsupported`` when there is no common one, ``engine-answer-invalid`` when ``newest``
    is no version.
    """
    theirs = parsed_version(newest)
    if theirs is None:
        raise invalid("it names no API version")
    if theirs < OLDEST:
        raise _unsupported(newest, "old")
    chosen, floor = min(theirs, NEWEST), parsed_version(oldest)
    if floor is not None and floor > chosen:
        raise _unsupported(oldest, "new")
    return written(chosen)


def written(version: Version) -> str:
    """Return ``version`` as it stands in paths."""
    return f"{version[0]}.{version[1]}"


def described(
    vm: VmId, api_version: str, headers: Mapping[str, str], version: VersionAnswer, info: InfoAnswer
) -> Engine:
    """Return the record of the engine in ``vm`` that answered so and is spoken to in the negotiated ``api_version``;
    ``headers`` are those of ``/_ping``.
    """
    podman = headers.get("server", "").startswith("Libpod/") or any(
        "Podman" in part.name for part in version.components
    )
    return Engine(
        vm=vm,
        name="Podman" if podman else "Docker",
        version=version.version[:MESSAGE_CHARACTERS],
        api_version=api_version,
        os=info.system[:MESSAGE_CHARACTERS],
        # Podman 4.3's ping does not tell it.
        kind="windows" if "windows" in {headers.get("ostype"), version.system} else "linux",
        containers=max(0, info.containers),
        newest_api_version=version.api_version[:MESSAGE_CHARACTERS],
        git_commit=version.git_commit[:MESSAGE_CHARACTERS],
        arch=version.arch[:MESSAGE_CHARACTERS],
        storage_driver=info.storage_driver[:MESSAGE_CHARACTERS],
        index_server=info.index_server[:MESSAGE_CHARACTERS],
        ipv4_forwarding=info.ipv4_forwarding,
    )


def read_date(text: str) -> float | None:
    """Return the time of a ``Date`` header in seconds since the epoch (the engine's clock), None when it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def refusal(status: int, body: bytes) -> EngineError:
    """Return the error for an answer whose status is no success; its message is the engine's own, cut."""
    return EngineError("engine-refused", reason=_message(body) or f"HTTP status {status}", status=status)


def _message(body: bytes) -> str:
    """The three forms of messages: ``{"message"}``, Podman's ``{"cause", "message", "response"}``, plain text."""
    text = body[: 4 * MESSAGE_CHARACTERS]
    if len(body) <= MESSAGE_BYTES and body.lstrip()[:1] == b"{":
        try:
            value = tolerant(body)
        except EngineError:
            value = None
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return str(value["message"])[:MESSAGE_CHARACTERS]
    return text.decode("utf-8", "replace").strip()[:MESSAGE_CHARACTERS]


def _object(data: bytes, kind: type[S]) -> S:
    check_depth(data, DEPTH)
    value = fitted(tolerant(data), kind)
    if value is None:
        raise invalid("it is no JSON object")
    return value


def _unsupported(version: str, direction: str) -> EngineError:
    return EngineError(
        "engine-unsupported", version=version, direction=direction, oldest=written(OLDEST), newest=written(NEWEST)
    )
