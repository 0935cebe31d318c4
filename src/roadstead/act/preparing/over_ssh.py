"""A guest is prepared for the mode ``ssh``: from a VM that nobody looks at to one that the pool's key opens.

Nothing waits here between two calls of the conversation. The operator's password, key or agent is used for the calls
that carry it; it is kept nowhere: not here, not in a log, not in the audit, not in an error.

The order in the guest: look, do what was agreed to, set the line, sign in anew with the pool's key alone and ask the
engine. Only then the pool is told, the switch last. Wherever that breaks off, repeating the call finishes it.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace

from roadstead.act.audit import Audit
from roadstead.act.guests.links import Links
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.guests.vms import Reach, Vms
from roadstead.act.keys.keyed import Opening
from roadstead.act.keys.pair import KeyPair
from roadstead.act.memory import Memories, Met
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.preparing import tls_storing
from roadstead.act.preparing.conversation import (
    ROOT,
    Action,
    Answers,
    GuestPreparation,
    Offer,
    former_offer,
    leaves_out,
    offered,
)
from roadstead.act.preparing.entry import MATCHED, Found, Guest, Inside
from roadstead.act.preparing.known_keys import KnownKeys, PoolsKeys
from roadstead.act.preparing.lent_agents import LentAgents
from roadstead.artifacts import authorized_keys, guest_parts, standing_lines
from roadstead.artifacts.authorized_keys import Terms
from roadstead.artifacts.standing_lines import Standing
from roadstead.errors import ConflictError, LinkError, PeerError, PoolError, quoted
from roadstead.kit.gates import Budget, Gate
from roadstead.model import Snapshot, Vm, config_keys
from roadstead.model.surveys import Engine, Part, Root, Survey
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links import given_keys, messages
from roadstead.peers.links.given_keys import GivenKey
from roadstead.peers.links.hostkeys import Pins, named
from roadstead.peers.links.ssh import SshLink, SshTarget
from roadstead.peers.links.visits import SignIn
from roadstead.plan import links, preparation, secrets
from roadstead.plan.preparation import Decision, Wishes
from roadstead.settings.schema import Settings

NOTHING_TO_TAKE = (
    "it is disabled, and no key of its pool is known to be in it, so nothing was done (with --host-key one is looked"
    " for all the same)"
)
PARALLEL = 8
"""How many guests are entered at once."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A VM that is to be prepared, with how it is reached."""

    vm: Vm
    keeper: PoolKeeper
    wanted: links.Wanted
    guest: Guest
    contact: int
    """Which contact with the VM this is: what changes the host key that it must show makes the next one another."""

    @property
    def socket(self) -> str:
        """The engine's socket that somebody set for this VM; empty without one."""
        return self.vm.settings.get(config_keys.ENGINE_SOCKET, "") and self.wanted.access.socket

    @property
    def remembered(self) -> GivenKey | None:
        """The host key that the VM is held to anyway."""
        if self.wanted.pin.confirmed is not None:
            kind, _, fingerprint = self.wanted.pin.confirmed.partition(" ")
            return GivenKey(fingerprint, kind)
        key = self.wanted.pin.key
        named_type = messages.key_type(key) if key is not None else None
        return GivenKey(messages.fingerprint(key), named_type) if key is not None and named_type is not None else None


