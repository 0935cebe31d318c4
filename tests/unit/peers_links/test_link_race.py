"""The race over several addresses, in virtual time."""

from __future__ import annotations

import ast
import asyncio
import errno
import inspect
from collections.abc import Mapping

import pytest

from roadstead.errors import LinkError
from roadstead.kit import tasks
from roadstead.peers.links import faults, hostkeys, plain, tls_faults
from roadstead.peers.links.faults import CONNECTING, GREETING, SHAKING_HANDS, SIGNING_IN, timed_out, verdict
from roadstead.peers.links.race import Race

pytestmark = pytest.mark.looptime

STAGGER_SECONDS = 0.25
Plan = Mapping[str, tuple[float, Exception | None]]
"""For each address: how long it takes, and how it fails."""


class Track:
    """Runs races and notes what happened when."""

    def __init__(self, plan: Plan, *final: str) -> None:
        self.plan = plan
        self.final = final
        self.began: dict[str, float] = {}
        self.given_up: list[str] = []
        self.undone: list[str] = []

    async def run(self) -> str:
        race = Race(list(self.plan), self._attempt, self.undone.append, lambda error: error.code in self.final)
        return await race.run(STAGGER_SECONDS)

    async def _attempt(self, address: str) -> str:
        self.began[address] = asyncio.get_running_loop().time()
        seconds, error = self.plan[address]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.given_up.append(address)
            raise
        if error is not None:
            raise error
        return address


def _unreachable(address: str) -> LinkError:
    return LinkError("unreachable", addresses=address, reason="no route to host")


def _changed(shown: str = "SHA256:x") -> LinkError:
    return LinkError("host-key-changed", shown=shown, pinned="SHA256:y")


async def test_the_first_address_has_a_head_start(looptime: float) -> None:
    """When it answers within it, no other is called."""
    track = Track({"a": (0.2, None), "b": (0.0, None)})

    assert await track.run() == "a"
    assert track.began == {"a": 0.0}
    assert looptime == 0.2


async def test_a_dead_address_costs_a_moment(looptime: float) -> None:
    """The next one starts beside it, wins, and the dead one is given up."""
    track = Track({"a": (5.0, None), "b": (0.1, None)})

    assert await track.run() == "b"
    assert (track.began, track.given_up) == ({"a": 0.0, "b": 0.25}, ["a"])
    assert looptime == 0.35


async def test_a_failure_starts_the_next_at_once(looptime: float) -> None:
    """Nobody waits for the head start of an address that has failed."""
    track = Track({"a": (0.05, _unreachable("a")), "b": (0.05, _unreachable("b")), "c": (0.0, None)})

    assert await track.run() == "c"
    assert looptime == pytest.approx(0.1)


async def test_this_machines_trouble_with_one_address_is_that_addresss_failure() -> None:
    """An `OSError` of one attempt leaves the others in the race."""
    track = Track({"a": (0.0, OSError(errno.EAFNOSUPPORT, "")), "b": (0.1, None)})

    assert await track.run() == "b"


async def test_this_machines_trouble_with_all_addresses_is_told() -> None:
    """When every attempt ends with an `OSError`, the guest is unreachable, for the reason that the system names."""
    track = Track({"a": (0.0, OSError(errno.EMFILE, "")), "b": (0.1, OSError(errno.EMFILE, ""))})

    with pytest.raises(LinkError) as caught:
        await track.run()
    assert caught.value.code == "unreachable"
    assert caught.value.fields == {"addresses": "a, b", "reason": "too many open files"}


async def test_an_address_with_another_key_loses_the_race() -> None:
    """The others go on, whatever the first one shows."""
    track = Track({"a": (0.0, _changed()), "b": (1.0, None)})

    assert await track.run() == "b"


