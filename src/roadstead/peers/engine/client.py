"""What watchers and operations ask of one engine, in the words of the model."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from roadstead.errors import EngineError
from roadstead.kit import clocks
from roadstead.kit.gates import Budget
from roadstead.kit.streams import Link
from roadstead.model import Container, Engine, LogWish, VmId, weight
from roadstead.peers.engine.bodies import BodyStream
from roadstead.peers.engine.events import EventStream
from roadstead.peers.engine.http import FINAL, NOT_MODIFIED, NOTHING, Answer, Http, request
from roadstead.peers.engine.isolation import Isolations
from roadstead.peers.engine.logs import LogStream
from roadstead.peers.engine.messages import containers, logs, processes, statistics, versions
from roadstead.peers.engine.messages.events import ACTIONS
from roadstead.peers.engine.messages.guarded import check_object, invalid
from roadstead.peers.engine.messages.logs import LogReader
from roadstead.settings.schema import EngineSettings

NOT_FOUND = 404
FAULT = 500
"""From this status on the engine says that it is not the request that is wrong."""
RUNNING = frozenset({"running", "paused"})
"""States in which a container has processes."""
SETTLING_SECONDS = 0.1
"""How long a container that the engine is changing may keep us waiting."""
LARGE_BYTES = 2**18
"""No container takes more of a list: an engine of which so few are too many does not heed the limit."""
READ_AT_ONCE = 64
"""So many containers are read in one turn of the loop: a millisecond."""
EVENT_FILTER_SINCE = (1, 25)
"""From this API version on Docker's filter by event knows ``health_status`` whatever follows the colon."""


class Hello(Struct, frozen=True):
    """How an engine introduces itself. ``date`` is its clock when it did, in seconds since the epoch."""

    engine: Engine
    date: float | None


class Listing(Struct, frozen=True):
    """All containers of an engine, as far as the bounds allow; ``hidden`` of its ``total`` are left out."""

    containers: list[Container]
    total: int
    hidden: int


