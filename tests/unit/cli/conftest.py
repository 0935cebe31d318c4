"""The canned server as a fixture."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.canned import Canned


@pytest.fixture
def canned(tmp_path: Path) -> Iterator[Canned]:
    """A server with canned answers on a socket of its own."""
    server = Canned(tmp_path / "s")
    yield server
    server.close()
