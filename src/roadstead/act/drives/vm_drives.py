"""Config drives as an operator asks for them: the profile chosen, templates filled in, shown before they are made.

`ConfigDrives` makes and reads them; here is what stands between it and a person. Nobody is shown a secret unasked.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import structlog
from msgspec import Struct

from roadstead.act.audit import Audit
from roadstead.act.drives.config_drives import ConfigDrives, Prepared, Wanted
from roadstead.act.drives.templates import Templates
from roadstead.act.guests.vms import Vms
from roadstead.artifacts import config_drive, drive_masking, drive_templates, tokens, user_data
from roadstead.artifacts.authorized_keys import is_public_key
from roadstead.artifacts.user_data import Finding
from roadstead.errors import ConflictError, InputError, RoadsteadError
from roadstead.inventory import views
from roadstead.model import LinkState, Vm
from roadstead.model.config_keys import INSTANCE_MARK, PROFILE_MARK
from roadstead.plan import access
from roadstead.plan import config_drives as plan

log = structlog.get_logger()
_BY_UUID = (
    "the present drive gives the guest the VM's uuid as its instance id, or none; cloud-init that has read it may hold"
    " on to it. If it does not read this drive at the next boot, run `cloud-init clean` in the guest and boot it again."
)

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class Order(Struct, frozen=True, kw_only=True):
    """A drive that an operator wants; what is empty is chosen. A repr shows neither text nor values."""

    template: str = ""
    """The text with its tokens; empty: the template that is ``named``, else the default of the profile."""
    named: str = ""
    """Which of the pool's templates; its profile counts where none is said."""
    profile: str = ""
    storage: str = ""
    variables: Mapping[str, str] = NO_VARIABLES
    ssh_keys: tuple[str, ...] = ()
    provision_again: bool = False
    """Whether a guest that reads a drive once is to read this one as a new instance."""
    agent: str = plan.NO_AGENT
    """Which files of the guest agent it gets, one of `plan.AGENTS`."""

    def __repr__(self) -> str:
        return f"Order(profile={self.profile!r}, storage={self.storage!r})"


class Beginning(Struct, frozen=True, kw_only=True):
    """The template that a drive of a VM begins with, and for which profile that is."""

    profile: str
    template: str


class DriveFile(Struct, frozen=True, kw_only=True):
    """A file on a drive; ``size`` is in bytes. Files of the guest agent have no ``text``."""

    path: str
    size: int
    text: str = ""


class Preview(Struct, frozen=True, kw_only=True):
    """A drive that would be made: what the guest will see, secrets masked.

    ``opens`` tells whether the pool's key signs in, as far as can be told; ``replaces`` is the disk of the former one,
    ``replaced_key`` whose key that lets in: ``this-pool``, ``another-pool``, ``none``, or empty if it cannot be read.
    ``applies`` tells when the guest reads the drive: ``each-boot``, ``first-boot``, ``once`` for each instance, or
    ``next-boot``, as a new instance; ``does`` what it does with it, in words, a line for each.
    """

    vm: str
    name: str
    profile: str
    storage: str
    replaces: str = ""
    replaced_key: str = ""
    applies: str
    opens: bool
    does: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[DriveFile, ...]


class MadeDrive(Struct, frozen=True, kw_only=True):
    """A drive that was made: its disk. ``applies`` is that of a `Preview`; ``forgotten`` tells whether the VM's
    remembered host key was forgotten, since a new instance has new ones.
    """

    applies: str
    forgotten: bool = False

    vm: str
    name: str
    disk: str
    profile: str


class VmDrive(Struct, frozen=True, kw_only=True):
    """The drive that a VM has, as it was read back; ``template`` is what it was made from, and ``ssh_keys`` are those
    that the metadata brings besides the pool's; ``key`` tells whose key it lets in: ``this-pool``, ``another-pool`` or
    ``none``, ``profile`` for which guests it was made, empty where nothing says that; ``does`` is that of a `Preview`.
    """

    vm: str
    name: str
    disk: str
    size: int
    storage: str
    template: str
    profile: str = ""
    key: str
    ssh_keys: tuple[str, ...] = ()
    does: tuple[str, ...] = ()
    files: tuple[DriveFile, ...]


