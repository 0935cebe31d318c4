"""How Windows' engines isolate each container: as processes of the guest, or in a small virtual machine (Hyper-V).

Lists do not tell, and asking for each container would take a request each. But a list can be filtered by it
(``isolation``, which only engines of Windows know; moby's ``daemon/list_windows.go``), and it never changes for a
container, so each is asked about once.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from urllib.parse import quote

from msgspec.structs import replace

from roadstead.errors import EngineError
from roadstead.model import Container

KINDS = ("process", "hyperv")
NAMED_AT_ONCE = 100
"""More containers than this are not named: all are asked for."""

List = Callable[[str], Awaitable[list[Container]]]
"""Lists the containers that a filter (encoded) lets through."""


class Isolations:
    """What is known of the containers of one engine."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    async def told(self, containers: Sequence[Container], ask: List, *, is_all: bool) -> list[Container]:
        """Return ``containers`` with their isolation, as far as the engine tells it; they are all of them if
        ``is_all``, and others are forgotten.
        """
        ids = [container.engine_id for container in containers]
        if is_all:
            self._known = {id: self._known[id] for id in ids if id in self._known}
        await self._learn([id for id in ids if id not in self._known], ask)
        return [replace(each, isolation=self._known.get(each.engine_id, "")) for each in containers]

    async def _learn(self, ids: Sequence[str], ask: List) -> None:
        if not ids:
            return
        try:
            for kind in KINDS:
                found = await ask(_filter(kind, ids))
                self._known |= dict.fromkeys(_among(ids, found), kind)
        except EngineError as error:
            # Without it a container is only asked in vain for what its isolation forbids.
            if error.code != "engine-refused":
                raise


def _filter(kind: str, ids: Sequence[str]) -> str:
    named = {"id": list(ids)} if len(ids) <= NAMED_AT_ONCE else {}
    return quote(json.dumps({"isolation": [kind], **named}, separators=(",", ":")), safe="")


def _among(ids: Sequence[str], found: Iterable[Container]) -> set[str]:
    return {container.engine_id for container in found} & set(ids)
