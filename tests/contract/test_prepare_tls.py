"""A VM is prepared for the mode ``tls`` in the same conversation as over SSH: asked, refused, left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.preparing import tls_storing
from roadstead.act.preparing.conversation import Action, Answers, Consent, GuestPreparation, TlsAnswers
from roadstead.artifacts.certificate_checks import Given
from roadstead.errors import PoolError, RoadsteadError
from roadstead.kit import tasks
from roadstead.lab.guests.certificates import Authority
from roadstead.lab.pool import storage
from roadstead.lab.pool.mishaps import Mishap
from roadstead.model import VmId, config_keys
from roadstead.model.config_keys import TLS_SECRETS
from roadstead.plan import tls_disks as marked
from tests.contract.tls_yard import VM, Yard, yard

AGREED = (Consent.CD, Consent.IMPORTED)
"""The lab's VM begins with certificates that were made elsewhere."""


class Talk:
    """The conversation about the VM."""

    def __init__(self, there: Yard) -> None:
        self.there = there

    async def step(
        self,
        agreed: tuple[str, ...] = (),
        declined: tuple[str, ...] = (),
        action: Action = Action.PREPARE,
        **said: Any,
    ) -> GuestPreparation:
        """One call, with all that was said so far."""
        answers = Answers(action=action, mode="tls", agreed=agreed, declined=declined, tls=TlsAnswers(**said))
        return await self.there.one.core.commands.preparing.step(self.there.id, answers)

    async def refused(
        self,
        agreed: tuple[str, ...] = (),
        declined: tuple[str, ...] = (),
        action: Action = Action.PREPARE,
        **said: Any,
    ) -> str:
        """The code with which a call ends."""
        with pytest.raises(RoadsteadError) as caught:
            await self.step(agreed, declined, action, **said)
        return caught.value.code

    async def undone(self) -> GuestPreparation:
        """Take back what is there."""
        answers = Answers(action=Action.UNPREPARE)
        return await self.there.one.core.commands.preparing.step(self.there.id, answers)

    async def made(self, agreed: tuple[str, ...] = AGREED) -> GuestPreparation:
        """Go on until the script is to be run."""
        return await self.step(agreed, addresses=self.there.one.vm(VM).addresses)

    async def prepared(self, asked: GuestPreparation) -> GuestPreparation:
        """Run the script, and ask until that is over."""
        await self.there.one.pool.run_cd(VM)
        await self.there.until("done")
        return await self.step(preparation=asked.preparation)

    def config(self) -> dict[str, str]:
        """What the pool says of the VM, as it stands in the pool."""
        found: dict[str, str] = self.there.core.vm(self.there.one.pool.find(VM))["other_config"]
        return dict(found)

    def insert(self, name: str) -> str:
        """Let somebody's CD be in the drive; return its reference."""
        isos = next(ref for ref, sr in self.there.database.all("SR") if sr["content_type"] == "iso")
        disk = storage.new_disk(self.there.core, isos, 2048, {"name_label": name, "type": "user"})
        drive = next(vbd for vbd in self.there.core.vm(self.there.one.pool.find(VM))["VBDs"])
        storage.set_medium(self.there.core, drive, disk)
        return disk


@asynccontextmanager
async def raw(folder: Path, *, drive: bool = True) -> AsyncIterator[Talk]:
    """A VM that nobody has prepared, because that was taken back."""
    async with yard(folder, drive=drive) as there:
        talk = Talk(there)
        await talk.undone()
        await there.one.until(lambda: config_keys.MODE not in there.one.vm(VM).settings, "nothing is known of it")
        yield talk