class Fault(Struct, frozen=True, kw_only=True):
    """Something that is wrong with a text, and where."""

    line: int
    column: int
    severity: str
    message: str


class Checked(Struct, frozen=True, kw_only=True):
    """What was found out of a text: no drive is made of one that is not ``ok``."""

    profile: str
    ok: bool
    faults: tuple[Fault, ...] = ()


class VmDrives:
    """What operators ask of config drives."""

    def __init__(self, drives: ConfigDrives, templates: Templates, vms: Vms, audit: Audit) -> None:
        self._drives = drives
        self._templates = templates
        self._vms = vms
        self._audit = audit

    async def default(self, vm: Vm, profile: str) -> Beginning:
        """Return the template to begin with. Raises `PoolError`."""
        chosen = profile or (await self._choice(vm)).profile
        return Beginning(profile=chosen, template=await self._templates.default(vm.pool, chosen))

    @staticmethod
    def check(template: str, profile: str) -> Checked:
        """Tell what is wrong with a template, without a VM. Slow for a long one: call it in a thread."""
        if len(template.encode("utf-8", "replace")) > config_drive.TEXT_BYTES:
            raise InputError("config-too-large", limit=config_drive.TEXT_BYTES)
        profile = profile or user_data.profile_of(template)
        found = user_data.findings(template, profile)
        return Checked(
            profile=profile,
            ok=all(one.severity != "error" for one in found),
            faults=tuple(_fault(one) for one in found),
        )

    async def preview(self, vm: Vm, order: Order) -> Preview:
        """Return the drive that `create` would make. Raises what that raises before it changes anything."""
        wanted = await self._wanted(vm, order)
        prepared = await self._drives.prepare(vm.pool, wanted)
        replaced = await self._replaced_key(vm) if prepared.former else ""
        return _preview(vm, wanted, prepared, replaced)

    async def create(self, vm: Vm, order: Order) -> MadeDrive:
        """Make a VM's drive, in the place of the one that it has. Raises what `ConfigDrives.create` raises, and
        `InputError` ``variable-…``, ``ssh-key-invalid``.
        """
        with self._audit.of("config-drive create", vm.id):
            wanted = await self._wanted(vm, order)
            disk = await self._drives.create(vm.pool, wanted)
        forgotten = wanted.provision_again and await self._forgotten(vm)  # a change of its own in the audit
        applies = drive_templates.applies(wanted.profile, again=wanted.provision_again)
        return MadeDrive(
            vm=vm.id, name=vm.name, disk=disk, profile=wanted.profile, applies=applies, forgotten=forgotten
        )

    async def show(self, vm: Vm, *, secrets: bool) -> VmDrive:
        """Return what stands on a VM's drive; without ``secrets`` what looks like one is masked."""
        read = await self._drives.of_vm(vm.pool, vm.id)
        profile = _known_profile(read.disk.marks.get(PROFILE_MARK, ""))
        template = config_drive.template_in(read.files)
        return VmDrive(
            vm=vm.id,
            name=vm.name,
            disk=read.disk.uuid,
            size=read.disk.size,
            storage=read.storage,
            template=template if secrets else drive_masking.masked(template),
            profile=profile,
            key=await self._drives.whose(vm.pool, read.files),
            ssh_keys=config_drive.ssh_keys_of(read.files),
            does=await asyncio.to_thread(config_drive.does, read.files, profile),
            files=_files(read.files, read.agent, secrets=secrets),
        )

    async def _wanted(self, vm: Vm, order: Order) -> Wanted:
        for number, line in enumerate(order.ssh_keys, 1):
            if not is_public_key(line):
                raise InputError("ssh-key-invalid", number=number)
        template, profile = await self._text(vm, order)
        filled = tokens.assign(template, order.variables)
        if order.provision_again:
            _refuse_again(vm, profile)
        return Wanted(vm.id, order.storage or None, filled, profile, order.ssh_keys, order.provision_again, order.agent)

    async def _replaced_key(self, vm: Vm) -> str:
        """Return whose key the drive lets in that the VM has now; what cannot be read hinders nothing."""
        try:
            return await self._drives.whose(vm.pool, (await self._drives.of_vm(vm.pool, vm.id)).files)
        except RoadsteadError as error:
            log.info("former config drive not read", vm=vm.id, problem=error.code)
            return ""

    async def _forgotten(self, vm: Vm) -> bool:
        """Forget the host key of a VM that makes itself new ones; the drive is there: a failure is told, not raised."""
        try:
            await self._vms.forget_host_key(vm.id)
        except RoadsteadError as error:
            log.warning("host key not forgotten", vm=vm.id, problem=error.code)
            return False
        return True

    async def _choice(self, vm: Vm) -> drive_templates.Choice:
        """Return the profile for a VM: its own engine knows best, then the guest tools."""
        if vm.engine is not None and vm.engine.kind == drive_templates.WINDOWS:
            return drive_templates.Choice(drive_templates.WINDOWS, is_known=True)
        return await self._drives.choice(vm.pool, vm.id, _likely_system(vm))

    async def _text(self, vm: Vm, order: Order) -> tuple[str, str]:
        """Return the text that was given or is chosen, and for which profile it is."""
        if order.template and order.named:
            raise InputError("field-invalid", field="named", reason="a text is given, too: say one of them")
        if order.named:
            found = await self._templates.text(vm.pool, order.named)
            return found.text, order.profile or found.profile
        choice = drive_templates.Choice(order.profile, is_known=True)
        if not order.profile:
            choice = await self._choice(vm)
        template = order.template or await self._templates.default(vm.pool, choice.profile)
        if choice.is_known or user_data.reads(choice.profile, template):
            return template, choice.profile
        return template, user_data.profile_of(template)


