"""The cloud-inits of Debian's releases, as ``scripts/setup`` unpacks them, and what is taken of their schemas."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / ".venv" / "cloud-init"
PACKAGES = Path("usr", "lib", "python3", "dist-packages")
RELEASES = tuple(FOLDER / "releases" / name for name in ("bookworm", "trixie", "sid"))
SCHEMA = PACKAGES / "cloudinit" / "config" / "schemas" / "schema-cloud-config-v1.json"
PYTHON = "/usr/bin/python3"
PROSE = {"description", "title", "markdownDescription", "examples", "default", "label"}
"""What a schema says to people, which decides nothing."""
NAMED = {"properties", "patternProperties", "$defs"}


def bare(schema: Any, *, is_named: bool = False) -> Any:
    """A schema without its prose; below `NAMED` stand names of settings, which may be called like prose."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if is_named or name not in PROSE}
    return {name: bare(value, is_named=not is_named and name in NAMED) for name, value in kept.items()}


def version(release: Path) -> str:
    """Which version a release has."""
    return run(release, "from cloudinit import version; print(version.version_string())").stdout.strip()


def run(release: Path, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of Python's with the cloud-init of a release, and the libraries of this machine's."""
    return subprocess.run(
        [PYTHON, "-W", "ignore", "-c", program, *arguments],
        env={"PYTHONPATH": f"{release / PACKAGES}:{FOLDER / PACKAGES}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
