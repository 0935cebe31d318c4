"""A dockerd that hangs as a whole: its socket takes connections and its streams stay open, but nothing is answered."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import asyncssh
import pytest

from roadstead.errors import EngineError
from roadstead.kit import tasks
from roadstead.lab.guests.real import RealGuest
from roadstead.model import Fact
from roadstead.settings.schema import EngineSettings
from roadstead.watch.guest import GuestWatcher
from tests.contract.links_contract import VM, call, engine_client
from tests.real.guests import RealSet

pytestmark = pytest.mark.real
SETTINGS = EngineSettings(idle_seconds=0.5, answer_seconds=1.0)


class _Listener:
    def __init__(self) -> None:
        self.live = asyncio.Event()

    def listed(self, facts: Sequence[Fact], hidden: int, total: int) -> None:
        self.live.set()

    def changed(self, facts: Sequence[Fact]) -> None:
        """Whatever changes."""


async def test_a_frozen_dockerd_is_noticed(real_guest: RealGuest, real_set: RealSet) -> None:
    """Nobody asks it anything and its containers run on; after a while it is asked, and does not answer."""
    link = await call(real_guest, asyncssh.import_private_key(real_set.private_key))
    client, listener = engine_client(link, SETTINGS), _Listener()
    processes = real_guest.machine.processes("dockerd")
    try:
        async with asyncio.TaskGroup() as group:
            watching = tasks.spawn(group, _outcome(GuestWatcher(client, VM, listener, SETTINGS)), "watcher")
            await listener.live.wait()
            await asyncio.sleep(2 * SETTINGS.idle_seconds)
            assert not watching.done()
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            async with asyncio.timeout(5):
                assert await watching == "engine-timed-out"
        assert link.is_open
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
        client.close()
        link.close()
        await link.wait_closed()


async def _outcome(watcher: GuestWatcher) -> str:
    try:
        await watcher.run()
    except EngineError as error:
        return error.code
    return ""
