"""Weights are near the memory that records really take, so that bounds on them hold."""

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from roadstead.model import Container, Port, weight
from tests.unit.fakes import records

COUNT = 200
WIDE = chr(0x1F600)


def _plain(number: int) -> Container:
    return records.container(number, name=f"web-{number}-x", status=f"Up {number} hours")


def _labelled(number: int) -> Container:
    return records.container(number, labels={f"org.example.key-{number}-{key}": f"{number}-{key}" for key in range(12)})


def _crowded(number: int) -> Container:
    return records.container(number, labels={f"{number:03}{key:04}": f"{number}{key}" for key in range(1000)})


def _wide(number: int) -> Container:
    labels = {f"{number}-{key}": "x" * 3900 + WIDE for key in range(16)}
    return records.container(number, labels=labels, command="y" * 2000 + WIDE)


def _ported(number: int) -> Container:
    return records.container(number, ports=tuple(Port(port, "tcp", port, f"10.0.{number}.1") for port in range(300)))


@pytest.mark.parametrize("made", [_plain, _labelled, _crowded, _wide, _ported])
def test_a_container_weighs_what_it_takes(made: Callable[[int], Container]) -> None:
    """Whether it says little, wears many small labels, or one wide character in each of a few large ones."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    containers = [made(number) for number in range(COUNT)]
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert 0.75 < sum(map(weight, containers)) / taken < 1.6


def test_other_records_weigh_at_least_what_they_say() -> None:
    """A VM's settings are its administrator's own texts."""
    assert weight(records.vm(settings={"key": "v" * 10_000})) > 10_000
    assert weight(records.vm(settings={"key": "v" * 9_999 + WIDE})) > 40_000