class SshPreparing:
    """Prepares guests and takes that back. All calls raise `ConflictError`, `LinkError` with the reason why a VM cannot
    be called, and `PoolError`.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        watching: tuple[Links, SshWays, Memories, Vms, LentAgents],
        audit: Audit,
        settings: Settings,
        budget: Budget,
    ) -> None:
        self._snapshot = snapshot
        self._links, self._ways, self._memories, self._vms, self._agents = watching
        self._audit = audit
        self._settings = settings
        self._budget = budget
        self._gate = Gate(PARALLEL)
        self.sources = settings.link.from_networks
        """Where the pool's key may come from when nobody says so."""

    async def step(self, vm: Vm, keeper: PoolKeeper, answers: Answers) -> GuestPreparation:
        """Go as far as ``answers`` lead, and return the next question or the result."""
        if answers.action == Action.UNPREPARE and answers.host_key is None and self._is_unprepared(vm):
            return GuestPreparation(vm=vm.id, name=vm.name, state="unprepared", done=[NOTHING_TO_TAKE])
        place = self._place(vm, keeper, answers)
        about = GuestPreparation(vm=vm.id, name=vm.name, user=place.guest.user)
        async with self._gate():
            found, question = await self._found(place, answers, about)
            if question is not None:
                return question
            about = replace(about, address=found.address, host_key=named(found.host_key))
            if not answers.signs_in:
                return replace(about, question="sign-in")
            sign_in = await answers.sign_in(partial(self._agents.sign_in, vm.id))
            keys = _Keys(await place.keeper.keys.pair(), await PoolsKeys(self._ways.grounds).of(vm))
            call = _Preparing(self, self._audit, place, found, sign_in, answers, about, keys)
            return await (call.take_back() if answers.action == Action.UNPREPARE else self._prepared(call))

    async def _prepared(self, call: "_Preparing") -> GuestPreparation:
        """Prepare with the key that the pool has when that is over, too: a rotation waits for managed VMs alone, so it
        may have come to its end meanwhile, and left the key that was just put into the guest nowhere else.
        """
        told = await call.run()
        now, used = await call.place.keeper.keys.pair(), call.keys.pair
        if told.state != "prepared" or now.public == used.public:
            return told
        pair = KeyPair(now.private, now.public, former=used.public)
        return await self._prepared(dataclasses.replace(call, keys=_Keys(pair, call.keys.others)))

    # ---- where it is

    def _place(self, vm: Vm, keeper: PoolKeeper, answers: Answers) -> _Place:
        is_taken_back = answers.action == Action.UNPREPARE
        if not vm.running:
            raise ConflictError("unprepare-needs-running" if is_taken_back else "vm-off", vm=vm.name)
        circumstances = self._ways.grounds.circumstances(vm, keeper)
        try:
            wanted = links.wanted_for_preparing(vm, self._snapshot, circumstances)
        except LinkError as error:
            raise error.about(uuid=vm.id, vm=vm.name) from error
        user = answers.user or wanted.access.user
        guest = Guest(vm.name, user, wanted.access.port, wanted.addresses, self._settings.link)
        if is_taken_back:
            guest.besides = f"`roadstead disable {quoted(vm.name)}` leaves it alone, with the key in it."
        return _Place(vm, keeper, wanted, guest, self._memories.contact(vm.id))

    async def _found(
        self, place: _Place, answers: Answers, about: GuestPreparation
    ) -> tuple[Found, GuestPreparation | None]:
        """Find the VM under the host key that was confirmed or is remembered; otherwise ask about the one it shows."""
        remembered = place.remembered
        given = given_keys.read(answers.host_key) if answers.host_key else None
        try:
            wanted = given or remembered
            if wanted is not None:
                return await place.guest.find(wanted), None
        except LinkError as error:
            if error.code not in {"host-key-changed", "host-key-type-gone"}:
                raise
            if given is not None:
                shown = error.fields.get("shown", "none of this type")
                confirmed = given.fingerprint
                raise ConflictError(
                    "guest-host-key-differs", vm=place.vm.name, shown=shown, confirmed=confirmed
                ) from error
        found = await place.guest.find(None)
        question = replace(
            about,
            question="host-key",
            address=found.address,
            host_key=named(found.host_key),
            remembered=remembered.fingerprint if remembered is not None else "",
            others=links.owner(found.host_key, place.vm.id, self._snapshot) or "",
        )
        return found, question

    def entered(self, place: _Place, found: Found, sign_in: SignIn) -> AbstractAsyncContextManager[Inside]:
        """Sign in as `Guest.entered`, at once; whoever signs in to this guest next waits until that is polite again."""
        self._ways.grounds.sign_ins.begins(place.vm.id)
        return place.guest.entered(found, sign_in)

    # ---- what the last part needs

    async def prove(self, place: _Place, found: Found, decision: Decision, pair: KeyPair) -> SshLink:
        """Sign in with the pool's key alone and ask the engine. Raises `PeerError`."""
        access = place.wanted.access
        pins = Pins(confirmed=named(found.host_key))
        target = SshTarget(
            place.guest.user, access.port, (found.address,), decision.socket, pins, sudo=decision.is_sudo
        )
        link = await self._ways.enter(place.vm.id, target, pair.private[0])
        try:
            await EngineClient(link, place.vm.id, self._settings.engine, self._budget).ping()
        except BaseException:
            link.close()
            raise
        return link

    async def keep(self, place: _Place, link: SshLink, decision: Decision, pair: KeyPair) -> None:
        """Tell the pool how the VM is reached, and enable it last. Raises `PoolError`, and
        `ConflictError` ``prepare-overtaken`` when its host key was forgotten meanwhile, or another one was said.
        """
        vm = place.vm
        async with self._memories.turns.of(vm.id):
            if self._memories.contact(vm.id) != place.contact:
                raise ConflictError("prepare-overtaken", vm=vm.name)
            self._memories.note_winner(vm.id, link.address)
            self._memories.met(vm.id, Met(vm.pool, link.host_key, pair.fingerprint))
            self._ways.shown[vm.id] = named(link.host_key)
            await self._write(place, {config_keys.HOST_KEY: link.host_key})
        is_usual = decision.socket == self._settings.link.engine_socket
        await self._write(
            place,
            {
                config_keys.USERNAME: place.guest.user,
                config_keys.ENGINE_SOCKET: None if is_usual else decision.socket,
                config_keys.SUDO: config_keys.ENABLED if decision.is_sudo else None,
            },
        )
        if pair.former:  # what is open may be so under the old key
            self._links.reconnect(vm.id)
        await self._vms.enable(vm.id, Reach(mode=config_keys.SSH))

    def closed(self, vm: Vm, public_key: str) -> None:
        """The lines of ``public_key`` are gone from ``vm``, whichever pool's it was."""
        fingerprint = messages.fingerprint(public_key.split()[1])
        for opening in self._memories.keyed.of(vm.id):
            if opening.key == fingerprint:
                self._memories.keyed.closes(Opening(opening.pool, vm.id, fingerprint))
        self._memories.keep_soon()

    async def clear(self, inside: Inside, vm: Vm, former: Iterable[str], known: KnownKeys) -> list[str]:
        """Take the lines of other pools' keys out of ``vm``; return what was done. Raises as `Inside.take_out`."""
        taken = []
        for key in former:
            if await inside.take_out(key):
                taken.append(f"the line of another pool's key was taken out: {known.told(key)}")
            self.closed(vm, key)
        return taken

    async def _write(self, place: _Place, keys: Mapping[str, str | None]) -> None:
        known = self._snapshot.vms.get(place.vm.id, place.vm).settings
        for key, value in keys.items():
            if known.get(key) != value:
                await place.keeper.config.set(place.vm.id, key, value)

    # ---- taking it back

    def _is_unprepared(self, vm: Vm) -> bool:
        """Whether nothing of ours is known to be in the guest, nor remembered of it."""
        is_known = config_keys.HOST_KEY in vm.settings or bool(self._memories.of(vm).expected)
        return not (vm.enabled or is_known or self._memories.keyed.of(vm.id))

    async def forget(self, place: _Place) -> None:
        """Let the pool forget what belongs to a VM that was prepared. Raises `LinkError` ``prepare-unfinished``."""
        vm = place.vm
        try:
            await self._vms.disable(vm.id)
            await self._write(place, dict.fromkeys((config_keys.ENGINE_SOCKET, config_keys.SUDO)))
            await self._vms.forget_host_key(vm.id)
            if secrets.all_named(vm):  # of a time when it was reached over TLS
                await tls_storing.forget(place.keeper, vm)
        except PoolError as error:
            raise LinkError("prepare-unfinished", vm=vm.name, reason=error.clause) from error


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys that count in a guest: its pool's own, and those of other pools."""

    pair: KeyPair
    others: KnownKeys

    @property
    def own(self) -> list[str]:
        """The public halves of the pool's own."""
        return [key for key in (self.pair.public, self.pair.former) if key]


