"""A simulated guest that nobody has prepared: it is prepared, and that taken back, as a real one; so the first day can
show it on a machine without root.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roadstead.act.preparing.conversation import Action, Answers, GuestPreparation
from roadstead.errors import RoadsteadError
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.lab.pool.driver import NewVm
from roadstead.model.surveys import Part
from tests.contract.world import World, world

RAW = "raw-1"


async def _step(one: World, **said: Any) -> GuestPreparation:
    return await one.core.commands.preparing.step(one.vm(RAW).id, Answers(**said))


async def _asked_to_sign_in(one: World) -> dict[str, Any]:
    """Answer the question about the host key, and return the answers so far with the password."""
    asked = await _step(one)
    assert (asked.question, asked.user) == ("host-key", "core")
    said = {"host_key": asked.host_key}
    assert (await _step(one, **said)).question == "sign-in"
    return {**said, "password": one.pool.password}


async def _with_raw(one: World) -> None:
    await one.pool.make_vm(NewVm(RAW, 3, enabled=False, raw=True))
    await one.until(lambda: any(vm.name == RAW and vm.addresses for vm in one.vms()), "it announces its address")


async def test_a_raw_guest_is_prepared_and_that_is_taken_back(tmp_path: Path) -> None:
    """What is missing is offered, done when it is agreed to, and the pool's key opens it; afterwards it does not."""
    async with world(tmp_path, vms=1) as one:
        await _with_raw(one)
        said = await _asked_to_sign_in(one)
        asked = await _step(one, **said)
        assert [offer.id for offer in asked.offers] == [Part.ENGINE_GROUP]
        assert asked.offers[0].commands == ["usermod -aG docker core"]

        told = await _step(one, **said, agreed=(Part.ENGINE_GROUP,))
        assert (told.state, told.done) == ("prepared", ["its line was added"])
        await one.until_live(RAW)
        assert one.agrees(RAW)
        assert (await _step(one, **said)).state == "prepared"

        assert (await _step(one, **said, action=Action.UNPREPARE)).state == "unprepared"
        await one.until(lambda: not one.vm(RAW).enabled, "it is not managed any more")
        assert one.guest(RAW).takes_passwords
        assert not one.guest(RAW).admits("core", next(iter(one.guest("vm-1").lot.keys)))


@pytest.mark.parametrize(
    ("wrong", "code"), [({"password": "wrong"}, "guest-sign-in-failed"), ({"user": "ann"}, "guest-sign-in-failed")]
)
async def test_who_may_not_sign_in_is_refused(tmp_path: Path, wrong: dict[str, str], code: str) -> None:
    """Only its user, with the pool's password; and a no to what is needed says what that is."""
    async with world(tmp_path, vms=1) as one:
        await _with_raw(one)
        said = await _asked_to_sign_in(one)
        with pytest.raises(RoadsteadError) as refused:
            await _step(one, **{**said, **wrong})
        assert refused.value.code == code
        with pytest.raises(RoadsteadError) as declined:
            await _step(one, **said, declined=(Part.ENGINE_GROUP,))
        assert "usermod -aG docker core" in str(declined.value)


async def test_what_was_done_in_a_raw_guest_outlasts_the_lab(tmp_path: Path) -> None:
    """The same folder holds the same guest: its line, and whether its user opens the socket."""
    key = b"a key"
    for number, done in enumerate((False, True)):
        maker = SimulatedGuests(tmp_path)
        guest = await maker.make(RAW, 1, 1)
        assert isinstance(guest, SimulatedGuest)
        await guest.make_raw("secret")
        await guest.start()
        assert guest.line_of(key) == ("a line" if done else ""), number
        assert ("socket-denied" in guest.faults) is not done
        guest.set_line(key, "a line")
        guest.join()
        await maker.close()


async def test_a_guest_that_is_made_raw_again_has_forgotten_everything(tmp_path: Path) -> None:
    """`lab do raw` says so of one that runs."""
    async with world(tmp_path, vms=1) as one:
        await one.until_live("vm-1")
        await one.pool.make_raw("vm-1")
        await one.until_problem("vm-1", "key-rejected")
