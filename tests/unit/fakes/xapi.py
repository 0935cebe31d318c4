"""A pool for watchers: objects with references, changes with tokens, and the faults that XAPI is known for.

It has the methods of `XapiClient` that watchers and keepers call. It keeps time with the loop, so an hour of silence
takes no time in tests.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from roadstead.errors import NotFoundError, PoolError, RoadsteadError
from roadstead.peers.xapi.client import Secret
from roadstead.peers.xapi.messages import Event, EventBatch
from roadstead.peers.xapi.trust import PoolAddress, Trust

NULL = "OpaqueRef:NULL"
POOL_REF = "ref:pool"
ADDRESS = PoolAddress("https://10.0.0.1", "root", "secret", Trust(fingerprints={"": "0" * 64}))


def pool_fields(**fields: Any) -> dict[str, Any]:
    """A pool object."""
    return {"uuid": "pool-1", "name_label": "lab", "master": "ref:host-1", "other_config": {}, **fields}


def host_fields(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A host object."""
    return {
        "uuid": f"host-{number}",
        "name_label": f"xen-{number}",
        "address": f"10.0.0.{number}",
        "enabled": True,
        "software_version": {"product_brand": "XCP-ng", "product_version": "8.3.0"},
        **fields,
    }


def vm_fields(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A managed VM that runs on the first host and announces its addresses in metrics of its own."""
    return {
        "uuid": f"vm-{number}",
        "name_label": f"web-{number}",
        "power_state": "Running",
        "is_a_template": False,
        "is_a_snapshot": False,
        "is_control_domain": False,
        "resident_on": "ref:host-1",
        "guest_metrics": f"ref:metrics-{number}",
        "other_config": {"xscontainer-monitor": "True"},
        "tags": [],
        **fields,
    }


def metrics_fields(*addresses: str) -> dict[str, Any]:
    """What guest tools say: one VIF each."""
    return {"uuid": "", "networks": {f"{device}/ipv4/0": address for device, address in enumerate(addresses)}}


def event(cls: str, ref: str, fields: Mapping[str, Any] | None) -> Event:
    """A change, or with None a deletion."""
    return Event(cls, "del" if fields is None else "mod", ref, None if fields is None else dict(fields))  # type: ignore[arg-type]


@dataclass
class FakeXapi:
    """One pool and the client that is signed in to it."""

    address: PoolAddress = ADDRESS
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """Names of the methods called, in order."""
    failing: dict[str, RoadsteadError] = field(default_factory=dict)
    """What methods raise, by name."""
    is_open: bool = False
    denied: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    """Calls that the account may not make."""

    def __post_init__(self) -> None:
        self._log: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    # ---- what happens in the pool

    def put(self, cls: str, ref: str, fields: Mapping[str, Any]) -> None:
        """Add or replace an object."""
        self.objects.setdefault(cls, {})[ref] = dict(fields)
        self._note(cls, ref)

    def change(self, cls: str, ref: str, **fields: Any) -> None:
        """Change some fields of an object."""
        self.put(cls, ref, self.objects[cls][ref] | fields)

    def drop(self, cls: str, ref: str, *, silently: bool = False) -> None:
        """Remove an object; ``silently`` as when too many are removed at once: without an event."""
        del self.objects[cls][ref]
        self._note("" if silently else cls, ref)

    def fail(self, method: str, code: str | None) -> None:
        """Let calls of ``method`` fail from now on, the one that waits too; None mends it."""
        if code is None:
            self.failing.pop(method, None)
        else:
            self.failing[method] = PoolError(code)
        self._wake()

    # ---- what a client may ask

    async def open(self) -> None:
        self._called("open")
        self.is_open = True

    async def wait_denied(self) -> str:
        return await self.denied.get()

    async def close(self) -> None:
        self.calls.append("close")
        self.is_open = False

    async def events(self, classes: Iterable[str], token: str, *, seconds: float | None = None) -> EventBatch:
        self._called("events")
        wanted, since = set(classes), int(token or 0)
        if not token:
            found = [(cls, ref) for cls in wanted for ref in self.objects.get(cls, {})]
        else:
            found = await self._changes(wanted, since, 30.0 if seconds is None else seconds)
        events = [event(cls, ref, self.objects.get(cls, {}).get(ref)) for cls, ref in found]
        counts = {cls: len(held) for cls, held in self.objects.items()}
        return EventBatch(events, str(len(self._log) or 1), counts)

    async def list_all(self, cls: str) -> dict[str, dict[str, Any]]:
        self._called(f"list_all {cls}")
        if cls == "secret":
            return {f"ref:{one.uuid}": {"uuid": one.uuid, "other_config": one.marks} for one in self.secrets.values()}
        return dict(self.objects.get(cls, {}))

    async def mentioned(self, texts: Collection[str]) -> set[str]:
        self._called("mentioned")
        return {text for text in texts if text in repr(self.objects)}

    async def pool(self) -> tuple[str, dict[str, Any]]:
        self._called("pool")
        return next(iter(self.objects["pool"].items()))

    async def learn_members(self) -> PoolAddress:
        self._called("learn_members")
        members = tuple(sorted(host["address"] for host in self.objects.get("host", {}).values()))
        self.address = replace(self.address, members=members)
        return self.address

    async def set_vm_key(self, uuid: str, key: str, value: str | None) -> None:
        self._called(f"set_vm_key {uuid} {key} {value}")
        for ref, vm in self.objects.get("vm", {}).items():
            if vm["uuid"] == uuid:
                self.change("vm", ref, other_config=_with(vm["other_config"], key, value))
                return
        raise NotFoundError("no-such-vm", name=uuid)

    async def add_vm_key(self, uuid: str, key: str, value: str) -> bool:
        if any(vm["uuid"] == uuid and key in vm["other_config"] for vm in self.objects.get("vm", {}).values()):
            return False
        await self.set_vm_key(uuid, key, value)
        return True

    async def set_pool_key(self, key: str, value: str | None) -> None:
        self._called(f"set_pool_key {key}")
        ref, pool = await self.pool()
        self.change("pool", ref, other_config=_with(pool["other_config"], key, value))

    async def add_pool_key(self, key: str, value: str) -> bool:
        self._called(f"add_pool_key {key}")
        ref, pool = await self.pool()
        if key in pool["other_config"]:
            return False
        self.change("pool", ref, other_config=_with(pool["other_config"], key, value))
        return True

    async def create_secret(self, value: str, marks: Mapping[str, str]) -> str:
        self._called("create_secret")
        uuid = f"secret-{len(self.secrets) + 1}"
        self.secrets[uuid] = Secret(uuid=uuid, value=value, marks=dict(marks))
        return uuid

    async def read_secret(self, uuid: str, check: Callable[[Mapping[str, str]], None] | None = None) -> Secret | None:
        if check is not None:
            self._called("secret_marks")
            if uuid in self.secrets:
                check(self.secrets[uuid].marks)
        self._called("read_secret")
        return self.secrets.get(uuid)

    async def destroy_secret(self, uuid: str) -> None:
        self._called("destroy_secret")
        self.secrets.pop(uuid, None)

    async def sync_database(self) -> None:
        self._called("sync_database")

    async def raise_message(self, title: str, vm: str, body: str) -> str:
        self._called("raise_message")
        return f"message about {vm}"

    async def call(self, method: str, *params: Any, seconds: float | None = None) -> Any:
        self._called(method)
        return []

    # ---- pieces

    def _called(self, method: str) -> None:
        self.calls.append(method)
        self._raise(method.partition(" ")[0])

    def _raise(self, method: str) -> None:
        if error := self.failing.get(method):
            raise type(error)(error.code, **error.fields)

    async def _changes(self, wanted: set[str], since: int, seconds: float) -> list[tuple[str, str]]:
        try:
            async with asyncio.timeout(seconds):
                while not any(cls in wanted for cls, _ in self._log[since:]):
                    await self._news.wait()
                    self._raise("events")
        except TimeoutError:
            pass
        return list(dict.fromkeys((cls, ref) for cls, ref in self._log[since:] if cls in wanted))

    def _note(self, cls: str, ref: str) -> None:
        self._log.append((cls, ref))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _with(config: Mapping[str, str], key: str, value: str | None) -> dict[str, str]:
    rest = {name: held for name, held in config.items() if name != key}
    return rest if value is None else {**rest, key: value}


def small_pool(vms: int = 1) -> FakeXapi:
    """A pool with one host and some managed VMs that run on it."""
    xapi = FakeXapi()
    xapi.put("pool", POOL_REF, pool_fields())
    xapi.put("host", "ref:host-1", host_fields())
    for number in range(1, vms + 1):
        xapi.put("vm_guest_metrics", f"ref:metrics-{number}", metrics_fields(f"192.0.2.{number}"))
        xapi.put("vm", f"ref:vm-{number}", vm_fields(number))
    return xapi