async def test_the_whole_conversation(tmp_path: Path) -> None:
    """The addresses, the consent, the script, the result; another terminal joins in; a second time changes nothing."""
    async with raw(tmp_path) as talk:
        there = talk.there
        asked = await talk.step()
        assert (asked.question, asked.addresses) == ("addresses", list(there.one.vm(VM).addresses))
        asked = await talk.step(addresses=tuple(asked.addresses))
        assert (asked.question, [(each.id, each.is_needed, each.apart) for each in asked.offers]) == (
            "consent",
            [(Consent.CD, True, False)],
        )
        assert "any user of the VM can read the CD" in asked.offers[0].title
        assert there.disks() == []

        asked = await talk.made()
        assert (asked.question, there.disks(), there.drive()["empty"]) == ("run-script", [marked.NAME], False)
        assert "configure_tls.cmd" in asked.todo and asked.until is not None
        joined = await talk.step()
        assert (joined.question, joined.preparation) == ("run-script", asked.preparation)
        assert not there.one.vm(VM).enabled

        told = await talk.prepared(asked)
        assert (told.state, told.mode, told.until) == ("prepared", "tls", asked.until)
        await there.one.until_live(VM)
        assert (there.disks(), there.drive()["empty"]) == ([], True)
        before = talk.config()
        again = await talk.step()
        assert (again.state, again.addresses, talk.config()) == ("prepared", told.addresses, before)
        assert (await talk.step(renew=True)).question == "addresses"
        assert await talk.refused(preparation="of a former life") == "certificates-ended"


async def test_it_is_taken_back_without_a_sign_in(tmp_path: Path) -> None:
    """No key of the VM, and no secret of its own is left; what stays in the guest is told."""
    async with yard(tmp_path) as there:
        talk, named = Talk(there), there.named()
        told = await talk.undone()
        assert told.state == "unprepared" and any("in the guest stay" in text for text in told.done)
        assert not {*TLS_SECRETS, config_keys.MODE, config_keys.TLS_LEGACY} & talk.config().keys()
        assert talk.config()[config_keys.MONITOR] == config_keys.DISABLED
        assert not there.secrets() & named
        await there.one.until(lambda: not there.one.vm(VM).enabled, "disabled")


async def test_what_is_under_way_ends_with_it(tmp_path: Path) -> None:
    """So that it does not come back by itself when somebody runs the script."""
    async with raw(tmp_path) as talk:
        await talk.made()
        told = await talk.undone()
        assert (told.state, talk.there.disks(), talk.there.drive()["empty"]) == ("unprepared", [], True)
        assert any("has run already" in text for text in told.done)


