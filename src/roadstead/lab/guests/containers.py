"""The containers of a simulated guest: one small object each, because a lab holds tens of thousands of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

RUNNING_STATES = frozenset(("running", "paused", "restarting"))
"""States that a list without `all` shows."""

HEX_DIGITS = 64
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
OLDEST_DAYS = 30
PUBLISHED_SHARE = 0.5
"""How many of the furnished containers publish their ports."""
_STATES = ("created", "exited", "paused", "running")
_STATE_SHARES = (0.05, 0.1, 0.05, 0.8)


class Image(NamedTuple):
    """What containers are made from; shared by all of them."""

    name: str
    role: str
    command: tuple[str, ...]
    ports: tuple[tuple[int, str], ...] = ()
    """Exposed ports: number and protocol."""
    has_health: bool = False
    isolation: str = ""
    """On Windows, ``process`` or ``hyperv``."""
    tty: bool = False
    """Whether its containers have a terminal of their own."""
    log_driver: str = "json-file"


class Port(NamedTuple):
    """A published port."""

    private: int
    public: int
    protocol: str


CATALOGUE = (
    Image("nginx:1.27", "web", ("/docker-entrypoint.sh", "nginx", "-g", "daemon off;"), ((80, "tcp"),)),
    Image("redis:7.4", "cache", ("docker-entrypoint.sh", "redis-server"), ((6379, "tcp"),), has_health=True),
    Image("postgres:16", "db", ("docker-entrypoint.sh", "postgres"), ((5432, "tcp"),), has_health=True),
    Image("rabbitmq:4", "queue", ("docker-entrypoint.sh", "rabbitmq-server"), ((5672, "tcp"), (15672, "tcp"))),
    Image("haproxy:3.0", "balancer", ("docker-entrypoint.sh", "haproxy", "-f", "/etc/haproxy.cfg"), ((443, "tcp"),)),
    Image("python:3.12-slim", "worker", ("sh", "-c", "while true; do python -m worker; done")),
    Image("coredns:1.11", "dns", ("/coredns", "-conf", "/Corefile"), ((53, "udp"), (53, "tcp"))),
    Image("busybox:1.36", "job", ("sh", "-c", "while true; do sleep 1; done")),
)

_WINDOWS = "mcr.microsoft.com/windows"
WINDOWS_CATALOGUE = (
    Image(
        f"{_WINDOWS}/servercore/iis:windowsservercore-ltsc2022",
        "web",
        ("C:\\ServiceMonitor.exe", "w3svc"),
        ((80, "tcp"),),
        isolation="process",
    ),
    Image(f"{_WINDOWS}/nanoserver:ltsc2022", "job", ("cmd", "/S", "/C", "ping -t localhost >NUL"), isolation="process"),
    Image(
        f"{_WINDOWS}/servercore:ltsc2022", "worker", ("powershell", "-File", "C:\\app\\worker.ps1"), isolation="process"
    ),
    Image(
        f"{_WINDOWS}/servercore:ltsc2019",
        "legacy",
        ("cmd", "/S", "/C", "C:\\app\\serve.cmd"),
        ((8080, "tcp"),),
        isolation="hyperv",
    ),
)
"""An image of an older Windows runs in a virtual machine of its own only."""


class Container:
    """One container; times are nanoseconds of the engine's clock, 0 where it never happened."""

    __slots__ = (
        "created_ns",
        "exit_code",
        "finished_ns",
        "health",
        "id",
        "ignores_sigterm",
        "image",
        "labels",
        "name",
        "oom_killed",
        "ports",
        "restart_count",
        "started_ns",
        "state",
    )

    def __init__(self, identity: str, name: str, image: Image, created_ns: int) -> None:
        self.id = identity
        self.name = name
        self.image = image
        self.created_ns = created_ns
        self.state = "created"
        self.health = ""
        self.exit_code = 0
        self.started_ns = 0
        self.finished_ns = 0
        self.ports: tuple[Port, ...] = ()
        self.labels: tuple[tuple[str, str], ...] = ()
        self.restart_count = 0
        self.oom_killed = False
        self.ignores_sigterm = False

    def __repr__(self) -> str:
        return f"<{self.name} {self.state} {self.id[:12]}>"

    @property
    def is_running(self) -> bool:
        """Whether it has a process: running or paused."""
        return self.state in ("running", "paused")


def make_id(chance: random.Random) -> str:
    """64 hexadecimal digits, as engines name containers, images, networks and execs."""
    return f"{chance.getrandbits(4 * HEX_DIGITS):0{HEX_DIGITS}x}"


_APPLICATIONS = ("shop", "billing", "intranet", "monitoring")
_LABELS = tuple((("com.example.application", name), ("com.example.tier", "lab")) for name in _APPLICATIONS)


def furnish(chance: random.Random, count: int, now_ns: int, catalogue: Sequence[Image] = CATALOGUE) -> list[Container]:
    """`count` containers as a guest has them that has been up for a while, oldest first, most of them running."""
    ages = sorted((chance.randrange(HOUR_NS, OLDEST_DAYS * DAY_NS) for _ in range(count)), reverse=True)
    return [_make(chance, index, now_ns - age, catalogue) for index, age in enumerate(ages, start=1)]


def _make(chance: random.Random, index: int, created_ns: int, catalogue: Sequence[Image]) -> Container:
    image = catalogue[chance.randrange(len(catalogue))]
    container = Container(make_id(chance), f"{image.role}-{index}", image, created_ns)
    container.labels = _LABELS[chance.randrange(len(_LABELS))]
    if chance.random() < PUBLISHED_SHARE:
        container.ports = tuple(Port(number, 8000 + index, protocol) for number, protocol in image.ports)
    state = chance.choices(_STATES, _STATE_SHARES)[0]
    _age(container, "running" if state == "paused" and image.isolation == "process" else state)
    return container


def _age(container: Container, state: str) -> None:
    container.state = state
    if state == "created":
        return
    container.started_ns = container.created_ns + 10**9
    if state == "exited":
        container.finished_ns = container.started_ns + HOUR_NS // 2
    else:
        container.health = "healthy" if container.image.has_health else ""