def _likely_system(vm: Vm) -> str:
    """Return what runs in a VM by its engine, or by how that is reached; empty when nothing is known."""
    if vm.engine is not None and vm.engine.os:
        return vm.engine.os
    return "Windows" if access.is_tls(vm) else ""


def _refuse_again(vm: Vm, profile: str) -> None:
    """Refuse a new instance where it would do nothing, or where the VM's present host key would be remembered anew
    before it is gone: whatever runs and is managed is called again at once, whether it was reached before or refused
    for its key. Raises `InputError` and `ConflictError`.
    """
    if drive_templates.APPLIES[profile] != drive_templates.ONCE:
        raise InputError("provisioning-not-repeated", profile=profile)
    if views.vm_state(vm) not in {LinkState.OFF, LinkState.UNMANAGED}:
        raise ConflictError("provisioning-needs-off", vm=vm.name)


def _preview(vm: Vm, wanted: Wanted, prepared: Prepared, replaced_key: str) -> Preview:
    drive = prepared.drive
    return Preview(
        vm=vm.id,
        name=vm.name,
        profile=wanted.profile,
        storage=prepared.storage.name,
        replaces=prepared.former[0].disk.uuid if prepared.former else "",
        replaced_key=replaced_key,
        applies=drive_templates.applies(wanted.profile, again=wanted.provision_again),
        opens=drive.opens,
        does=config_drive.does(config_drive.files(drive), wanted.profile),
        warnings=(*drive.warnings, *_kept_instance(wanted, prepared)),
        files=_files(config_drive.files(drive), drive.agent, secrets=False),
    )


def _files(texts: Mapping[str, str], agent: Mapping[str, bytes], *, secrets: bool) -> tuple[DriveFile, ...]:
    """Return the files of a drive; of those of the guest agent nobody is shown more than the size."""
    told = (
        DriveFile(path=path, size=len(text.encode()), text=text if secrets else drive_masking.masked(text))
        for path, text in texts.items()
    )
    return (*told, *(DriveFile(path=path, size=len(content)) for path, content in agent.items()))


def _kept_instance(wanted: Wanted, prepared: Prepared) -> tuple[str, ...]:
    """Warn of a guest that knows itself by its VM's uuid: by that cloud-init holds on to what it knows."""
    marked = any(INSTANCE_MARK in each.disk.marks for each in prepared.former)
    return (_BY_UUID,) if wanted.provision_again and prepared.former and not marked else ()


def _known_profile(mark: str) -> str:
    """Return what a mark says, which others may have written."""
    return mark if mark in drive_templates.PROFILES else ""


def _fault(one: Finding) -> Fault:
    return Fault(line=one.line, column=one.column, severity=one.severity, message=one.message)