@dataclass(frozen=True, slots=True)
class _Preparing:
    """The part of preparing, and of taking it back, for which the operator signs in."""

    preparing: SshPreparing
    audit: Audit
    place: _Place
    found: Found
    sign_in: SignIn
    answers: Answers
    about: GuestPreparation
    keys: _Keys
    done: set[str] = field(default_factory=set)
    """Ids of the offers that were carried out, or tried."""
    failed: list[str] = field(default_factory=list)
    """What of them could not be done, and nothing depends on."""

    async def run(self) -> GuestPreparation:
        """Sign in, do what was agreed to and sign in again (what a sign-in fixes, groups for one, needs a new one),
        then let the key in.
        """
        while (told := await self._enter()) is None:
            pass
        return told

    async def take_back(self) -> GuestPreparation:
        """Take the line out, and those of other pools that were agreed to; then let the pool forget what belongs to
        it.
        """
        vm, keys = self.place.vm, self.keys
        async with AsyncExitStack() as stack:
            with self.audit.of("unprepare: look", vm.id):
                inside = await stack.enter_async_context(self.preparing.entered(self.place, self.found, self.sign_in))
                former = await inside.former(keys.own, keys.others.lines)
            if former and Part.FORMER_KEY not in {*self.answers.agreed, *self.answers.declined}:
                return replace(self.about, question="consent", offers=[former_offer(former, keys.others)])
            with self.audit.of("unprepare", vm.id):
                removed = await self._taken_out(inside)
                agreed = former if Part.FORMER_KEY in self.answers.agreed else ()
                taken = await self.preparing.clear(inside, vm, agreed, keys.others)
                await stack.aclose()
                await self.preparing.forget(self.place)
        done = "its line was taken out" if removed else "there was no line of this pool's"
        return replace(self.about, state="unprepared", done=[done, *taken])

    async def _taken_out(self, inside: Inside) -> bool:
        """Take the lines of the pool's own keys out; return whether there were any. A rotation that began meanwhile put
        a new key beside the old one, and puts none where no old one is any more.
        """
        removed, gone = False, set[str]()
        while left := {*self.keys.own, *_Keys(await self.place.keeper.keys.pair(), self.keys.others).own} - gone:
            for key in sorted(left):
                removed |= await inside.take_out(key)
                self.preparing.closed(self.place.vm, key)
            gone |= left
        return removed

    async def _enter(self) -> GuestPreparation | None:
        """Sign in once; None when that was for carrying out offers."""
        place, vm_id = self.place, self.place.vm.id
        async with AsyncExitStack() as stack:
            with self.audit.of("prepare: look", vm_id):
                inside = await stack.enter_async_context(self.preparing.entered(place, self.found, self.sign_in))
                sockets = [place.socket] if place.socket else []
                survey = await inside.survey(self.keys.own, sockets, self.keys.others.lines)
            wishes = Wishes(place.socket, place.wanted.access.sudo, frozenset(self.answers.declined))
            decision = preparation.decide(survey, wishes)
            possible = offered(decision, survey, self.about.user, self.keys.others)
            offers = [offer for offer in possible if offer.id not in self.done]
            answered = {*self.answers.agreed, *self.answers.declined}
            asked = [offer for offer in offers if offer.id not in answered]
            if asked and not self.done:
                return replace(
                    self.about, question="consent", offers=asked, checked=_checked(place.vm, survey, decision)
                )
            agreed = [offer for offer in offers if offer.id in self.answers.agreed and offer.commands]
            if agreed:
                await self._mend(inside, agreed, survey.root)
                return None
            with self.audit.of("prepare", vm_id):
                entry = _Entry(self.preparing, place, inside, survey, self.keys)
                told = await entry.let_in(decision, self.answers, self.found, self.about)
                return replace(told, done=[*told.done, *self.failed])

    async def _mend(self, inside: Inside, offers: Iterable[Offer], root: Root) -> None:
        with self.audit.of("prepare: mend", self.place.vm.id):
            for offer in offers:
                self.done.add(offer.id)
                await self._carry_out(inside, offer, root)

    async def _carry_out(self, inside: Inside, offer: Offer, root: Root) -> None:
        try:
            await inside.carry_out(offer.commands, root if offer.runs_as == ROOT else Root.IS)
        except ConflictError as error:
            if offer.is_needed:
                raise
            self.failed.append(f"this could not be done: {offer.title} ({error.fields.get('reason')})")


