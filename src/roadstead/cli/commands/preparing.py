"""Guests are prepared from a terminal: rounds of calls, all VMs at once, and between them the questions of all.

What was typed to sign in is kept for this run alone, and is sent only to VMs whose host keys are confirmed or known.
"""

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadstead.cli import failures, session
from roadstead.cli.api import client
from roadstead.cli.api.views import GuestOffer, GuestPreparation, Vm
from roadstead.cli.commands import secrets
from roadstead.cli.display import output, table
from roadstead.errors import ConflictError, InputError, RoadsteadError
from roadstead.kit.text import terminal_clean

AT_ONCE = 8
TRIES = 3
"""How often a password or a passphrase may be typed for one VM."""
FORMER_KEY = "former-key"
"""The offer that `--yes` does not agree to: the line may be needed by somebody."""
_GIVEN_KEY = re.compile(r"(.+?)=(SHA256:[A-Za-z0-9+/]{43}=?|(?:\S+ )?AAAA\S+.*)", re.DOTALL)
_STATES = {"prepared": "prepared", "unprepared": "unprepared"}
_SIGN_IN = {"guest-sign-in-failed", "key-passphrase-wrong"}


@dataclass(frozen=True)
class Wanted:
    """What is to be done: ``said`` is what every VM is told, the rest how questions are answered beforehand."""

    action: str
    said: dict[str, Any]
    host_keys: list[str]
    password_file: str | None
    key_file: Path | None
    accept_new: bool = False
    yes: bool = False


@dataclass
class Guest:
    """One VM on its way: what was answered for it, what it asks, and what came of it."""

    vm: Vm
    answers: dict[str, Any]
    asked: GuestPreparation | None = None
    result: GuestPreparation | None = None
    error: client.Refused | RoadsteadError | None = None
    user: str = ""
    """Who signs in there, as far as the server said."""
    tries: int = 0
    is_over: bool = False

    @property
    def name(self) -> str:
        """As people call it."""
        return terminal_clean(self.vm.name)


def work(connected: client.Client, vms: list[Vm], wanted: Wanted) -> None:
    """Do what is wanted to ``vms``; some that failed end the command with 4."""
    keys = _given_keys(wanted.host_keys, vms)
    guests = [Guest(vm, {**wanted.said, **keys.get(vm.id, {})}) for vm in vms]
    Rounds(connected, wanted, guests).run()
    output.write(_table(guests))
    failures.leave([guest.result is not None for guest in guests])


