"""`roadstead lab` as the command runs it: its options, what it says when it is ready, and the orders that it takes."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roadstead.errors import AmbiguousError, ConflictError, InputError, NotFoundError, RoadsteadError, StartError
from roadstead.lab import control
from roadstead.lab.main import LabOptions, LabReady, run_lab
from roadstead.lab.orders import lab_do
from roadstead.lab.pool.accounts import ROOT_ACCOUNT
from roadstead.lab.pool.server import LabPool
from tests.unit.lab.pool_support import PlainGuests


@asynccontextmanager
async def lab(options: LabOptions) -> AsyncIterator[LabReady]:
    """A lab that runs for the length of the block."""
    ready: asyncio.Future[LabReady] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_lab(options, ready=ready.set_result))
        try:
            yield await ready
        finally:
            running.cancel()


def options(state: Path, **changes: Any) -> LabOptions:
    """A small lab without guests."""
    return replace(LabOptions(state, hosts=2, vms=2, guests="none", port=0), **changes)


@asynccontextmanager
async def ordered(tmp_path: Path) -> AsyncIterator[tuple[LabPool, PlainGuests]]:
    """A pool with plain guests that takes orders, holding web-1."""
    guests = PlainGuests()
    async with LabPool(tmp_path, hosts=2, guests=guests) as pool, control.listening(pool):
        await pool.create_vm("web-1")
        yield pool, guests


async def test_ready_lab_says_how_to_use_it(tmp_path: Path) -> None:
    """One line of JSON holds all that `pool add` needs."""
    async with lab(options(tmp_path / "lab")) as ready:
        told = json.loads(ready.line)

        assert list(told) == ["url", "fingerprint", "user", "password_file", "state", "admit", "vms"]
        assert told["url"].startswith("https://127.88.0.1:")
        assert Path(told["password_file"]).read_text().strip()
        assert "\n" not in ready.line
        assert stat.S_IMODE((tmp_path / "lab").stat().st_mode) == 0o700


async def test_lab_holds_what_was_asked_for(tmp_path: Path) -> None:
    """The lab has the VMs asked for, beside templates, snapshots and control domains."""
    async with lab(options(tmp_path, vm=("mine=10.0.0.1,fd00::1@bob",))):
        truth = await lab_do(tmp_path, "truth")
        mine = await lab_do(tmp_path, "address", "mine", "10.0.0.1,fd00::1")

    assert sorted(str(vm["name"]) for vm in truth.values() if isinstance(vm, dict)) == ["db-2", "mine", "web-1"]
    assert (mine["state"], mine["addresses"]) == ("running", ["10.0.0.1", "fd00::1"])


async def test_a_vm_for_a_guest_that_does_not_run_yet_announces_nothing(tmp_path: Path) -> None:
    """A name alone makes one: it runs, and has an address once it is given one."""
    async with lab(options(tmp_path, vms=0, vm=("mine",))):
        truth = await lab_do(tmp_path, "truth")
        off = await lab_do(tmp_path, "stop", "mine")
        on = await lab_do(tmp_path, "start", "mine")
        announced = await lab_do(tmp_path, "address", "mine", "10.0.0.1")

    assert [vm["name"] for vm in truth.values() if isinstance(vm, dict)] == ["mine"]
    assert [each["addresses"] for each in (off, on, announced)] == [[], [], ["10.0.0.1"]]


async def test_second_run_adds_only_what_is_missing(tmp_path: Path) -> None:
    """A lab on an old folder keeps its VMs; more are made when more are asked for, destroyed ones stay away."""
    async with lab(options(tmp_path, vm=("mine=10.0.0.1",))):
        await lab_do(tmp_path, "destroy", "web-1")
        await lab_do(tmp_path, "stop", "mine")
    async with lab(options(tmp_path, vms=3, vm=("mine=10.0.0.2@bob",))):
        truth = await lab_do(tmp_path, "truth")
        stopped = await lab_do(tmp_path, "stop", "mine")

    assert sorted(str(vm["name"]) for vm in truth.values() if isinstance(vm, dict)) == ["app-3", "db-2", "mine"]
    assert stopped["addresses"] == ["10.0.0.2"]


async def test_options_that_an_old_folder_ignores_are_told(tmp_path: Path) -> None:
    """Fewer VMs, or other containers, than an earlier run made: one note says so; the same options say nothing."""
    told = []
    for changes in ({}, {}, {"vms": 1}, {"containers": 3}):
        async with lab(options(tmp_path, guests="simulated", **changes)) as ready:
            told.append(ready.notes)

    assert told[:2] == [(), ()]
    assert all("--vms and --containers" in note for (note,) in told[2:])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hosts": 0}, "--hosts"),
        ({"vms": -1}, "--vms"),
        ({"port": 70000}, "--port"),
        ({"containers": 5000}, "--containers"),
        ({"rate": -1.0}, "--rate"),
        ({"rate": float("inf")}, "--rate"),
        ({"vm": ("",)}, "--vm"),
        ({"vm": ("=10.0.0.1",)}, "--vm"),
        ({"vm": ("name=@user",)}, "--vm"),
        ({"vm": ("name=10.0.0.1,banana",)}, "--vm"),
        ({"raw": 101}, "--raw"),
        ({"raw": 1, "guests": "none"}, "--raw"),
        ({"raw": 1, "guests": "simulated", "vms": 2000}, "--raw"),
    ],
)
async def test_bad_options_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    """An option that makes no sense is named, and no folder is made."""
    with pytest.raises(InputError) as refused:
        await run_lab(options(tmp_path / "lab", **changes), ready=print)

    assert refused.value.fields["field"] == field
    assert not (tmp_path / "lab").exists()


async def test_lab_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A second lab on the folder is refused with its code."""
    async with lab(options(tmp_path)):
        with pytest.raises(StartError) as refused:
            await run_lab(options(tmp_path), ready=print)

    assert refused.value.code == "lab-state-taken"


