"""VMs are prepared from a terminal: rounds of calls, all VMs at once, and between them the questions of all."""

import re
import time
from collections.abc import Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from functools import partial

from roadstead.cli import failures
from roadstead.cli.api import client, ssh_agent
from roadstead.cli.api.views import GuestPreparation, Vm
from roadstead.cli.commands import calls, certifying, lending, preparing_summary, secrets
from roadstead.cli.commands.preparing_guests import Guest, Wanted
from roadstead.cli.commands.preparing_questions import Questions
from roadstead.cli.display import output
from roadstead.errors import InputError, RoadsteadError
from roadstead.kit.text import terminal_clean

AT_ONCE = 8
LOOK_SECONDS = 1.0
"""Between two looks, when all that is waited for is what people do in their VMs."""
_KEY = r"SHA256:[A-Za-z0-9+/]{43}=?|(?:\S+ )?AAAA\S+.*"
_GIVEN_KEY = re.compile(f"(.+?)=({_KEY})", re.DOTALL)
_BARE_KEY = re.compile(_KEY, re.DOTALL)
_FINGERPRINT = re.compile("(?:^|=)(SHA256:.*)", re.DOTALL)
_STATES = {"prepared", "unprepared"}


def work(
    connected: client.Client,
    vms: list[Vm],
    wanted: Wanted,
    refused: Mapping[str, RoadsteadError] | None = None,
    *,
    cut: bool = True,
) -> None:
    """Do what is wanted to ``vms``; some that failed end the command with 4, and so do those (by id) that are
    ``refused`` beforehand. The table at the end fits the terminal when it is ``cut``.

    Raises `InputError` for what is said of one VM alone when there are several.
    """
    if len(vms) > 1 and wanted.said.get("tls", {}).get("addresses"):
        raise InputError("field-invalid", field="--address", reason=f"it is one VM's, and {len(vms)} are named")
    key = secrets.usable_key(wanted.signing.key_file)
    agent = ssh_agent.found() if wanted.signing.agent else None
    keys = _given_keys(wanted.signing.host_key, vms)
    guests = [Guest(vm, {**wanted.said, **keys.get(vm.id, {})}) for vm in vms]
    for guest in guests:
        if refused and guest.vm.id in refused:
            guest.give_up(refused[guest.vm.id])
            output.result(guest.vm.name, str(guest.error), ok=False)
    with failures.leaving(lambda: preparing_summary.broken_off(guests)):
        Rounds(connected, Questions(wanted, key, agent), guests).run()
    output.write(preparing_summary.lines(guests, cut=cut))
    if all(isinstance(guest.error, InputError) for guest in guests):  # nobody was there to answer
        raise SystemExit(failures.USAGE)
    failures.leave([guest.result is not None for guest in guests])


