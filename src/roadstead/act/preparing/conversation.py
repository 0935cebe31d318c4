"""What is said while a guest is prepared: the operator's answers so far, and the next question or the result."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network

from msgspec import Struct

from roadstead.act.preparing.known_keys import KnownKeys
from roadstead.artifacts import guest_parts
from roadstead.artifacts.authorized_keys import Form
from roadstead.artifacts.certificate_checks import Given
from roadstead.artifacts.standing_lines import Standing
from roadstead.errors import InputError
from roadstead.model import config_keys
from roadstead.model.surveys import Part, Root, Survey
from roadstead.peers.links import visits
from roadstead.peers.links.operator_agents import OperatorAgent
from roadstead.peers.links.visits import SignIn
from roadstead.plan.preparation import Decision

ROOT = "root"


class Action(StrEnum):
    """What is to be done."""

    PREPARE = "prepare"
    RENEW = "renew"
    """Make the certificates of a VM anew that is reached over TLS, as the former ones were where nothing else is said;
    ``mode`` does not count then.
    """
    UNPREPARE = "unprepare"
    """Take back what is there, whatever the ``mode``: that goes by the VM's own."""


class Consent(StrEnum):
    """What only the operator can allow when the mode is ``tls``: the ids of such offers."""

    CD = "tls-cd"
    """A CD with the private key of the VM's engine, which any user of the VM can read meanwhile."""
    CLIENT_KEY = "tls-client-key"
    """The client's key on it as well."""
    EJECT = "cd-eject"
    """Another CD is taken out of the drive meanwhile."""
    ADD_DRIVE = "cd-add-drive"
    """The VM, which is shut down, gets a CD drive."""
    IMPORTED = "tls-imported"
    """Certificates that were made elsewhere are replaced."""


TITLES = {
    Part.ENGINE: "install an engine, start it, and let {user} open its socket",
    Part.ENGINE_START: "start the engine, now and whenever the guest starts",
    Part.ENGINE_GROUP: "add {user} to the group docker, which may open the engine's socket (that equals root)",
    Part.OWN_ENGINE: "start an engine of {user}'s own, Podman, which runs while nobody is signed in, too",
    Part.ENGINE_AUTOSTART: "let the engine start whenever the guest starts",
    Part.LINGER: "let {user}'s engine run while nobody is signed in",
    Part.FORMER_KEY: "take the lines of other pools' keys ({count}) out of authorized_keys",
}


class TlsAnswers(Struct, frozen=True, kw_only=True):
    """What the operator said besides where the mode is ``tls``; a repr shows no key."""

    addresses: tuple[str, ...] = ()
    """For which addresses the certificate is to be: those that were confirmed, or said."""
    sources: tuple[str, ...] = ()
    """Networks from which the VM's firewall is to let connections to the engine in; none: those of management."""
    days: int | None = None
    with_client_key: bool = False
    storage: str = ""
    """Uuid of the storage for the CD; empty: the pool's default."""
    renew: bool = False
    """Whether certificates are made anew although the engine is reached with those that it has."""
    given: Given | None = None
    """Certificates that were made elsewhere; then none are made here."""
    legacy_certificate: bool = False
    """Whether those may lack key usage."""
    preparation: str = ""
    """Which making of certificates this is about, as the question ``run-script`` named it."""

    def __repr__(self) -> str:
        return f"TlsAnswers(addresses={self.addresses!r}, preparation={self.preparation!r})"