async def test_long_paths_are_refused(tmp_path: Path) -> None:
    """A state folder whose socket would not fit into an address is refused."""
    with pytest.raises(StartError) as refused:
        await run_lab(options(tmp_path / ("x" * 100)), ready=print)

    assert refused.value.code == "state-unusable"


async def test_low_limit_of_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more files may be needed than the hard limit allows, the lab says so and starts."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (100, 100))
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)

    async with lab(options(tmp_path)) as ready:
        assert "ulimit" in ready.notes[0]


@pytest.mark.parametrize(("broken", "starts"), [({2}, True), ({1, 2}, False)])
async def test_guests_that_do_not_boot_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: set[int], *, starts: bool
) -> None:
    """A lab with a broken guest says so; one in which no guest boots does not start."""
    monkeypatch.setattr("roadstead.lab.main.SimulatedGuests", lambda *_, **__: PlainGuests(broken=frozenset(broken)))

    if starts:
        async with lab(options(tmp_path, guests="simulated")) as ready:
            assert "no such machine" in ready.notes[0]
    else:
        with pytest.raises(StartError, match="no such machine"):
            await run_lab(options(tmp_path, guests="simulated"), ready=print)


async def test_folder_without_a_lab_takes_no_orders(tmp_path: Path) -> None:
    """An order to a lab that does not run is refused."""
    with pytest.raises(ConflictError) as refused:
        await lab_do(tmp_path, "truth")

    assert refused.value.code == "lab-gone"


