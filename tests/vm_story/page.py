"""The page that says what came of the story's last runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SUITES = {"bookworm": "Debian 12", "trixie": "Debian 13", "sid": "Debian sid"}
PREAMBLE = """\
# A whole VM

Written by `./scripts/vm-story`; do not edit. A VM under QEMU (without KVM), whose image has Debian's kernel,
cloud-init, Docker and OpenSSH, and knows no account of a person, no key and no host name, boots with nothing but the
config drive that `roadstead config-drive create` made in a pool. Its address comes from a DHCP server, and the pool
announces it. Nothing else is done than `roadstead enable`. How to run it and what it needs:
[CONTRIBUTING](../CONTRIBUTING.md#a-whole-vm).
"""


@dataclass
class Told:
    """What came of the story with one release; nothing for one that it was not told with yet."""

    suite: str
    when: str = ""
    fault: str = ""
    """How it ended, if not well."""
    steps: list[tuple[str, float]] = field(default_factory=list)
    """What was done, each with the seconds that it took."""
    packages: dict[str, str] = field(default_factory=dict)
    """What is in the image, with versions."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return sum(seconds for _, seconds in self.steps)


def document(stories: Sequence[Told], processors: int) -> Iterator[str]:
    """Return the lines of the page."""
    yield PREAMBLE
    yield "| release | kernel | cloud-init | SSH server | engine | result | took | on |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from (_line(one) for one in stories)
    yield ""
    yield f"The times are those of a machine with {processors} processors, on which other work was done, too."
    for one in stories:
        yield from _steps(one)
    yield ""


def _line(one: Told) -> str:
    packages = ("linux-image-cloud-amd64", "cloud-init", "openssh-server", "docker.io")
    versions = [one.packages.get(name, "?") for name in packages]
    mark = "FAILED" if one.fault else "green" if one.when else "not run yet"
    return f"| {' | '.join((SUITES[one.suite], *versions, mark, f'{one.seconds:.0f} s', one.when))} |"


def _steps(one: Told) -> Iterator[str]:
    if not one.when:
        return
    yield f"\n## {SUITES[one.suite]}\n"
    yield "| step | took |"
    yield "|---|---|"
    yield from (f"| {what} | {seconds:.1f} s |" for what, seconds in one.steps)
    if one.fault:
        yield f"\nThen it failed: {one.fault}"
