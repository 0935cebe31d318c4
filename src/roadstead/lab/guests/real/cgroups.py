"""The control groups of a real guest's containers: outside every namespace, so they must be tidied by hand."""

from pathlib import Path

from roadstead.lab.guests.real import commands
from roadstead.lab.guests.real.inside import CGROUPS, thaw

EMPTY_SECONDS = 5.0


def name_of(wire: str) -> str:
    """The group of the guest on a wire, below every hierarchy's root."""
    return f"roadstead-lab-{wire}"


def release(group: str) -> None:
    """Thaw and remove a guest's groups once their last processes have ended."""
    thaw(group)
    commands.wait_until(lambda: _removed(group), EMPTY_SECONDS)


def _removed(group: str) -> bool:
    for top in _tops(group):
        for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            _remove(folder)
        _remove(top)
    return not _tops(group)


def _tops(group: str) -> list[Path]:
    """The group in every hierarchy: cgroup v2 has one, v1 one for each controller."""
    return [path for path in (CGROUPS / group, *CGROUPS.glob(f"*/{group}")) if path.is_dir()]


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        # Still in use: asked again.
        return
