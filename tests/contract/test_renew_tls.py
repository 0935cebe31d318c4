"""The certificates of a VM are renewed: what is not said is as it was, in the conversation in which they were made."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from roadstead.act.preparing import tls_storing
from roadstead.act.preparing.conversation import Action, Consent
from roadstead.artifacts.certificate_checks import Given
from roadstead.errors import ConflictError
from roadstead.lab.guests.certificates import Authority, Form
from roadstead.lab.pool import cds
from roadstead.model import config_keys
from tests.contract.test_prepare_tls import AGREED, Talk, lose, raw
from tests.contract.tls_yard import VM, yard

ELSEWHERE = "192.0.2.7"
"""Where the VM is for others, behind a NAT, say."""


async def test_a_renewal_is_as_it_was(tmp_path: Path) -> None:
    """For the same addresses and as many days; what is said counts more. The old secrets go, the new ones are used."""
    async with yard(tmp_path) as there:
        talk, address = Talk(there), there.one.vm(VM).addresses[0]
        told = await talk.prepared(await talk.step(AGREED, renew=True, addresses=(address, ELSEWHERE), days=90))
        for said, days in ((None, 90), (30, 30)):
            before, held = there.named(), there.secrets()
            await there.one.until_live(VM)
            asked = await talk.step(action=Action.RENEW, days=said)
            assert (asked.question, asked.addresses) == ("addresses", [address, ELSEWHERE])
            asked = await talk.step(AGREED, action=Action.RENEW, addresses=tuple(asked.addresses), days=said)
            joined = await talk.step(action=Action.RENEW)
            assert (asked.question, joined.preparation) == ("run-script", asked.preparation)
            assert there.named() == before
            told = await talk.prepared(asked)
            assert told.until is not None
            assert round((told.until - dt.datetime.now(dt.UTC)) / dt.timedelta(days=1)) == days
            assert not there.named() & before
            assert there.secrets() == held - before | there.named()


async def test_what_is_not_known_of_the_former_is_as_with_new_ones(tmp_path: Path) -> None:
    """Of an engine that is not reached with what is stored, and of one that is called elsewhere now."""
    async with yard(tmp_path) as there:
        talk, address = Talk(there), there.one.vm(VM).addresses[0]
        await talk.prepared(await talk.step(AGREED, renew=True, addresses=(address, ELSEWHERE), days=90))
        await there.one.until_live(VM)
        other = Authority("other")
        await there.one.guest(VM).secure_engine(other.certificate, other.server([address]))
        asked = await talk.step(action=Action.RENEW)
        assert asked.addresses == [address]
        asked = await talk.step(AGREED, action=Action.RENEW, addresses=(address,))
        assert asked.until is not None
        assert round((asked.until - dt.datetime.now(dt.UTC)) / dt.timedelta(days=1)) == 90
        await there.certificates.cancel(there.id)


async def test_the_short_life_of_the_old_packs_is_not_repeated(tmp_path: Path) -> None:
    """They were made for days, and are renewed for as long as the setting says."""
    async with yard(tmp_path) as there:
        old = Authority("old pack", form=Form.HISTORIC)
        client, addresses = old.client(), there.one.vm(VM).addresses
        await there.one.guest(VM).secure_engine(old.certificate, old.server(addresses))
        talk = Talk(there)
        given = Given(client.certificate, client.key, old.certificate)
        await talk.step(given=given, legacy_certificate=True)
        await there.one.until(lambda: config_keys.TLS_LEGACY in there.one.vm(VM).settings, "legacy")
        asked = await talk.step(AGREED, action=Action.RENEW, addresses=addresses)
        assert asked.until is not None
        assert asked.until - dt.datetime.now(dt.UTC) > dt.timedelta(days=729)
        assert (await talk.prepared(asked)).state == "prepared"
        assert talk.config()[config_keys.TLS_LEGACY] == config_keys.DISABLED


async def test_imported_certificates_are_replaced_after_a_yes_of_its_own(tmp_path: Path) -> None:
    """A yes to all is none to that when many are renewed; a no leaves everything; of our own nothing is asked."""
    async with yard(tmp_path) as there:
        talk, addresses = Talk(there), there.one.vm(VM).addresses
        for action, is_apart in ((Action.RENEW, True), (Action.PREPARE, False)):
            asked = await talk.step((Consent.CD,), action=action, addresses=addresses, renew=True)
            assert [(offer.id, offer.apart) for offer in asked.offers] == [(Consent.IMPORTED, is_apart)]
            assert "made elsewhere" in asked.offers[0].title
        before = there.named()
        with pytest.raises(ConflictError) as declined:
            await talk.step((Consent.CD,), action=Action.RENEW, addresses=addresses, declined=(Consent.IMPORTED,))
        assert declined.value.code == "certificates-imported"
        assert there.named() == before and there.disks() == []
        await talk.prepared(await talk.step(AGREED, action=Action.RENEW, addresses=addresses))
        await there.one.until_live(VM)
        asked = await talk.step((Consent.CD,), action=Action.RENEW, addresses=addresses)
        assert asked.question == "run-script"
        await there.certificates.cancel(there.id)


async def test_a_vm_that_is_not_behind_tls_has_nothing_to_renew(tmp_path: Path) -> None:
    """Nothing is asked, and nothing is changed."""
    async with raw(tmp_path) as talk:
        before = talk.config()
        assert await talk.refused(action=Action.RENEW) == "tls-not-used"
        assert (talk.config(), talk.there.disks()) == (before, [])


async def test_the_firewall_lets_in_what_was_said(tmp_path: Path) -> None:
    """The scripts have the networks, and who runs them is told which."""
    async with yard(tmp_path) as there:
        talk, addresses = Talk(there), there.one.vm(VM).addresses
        asked = await talk.step(AGREED, action=Action.RENEW, addresses=addresses, sources=("10.9.0.0/16",))
        image = cds.inserted(there.core, there.one.pool.find(VM)).read_bytes()
        assert image.count(b"10.9.0.0/16") == 2
        assert "lets connections to the engine in from 10.9.0.0/16." in asked.todo
        await there.certificates.cancel(there.id)


async def test_a_renewal_that_cannot_be_stored_leaves_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the three, at each try: the keys name the old ones, and the next renewal replaces these."""
    monkeypatch.setattr(tls_storing, "PAUSES", (0.01,))
    async with yard(tmp_path) as there:
        talk, addresses = Talk(there), there.one.vm(VM).addresses
        before, held = there.named(), there.secrets()
        asked = await talk.step(AGREED, action=Action.RENEW, addresses=addresses)
        lose(monkeypatch, config_keys.TLS_CLIENT_KEY)
        await there.one.pool.run_cd(VM)
        await there.until("failed")
        refused = await talk.refused(action=Action.RENEW, preparation=asked.preparation)
        assert refused == "certificates-not-stored"
        assert (there.named(), there.secrets(), there.disks()) == (before, held, [])
        monkeypatch.undo()
        asked = await talk.step(AGREED, action=Action.RENEW, addresses=addresses)
        assert (await talk.prepared(asked)).state == "prepared"
        assert there.secrets() == held - before | there.named()
