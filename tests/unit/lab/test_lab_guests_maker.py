"""The maker of simulated guests: the same guests each time, in one process or several, alive at a given rate."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncssh
import pytest

from roadstead.errors import StartError
from roadstead.lab import guests
from roadstead.lab.guests.churn import Churn
from roadstead.lab.guests.engine import Engine
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.places import BLOCKS, address, network
from roadstead.lab.guests.simulated import SimulatedGuests, lone_guest
from tests.unit.lab.guests_support import KEY_LINE, connect

PORT_BASE = 20_000


@pytest.fixture
def port(worker_id: str) -> int:
    """A port that no test run beside this one uses on the guests' addresses."""
    worker = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    return PORT_BASE + (os.getpid() + worker) % 10_000


@pytest.fixture(params=[None, 2], ids=["here", "children"])
async def maker(request: pytest.FixtureRequest, tmp_path: Path, port: int) -> AsyncIterator[SimulatedGuests]:
    """A maker with its guests in this process, and one with them in two children."""
    made = SimulatedGuests(tmp_path, seed=7, base_port=port, processes=request.param)
    await made.authorize((KEY_LINE,))
    yield made
    await made.close()


async def test_guests_do_what_the_pool_asks_of_them(maker: guests.GuestMaker) -> None:
    """A guest boots, lets the authorised key in, shows its containers, stops, and boots again as it was."""
    guest: guests.Guest = await maker.make("web", 251, 3)
    assert (guest.name, guest.addresses, guest.user) == ("web", ("127.89.1.2",), "core")
    await guest.start()
    await guest.start()
    before = await guest.truth()
    async with connect(guest) as connection:
        reader, writer = await connection.open_unix_connection("/var/run/docker.sock")
        writer.write(b"GET /_ping HTTP/1.1\r\nHost: e\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        await guest.stop()
        async with asyncio.timeout(5):
            await connection.wait_closed()
    with pytest.raises(OSError, match="Connect call failed"):
        await connect(guest)
    await guest.start()

    assert len(before) == 3
    assert before == await guest.truth()
    await guest.destroy()
    assert await guest.truth() == []


async def test_keys_are_authorised_for_all_guests_at_once(maker: guests.GuestMaker) -> None:
    """Withdrawing a key closes every guest to it."""
    made = [await maker.make(f"web-{number}", number, 1) for number in (1, 2, 3)]
    for guest in made:
        await guest.start()
        (await connect(guest)).abort()

    await maker.authorize(())

    for guest in made:
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(guest)


async def test_guest_admits_one_more_key(maker: guests.GuestMaker) -> None:
    """A key that is appended in one guest opens that guest, whatever the pool's keys are; its pin is what it shows."""
    first, second = [await maker.make(f"web-{number}", number, 1) for number in (1, 2)]
    await maker.authorize(())
    for guest in (first, second):
        await guest.start()
    await first.admit(KEY_LINE)

    (await connect(first)).abort()
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(second)
    for _ in range(2):
        assert base64.b64decode(await first.pin()) == await _shown_key(first)
        await first.new_host_key()


async def test_guests_misbehave_wherever_they_live(maker: SimulatedGuests) -> None:
    """Misbehaviour can be asked for at run time, also of a guest in another process; a wrong name is an error."""
    guest = await maker.make("bad", 5, 1)
    await guest.start()
    await guest.misbehave("key-rejected")
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(guest)
    await guest.misbehave()
    (await connect(guest)).abort()

    with pytest.raises((KeyError, OSError), match="no-such-thing"):
        await guest.misbehave("no-such-thing")


async def _shown_key(guest: guests.Guest) -> bytes:
    key = await asyncssh.get_server_host_key(guest.addresses[0], guest.port, config=None)
    assert key is not None
    return key.public_data


@pytest.mark.parametrize("processes", [None, 1])
async def test_a_restarted_lab_has_the_same_guests(tmp_path: Path, port: int, processes: int | None) -> None:
    """Containers follow from the seed and the number, host keys from the file in the state folder, renewed ones too."""
    seen: list[list[tuple[list[object], bytes]]] = []
    old = b""
    for _ in range(2):
        maker = SimulatedGuests(tmp_path / "state", seed=3, base_port=port, processes=processes)
        made = [await maker.make(f"vm-{number}", number, 2) for number in (1, 2)]
        for guest in made:
            await guest.start()
        if not seen:
            old = await _shown_key(made[1])
            await made[1].new_host_key()
        seen.append([([entry["id"] for entry in await guest.truth()], await _shown_key(guest)) for guest in made])
        await maker.close()

    assert seen[0] == seen[1]
    assert len({old, *(key for _, key in seen[0])}) == 3
    file = tmp_path / "state" / "guest-host-keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_child_that_cannot_do_it_says_why(tmp_path: Path, port: int) -> None:
    """An error in a child reaches the caller, and the child goes on."""
    maker = SimulatedGuests(tmp_path, base_port=port, processes=1)
    first = await maker.make("first", 1, 0)
    with socket.socket() as twin:
        twin.bind((first.addresses[0], port))
        with pytest.raises(OSError, match="ddress already in use"):
            await first.start()
    await first.start()
    await maker.close()


async def test_an_answer_that_was_given_up_is_not_taken_for_the_next(tmp_path: Path, port: int) -> None:
    """A caller that stops waiting for a child's answer does not shift the answers of the others."""
    maker = SimulatedGuests(tmp_path, base_port=port, processes=1)
    first, second = [await maker.make(f"vm-{number}", number, number) for number in (1, 2)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await first.truth()

    assert len(await second.truth()) == 2
    assert len(await first.truth()) == 1
    await maker.close()


async def test_children_end_with_a_parent_that_is_killed(tmp_path: Path, port: int) -> None:
    """A lab that is killed leaves no guests behind."""
    script = (
        "import asyncio, pathlib, signal, os\n"
        "from roadstead.lab.guests.simulated import SimulatedGuests\n"
        "async def main():\n"
        f"    maker = SimulatedGuests(pathlib.Path({str(tmp_path)!r}), base_port={port}, processes=1)\n"
        "    await (await maker.make('vm', 1, 1)).start()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await parent.wait() == -signal.SIGKILL

    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(address(BLOCKS[0], 1), port)
            except OSError:
                break
            writer.close()
            await asyncio.sleep(0.01)


def test_every_number_has_its_own_address() -> None:
    """Addresses stay in the network of their lab, never repeat, and leave out the one that the lab holds it by."""
    addresses = {address(89, number) for number in range(1, 60_001)}

    assert len(addresses) == 60_000
    assert {value.split(".")[0] + "." + value.split(".")[1] for value in addresses} == {"127.89"}
    assert not any(value.endswith((".0", ".255")) for value in addresses)
    assert address(89, 0) not in addresses


async def test_labs_on_one_machine_take_different_networks(tmp_path: Path, port: int) -> None:
    """Each holds one while it runs, guests in children, too; the next run takes the same again while it is free."""
    makers = [SimulatedGuests(tmp_path / name, base_port=port, processes=1) for name in ("one", "two")]
    for maker in makers:
        await (await maker.make("first", 1, 0)).start()
    taken = [await maker.networks() for maker in makers]
    await makers[0].close()
    again, third = [SimulatedGuests(tmp_path / name, base_port=port) for name in ("two", "three")]
    moved, free = await again.networks(), await third.networks()
    for maker in (makers[1], again, third):
        await maker.close()
    back = SimulatedGuests(tmp_path / "two", base_port=port)

    assert taken == [(network(BLOCKS[0]),), (network(BLOCKS[1]),)]
    assert (moved, free) == ((network(BLOCKS[0]),), (network(BLOCKS[2]),))
    assert await back.networks() == moved
    await back.close()


async def test_when_all_networks_are_taken_it_is_said(tmp_path: Path, port: int) -> None:
    """By the port that would have to be free."""
    makers = [SimulatedGuests(tmp_path / str(block), base_port=port) for block in BLOCKS]
    for maker in makers:
        await maker.networks()
    late = SimulatedGuests(tmp_path / "late", base_port=port)
    with pytest.raises(StartError, match=f"port {port}"):
        await late.make("first", 1, 0)
    for maker in makers:
        await maker.close()


# Containers that change by themselves


async def test_containers_change_at_the_given_rate(tmp_path: Path, port: int) -> None:
    """The rate is spread over all running guests and their clients see events; with 0 all is quiet."""
    maker = SimulatedGuests(tmp_path, rate=2000, base_port=port)
    made = [await maker.make(f"vm-{number}", number, 10) for number in (1, 2)]
    seen: list[object] = []
    for guest in made:
        await guest.start()
    async with asyncio.timeout(10):
        while not all(len(guest.engine.log.past(0, None, {})) >= 50 for guest in made if hasattr(guest, "engine")):
            await asyncio.sleep(0.01)
    await maker.set_rate(0)
    async with asyncio.timeout(5):
        while not seen or seen[-1] != [await guest.truth() for guest in made]:
            seen.append([await guest.truth() for guest in made])
            await asyncio.sleep(0.15)
    await maker.close()


@pytest.fixture
async def lively() -> AsyncIterator[SimulatedGuest]:
    """A running guest."""
    async with lone_guest("lively", count=20, public_keys=[KEY_LINE]) as guest:
        yield guest


async def _settle(engine: Engine) -> None:
    async with asyncio.timeout(5):
        while any(container.state == "restarting" for container in engine.containers.values()) or engine.is_busy:
            await asyncio.sleep(0.01)


async def test_a_client_that_reads_the_events_knows_the_truth(lively: SimulatedGuest, tmp_path: Path) -> None:
    """After any number of changes the list agrees with the truth, and every change was told by an event."""
    churn = Churn([lively], random.Random(1))
    told: set[str] = set()
    before = {str(entry["id"]): entry for entry in await lively.truth()}
    server = await lively.serve_unix(tmp_path / "engine.sock")
    async with aiohttp.ClientSession(
        "http://e", connector=aiohttp.UnixConnector(str(tmp_path / "engine.sock"))
    ) as http:
        events = await http.get("/v1.41/events", params={"filters": '{"type":["container"]}'})
        for _ in range(500):
            churn.change()
            await asyncio.sleep(0)
        await _settle(lively.engine)
        lively.engine.emit(next(iter(lively.engine.containers.values())), "end-of-test")
        async for line in events.content:
            event = json.loads(line)
            told.add(str(event["id"]))
            if event["status"] == "end-of-test":
                break
        events.close()
        async with http.get("/v1.41/containers/json?all=1") as response:
            listed = {entry["Id"]: (entry["Names"][0][1:], entry["State"]) for entry in await response.json()}
    server.close()
    after = {str(entry["id"]): entry for entry in await lively.truth()}

    assert listed == {key: (entry["name"], entry["state"]) for key, entry in after.items()}
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert changed
    assert changed <= told


async def test_changes_are_of_every_kind(lively: SimulatedGuest) -> None:
    """Pauses, renames, restarts, health flips, crashes, new containers and removals all happen."""
    churn = Churn([lively], random.Random(2))
    actions = set()
    for _ in range(400):
        churn.change()
        actions |= {event.action.partition(":")[0] for event in lively.engine.log.past(0, None, {})}
    await _settle(lively.engine)
    actions |= {event.action for event in lively.engine.log.past(0, None, {})}

    wanted = {"pause", "unpause", "rename", "restart", "health_status", "create", "start", "die", "destroy"}
    assert wanted <= actions
    assert len(lively.engine.containers) == 20
