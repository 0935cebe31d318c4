"""The worlds that tests of the plugin run in, one for each kind of interpreter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.dom0 import pythons
from tests.unit.dom0.world import World, world


@pytest.fixture(params=[pythons.OLDEST, pythons.OURS])
def host(request: pytest.FixtureRequest) -> Iterator[World]:
    """A host whose control domain has the oldest Python, or ours."""
    yield from _host(request.param)


@pytest.fixture(params=pythons.OTHERS)
def other_host(request: pytest.FixtureRequest) -> Iterator[World]:
    """A host with one of the Pythons between and after."""
    yield from _host(request.param)


def _host(name: str) -> Iterator[World]:
    python = pythons.find(name)
    # The path of a Unix socket is short.
    with tempfile.TemporaryDirectory(prefix="host-") as folder, world(Path(folder), python) as made:
        yield made
