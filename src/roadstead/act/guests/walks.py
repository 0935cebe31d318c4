"""One walk along the path to a VM's engine: what links tell of their progress becomes findings, one for each step."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from roadstead.errors import LinkError, RoadsteadError, tame
from roadstead.kit.streams import Link
from roadstead.model import PathStep, StepFinding
from roadstead.plan import path

OK, FAILED, MISSED = "ok", "failed", "missed"
COMMON = ""
"""Stands for no address: what is so whichever of them leads there."""
Tell = Callable[[StepFinding], None]


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a walk has come to: a link, which whoever has it closes. Where a ``socket`` leads on from there, that is
    its path, and ``user`` says for people who opens it.
    """

    link: Link
    socket: str = ""
    user: str = ""


class Walk:
    """Where we are on one path; it is the `Witness` of the link that is opened for it.

    Each finding is told as it is made. ``names`` fill the texts of errors.
    """

    def __init__(self, steps: path.Path, tell: Tell, names: Mapping[str, str]) -> None:
        self.steps = steps
        self.addresses: tuple[str, ...] = ()
        """Those that are called, once that is known."""
        self._tell = tell
        self._names = names
        self._passed: dict[str, int] = {COMMON: 0}
        self._since: dict[str, float] = {COMMON: time.monotonic()}
        self._missed: dict[str, tuple[int, LinkError]] = {}

    def ok(self, step: PathStep, finding: str) -> None:
        """A step was passed, whichever address it is."""
        self.passed(step, finding, COMMON)

    def calls(self, addresses: Sequence[str]) -> None:
        """From now on these addresses are called, side by side."""
        self.addresses = tuple(addresses)
        self.rests()

    def rests(self) -> None:
        """What was waited for until now is no step's time."""
        self._since = dict.fromkeys((COMMON, *self.addresses), time.monotonic())
        for address in self.addresses:
            self._passed[address] = self._passed[COMMON]

    def goes_on(self, address: str) -> None:
        """This address led there: what follows happens at it."""
        self._passed[COMMON] = self._passed[address]
        self._since[COMMON] = self._since[address]

    @property
    def next(self) -> PathStep:
        """The step that is under way, at whichever address one got furthest."""
        return self.steps[min(max(self._passed.values()), len(self.steps) - 1)]

    def fails(self, error: RoadsteadError, at: PathStep | None = None) -> None:
        """The path ends here, ``at`` this step where that is certain. Of several addresses' failures the error is the
        one that tells most.
        """
        place, told = self._place(error) if at is None else self.steps.index(at), self._named(error)
        address = next((each for each, missed in self._missed.items() if _alike(missed[1], error)), COMMON)
        if address == COMMON or len(self.addresses) == 1:
            self._imply(place, address)
        self._say(place, FAILED, told.cause, address, told)

    # ---- what links tell

    def passed(self, step: PathStep, finding: str, address: str) -> None:
        """See `Witness`. What was passed before is no news: a guest may have keys exchanged, and shown, again."""
        place = self.steps.index(step)
        if place < self._passed.get(address, 0):
            return
        self._say(place, OK, tame(finding), address)
        self._passed[address] = place + 1

    def missed(self, address: str, error: LinkError) -> None:
        """See `Witness`. The failure of the only address is that of the path, and told by `fails`."""
        place = path.failing(self.steps, self._passed.get(address, 0), error)
        self._missed[address] = place, error
        if len(self.addresses) > 1:
            self._imply(place, address)
            self._say(place, MISSED, self._named(error).cause, address)

    # ---- pieces

    def _place(self, error: RoadsteadError) -> int:
        alike = [place for place, missed in self._missed.values() if _alike(missed, error)]
        return alike[0] if alike else path.failing(self.steps, self._passed[COMMON], error)

    def _imply(self, place: int, address: str) -> None:
        for step in path.implied(self.steps, self._passed.get(address, 0), place):
            self.passed(step, "", address)

    def _named(self, error: RoadsteadError) -> RoadsteadError:
        return error.about(**self._names)

    def _say(self, place: int, state: str, finding: str, address: str, error: RoadsteadError | None = None) -> None:
        now = time.monotonic()
        seconds, self._since[address] = now - self._since.get(address, now), now
        self._tell(
            StepFinding(
                step=self.steps[place].value,
                state=state,
                seconds=round(seconds, 4),
                finding=finding,
                address=address,
                code=error.code if error is not None else "",
                remedy=error.remedy if error is not None else "",
            )
        )


def _alike(one: RoadsteadError, other: RoadsteadError) -> bool:
    """Whether ``other`` tells of what happened to ``one``; the addresses, and how it reads for a VM, may differ."""
    causes = (other, other.__cause__)
    return any(
        isinstance(each, RoadsteadError) and (one.code, one.fields.get("step")) == (each.code, each.fields.get("step"))
        for each in causes
    )