@dataclass
class Rounds:
    """Calls and questions in turn, until nothing more comes of it."""

    connected: client.Client
    wanted: Wanted
    guests: list[Guest]
    _sign_in: dict[str, str] = field(default_factory=dict, repr=False)

    def run(self) -> None:
        """Go on until every VM is done, or has failed."""
        while pending := [guest for guest in self.guests if not guest.is_over]:
            self._call(pending)
            self._answer([guest for guest in pending if not guest.is_over])

    def _call(self, pending: list[Guest]) -> None:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="prepare") as threads:
            calls = {threads.submit(self._ask, guest): guest for guest in pending}
            for call in as_completed(calls):
                guest = calls[call]
                guest.asked = guest.error = None
                try:
                    self._heard(guest, call.result())
                except (client.Refused, RoadsteadError) as error:
                    self._failed(guest, error)

    def _ask(self, guest: Guest) -> GuestPreparation:
        return self.connected.post(GuestPreparation, f"/vms/{client.part(guest.vm.id)}/prepare", guest.answers)

    def _heard(self, guest: Guest, told: GuestPreparation) -> None:
        if told.state in _STATES:
            guest.result, guest.is_over = told, True
            _say(guest, f"{told.state}: {'; '.join(told.done)}")
        else:
            guest.asked, guest.user = told, terminal_clean(told.user)

    def _failed(self, guest: Guest, error: client.Refused | RoadsteadError) -> None:
        if failures.exit_code(error.code, getattr(error, "status", 0)) == failures.NO_SERVER:
            raise error
        guest.error = error
        if error.code in _SIGN_IN and self._is_typed(error.code) and guest.tries < TRIES:
            output.result(guest.vm.name, error.cause, ok=False)
            return
        guest.is_over = True
        output.result(guest.vm.name, f"{error.cause} {error.remedy}".strip(), ok=False)

    # ---- answers

    def _answer(self, guests: list[Guest]) -> None:
        """Ask a person what could not be answered beforehand; a no ends a VM, and stops no other."""
        self._confirm([guest for guest in guests if guest.asked and guest.asked.question == "host-key"])
        for guest in guests:
            if guest.asked is not None and guest.asked.question == "sign-in":
                guest.answers |= self._known_sign_in(guest)
            elif guest.asked is not None and guest.asked.question == "consent":
                self._consent(guest, guest.asked)
            elif guest.error is not None:
                guest.answers |= self._typed_anew(guest, guest.error.code)

    def _confirm(self, guests: list[Guest]) -> None:
        """Show which host keys are shown, and ask once; nothing was sent to them yet."""
        new = [guest for guest in guests if not (guest.asked and (guest.asked.remembered or guest.asked.others))]
        doubtful = [guest for guest in guests if guest not in new]
        for group, is_taken in ((new, self.wanted.accept_new), (doubtful, False)):
            if group and (is_taken or self._agreed_to_keys(group)):
                for guest in group:
                    guest.answers["host_key"] = guest.asked.host_key if guest.asked else ""
            else:
                for guest in group:
                    guest.is_over = True
                    guest.error = ConflictError("guest-not-tried", vm=guest.vm.name)

    def _agreed_to_keys(self, group: list[Guest]) -> bool:
        print("These SSH host keys are shown:", file=sys.stderr)
        for guest in group:
            print(f"  {_key_line(guest)}", file=sys.stderr)
        shown = ", ".join(f"{guest.name}={_fingerprint(guest)}" for guest in group)
        one = "Is this the VM's own" if len(group) == 1 else "Are all of these the VMs' own"
        question = f"{one} (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console tells)?"
        try:
            return session.agreed(question, refusal=InputError("guest-host-key-needed", shown=shown))
        except InputError as error:
            output.result(group[0].vm.name, str(error), ok=False)
            return False

    def _known_sign_in(self, guest: Guest) -> dict[str, str]:
        """Return how to sign in, asked for at first need and then taken for every VM."""
        if not self._sign_in:
            if self.wanted.key_file is not None:
                self._sign_in = {"private_key": secrets.text_of(self.wanted.key_file)}
            else:
                question = f"Password of {guest.user}: "
                self._sign_in = {"password": secrets.password(self.wanted.password_file, question)}
        guest.tries = max(guest.tries, 1)
        return self._sign_in

    def _typed_anew(self, guest: Guest, code: str) -> dict[str, str]:
        guest.tries += 1
        if code == "key-passphrase-wrong":
            if "passphrase" in self._sign_in and guest.answers.get("passphrase") != self._sign_in["passphrase"]:
                return self._sign_in  # it was typed for another VM meanwhile
            question = f"Passphrase of {terminal_clean(str(self.wanted.key_file))}: "
            self._sign_in = {**self._sign_in, "passphrase": secrets.asked(question)}
            return self._sign_in
        return {"password": secrets.asked(f"Password of {guest.user} on {guest.name}: ")}

    def _is_typed(self, code: str) -> bool:
        if not output.is_asked():
            return False
        return code == "key-passphrase-wrong" or (self.wanted.password_file is None and self.wanted.key_file is None)

    def _consent(self, guest: Guest, asked: GuestPreparation) -> None:
        """Ask about each offer; nobody there to answer is a no, which what is needed then explains itself."""
        for offer in asked.offers:
            is_agreed = self.wanted.yes and offer.id != FORMER_KEY
            if not self.wanted.yes and output.is_asked():
                is_agreed = _agrees(guest, offer)
            known = guest.answers.get("agreed" if is_agreed else "declined", [])
            guest.answers["agreed" if is_agreed else "declined"] = [*known, offer.id]
            if is_agreed:
                _say(guest, f"{offer.title} …")


def _say(guest: Guest, text: str) -> None:
    """Tell how it goes; the table at the end alone is the output."""
    print(terminal_clean(f"{guest.vm.name}: {text}"), file=sys.stderr, flush=True)


def _agrees(guest: Guest, offer: GuestOffer) -> bool:
    print(terminal_clean(f"{guest.name} needs this:" if offer.is_needed else f"{guest.name}:"), file=sys.stderr)
    print(f"  {terminal_clean(offer.title)}", file=sys.stderr)
    for command in offer.commands:
        print(f"    # {terminal_clean(command)}", file=sys.stderr)
    question = "Run this as root in the guest?" if offer.commands else "Do it?"
    return session.agreed(question, refusal=InputError("confirmation-needed", candidates=[offer.title]))


def _given_keys(given: list[str], vms: list[Vm]) -> dict[str, dict[str, str]]:
    keys = {}
    for text in given:
        found = _GIVEN_KEY.fullmatch(text.strip())
        if found is None:
            raise InputError("field-invalid", field="--host-key", reason=f"{text!r} is not of the form VM=SHA256:…")
        named = [vm for vm in vms if found[1] in {vm.id, vm.name}]
        if len(named) != 1:
            reason = f"{found[1]!r} names {len(named)} of the VMs that are to be prepared"
            raise InputError("field-invalid", field="--host-key", reason=reason)
        keys[named[0].id] = {"host_key": found[2]}
    return keys


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


def _table(guests: list[Guest]) -> Iterator[str]:
    rows = [guest.result or GuestPreparation() for guest in guests]
    made = [
        table.Column("VM", [guest.vm.name for guest in guests]),
        table.Column("RESULT", [_result(guest) for guest in guests], least=12),
        table.Column("USER", [row.user or "-" for row in rows], rank=2),
        table.Column("ADDRESS", [row.address or "-" for row in rows], rank=3),
        table.Column("ENGINE", [_fact(row, "engine") for row in rows], rank=1),
        table.Column("AUTOSTART", [_fact(row, "starts with the guest") for row in rows], rank=4),
    ]
    return table.lines(made, output.room())


def _result(guest: Guest) -> str:
    if guest.result is not None:
        return guest.result.state
    return f"failed: {guest.error.code if guest.error is not None else 'not tried'}"


def _fact(row: GuestPreparation, name: str) -> str:
    return next((value for fact, value in row.checked if fact == name), "-")
