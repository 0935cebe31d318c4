"""The conversation about a VM that is prepared for the mode ``tls``: for which addresses, what the CD does, what is to
be done in the VM, and how that went.

What it leads to is made in `over_tls`. Of that one thing outlasts a call, the certificates that are under way; whoever
comes in the middle of it, because a connection was cut or a terminal closed, goes on with them.
"""

from collections.abc import Iterator
from contextlib import suppress

from msgspec.structs import replace

from roadstead.act.audit import Audit
from roadstead.act.guests.vms import Reach, Vms
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.preparing import tls_former, tls_storing
from roadstead.act.preparing.conversation import Action, Answers, Consent, GuestPreparation, Offer
from roadstead.act.preparing.over_tls import DONE, TlsPreparation, TlsPreparations, Wish
from roadstead.act.preparing.tls_disks import Placing, TlsDisks
from roadstead.act.preparing.tls_trials import TlsTrials
from roadstead.errors import ConflictError, LinkError, NotFoundError, PoolError
from roadstead.model import Vm, config_keys
from roadstead.peers.xapi.disks import Disks
from roadstead.plan import secrets
from roadstead.plan.access import is_tls

TITLES = {
    Consent.CD: "put a CD with the private key of the VM's engine into its drive, until the engine uses it: any user of"
    " the VM can read the CD meanwhile",
    Consent.CLIENT_KEY: "put the key of the client on that CD, too: whoever reads it controls the engine, and with it"
    " the whole VM, until these certificates are replaced",
    Consent.EJECT: "take out the CD that is in its drive ({disk}), and put it back afterwards",
    Consent.ADD_DRIVE: "give it a CD drive, as it has none and is shut down",
    Consent.IMPORTED: "replace its certificates, which were made elsewhere and imported, by some of Roadstead's making:"
    " whoever else reaches the engine by them is shut out",
}
BY_HAND = (
    "Run configure_tls.cmd from the CD (Container TLS) as an administrator: it lets connections to the engine in from"
    " {sources}. In a guest with Linux do what the operator guide says under A Linux guest behind TLS."
)
FROM_EVERYWHERE = "everywhere, as no management network is known (--from names one)"
STAYS = "in the guest stay the engine's certificate and key, its daemon.json, and the opened port"
CUT_OFF = "where its script has run already the engine uses what was on it, and is reached by nobody now"
LINE_STAYS = "the line of the pool's SSH key may be in the guest, too: repeat the command to take it out"


class TlsConversation:
    """Prepares VMs whose engine is reached over TLS, and takes that back. All calls raise as `Preparing`'s do."""

    def __init__(self, works: TlsPreparations, trials: TlsTrials, vms: Vms, audit: Audit) -> None:
        self._works = works
        self._trials = trials
        self._vms = vms
        self._audit = audit

    async def step(self, vm: Vm, keeper: PoolKeeper, answers: Answers) -> GuestPreparation:
        """Go as far as ``answers`` lead, and return the next question or the result."""
        about = _about(vm)
        if answers.tls.given is not None:
            return await self._brought(vm, answers, about)
        if (under_way := await self._followed(vm, answers, about)) is not None:
            return under_way
        if vm.running and not (answers.tls.renew or answers.tls.addresses):
            kept = await self._kept(vm, keeper, about)
            if kept is not None:
                return kept
        return await self._asked(vm, keeper, answers, about)

    async def renewed(self, vm: Vm, keeper: PoolKeeper, answers: Answers) -> GuestPreparation:
        """Go as far as ``answers`` lead towards certificates in the place of those that the VM has."""
        if not is_tls(vm):
            raise ConflictError("tls-not-used", vm=vm.name)
        about = _about(vm)
        if (under_way := await self._followed(vm, answers, about)) is not None:
            return under_way
        return await self._asked(vm, keeper, answers, about)

    async def ended(self, vm: Vm) -> GuestPreparation | None:
        """End what is under way; return None when nothing was."""
        with suppress(NotFoundError):
            await self._works.cancel(vm.id)
            done = ["the making of its certificates was ended, and the CD is destroyed", CUT_OFF]
            return replace(_about(vm), state="unprepared", done=done)
        return None

    async def undone(self, vm: Vm, keeper: PoolKeeper) -> GuestPreparation:
        """Disable the VM and destroy its secrets; nobody signs in to it for that, so it tells what stays there."""
        with self._audit.of("unprepare", vm.id):
            try:
                await self._vms.disable(vm.id)
                await tls_storing.forget(keeper, vm)
            except PoolError as error:
                raise LinkError("prepare-unfinished", vm=vm.name, reason=error.clause) from error
        done = ["our certificate and its key are destroyed", STAYS]
        if config_keys.HOST_KEY in vm.settings:
            done.append(LINE_STAYS)
        return replace(_about(vm), state="unprepared", done=done)

    async def _followed(self, vm: Vm, answers: Answers, about: GuestPreparation) -> GuestPreparation | None:
        """Return how certificates stand that are under way; None without any."""
        told = await self._works.followed(vm.id, answers.tls.preparation)
        if told is None and answers.tls.preparation:
            raise ConflictError("certificates-ended", vm=vm.name)
        return _stands(about, told) if told is not None else None

    # ---- with certificates that are there

    async def _brought(self, vm: Vm, answers: Answers, about: GuestPreparation) -> GuestPreparation:
        """Store certificates that were made elsewhere."""
        given, is_legacy = answers.tls.given, answers.tls.legacy_certificate
        assert given is not None  # noqa: S101 - the caller looked
        if not vm.running:
            raise ConflictError("vm-off", vm=vm.name)
        told = await self._works.bring(vm.id, given, is_legacy=is_legacy)
        done = ["the engine was reached with these certificates, and they are stored"]
        return replace(about, state="prepared", addresses=told.addresses, until=told.until, done=done)

    async def _kept(self, vm: Vm, keeper: PoolKeeper, about: GuestPreparation) -> GuestPreparation | None:
        """Finish with the certificates that the VM has, when its engine is reached with them."""
        async with keeper.preparing.of(vm.id):
            proof = await self._trials.in_use(vm, keeper)
            if proof is None:
                return None
            if not (vm.enabled and is_tls(vm)):
                await self._vms.enable(vm.id, Reach(mode=config_keys.TLS))
                await tls_storing.collect(keeper, vm, secrets.all_named(vm))
        done = ["its engine is reached with the certificates that it has"]
        return replace(about, state="prepared", addresses=list(proof.addresses), until=proof.until, done=done)

    # ---- with new ones

    async def _asked(self, vm: Vm, keeper: PoolKeeper, answers: Answers, about: GuestPreparation) -> GuestPreparation:
        """Ask what is to be asked, then make certificates and put the CD into the drive."""
        said, is_renewal = answers.tls, answers.action == Action.RENEW
        lack = await _lack(vm, keeper, answers)
        addresses = await self._addresses(vm, keeper, answers)
        about = replace(about, addresses=list(addresses))
        if not said.addresses:
            return replace(about, question="addresses")
        offers = list(_offers(lack, with_client_key=said.with_client_key))
        if await tls_former.is_imported(vm, keeper):
            # Whoever has many renewed means those that Roadstead made; of one alone it was said.
            offers.append(_needed(Consent.IMPORTED, apart=is_renewal))
        for offer in offers:
            if offer.id in answers.declined:
                raise _declined(vm, offer, lack)
        asked = [offer for offer in offers if offer.id not in answers.agreed]
        if asked:
            return replace(about, question="consent", offers=asked)
        days = await tls_former.days(vm, keeper) if is_renewal and said.days is None else said.days
        wish = Wish(
            addresses=addresses,
            sources=said.sources,
            days=days,
            with_client_key=said.with_client_key,
            placing=_placing(answers),
        )
        return _stands(about, await self._works.make(vm.id, wish))

    async def _addresses(self, vm: Vm, keeper: PoolKeeper, answers: Answers) -> tuple[str, ...]:
        """Return for which addresses the certificate is to be."""
        said = answers.tls.addresses
        if not vm.running and not said:
            raise ConflictError("tls-address-needed", vm=vm.name)
        if answers.action == Action.RENEW and not said:
            said = await tls_former.addresses(vm, keeper, self._trials)
        return self._works.addresses(vm, keeper, said)


