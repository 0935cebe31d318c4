"""Which steps lead to a VM's engine, and at which of them a failure happened.

A link tells what it has got past (`peers.links.witness`); so what failed is the step after that. Some failures say
more: whoever showed a certificate has shaken hands so far, and a socket that is not there was looked for.
"""

from collections.abc import Mapping

from roadstead.errors import RoadsteadError
from roadstead.model import PathStep, config_keys
from roadstead.peers.links.credentials import Whose

Path = tuple[PathStep, ...]
_TO_THE_PORT = (PathStep.ROUTE, PathStep.PORT, PathStep.HANDSHAKE)
_AT_THE_ENGINE = (PathStep.API_VERSION, PathStep.CONTAINERS, PathStep.PLAIN_PORT)
_AT_THE_SOCKET = (PathStep.RELAY, PathStep.SOCKET, PathStep.PERMISSION)
SSH: Path = (
    PathStep.POWER,
    PathStep.ADDRESS,
    PathStep.POOL_KEY,
    *_TO_THE_PORT,
    PathStep.HOST_KEY,
    PathStep.AUTHENTICATION,
    *_AT_THE_SOCKET,
    *_AT_THE_ENGINE,
)
TLS: Path = (
    PathStep.POWER,
    PathStep.ADDRESS,
    PathStep.SECRETS,
    *_TO_THE_PORT,
    PathStep.CERTIFICATE,
    PathStep.CLIENT_CERTIFICATE,
    *_AT_THE_ENGINE,
)
UNIX: Path = (PathStep.SOCKET, PathStep.PERMISSION, PathStep.API_VERSION, PathStep.CONTAINERS)
"""An engine on this machine."""
_HOST_KEY, _CERTIFICATE = PathStep.HOST_KEY, PathStep.CERTIFICATE
_TELLING: Mapping[str, PathStep] = {
    "host-key-type-gone": _HOST_KEY,
    "host-key-not-as-said": _HOST_KEY,
    "tls-untrusted": _CERTIFICATE,
    "tls-wrong-address": _CERTIFICATE,
    "tls-client-rejected": PathStep.CLIENT_CERTIFICATE,
    "no-relay": PathStep.RELAY,
    "no-sudo": PathStep.RELAY,
    "too-few-sessions": PathStep.RELAY,
    "engine-unreachable": PathStep.RELAY,
    "no-engine-socket": PathStep.SOCKET,
    "engine-down": PathStep.SOCKET,
    "engine-socket-denied": PathStep.PERMISSION,
    "engine-timed-out": PathStep.API_VERSION,
    "engine-refused": PathStep.API_VERSION,
    "engine-answer-invalid": PathStep.API_VERSION,
    "engine-unsupported": PathStep.API_VERSION,
    "engine-too-large": PathStep.CONTAINERS,
}
"""Failures that tell by themselves how far one got at least."""
_IMPLIED = frozenset({PathStep.HANDSHAKE, _CERTIFICATE, PathStep.CLIENT_CERTIFICATE, PathStep.SOCKET})
"""Steps that a failure at a later one shows to be passed. Of the relay nothing is known while no socket opens."""


def failing(path: Path, passed: int, error: RoadsteadError) -> int:
    """Return the place in ``path`` of the step at which ``error`` happened, ``passed`` steps having been passed."""
    told = _told(error)
    least = path.index(told) if told in path else 0
    return max(min(passed, len(path) - 1), least)


def implied(path: Path, passed: int, failed: int) -> Path:
    """Return the steps between the last that was ``passed`` and the one that ``failed`` which must be passed too."""
    return tuple(step for step in path[passed:failed] if step in _IMPLIED) if passed > _answer(path) else ()


def _told(error: RoadsteadError) -> PathStep | None:
    if error.code == "setting-invalid" and error.fields.get("key") == config_keys.HOST_KEY:
        return _HOST_KEY
    if error.code == "tls-expired" and error.fields.get("whose") == Whose.ENGINE:
        return _CERTIFICATE
    return _TELLING.get(error.code)


def _answer(path: Path) -> int:
    """The place of the first step that somebody else answers: before it nothing is implied."""
    return path.index(PathStep.PORT) if PathStep.PORT in path else -1
