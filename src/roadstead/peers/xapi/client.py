"""What the rest of Roadstead asks of a pool.

How a watcher uses it::

    client = XapiClient(address, settings.pool)
    try:
        await client.open()  # signs in on the master, wherever it is
        token = ""
        while True:
            batch = await client.events(("pool", "host", "vm", "vm_guest_metrics", "vm_metrics"), token)
            ...  # batch.events, batch.counts
            token = batch.token
    except PoolError:
        ...  # open() again, and start from the empty token
    finally:
        await client.close()  # signs out

After *any* error of `XapiClient.events` the next call takes the empty token, and what it returns is a full listing
(every living object as ``add``). A token of a former session is refused with ``pool-session-lost``, because a pool
whose master was lost may have gone back to lower numbers: it would accept the token and stay silent for ever.
Deletions can get lost without an error: compare ``batch.counts[class]`` with what is held, and `list_all` that class
when they differ.

Writes are durable only after `sync_database`, which is shared by all who ask for it at the same time.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from msgspec import Struct

from roadstead.errors import NotFoundError, PoolError
from roadstead.peers.xapi import faults, messages, writes
from roadstead.peers.xapi.session import Session
from roadstead.peers.xapi.trust import URL_HOST, PoolAddress, canonical
from roadstead.peers.xapi.wire import Request
from roadstead.settings.schema import PoolSettings

MESSAGE_PRIORITY = 3
"""Of messages about VMs: what the old pack gave them (1 is the most important, 5 mere information)."""
MENTIONING = ("VM", "pool", "host", "SR", "PBD")
"""The classes of which some field may hold a secret's uuid or reference (``other_config``, ``device_config``, …)."""


class Secret(Struct, frozen=True, kw_only=True):
    """A secret of a pool; ``marks`` is its ``other_config``. The value never shows in a repr."""

    uuid: str
    value: str
    marks: dict[str, str]

    def __repr__(self) -> str:
        return f"Secret(uuid={self.uuid!r}, marks={self.marks!r})"


