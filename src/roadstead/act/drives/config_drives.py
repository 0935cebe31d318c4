"""Makes config drives in pools, and reads them back.

A drive is made in full before the VM's former one is touched: built, put into a disk, shown to the VM. Only then does
the former one go. Whatever fails before that takes away again what was made, and the VM keeps what it had.

Whoever asks hears in time what became of it. Making has one limit, taking back another, and what follows a drive that
is in its place a third: the first and either of the others stay below the 110 s that the plugin waits for an answer.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

import structlog

from roadstead.act.drives import drive_leftovers
from roadstead.act.drives.drive_leftovers import NAME
from roadstead.act.drives.guest_agents import GuestAgents
from roadstead.act.drives.templates import Templates
from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.pools import storages
from roadstead.act.pools.pools import Pools
from roadstead.artifacts import config_drive, drive_templates, guest_agent, tokens
from roadstead.artifacts.config_drive import Drive, Guest
from roadstead.artifacts.drive_templates import Choice
from roadstead.errors import ConflictError, InputError, NotFoundError, PoolError
from roadstead.kit import clocks, tasks
from roadstead.kit.turns import Turns
from roadstead.model import PoolId, PowerState, VmId
from roadstead.model.config_keys import CONFIG_DRIVE, DISABLED, DRIVE_MARK, MARKED, MONITOR, PROFILE_MARK
from roadstead.peers.xapi.disks import Disks
from roadstead.peers.xapi.messages.disks import Disk, Machine, Storage
from roadstead.plan import config_drives as plan
from roadstead.plan.config_drives import Former

log = structlog.get_logger()

MARKS = {CONFIG_DRIVE: MARKED}
CREATE_SECONDS = 75.0
"""Limit on making a drive."""
READ_SECONDS = 90.0
UNDO_SECONDS = 20.0
"""Limit on taking away what was made in vain."""
AFTER_SECONDS = 10.0
"""Limit on what is done when the drive is in its place, and on asking whether the former one is gone."""
UNDO_RETRY_SECONDS = 0.5
PARALLEL = 2
"""So many drives of one pool are read at once: each takes up to `plan.DRIVE_BYTES` of memory."""


OURS, ANOTHERS, NOBODYS = "this-pool", "another-pool", "none"
"""Whose key a drive lets in."""


class Wanted(NamedTuple):
    """A drive that is asked for: for which VM (uuid), in which storage (uuid or name; None: where the former drive is,
    or the pool's default), from which template, for which profile (empty: whatever reads it), with which further keys.
    """

    vm: str
    storage: str | None
    template: str
    profile: str = ""
    ssh_keys: tuple[str, ...] = ()
    provision_again: bool = False
    """Whether guests that read a drive once are to read it as a new instance."""
    agent: str = plan.NO_AGENT
    """Which files of the guest agent it gets, one of `plan.AGENTS`."""


class Prepared(NamedTuple):
    """A drive that could be made now."""

    machine: Machine
    storage: Storage
    host: str
    """The address of a host that sees the storage (empty: the master)."""
    drive: Drive
    profile: str
    former: tuple[Former, ...]


class ReadBack(NamedTuple):
    """A VM's drive, and what stands on it."""

    disk: Disk
    storage: str
    files: dict[str, str]
    agent: dict[str, bytes]
    """The files of the guest agent; what cannot be read is not there."""


class ConfigDrives:
    """The config drives of all pools. Everything is asked of the pool at the moment of need."""

    def __init__(self, pools: Pools, templates: Templates) -> None:
        self._pools = pools
        self._templates = templates
        self._agents = GuestAgents()
        self._reading: Turns[PoolId] = Turns(PARALLEL)
        self._making: Turns[tuple[PoolId, str]] = Turns()
        """Each VM that is given a drive: who saves twice gets one after the other."""

    async def default(self, pool: PoolId, vm: str) -> str:
        """Return the text to begin with, for a VM or a template; for what is not there, the usual one."""
        return await self._templates.default(pool, (await self.choice(pool, vm)).profile)

    async def choice(self, pool: PoolId, vm: str, likely: str = "") -> Choice:
        """Return the profile for a VM or a template (uuid); for what is not there, the usual one. Where the guest tools
        say nothing, ``likely`` is the system.
        """
        disks = self._disks(pool)
        try:
            machine = await disks.machine(vm)
        except NotFoundError:
            return drive_templates.choose("")
        return drive_templates.choose(machine.name, await disks.system(machine) or likely)

    async def has_one(self, pool: PoolId, vm: str) -> bool:
        """Whether a VM is shown a config drive. Raises `PoolError`, and `NotFoundError` ``no-such-vm``."""
        disks = self._disks(pool)
        return bool(plan.former(await disks.devices(await disks.machine(vm))))

    async def whose(self, pool: PoolId, files: Mapping[str, str]) -> str:
        """Return whose key a drive lets in: `OURS`, `ANOTHERS` or `NOBODYS`."""
        held = await asyncio.to_thread(config_drive.pool_keys_in, files)
        pair = await self._pools.key(pool)
        ours = {line.split()[1] for line in (pair.public, pair.former) if line}
        if not held:
            return NOBODYS
        return OURS if held & ours else ANOTHERS

    async def template(self, pool: PoolId, disk: str) -> str:
        """Return the template that a drive was made from. Raises `InputError` ``config-drive-unreadable`` for every
        other disk alike, so that nobody learns anything of it, and `PoolError`.
        """
        try:
            async with asyncio.timeout(READ_SECONDS), self._reading.of(pool):
                return await self._template(pool, disk)
        except TimeoutError as error:
            raise PoolError("pool-timed-out", call="export_raw_vdi", pool=pool) from error

    async def _template(self, pool: PoolId, disk: str) -> str:
        disks = self._disks(pool)
        found = await disks.disk(disk)
        content = await self._content(disks, disk, found)
        try:
            return await asyncio.to_thread(config_drive.template_of, content)
        except ValueError as error:
            raise InputError("config-drive-unreadable", disk=disk) from error

    @staticmethod
    async def _content(disks: Disks, uuid: str, found: Disk | None) -> bytes:
        host = await disks.host_of(found) if found is not None and plan.is_drive(found) else None
        if found is None or host is None:
            raise InputError("config-drive-unreadable", disk=uuid)
        return await disks.read(found, host, READ_SECONDS)

    async def of_vm(self, pool: PoolId, vm: str) -> ReadBack:
        """Return what stands on the drive of a VM. Raises `NotFoundError` ``no-such-config-drive``, `InputError`
        ``config-drive-unreadable``, `PoolError`.
        """
        try:
            async with asyncio.timeout(READ_SECONDS), self._reading.of(pool):
                return await self._of_vm(self._disks(pool), vm)
        except TimeoutError as error:
            raise PoolError("pool-timed-out", call="export_raw_vdi", pool=pool) from error

    async def _of_vm(self, disks: Disks, vm: str) -> ReadBack:
        machine = await disks.machine(vm)
        drives = [each.disk for each in plan.former(await disks.devices(machine)) if plan.is_drive(each.disk)]
        if not drives:
            raise NotFoundError("no-such-config-drive", vm=machine.name)
        disk = drives[0]
        content = await self._content(disks, disk.uuid, disk)
        files = await asyncio.to_thread(config_drive.contents, content)
        if not files:
            raise InputError("config-drive-unreadable", disk=disk.uuid)
        agent: dict[str, bytes] = {}
        with suppress(InputError):
            agent = await asyncio.to_thread(guest_agent.on_drive, content, disk.uuid)
        return ReadBack(disk, (await disks.storage_of(disk)).name, files, agent)

    async def prepare(self, pool: PoolId, wanted: Wanted) -> Prepared:
        """Return the drive that `create` would make now; nothing is changed. Raises what `create` raises before."""
        disks = self._disks(pool)
        machine = await disks.machine(wanted.vm)
        if state := plan.unfit(machine):
            raise ConflictError("vm-takes-no-drive", vm=machine.name, state=state)
        former = plan.former(await disks.devices(machine))
        if wanted.storage is not None:
            storage = await disks.storage_named(wanted.storage)
        elif former:
            storage = await disks.storage_of(former[0].disk)
        else:
            storage = await disks.storage(await disks.default_storage())
        host = storages.host_of(storage)
        drive = await self._drive(pool, disks, machine, wanted, former)
        return Prepared(machine, storage, host, drive, wanted.profile, tuple(former))

    async def create(self, pool: PoolId, wanted: Wanted) -> str:
        """Make a drive for a VM, in the place of the one that it has; return the uuid of the disk.

        Raises `InputError` (what was given), `ConflictError` (the VM, the storage) and `PoolError`; nothing was changed
        then, unless the former drive was on its way out: the VM has both, or the new one, where it is not known.
        """
        until = asyncio.get_running_loop().time() + CREATE_SECONDS
        async with AsyncExitStack() as held:
            async with _in_time(until, wanted.vm):
                await held.enter_async_context(self._making.of((pool, wanted.vm)))
                order = await self.prepare(pool, wanted)
                image = await asyncio.to_thread(config_drive.image, order.drive)
            making = _Making(self._disks(pool), order)
            uuid = await making.make(image, order.host, until)
            try:
                async with asyncio.timeout(AFTER_SECONDS):
                    await self._offer_management(self._pools.keeper(pool).config, order.drive)
                    await making.finish()
                    await self._sweep(pool)
            except TimeoutError:
                log.warning("config drive made, what follows not", vm=wanted.vm, disk=uuid)
            return uuid

    # ---- pieces

    async def _sweep(self, pool: PoolId) -> None:
        """End what somebody else's making left; it is asked for again by `Leftovers`."""
        try:
            await drive_leftovers.sweep(self._pools.keeper(pool).client)
        except PoolError as error:
            log.warning("unfinished config drives not looked for", pool=pool, problem=error.code)

    def _disks(self, pool: PoolId) -> Disks:
        return Disks(self._pools.keeper(pool).client)

    async def _drive(
        self, pool: PoolId, disks: Disks, machine: Machine, wanted: Wanted, former: Sequence[Former]
    ) -> Drive:
        needs_device = {tokens.DEVICE, tokens.BEGIN} & tokens.used(wanted.template)
        guest = Guest(
            machine.uuid,
            config_drive.hostname(machine.name, machine.uuid),
            (await self._pools.key(pool)).public,
            await disks.internal_device(machine) if needs_device else None,
            plan.instance(former, machine.uuid, again=wanted.provision_again),
        )
        drive = await asyncio.to_thread(config_drive.prepare, wanted.template, guest, wanted.profile, wanted.ssh_keys)
        agent = await self._agents.files(disks, wanted.agent, former)
        return drive._replace(agent=agent.files, warnings=(*drive.warnings, *agent.warnings))

    @staticmethod
    async def _offer_management(config: PoolConfig, drive: Drive) -> None:
        """Let clients offer to manage a VM that lets the pool's key in: they ask whether the key is there at all."""
        if not drive.opens:
            return
        try:
            await config.offer(VmId(drive.guest.uuid), MONITOR, DISABLED)
        except (PoolError, NotFoundError) as error:  # the drive is there, and register writes the key, too
            log.warning("management not offered", vm=drive.guest.uuid, problem=error.code)


class _Undo:
    """Takes back what was done in the block, if that ends with an error: all steps side by side, since each takes up to
    `UNDO_SECONDS`. A step tells its own failure to the log.
    """

    def __init__(self) -> None:
        self._steps: list[Callable[[], Awaitable[None]]] = []

    def add(self, step: Callable[[], Awaitable[None]]) -> None:
        """Let ``step`` be taken when the block fails."""
        self._steps.append(step)

    def forget(self) -> None:
        """Take nothing back any more."""
        self._steps.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return
        async with asyncio.TaskGroup() as group:
            for number, step in enumerate(self._steps):
                tasks.spawn(group, _awaited(step), f"undoing a config drive {number}")


async def _awaited(step: Callable[[], Awaitable[None]]) -> None:
    await step()


class _Making:
    """One drive on its way into a VM."""

    def __init__(self, disks: Disks, order: Prepared) -> None:
        self._disks = disks
        self._machine = machine = order.machine
        self._storage = order.storage
        profile = {PROFILE_MARK: order.profile} if order.profile else {}
        self._told = {**MARKS, **profile, **plan.instance_mark(machine.uuid, order.drive.guest.instance)}
        self._runs = machine.power == PowerState.RUNNING and not machine.is_template
        # By its mark it is found again also when the answer with its reference got lost, and by whoever comes after us.
        self._mark = plan.mark(machine.uuid, clocks.now(), secrets.token_hex(8))
        self._disk = ""
        self._refused = False
        self._others: Sequence[Former] = ()

    async def make(self, image: bytes, host: str, until: float) -> str:
        """Make the disk, show it to the VM, and take the former one away, ``until`` then (the loop's clock); return the
        disk's uuid.
        """
        async with _Undo() as undo:
            async with _in_time(until, self._machine.uuid):
                former = plan.former(await self._disks.devices(self._machine))
                undo.add(self._discard)
                await self._fill(image, host)
                uuid = await self._disks.uuid(self._disk)
                with self._swapping():
                    await self._show(former, undo)
            with self._swapping():
                for first in former[:1]:
                    await self._remove_first(first, undo, until)
        self._others = former[1:]
        return uuid

    async def _show(self, former: Sequence[Former], undo: _Undo) -> None:
        """Show the new drive to the VM, and no other one."""
        device = await self._disks.show(self._machine.ref, self._disk, MARKS)
        if self._runs:
            await self._disks.plug(device)
        for each in former:
            if each.device.is_attached:
                undo.add(partial(self._plug_back, each.device.ref))
                await self._disks.unplug(each.device.ref)

    async def _fill(self, image: bytes, host: str) -> None:
        size = plan.size_of(image)
        try:
            marks = {**self._told, DRIVE_MARK: self._mark}
            self._disk = await self._disks.create(self._storage.ref, plan.UNFINISHED, size, marks)
        except PoolError as error:
            self._refused = "xapi" in error.fields
            raise storages.fault(error, self._storage, size) from error
        try:
            content = image.ljust(size, b"\0")
            await self._disks.write(self._disk, content, host, CREATE_SECONDS)
        except PoolError as error:
            if error.code not in {"pool-call-failed", "pool-answer-invalid"}:
                raise
            reason = error.fields["reason"]
            raise PoolError("config-drive-not-written", vm=self._machine.name, reason=reason) from error

    async def _remove_first(self, former: Former, undo: _Undo, until: float) -> None:
        """Remove the drive that the VM had. A refusal turns everything back; what ends otherwise may have been done, or
        still be, and a VM with two drives can be mended, so nothing is turned back then.
        """
        try:
            async with _in_time(until, self._machine.uuid):
                await self._remove(former)
        except PoolError as error:
            if "xapi" in error.fields:
                raise
            undo.forget()
            if not await self._is_gone(former):
                raise
        except asyncio.CancelledError:
            undo.forget()
            raise

    async def _is_gone(self, former: Former) -> bool:
        with suppress(PoolError, TimeoutError):
            async with asyncio.timeout(AFTER_SECONDS):
                return await self._disks.disk(former.disk.uuid) is None
        return False

    async def finish(self) -> None:
        """Name the drive, and remove what else the VM had: now that it is in its place, nothing is turned back."""
        try:
            await self._disks.rename(self._disk, NAME)
        except PoolError as error:  # the next sweep does it
            log.warning("config drive not named", vm=self._machine.uuid, problem=str(error))
        for each in self._others:
            try:
                await self._remove(each)
            except PoolError as error:
                log.warning("config drive left", vm=self._machine.uuid, disk=each.disk.uuid, problem=str(error))

    async def _remove(self, former: Former) -> None:
        if former.disk_goes:
            await self._disks.destroy(former.disk.ref)
        await self._disks.hide(former.device.ref)

    async def _plug_back(self, device: str) -> None:
        try:
            async with asyncio.timeout(UNDO_SECONDS):
                await self._disks.plug(device)
        except (PoolError, TimeoutError) as error:
            if getattr(error, "fields", {}).get("xapi") == "DEVICE_ALREADY_ATTACHED":
                return
            log.warning("config drive not plugged back", vm=self._machine.uuid, problem=str(error))

    async def _discard(self) -> None:
        """Take away what was made; a failure of this is only told to the log, since another one is on its way."""
        if self._refused:
            return
        try:
            async with asyncio.timeout(UNDO_SECONDS):
                await self._discard_once_free()
        except (PoolError, TimeoutError) as error:
            log.warning("config drive left", vm=self._machine.uuid, mark=self._mark, problem=str(error))

    async def _discard_once_free(self) -> None:
        while True:
            if await self._is_discarded():
                return
            await asyncio.sleep(UNDO_RETRY_SECONDS)

    async def _is_discarded(self) -> bool:
        """Remove the disk; return False for one that the pool does not give up yet (a transfer that was cut short holds
        it for a moment), or that a call whose answer got lost may still make.
        """
        found = [self._disk] if self._disk else await self._marked()
        for disk in found:
            try:
                await self._disks.discard(disk)
            except PoolError as error:
                if "xapi" not in error.fields:
                    raise
                log.info("config drive not removed yet", vm=self._machine.uuid, problem=str(error))
                return False
        return bool(found)

    async def _marked(self) -> list[str]:
        disks = [await self._disks.disk_at(ref) for ref in await self._disks.named(plan.UNFINISHED)]
        return [disk.ref for disk in disks if disk is not None and disk.marks.get(DRIVE_MARK) == self._mark]

    @contextmanager
    def _swapping(self) -> Iterator[None]:
        """What the pool refuses inside is told as a drive that cannot be changed now."""
        try:
            yield
        except PoolError as error:
            if error.code != "pool-call-failed":
                raise
            call, reason = error.fields["call"], error.fields["reason"]
            raise ConflictError("config-drive-not-swapped", vm=self._machine.name, call=call, reason=reason) from error


@asynccontextmanager
async def _in_time(until: float, vm: str) -> AsyncIterator[None]:
    """End the block at ``until`` (the loop's clock). Raises `PoolError` ``config-drive-late``."""
    try:
        async with asyncio.timeout_at(until):
            yield
    except TimeoutError as error:
        raise PoolError("config-drive-late", vm=vm, limit=round(CREATE_SECONDS)) from error