class Answers(Struct, frozen=True, kw_only=True):
    """All that the operator said so far; a repr shows nothing of the sign-in.

    ``host_key`` is the key that was confirmed (see `given_keys`), ``agent`` names one that is lent (`lent_agents`),
    ``agreed`` and ``declined`` are ids of offers, ``sources`` the networks that the pool's key may come from; of these
    and of ``form`` None means: those of the line that is there.
    """

    action: Action = Action.PREPARE
    mode: str = "ssh"
    user: str | None = None
    host_key: str | None = None
    password: str | None = None
    private_key: str | None = None
    passphrase: str | None = None
    agent: str | None = None
    form: Form | None = None
    sources: tuple[str, ...] | None = None
    agreed: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
    tls: TlsAnswers = TlsAnswers()

    def __repr__(self) -> str:
        return f"Answers(action={self.action!r}, user={self.user!r}, host_key={self.host_key!r})"

    @property
    def signs_in(self) -> bool:
        """Whether it is said how to sign in."""
        return any(each is not None for each in (self.password, self.private_key, self.agent))

    async def sign_in(self, lent: Callable[[str], OperatorAgent]) -> SignIn:
        """Return how to sign in, where ``lent`` returns the agent of a name. Raises `InputError`, and as ``lent``."""
        if self.agent is not None:
            if self.password is not None or self.private_key is not None:
                raise InputError("field-invalid", field="agent", reason="it signs in by itself")
            return SignIn(agent=lent(self.agent))
        return await visits.sign_in(self.password, self.private_key, self.passphrase)

    def line_form(self, standing: Standing | None) -> Form:
        """Return the form of the line where ``standing`` is: what was said, or what is there."""
        return self.form or (standing.form if standing is not None else Form.RESTRICTED)

    def line_sources(self, standing: Standing | None, usual: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return where the key may come from (anywhere when that is empty): what was said, else what is there, else
        the ``usual``; None: what is there cannot be kept.
        """
        if self.sources is not None:
            return self.sources
        return usual if standing is None or standing.sources == () else standing.sources


class Offer(Struct, frozen=True, kw_only=True):
    """What can be done when it is agreed to: ``commands`` run in the guest, as ``runs_as``: root, or who signed in.
    Without one that ``is_needed`` the guest cannot be prepared; another one that fails is told in the result. One that
    stands ``apart`` is not meant by a yes to everything: it is agreed to by itself. ``about`` are the single things
    that it is about, each on a line for people.
    """

    id: str
    title: str
    commands: list[str] = []
    runs_as: str = ROOT
    about: list[str] = []
    is_needed: bool = False
    apart: bool = False


class GuestPreparation(Struct, frozen=True, kw_only=True):
    """How far a guest is.

    ``state`` is ``asks``, ``prepared`` or ``unprepared``; ``question`` says what is asked: ``host-key`` (is
    ``host_key``, type and fingerprint, the VM's own? ``remembered`` is the one that it showed before, ``others`` are
    the VMs for which the shown one is remembered), ``sign-in``, or ``consent`` to ``offers``. Where the mode is
    ``tls`` it is ``addresses`` (is the certificate to be for these?), ``consent``, and ``run-script``: do in the VM
    what ``todo`` says, and repeat the call with ``preparation`` until it is over; ``last`` is what the last try to
    reach the engine said, ``until`` when the certificates end.
    """

    vm: str
    name: str
    user: str = ""
    mode: str = config_keys.SSH
    state: str = "asks"
    question: str = ""
    address: str = ""
    host_key: str = ""
    remembered: str = ""
    others: str = ""
    offers: list[Offer] = []
    checked: list[tuple[str, str]] = []
    line: str = ""
    addresses: list[str] = []
    todo: str = ""
    preparation: str = ""
    last: str = ""
    until: datetime | None = None
    done: list[str] = []


def leaves_out(sources: Sequence[str], client: str) -> bool:
    """Whether ``sources`` shut out this server, which the guest sees as ``client``, as far as they are networks."""
    try:
        address, networks = ip_address(client), [ip_network(source) for source in sources]
    except ValueError:
        return False
    return bool(networks) and not any(address in network for network in networks)


def offered(decision: Decision, survey: Survey, user: str, known: KnownKeys) -> Iterator[Offer]:
    """Yield what can be offered for ``decision``: what nobody could run is for the operator to do by hand."""
    needed = (decision.needed,) if decision.needed is not None else ()
    for part in (*needed, *decision.useful):
        if part is Part.FORMER_KEY:
            yield former_offer(survey.former, known)
            continue
        remedy = guest_parts.remedy(part, survey, decision.socket)
        if remedy.commands and (survey.root is not Root.NONE or not remedy.is_roots):
            yield Offer(
                id=part.value,
                title=TITLES[part].format(user=user),
                commands=list(remedy.commands),
                runs_as=ROOT if remedy.is_roots else survey.user,
                is_needed=part in needed,
            )


def former_offer(former: Sequence[str], known: KnownKeys) -> Offer:
    """Return the offer to take the lines of ``former`` keys out, of which somebody may need one."""
    part, count = Part.FORMER_KEY, len(former)
    about = [known.told(key) for key in former]
    return Offer(id=part.value, title=TITLES[part].format(count=count), about=about, apart=True)
