"""A VM of Windows is given certificates: made, brought on a CD, put in place in the guest, tried, stored."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest

from roadstead.act.preparing import tls_disks, tls_removal, tls_storing
from roadstead.act.preparing.over_tls import DONE, WAITING, Wish
from roadstead.act.preparing.tls_disks import Placing
from roadstead.artifacts.certificate_checks import Given
from roadstead.errors import ConflictError, InputError, LinkError, PoolError, RoadsteadError
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.pool import cds, storage
from roadstead.lab.pool.mishaps import Mishap
from roadstead.model import config_keys
from roadstead.plan import tls_disks as marked
from tests.contract.tls_yard import SETTINGS, VM, Yard, yard
from tests.contract.world import World, kept, running
from tests.contract.world import add as make_known


async def test_the_whole_story(tmp_path: Path) -> None:
    """The CD is in the drive until the guest uses what is on it; then new secrets are named, and the old ones and the
    CD are gone. Renewing does the same again.
    """
    async with yard(tmp_path) as there:
        for _ in range(2):
            before, held = there.named(), there.secrets()
            told = await there.certificates.make(there.id, Wish())
            assert (told.state, told.addresses) == (WAITING, list(there.one.vm(VM).addresses))
            assert told.until is not None
            assert dt.timedelta(729) < told.until - dt.datetime.now(dt.UTC) <= dt.timedelta(730)
            assert (there.disks(), there.drive()["empty"]) == ([marked.NAME], False)
            assert there.named() == before

            await there.one.pool.run_cd(VM)
            await there.until(DONE)
            await there.one.until(lambda: not there.disks(), "the CD is gone")
            assert there.drive()["empty"] is True
            assert not there.named() & before
            assert there.secrets() == held - before | there.named()
            await there.one.until_live(VM)


async def test_what_is_stored_is_marked_as_the_vms(tmp_path: Path) -> None:
    """And the CD holds no key of a client."""
    async with yard(tmp_path) as there:
        await there.certificates.make(there.id, Wish())
        image = cds.inserted(there.core, there.one.pool.find(VM)).read_bytes()
        await there.one.pool.run_cd(VM)
        await there.until(DONE)
        held = {str(secret["uuid"]): secret for _, secret in there.database.all("secret")}
        own = [held[uuid] for uuid in there.named()]

        assert all(secret["other_config"] == {config_keys.VM_MARK: there.id} for secret in own)
        client_key = next(str(secret["value"]) for secret in own if "PRIVATE KEY" in str(secret["value"]))
        assert client_key.splitlines()[1].encode() not in image


async def test_the_key_of_the_client_is_on_it_on_request(tmp_path: Path) -> None:
    """With the folder of the historic pack."""
    async with yard(tmp_path) as there:
        await there.certificates.make(there.id, Wish(with_client_key=True))
        image = cds.inserted(there.core, there.one.pool.find(VM)).read_bytes()
        assert image.count(b"PRIVATE KEY-----") == 4
        await there.certificates.cancel(there.id)


async def test_the_firewall_lets_in_only_what_is_said(tmp_path: Path) -> None:
    """The networks that are given, else those of the pool's management; both scripts have them."""
    async with yard(tmp_path) as there:
        known = tuple(map(str, await there.one.core.commands.firewall.callers(there.one.vm(VM))))
        for given, wanted in (((), known), (("10.9.0.0/16",), ("10.9.0.0/16",))):
            told = await there.certificates.make(there.id, Wish(sources=given))
            image = cds.inserted(there.core, there.one.pool.find(VM)).read_bytes()
            await there.certificates.cancel(there.id)
            assert tuple(told.sources) == wanted
            assert image.count(f"{','.join(wanted)}".encode()) == 2
        assert known