def _about(vm: Vm) -> GuestPreparation:
    return GuestPreparation(vm=vm.id, name=vm.name, mode=config_keys.TLS)


async def _lack(vm: Vm, keeper: PoolKeeper, answers: Answers) -> ConflictError | None:
    """Return what stands in the CD's way and can be allowed. Raises `ConflictError` when that alone does not help."""
    lack = None
    try:
        await TlsDisks(Disks(keeper.client)).check(vm.id, _placing(answers))
    except ConflictError as error:
        lack = error
    may_be_off = Consent.ADD_DRIVE in answers.agreed or (lack is not None and lack.code == "cd-drive-missing")
    if not vm.running and not may_be_off:
        raise ConflictError("vm-off", vm=vm.name)
    if lack is not None and (lack.code not in _ALLOWED or (lack.code == "cd-drive-missing" and vm.running)):
        raise lack
    return lack


_ALLOWED = {"cd-drive-full": Consent.EJECT, "cd-drive-missing": Consent.ADD_DRIVE}


def _declined(vm: Vm, offer: Offer, lack: ConflictError | None) -> ConflictError:
    """Return why nothing is made without what was not agreed to."""
    if offer.id == Consent.IMPORTED:
        return ConflictError("certificates-imported", vm=vm.name)
    if lack is not None and offer.id in _ALLOWED.values():
        return lack
    return ConflictError("prepare-declined", vm=vm.name, what=offer.title)


def _placing(answers: Answers) -> Placing:
    agreed = answers.agreed
    return Placing(answers.tls.storage, eject=Consent.EJECT in agreed, add_drive=Consent.ADD_DRIVE in agreed)


def _offers(lack: ConflictError | None, *, with_client_key: bool) -> Iterator[Offer]:
    """Yield what is to be agreed to before a CD is made."""
    if lack is not None:
        consent = _ALLOWED[lack.code]
        title = TITLES[consent].format_map(lack.fields)
        yield Offer(id=consent, title=title, is_needed=True, apart=True)
    for consent in (Consent.CD, *([Consent.CLIENT_KEY] if with_client_key else [])):
        yield _needed(consent)


def _needed(consent: Consent, *, apart: bool = False) -> Offer:
    return Offer(id=consent, title=TITLES[consent], is_needed=True, apart=apart)


def _stands(about: GuestPreparation, told: TlsPreparation) -> GuestPreparation:
    """Return how what is under way stands."""
    about = replace(about, addresses=told.addresses, until=told.until, preparation=told.preparation)
    if told.state == DONE:
        done = ["its engine uses the new certificates, and they are stored", told.last or "the CD is destroyed"]
        return replace(about, state="prepared", done=done)
    todo = BY_HAND.format(sources=", ".join(told.sources) or FROM_EVERYWHERE)
    return replace(about, question="run-script", todo=todo, last=told.last)
