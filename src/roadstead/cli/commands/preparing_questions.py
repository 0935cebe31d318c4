"""What a person is asked while VMs are prepared, whatever their mode, and what stands for the answers in a script.

What was typed to sign in is kept for this run alone, and is sent only to VMs whose host keys are confirmed or known.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from roadstead.cli import session
from roadstead.cli.api import ssh_agent
from roadstead.cli.api.views import GuestOffer, GuestPreparation
from roadstead.cli.commands import secrets
from roadstead.cli.commands.preparing_guests import Guest, Wanted
from roadstead.cli.display import output
from roadstead.errors import ConflictError, InputError, quoted
from roadstead.kit.text import terminal_clean

_NOBODY = InputError("confirmation-needed", candidates=[])


@dataclass
class Questions:
    """Asks, each thing once for all VMs that it is the same for; a no ends a VM, and stops no other."""

    wanted: Wanted
    key: secrets.PrivateKey | None
    """What the file that is named to sign in with holds."""
    agent: ssh_agent.Agent | None = None
    """What signs in, where that was said or agreed to."""
    _sign_in: dict[str, str] = field(default_factory=dict, repr=False)

    def ask(self, guests: Sequence[Guest]) -> None:
        """Answer what the VMs ask."""
        self._confirm(_that_ask(guests, "host-key"))
        self._addresses(_that_ask(guests, "addresses"))
        self._consent(_that_ask(guests, "consent"))
        self._run_script(_that_ask(guests, "run-script"))
        for guest in guests:
            if guest.question == "sign-in":
                guest.answers |= self._known_sign_in(guest)

    def ask_anew(self, guests: Sequence[Guest]) -> None:
        """Have typed anew what was wrong; then nothing stands against a further try."""
        for guest in guests:
            if guest.error is not None:
                guest.answers |= self._typed_anew(guest, guest.error.code)
        for guest in guests:
            guest.error = None

    def may_try_again(self, guest: Guest, code: str) -> bool:
        """Whether what was wrong with the sign-in can be typed once more."""
        if guest.tries >= secrets.TRIES or not output.is_asked():
            return False
        if code in secrets.PASSPHRASE:
            return self.key is not None
        is_typed = self.wanted.signing.password_file is None and self.key is None and self.agent is None
        return code == "guest-sign-in-failed" and is_typed

    # ---- over SSH

    def _confirm(self, guests: Sequence[Guest]) -> None:
        """Show which host keys are shown, and ask once; nothing was sent to them yet."""
        new = [guest for guest in guests if not (guest.asked and (guest.asked.remembered or guest.asked.others))]
        doubtful = [guest for guest in guests if guest not in new]
        for group, is_taken in ((new, self.wanted.signing.accept_new), (doubtful, False)):
            try:
                is_right = bool(group) and (
                    is_taken or _agreed_to_keys(group, self._how_to_say(is_known=group is doubtful))
                )
            except InputError as error:
                _unanswered(group, error)
                continue
            for guest in group:
                if is_right:
                    guest.answers["host_key"] = guest.asked.host_key if guest.asked else ""
                else:
                    guest.give_up(ConflictError("guest-not-tried", vm=guest.vm.name))

    def _how_to_say(self, *, is_known: bool) -> str:
        """How a script says that host keys are right."""
        named = "--host-key VM=FINGERPRINT for each"
        if is_known or self.wanted.said.get("action") == "unprepare":
            return named
        return f"{named}, or with --accept-new"

    def _known_sign_in(self, guest: Guest) -> dict[str, str]:
        """Return how to sign in, asked for at first need and then taken for every VM."""
        if not self._sign_in and self._is_agents():
            guest.agent = self.agent
            return {}
        if not self._sign_in:
            if self.key is not None:
                self._sign_in = {"private_key": self.key.text, **(self._passphrase() if self.key.is_encrypted else {})}
            else:
                question = f"Password of {guest.user}: "
                self._sign_in = {"password": secrets.password(self.wanted.signing.password_file, question, or_key=True)}
        guest.tries = max(guest.tries, 1)
        return self._sign_in

    def _is_agents(self) -> bool:
        """Whether an agent signs in; one that is here is offered once, where a password would be asked for."""
        signing = self.wanted.signing
        if self.agent is None and output.is_asked() and self.key is None and signing.password_file is None:
            agent = ssh_agent.offered()
            if agent is not None and session.agreed(f"Sign in with your SSH agent ({agent})?", refusal=_NOBODY):
                self.agent = agent
        return self.agent is not None

    def _passphrase(self) -> dict[str, str]:
        return {"passphrase": secrets.passphrase(self.wanted.signing.key_file)}

    def _typed_anew(self, guest: Guest, code: str) -> dict[str, str]:
        guest.tries += 1 if guest.answers.keys() & {"password", "passphrase"} else 0
        if code in secrets.PASSPHRASE:
            if "passphrase" in self._sign_in and guest.answers.get("passphrase") != self._sign_in["passphrase"]:
                return self._sign_in  # it was typed for another VM meanwhile
            self._sign_in = {**self._sign_in, **self._passphrase()}
            return self._sign_in
        return {"password": secrets.asked(f"Password of {guest.user} on {guest.name}: ")}

    # ---- over TLS

    def _addresses(self, guests: Sequence[Guest]) -> None:
        """Show for which addresses the certificates are to be, and ask once."""
        if not guests:
            return
        print("The certificates are to be for 127.0.0.1 (for the engine's own tools in the VM) and:", file=sys.stderr)
        for guest in guests:
            print(f"  {guest.name}: {_addresses_of(guest)}", file=sys.stderr)
        try:
            is_right = self._agrees("Is that right?", [guest.vm.name for guest in guests])
        except InputError as error:
            _unanswered(guests, error)
            return
        for guest in guests:
            if is_right and guest.asked is not None:
                guest.answer(addresses=list(guest.asked.addresses))
            else:
                what = f"make its certificate for {_addresses_of(guest)} (--address names others)"
                guest.give_up(ConflictError("prepare-declined", vm=guest.vm.name, what=what))

    def _run_script(self, guests: Sequence[Guest]) -> None:
        """Say what is to be done in the VMs, once, and afterwards what the tries to reach their engines say."""
        new = [guest for guest in guests if "preparation" not in guest.answers.get("tls", {})]
        for guest in guests:
            asked = guest.asked or GuestPreparation()
            if guest in new:
                until = f", its certificates are valid until {asked.until:%Y-%m-%d}" if asked.until else ""
                guest.say(f"the CD is in the drive{until}")
                guest.answer(preparation=asked.preparation)
            elif asked.last and asked.last != guest.waited:
                guest.waited = asked.last
                guest.say(f"not yet: {asked.last}")
        for todo in dict.fromkeys(guest.asked.todo for guest in new if guest.asked):
            where = ", ".join(guest.name for guest in new if guest.asked and guest.asked.todo == todo)
            print(f"In {where}: {terminal_clean(todo)}", file=sys.stderr)
        if new and output.is_asked() and self.wanted.is_watched and not self.wanted.yes:
            print("Do that now, then press Return. ", end="", file=sys.stderr, flush=True)
            sys.stdin.readline()

    # ---- consent

    def _consent(self, guests: Sequence[Guest]) -> None:
        """Ask about each offer; nobody there to answer is a no, which what is needed then explains itself. What runs
        nothing in a guest is asked once for all VMs that it is the same for.
        """
        known: dict[str, bool] = {}
        for guest in guests:
            for offer in guest.asked.offers if guest.asked else ():
                is_common = not offer.commands and not offer.apart
                if not is_common or offer.title not in known:
                    meant = [each for each in guests if each.asked and offer in each.asked.offers]
                    known[offer.title] = self._is_agreed(meant if is_common else [guest], offer)
                _note(guest, offer, is_agreed=known[offer.title], is_told=bool(offer.commands) or self.wanted.yes)

    def _is_agreed(self, guests: Sequence[Guest], offer: GuestOffer) -> bool:
        if self.wanted.yes:
            return not offer.apart
        if not output.is_asked():
            return False
        names = ", ".join(guest.name for guest in guests)
        need = " needs this" if len(guests) == 1 else " need this"
        print(f"{names}{need if offer.is_needed else ''}:", file=sys.stderr)
        print(f"  {terminal_clean(offer.title)}", file=sys.stderr)
        for each in offer.about:
            print(f"    {terminal_clean(each)}", file=sys.stderr)
        sign = "#" if offer.runs_as == "root" else "$"
        for command in offer.commands:
            print(f"    {sign} {terminal_clean(command)}", file=sys.stderr)
        question = f"Run this as {terminal_clean(offer.runs_as)} in the guest?" if offer.commands else "Do it?"
        return self._agrees(question, [offer.title])

    def _agrees(self, question: str, what: list[str]) -> bool:
        """Whether somebody says yes. Raises `InputError` ``confirmation-needed`` when nobody can."""
        return self.wanted.yes or session.agreed(question, refusal=InputError("confirmation-needed", candidates=what))


def _note(guest: Guest, offer: GuestOffer, *, is_agreed: bool, is_told: bool) -> None:
    field = "agreed" if is_agreed else "declined"
    guest.answers[field] = [*guest.answers.get(field, []), offer.id]
    if is_agreed and is_told:
        guest.say(f"{offer.title} …")


def _that_ask(guests: Sequence[Guest], question: str) -> list[Guest]:
    return [guest for guest in guests if guest.question == question and not guest.is_over]


def _addresses_of(guest: Guest) -> str:
    return terminal_clean(", ".join(guest.asked.addresses if guest.asked else ()))


def _unanswered(guests: Sequence[Guest], error: InputError) -> None:
    """Give VMs up, as nobody is there to answer what they ask."""
    for guest in guests:
        guest.give_up(error)
    output.result(guests[0].vm.name, str(error), ok=False)


def _agreed_to_keys(group: Sequence[Guest], how: str) -> bool:
    """Whether somebody says that these keys are right. Raises `InputError` when nobody can."""
    print("These SSH host keys are shown:", file=sys.stderr)
    for guest in group:
        print(f"  {_key_line(guest)}", file=sys.stderr)
    shown = ", ".join(f"{quoted(guest.name)}={_fingerprint(guest)}" for guest in group)
    one = "Is this the VM's own" if len(group) == 1 else "Are all of these the VMs' own"
    question = f"{one} (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console tells)?"
    return session.agreed(question, refusal=InputError("guest-host-key-needed", shown=shown, how=how))


def _key_line(guest: Guest) -> str:
    asked = guest.asked or GuestPreparation()
    doubts = [
        f"remembered is {asked.remembered}" if asked.remembered else "",
        f"it is the key of {asked.others}, too" if asked.others else "",
    ]
    doubt = "; ".join(filter(None, doubts))
    return terminal_clean(f"{guest.vm.name} ({asked.address}): {asked.host_key}{f' — {doubt}' if doubt else ''}")


def _fingerprint(guest: Guest) -> str:
    return terminal_clean(guest.asked.host_key.split(" ")[-1]) if guest.asked else ""
