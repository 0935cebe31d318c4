"""One managed guest: its link is opened, watched, and opened again, for ever and politely."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from roadstead.act.guests.sign_ins import SignIns
from roadstead.errors import EngineError, LinkError, PeerError, RoadsteadError
from roadstead.kit import clocks
from roadstead.kit.backoff import Backoff
from roadstead.kit.gates import Budget
from roadstead.kit.keep import Healthy, keep
from roadstead.kit.mistakes import Mistakes
from roadstead.kit.streams import Link as Way
from roadstead.kit.waiter import Alarm
from roadstead.model import Fact, Link, LinkState, Problem, Seen, VmId
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links.credentials import Expiry
from roadstead.plan.origins import KEY_PROBLEMS
from roadstead.plan.pins import HOST_KEY_PROBLEMS
from roadstead.settings.schema import Settings
from roadstead.watch.guest import GuestWatcher

log = structlog.get_logger()
Tell = Callable[[Sequence[Fact]], None]
"""Where facts go: into the inventory."""
FLOODS = frozenset({"ssh-floods", "tls-floods"})
REFUSALS = HOST_KEY_PROBLEMS | KEY_PROBLEMS | FLOODS
"""Failures that another try does not mend, and that a guest's SSH server may hold against our address, or that cost us
more with each try.
"""
WAITING = "no-address-yet"
"""No failure: the VM is still starting. It was not called, so asking again costs nothing."""
SILENT = "no-answer"
EXPIRING = "tls-expires-soon"
SILENCE = 4 / 3
"""A guest is silent when this many times the period of keepalive passed: it was asked, and had time to answer."""
FIXED_AT_SIGN_IN = frozenset({"engine-socket-denied", "engine-unreachable", "no-relay", "no-sudo"})
"""Failures whose remedy (a group, a shell, an option of sshd or of the key) holds only from the next sign-in on."""
LISTINGS_AT_ONCE = 3
"""How many times a guest may come back before each listing has to wait for its time."""
OPEN_LINK_RETRY_SECONDS = (1.0, 30.0)
"""First and longest delay while the link lives and only the engine is down: asking again costs no sign-in."""


class GuestPace:
    """How long to wait before a guest is tried again: at most one sign-in in ``retry_first_seconds``, whatever happens;
    refusals call for much more patience, an engine that is down behind a living link for less.
    """

    def __init__(self, settings: Settings, vm: VmId, sign_ins: SignIns) -> None:
        link = settings.link
        self._vm = vm
        self._sign_ins = sign_ins
        self._shortest = link.retry_first_seconds
        self._ordinary = Backoff(link.retry_first_seconds, link.retry_limit_seconds)
        self._refusal = Backoff(link.refusal_first_seconds, link.refusal_limit_seconds, jitter=0.1)
        self._engine = Backoff(*OPEN_LINK_RETRY_SECONDS)
        self._between_listings = settings.engine.relist_seconds
        self._listings_until = 0.0
        """Until when all listings so far would have lasted, ``relist_seconds`` each."""

    def lists(self) -> None:
        """A listing came, which everybody is told of."""
        self._listings_until = max(self._listings_until, _monotonic()) + self._between_listings

    def until_listing(self) -> float:
        """Seconds until the guest may be listed again: once in ``relist_seconds``, but a few times quickly."""
        return max(0.0, self._listings_until - LISTINGS_AT_ONCE * self._between_listings - _monotonic())

    def after(self, error: PeerError | None) -> float:
        """Return the seconds to wait after ``error``."""
        if isinstance(error, EngineError):
            return self._engine.delay()
        if error is not None and error.code == WAITING:
            return self._shortest
        if error is not None and error.code in REFUSALS:
            return self._refusal.delay()
        return max(self._ordinary.delay() - self._sign_ins.ago(self._vm), 0.1)

    def reset(self) -> None:
        """The guest worked, and not only for a moment."""
        for backoff in (self._ordinary, self._refusal, self._engine):
            backoff.reset()


@dataclass(frozen=True, slots=True)
class Opened:
    """A new way to a guest, and what it was opened under: the host key (its fingerprint; empty where there is none), or
    certificates, of which ``expiry`` tells the first that ends: an engine may have got others meanwhile.
    """

    way: Way
    host_key: str = ""
    expiry: Callable[[], Expiry | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Services:
    """What all guests share."""

    settings: Settings
    budget: Budget
    tell: Tell
    names: Callable[[VmId], Mapping[str, str]]
    """What a VM and its pool are called now: fields for the texts of its problems."""
    sign_ins: SignIns
    turn: Callable[[VmId], AbstractAsyncContextManager[None]]
    """Held by each guest while it is called: only so many are at once. Raises `PeerError` with the reason."""
    mistakes: Mistakes = field(default_factory=Mistakes)


class Guest:
    """Keeps one VM's link and watcher. ``open_way`` connects: it raises `PeerError` with the reason when it cannot."""

    def __init__(self, vm: VmId, open_way: Callable[[], Awaitable[Opened]], services: Services) -> None:
        self.vm = vm
        self._open_way = open_way
        self._services = services
        self._pace = GuestPace(services.settings, vm, services.sign_ins)
        self._wake = Alarm()
        self._asking: list[asyncio.Event] = []
        """Of those who wait for what comes of a try."""
        self._forced = False
        self._opened: Opened | None = None
        self._reconnects = 0
        """How often the guest was to be called anew."""
        self._is_spent = False
        """Whether the way that is open leads no further: the guest is to be called anew."""
        self._engine: EngineClient | None = None
        self._healthy: Healthy = lambda: None
        self._link = Link(vm=vm, state=LinkState.CONNECTING, since=clocks.now())
        self._closed = False

    # ---- what others ask

    @property
    def engine(self) -> EngineClient | None:
        """The engine, while the guest is live; None otherwise."""
        return self._engine if self._link.state is LinkState.LIVE else None

    @property
    def expiry(self) -> Expiry | None:
        """When the first certificate of the way to it ends; None without certificates, or without a way."""
        return self._opened.expiry() if self._opened is not None else None

    @property
    def way(self) -> Way | None:
        """The way to the guest while it is open, whether its engine answers or not; None otherwise."""
        return self._opened.way if self._opened is not None and self._opened.way.is_open else None

    @property
    def link(self) -> Link:
        """How the guest stands."""
        return self._link

    def try_now(self, *, politely: bool = True) -> None:
        """Try again at once; ``politely`` keeps the shortest time between two sign-ins."""
        self._forced = self._forced or not politely
        self._wake.set()

    async def tried(self, seconds: float) -> bool:
        """Try again as soon as is polite and wait, up to ``seconds``, for what comes of it; return whether it came."""
        came = asyncio.Event()
        self._asking.append(came)
        self.try_now()
        try:
            async with asyncio.timeout(seconds):
                await came.wait()
        except TimeoutError:
            return False
        finally:
            self._asking.remove(came)
        return True

    def listen(self, now: datetime) -> None:
        """Say of a live guest when it stays silent although it was asked, and when a certificate of its link ends soon;
        and when that is no longer so. The link still stands: keepalive decides later whether it is lost.
        """
        if self._opened is None or self._link.state is not LinkState.LIVE:
            return
        said = self._link.problem.code if self._link.problem is not None else ""
        doubt = self._doubt(self._opened, now)
        if said in {"", SILENT, EXPIRING} and said != (doubt.code if doubt is not None else ""):
            self._say(self._described(LinkState.LIVE, doubt))

    def _doubt(self, opened: Opened, now: datetime) -> Problem | None:
        """Return what is wrong with a link that stands."""
        link, way = self._services.settings.link, opened.way
        if way.asks_after and (now - way.heard).total_seconds() > way.asks_after * SILENCE:
            error = LinkError(SILENT, seconds=round(link.keepalive_seconds * (link.keepalive_count + 1)))
            return Problem.of(error, way.heard)
        expiry = opened.expiry()
        if expiry is not None and expiry.at - now < timedelta(days=link.expiry_days):
            return Problem.of(expiry.fault(EXPIRING), now)
        return None

    def reconnect(self) -> None:
        """Drop the link, also one that is just being opened: what it was opened with no longer holds."""
        self._reconnects += 1
        if self._opened is not None:
            self._opened.way.close()
        self.try_now()

    def close(self) -> None:
        """End it: nothing is told any more."""
        self._closed = True
        self._drop()

    # ---- its own life

    async def run(self) -> None:
        """Keep the guest until cancelled."""
        self._say(Link(vm=self.vm, state=LinkState.CONNECTING, since=clocks.now(), heard=self._link.heard))
        try:
            await keep(
                self._attempt,
                whose=f"guest {self.vm}",
                pace=self._pace,
                report=self,
                mistakes=self._services.mistakes,
                wake=self._wake,
                steady_seconds=self._services.settings.link.steady_seconds,
            )
        finally:
            self._drop()

    def last_heard(self) -> datetime | None:
        """When the guest was last heard, as far as this keeper knows."""
        return self._opened.way.heard if self._opened is not None else self._link.heard

    async def _attempt(self, healthy: Healthy) -> None:
        """Watch it until that fails. After a mistake of ours nobody knows what state its way is in."""
        try:
            await self._watched(healthy)
        except PeerError:
            raise
        except Exception:
            self._is_spent = True
            raise
        finally:
            self._came_out()

    async def _watched(self, healthy: Healthy) -> None:
        self._healthy = healthy
        opened = await self._way()
        await asyncio.sleep(self._pace.until_listing())
        engine = EngineClient(opened.way, self.vm, self._services.settings.engine, self._services.budget)
        self._engine = engine
        try:
            await GuestWatcher(engine, self.vm, self, self._services.settings.engine).run()
        except PeerError as error:
            self._is_spent = error.code in FIXED_AT_SIGN_IN or isinstance(error, LinkError)
            if not opened.way.is_open and error.code not in FLOODS:
                raise LinkError("link-lost", vm=self.vm) from error
            raise
        finally:
            self._engine = None
            engine.close()

    async def _way(self) -> Opened:
        """Return the way that is open, or open a new one, politely."""
        if self._opened is not None and self._opened.way.is_open and not self._is_spent:
            return self._opened
        self._drop()
        sign_ins = self._services.sign_ins
        if self._forced:
            sign_ins.begins(self.vm)
        else:
            await sign_ins.turn(self.vm)
        self._forced = False
        async with self._services.turn(self.vm):
            # What changed while it waited for its turn is heeded when it is called.
            reconnects = self._reconnects
            try:
                opened = await self._open_way()
            except LinkError as error:
                if error.code == WAITING:
                    sign_ins.called_off(self.vm)
                raise
        if reconnects != self._reconnects:
            opened.way.close()
            raise LinkError("link-lost", vm=self.vm)
        self._opened = opened
        self._is_spent = False
        return opened

    def _came_out(self) -> None:
        """A try has come to something."""
        for each in self._asking:
            each.set()

    def _drop(self) -> None:
        if self._opened is not None:
            self._opened.way.close()
            self._opened = None

    # ---- what the watcher says

    def listed(self, facts: Sequence[Fact], hidden: int, total: int) -> None:
        """A complete listing came: the guest is live."""
        self._healthy()
        self._pace.lists()
        self._forced = False
        self._wake.clear()
        problem = None
        if hidden > 0:
            problem = Problem.of(EngineError("engine-too-large", hidden=hidden, total=total), clocks.now())
        elif self._opened is not None:
            problem = self._doubt(self._opened, clocks.now())
        link = self._described(LinkState.LIVE, problem)
        self._link = link
        self._tell([Seen(link), *facts])
        self._came_out()

    def changed(self, facts: Sequence[Fact]) -> None:
        """Some containers changed."""
        self._tell(facts)

    # ---- what the supervisor says

    def began(self, error: PeerError) -> None:
        """The guest cannot be watched, for this reason; that it is still starting is none."""
        if error.code == WAITING:
            self._say(self._described(LinkState.CONNECTING, None))
            return
        named = error.about(**self._services.names(self.vm))
        if self._link.problem is None or self._link.problem.code != named.code:
            log.warning("guest lost", vm=self.vm, name=named.fields.get("vm"), problem=named.code)
        self._say(self._described(LinkState.BROKEN, Problem.of(named, clocks.now())))

    def failed(self, error: RoadsteadError) -> None:
        """Its keeper has ended, which nothing but a mistake of ours does."""
        self.began(PeerError(error.code, **error.fields))

    def ended(self) -> None:
        """The guest works again; `listed` says so with what was found."""
        if self._link.state is LinkState.BROKEN:
            log.info("guest back", vm=self.vm, name=self._services.names(self.vm).get("vm"))

    def _described(self, state: LinkState, problem: Problem | None) -> Link:
        same = self._link.state is state
        opened = self._opened
        known = self._link.problem
        if problem is not None and known is not None and problem.code == known.code:
            problem = replace(problem, since=known.since)
        return Link(
            vm=self.vm,
            state=state,
            since=self._link.since if same else clocks.now(),
            heard=self.last_heard(),
            address=opened.way.address if opened else self._link.address,
            relay=opened.way.relay if opened else self._link.relay,
            host_key=opened.host_key if opened else self._link.host_key,
            problem=problem,
        )

    def _say(self, link: Link) -> None:
        self._link = link
        self._tell([Seen(link)])

    def _tell(self, facts: Sequence[Fact]) -> None:
        if not self._closed:
            self._services.tell(facts)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
