"""Inputs that once broke a parser: they stay, and are tried again by every run of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def kept(target: str) -> Iterator[bytes]:
    """The inputs that are kept for a target."""
    for path in sorted((FOLDER / target).glob("*.bin")):
        yield path.read_bytes()


def keep(target: str, data: bytes) -> Path:
    """Keep an input, under a name of its own."""
    path = FOLDER / target / f"{sha256(data).hexdigest()[:12]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
