"""What events said and the engine's list does not show yet.

Docker publishes ``pause`` and ``unpause`` before it brings the copy up to date from which it answers lists; in between
it writes to disk, which takes milliseconds. Whoever reads the container at once reads its old state, and no further
event would put that right. So a state that contradicts the newest event is not believed, and read again soon.
"""

from collections.abc import Iterable

from roadstead.model import Container
from roadstead.peers.engine.messages.events import EngineEvent

PAUSED = "paused"
SAY_PAUSED = {"pause": True, "unpause": False}
FIRST_SECONDS, LAST_SECONDS = 0.001, 0.2
GROWTH = 1.5
LIMIT_SECONDS = 2.0
"""After this time the list is believed after all."""


class Doubts:
    """The containers of one guest that are to be read again. Pure: ``now`` is any clock in seconds."""

    def __init__(self) -> None:
        self._expected: dict[str, tuple[bool, float]] = {}
        self._seconds = FIRST_SECONDS

    @property
    def engine_ids(self) -> Iterable[str]:
        """Which containers."""
        return self._expected.keys()

    def seconds(self) -> float:
        """How long to wait before they are read again; for ever when there are none."""
        return self._seconds if self._expected else float("inf")

    def note(self, events: Iterable[EngineEvent], now: float) -> None:
        """Take in what events say: the last one about a container counts."""
        for event in events:
            if event.action in SAY_PAUSED:
                self._expected[event.engine_id] = SAY_PAUSED[event.action], now + LIMIT_SECONDS
                self._seconds = FIRST_SECONDS

    def settle(self, engine_id: str, container: Container | None, now: float) -> bool:
        """Return whether ``container``, as it was just read, is to be believed; then it is no longer in doubt."""
        if engine_id not in self._expected:
            return True
        expected, until = self._expected[engine_id]
        contradicts = (
            container is not None
            and container.state in {PAUSED, "running"}
            and (container.state == PAUSED) is not expected
        )
        if contradicts and now < until:
            return False
        del self._expected[engine_id]
        return True

    def wait_longer(self) -> None:
        """A reading has ended: what is still in doubt may rest a little longer than before it."""
        self._seconds = min(self._seconds * GROWTH, LAST_SECONDS)
