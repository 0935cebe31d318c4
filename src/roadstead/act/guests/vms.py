"""What an operator may ask about one VM: enable it, judge its host key, learn why it is not watched."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from roadstead.act.audit import Audit
from roadstead.act.guests.known import known
from roadstead.act.guests.links import Links
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.memory import Memories
from roadstead.act.pools.pools import Pools
from roadstead.errors import ConflictError, EngineError, LinkError, quoted, tame
from roadstead.inventory import views
from roadstead.kit import clocks
from roadstead.model import (
    LOCAL_POOL,
    ContainerId,
    LinkState,
    Problem,
    Snapshot,
    Vm,
    VmId,
    config_keys,
    split_container_id,
)
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links import given_keys, messages
from roadstead.plan import abilities, access, pins

TRY_SECONDS = 3.0
"""How long an answer to ``why`` waits for what comes of its own try."""
_SAID_OTHERWISE = frozenset({config_keys.MONITOR, config_keys.HOST_KEY, config_keys.TLS_LEGACY})
"""Settings that the facts about a VM tell in words of their own."""
_LEGACY = "accepted: without key usage and key identifiers; CA, address and dates are verified"
_UNUSED = "kept in the pool, not in use"
_CLAIMED = "address-claimed-twice"
_WAITING = pins.HOST_KEY_PROBLEMS | {_CLAIMED}


class HostKey(Struct, frozen=True, kw_only=True):
    """A host key as people compare it."""

    type: str
    fingerprint: str


class Reach(Struct, frozen=True, kw_only=True):
    """How a VM is to be reached; None leaves a setting as it is."""

    mode: str | None = None
    """``ssh`` or ``tls``."""
    legacy_certificate: bool | None = None
    """Whether certificates as the old pack made them are taken."""


class HostKeys(Struct, frozen=True, kw_only=True):
    """The remembered host key of a VM, the one that it must show, the one that it showed last, and how they stand."""

    vm: VmId
    name: str
    pinned: HostKey | None
    expected: HostKey | None
    """The key that the operator said the VM must show, until it did; its type may be empty."""
    shown: HostKey | None
    state: str
    """``pinned``, ``expected``, ``none``, ``tls`` (it is reached without SSH, so no host key counts), or the code of
    the problem that waits for the operator.
    """


class Why(Struct, frozen=True, kw_only=True):
    """How a VM stands, and what that is known from."""

    vm: VmId
    name: str
    state: str
    problem: Problem | None
    facts: list[tuple[str, str]]


class Vms:
    """The commands on VMs. All raise `NotFoundError` ``no-such-vm``."""

    def __init__(
        self, snapshot: Snapshot, pools: Pools, links: Links, ways: SshWays, memories: Memories, audit: Audit
    ) -> None:
        self._snapshot = snapshot
        self._pools = pools
        self._links = links
        self._ways = ways
        self._memories = memories
        self._audit = audit

    async def enable(self, vm: VmId, reach: Reach | None = None) -> None:
        """Enable container management, ``reach``-ed so; the pool keeps it, and what follows is observed. A try is made
        at once. Raises `ConflictError` ``tls-secrets-missing`` where TLS is wanted; then nothing was changed.
        """
        reach = reach or Reach()
        with self._audit.of("enable", vm):
            self._check_reach(known(self._snapshot, vm), reach)
            if reach.legacy_certificate is not None:
                # Not removed: a key that vanished counts as there for a while.
                value = config_keys.ENABLED if reach.legacy_certificate else config_keys.DISABLED
                await self._write(vm, config_keys.TLS_LEGACY, value)
            if reach.mode is not None:
                await self._write(vm, config_keys.MODE, reach.mode)
            await self._write(vm, config_keys.MONITOR, config_keys.ENABLED)
        self._links.resume(vm)
        self._links.try_now(vm)

    async def disable(self, vm: VmId) -> None:
        """Disable container management: the link ends at once, and the VM's containers go when that is observed."""
        with self._audit.of("disable", vm):
            await self._write(vm, config_keys.MONITOR, config_keys.DISABLED)
        self._links.end(vm)  # what is asked next must not find it open: a forgotten host key would be pinned anew

    def host_keys(self, vm_id: VmId) -> HostKeys:
        """Return the remembered and the shown host key."""
        vm = known(self._snapshot, vm_id)
        memory = self._memories.of(vm)
        pinned = pins.pool_pin(vm, memory) or memory.last
        shown = self._ways.shown.get(vm_id, "")
        problem = views.vm_problem(vm)
        state = "expected" if memory.expected is not None else "pinned" if pinned else "none"
        if access.is_tls(vm):
            state = config_keys.TLS
        return HostKeys(
            vm=vm_id,
            name=vm.name,
            pinned=_described(pinned),
            expected=_named(memory.expected or ""),
            shown=_named(shown),
            state=problem.code if problem and problem.code in _WAITING else state,
        )

    async def confirm_host_key(self, vm_id: VmId, fingerprint: str | None) -> HostKeys:
        """Accept the key with ``fingerprint``, which the operator compared, and go on. Of an address that is claimed
        twice no key was shown yet: it may be called, and whose key answers there is judged as ever.

        Raises `ConflictError` ``nothing-to-confirm``, or ``host-key-moved`` when the VM shows another key by now.
        """
        with self._audit.of("hostkey confirm", vm_id):
            vm = known(self._snapshot, vm_id)
            problem = views.vm_problem(vm)
            code = problem.code if problem is not None else ""
            if code == _CLAIMED:
                self._memories.accept_address(vm_id)
            else:
                self._memories.consent(vm_id, self._compared(vm, code, fingerprint))
        self._links.try_now(vm_id)
        return self.host_keys(vm_id)

    async def expect_host_key(self, vm_id: VmId, text: str) -> HostKeys:
        """Let ``vm_id`` be held to the host key that ``text`` says (see `given_keys`), whatever is remembered, from now
        on and before the first contact, too. A whole key is written into the pool at once, where other instances and
        the old pack find it; of a fingerprint only we know.

        Raises `InputError` ``field-invalid``, and `ConflictError` ``vm-not-in-a-pool`` or ``host-key-unused``.
        """
        with self._audit.of("hostkey confirm", vm_id):
            vm, given = known(self._snapshot, vm_id), given_keys.read(text)
            if vm.pool == LOCAL_POOL:
                raise ConflictError("vm-not-in-a-pool", vm=vm.name)
            if access.is_tls(vm):
                raise ConflictError("host-key-unused", vm=vm.name)
            if self._shows(vm, given):
                return self.host_keys(vm_id)
            async with self._memories.turns.of(vm_id):
                if given.blob is not None:
                    await self._write(vm_id, config_keys.HOST_KEY, given.blob)
                await self._memories.expect(vm.pool, vm_id, given.named, given.blob)
        self._links.reconnect(vm_id)
        self._links.try_now(vm_id)
        return self.host_keys(vm_id)

    async def forget_host_key(self, vm_id: VmId) -> HostKeys:
        """Forget the remembered key, here and in the pool, and call the guest anew: that is a first contact. It is no
        consent to whatever is shown then: a first contact has its own protections.
        """
        with self._audit.of("hostkey forget", vm_id):
            async with self._memories.turns.of(vm_id):  # a pin that is being written is forgotten, too
                pin = known(self._snapshot, vm_id).settings.get(config_keys.HOST_KEY)
                await self._write(vm_id, config_keys.HOST_KEY, None)
                await self._memories.forget_pin(vm_id, pin)
        self._links.reconnect(vm_id)
        self._links.try_now(vm_id)
        return self.host_keys(vm_id)

    async def why(self, vm_id: VmId) -> Why:
        """Tell how a VM stands; one that is not live is tried first, as soon as is polite. A try that takes longer than
        a person likes to wait is told as being under way.
        """
        known(self._snapshot, vm_id)
        came_out = await self._links.tried(vm_id, TRY_SECONDS)
        vm = known(self._snapshot, vm_id)
        facts = [*self._facts(vm), *([] if came_out else [("a new try", "is under way; ask again in a moment")])]
        return Why(vm=vm_id, name=vm.name, state=views.vm_state(vm), problem=views.vm_problem(vm), facts=facts)

    def exists(self, container: ContainerId) -> bool:
        """Whether there is such a container."""
        return container in self._snapshot.containers_of(split_container_id(container)[0])

    def check(self, action: str, container: ContainerId) -> None:
        """Raise `ConflictError` ``pause-unsupported`` for an action of which it is known that the engine cannot."""
        found = self._snapshot.containers_of(split_container_id(container)[0]).get(container)
        if found is not None:
            abilities.check(action, found)

    async def inspect(self, container: ContainerId) -> bytes:
        """Return everything the engine knows of a container, as JSON. Raises `LinkError` ``vm-not-live``."""
        vm_id, engine_id = split_container_id(container)
        with self.asking(vm_id) as engine:
            return await engine.inspect(engine_id)

    def engine(self, vm_id: VmId) -> EngineClient:
        """Return the engine of a VM that is live. Raises `ConflictError` or `LinkError` when it is not."""
        vm, engine = known(self._snapshot, vm_id), self._links.engine(vm_id)
        if engine is not None:
            return engine
        if not vm.enabled:
            raise ConflictError("vm-not-enabled", vm=vm.name)
        if not vm.running:
            raise ConflictError("vm-off", vm=vm.name)
        raise LinkError("vm-not-live", vm=vm.name)

    @contextmanager
    def asking(self, vm_id: VmId) -> Iterator[EngineClient]:
        """Yield the engine of a VM that is live, for an operator's question. Raises as `engine`, and `LinkError`
        ``path-silent`` in the place of ``engine-timed-out`` when meanwhile nothing at all was heard from the guest:
        then it is not the engine that is slow.
        """
        engine, way, began = self.engine(vm_id), self._links.way(vm_id), clocks.now()
        try:
            yield engine
        except EngineError as error:
            if error.code != "engine-timed-out" or way is None or not way.asks_after or way.heard >= began:
                raise
            vm = known(self._snapshot, vm_id)
            port = access.ports_of(vm)[access.is_tls(vm)]
            about = {"vm": vm.name, "address": way.address, "port": port}
            raise LinkError("path-silent", **about, seconds=error.fields["seconds"]) from error

    # ---- pieces

    def _shows(self, vm: Vm, given: given_keys.GivenKey) -> bool:
        """Whether ``vm`` is connected under this key now: then nothing is left to be said about its next contact."""
        live = views.vm_state(vm) is LinkState.LIVE
        kind, _, fingerprint = self._ways.shown.get(vm.id, "").partition(" ")
        return live and fingerprint == given.fingerprint and given.type in {"", kind}

    def _check_reach(self, vm: Vm, reach: Reach) -> None:
        missing = access.tls_missing(vm)
        if missing and access.is_tls(vm, reach.mode):
            raise ConflictError("tls-secrets-missing", vm=vm.name, missing=", ".join(missing))

    def _compared(self, vm: Vm, code: str, fingerprint: str | None) -> str:
        """Return the key that ``vm`` shows, which is the one with ``fingerprint``; raise otherwise."""
        shown = self._ways.shown.get(vm.id) if code in pins.HOST_KEY_PROBLEMS else None
        if shown is None:
            raise ConflictError("nothing-to-confirm", vm=vm.name)
        if shown.partition(" ")[2] != fingerprint:
            raise ConflictError("host-key-moved", vm=vm.name, shown=shown.partition(" ")[2])
        return shown

    async def _write(self, vm_id: VmId, key: str, value: str | None) -> None:
        vm = known(self._snapshot, vm_id)
        if vm.pool == LOCAL_POOL:
            raise ConflictError("vm-not-in-a-pool", vm=vm.name)
        await self._pools.keeper(vm.pool).config.set(vm_id, key, value)

    def _facts(self, vm: Vm) -> list[tuple[str, str]]:
        link = vm.link
        silent = vm.no_address_since if vm.pool != LOCAL_POOL else None
        waits = silent is not None and views.vm_state(vm) is LinkState.CONNECTING
        problem = views.vm_problem(vm)
        last = "" if views.vm_state(vm) is LinkState.LIVE else "last known "
        shows = not last or (problem is not None and problem.code in pins.HOST_KEY_PROBLEMS)
        is_tls = access.is_tls(vm)
        is_forgotten = not vm.enabled and config_keys.HOST_KEY not in vm.settings
        shown = "" if is_tls or is_forgotten else self._ways.shown.get(vm.id)
        heard = self._links.heard(vm.id) or (link.heard if link else None)
        rows: list[tuple[str, object]] = [
            ("pool", vm.pool_name),
            ("host", vm.host_name),
            ("power", vm.power.value),
            ("enabled", "yes" if vm.enabled else "no"),
            ("next step", _next_step(vm)),
            ("announced addresses", ", ".join(vm.addresses)),
            *((key, tame(value)) for key, value in sorted(vm.settings.items()) if key not in _left_unsaid(vm)),
            ("waiting for", "its address" if waits else ""),
            ("no address since", silent.isoformat(timespec="seconds") if silent else ""),
            (f"{last}address", link.address if link else ""),
            (f"{last}relay", link.relay if link else ""),
            ("host key expected", (self._memories.of(vm).expected or "").strip()),
            ("host key shown" if shows else "last known host key", shown),
            (
                "legacy certificate",
                _LEGACY if is_tls and vm.settings.get(config_keys.TLS_LEGACY) == config_keys.ENABLED else "",
            ),
            ("certificates until", self._links.until(vm.id) if is_tls else ""),
            ("certificates for TLS", _UNUSED if vm.enabled and not is_tls and not access.tls_missing(vm) else ""),
            ("last heard", heard.isoformat(timespec="seconds") if heard else ""),
            (
                f"{last}engine",
                f"{vm.engine.name} {vm.engine.version} (API {vm.engine.api_version}, {vm.engine.kind})"
                if vm.engine
                else "",
            ),
        ]
        return [(name, str(value)) for name, value in rows if value]


