"""What a pool's plugin may ask for: the functions of the old pack, as XenCenter, XCP-ng Center and Xen Orchestra call
them, each for the VMs of that one pool.

What is given is text from a stranger: it is only ever compared with ids and names that are known.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import structlog

from roadstead.act.audit import Audit
from roadstead.act.drives.config_drives import ConfigDrives, Wanted
from roadstead.act.drives.readiness import Readiness
from roadstead.act.guests.operations import Operations
from roadstead.act.guests.vms import Vms
from roadstead.act.plugin.said import Said
from roadstead.act.pools.pools import Pools
from roadstead.artifacts import complaints, inspected
from roadstead.errors import (
    ConflictError,
    EngineError,
    InputError,
    NotFoundError,
    PeerError,
    PoolError,
    RoadsteadError,
)
from roadstead.inventory import names
from roadstead.model import ACTIONS, Container, PoolId, Snapshot, Vm, VmId, split_container_id
from roadstead.peers.engine.messages.guarded import tolerant
from roadstead.plan.config_drives import AGENT_KEPT

log = structlog.get_logger()
SUCCESS = "True"
"""What every successful answer begins with."""
NONE = "None"
"""What follows where the old pack's function returned nothing."""
ARGUMENT_BYTES = 128 * 2**10
"""How long all arguments of one call may be, as UTF-8: Linux gives a program no longer argument, and XAPI passes the
whole call to the plugin as one.
"""
ANSWER_BYTES = 4 * 2**20
"""The longest answer; the plugin hands on 5 MB at most."""
ACTION_SECONDS = 95.0
"""How long an action may take: with the message about its failure it ends before the plugin, after 110 s, gives up."""
MESSAGE_SECONDS = 10.0
"""How long a failed action waits for its message in the pool to be raised."""


class Asked(NamedTuple):
    """One call: what for, by the plugin of which pool, with which arguments."""

    pool: PoolId
    function: str
    arguments: Mapping[str, str]


Run = Callable[["PluginCalls", Asked], Awaitable[str]]


class Function(NamedTuple):
    """A function of the plugin: the arguments that it needs, and what does it; or the code of why nothing does."""

    arguments: tuple[str, ...]
    run: Run | None = None
    refusal: str = ""


