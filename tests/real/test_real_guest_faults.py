"""What a real guest does when somebody breaks it: each fault is the one it claims to be, and ends when it is undone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roadstead.lab.guests.real import RealGuest, RealGuests, Recipe
from roadstead.lab.guests.real.inside import CGROUPS
from roadstead.lab.guests.real.machine import Machine
from roadstead.lab.guests.real.network import LOCKS
from tests.real.guests import TakeGuests

pytestmark = pytest.mark.real

LONELY_NETWORKS = ("10.213.254.0/28", "10.213.255.0/28")
"""Where no other test's guest takes an address as soon as it is free."""

PAUSED_GUEST = """
import asyncio, sys
from pathlib import Path
from roadstead.lab.guests.real import RealGuests

async def main():
    maker = RealGuests(Path(sys.argv[1]), sys.argv[2])
    guest = await maker.make("doomed", 1, 5)
    await guest.start()
    print(guest.machine.wire.name, guest.machine.wire.guest, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_cut_wire_answers_nothing_until_it_is_restored(real_guest: RealGuest) -> None:
    """Behind a cut wire the SSH server is neither reached nor refused; afterwards it answers again."""
    await real_guest.cut()
    with pytest.raises(TimeoutError):
        await _banner(real_guest, seconds=0.3)
    await real_guest.restore()

    assert (await _banner(real_guest, seconds=10)).startswith(b"SSH-2.0-OpenSSH")


async def test_a_killed_sshd_refuses(real_guest: RealGuest) -> None:
    """Without its SSH server the guest refuses connections, and open ones end."""
    reader, writer = await asyncio.open_connection(real_guest.addresses[0], real_guest.port)
    await reader.readline()

    await real_guest.kill_sshd()

    assert await asyncio.wait_for(_rest(reader), 5) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await _banner(real_guest, seconds=5)
    await real_guest.start_sshd()
    assert await _banner(real_guest, seconds=5)


async def test_a_killed_engine_leaves_its_socket_and_its_containers(real_guest: RealGuest) -> None:
    """After dockerd was killed its socket is there and dead; a new dockerd finds the containers as they were."""
    before = await real_guest.truth()

    await real_guest.kill_engine()

    assert real_guest.engine_socket.is_socket()
    assert not await asyncio.to_thread(real_guest.engine.answers)
    await real_guest.start_engine()
    assert _by_name(await real_guest.truth()) == _by_name(before)


async def test_power_off_keeps_containers_keys_and_address(real_guest: RealGuest) -> None:
    """A guest that is off answers nothing; booted again it is the same guest."""
    ids = {entry["name"]: entry["id"] for entry in await real_guest.truth()}
    address, keys = real_guest.addresses, _host_keys(real_guest)

    await real_guest.stop()

    assert await real_guest.truth() == []
    with pytest.raises(OSError, match="No route to host"):
        await _banner(real_guest, seconds=5)
    await real_guest.start()
    assert {entry["name"]: entry["id"] for entry in await real_guest.truth()} == ids
    assert (real_guest.addresses, _host_keys(real_guest)) == (address, keys)


async def test_what_was_done_to_containers_outlives_a_boot(real_guest: RealGuest) -> None:
    """They are made once: one that was renamed or removed is not made again beside what took its place."""
    await real_guest.docker("rename", "web", "web2")
    await real_guest.docker("rm", "--force", "cache")
    before = await real_guest.truth()

    await real_guest.stop()
    await real_guest.start()

    after = await real_guest.truth()
    assert {each["id"] for each in after} == {each["id"] for each in before}
    assert "web2" in _by_name(after)


async def test_new_host_keys_are_all_new(real_guest: RealGuest) -> None:
    """A reinstalled guest has other host keys of every type."""
    before = _host_keys(real_guest)

    await real_guest.new_host_key()

    after = _host_keys(real_guest)
    assert before.keys() == after.keys() == {"ed25519", "ecdsa", "rsa"}
    assert not set(before.values()) & set(after.values())


async def test_what_is_typed_in_a_guest_happens_there_alone(real_guests: TakeGuests) -> None:
    """Docker's own command acts on the guest whose socket it is given, and on no other."""
    first, second = await real_guests(2)

    await first.docker("rename", "web", "shop")

    assert "shop" in _by_name(await first.truth())
    assert "web" in _by_name(await second.truth())