async def test_orders_drive_vms(tmp_path: Path) -> None:
    """Each verb for VMs acts, and tells how the VM is afterwards."""
    async with ordered(tmp_path) as (pool, guests):
        assert (await lab_do(tmp_path, "stop", "web-1"))["state"] == "halted"
        assert (await lab_do(tmp_path, "start", "web-1", "2"))["host"] == 2
        assert (await lab_do(tmp_path, "migrate", "web-1"))["host"] == 1
        assert (await lab_do(tmp_path, "rename", "web-1", "a b"))["name"] == "a b"
        assert (await lab_do(tmp_path, "address", "a b", "10.0.0.7"))["addresses"] == ["10.0.0.7"]
        assert (await lab_do(tmp_path, "create", "new", "3"))["addresses"] == ["10.9.0.2", "fd00::2"]
        assert (await lab_do(tmp_path, "destroy", "new"))["state"] == "destroyed"
        await lab_do(tmp_path, "host-key", "a b")
        await lab_do(tmp_path, "rate", "2.5")

        assert guests.made[1].done[-1] == "new_host_key"
        assert guests.rate == 2.5
        assert list(await lab_do(tmp_path, "truth")) == [pool.uuid_of("a b")]


@pytest.mark.parametrize(
    ("order", "code", "told"),
    [
        (("rate",), "lab-argument-missing", "EVENTS/S"),
        (("rate", "often"), "field-invalid", "EVENTS/S"),
        (("certificate",), "lab-argument-missing", "HOST"),
        (("mood", "sad"), "field-invalid", "MOOD"),
        (("host", "1"), "lab-argument-missing", "up|down"),
        (("create",), "lab-argument-missing", "NAME"),
        (("create", "new", "many"), "field-invalid", "CONTAINERS"),
        (("address", "web-1", "nonsense"), "field-invalid", "ADDRESS"),
        (("juggle",), "action-unknown", "juggle"),
        (("stop", "web-1"), "lab-order-refused", "VM_BAD_POWER_STATE"),
    ],
    ids=" ".join,
)
async def test_what_is_wrong_with_an_order_is_named_as_it_was_typed(
    tmp_path: Path, order: tuple[str, ...], code: str, told: str
) -> None:
    """Each argument by its name in the help; what the pool refuses with the pool's own word."""
    async with ordered(tmp_path):
        await lab_do(tmp_path, "stop", "web-1")
        with pytest.raises(RoadsteadError) as refused:
            await lab_do(tmp_path, *order)

    assert refused.value.code == code
    assert told in refused.value.cause


async def test_orders_edit_the_other_config(tmp_path: Path) -> None:
    """A key is set, also to nothing or to what holds an equals sign, replaced and removed; what there is is told."""
    async with ordered(tmp_path) as (pool, _):
        before = await lab_do(tmp_path, "config", "web-1")
        for value in ("one=1", "two=a=b", "three="):
            await lab_do(tmp_path, "config", "web-1", value)
        after = await lab_do(tmp_path, "config", "web-1", "one=2")
        assert after == {**before, "one": "2", "two": "a=b", "three": ""}
        for key in ("one", "two", "three"):
            await lab_do(tmp_path, "config", "web-1", key)
        after = await lab_do(tmp_path, "config", "web-1", "absent")
        assert after == before == pool.core.vm(pool.find("web-1"))["other_config"]


async def test_what_orders_did_survives_a_killed_lab(tmp_path: Path) -> None:
    """Each is kept when it is answered, not a minute later; also what a failed one left behind."""
    async with ordered(tmp_path) as (pool, guests):
        await lab_do(tmp_path, "create", "new", "3")
        await lab_do(tmp_path, "address", "web-1", "10.0.0.7")
        guests.broken = frozenset({3})
        with pytest.raises(ConflictError) as refused:
            await lab_do(tmp_path, "create", "lame")
        kept = await asyncio.to_thread(pool.folder.load)

    assert refused.value.fields["reason"] == "no such machine"
    assert kept is not None
    states = {vm["name_label"]: vm.get("power_state", "Halted") for vm in kept.database.tables["VM"].values()}
    assert (states["new"], states["lame"]) == ("Running", "Halted")
    assert ("10.0.0.7",) in {machine.addresses for machine in kept.machines.values()}


