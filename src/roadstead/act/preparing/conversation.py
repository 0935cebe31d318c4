"""What is said while a guest is prepared: the operator's answers so far, and the next question or the result."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from msgspec import Struct

from roadstead.artifacts import guest_parts
from roadstead.artifacts.authorized_keys import Form
from roadstead.model.surveys import Part, Root, Survey
from roadstead.peers.links import visits
from roadstead.peers.links.visits import SignIn
from roadstead.plan.preparation import Decision

TITLES = {
    Part.ENGINE: "install an engine, start it, and let {user} open its socket",
    Part.ENGINE_START: "start the engine, now and whenever the guest starts",
    Part.ENGINE_GROUP: "add {user} to the group docker, which may open the engine's socket (that equals root)",
    Part.OWN_ENGINE: "start an engine of {user}'s own, Podman, which runs while nobody is signed in, too",
    Part.ENGINE_AUTOSTART: "let the engine start whenever the guest starts",
    Part.LINGER: "let {user}'s engine run while nobody is signed in",
    Part.FORMER_KEY: "take the lines of other pools' keys ({count}) out of authorized_keys",
}


class Answers(Struct, frozen=True, kw_only=True):
    """All that the operator said so far; a repr shows nothing of the sign-in.

    ``host_key`` is the key that was confirmed (see `given_keys`), ``agreed`` and ``declined`` are ids of offers,
    ``sources`` the networks that the pool's key may come from.
    """

    action: str = "prepare"
    mode: str = "ssh"
    user: str | None = None
    host_key: str | None = None
    password: str | None = None
    private_key: str | None = None
    passphrase: str | None = None
    form: Form = Form.RESTRICTED
    sources: tuple[str, ...] = ()
    agreed: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Answers(action={self.action!r}, user={self.user!r}, host_key={self.host_key!r})"

    @property
    def signs_in(self) -> bool:
        """Whether it is said how to sign in."""
        return self.password is not None or self.private_key is not None

    async def sign_in(self) -> SignIn:
        """Return how to sign in. Raises `InputError`."""
        return await visits.sign_in(self.password, self.private_key, self.passphrase)

    def leaves_out(self, client: str) -> bool:
        """Whether ``sources`` shut out this server, which the guest sees as ``client``."""
        try:
            address = ip_address(client)
        except ValueError:
            return False
        return bool(self.sources) and not any(address in ip_network(source) for source in self.sources)


class Offer(Struct, frozen=True, kw_only=True):
    """What can be done in the guest when it is agreed to: ``commands`` run there, as root. Without one that
    ``is_needed`` the guest cannot be prepared.
    """

    id: str
    title: str
    commands: list[str] = []
    is_needed: bool = False


class GuestPreparation(Struct, frozen=True, kw_only=True):
    """How far a guest is.

    ``state`` is ``asks``, ``prepared`` or ``unprepared``; ``question`` says what is asked: ``host-key`` (is
    ``host_key``, type and fingerprint, the VM's own? ``remembered`` is the one that it showed before, ``others`` are
    the VMs for which the shown one is remembered), ``sign-in``, or ``consent`` to ``offers``.
    """

    vm: str
    name: str
    user: str
    state: str = "asks"
    question: str = ""
    address: str = ""
    host_key: str = ""
    remembered: str = ""
    others: str = ""
    offers: list[Offer] = []
    checked: list[tuple[str, str]] = []
    line: str = ""
    done: list[str] = []


def offered(decision: Decision, survey: Survey, user: str) -> Iterator[Offer]:
    """Yield what can be offered for ``decision``: what nobody could run is for the operator to do by hand."""
    needed = (decision.needed,) if decision.needed is not None else ()
    for part in (*needed, *decision.useful):
        commands = guest_parts.commands(part, survey)
        if part is Part.FORMER_KEY or (commands and survey.root is not Root.NONE):
            title = TITLES[part].format(user=user, count=len(survey.former))
            yield Offer(id=part.value, title=title, commands=list(commands), is_needed=part in needed)
