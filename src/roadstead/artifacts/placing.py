"""The plugin's way into a host: the command that runs there, what it is given, and what it answers.

What runs is `dom0/placer`, which tells more; it, the plugin and the program that comes with it are files of this
package.
"""

import hashlib
import shlex
from importlib.metadata import version
from importlib.resources import files

from msgspec import DecodeError, Struct, json

VERSION = version("roadstead")
PLUGIN = (files("roadstead.artifacts") / "dom0" / "xscontainer").read_bytes()
PROGRAM = (files("roadstead.artifacts") / "dom0" / "xscontainer-prepare-vm").read_bytes()
_PLACER = (files("roadstead.artifacts") / "dom0" / "placer").read_text(encoding="utf-8")
MARK = "roadstead-placer:"
"""What stands before the answer; whatever a shell printed before it does not count."""
_NO_PYTHON = f'{MARK}{{"problem":"host-without-python"}}'
_SHELL = (
    "for python in python3 python2.7 python2; do"
    ' command -v "$python" >/dev/null 2>&1 && exec "$python" -E -s -c "$1"; '
    f"done; echo; echo {shlex.quote(_NO_PYTHON)}"
)
COMMAND = f"exec /bin/sh -c {shlex.quote(_SHELL)} placer {shlex.quote(_PLACER)}"
"""What is run, whatever the login shell is; it reads a `request`."""
ACTIONS = ("look", "install", "uninstall")


class Paths(Struct, frozen=True):
    """Where things are in a control domain."""

    plugin: str = "/etc/xapi.d/plugins/xscontainer"
    program: str = "/usr/bin/xscontainer-prepare-vm"
    """Where the old pack had it."""
    inventory: str = "/etc/xensource-inventory"
    kept: str = "/var/lib/roadstead"
    """What belongs to the plugin; not beside it, where XAPI would take it for another plugin."""


class Told(Struct, frozen=True):
    """The answer: the ``state`` that the plugin is in now, or the code of a ``problem`` and its ``reason``."""

    state: str = ""
    version: str = ""
    former: str = ""
    """The version that was there before."""
    backup: str = ""
    """Where a foreign plugin that was there is kept."""
    python: str = ""
    problem: str = ""
    reason: str = ""


STATES = frozenset({
    "absent", "ours", "copied", "foreign", "package",
    "installed", "replaced", "unchanged", "removed", "restored",
})  # fmt: skip
PROBLEMS = frozenset({"host-not-control-domain", "host-plugin-failed", "host-without-python"})


def request(action: str, paths: Paths | None = None) -> bytes:
    """Return what the command reads."""
    where = paths or Paths()
    asked = {
        "action": action,
        "version": VERSION,
        "plugin": where.plugin,
        "sha256": hashlib.sha256(PLUGIN).hexdigest(),
        "size": len(PLUGIN),
        "program": where.program,
        "program_sha256": hashlib.sha256(PROGRAM).hexdigest(),
        "inventory": where.inventory,
        "kept": where.kept,
    }
    return json.encode(asked) + b"\n" + (PLUGIN + PROGRAM if action == "install" else b"")


def told(output: bytes) -> Told | None:
    """Return the answer that stands in what the command said; None where there is none that could be ours."""
    for line in output.splitlines():
        if line.startswith(MARK.encode()):
            try:
                found = json.decode(line[len(MARK) :], type=Told)
            except (DecodeError, UnicodeDecodeError):
                return None
            return found if found.state in STATES or found.problem in PROBLEMS else None
    return None