async def test_a_guest_can_be_entered_while_it_runs(tmp_path: Path) -> None:
    """The lab tells what runs a command inside a guest; one that is off cannot be entered."""
    async with ordered(tmp_path) as (_, guests):
        guests.made[1].door = ("env", "INSIDE=yes")

        assert (await lab_do(tmp_path, "door", "web-1"))["words"] == ["env", "INSIDE=yes"]
        await lab_do(tmp_path, "stop", "web-1")
        with pytest.raises(ConflictError) as refused:
            await lab_do(tmp_path, "door", "web-1")

    assert refused.value.code == "vm-off"


async def test_orders_break_the_pool(tmp_path: Path) -> None:
    """Each verb for outages acts."""
    async with ordered(tmp_path) as (pool, _):
        fingerprint = pool.fingerprints[1]
        assert (await lab_do(tmp_path, "certificate", "2"))["fingerprint"] != fingerprint
        assert (await lab_do(tmp_path, "master", "2"))["url"] == pool.urls[1]
        assert (await lab_do(tmp_path, "restart", "", "crash"))["url"] == pool.url
        pool.core.sessions.open(ROOT_ACCOUNT, "mine", "host")
        assert (await lab_do(tmp_path, "sessions"))["ended"] == {"mine": 1}
        await lab_do(tmp_path, "mood", "silent", "1")
        await lab_do(tmp_path, "host", "1", "down")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.88.0.1", pool.port)
        await lab_do(tmp_path, "host", "1", "up")
        pool.core.database.destroy("network", pool.core.database.create("network", {}))
        await lab_do(tmp_path, "lose-deletions", "network")

        assert not pool.core.database.table("network").deletions


@pytest.mark.parametrize(
    ("order", "kind", "code"),
    [
        (("dance", "web-1"), InputError, "action-unknown"),
        (("stop", "nobody"), NotFoundError, "no-such-lab-vm"),
        (("stop", ""), InputError, "lab-argument-missing"),
        (("rename", ""), InputError, "lab-argument-missing"),
        (("start", "web-1"), ConflictError, "lab-order-refused"),
        (("migrate", "web-1", "9"), NotFoundError, "no-such-lab-host"),
        (("migrate", "web-1", "x"), InputError, "field-invalid"),
        (("rename", "web-1"), InputError, "lab-argument-missing"),
        (("create", ""), InputError, "lab-argument-missing"),
        (("config", "web-1", "=value"), InputError, "field-invalid"),
        (("config", "web-1", "key=\x07"), InputError, "field-invalid"),
        (("config", "nobody", "key=value"), NotFoundError, "no-such-lab-vm"),
        (("rate", "fast"), InputError, "field-invalid"),
        (("mood", "sad"), InputError, "field-invalid"),
        (("host", "1", "sideways"), InputError, "field-invalid"),
        (("lose-deletions", "nothing"), InputError, "field-invalid"),
        (("master", "7"), NotFoundError, "no-such-lab-host"),
        (("stop", "twin"), AmbiguousError, "ambiguous-name"),
        (("door", "web-1"), ConflictError, "lab-guest-without-inside"),
        (("door", "nobody"), NotFoundError, "no-such-lab-vm"),
    ],
)
async def test_bad_orders_are_refused(
    tmp_path: Path, order: tuple[str, ...], kind: type[RoadsteadError], code: str
) -> None:
    """An order that makes no sense comes back as the error that it is."""
    async with ordered(tmp_path) as (pool, _):
        for _ in range(2):
            await pool.create_vm("twin", running=False)
        with pytest.raises(kind) as refused:
            await lab_do(tmp_path, *order)

    assert (type(refused.value), refused.value.code) == (kind, code)


@pytest.mark.parametrize("line", [b"nonsense\n", b"{}\n", b'{"verb": 5}\n', b"x" * 70_000 + b"\n"])
async def test_socket_survives_nonsense(tmp_path: Path, line: bytes) -> None:
    """What is no order is refused or ignored; the next order is obeyed."""
    async with ordered(tmp_path) as (pool, _):
        reader, writer = await asyncio.open_unix_connection(pool.folder.socket)
        writer.write(line)
        answer = await reader.read()
        writer.close()

        assert answer == b"" or b"field-invalid" in answer
        assert await lab_do(tmp_path, "truth")
