"""Keeps the lock files in step with what pyproject.toml asks for, as far as that can be told without a registry."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.shape.measure import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEPENDENCIES: list[str] = PROJECT["project"]["dependencies"]
DEVELOPMENT: list[str] = PROJECT["dependency-groups"]["dev"]


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {
        canonicalize_name(found[1]): found[2] for found in re.finditer(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        pytest.param("requirements.lock", DEPENDENCIES, id="product"),
        pytest.param("requirements-dev.lock", DEPENDENCIES + DEVELOPMENT, id="development"),
    ],
)
def test_lock_answers_every_requirement(lock: str, wanted: list[str]) -> None:
    """Every requirement of pyproject.toml is pinned, at a version that it allows."""
    pins = _pins(lock)
    requirements = [Requirement(text) for text in wanted]

    missing = [str(each) for each in requirements if canonicalize_name(each.name) not in pins]
    wrong = [
        str(each) for each in requirements if not each.specifier.contains(pins.get(canonicalize_name(each.name), ""))
    ]

    assert not missing
    assert not wrong


def test_locks_agree() -> None:
    """What people run is what was tested: both lock files pin the same versions."""
    product, development = _pins("requirements.lock"), _pins("requirements-dev.lock")

    assert not {name: version for name, version in product.items() if development.get(name) != version}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_lock_has_hashes_and_no_index(lock: str) -> None:
    """Every pin has its hashes, and the index is the one that pip is configured with."""
    text = (ROOT / lock).read_text(encoding="utf-8")

    assert all("--hash=sha256:" in block for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:])
    assert "index-url" not in text
