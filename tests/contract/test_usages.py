"""Statistics of containers whose guest does not answer: whose fault that is, is told as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead.model import UsageResult
from tests.contract.world import QUICK, World, world

PATIENT = QUICK.model_copy(
    update={
        "link": QUICK.link.model_copy(update={"keepalive_seconds": 30.0}),
        "engine": QUICK.engine.model_copy(update={"answer_seconds": 0.5}),
    }
)
"""Questions end long before the link counts as lost, as by default."""


async def _asked(one: World) -> UsageResult:
    running = [each for each in one.containers("vm-1").values() if each.state == "running"]
    (told,) = await one.core.commands.usages.of(running[:1])
    return told


@pytest.mark.parametrize(("fault", "code"), [("half-open", "path-silent"), ("silence", "engine-timed-out")])
async def test_the_path_is_blamed_for_silence_and_the_engine_for_its_own(tmp_path: Path, fault: str, code: str) -> None:
    """A network that was cut is none of the engine's doing: address and port are named, and how to find out more."""
    async with world(tmp_path, vms=1, settings=PATIENT) as one:
        await one.until_live("vm-1")
        await one.guest("vm-1").misbehave(fault)
        told = await _asked(one)
        assert (told.ok, told.code) == (False, code)
        if code == "path-silent":
            guest = one.guest("vm-1")
            assert f"vm-1 ({guest.addresses[0]}, port {guest.port})" in told.message
            assert "roadstead why vm-1 --deep" in told.message
