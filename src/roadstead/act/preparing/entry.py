"""The operator's own sign-in to a guest that is to be prepared: found by its host key, looked at, changed.

What goes wrong on the way is told in words about preparing, each time with what the try leaves behind.
"""

import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from roadstead.artifacts import guest_survey, key_faults, key_lines
from roadstead.artifacts.key_lines import Answer, Step
from roadstead.errors import ConflictError, LinkError
from roadstead.model.surveys import Root, Survey
from roadstead.peers.links import faults, messages, visits
from roadstead.peers.links.given_keys import GivenKey
from roadstead.peers.links.hostkeys import named
from roadstead.peers.links.race import Race
from roadstead.peers.links.visits import Door, SignIn, Task, Visit
from roadstead.settings.schema import LinkSettings

LOOK_SECONDS = 45.0
LINE_SECONDS = 20.0
ROOT_SECONDS = 480.0
"""How long a command that installs an engine may take."""
WINDOWS = "A VM that runs Windows is prepared with --mode tls."
NOTHING = "Nothing was changed"
AGREED = "What was agreed to is done in the guest; the pool is as it was"
AGREED_IN_PART = "What was agreed to is done in the guest as far as it came; the pool is as it was"
LINE_LEFT = "The line may be in the guest already; the pool is as it was"
LINE_GONE = "The line may be gone from the guest already; the pool is as it was"
TAKEN_BACK = "The line was taken out again; the pool is as it was"
PUT_BACK = "The line that was there before is back; the pool is as it was"
MATCHED = (
    "A Match block of its sshd_config names another AuthorizedKeysFile, which may be this user's: only root can ask"
    " (`sshd -T -C user=…`), so sign in as root or as a user who has sudo without a password. "
)
LAST_BYTES = 4096
_DID = "roadstead-did:"


@dataclass(frozen=True, slots=True)
class Found:
    """Where a guest answers, and the host key (base64 blob) that it shows there."""

    address: str
    host_key: str


@dataclass(slots=True)
class Guest:
    """A VM while it is prepared: what it is called, where its SSH server listens, and as whom the operator signs in.

    ``left`` says what the try has left behind so far.
    """

    vm: str
    user: str
    port: int
    addresses: tuple[str, ...]
    settings: LinkSettings
    left: str = NOTHING
    besides: str = WINDOWS
    """What may help, besides, where it cannot be reached."""

    async def find(self, wanted: GivenKey | None) -> Found:
        """Return where the guest answers under the key that is ``wanted`` (any, when none is); nobody signs in.

        Raises `LinkError` ``guest-unreachable``, and ``host-key-changed`` or ``host-key-type-gone`` when all answers
        differ from it.
        """

        async def attempt(address: str) -> Found:
            kind = wanted.type if wanted is not None else ""
            key = await visits.shown(Door(address, self.port), self.settings, kind)
            shown = messages.fingerprint(key)
            if wanted is not None and shown != wanted.fingerprint:
                raise LinkError("host-key-changed", shown=f"{shown} ({messages.key_type(key)})")
            return Found(address, key)

        race = Race(self.addresses, attempt, lambda _: None, lambda _: False)
        try:
            return await race.run(self.settings.stagger_seconds)
        except LinkError as error:
            if error.code in {"host-key-changed", "host-key-type-gone"}:
                raise
            raise self.fault(error, ", ".join(self.addresses)) from error

    @asynccontextmanager
    async def entered(self, found: Found, sign_in: SignIn) -> AsyncIterator["Inside"]:
        """Sign in where the guest was found. Raises `ConflictError` and `LinkError` with the codes of preparing."""
        door = Door(found.address, self.port, self.user)
        async with AsyncExitStack() as stack:
            entry = visits.entered(door, named(found.host_key), sign_in, self.settings)
            try:
                visit = await stack.enter_async_context(entry)
            except LinkError as error:
                raise self._agents_fault(error, sign_in) or self.fault(error, found.address) from error
            yield Inside(self, visit, found.address, sign_in.password)

    def _agents_fault(self, error: LinkError, sign_in: SignIn) -> ConflictError | None:
        """Return what stands against a sign-in with an agent, where that is why ``error`` came."""
        is_refused = error.code == "key-rejected" or faults.TRIES_SPENT in error.fields.get("reason", "")
        if (agent := sign_in.agent) is None or not (is_refused or error.code == "timed-out"):
            return None
        about = {"vm": self.vm, "user": self.user, "left": self.left}
        if agent.refusal:
            return ConflictError("agent-refused", **about, reason=agent.refusal)
        return ConflictError("agent-keys-not-taken", **about, count=len(agent.keys)) if is_refused else None

    def fault(self, error: LinkError, address: str) -> ConflictError | LinkError:
        """Return ``error``, one of those of `visits`, in words about preparing."""
        about = {"vm": self.vm, "user": self.user, "address": address, "left": self.left}
        if error.code == "key-rejected":
            return ConflictError("guest-sign-in-failed", **about)
        if error.code in {"host-key-changed", "host-key-type-gone"}:
            shown = error.fields.get("shown", "of another type")
            return ConflictError("guest-host-key-differs", **about, shown=shown, confirmed=error.fields.get("pinned"))
        if error.code == "link-lost" or error.fields.get("step") == visits.WORKING:
            return LinkError("guest-cut-off", **about, step=visits.WORKING)
        return LinkError("guest-unreachable", **about, besides=self.besides, reason=faults.reason(error))


