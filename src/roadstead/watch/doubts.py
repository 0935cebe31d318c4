"""What events said and the engine's list does not show yet.

Docker publishes ``pause``, ``unpause`` and ``die`` before it brings the copy up to date from which it answers lists; in
between it writes to disk, which takes milliseconds. Whoever reads the container at once reads its old state, and no
further event would put that right. So a state that contradicts the newest event is not believed, and read again soon.
Of an engine that was once seen to lag it is known that reading at once is in vain.
"""

from collections.abc import Iterable

from roadstead.model import Container
from roadstead.peers.engine.messages.events import EngineEvent

NOT_AFTER = {
    "pause": frozenset({"running"}),
    "unpause": frozenset({"paused"}),
    "die": frozenset({"running", "paused"}),
    "start": frozenset[str](),
}
"""The states that a container is in no longer after such an event. Only ``start`` makes one run again that died."""
FIRST_SECONDS, LAST_SECONDS = 0.001, 0.2
GROWTH = 1.5
LIMIT_SECONDS = 2.0
"""After this time the list is believed after all."""


class Doubts:
    """The containers of one guest that are to be read again. Pure: ``now`` is any clock in seconds."""

    def __init__(self) -> None:
        self._impossible: dict[str, tuple[frozenset[str], float]] = {}
        self._seconds = FIRST_SECONDS
        self.lagging = False
        """Whether the engine's list was ever behind its events."""

    @property
    def engine_ids(self) -> Iterable[str]:
        """Which containers."""
        return self._impossible.keys()

    def seconds(self) -> float:
        """How long to wait before they are read again; for ever when there are none."""
        return self._seconds if self._impossible else float("inf")

    def note(self, events: Iterable[EngineEvent], now: float) -> set[str]:
        """Take in what events say: the last one about a container counts. Returns whom a lagging list shows wrong."""
        noted = set()
        for event in events:
            states = NOT_AFTER.get(event.action)
            if states:
                noted.add(event.engine_id)
                self._impossible[event.engine_id] = states, now + LIMIT_SECONDS
                self._seconds = FIRST_SECONDS
            elif states is not None:
                self._impossible.pop(event.engine_id, None)
        return noted & self._impossible.keys() if self.lagging else set()

    def settle(self, engine_id: str, container: Container | None, now: float) -> bool:
        """Return whether ``container``, as it was just read, is to be believed; then it is no longer in doubt."""
        if engine_id not in self._impossible:
            return True
        states, until = self._impossible[engine_id]
        if container is not None and container.state in states and now < until:
            self.lagging = True
            return False
        del self._impossible[engine_id]
        return True

    def wait_longer(self) -> None:
        """A reading has ended: what is still in doubt may rest a little longer than before it."""
        self._seconds = min(self._seconds * GROWTH, LAST_SECONDS)