@pytest.mark.parametrize("key", [*TLS_SECRETS[1:], config_keys.MODE])
async def test_taking_it_back_finishes_on_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Wherever the pool was lost."""
    async with yard(tmp_path) as there:
        talk, named = Talk(there), there.named()
        lose(monkeypatch, key)
        with pytest.raises(RoadsteadError) as caught:
            await talk.undone()
        assert caught.value.code == "prepare-unfinished"
        monkeypatch.undo()
        assert (await talk.undone()).state == "unprepared"
        assert not {*TLS_SECRETS, config_keys.MODE} & talk.config().keys()
        assert not there.secrets() & named


async def test_what_cannot_work_is_refused_at_once(tmp_path: Path) -> None:
    """Off, without an address, for another address, not agreed to: nothing is changed."""
    async with raw(tmp_path) as talk:
        there, before = talk.there, talk.config()
        addresses = there.one.vm(VM).addresses
        codes = [
            await talk.refused(addresses=("192.0.2.7",)),
            await talk.refused(addresses=("server.example",)),
            await talk.refused(declined=AGREED, addresses=addresses),
            await talk.refused((), (Consent.CLIENT_KEY,), addresses=addresses, with_client_key=True),
        ]
        there.one.pool.set_addresses(VM, ())
        await there.one.until(lambda: not there.one.vm(VM).addresses, "no address")
        codes.append((await talk.refused()).removesuffix("-yet"))
        await there.one.pool.stop_vm(VM)
        await there.one.until(lambda: not there.one.vm(VM).running, "off")
        codes.append(await talk.refused())
        assert codes == [
            "tls-address-elsewhere", "field-invalid", "prepare-declined", "prepare-declined", "no-address", "vm-off",
        ]  # fmt: skip
        assert (talk.config(), there.disks()) == (before, [])


async def test_a_full_drive_is_asked_about(tmp_path: Path) -> None:
    """By the name of the CD; a no leaves it there, and a yes puts it back afterwards."""
    async with raw(tmp_path) as talk:
        there, addresses = talk.there, talk.there.one.vm(VM).addresses
        theirs = talk.insert("tools.iso")
        asked = await talk.step(addresses=addresses, with_client_key=True)
        assert [(each.id, each.apart) for each in asked.offers] == [
            (Consent.EJECT, True),
            (Consent.CD, False),
            (Consent.CLIENT_KEY, False),
        ]
        assert "tools.iso" in asked.offers[0].title
        assert await talk.refused(AGREED, (Consent.EJECT,), addresses=addresses) == "cd-drive-full"
        assert there.drive()["VDI"] == theirs
        asked = await talk.made((*AGREED, Consent.EJECT))
        assert there.drive()["VDI"] != theirs
        assert (await talk.prepared(asked)).state == "prepared"
        assert there.drive()["VDI"] == theirs


async def test_a_missing_drive_is_added_while_it_is_off(tmp_path: Path) -> None:
    """Of a VM that runs that is refused; of one that is off the address must be said."""
    async with raw(tmp_path, drive=False) as talk:
        there, addresses = talk.there, talk.there.one.vm(VM).addresses
        assert await talk.refused() == "cd-drive-missing"
        await there.one.pool.stop_vm(VM)
        await there.one.until(lambda: not there.one.vm(VM).running, "off")
        assert await talk.refused() == "tls-address-needed"
        asked = await talk.step(addresses=addresses)
        assert [each.id for each in asked.offers] == [Consent.ADD_DRIVE, Consent.CD]
        asked = await talk.step((*AGREED, Consent.ADD_DRIVE), addresses=addresses)
        await there.one.pool.start_vm(VM)
        assert (await talk.prepared(asked)).state == "prepared"


async def test_certificates_of_others_are_taken_once_they_work(tmp_path: Path) -> None:
    """Each fault is named before; then nothing is changed."""
    async with raw(tmp_path) as talk:
        guest, ours, other = talk.there.one.guest(VM), Authority("ours"), Authority("other")
        client, before = ours.client(), talk.config()
        given = Given(client.certificate, client.key, ours.certificate)
        codes = [await talk.refused(given=given), await talk.refused(given=given._replace(ca_cert=other.certificate))]
        await guest.secure_engine(ours.certificate, ours.server(["192.0.2.1"]))
        codes.append(await talk.refused(given=given))
        assert codes == ["tls-untrusted", "certificate-not-signed", "tls-wrong-address"]
        assert talk.config() == before
        await guest.secure_engine(ours.certificate, ours.server(guest.addresses))
        assert (await talk.step(given=given)).state == "prepared"
        await talk.there.one.until_live(VM)


@pytest.mark.parametrize("other", ["brought, too", "taken back", "prepared over SSH"])
async def test_one_changes_how_a_vm_is_managed_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """What is begun while certificates are being stored waits, over SSH, too: the VM is never left half of both."""
    async with raw(tmp_path) as talk:
        there, ours = talk.there, Authority("ours")
        client, guest = ours.client(), talk.there.one.guest(VM)
        await guest.secure_engine(ours.certificate, ours.server(guest.addresses))
        given = Given(client.certificate, client.key, ours.certificate)
        reached, goes_on, write = asyncio.Event(), asyncio.Event(), PoolConfig.set

        async def slow(config: PoolConfig, vm: VmId, key: str, value: str | None) -> None:
            if key == config_keys.MODE:
                monkeypatch.setattr(PoolConfig, "set", write)
                reached.set()
                await goes_on.wait()
            await write(config, vm, key, value)

        async def besides() -> str:
            if other == "brought, too":
                return (await talk.step(given=given)).state
            if other == "taken back":
                return (await talk.undone()).state
            with pytest.raises(RoadsteadError) as caught:
                await there.one.core.commands.preparing.step(there.id, Answers(user="core"))
            return caught.value.code

        monkeypatch.setattr(PoolConfig, "set", slow)
        async with asyncio.TaskGroup() as group:
            first = tasks.spawn(group, talk.step(given=given), "first")
            await reached.wait()
            second = tasks.spawn(group, besides(), "second")
            await asyncio.wait({second}, timeout=1.0)
            was_done = second.done()
            goes_on.set()
        assert (first.result().state, was_done) == ("prepared", False)
        states = {"brought, too": "prepared", "taken back": "unprepared", "prepared over SSH": "guest-unreachable"}
        assert second.result() == states[other]
        config = talk.config()
        named = {config[key] for key in TLS_SECRETS if key in config}
        assert named <= there.secrets()
        assert bool(named) is (other != "taken back") is (config[config_keys.MONITOR] == config_keys.ENABLED)


async def test_storage_without_space_leaves_nothing(tmp_path: Path) -> None:
    """It is named, nothing is made; with space again the same call goes on."""
    async with raw(tmp_path) as talk:
        there, before = talk.there, talk.config()
        sizes = {ref: storage["physical_size"] for ref, storage in there.database.all("SR")}
        for ref in sizes:
            there.database.write("SR", ref, "physical_size", 1)
        assert await talk.refused(AGREED, addresses=there.one.vm(VM).addresses) == "storage-full"
        assert (there.disks(), there.drive()["empty"], talk.config()) == ([], True, before)
        for ref, size in sizes.items():
            there.database.write("SR", ref, "physical_size", size)
        assert (await talk.prepared(await talk.made())).state == "prepared"


@pytest.mark.parametrize("mishap", [Mishap.REFUSED, Mishap.LOST])
@pytest.mark.parametrize("method", ["VDI.create", "task.create", "VBD.insert"])
async def test_a_cut_before_the_script_leaves_nothing(tmp_path: Path, method: str, mishap: Mishap) -> None:
    """And the same call once more goes on."""
    async with raw(tmp_path) as talk:
        there, before = talk.there, talk.config()
        there.core.mishaps.prepare(method, mishap)
        with pytest.raises(RoadsteadError):
            await talk.made()
        assert (there.disks(), there.drive()["empty"], talk.config()) == ([], True, before)
        assert (await talk.prepared(await talk.made())).state == "prepared"


@pytest.mark.parametrize("key", [config_keys.MODE, config_keys.MONITOR])
async def test_a_cut_at_the_end_is_finished_without_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The certificates are stored, so the next run finds them in use."""
    async with raw(tmp_path) as talk:
        asked = await talk.made()
        lose(monkeypatch, key)
        await talk.there.one.pool.run_cd(VM)
        await talk.there.until("failed")
        assert await talk.refused(preparation=asked.preparation) == "prepare-unfinished"
        monkeypatch.undo()
        await talk.there.one.until(
            lambda: set(TLS_SECRETS) <= talk.there.one.vm(VM).settings.keys(), "the pool's word of them came"
        )
        assert (await talk.step()).state == "prepared"
        await talk.there.one.until_live(VM)


async def test_what_the_pool_did_not_keep_is_told_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine uses what is lost then: it is said that the script is to be run once more."""
    monkeypatch.setattr(tls_storing, "PAUSES", (0.01,))
    async with raw(tmp_path) as talk:
        there = talk.there
        asked = await talk.made()
        for _ in range(2):
            there.core.mishaps.prepare("secret.create", Mishap.REFUSED)
        await there.one.pool.run_cd(VM)
        await there.until("failed")
        assert await talk.refused(preparation=asked.preparation) == "certificates-not-stored"
        assert (there.disks(), TLS_SECRETS[0] in talk.config()) == ([], False)
        assert (await talk.prepared(await talk.made())).state == "prepared"


def lose(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """Let the pool be lost whenever this key is to be written."""
    write = PoolConfig.set

    async def set_key(config: PoolConfig, vm: VmId, key: str, value: str | None) -> None:
        if key == lost:
            raise PoolError("pool-unreachable", pool="lab")
        await write(config, vm, key, value)

    monkeypatch.setattr(PoolConfig, "set", set_key)
