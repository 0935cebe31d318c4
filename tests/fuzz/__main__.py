"""Tries to break the parsers of what guests say, for some seconds: ``scripts/fuzz SECONDS [TARGET…] [--seed N]``.

The processors share the targets. What breaks one is made small by hypothesis, kept in ``tests/fuzz/corpus`` and shown.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from os import cpu_count

import hypothesis
from hypothesis import HealthCheck

from tests.fuzz import corpus
from tests.fuzz.inputs import inputs
from tests.fuzz.targets import TARGETS

ROUND = 300
"""Inputs between two looks at the clock."""
SLOW_SECONDS = 2.0
"""Of processor time for one input, of at most 256 KiB: a hundred times what the slowest honest one takes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 1 when something broke."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    asked = parser.parse_args(arguments)
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    names = asked.targets or list(TARGETS)
    workers = min(cpu_count() or 1, len(names))
    share = asked.seconds * workers / len(names)
    print(f"fuzz: {len(names)} targets, {share:.1f} s each, --seed {asked.seed}")
    with ProcessPoolExecutor(workers) as pool:
        told = list(pool.map(tried, names, [share] * len(names), [asked.seed] * len(names)))
    for count, broken in told:
        print(broken or count)
    return int(any(broken for _, broken in told))


def tried(name: str, seconds: float, seed: int) -> tuple[str, str]:
    """Try one target; return how many inputs it took, and what broke it."""
    random.seed(seed)
    last, count, end = b"", 0, time.monotonic() + seconds

    def check(data: bytes) -> None:
        nonlocal last, count
        last, count = data, count + 1
        once(name, data)

    quiet = hypothesis.settings(
        max_examples=ROUND, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
    )
    rounds = 0
    try:
        for data in (*TARGETS[name].seeds, *corpus.kept(name)):
            check(data)
        while time.monotonic() < end:
            attempt = hypothesis.given(inputs(TARGETS[name].seeds))(check)
            hypothesis.seed(seed + rounds)(quiet(attempt))()
            rounds += 1
    except Exception:  # noqa: BLE001 - whatever it is, it broke the target
        path = corpus.keep(name, last)
        return "", f"fuzz: {name} broke ({path}): {last[:300]!r}\n{traceback.format_exc()}"
    return f"fuzz: {name}: {count} inputs", ""


def once(name: str, data: bytes) -> None:
    """Run a target on one input; it may not take long either."""
    began = time.process_time()
    TARGETS[name].run(data)
    took = time.process_time() - began
    assert took < SLOW_SECONDS, f"{took:.1f} s for {len(data)} bytes"


if __name__ == "__main__":
    sys.exit(main())