class XapiClient:
    """One pool, with one session and one originator of its own. Every call raises `PoolError` (see `faults`)."""

    def __init__(self, address: PoolAddress, settings: PoolSettings) -> None:
        """Raises `InputError` ``address-invalid``."""
        self._settings = settings
        self._session = Session(address, settings)
        self._syncing = asyncio.Lock()
        self._syncs_wanted = 0
        self._syncs_done = 0

    @property
    def address(self) -> PoolAddress:
        """How the pool is reached, with what `learn_members` found out."""
        return self._session.address

    @property
    def originator(self) -> str:
        """The name by which the pool tells our sessions from those of others."""
        return self._session.originator

    @property
    def master(self) -> str:
        """The address of the host that is asked now."""
        return self._session.endpoint.host

    @property
    def is_open(self) -> bool:
        """Whether we are signed in, as far as we know."""
        return self._session.is_open

    def __repr__(self) -> str:
        state = "signed in" if self.is_open else "not signed in"
        return f"<XapiClient {self.address.name or self.address.url} at {self._session.endpoint.shown}, {state}>"

    async def open(self) -> None:
        """Sign in, on whichever host is the master. Call it again after an outage: each call is a new session.

        Raises `InputError` for a CA file that holds none; `PoolError`, of several hosts the one that tells most:
        ``pool-certificate-changed``, ``pool-certificate-untrusted``, ``pool-sign-in-failed``, ``pool-not-permitted``,
        ``pool-starting``, ``pool-answer-invalid``, ``pool-timed-out``, ``pool-unreachable``.
        """
        await self._session.open()

    async def close(self) -> None:
        """Sign out (within `session.LOGOUT_SECONDS`) and end all connections. Never fails."""
        await self._session.close()

    async def wait_denied(self) -> str:
        """Wait until the account was not allowed a call, and return which; one at a time may wait."""
        return await self._session.wait_denied()

    async def call(self, method: str, *params: Any, seconds: float | None = None) -> Any:
        """Call ``method`` (``VM.get_all``) with our session before ``params``; strings are cleaned.

        ``seconds`` is the limit (default: setting ``call_seconds``). A failure of XAPI itself has its code in
        ``error.fields["xapi"]``.
        """
        return await self._session.call(method, params, seconds or self._settings.call_seconds)

    async def events(self, classes: Iterable[str], token: str, *, seconds: float | None = None) -> messages.EventBatch:
        """Return changes of ``classes`` (lower case) since ``token``, waiting for the first one up to ``seconds``
        (default: setting ``event_seconds``); the batch may be empty.

        The empty token lists everything. See the module for what an error means.
        """
        wait = self._settings.event_seconds if seconds is None else max(0.0, seconds)
        return await self._session.events(tuple(classes), token, wait)

    async def transfer(self, request: Request, host: str, *, seconds: float) -> bytes:
        """Send what moves a whole disk to the host of that address (empty: the master) and return its answer."""
        return await self._session.transfer(request, host, seconds)

    async def list_all(self, cls: str) -> dict[str, messages.Fields]:
        """Return every object of ``cls`` (one of `messages.CLASSES`) by reference, with the fields that we read."""
        method = f"{messages.CLASSES[cls]}.get_all_records"
        listed: dict[str, messages.Fields] = await self._session.call(
            method, (), self._settings.list_seconds, messages.decode_listing
        )
        return listed

    async def pool(self) -> tuple[str, messages.Fields]:
        """Return the pool object, of which there is exactly one, after its reference."""
        for ref, snapshot in (await self.list_all("pool")).items():
            return ref, snapshot
        raise self._odd("pool.get_all_records", "it has no pool")

    async def learn_members(self) -> PoolAddress:
        """Read the addresses and certificates of all hosts over the trusted connection; return and use what is known
        now, so that the pool is found again, and safely, when its master is gone. Keep it for the next start.

        Hosts that left the pool are no longer trusted; the fingerprint of the URL's own host stays as it was confirmed.
        """
        hosts = await self.list_all("host")
        members = tuple(sorted(filter(None, (_address(host) for host in hosts.values()))))
        shown = messages.host_fingerprints(await self._certificates(), hosts)
        trust = self.address.trust
        trust = replace(trust, fingerprints=_merged(trust.fingerprints, shown, members))
        self._session.trust(replace(self.address, members=members, trust=trust))
        return self.address

    async def set_vm_key(self, uuid: str, key: str, value: str | None) -> None:
        """Make ``key`` of ``VM.other_config`` be ``value``, or not be there (None); other keys are never touched.

        A key that has another value is removed and added back to back. Raises `NotFoundError` ``no-such-vm``.
        """
        await writes.set_key(self.call, "VM", await self._vm(uuid), key, value)

    async def add_vm_key(self, uuid: str, key: str, value: str) -> bool:
        """Add ``key`` to ``VM.other_config`` unless it is there; return whether it was added."""
        return await writes.add_key(self.call, "VM", await self._vm(uuid), key, value)

    async def replace_vm_keys(self, uuid: str, changes: Mapping[str, str | None]) -> None:
        """Make each key of ``VM.other_config`` be its value, or not be there (None), without reading what is there.

        For values that are long and only ours; others who write the same keys win or lose. Raises `NotFoundError`
        ``no-such-vm``.
        """
        ref = await self._vm(uuid)
        for key, value in changes.items():
            await writes.replace_key(self.call, "VM", ref, key, value)

    async def set_pool_key(self, key: str, value: str | None) -> None:
        """The same as `set_vm_key`, of ``pool.other_config``."""
        ref, _ = await self.pool()
        await writes.set_key(self.call, "pool", ref, key, value)

    async def add_pool_key(self, key: str, value: str) -> bool:
        """The same as `add_vm_key`, of ``pool.other_config``."""
        ref, _ = await self.pool()
        return await writes.add_key(self.call, "pool", ref, key, value)

    async def create_secret(self, value: str, marks: Mapping[str, str]) -> str:
        """Keep ``value`` in the pool and return the secret's uuid.

        ``marks`` (see `model.config_keys`) say whose it is: without one nobody could tell that it may be collected.
        """
        ref = await self.call("secret.create", {"value": value, "other_config": dict(marks)})
        return str(await self.call("secret.get_uuid", ref))

    async def read_secret(self, uuid: str, check: Callable[[Mapping[str, str]], None] | None = None) -> Secret | None:
        """Return a secret, or None when there is none with that uuid. ``check`` is given its ``other_config`` before
        the value is read; what it raises leaves the value unread.
        """
        try:
            ref = await self.call("secret.get_by_uuid", uuid)
            if check is not None:
                marks = await self.call("secret.get_other_config", ref)
                check(messages.string_map({"marks": marks}, "marks"))
            record = await self.call("secret.get_record", ref)
        except PoolError as error:
            if faults.is_gone(error):
                return None
            raise
        if not isinstance(record, dict):
            raise self._odd("secret.get_record", "it is no record")
        value = record.get("value")
        marks = messages.string_map(record, "other_config")
        return Secret(uuid=uuid, value=value if isinstance(value, str) else "", marks=marks)

    async def destroy_secret(self, uuid: str) -> None:
        """Remove a secret; one that is gone already is fine."""
        try:
            await self.call("secret.destroy", await self.call("secret.get_by_uuid", uuid))
        except PoolError as error:
            if not faults.is_gone(error):
                raise

    async def mentioned(self, texts: Collection[str]) -> set[str]:
        """Return which of ``texts`` (uuids, references, keys) any object of the pool mentions that may name a secret,
        or show whose it is: VMs, templates and snapshots, the pool, hosts and storage.
        """
        found: set[str] = set()
        for cls in MENTIONING:
            decode = partial(messages.decode_mentions, texts)
            found |= await self._session.call(f"{cls}.get_all_records", (), self._settings.list_seconds, decode)
        return found

    async def raise_message(self, title: str, vm: str, body: str) -> str:
        """Raise a message about a VM (its uuid) and return its reference. Raises `NotFoundError` ``no-such-vm``."""
        try:
            return str(await self.call("message.create", title, MESSAGE_PRIORITY, "VM", vm, body))
        except PoolError as error:
            if faults.is_gone(error):
                raise NotFoundError("no-such-vm", name=vm) from error
            raise

    async def destroy_message(self, ref: str) -> None:
        """Remove a message; one that is gone already is fine."""
        try:
            await self.call("message.destroy", ref)
        except PoolError as error:
            if not faults.is_gone(error):
                raise

    async def sync_database(self) -> None:
        """Make what was written before this call survive the loss of the master (which otherwise takes 5 minutes).

        Calls that wait at the same time share one: a batch of writes costs one copy of the database.
        """
        self._syncs_wanted += 1
        mine = self._syncs_wanted
        async with self._syncing:
            if self._syncs_done >= mine:
                return
            covered = self._syncs_wanted
            await self.call("pool.sync_database", seconds=self._settings.list_seconds)
            self._syncs_done = covered

    async def _vm(self, uuid: str) -> str:
        try:
            return str(await self.call("VM.get_by_uuid", uuid))
        except PoolError as error:
            if faults.is_gone(error):
                raise NotFoundError("no-such-vm", name=uuid) from error
            raise

    async def _certificates(self) -> dict[str, messages.Fields]:
        try:
            return await self.list_all("certificate")
        except PoolError as error:
            if faults.is_unknown(error):
                return {}  # a pool from before certificates were objects
            raise

    def _odd(self, method: str, reason: str) -> PoolError:
        return faults.answer_invalid(self._session.endpoint.shown, self.address.name, method, reason)


def _address(host: messages.XapiObject) -> str:
    try:
        return canonical(messages.string(host, "address"))
    except ValueError:
        return ""


def _merged(known: Mapping[str, str], shown: Mapping[str, str], members: tuple[str, ...]) -> dict[str, str]:
    """Return the fingerprints of ``members`` as the pool shows them, else as known, and that of the URL's host."""
    kept = {host: digest for host, digest in known.items() if host in {*members, URL_HOST}}
    return {**kept, **{canonical(host): digest for host, digest in shown.items() if _address({"address": host})}}