@dataclass(frozen=True, slots=True)
class _Entry:
    """The last part of preparing, for which nothing is missing in the guest."""

    preparing: SshPreparing
    place: _Place
    inside: Inside
    survey: Survey
    keys: _Keys

    @property
    def pair(self) -> KeyPair:
        """The pool's own."""
        return self.keys.pair

    @property
    def standing(self) -> Standing | None:
        """The line of the pool's key that is there."""
        return standing_lines.first(self.survey.lines, self.pair.public)

    async def let_in(
        self, decision: Decision, answers: Answers, found: Found, about: GuestPreparation
    ) -> GuestPreparation:
        """Set the line, prove it, tell the pool."""
        if decision.obstacle:
            raise self._obstacle(decision)
        line = self._line(decision, answers)
        await self.inside.put(line, self.pair.public)
        link = await self._proven(decision, found)
        try:
            await self.inside.settle(self.pair.public)
            taken = await self._clear(answers)
            await self.preparing.keep(self.place, link, decision, self.pair)
        except PoolError as error:
            raise LinkError("prepare-unfinished", vm=about.name, reason=error.clause) from error
        finally:
            link.close()
        said = standing_lines.told(line, self.standing, self.pair.public)
        checked = _checked(self.place.vm, self.survey, decision)
        return replace(about, state="prepared", line=line, checked=checked, done=[said, *taken])

    async def _proven(self, decision: Decision, found: Found) -> SshLink:
        """Return a link of the pool's key; where it leads nowhere, the guest's lines are as they were again."""
        try:
            return await self.preparing.prove(self.place, found, decision, self.pair)
        except PeerError as error:
            if self.standing is None or self.inside.replaced:
                await self.inside.take_back(self.pair.public)
            if error.code == "key-rejected":
                hint = MATCHED if self.survey.is_matched else ""
                raise self.inside.conflict("guest-key-not-taken", hint=hint) from error
            raise self.inside.conflict("guest-engine-unseen", reason=error.clause) from error

    async def _clear(self, answers: Answers) -> list[str]:
        """Take out the lines of keys that this one replaces; return what was done."""
        taken = []
        if self.pair.former and await self.inside.take_out(self.pair.former):
            self.preparing.closed(self.place.vm, self.pair.former)
            taken.append("the line of the pool's old key was taken out")
        others = self.survey.former if Part.FORMER_KEY in answers.agreed else ()
        return taken + await self.preparing.clear(self.inside, self.place.vm, others, self.keys.others)

    def _line(self, decision: Decision, answers: Answers) -> str:
        """Return the line, which keeps what was not said anew; of a rotation's new key that stands in the old one's."""
        former = standing_lines.first(self.survey.lines, self.pair.former) if self.pair.former else None
        standing = self.standing or former
        sources = answers.line_sources(standing, self.preparing.sources)
        if sources is None:
            raise self.inside.conflict("guest-line-unclear")
        terms = Terms(
            socket=decision.socket,
            docker=self.survey.docker,
            sudo=self.survey.sudo if decision.is_sudo else "",
            forwards=self.survey.forwards is not False,
            server=self.inside.server,
            sources=sources,
            is_root=not self.survey.uid,
        )
        if leaves_out(sources, self.survey.client):
            raise self.inside.conflict("guest-source-differs", sources=", ".join(sources), client=self.survey.client)
        line = authorized_keys.made_for(self.pair.public, answers.line_form(standing), terms)
        if line is None:
            reason = "it has no docker command" if not self.survey.docker else "its SSH server forwards no sockets"
            raise self.inside.conflict("guest-no-relay", reason=reason)
        return line

    def _obstacle(self, decision: Decision) -> ConflictError:
        shown = guest_parts.advice(decision.needed, self.survey, decision.socket)
        return self.inside.conflict(decision.obstacle, socket=decision.socket, commands=shown)


def _starts(survey: Survey, engine: Engine) -> str:
    """What lets the engine start with the guest, for people."""
    if engine.is_own and (service := engine.starts_by(survey.own_enabled)):
        return f"{service} of {survey.user}" if survey.lingers else f"no: only while {survey.user} is signed in"
    service = "" if engine.is_own else engine.starts_by(survey.enabled)
    return service or ("no" if survey.init else "not known")


def _checked(vm: Vm, survey: Survey, decision: Decision) -> list[tuple[str, str]]:
    """What was found in the guest, for people."""
    sockets = [f"{socket.path} ({socket.state})" for socket in survey.sockets if socket.state != "absent"]
    forwards = {True: "yes", False: "no", None: "not said"}[survey.forwards]
    silent = "announce no address" if vm.has_tools else "say nothing"
    tools = "announce " + ", ".join(vm.addresses) if vm.addresses else silent
    return [
        ("guest tools", tools),
        ("engine", ", ".join(sockets) or "none"),
        ("docker command", survey.docker or "none"),
        ("groups", " ".join(survey.groups)),
        ("starts with the guest", _starts(survey, survey.engine(decision.socket))),
        ("sshd forwards sockets", forwards),
    ]