async def test_a_cd_is_overwritten_before_it_is_destroyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage may keep the blocks of a destroyed disk."""
    async with yard(tmp_path) as there:
        await there.certificates.make(there.id, Wish())
        image = cds.inserted(there.core, there.one.pool.find(VM))
        assert b"PRIVATE KEY" in image.read_bytes()
        left = _kept_contents(there, monkeypatch)
        await there.certificates.cancel(there.id)

        assert [set(each) for each in left] == [{0}]
        assert there.disks() == []


async def test_a_cd_that_is_in_the_drive_comes_back(tmp_path: Path) -> None:
    """It is named when the drive is full, and ejected only on request."""
    async with yard(tmp_path) as there:
        theirs = _theirs(there)
        with pytest.raises(ConflictError) as caught:
            await there.certificates.make(there.id, Wish())
        assert (caught.value.code, caught.value.fields["disk"]) == ("cd-drive-full", "tools.iso")
        assert there.drive()["VDI"] == theirs
        assert there.disks() == ["tools.iso"]

        await there.certificates.make(there.id, Wish(placing=Placing(eject=True)))
        assert there.drive()["VDI"] != theirs
        await there.one.pool.run_cd(VM)
        await there.until(DONE)
        await there.one.until(lambda: there.drive()["VDI"] == theirs, "their CD is back")
        assert there.disks() == ["tools.iso"]


async def test_a_vm_without_a_drive_is_given_one_when_it_is_off(tmp_path: Path) -> None:
    """On request; one that runs cannot take one."""
    async with yard(tmp_path, drive=False) as there:
        codes = []
        for placing in (Placing(), Placing(add_drive=True)):
            with pytest.raises(ConflictError) as caught:
                await there.certificates.make(there.id, Wish(placing=placing))
            codes.append(caught.value.code)
        assert codes == ["cd-drive-missing", "cd-drive-not-added"]
        address = there.one.vm(VM).addresses

        await there.one.pool.stop_vm(VM)
        await there.one.until(lambda: not there.one.vm(VM).running, "it is off")
        await there.certificates.make(there.id, Wish(addresses=address, placing=Placing(add_drive=True)))
        await there.one.pool.start_vm(VM)
        await there.one.pool.run_cd(VM)
        await there.until(DONE)


@pytest.mark.parametrize("mishap", [Mishap.REFUSED, Mishap.LOST])
@pytest.mark.parametrize("method", ["VDI.create", "task.create", "VBD.insert"])
async def test_what_fails_leaves_nothing_behind(tmp_path: Path, method: str, mishap: Mishap) -> None:
    """Refused, or done without our hearing of it: neither a disk, nor a secret, nor a CD in the drive stays, the VM is
    watched as before, and the next try works.
    """
    async with yard(tmp_path) as there:
        held = there.secrets()
        there.core.mishaps.prepare(method, mishap)
        with pytest.raises(RoadsteadError):
            await there.certificates.make(there.id, Wish())
        assert not there.core.mishaps.outstanding
        assert (there.disks(), there.drive()["empty"], there.secrets()) == ([], True, held)
        assert there.one.is_live(VM)
        await there.certificates.make(there.id, Wish())
        await there.certificates.cancel(there.id)


@pytest.mark.parametrize("mishap", [Mishap.REFUSED, Mishap.LOST])
@pytest.mark.parametrize("method", ["VBD.eject", "VDI.destroy", "import_raw_vdi"])
async def test_what_fails_at_the_end_does_not_keep_the_cd(tmp_path: Path, method: str, mishap: Mishap) -> None:
    """It is ejected and destroyed all the same."""
    async with yard(tmp_path) as there:
        await there.certificates.make(there.id, Wish())
        there.core.mishaps.prepare(method, mishap)
        await there.certificates.cancel(there.id)
        assert not there.core.mishaps.outstanding
        assert (there.disks(), there.drive()["empty"]) == ([], True)


@pytest.mark.parametrize("mishap", [Mishap.REFUSED, Mishap.LOST])
@pytest.mark.parametrize("method", ["secret.create", "VM.add_to_other_config"])
async def test_what_fails_while_storing_is_tried_again(tmp_path: Path, method: str, mishap: Mishap) -> None:
    """The guest uses the new certificates already; no secret of a try that broke off is left."""
    async with yard(tmp_path) as there:
        before, held = there.named(), there.secrets()
        await there.certificates.make(there.id, Wish())
        there.core.mishaps.prepare(method, mishap)
        await there.one.pool.run_cd(VM)
        await there.until(DONE)
        assert not there.core.mishaps.outstanding
        assert not there.named() & before
        assert there.secrets() == held - before | there.named()
        await there.one.until_live(VM)


async def test_what_cannot_be_stored_at_all_leaves_the_keys_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After several tries; no new secret is left, nor the CD."""
    monkeypatch.setattr(tls_storing, "PAUSES", (0.01, 0.01))
    async with yard(tmp_path) as there:
        before, held = there.named(), there.secrets()
        await there.certificates.make(there.id, Wish())
        for _ in range(3):
            there.core.mishaps.prepare("secret.create", Mishap.REFUSED)
        await there.one.pool.run_cd(VM)
        await there.until("failed")
        assert (there.named(), there.secrets(), there.disks()) == (before, held, [])