async def test_a_final_failure_ends_the_race(looptime: float) -> None:
    """It speaks for the guest itself, so the others are given up."""
    track = Track({"a": (5.0, None), "b": (0.0, LinkError("key-rejected", user="core"))}, "key-rejected")

    with pytest.raises(LinkError) as caught:
        await track.run()
    assert caught.value.code == "key-rejected"
    assert track.given_up == ["a"]
    assert looptime == 0.25


async def test_of_two_winners_one_is_undone() -> None:
    """Two addresses may answer in the same turn; only one link is kept."""
    track = Track({"a": (0.25, None), "b": (0.0, None)})

    kept = await track.run()
    assert [kept, *track.undone] in (["a", "b"], ["b", "a"], [kept])
    assert kept not in track.undone


async def test_a_race_that_is_given_up_leaves_nothing() -> None:
    """Neither attempts nor links."""
    track = Track({"a": (9.0, None), "b": (9.0, None)})
    async with asyncio.TaskGroup() as group:
        racing = tasks.spawn(group, track.run(), "race")
        await asyncio.sleep(1)
        await tasks.stop(racing)

    assert sorted(track.given_up) == ["a", "b"]


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([_unreachable("a"), LinkError("refused", addresses="b", port=22)], "refused"),
        ([_unreachable("a"), _changed()], "host-key-changed"),
        ([_changed(), LinkError("key-rejected", user="core")], "key-rejected"),
        ([_changed(), LinkError("ssh-refuses-us")], "ssh-refuses-us"),
        ([_changed(), timed_out(SIGNING_IN, "b")], "timed-out"),
        ([_changed(), timed_out(CONNECTING, "b")], "host-key-changed"),
        (
            [LinkError("host-key-shared", shown="s", others="db"), LinkError("refused", addresses="b", port=22)],
            "host-key-shared",
        ),
        ([timed_out(CONNECTING, "a"), LinkError("refused", addresses="b", port=22)], "refused"),
        ([LinkError("ssh-failed", reason="r"), _changed()], "host-key-changed"),
    ],
)
async def test_what_is_said_of_several_failures(failures: list[LinkError], code: str) -> None:
    """What tells most about the guest: a changed key only when nothing else that answered could be the guest."""
    for order in (failures, failures[::-1]):
        assert verdict([(str(number), error) for number, error in enumerate(order)]).code == code


def _raised() -> list[LinkError]:
    """One error of each code that is made where an attempt may fail, and of each step that may take too long."""
    codes = set()
    for module in (faults, tls_faults, hostkeys, plain):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            match node:
                case ast.Call(func=ast.Name(id="LinkError"), args=[ast.Constant(value=str(code)), *_]):
                    codes.add(code)
    # The pin is read before anybody is called.
    untimed = [LinkError(code) for code in sorted(codes - {"timed-out", "setting-invalid"})]
    return untimed + [timed_out(step, "a") for step in (CONNECTING, GREETING, SIGNING_IN, SHAKING_HANDS)]


@pytest.mark.parametrize("error", _raised(), ids=lambda error: f"{error.code} {error.fields.get('step', '')}".strip())
async def test_what_is_known_comes_before_what_is_not(error: LinkError) -> None:
    """Each failure of an address has its rank; a code that has none beats nobody."""
    unknown = ("b", LinkError("link-lost"))
    assert verdict([("a", error), unknown]).code == verdict([unknown, ("a", error)]).code == error.code


def test_the_failures_of_a_race_are_found() -> None:
    """Those that documents name are among what is looked at."""
    found = {error.code for error in _raised()}
    assert {"key-rejected", "refused", "host-key-changed", "address-of-another", "tls-expired"} <= found


async def test_addresses_that_failed_alike_are_named_together() -> None:
    """One problem names them all."""
    told = verdict([("a", _unreachable("a")), ("b", _unreachable("b")), ("c", timed_out(CONNECTING, "c"))])

    assert told.fields["addresses"] == "c"
    assert verdict([("a", _unreachable("a")), ("b", _unreachable("b"))]).fields["addresses"] == "a, b"
