"""What tells one engine release from another, as data, so that the simulated engine itself has no special cases.

The values of `RECORDED` were seen on running engines; `tests/data/engine/` holds the recordings that the tests compare
with. The others stand in for engines that no recording exists of, by what their upstreams document and publish.
"""

from __future__ import annotations

from dataclasses import dataclass

from roadstead.lab.guests import containers

Version = tuple[int, int]

NEW_EVENTS: Version = (1, 52)
"""From here on events lack `status`, `id` and `from`, and lists carry `Health` (Docker 29)."""

JSON_ERRORS: Version = (1, 24)
"""Below this requested version most engines answer errors as plain text."""


def parse_version(text: str) -> Version:
    """`"1.41"` as `(1, 41)`; raises ValueError when it is something else."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def show_version(version: Version) -> str:
    """`(1, 41)` as `"1.41"`."""
    return f"{version[0]}.{version[1]}"


@dataclass(frozen=True, slots=True)
class Profile:
    """One engine release."""

    name: str
    version: str
    api: Version
    min_api: Version
    podman: bool = False
    negotiates: bool = True
    """Whether a version in the path is checked at all (Podman takes any)."""
    pings_version: bool = True
    """Whether `/_ping` tells the version (engines before 1.13 do not)."""
    pings_builder: bool = True
    """Whether `/_ping` has `Builder-Version` and `Swarm`."""
    pings_ostype: bool = True
    tells_oldest: bool = True
    """Whether `/version` has `MinAPIVersion` (engines before 1.13 do not)."""
    die_before_stop: bool = False
    """Docker 20.10 says `die` before `stop`, later ones after it."""
    die_has_duration: bool = True
    text_errors: bool = True
    """Whether errors below API 1.24 are plain text."""
    upper_case_errors: bool = False
    """20.10 writes `Container X is not running`, later ones `container X …`."""
    one_shot_waits: bool = False
    one_shot_names: bool = True
    """Whether a one-shot statistic carries `id` and `name`."""
    exit_code_everywhere: bool = False
    """Podman 4 puts `containerExitCode` into every event."""
    buildah: str = ""
    ostype: str = "linux"
    """``linux`` or ``windows``, as engines name their system."""

    @property
    def server(self) -> str:
        """The `Server` header."""
        return f"{'Libpod' if self.podman else 'Docker'}/{self.version} ({self.ostype})"

    @property
    def is_windows(self) -> bool:
        """Whether it is an engine of Windows Server."""
        return self.ostype == "windows"

    @property
    def catalogue(self) -> tuple[containers.Image, ...]:
        """The images that its containers are made from."""
        return containers.WINDOWS_CATALOGUE if self.is_windows else containers.CATALOGUE


_RECORDED = (
    Profile(
        "docker-20.10",
        "20.10.24+dfsg1",
        (1, 41),
        (1, 12),
        pings_builder=False,
        die_before_stop=True,
        die_has_duration=False,
        upper_case_errors=True,
        one_shot_waits=True,
    ),
    Profile("docker-26.1", "26.1.5+dfsg1", (1, 45), (1, 24), text_errors=False, one_shot_names=False),
    Profile("docker-28.5", "28.5.2+dfsg4", (1, 51), (1, 24), one_shot_names=False),
    Profile("docker-29.7", "29.7.2", (1, 55), (1, 40)),
    Profile(
        "podman-4.3",
        "4.3.1",
        (1, 41),
        (1, 24),
        podman=True,
        negotiates=False,
        pings_ostype=False,
        exit_code_everywhere=True,
        buildah="1.28.2",
    ),
    Profile("podman-5.4", "5.4.2", (1, 41), (1, 24), podman=True, negotiates=False, buildah="1.39.3"),
)
_UNRECORDED = (
    # As moby's source says (daemon/*_windows.go).
    Profile("windows-2022", "28.5.2", (1, 51), (1, 24), pings_builder=False, one_shot_names=False, ostype="windows"),
    Profile(
        "docker-1.11",
        "1.11.2",
        (1, 23),
        (1, 12),
        pings_version=False,
        pings_builder=False,
        die_before_stop=True,
        die_has_duration=False,
        upper_case_errors=True,
        one_shot_waits=True,
    ),
    Profile(
        "docker-1.12",
        "1.12.6",
        (1, 24),
        (1, 12),
        pings_version=False,
        pings_builder=False,
        pings_ostype=False,
        tells_oldest=False,
        die_before_stop=True,
        die_has_duration=False,
        upper_case_errors=True,
        one_shot_waits=True,
    ),
    *(
        Profile(
            name,
            version,
            api,
            (1, 12),
            pings_builder=False,
            die_before_stop=True,
            die_has_duration=False,
            upper_case_errors=True,
            one_shot_waits=True,
        )
        for name, version, api in (
            ("docker-1.13", "1.13.1", (1, 26)),
            ("docker-18.09", "18.09.9", (1, 39)),
            ("docker-19.03", "19.03.15", (1, 40)),
        )
    ),
    Profile("docker-24.0", "24.0.9", (1, 43), (1, 12), text_errors=False, one_shot_names=False),
    Profile("docker-25.0", "25.0.5", (1, 44), (1, 24), text_errors=False, one_shot_names=False),
    Profile("docker-27.5", "27.5.1", (1, 47), (1, 24), text_errors=False, one_shot_names=False),
    Profile("docker-29.0", "29.0.4", (1, 52), (1, 44)),
    Profile("docker-29.2", "29.2.1", (1, 53), (1, 44)),
    Profile("docker-29.3", "29.3.0", (1, 54), (1, 40)),
    Profile(
        "podman-3.0",
        "3.0.1",
        (1, 40),
        (1, 24),
        podman=True,
        negotiates=False,
        pings_ostype=False,
        exit_code_everywhere=True,
        buildah="1.19.6",
    ),
    Profile("podman-5.8", "5.8.0", (1, 44), (1, 24), podman=True, negotiates=False, buildah="1.43.0"),
)

RECORDED = frozenset(profile.name for profile in _RECORDED)
"""Those whose every answer is compared with a recording."""
PROFILES: dict[str, Profile] = {profile.name: profile for profile in (*_RECORDED, *_UNRECORDED)}
"""Every engine release that can be simulated; `docker-1.11` is too old for Roadstead."""

WINDOWS_PROFILE = "windows-2022"

DEFAULT_PROFILE = "docker-28.5"