class Inside:
    """A guest in which the operator is signed in."""

    def __init__(self, guest: Guest, visit: Visit, address: str, password: str | None) -> None:
        self._guest = guest
        self._visit = visit
        self._address = address
        self._password = password
        self.server = visit.server
        """How its SSH server introduced itself."""
        self._put = Answer.ABSENT
        """What setting the line said."""

    async def survey(self, keys: Sequence[str], sockets: Sequence[str], known: Sequence[str]) -> Survey:
        """Look at the guest, where ``keys`` are the pool's and ``known`` are other pools'.

        Raises `ConflictError` ``guest-not-told``.
        """
        command = guest_survey.command(keys, sockets, known)
        survey = guest_survey.read(await self._run(Task(command, b"", LOOK_SECONDS)), known)
        if survey is None:
            raise self.conflict("guest-not-told")
        return survey

    async def former(self, keys: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
        """Look for lines of other pools' keys alone, whatever else works in the guest."""
        command = guest_survey.lines_command(keys, known)
        return guest_survey.read_lines(await self._run(Task(command, b"", LINE_SECONDS)), known)

    @property
    def replaced(self) -> bool:
        """Whether the line took the place of another one of its key, which can come back."""
        return self._put is Answer.REPLACED

    async def put(self, line: str, public_key: str) -> None:
        """Make ``line`` the one line of ``public_key``. Raises `ConflictError`; then nothing was changed."""
        try:
            command = key_lines.setting(line, public_key)
        except ValueError as error:
            raise self.conflict("guest-no-relay", reason="its line would be one that no shell hands on") from error
        left, self._guest.left = self._guest.left, LINE_LEFT
        answer = await self._changed(command)
        if not answer.is_done:
            # Of several files the first may have been changed already.
            await self._changed(key_lines.undoing(public_key, Answer.REPLACED))
            self._guest.left = left
            raise self._unwritten(answer)
        self._put = answer

    async def take_back(self, public_key: str) -> None:
        """Undo what `put` did: the line of ``public_key`` that it added goes, with what was made for it, and what it
        replaced comes back. Raises `ConflictError`.
        """
        if await self._take_out(key_lines.undoing(public_key, self._put)):
            self._guest.left = PUT_BACK if self.replaced else TAKEN_BACK

    async def settle(self, public_key: str) -> None:
        """Let go of what `put` replaced. Raises `ConflictError`."""
        if self.replaced:
            await self._take_out(key_lines.command(public_key, public_key, Step.KEEP))

    async def take_out(self, public_key: str) -> bool:
        """Take all lines of ``public_key`` out; return whether there were any. Raises `ConflictError`."""
        return await self._take_out(key_lines.command(public_key, public_key, Step.REMOVE))

    async def carry_out(self, commands: Sequence[str], root: Root) -> None:
        """Run ``commands`` one after the other, as root, who is reached by ``root`` (`Root.IS`: nobody else is needed
        than who signed in). Raises `ConflictError` ``guest-command-failed``.
        """
        for command in commands:
            self._guest.left = AGREED_IN_PART
            # What a package manager says may be long, and what counts stands at its end.
            wrapped = f'{{ {{ {command}; }} 2>&1; s=$?; echo; echo "{_DID}$s"; }} | tail -c {LAST_BYTES}'
            prefix = {Root.IS: "", Root.FREE: "sudo -n ", Root.ASKS: "sudo -S -p '' "}.get(root, "sudo -n ")
            given = f"{self._password}\n".encode() if root is Root.ASKS and self._password is not None else b""
            task = Task(f"exec {prefix}sh -c {shlex.quote(wrapped)}", given, ROOT_SECONDS)
            said = (await self._run(task)).decode("utf-8", "replace").splitlines()
            if f"{_DID}0" not in said:
                raise self.conflict("guest-command-failed", command=command, reason=_last_words(said))
        self._guest.left = AGREED

    def conflict(self, code: str, **fields: str) -> ConflictError:
        """Return the error of ``code`` about this guest."""
        return ConflictError(code, vm=self._guest.vm, user=self._guest.user, left=self._guest.left, **fields)

    async def _take_out(self, command: str) -> bool:
        left = self._guest.left
        if left == NOTHING:
            self._guest.left = LINE_GONE
        answer = await self._changed(command)
        if not answer.is_done:
            self._guest.left = left
        if answer.is_done or answer is Answer.ABSENT:
            return answer.is_done
        raise self._unwritten(answer)

    def _unwritten(self, answer: Answer) -> ConflictError:
        if fault := key_faults.FAULTS.get(answer):
            return self.conflict("guest-keys-unwritable", reason=fault.reason, mend=fault.remedy)
        return self.conflict("guest-disk-full" if answer is Answer.FULL else "guest-not-told")

    async def _changed(self, command: str) -> Answer:
        return key_lines.answer(await self._run(Task(command, b"", LINE_SECONDS)))

    async def _run(self, task: Task) -> bytes:
        try:
            return await self._visit.run(task)
        except LinkError as error:
            raise self._guest.fault(error, self._address) from error


def _last_words(said: Sequence[str]) -> str:
    lines = [line.strip() for line in said if line.strip() and not line.startswith(_DID)]
    return lines[-1].rstrip(".") if lines else "it could not become root"