async def test_a_guest_that_does_not_use_them_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CD goes, what was stored stays, and what the last try said is told."""
    async with yard(tmp_path) as there:
        settings = SETTINGS.certificate.model_copy(update={"wait_seconds": 1.0})
        monkeypatch.setattr(there.certificates, "_settings", SETTINGS.model_copy(update={"certificate": settings}))
        before = there.named()
        await there.certificates.make(there.id, Wish())
        await there.until("failed")
        told = there.certificates.state(there.id)

        assert told.code == "certificates-not-used"
        assert "not trusted" in told.last
        assert (there.disks(), there.named()) == ([], before)
        assert there.one.is_live(VM)


async def test_one_at_a_time_and_cancelled_on_request(tmp_path: Path) -> None:
    """Who asks a second time is told; who cancels gets the CD destroyed."""
    async with yard(tmp_path) as there:
        await there.certificates.make(there.id, Wish())
        with pytest.raises(ConflictError) as caught:
            await there.certificates.make(there.id, Wish())
        assert caught.value.code == "certificates-busy"
        await there.certificates.cancel(there.id)
        assert (there.disks(), there.drive()["empty"], there.certificates.state(there.id).state) == ([], True, "none")


async def test_a_server_that_stops_takes_its_cd_along(tmp_path: Path) -> None:
    """Before its end; one that was killed leaves it, and a later one destroys it when its time has passed."""
    async with yard(tmp_path) as there:
        pool, database = there.one.pool, there.database
        await there.certificates.make(there.id, Wish())
        task = there.certificates._works[there.id].task  # noqa: SLF001 - the server's end is this
        assert task is not None
        task.cancel()
        await asyncio.wait([task])
        assert there.disks() == []

        sr = next(ref for ref, each in database.all("SR") if each["content_type"] == "user")
        for hours, name in ((-1, marked.NAME), (1, marked.NAME), (-1, "somebody's")):
            until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
            record = {"name_label": name, "type": "system", "other_config": marked.marks(until, until, str(hours), "")}
            storage.new_disk(there.core, sr, 2**21, record)
        async with kept(tmp_path / "second") as state, running(SETTINGS, state) as core:
            await make_known(World(pool, there.one.maker, core, state))
            await core.commands.certificates.sweep()
        assert sorted(there.disks()) == sorted([marked.NAME, "somebody's"])


async def test_a_cd_that_a_killed_server_left_in_the_drive_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as its maker no longer says that it lives: out of the drive of the VM, which runs, overwritten and
    destroyed; what it took the place of comes back.
    """
    async with yard(tmp_path) as there:
        (drive,) = there.core.vm(there.one.pool.find(VM))["VBDs"]
        there.database.write("VBD", drive, "currently_attached", True)  # as of a VM that was started with it
        theirs, ours = _theirs(there), await _left_by_a_killed_server(there, monkeypatch)
        await there.certificates.sweep()
        assert there.drive()["VDI"] == ours

        monkeypatch.setattr(tls_disks, "HELD", dt.timedelta(seconds=-2))
        ours = await _left_by_a_killed_server(there, monkeypatch)
        left = _kept_contents(there, monkeypatch)
        assert (there.drive()["VDI"], there.drive()["currently_attached"]) == (ours, True)
        await there.certificates.sweep()
        assert (there.drive()["VDI"], there.disks(), [set(each) for each in left]) == (theirs, ["tools.iso"], [{0}])