@dataclass
class Rounds:
    """Calls and questions in turn, until nothing more comes of it."""

    connected: client.Client
    questions: Questions
    guests: list[Guest]

    def run(self) -> None:
        """Go on until every VM is done, or has failed; what was typed wrong is asked for anew when nothing else is left
        to be done, for a question holds up whatever comes after it.
        """
        while pending := [guest for guest in self.guests if not guest.is_over]:
            if going := [guest for guest in pending if guest.error is None]:
                self._go_on(going)
            else:
                self.questions.ask_anew(pending)

    def _go_on(self, going: list[Guest]) -> None:
        """Call for each VM, and answer what they ask."""
        self._call(going)
        left = [guest for guest in going if not guest.is_over and guest.error is None]
        is_waiting = bool(left) and all(guest.question == "run-script" for guest in left)
        self.questions.ask(left)
        if not self.questions.wanted.is_watched:
            _leave([guest for guest in left if guest.question == "run-script"])
        if is_waiting:
            time.sleep(LOOK_SECONDS)

    def _call(self, going: list[Guest]) -> None:
        called = calls.begin([partial(self._ask, guest) for guest in going], AT_ONCE)
        guests = dict(zip(called, going, strict=True))
        try:
            for call in as_completed(called):
                self._answered(guests[call], call)
        except KeyboardInterrupt:
            self._wait(guests)
            raise
        finally:
            for call in called:
                call.cancel()

    def _wait(self, guests: Mapping[Future[GuestPreparation], Guest]) -> None:
        """Wait for what the server was given before somebody broke off, until that is done again."""
        begun = [call for call in guests if not call.cancel()]
        for guest in guests.values():
            if guest.is_called:
                guest.say("the server works on it; what comes of that is waited for, until another Ctrl-C")
        futures.wait(begun)

    def _answered(self, guest: Guest, call: Future[GuestPreparation]) -> None:
        guest.asked = guest.error = None
        try:
            self._heard(guest, call.result())
        except (client.Refused, RoadsteadError) as error:
            self._failed(guest, error)

    def _ask(self, guest: Guest) -> GuestPreparation:
        """Call for one VM; what an interrupted command must tell is noted here, as nobody hears the answer then."""
        guest.has_cd = "preparation" in guest.answers.get("tls", {})
        guest.is_called = True
        try:
            path = f"/vms/{client.part(guest.vm.id)}/prepare"
            with lending.lent(self.connected, guest.vm.id, guest.agent) as said:
                answers = {**guest.answers, **said}
                told = self.connected.post(GuestPreparation, path, answers, confirm=guest.confirmed)
        except (client.Refused, RoadsteadError) as error:
            guest.is_called, guest.error = False, error
            raise
        guest.is_called, guest.has_cd = False, told.question == "run-script"
        guest.result = told if told.state in _STATES else None
        return told

    def _heard(self, guest: Guest, told: GuestPreparation) -> None:
        if told.state in _STATES:
            guest.result, guest.is_over = told, True
            guest.say(f"{told.state}: {'; '.join(told.done)}")
        else:
            guest.asked, guest.user = told, terminal_clean(told.user)

    def _failed(self, guest: Guest, error: client.Refused | RoadsteadError) -> None:
        if failures.exit_code(error.code, getattr(error, "status", 0)) == failures.NO_SERVER:
            raise error
        guest.error = error
        if self.questions.may_try_again(guest, error.code):
            output.result(guest.vm.name, failures.cause(error), ok=False)
            return
        guest.is_over = True
        output.result(guest.vm.name, failures.line(error), ok=False)


def _leave(guests: Sequence[Guest]) -> None:
    """Let VMs be for which nothing is to be done but what people do in them."""
    for guest in guests:
        guest.result, guest.is_over = guest.asked, True
        guest.say(certifying.cd_stays(guest.name))


def _given_keys(given: Sequence[str], vms: list[Vm]) -> dict[str, dict[str, str]]:
    """Return the host keys that VMs must show; whose one is, need not be said of one VM alone. Raises `InputError`."""
    keys = {}
    for text in map(str.strip, given):
        found = _GIVEN_KEY.fullmatch(text)
        if found is None and len(vms) == 1 and _BARE_KEY.fullmatch(text):
            keys[vms[0].id] = {"host_key": text}
            continue
        if found is None:
            raise InputError("field-invalid", field="--host-key", reason=_unread(text))
        named = [vm for vm in vms if found[1] in {vm.id, vm.name}]
        if len(named) != 1:
            reason = f"{found[1]!r} names {len(named)} of the VMs that are to be prepared"
            raise InputError("field-invalid", field="--host-key", reason=reason)
        keys[named[0].id] = {"host_key": found[2]}
    return keys


def _unread(text: str) -> str:
    fingerprint = _FINGERPRINT.search(text)
    if fingerprint is not None and not _BARE_KEY.fullmatch(fingerprint[1]):
        return f"in {text!r} the fingerprint is not whole: 43 characters follow SHA256:"
    return f"{text!r} is not of the form VM=SHA256:…"
