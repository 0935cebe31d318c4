"""The path to a VM's engine as people walk it: its steps, and what was found at each."""

from enum import StrEnum

from msgspec import Struct


class PathStep(StrEnum):
    """One step. Which of them lead to a VM, and in which order, says `plan.path`."""

    POWER = "power"
    ADDRESS = "address"
    POOL_KEY = "pool key"
    SECRETS = "secrets"
    ROUTE = "route"
    PORT = "port"
    HANDSHAKE = "handshake"
    HOST_KEY = "host key"
    AUTHENTICATION = "authentication"
    CERTIFICATE = "certificate"
    """The one that the engine shows: its chain, its address, its dates."""
    CLIENT_CERTIFICATE = "client certificate"
    RELAY = "relay"
    SOCKET = "socket"
    PERMISSION = "permission"
    API_VERSION = "API version"
    CONTAINERS = "containers"
    PLAIN_PORT = "plain port"
    """No part of the path: whether the engine also lets in whoever comes, without TLS."""


class StepFinding(Struct, frozen=True, kw_only=True):
    """What was found at one step, and how long that took. ``state`` is ``ok``, ``failed``, or, where a VM has several
    addresses and this one did not lead to it, ``missed``.
    """

    step: str
    state: str
    seconds: float
    finding: str
    address: str = ""
    """Where it was found; empty for what does not depend on it."""
    code: str = ""
    """Of what failed."""
    remedy: str = ""