class EngineClient:
    """One engine, over ``link``. Made for the life of that link; `hello` comes first.

    Every method raises `LinkError` when the link is lost, and `EngineError`: ``engine-down``, ``engine-timed-out``,
    ``engine-refused`` (with the engine's message), ``engine-answer-invalid``, ``engine-unsupported``.
    """

    def __init__(self, link: Link, vm: VmId, settings: EngineSettings, budget: Budget) -> None:
        self._link = link
        self._vm = vm
        self._settings = settings
        self._http = Http(link, settings, budget)
        self._version = ""
        self._podman = self._windows = False
        self._isolations = Isolations()
        self._events: EventStream | None = None
        self.is_doubted = False
        """Whether a request went unanswered: `ping` tells whether the engine lives."""

    async def ping(self) -> None:
        """Ask whether the engine lives."""
        self.is_doubted = False
        await self._get("/_ping")

    async def hello(self) -> Hello:
        """Negotiate the API version and read what the engine says of itself."""
        ping = await self._get("/_ping")
        version = versions.read_version((await self._get("/version")).body)
        newest = ping.headers.get("api-version") or version.api_version
        spoken = versions.negotiated(newest, version.oldest)
        self._version = f"/v{spoken}"
        info = versions.read_info((await self._get(f"{self._version}/info")).body)
        engine = versions.described(self._vm, spoken, ping.headers, version, info)
        self._podman = engine.name == "Podman"
        self._windows = engine.kind == "windows"
        return Hello(engine, versions.read_date(ping.headers.get("date", "")))

    async def containers(self) -> Listing:
        """List all containers. An answer over its bound is asked again with half the limit, while there is time."""
        limit, bound = self._settings.containers, self._settings.answer_bytes
        end = _now() + self._settings.answer_seconds
        answer = await self._listed(limit, None)
        while answer is not None and answer.cut and limit > 1 and bound < limit * LARGE_BYTES:
            limit //= 2
            answer = await self._listed(limit, end - _now())
        read = [] if answer is None or answer.cut else await self._read(answer)
        listed = self._kept(await self._with_health(read))
        if self._windows:
            listed = replace(listed, containers=await self._isolated(listed.containers, is_all=True))
        if limit == self._settings.containers and listed.total < limit:
            return listed
        return await self._counted(listed, is_full=listed.total >= limit)

    async def containers_by_id(self, engine_ids: Sequence[str], settling: str | None = None) -> dict[str, Container]:
        """Read some containers in one request: cheaper than inspecting them, and the same records as in a list. Those
        that do not exist are missing. Keys are the ids as asked, which very old engines shorten.

        They are read once Docker has done with the container ``settling`` what it is doing, unless that takes too long:
        Docker holds a container while it changes it, until lists show the change, and answers an inspection only
        afterwards (moby's ``daemon/inspect.go`` takes the lock that ``pause.go`` and ``monitor.go`` hold).
        """
        path = f"{self._version}/containers/json?all=1&filters={_filters(id=list(engine_ids))}"
        answer = None
        if settling is not None:
            first = f"{self._version}/containers/{_part(settling)}/json"
            answer = await self._http.get_after(first, path, SETTLING_SECONDS)
        if answer is None or answer.status != FINAL:
            answer = await self._answer(path)
        if answer.status == NOT_FOUND:
            return {}
        if answer.cut:
            raise invalid("it says too much of a few containers")
        records = await self._with_health(await self._read(answer), id=list(engine_ids))
        if self._windows:
            records = await self._isolated(records, is_all=False)
        by_id = {record.engine_id: record for record in records}
        shortened = {asked: record for asked in engine_ids for record in records if record.engine_id.startswith(asked)}
        return {asked: by_id.get(asked) or shortened[asked] for asked in engine_ids if asked in shortened}

    async def inspect(self, engine_id: str) -> bytes:
        """Return everything the engine knows of a container, as the JSON it sent; untrusted, but bounded."""
        answer = await self._get(f"{self._version}/containers/{_part(engine_id)}/json")
        check_object(answer.body, self._settings.json_depth)
        return answer.body

    async def top(self, engine_id: str) -> processes.Top:
        """Return the processes of a container that runs, on a channel of its own: engines run ``ps`` for it.

        Of one that does not run Docker says 409, Podman 500 and Podman 4.3 nothing with status 200: so its state is
        asked then, and the error is ``container-not-running`` whatever the engine said.
        """
        path = f"{self._version}/containers/{_part(engine_id)}/top"
        with self._doubting():
            answer = await self._http.alone("GET", path, self._settings.answer_seconds)
        if answer.cut:
            raise invalid("it is too large")
        if answer.status not in {FINAL, NOT_FOUND} or not answer.body.strip():
            await self._check_runs(engine_id)
        if answer.status != FINAL:
            raise versions.refusal(answer.status, answer.body)
        return processes.read_top(answer.body, self._settings.json_depth)

    async def sample(self, engine_id: str) -> statistics.Sample:
        """Return a sample of the statistics of a container that runs, on a channel of its own: Docker 20.10 and older
        take a second for it.

        Of one that does not run some engines send nothing in spite of a status that says otherwise (see
        `statistics.read_sample`): its state is asked then, and the error is ``container-not-running``.
        """
        path = f"{self._version}/containers/{_part(engine_id)}/stats?stream=0&one-shot=1"
        with self._doubting():
            answer = await self._http.alone("GET", path, self._settings.answer_seconds)
        if answer.cut:
            raise invalid("it is too large")
        if answer.status == FINAL:
            kind = "windows" if self._windows else "linux"
            sample = statistics.read_sample(answer.body, self._settings.json_depth, kind, clocks.now())
            if sample is not None:
                return sample
        if answer.status != NOT_FOUND:
            await self._check_runs(engine_id)
        raise versions.refusal(answer.status, answer.body)

    async def act(self, action: str, engine_id: str) -> None:
        """Do ``action`` (one of `model.ACTIONS`) to a container; that there was nothing to do is success."""
        path = f"{self._version}/containers/{_part(engine_id)}/{action}"
        with self._doubting():
            answer = await self._http.alone("POST", path, self._settings.action_seconds)
        if answer.status not in {FINAL, NOTHING, NOT_MODIFIED}:
            raise versions.refusal(answer.status, answer.body)

    async def logs(self, engine_id: str, wish: LogWish) -> LogStream:
        """Begin to read the logs of a container, on a channel of its own; whoever asked closes it.

        Raises, besides, ``logs-unreadable`` with the engine's reason (of a log driver that only writes, say), and
        ``logs-until-unsupported`` where the engine would not heed ``until`` and would send everything.
        """
        if wish.until is not None and self._spoken < logs.UNTIL_SINCE:
            raise EngineError("logs-until-unsupported", version=self._version[2:])
        body = BodyStream(self._link, self._settings)
        try:
            reader, date = await self._log_reader(body, engine_id, wish)
            return LogStream(body, reader, date)
        except BaseException:
            body.close()
            raise

    @asynccontextmanager
    async def events(self, since: float | None) -> AsyncIterator[EventStream]:
        """Open the stream of container events from ``since`` (the engine's clock, `Hello.date`) on.

        When the block begins, the engine has begun to answer: what happens from then on is in the stream.
        """
        stream = self._events = EventStream(self._link, self._settings)
        try:
            await stream.open(request("GET", self._events_path(since)))
            yield stream
        finally:
            self._events = None
            stream.close()

    def close(self) -> None:
        """End the kept channel; the link stays."""
        self._http.close()

    @property
    def _spoken(self) -> versions.Version:
        return versions.parsed_version(self._version[2:]) or (0, 0)

    async def _log_reader(self, body: BodyStream, engine_id: str, wish: LogWish) -> tuple[LogReader, float | None]:
        """Ask for logs, and return what reads them: in frames, where the answer or the inspection says so; and when it
        began.
        """
        path = f"{self._version}/containers/{_part(engine_id)}/logs?{logs.query(wish)}"
        try:
            with self._doubting():
                headers = await body.open(request("GET", path))
        except EngineError as error:
            if error.code == "engine-refused" and int(error.fields["status"]) >= FAULT:
                raise logs.unreadable(error.fields["reason"]) from error
            raise
        is_framed = headers.get("content-type", "").startswith(logs.FRAMED)
        if not is_framed:
            is_framed = not logs.read_terminal(await self.inspect(engine_id), self._settings.json_depth)
        reader = LogReader(is_framed=is_framed, is_stamped=wish.timestamps, is_exact=wish.exact)
        return reader, versions.read_date(headers.get("date", ""))

    def _events_path(self, since: float | None) -> str:
        filters = {"type": ["container"]}
        # Health checks cause three exec events each time; Docker can leave them out, Podman refuses words it lacks.
        if not self._podman and self._spoken >= EVENT_FILTER_SINCE:
            filters["event"] = list(ACTIONS)
        start = f"since={since:.0f}&" if since is not None else ""
        return f"{self._version}/events?{start}filters={_filters(**filters)}"

    async def _check_runs(self, engine_id: str) -> None:
        """Raise `EngineError` ``container-not-running`` when the engine lists the container and it has no processes."""
        container = (await self.containers_by_id([engine_id])).get(engine_id)
        if container is not None and container.state not in RUNNING:
            raise EngineError("container-not-running", state=container.state)

    async def _listed(self, limit: int, seconds: float | None) -> Answer | None:
        """Ask for ``limit`` containers; None when ``seconds`` did not suffice (without a limit that is an error)."""
        try:
            return await self._answer(f"{self._version}/containers/json?all=1&limit={limit}", seconds)
        except EngineError as error:
            if seconds is None or error.code != "engine-timed-out":
                raise
            return None

    async def _counted(self, listed: Listing, *, is_full: bool) -> Listing:
        """Ask the engine how many there are: the listing stopped at a limit. One that tells fewer is not believed."""
        info = versions.read_info((await self._get(f"{self._version}/info")).body)
        shown = len(listed.containers)
        at_least = listed.total + (is_full and info.containers < listed.total)
        total = max(info.containers, at_least)
        return Listing(listed.containers, total, total - shown)

    def _kept(self, records: list[Container]) -> Listing:
        """Keep as many records as one guest may fill."""
        room, kept = self._settings.kept_bytes, []
        for record in records:
            room -= weight(record)
            if room < 0:
                break
            kept.append(record)
        return Listing(kept, len(records), len(records) - len(kept))

    async def _isolated(self, records: Sequence[Container], *, is_all: bool) -> list[Container]:
        """Return ``records`` with what Windows' engines tell apart in filters only."""

        async def ask(filters: str) -> list[Container]:
            limit = f"&limit={self._settings.containers}"
            answer = await self._answer(f"{self._version}/containers/json?all=1{limit}&filters={filters}")
            return [] if answer.cut or answer.status != FINAL else await self._read(answer)

        return await self._isolations.told(records, ask, is_all=is_all)

    async def _read(self, answer: Answer) -> list[Container]:
        """Read a list, with turns for all others in between: thousands of containers take a tenth of a second."""
        now, records = clocks.now(), list[Container]()
        entries = containers.read_entries(answer.body, self._settings.json_depth)
        for start in range(0, len(entries), READ_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            some = entries[start : start + READ_AT_ONCE]
            records += [containers.container(self._vm, entry, now, self._settings.text_bytes) for entry in some]
        return records

    async def _with_health(self, records: list[Container], **only: list[str]) -> list[Container]:
        """Add the health of containers to Podman's records: its lists do not tell it, but can be asked for those of one
        health (seen with 4.3 to 5.8; 3.0 answers with nothing). ``only`` are further filters.
        """
        if not self._podman or not any(record.state in RUNNING for record in records):
            return records
        found: dict[str, str] = {}
        for health in containers.HEALTH:
            answer = await self._answer(
                f"{self._version}/containers/json?all=1&filters={_filters(health=[health], **only)}"
            )
            if answer.status == FINAL and not answer.cut:
                entries = containers.read_entries(answer.body, self._settings.json_depth)
                found.update((entry.id, health) for entry in entries)
        return [
            replace(record, health=found[record.engine_id])
            if record.state in RUNNING and record.engine_id in found
            else record
            for record in records
        ]

    async def _answer(self, path: str, seconds: float | None = None) -> Answer:
        """Read ``path``; a success, a 404, or an answer over its bound."""
        with self._doubting():
            answer = await self._http.get(path, seconds)
        if answer.status not in {FINAL, NOT_FOUND}:
            raise versions.refusal(answer.status, answer.body)
        return answer

    async def _get(self, path: str) -> Answer:
        answer = await self._answer(path)
        if answer.status != FINAL:
            raise versions.refusal(answer.status, answer.body)
        if answer.cut:
            raise invalid("it is too large")
        return answer

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        """Doubt, when a request goes unanswered, that the engine lives, and have whoever follows its events ask."""
        try:
            yield
        except EngineError as error:
            if error.code == "engine-timed-out":
                self.is_doubted = True
                if self._events is not None:
                    self._events.interrupt()
            raise


def _now() -> float:
    return asyncio.get_running_loop().time()


def _filters(**filters: list[str]) -> str:
    return quote(json.dumps(filters, separators=(",", ":")), safe="")


def _part(engine_id: str) -> str:
    """An id as a part of a path, whatever it holds."""
    return quote(engine_id, safe="")
