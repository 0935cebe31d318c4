"""What the engine's list does not show yet although events said so, or will show without a further event.

Docker publishes ``pause``, ``unpause``, ``die`` and ``stop`` before it brings the copy up to date from which it answers
lists; in between it writes to disk, which takes milliseconds. Whoever reads the container at once reads its old state,
and no further event would put that right. So a state that contradicts the newest event is not believed, and read again
soon. Of an engine that was once seen to lag it is known that reading at once is in vain.

Some states pass without a word: who kills a container while it waits for its next restart ends that wait, of which
Docker tells nobody. Such a container is read again now and then.

Podman tells of a health check before it keeps what that found, and tells the health with it only in newer releases
(its issue 19237). So a container is read once more a moment after such an event. After a rename, too: nothing of what
was read contradicts that event, so an answer that lags behind it would stand until something else happens.
"""

from collections.abc import Iterable, Mapping

from roadstead.model import Container
from roadstead.peers.engine.messages.events import EngineEvent

NOT_AFTER = {
    "pause": frozenset({"running"}),
    "unpause": frozenset({"paused"}),
    "die": frozenset({"running", "paused"}),
    "stop": frozenset({"running", "paused", "restarting"}),
    "start": frozenset[str](),
}
"""The states that a container is in no longer after such an event. Only ``start`` makes one run again that died."""
FIRST_SECONDS, LAST_SECONDS = 0.001, 0.2
GROWTH = 1.5
LIMIT_SECONDS = 2.0
"""After this time the list is believed after all."""
ECHOED = frozenset({"health_status", "rename"})
ECHO_SECONDS = 0.5
"""How long after such an event a container is read once more."""
PASSING = frozenset({"restarting", "removing"})
"""States that may end without an event."""
PASSING_FIRST_SECONDS, PASSING_LAST_SECONDS = 0.5, 15.0
"""How soon such a container is read again: first, and at the most rarely."""


class Doubts:
    """The containers of one guest that are to be read again. Pure: ``now`` is any clock in seconds."""

    def __init__(self) -> None:
        self._impossible: dict[str, tuple[frozenset[str], float]] = {}
        self._seconds = FIRST_SECONDS
        self.lagging = False
        """Whether the engine's list was ever behind its events."""
        self._passing: dict[str, tuple[float, float]] = {}
        """When each container in a passing state is to be read again, and how long it rests until then."""
        self._echoes: dict[str, float] = {}
        """When each container is to be read once more."""

    def due(self, now: float) -> list[str]:
        """Which containers are to be read, whenever some are read now."""
        passing = (engine_id for engine_id, (at, _) in self._passing.items() if at <= now)
        echoes = (engine_id for engine_id, at in self._echoes.items() if at <= now)
        return [*self._impossible, *passing, *echoes]

    def seconds(self, now: float) -> float:
        """How long to wait before some are read again; for ever when there are none."""
        doubted = self._seconds if self._impossible else float("inf")
        times = [*(at for at, _ in self._passing.values()), *self._echoes.values()]
        return min(doubted, min(times, default=float("inf")) - now)

    def note(self, events: Iterable[EngineEvent], now: float) -> set[str]:
        """Take in what events say: the last one about a container counts. Returns whom a lagging list shows wrong."""
        noted = set()
        for event in events:
            self._passing.pop(event.engine_id, None)
            if event.action in ECHOED:
                self._echoes[event.engine_id] = now + ECHO_SECONDS
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
        if self._echoes.get(engine_id, float("inf")) <= now:
            # Also where it is not believed: that it is to be read once more is done, and doubt has rests of its own.
            del self._echoes[engine_id]
        if engine_id in self._impossible:
            states, until = self._impossible[engine_id]
            if container is not None and container.state in states and now < until:
                self.lagging = True
                return False
            del self._impossible[engine_id]
        self._watch(engine_id, container, now)
        return True

    def settle_all(self, found: Mapping[str, Container], now: float) -> None:
        """Take in a listing: it is believed, but what it contradicts stays in doubt."""
        for engine_id in {*self._impossible, *self._passing, *self._echoes, *found}:
            self.settle(engine_id, found.get(engine_id), now)

    def wait_longer(self) -> None:
        """A reading has ended: what is still in doubt may rest a little longer than before it."""
        self._seconds = min(self._seconds * GROWTH, LAST_SECONDS)

    def _watch(self, engine_id: str, container: Container | None, now: float) -> None:
        """Note when ``container``, which is believed, is to be read again."""
        if container is None or container.state not in PASSING:
            self._passing.pop(engine_id, None)
            return
        _, rest = self._passing.get(engine_id, (now, PASSING_FIRST_SECONDS / GROWTH))
        rest = min(rest * GROWTH, PASSING_LAST_SECONDS)
        self._passing[engine_id] = now + rest, rest