class PluginCalls:
    """Answers the calls of the pools' plugins."""

    def __init__(
        self,
        snapshot: Snapshot,
        pools: Pools,
        vms: Vms,
        operations: Operations,
        drives: tuple[ConfigDrives, Readiness],
        audit: Audit,
    ) -> None:
        self._snapshot = snapshot
        self._pools = pools
        self._vms = vms
        self._operations = operations
        self._audit = audit
        self._drives, self._readiness = drives
        self._said = Said()

    async def call(self, asked: Asked) -> str:
        """Do what was asked and return what XAPI's client is to be given. Raises `RoadsteadError`."""
        given = asked.arguments
        target = "/".join(given[name] for name in _TARGETS if name in given)
        with self._audit.of(asked.function, target):
            return await _checked(asked)(self, asked)

    # ---- the functions

    async def act(self, asked: Asked) -> str:
        """Start, stop, restart, pause or unpause a container; a failure is also raised as a message in the pool."""
        vm = self._vm(asked)
        try:
            container = self._container(vm, asked.arguments["container"])
            await self._in_time(self._operations.act(asked.function, container.id))
        except (PeerError, NotFoundError, ConflictError) as error:
            await self._complain(vm, error)
            raise
        return SUCCESS

    async def register(self, asked: Asked) -> str:
        """Enable container management. That nothing says the VM was prepared is told as a message: the answer has no
        place for it.
        """
        vm = self._vm(asked)
        doubt = await self._readiness.doubt(vm)
        await self._vms.enable(vm.id)
        if doubt is not None:
            await self._complain(vm, doubt)
        return SUCCESS + NONE

    async def deregister(self, asked: Asked) -> str:
        """Disable it."""
        await self._vms.disable(self._vm(asked).id)
        return SUCCESS + NONE

    async def inspect(self, asked: Asked) -> str:
        """Everything that the engine says of a container."""
        vm = self._vm(asked)
        container = self._container(vm, asked.arguments["object"])
        async with self._operations.turn(vm.id):  # so that few large ones are held at once
            said = await self._vms.inspect(container.id)
            # Large ones take long to be written, and other guests are not to wait for that.
            return SUCCESS + await asyncio.to_thread(_inspected, said)

    async def top(self, asked: Asked) -> str:
        """The processes of a container."""
        vm = self._vm(asked)
        _, engine_id = split_container_id(self._container(vm, asked.arguments["object"]).id)
        async with self._operations.turn(vm.id):
            with self._vms.asking(vm.id) as engine:
                found = await engine.top(engine_id)
            return SUCCESS + _bounded(await asyncio.to_thread(inspected.docker_top, *found))

    async def default_drive(self, asked: Asked) -> str:
        """The template that a config drive begins with."""
        return SUCCESS + await self._drives.default(asked.pool, asked.arguments["templateuuid"])

    async def drive(self, asked: Asked) -> str:
        """The template that a config drive was made from."""
        return SUCCESS + await self._drives.template(asked.pool, asked.arguments["vdiuuid"])

    async def create_drive(self, asked: Asked) -> str:
        """Make a VM's config drive, in the place of the one that it has."""
        vm, storage, template = (asked.arguments[name] for name in _DRIVE)
        wanted = Wanted(vm, storage, template, agent=AGENT_KEPT)  # XenCenter edits a drive by making it anew
        return SUCCESS + await self._drives.create(asked.pool, wanted)

    # ---- pieces

    def _vm(self, asked: Asked) -> Vm:
        """Return the VM, which must be one of the pool whose plugin asks: of others it learns nothing."""
        named = asked.arguments["vmuuid"]
        vm = self._snapshot.vms.get(VmId(named))
        if vm is None or vm.pool != asked.pool:
            raise NotFoundError("no-such-vm", name=named)
        return vm

    def _container(self, vm: Vm, named: str) -> Container:
        found = names.in_vm(self._snapshot, vm.id, named)
        if found is None:
            self._vms.engine(vm.id)  # why nothing is known of a VM that is off or lost says more
            raise NotFoundError("no-such-container", name=named)
        return found

    async def _in_time(self, action: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(ACTION_SECONDS):
                await action
        except TimeoutError as error:
            raise EngineError("engine-timed-out", seconds=f"{ACTION_SECONDS:g}") from error

    async def _complain(self, vm: Vm, error: RoadsteadError) -> None:
        """Raise the message that the old pack raised, if it was not said lately; that this fails changes nothing."""
        complaint = complaints.about(error)
        if not self._said.is_due(vm.pool, vm.id, complaint.body, asyncio.get_running_loop().time()):
            return
        try:
            async with asyncio.timeout(MESSAGE_SECONDS):
                client = self._pools.keeper(vm.pool).client
                await client.raise_message(complaint.title, vm.id, complaint.body)
        except (PoolError, NotFoundError, TimeoutError) as failure:
            log.info("message not raised", vm=vm.id, problem=getattr(failure, "code", "timed out"))


_DRIVE = ("vmuuid", "sruuid", "configuration")
FUNCTIONS: Mapping[str, Function] = {
    **dict.fromkeys(ACTIONS, Function(("vmuuid", "container"), PluginCalls.act)),
    "register": Function(("vmuuid",), PluginCalls.register),
    "deregister": Function(("vmuuid",), PluginCalls.deregister),
    "get_inspect": Function(("vmuuid", "object"), PluginCalls.inspect),
    "get_top": Function(("vmuuid", "object"), PluginCalls.top),
    "get_config_drive_default": Function(("templateuuid",), PluginCalls.default_drive),
    "get_config_drive_configuration": Function(("vdiuuid",), PluginCalls.drive),
    "create_config_drive": Function(_DRIVE, PluginCalls.create_drive),
    "install_vm": Function((), refusal="not-offered"),
    "passthrough": Function((), refusal="not-offered"),
}
"""All that a plugin may ask for."""
_NAMING = ("vmuuid", "container", "object", "vdiuuid")
"""The arguments that name something; an empty one names nothing."""
_TARGETS = ("vmuuid", "container", "object", "vdiuuid", "templateuuid")
"""The arguments that say what a call is about, for the audit."""


def _checked(asked: Asked) -> Run:
    """Return what does the function that was asked for, all of whose arguments are there."""
    function = FUNCTIONS.get(asked.function)
    if function is None:
        known = ", ".join(name for name, each in FUNCTIONS.items() if each.run is not None)
        raise NotFoundError("plugin-function-unknown", function=asked.function, known=known)
    if function.run is None:
        raise ConflictError(function.refusal, function=asked.function)
    for name in function.arguments:
        if name not in asked.arguments or (name in _NAMING and not asked.arguments[name].strip()):
            known = ", ".join(function.arguments)
            raise InputError("plugin-argument-missing", function=asked.function, argument=name, known=known)
    if sum(len(value.encode()) for value in asked.arguments.values()) > ARGUMENT_BYTES:
        raise InputError("body-too-large", limit=ARGUMENT_BYTES)
    return function.run


def _inspected(said: bytes) -> str:
    return _bounded(inspected.docker_inspect(tolerant(said)))


def _bounded(answer: str) -> str:
    if len(answer.encode()) > ANSWER_BYTES:
        raise EngineError("plugin-answer-too-large", limit=ANSWER_BYTES)
    return answer