async def test_one_left_cd_that_cannot_go_holds_up_no_other(tmp_path: Path) -> None:
    """It is tried again at the next look."""
    async with yard(tmp_path) as there:
        sr = next(ref for ref, each in there.database.all("SR") if each["content_type"] == "user")
        until = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
        for token in ("a", "b", "c"):
            record = {"name_label": marked.NAME, "other_config": marked.marks(until, until, token, "")}
            storage.new_disk(there.core, sr, 2**21, record)
        there.core.mishaps.prepare("VDI.destroy", Mishap.REFUSED)
        await there.certificates.sweep()
        assert there.disks() == [marked.NAME]
        await there.certificates.sweep()
        assert there.disks() == []


async def test_a_left_cd_in_the_drive_is_ours_to_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody need let it be ejected; at the end the drive holds what was in it before both."""
    async with yard(tmp_path) as there:
        theirs, ours = _theirs(there), await _left_by_a_killed_server(there, monkeypatch)
        left = _kept_contents(there, monkeypatch)
        await there.certificates.make(there.id, Wish())
        assert there.drive()["VDI"] not in {theirs, ours}
        assert sorted(there.disks()) == sorted(["tools.iso", marked.NAME])
        assert [set(each) for each in left] == [{0}]

        await there.certificates.cancel(there.id)
        assert (there.drive()["VDI"], there.disks()) == (theirs, ["tools.iso"])


async def test_who_waits_says_so_in_the_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no server takes its CD; nor does its own, when the pool could not be told."""
    monkeypatch.setattr(tls_disks, "HELD", dt.timedelta(seconds=-2))
    async with yard(tmp_path) as there:
        await there.certificates.make(there.id, Wish())
        await there.certificates.sweep()
        assert there.disks() == [marked.NAME]

        def held() -> str:
            (disk,) = (disk for _, disk in there.database.all("VDI"))
            return str(disk["other_config"].get(marked.HELD_MARK, ""))

        now = dt.datetime.now(dt.UTC)
        assert dt.datetime.fromisoformat(held()) < now
        monkeypatch.setattr(tls_disks, "HELD", dt.timedelta(minutes=5))
        monkeypatch.setattr(tls_disks, "RENEW_AFTER", dt.timedelta(0))
        await there.one.until(lambda: held() > marked.stamp(now + dt.timedelta(minutes=4)), "it is held anew")
        await there.certificates.cancel(there.id)


async def test_a_cd_that_stays_is_told_and_goes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cancels hears of it; it is over all the same."""
    monkeypatch.setattr(tls_disks, "REMOVE_SECONDS", 0.5)
    monkeypatch.setattr(tls_disks, "HELD", dt.timedelta(seconds=-2))
    async with yard(tmp_path) as there:
        await there.certificates.make(there.id, Wish())
        there.core.mishaps.prepare("VBD.eject", Mishap.REFUSED)
        with pytest.raises(PoolError) as caught:
            await there.certificates.cancel(there.id)
        assert caught.value.code == "cd-left"
        assert (there.certificates.state(there.id).state, there.disks()) == ("none", [marked.NAME])

        await there.certificates.sweep()
        assert (there.disks(), there.drive()["empty"]) == ([], True)


async def test_a_cd_is_not_destroyed_as_it_is_for_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overwriting is tried again; only when it fails for long the CD goes as it is, and that is told."""
    async with yard(tmp_path) as there:
        left = _kept_contents(there, monkeypatch)
        await there.certificates.make(there.id, Wish())
        there.core.mishaps.prepare("task.create", Mishap.REFUSED)
        await there.certificates.cancel(there.id)
        assert ([set(each) for each in left], there.disks()) == ([{0}], [])

        await there.certificates.make(there.id, Wish())
        monkeypatch.setattr(tls_removal, "OVERWRITE_SECONDS", 0.5)
        there.core.mishaps.prepare("task.create", Mishap.REFUSED)
        with pytest.raises(PoolError) as caught:
            await there.certificates.cancel(there.id)
        assert (caught.value.code, there.disks()) == ("cd-not-overwritten", [])
        assert b"PRIVATE KEY" in left[-1]