def _left_unsaid(vm: Vm) -> frozenset[str]:
    """Settings that are not told as they are. Those that name certificates are only where these are in use: when a VM
    was just unprepared, they were destroyed, and a key that vanished still counts as there for a while.
    """
    is_used = vm.enabled and access.is_tls(vm)
    return _SAID_OTHERWISE if is_used else _SAID_OTHERWISE | set(config_keys.TLS_SECRETS)


def _next_step(vm: Vm) -> str:
    """What has a VM managed that nobody manages; a Windows engine is known from the last time that it was reached."""
    if vm.enabled or vm.pool == LOCAL_POOL:
        return ""
    command = f"roadstead prepare {quoted(tame(vm.name))}"
    if access.is_tls(vm) or (vm.engine is not None and vm.engine.kind == "windows"):
        return f"`{command} --mode tls`"
    return f"`{command}` (with `--mode tls` if it runs Windows)"


def _named(text: str) -> HostKey | None:
    kind, _, fingerprint = text.partition(" ")
    return HostKey(type=kind, fingerprint=fingerprint) if fingerprint else None


def _described(key: str | None) -> HostKey | None:
    if not key:
        return None
    kind = messages.key_type(key)
    if kind is None:
        return HostKey(type="unreadable", fingerprint="")
    return HostKey(type=kind, fingerprint=messages.fingerprint(key))
