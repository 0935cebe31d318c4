"""Finds the interpreters that the plugin has to run under: hosts have old ones, and new ones are coming."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.unit.shape.measure import ROOT

OLDEST = "2.7"
OURS = "ours"
OTHERS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.12", "3.13")


def find(name: str) -> str:
    """The path of an interpreter. Where there is none the test is skipped, save that CI must have the oldest."""
    if name == OURS:
        return sys.executable
    found, reason = _fetched() if name == OLDEST else _installed(name)
    if not found and name == OLDEST and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if not found:
        pytest.skip(reason)
    return found


@cache
def _fetched() -> tuple[str, str]:
    """Python 2.7, or nothing and why it cannot be had."""
    run = subprocess.run([str(ROOT / "scripts" / "python2")], capture_output=True, text=True, check=False)
    return run.stdout.strip(), run.stderr.strip()


@cache
def _installed(version: str) -> tuple[str, str]:
    """An interpreter of the PATH or of pyenv, or nothing and why."""
    kept = Path.home() / ".pyenv" / "versions"
    for candidate in (f"python{version}", *map(str, kept.glob(f"{version}.*/bin/python"))):
        # A shim of pyenv is found by its name and runs nothing.
        command = [candidate, "-c", "import sys; print(sys.executable)"]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            continue
        if run.returncode == 0:
            return run.stdout.strip(), ""
    return "", f"no Python {version} on this machine"