def _theirs(there: Yard) -> str:
    """Let somebody's CD be in the drive; return its reference."""
    isos = next(ref for ref, sr in there.database.all("SR") if sr["content_type"] == "iso")
    theirs = storage.new_disk(there.core, isos, 2048, {"name_label": "tools.iso", "type": "user"})
    ref = next(vbd for vbd in there.core.vm(there.one.pool.find(VM))["VBDs"])
    storage.set_medium(there.core, ref, theirs)
    return theirs


async def _left_by_a_killed_server(there: Yard, monkeypatch: pytest.MonkeyPatch) -> object:
    """Make certificates, and end without a removal; return the reference of the CD, which is in the drive."""
    await there.certificates.make(there.id, Wish(placing=Placing(eject=True)))
    task = there.certificates._works[there.id].task  # noqa: SLF001 - the server's end is this
    assert task is not None
    with monkeypatch.context() as patched:
        patched.setattr(tls_disks.Visit, "end", _ended_at_once)
        task.cancel()
        await asyncio.wait([task])
    return there.drive()["VDI"]


async def _ended_at_once(_: tls_disks.Visit) -> None:
    """What a killed server does about its CD."""


def _kept_contents(there: Yard, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what will stand on the disks that are removed from now on."""
    left: list[bytes] = []

    async def keep(uuid: str) -> None:
        left.append(await asyncio.to_thread(there.core.images.path(uuid).read_bytes))

    monkeypatch.setattr(there.core.images, "remove", keep)
    return left


async def test_certificates_made_elsewhere_are_stored_once_they_work(tmp_path: Path) -> None:
    """After the engine was reached with them; with a fault, or for another engine, nothing is changed."""
    async with yard(tmp_path) as there:
        guest, ours, other = there.one.guest(VM), Authority("ours"), Authority("other")
        client = ours.client()
        given = Given(client.certificate, client.key, ours.certificate)
        before = there.named()
        with pytest.raises(LinkError) as untrusted:
            await there.certificates.bring(there.id, given, is_legacy=False)
        with pytest.raises(InputError) as unfit:
            await there.certificates.bring(there.id, given._replace(ca_cert=other.certificate), is_legacy=False)
        assert (untrusted.value.code, unfit.value.code) == ("tls-untrusted", "certificate-not-signed")
        assert "none of the CA certificates signed it" in unfit.value.fields["faults"]
        assert there.named() == before

        await guest.secure_engine(ours.certificate, ours.server(guest.addresses))
        told = await there.certificates.bring(there.id, given, is_legacy=False)
        assert told.state == DONE
        assert not there.named() & before
        await there.one.until_live(VM)


async def test_a_certificate_for_another_address_alone_is_refused(tmp_path: Path) -> None:
    """Its engine would be lost as soon as the script ran; together with one at which it is called it is taken."""
    async with yard(tmp_path) as there:
        with pytest.raises(ConflictError) as caught:
            await there.certificates.make(there.id, Wish(addresses=["192.0.2.7"]))
        assert caught.value.code == "tls-address-elsewhere"
        assert (there.disks(), there.certificates.state(there.id).state) == ([], "none")
        both = ["192.0.2.7", there.one.vm(VM).addresses[0]]
        assert (await there.certificates.make(there.id, Wish(addresses=both))).addresses == both
        await there.certificates.cancel(there.id)


@pytest.mark.parametrize("address", ["server.example", "10.0.0.0/8", "fe80::1%eth0"])
async def test_only_literal_addresses_are_taken(tmp_path: Path, address: str) -> None:
    """No names, no networks, no zones."""
    async with yard(tmp_path) as there:
        with pytest.raises(InputError) as caught:
            await there.certificates.make(there.id, Wish(addresses=[address]))
        assert caught.value.fields["field"] == "addresses"


async def test_the_ends_of_all_are_listed(tmp_path: Path) -> None:
    """Of a VM that is off they are read in the pool, without the key."""
    async with yard(tmp_path) as there:
        (live,) = await there.one.core.commands.expiries.all()
        await there.one.pool.stop_vm(VM)
        await there.one.until(lambda: not there.one.vm(VM).running, "it is off")
        (off,) = await there.one.core.commands.expiries.all()

        assert (live.name, live.state, off.state) == (VM, "live", "off")
        assert live.until is not None
        assert off.until is not None
        assert abs(live.until - off.until) < dt.timedelta(minutes=1)