async def test_destroyed_guests_leave_nothing(tmp_path: Path) -> None:
    """After a guest is destroyed there is no interface, lock, control group, process or file of it."""
    maker = RealGuests(tmp_path / "guests", LONELY_NETWORKS[0])
    guest = await maker.make("brief", 1, 5)
    await guest.start()
    machine = guest.machine
    assert machine.processes("dockerd")

    await guest.destroy()

    assert _leftovers(machine) == []
    await maker.close()


async def test_two_labs_share_no_address(tmp_path: Path) -> None:
    """Labs on one machine take different addresses, for the same guest number too."""
    makers = [RealGuests(tmp_path / name) for name in ("one", "two")]
    guests = [await maker.make("first", 1, 0) for maker in makers]

    assert guests[0].addresses != guests[1].addresses
    for maker in makers:
        await maker.close()


async def test_a_killed_lab_leaves_no_guest(tmp_path: Path) -> None:
    """When a lab is killed its guests end, paused containers too, and the next lab tidies up and finds the rest."""
    lab = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PAUSED_GUEST, str(tmp_path / "guests"), LONELY_NETWORKS[1], stdout=asyncio.subprocess.PIPE
    )
    assert lab.stdout
    wire, address = (await lab.stdout.readline()).decode().split()
    lab.kill()
    await lab.communicate()

    assert await _soon(lambda: not _guest_processes(tmp_path))
    maker = RealGuests(tmp_path / "guests", LONELY_NETWORKS[1])
    guest = await maker.make("doomed", 1, 5)
    assert not list(CGROUPS.glob(f"*/roadstead-lab-{wire}"))
    assert guest.addresses == (address,)
    await guest.start()
    assert len(await guest.truth()) == 5
    await maker.close()


async def test_containers_change_at_the_rate_asked_for(tmp_path: Path) -> None:
    """With a rate set, running containers are paused and let go on until the rate is 0 again."""
    maker = RealGuests(tmp_path / "guests")
    guest = await maker.make("busy", 1, 0)
    await guest.start()
    await guest.add(Recipe("only"))

    await maker.set_rate(50)
    seen: set[object] = set()
    while seen != {"running", "paused"}:
        seen.add((await guest.truth())[0]["state"])
    await maker.set_rate(0)

    state = await guest.truth()
    assert await guest.truth() == state
    await maker.close()


async def _banner(guest: RealGuest, seconds: float) -> bytes:
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(guest.addresses[0], guest.port)
        try:
            return await reader.readline()
        finally:
            writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def _soon(condition: Callable[[], bool], seconds: float = 20) -> bool:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
    return True


def _by_name(truth: list[dict[str, object]]) -> dict[object, object]:
    return {entry["name"]: entry["state"] for entry in truth}


def _host_keys(guest: RealGuest) -> dict[str, str]:
    files = guest.folder.glob("ssh_host_*_key.pub")
    return {path.name.split("_")[2]: path.read_text().split()[1] for path in files}


def _guest_processes(folder: Path) -> list[str]:
    """The command lines of all processes that name this folder."""
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return [line.decode(errors="replace") for line in lines if str(folder).encode() in line]


def _leftovers(machine: Machine) -> list[str]:
    places = [Path("/sys/class/net", machine.wire.name), LOCKS / machine.wire.name, machine.folder]
    groups = list(CGROUPS.glob(f"*/roadstead-lab-{machine.wire.name}"))
    return [str(path) for path in places + groups if path.exists()] + _guest_processes(machine.folder)
