"""A real guest is prepared while its pool's key is rotated, and what was replaced in it comes back where that fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from roadstead.act.pool_database.secrets import make_vm_secret
from roadstead.act.preparing.entry import Inside
from roadstead.act.preparing.over_ssh import SshPreparing
from roadstead.artifacts.authorized_keys import Form
from roadstead.model import config_keys
from roadstead.peers.links import keys
from roadstead.peers.links.ssh import SshLink
from roadstead.peers.links.visits import Task, Visit
from tests.real.guests import TakeGuests
from tests.real.raw_guests import Raw, raw_guests
from tests.real.test_prepare import FORMER, OTHERS, cut_at

pytestmark = pytest.mark.real
PATIENCE_SECONDS = 30.0


async def rotate(one: Raw) -> None:
    """Rotate the pool's key, to the end."""
    rotations = one.one.core.commands.rotations
    await rotations.begin(one.one.pool_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await rotations.state(one.one.pool_id)).state != "none":
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("moment", ["before the line", "after the proof"])
async def test_a_rotation_that_ends_meanwhile(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It did not wait for a VM that nobody managed yet: the pool's new key is in the guest, and the old one is not."""
    monkeypatch.setattr(keys, "KEY_BITS", 2048)
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        put, prove = Inside.put, SshPreparing.prove

        async def putting(*given: Any) -> None:
            monkeypatch.setattr(Inside, "put", put)
            await rotate(one)
            await put(*given)

        async def proving(*given: Any) -> SshLink:
            monkeypatch.setattr(SshPreparing, "prove", prove)
            link = await prove(*given)
            await rotate(one)
            return link

        if moment == "before the line":
            monkeypatch.setattr(Inside, "put", putting)
        else:
            monkeypatch.setattr(SshPreparing, "prove", proving)
        told = await one.prepare("raw", form=Form.EXEC_ONLY)
        assert (told.state, one.text("raw")) == ("prepared", f"{told.line}\n")
        assert told.line.startswith("restrict,command=")
        await one.one.until(lambda: one.one.is_live("raw"), "live")


async def test_a_rotation_before_the_line_is_taken_out(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key, which it put beside the old one, is taken out, too."""
    monkeypatch.setattr(keys, "KEY_BITS", 2048)
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await one.prepare("raw", form=Form.UNRESTRICTED)
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        take_out = Inside.take_out

        async def taking(*given: Any) -> bool:
            monkeypatch.setattr(Inside, "take_out", take_out)
            await rotate(one)
            return await take_out(*given)

        monkeypatch.setattr(Inside, "take_out", taking)
        told = await one.step("raw", action="unprepare")
        assert (told.done, one.text("raw")) == (["its line was taken out"], "")


BEFORE = [
    pytest.param("# one\n{line}\n# two", id="ours"),
    pytest.param('from="!192.0.2.1,*",command="echo \'x\' \\\\ !" {key}\n{line}\n', id="what no shell hands on"),
]


@pytest.mark.parametrize("before", BEFORE)
async def test_a_line_that_was_replaced_comes_back(tmp_path: Path, real_guests: TakeGuests, before: str) -> None:
    """When the new one opens nothing: the guest is as it was, and that is said; so it is after a server that died
    between the two, as the next run finds what it left. One that works leaves nothing of that.
    """
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        told = await one.prepare("raw", form=Form.EXEC_ONLY)
        one.write("raw", before.format(line=told.line, key=" ".join(told.line.split()[-3:])))
        was = one.ssh_folder("raw")
        await guest.start_sshd("PubkeyAuthentication no")
        said = {"form": Form.RESTRICTED, "sources": ()}
        refused = ("guest-key-not-taken", "The line that was there before is back; the pool is as it was")
        for _ in range(2):
            assert await one.refused("raw", **said) == refused
            assert one.ssh_folder("raw") == was

        with pytest.MonkeyPatch.context() as patch:
            cut_at(patch, guest, "after the line")
            assert (await one.refused("raw", **said))[0] == "guest-cut-off"
        assert one.text("raw").splitlines() != before.splitlines()
        await guest.start_sshd("PubkeyAuthentication no")
        assert await one.refused("raw", **said) == refused
        assert one.ssh_folder("raw") == was
        await guest.start_sshd()
        told = await one.prepare("raw", **said)
        assert told.line in one.text("raw")
        assert [path.name for path in one.file("raw").parent.iterdir()] == ["authorized_keys"]


async def test_what_it_had_behind_tls_goes_with_the_rest(tmp_path: Path, real_guests: TakeGuests) -> None:
    """A VM that was reached over TLS before: its secrets, among them the key of the client, go when SSH is taken back;
    those of nobody else do.
    """
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        keeper, vm = one.one.core.commands.pools.keeper(one.one.pool_id), one.one.vm("raw")
        strangers = await keeper.client.create_secret("somebody's", {})
        made = [await make_vm_secret(keeper.client, vm, key) for key in config_keys.TLS_SECRETS]
        for key, uuid in zip(config_keys.TLS_SECRETS, made, strict=True):
            await keeper.config.set(vm.id, key, uuid)
        await one.one.until(lambda: set(config_keys.TLS_SECRETS) <= one.one.vm("raw").settings.keys(), "they are named")
        await one.prepare("raw")
        held = {str(each["uuid"]) for _, each in one.one.pool.core.database.all("secret")}
        assert {strangers, *made} <= held
        await one.prepare("raw", action="unprepare")
        held = {str(each["uuid"]) for _, each in one.one.pool.core.database.all("secret")}
        assert strangers in held and not held & set(made)
        await one.one.until(lambda: not set(config_keys.TLS_SECRETS) & one.one.vm("raw").settings.keys(), "unnamed")


async def test_no_second_line_lets_the_key_in(tmp_path: Path, real_guests: TakeGuests) -> None:
    """The server reads two files; one that cannot be written leaves the other one as it was, too."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await guest.start_sshd("AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2")
        told = await one.prepare("raw", form=Form.UNRESTRICTED)
        second = one.file("raw").with_name("authorized_keys2")
        await one.run("raw", f"cd /run/home/core/.ssh; cp -p authorized_keys authorized_keys2; chattr +i {second.name}")
        before = one.ssh_folder("raw")
        code, left = await one.refused("raw", form=Form.EXEC_ONLY, sources=("0.0.0.0/0",))
        assert (code, left, one.ssh_folder("raw")) == ("guest-keys-unwritable", "Nothing was changed", before)
        await one.run("raw", f"chattr -i /run/home/core/.ssh/{second.name}")
        told = await one.prepare("raw", form=Form.EXEC_ONLY, sources=("0.0.0.0/0",))
        assert (one.text("raw"), second.read_text()) == (f"{told.line}\n", "")
        second.unlink()


async def test_a_key_that_opens_no_engine_is_no_proof(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign-in with the pool's key alone works, but nothing answers behind it: the line goes again."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        prove = SshPreparing.prove

        async def proving(*given: Any) -> SshLink:
            await guest.kill_engine()
            return await prove(*given)

        monkeypatch.setattr(SshPreparing, "prove", proving)
        before = one.ssh_folder("raw")
        code, left = await one.refused("raw")
        assert (code, left) == ("guest-engine-unseen", "The line was taken out again; the pool is as it was")
        assert (one.ssh_folder("raw"), one.key_of("raw"), one.one.vm("raw").enabled) == (before, "", False)


@pytest.mark.parametrize("step", ["keep", "remove"])
async def test_a_cut_after_the_proof_is_finished_by_the_next_run(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Where it lets go of what was replaced, and where it takes another pool's line out: the pool is told nothing, the
    guest has one whole line of ours, and in the end nothing else.
    """
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        told = await one.prepare("raw", form=Form.EXEC_ONLY)
        await one.step("raw", action="unprepare")
        one.write("raw", f"{FORMER}\n{told.line}\n")
        run = Visit.run

        async def cut(visit: Visit, task: Task) -> bytes:
            if f"step={step};" in task.command:
                await guest.kill_sshd()
            return await run(visit, task)

        monkeypatch.setattr(Visit, "run", cut)
        said = {"form": Form.RESTRICTED, "agreed": ("former-key",)}
        left = "The line may be in the guest already; the pool is as it was"
        assert await one.refused("raw", **said) == ("guest-cut-off", left)
        assert not one.one.vm("raw").enabled and one.text("raw").count(told.line.split()[-2]) == 1
        monkeypatch.undo()
        await guest.start_sshd()
        told = await one.prepare("raw", **said)
        assert {file: text for file, (_, _, text) in (one.ssh_folder("raw") or {}).items()} == {
            "authorized_keys": f"{told.line}\n"
        }
        await one.one.until(lambda: one.one.is_live("raw"), "live")


async def test_what_somebody_wrote_meanwhile_stays(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before would take it back: the new line stays, which is said."""
    (guest,) = await real_guests(1)
    async with raw_guests(tmp_path, {"raw": guest}) as one:
        await one.prepare("raw", form=Form.EXEC_ONLY)
        await guest.start_sshd("PubkeyAuthentication no")
        prove = SshPreparing.prove

        async def proving(*given: Any) -> SshLink:
            one.write("raw", f"{OTHERS}\n{one.text('raw')}")
            return await prove(*given)

        monkeypatch.setattr(SshPreparing, "prove", proving)
        code, left = await one.refused("raw", form=Form.RESTRICTED)
        assert (code, left) == ("guest-keys-unwritable", "The line may be in the guest already; the pool is as it was")
        assert one.text("raw").startswith(f"{OTHERS}\nrestrict,port-forwarding")
