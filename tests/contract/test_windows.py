"""A pool with VMs of Windows Server, reached over TLS: what an operator sees of them, and what they cannot do."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import json

from roadstead.act.drives.vm_drives import Order
from roadstead.act.guests.usages import Usages
from roadstead.act.guests.vms import Reach
from roadstead.act.plugin.functions import Asked
from roadstead.act.pool_database.secrets import make_vm_secret
from roadstead.errors import ConflictError
from roadstead.lab.guests import keys
from roadstead.lab.guests.certificates import Authority, Form
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.profiles import WINDOWS_PROFILE
from roadstead.model import Container, LogWish, config_keys
from tests.contract.world import World, world
from tests.unit.fakes.odd_certificates import of_version

VM = "vm-1"


@asynccontextmanager
async def windows(folder: Path, containers: int = 12) -> AsyncIterator[World]:
    """A pool with one VM of Windows, which is live."""
    async with world(folder, vms=1, containers=containers, profile=WINDOWS_PROFILE, is_tls=True) as one:
        yield one


def _running(one: World, isolation: str) -> Container:
    found = (each for each in one.containers(VM).values() if each.isolation == isolation)
    return next(each for each in found if each.state == "running")


async def _again(one: World, guest: SimulatedGuest, code: str) -> None:
    """Start the guest anew, and wait for what is then wrong with it."""
    await guest.stop()
    await guest.start()
    await one.until_problem(VM, code)


async def test_both_isolations_are_told_apart(tmp_path: Path) -> None:
    """As they are listed, and of a container that appears later, too."""
    async with windows(tmp_path) as one:
        engine = one.guest(VM).engine
        wanted = {each.name: each.image.isolation for each in engine.containers.values()}
        assert {name: each.isolation for name, each in one.containers(VM).items()} == wanted
        assert set(wanted.values()) == {"process", "hyperv"}

        image = next(each for each in engine.profile.catalogue if each.isolation == "hyperv")
        engine.start(engine.create("fresh", image))
        await one.until(lambda: "fresh" in one.containers(VM), "the new container is seen")
        assert one.containers(VM)["fresh"].isolation == "hyperv"


async def test_a_pause_that_cannot_be_is_not_sent(tmp_path: Path) -> None:
    """Not by an operation, and not by the plugin, whose client is told why; with Hyper-V it works."""
    async with windows(tmp_path) as one:
        commands, vm = one.core.commands, one.vm(VM)
        plain, boxed = _running(one, "process"), _running(one, "hyperv")
        started = commands.operations.start("pause", [plain.id, boxed.id], "test")
        done = await commands.operations.wait(started.id, 5)
        results = {result.target: (result.ok, result.code) for result in done.results}
        assert results == {plain.id: (False, "pause-unsupported"), boxed.id: (True, "")}

        asked = Asked(one.pool_id, "pause", {"vmuuid": vm.id, "container": plain.engine_id})
        with pytest.raises(ConflictError) as caught:
            await commands.plugin.call(asked)
        assert (caught.value.code, plain.name in str(caught.value)) == ("pause-unsupported", True)


async def test_top_has_columns_of_its_own(tmp_path: Path) -> None:
    """They are handed on, with those that XenCenter reads."""
    async with windows(tmp_path) as one:
        asked = Asked(one.pool_id, "get_top", {"vmuuid": one.vm(VM).id, "object": _running(one, "process").name})
        told = await one.core.commands.plugin.call(asked)

    assert "<PID>" in told
    assert "<CMD>" in told


async def test_an_inspection_is_the_engines_own(tmp_path: Path) -> None:
    """Isolation, paths and networks stand in it as Windows writes them."""
    async with windows(tmp_path) as one:
        said = json.decode(await one.core.commands.vms.inspect(_running(one, "hyperv").id))

    assert (said["Platform"], said["Driver"], said["HostConfig"]["Isolation"]) == ("windows", "windowsfilter", "hyperv")
    assert list(said["NetworkSettings"]["Networks"]) == ["nat"]


async def test_statistics_are_in_our_units(tmp_path: Path) -> None:
    """Over TLS, of both isolations: what Windows counts in 100 ns is the hundredth of a CPU that the lab's use."""
    async with windows(tmp_path) as one:
        usages = Usages(one.core.commands.vms, one.core.commands.operations, apart_seconds=0.02)
        told = await usages.of([_running(one, "process"), _running(one, "hyperv")])

    for each in told:
        assert each.usage is not None
        assert each.usage.cpu_percent == pytest.approx(1.0, rel=0.05)
        assert (each.usage.cpus, each.usage.disk_read_bytes) == (2, 49152)


async def test_logs_are_read_over_tls(tmp_path: Path) -> None:
    """The ends of their lines are Windows' own; a container that writes without end holds nobody up."""
    async with windows(tmp_path) as one:
        box, engine = _running(one, "process"), one.guest(VM).engine
        inner = engine.containers[box.engine_id]
        engine.logs.write(inner, engine.now(), "C:\\> dir\n")
        reading = await one.core.commands.logs.open(box, LogWish(follow=True))
        await reading.wait()
        assert [entry.text for entry in reading.take()][-1] == "C:\\> dir"
        for _ in range(500):
            engine.logs.write(inner, engine.now(), ("y" * 100 + "\n") * 20)
        found = 0
        while found < 10_000:
            await reading.wait()
            entries = reading.take()
            assert len(entries) < 200
            found += len(entries)
        reading.close()


