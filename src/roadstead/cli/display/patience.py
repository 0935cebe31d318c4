"""What is said when an answer takes longer than a person likes to wait without a word."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from roadstead.kit.text import terminal_clean

SECONDS = 3.0
"""Statistics are sampled twice, a second apart, and old engines take a second for each sample."""


@contextmanager
def told(sentence: str, seconds: float = SECONDS) -> Iterator[None]:
    """Say ``sentence`` on stderr when the block takes longer than so many ``seconds``."""
    timer = threading.Timer(seconds, _say, [sentence])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(sentence: str) -> None:
    print(terminal_clean(sentence), file=sys.stderr, flush=True)
