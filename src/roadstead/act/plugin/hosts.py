"""The plugin in the hosts of a pool: put there and taken out over SSH, as root, with what the operator gives for it.

First it is told which host keys are shown, without a sign-in; then each host is visited, with its key confirmed. What
is given to sign in is used for that one visit and is kept nowhere: not here, not in a log, not in the audit.
"""

import asyncio

from msgspec import Struct

from roadstead.act.audit import Audit
from roadstead.act.pools.pools import Pools
from roadstead.artifacts import placing
from roadstead.errors import ConflictError, LinkError, NotFoundError, PoolError, RoadsteadError
from roadstead.kit import clocks, tasks
from roadstead.kit.gates import Gate
from roadstead.model import Host, PoolId, parse_address
from roadstead.peers.links import faults, visits
from roadstead.peers.links.visits import Door, SignIn
from roadstead.peers.xapi.messages import host_record
from roadstead.settings.schema import LinkSettings

PARALLEL = 8
"""How many hosts are called at once."""
HOSTS = 256
"""More hosts than any pool has."""
WORK_SECONDS = 60.0
"""How long the work on one host may take; what runs there ends itself before."""


class SeenHost(Struct, frozen=True, kw_only=True):
    """A host of a pool before anybody signs in: the SSH host key that it shows, or why it shows none."""

    id: str
    name: str
    address: str
    type: str = ""
    fingerprint: str = ""
    code: str = ""
    message: str = ""


class HostPlugin(Struct, frozen=True, kw_only=True):
    """How the plugin stands on a host now.

    ``state`` after installing: ``installed``, ``replaced``, ``unchanged``; after uninstalling: ``removed``,
    ``restored`` (what was there before came back); otherwise ``absent``, ``ours``, ``package`` (rpm brought it, and rpm
    keeps it), ``copied`` (Roadstead's, put there by somebody else) or ``foreign``.
    """

    id: str
    name: str
    state: str
    version: str = ""
    former: str = ""
    backup: str = ""
    python: str = ""


class PluginHosts:
    """Installs and uninstalls the plugin."""

    def __init__(self, pools: Pools, settings: LinkSettings, audit: Audit) -> None:
        self._pools = pools
        self._settings = settings
        self._audit = audit
        self._gate = Gate(PARALLEL)

    async def look(self, pool: PoolId, port: int) -> list[SeenHost]:
        """Tell which host keys the pool's hosts show; nobody signs in. A host that is down stops no other."""
        hosts = await self._hosts(pool)
        async with asyncio.TaskGroup() as group:
            seen = [tasks.spawn(group, self._seen(host, port), f"look at the host {host.name}") for host in hosts]
        return [task.result() for task in seen]

    async def work(self, pool: PoolId, id: str, visit: "Visit") -> HostPlugin:
        """Do ``visit.action`` on one host.

        Raises `NotFoundError` ``no-such-host``, `ConflictError` and `LinkError` with the codes of hosts, `InputError`
        for a key that cannot be used.
        """
        if visit.action == "look":
            return await self._worked(await self._host(pool, id), visit)
        with self._audit.of(f"pool plugin {visit.action}", f"{pool}/{id}"):
            return await self._worked(await self._host(pool, id), visit)

    # ---- pieces

    async def _hosts(self, pool: PoolId) -> list[Host]:
        listed = await self._pools.keeper(pool).client.list_all("host")
        found = [host_record(one, pool=pool, as_of=clocks.now()) for one in listed.values()]
        if len(found) > HOSTS:
            raise PoolError("pool-too-large", count=len(found), kind="host", limit=HOSTS)
        return sorted(found, key=lambda host: (host.name, host.id))

    async def _host(self, pool: PoolId, id: str) -> Host:
        for host in await self._hosts(pool):
            if host.id == id:
                return host
        raise NotFoundError("no-such-host", name=id)

    async def _seen(self, host: Host, port: int) -> SeenHost:
        about = {"id": host.id, "name": host.name, "address": host.address}
        try:
            async with self._gate():
                shown = await visits.look(_door(host, port), self._settings)
        except LinkError as error:
            fault = _fault(error, host, "")
            return SeenHost(**about, code=fault.code, message=str(fault))
        except RoadsteadError as error:
            return SeenHost(**about, code=error.code, message=str(error))
        kind, _, fingerprint = shown.partition(" ")
        return SeenHost(**about, type=kind, fingerprint=fingerprint)

    async def _worked(self, host: Host, visit: "Visit") -> HostPlugin:
        sign_in = await visit.sign_in()
        task = visits.Task(placing.COMMAND, placing.request(visit.action), WORK_SECONDS)
        try:
            async with self._gate():
                output = await visits.visit(_door(host, visit.port), visit.host_key, sign_in, task, self._settings)
        except LinkError as error:
            raise _fault(error, host, visit.host_key) from error
        return _told(host, visit.action, output)


class Visit(Struct, frozen=True, kw_only=True):
    """What is to be done on a host, where it listens, the key that was confirmed (type and fingerprint), and how the
    operator signs in; a repr shows none of the latter.
    """

    action: str
    port: int
    host_key: str
    password: str | None = None
    private_key: str | None = None
    passphrase: str | None = None

    def __repr__(self) -> str:
        return f"Visit(action={self.action!r}, port={self.port}, host_key={self.host_key!r})"

    async def sign_in(self) -> SignIn:
        """Return how to sign in. Raises `InputError`."""
        return await visits.sign_in(self.password, self.private_key, self.passphrase)


def _told(host: Host, action: str, output: bytes) -> HostPlugin:
    told = placing.told(output)
    if told is None:
        raise ConflictError("host-plugin-failed", host=host.name, reason="what ran there gave no answer")
    if told.problem:
        raise ConflictError(told.problem, host=host.name, reason=told.reason)
    if action == "uninstall" and told.state in {"foreign", "copied"}:
        raise ConflictError("host-plugin-foreign", host=host.name)
    return HostPlugin(
        id=host.id,
        name=host.name,
        state=told.state,
        version=told.version,
        former=told.former,
        backup=told.backup,
        python=told.python,
    )


def _door(host: Host, port: int) -> Door:
    """Where a host is called: what its pool says, if that is an address and no more."""
    address = parse_address(host.address)
    if address is None or address.is_unspecified or address.is_multicast:
        raise ConflictError("host-address-unusable", host=host.name, address=host.address, uuid=host.id)
    return Door(str(address), port)


def _fault(error: LinkError, host: Host, confirmed: str) -> RoadsteadError:
    """Return what went wrong on the way to a host, in words about hosts: those of links are about VMs."""
    if error.code == "key-rejected":
        return ConflictError("host-sign-in-failed", host=host.name)
    if error.code in {"host-key-changed", "host-key-type-gone"}:
        shown = error.fields.get("shown", "of another type")
        return ConflictError("host-key-differs", host=host.name, shown=shown, confirmed=confirmed)
    is_there = error.code in {"ssh-refuses-us", "ssh-failed", "link-lost"}
    code = "host-ssh-failed" if is_there else "host-unreachable"
    return LinkError(code, host=host.name, address=host.address, reason=faults.reason(error))