async def test_why_tells_how_it_is_reached(tmp_path: Path) -> None:
    """The kind of engine, until when the certificates are good, and no host key."""
    async with windows(tmp_path) as one:
        facts = dict((await one.core.commands.vms.why(one.vm(VM).id)).facts)

    assert (facts["relay"], facts["engine"]) == ("tls", "Docker 28.5.2 (API 1.51, windows)")
    assert facts["certificates until"].startswith(f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=729):%Y}")
    assert "host key shown" not in facts


async def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    """The guest stays live meanwhile, and when it was renewed the warning goes."""
    async with windows(tmp_path) as one:
        guest = one.guest(VM)
        assert guest.tls is not None
        authority = _authority(guest)
        guest.certificate = authority.server(guest.addresses, dt.timedelta(days=29))
        await _again(one, guest, "tls-expires-soon")
        assert one.is_live(VM)
        assert not any(each.stale for each in one.containers(VM).values())
        guest.certificate = authority.server(guest.addresses, dt.timedelta(days=31))
        await _again(one, guest, "")
        await one.until_live(VM)


async def test_a_config_drive_is_for_windows(tmp_path: Path) -> None:
    """By its engine, whatever it is called and the guest tools say."""
    async with windows(tmp_path) as one:
        assert (await one.core.commands.drives.default(one.vm(VM), "")).profile == "windows"
        await one.core.commands.drives.create(one.vm(VM), Order())
        drive = await one.core.commands.drives.show(one.vm(VM), secrets=False)
        assert drive.profile == "windows"


async def test_the_legacy_mode_is_chosen_per_vm(tmp_path: Path) -> None:
    """While the server runs; `why` shows it; taking it back ends the link."""
    async with windows(tmp_path) as one:
        guest, vm, vms = one.guest(VM), one.vm(VM).id, one.core.commands.vms
        historic = _authority(guest, Form.HISTORIC)
        guest.certificate = historic.server(guest.addresses)
        await _again(one, guest, "tls-untrusted")
        await vms.enable(vm, Reach(legacy_certificate=True))
        await one.until_live(VM)
        assert dict((await vms.why(vm)).facts)["legacy certificate"].startswith("accepted")
        await vms.enable(vm, Reach(legacy_certificate=False))
        await one.until_problem(VM, "tls-untrusted")
        problem = (await vms.why(vm)).problem
        assert problem is not None and f"`roadstead prepare {VM} --mode tls`" in problem.remedy


async def test_without_secrets_tls_is_not_chosen(tmp_path: Path) -> None:
    """Nothing is changed then, and what is missing is named."""
    async with world(tmp_path, vms=1) as one:
        vm = one.vm(VM).id
        with pytest.raises(ConflictError) as caught:
            await one.core.commands.vms.enable(vm, Reach(mode="tls"))

        assert caught.value.code == "tls-secrets-missing"
        assert all(key in caught.value.fields["missing"] for key in config_keys.TLS_SECRETS)
        assert config_keys.MODE not in one.vm(VM).settings


async def test_a_secret_that_vanished_is_told(tmp_path: Path) -> None:
    """By the VM's key that names it, when the guest is called anew; the containers stay, stale."""
    async with windows(tmp_path) as one:
        database = one.pool.core.database
        named = one.vm(VM).settings[config_keys.TLS_CA_CERT]
        database.destroy("secret", database.by_uuid("secret", named))
        one.core.links.reconnect(one.vm(VM).id)
        await one.until_problem(VM, "secret-missing")

        assert all(each.stale for each in one.containers(VM).values())


async def test_a_secret_that_nobody_can_read_is_one_vms_problem(tmp_path: Path) -> None:
    """A CA of a version that X.509 has none of: its VM tells of it, and the others go on."""
    async with world(tmp_path, vms=2, containers=3, profile=WINDOWS_PROFILE, is_tls=True) as one:
        authority = _authority(one.guest(VM))
        odd = of_version(authority.certificate, 7, authority._key)  # noqa: SLF001 - to sign what it never would
        keeper = one.core.commands.pools.keeper(one.pool_id)
        secret = await make_vm_secret(keeper.client, one.vm(VM), odd)
        await keeper.config.set(one.vm(VM).id, config_keys.TLS_CA_CERT, secret)
        await one.until_problem(VM, "secret-unusable")
        one.change("vm-2")
        await one.until(lambda: one.agrees("vm-2"), "the other guest is seen")


async def test_a_vm_that_is_moved_to_ssh_keeps_its_containers(tmp_path: Path) -> None:
    """There is no SSH server, which is told; back over TLS everything is as it was."""
    async with windows(tmp_path) as one:
        vm, vms, before = one.vm(VM).id, one.core.commands.vms, set(one.containers(VM))
        await vms.enable(vm, Reach(mode="ssh"))
        await one.until(lambda: one.problem(VM) in {"refused", "ssh-failed", "ssh-refuses-us"}, "SSH does not answer")
        assert set(one.containers(VM)) == before
        await vms.enable(vm, Reach(mode="tls"))
        await one.until_live(VM)
        assert set(one.containers(VM)) == before


def _authority(guest: SimulatedGuest, form: Form = Form.TODAY) -> Authority:
    return Authority(f"guest {guest.number}", keys.authority_secret(guest.lot.host_keys.secret, guest.number), form)


def test_the_lab_makes_the_same_authority_again() -> None:
    """After a restart of the lab the pool's secrets still open its guests."""
    again = [Authority("guest 1", keys.authority_secret("secret", 1)) for _ in range(2)]
    numbers = {keys.authority_secret("secret", number) for number in range(5)}

    assert len(numbers) == 5
    assert again[0].certificate.splitlines()[0] == again[1].certificate.splitlines()[0]
