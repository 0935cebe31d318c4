"""The insides of the VMs: boots and stops the guests, and says what guest tools would say of them."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

from roadstead.errors import RoadsteadError
from roadstead.kit import tasks
from roadstead.kit.gates import Gate
from roadstead.lab.guests import Guest, GuestMaker
from roadstead.lab.guests.certificates import Pair, TlsKeys
from roadstead.lab.pool import values
from roadstead.lab.pool.cds import Securable, Secured
from roadstead.lab.pool.database import Change, Database
from roadstead.lab.pool.network_calls import mac
from roadstead.lab.pool.seeds import Seed
from roadstead.lab.pool.state import WINDOWS, Machine

_LOG = logging.getLogger(__name__)

BOOTS_AT_ONCE = 8
AUTHORISED_KEYS = ("xscontainer-public-secret-uuid", "roadstead-old-public-secret-uuid")
"""The keys of `pool.other_config` that name the secrets with the pool's public keys."""

SSH_PORT = 22
USER_KEY = "xscontainer-username"
PORT_KEY = "roadstead-ssh-port"
TLS_PORT = 2376
MODE_KEY, TLS_PORT_KEY = "xscontainer-mode", "roadstead-tls-port"
TLS_KEYS = ("xscontainer-tls-client-cert", "xscontainer-tls-client-key", "xscontainer-tls-ca-cert")

_TOOLS: dict[str, object] = {
    "os_version": {
        "name": "Debian GNU/Linux 12 (bookworm)",
        "uname": "6.1.0-lab-amd64",
        "distro": "debian",
        "major": "12",
        "minor": "0",
    },
    "PV_drivers_version": {"major": "8", "minor": "4", "micro": "0", "build": "1"},
    "PV_drivers_up_to_date": True,
    "PV_drivers_detected": True,
    "other": {"feature-suspend": "1", "feature-shutdown": "1", "feature-reboot": "1"},
    "live": True,
}
_WINDOWS_SYSTEM: dict[str, object] = {
    "os_version": {
        "name": "Microsoft Windows Server 2022 Standard|C:\\Windows|\\Device\\Harddisk0\\Partition2",
        "distro": "windows",
        "major": "10",
        "minor": "0",
    }
}


def networks(addresses: Iterable[str]) -> dict[str, str]:
    """`VM_guest_metrics.networks` of a VM with these addresses, one for each network card."""
    announced: dict[str, str] = {}
    for device, address in enumerate(addresses):
        if ":" in address:
            announced[f"{device}/ipv6/0"] = address
        else:
            announced |= {f"{device}/ip": address, f"{device}/ipv4/0": address}
    return announced


class Machines:
    """All VMs' insides.  Owned by a task group that outlives it."""

    def __init__(self, database: Database, maker: GuestMaker | None, group: asyncio.TaskGroup) -> None:
        self.known: dict[str, Machine] = {}
        """By the VM's uuid."""
        self.failures: dict[str, str] = {}
        """Why a guest did not boot when it was to, by the VM's uuid."""
        self.elsewhere: GuestMaker | None = None
        """Who made the guests of the VMs that were brought from the neighbouring pool."""
        self.windows: GuestMaker | None = None
        """Who makes the guests of Windows VMs."""
        self.highest = 0
        """The highest number that a guest ever had: none is given twice."""
        self.seed: Callable[[str], Awaitable[Seed | None]] | None = None
        """What a VM (reference) reads from its config drive."""
        self.password = ""
        """Of the users of guests that nobody has prepared."""
        self._database = database
        self._maker = maker
        self._group = group
        self._guests: dict[str, Guest] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._boots: dict[str, asyncio.Task[None]] = {}
        self._up: set[str] = set()
        """The VMs (uuids) whose guests have booted."""
        self._gate = Gate(BOOTS_AT_ONCE)
        self._keys: tuple[str, ...] = ()
        self._keys_changed = True
        self._authorising = asyncio.Lock()
        database.listeners.append(self._note)

    def _note(self, change: Change) -> None:
        if change.kind in ("pool", "secret"):
            self._keys_changed = True

    # What the pool's calls use.

    def has_tools(self, vm: str) -> bool:
        """Whether guest tools run in this VM (uuid)."""
        return vm in self.known

    def boot(self, vm: str) -> None:
        """Boot what is inside the VM (reference); its addresses are announced when it is up."""
        record = self._database.get("VM", vm)
        fresh = self._database.create("VM_guest_metrics", {"last_updated": values.now()})
        old = str(record["guest_metrics"])
        self._database.write("VM", vm, "guest_metrics", fresh)
        if old in self._database.table("VM_guest_metrics").rows:
            self._database.destroy("VM_guest_metrics", old)
        if record["uuid"] in self.known:
            name = f"boot of {record['name_label']}"
            self._boots[vm] = tasks.spawn(self._group, self._boot(vm, str(record["uuid"])), name)

    async def halt(self, vm: str) -> None:
        """Stop what is inside the VM (reference)."""
        boot = self._boots.pop(vm, None)
        if boot is not None:
            await tasks.stop(boot)
        uuid = str(self._database.get("VM", vm)["uuid"])
        self._up.discard(uuid)
        guest = self._guests.get(uuid)
        if guest is not None:
            await guest.stop()

    async def remove(self, vm: str) -> None:
        """Remove the inside of a VM (uuid) that is about to be destroyed."""
        guest = await self.guest(vm)
        if guest is not None:
            await guest.destroy()
        for known in (self.known, self._guests, self._making, self.failures):
            known.pop(vm, None)

    def copied(self, source: str, copy: str) -> None:
        """Give a clone (uuid) a guest of its own, as `source` has one."""
        machine = self.known.get(source)
        if machine is not None:
            number = self.next_number() if machine.number else 0
            self.known[copy] = Machine(
                number, machine.containers, kind=machine.kind, admitted=(*machine.admitted, *self.newer_keys())
            )

    async def settle_keys(self) -> None:
        """Authorise the pool's key in every guest once it has one, as an operator who prepares them all would.

        Later keys are for whoever brings them into the guests: a rotation, `admit`.
        """
        if not self._keys_changed or self._keys or self._maker is None:
            return
        async with self._authorising:
            self._keys_changed = False
            keys = self.public_keys()
            if keys and not self._keys:
                await self._maker.authorize(keys)
                self._keys = keys

    def newer_keys(self) -> tuple[str, ...]:
        """The pool's public keys that the maker's guests are not given by themselves: a rotation made them."""
        return tuple(key for key in self.public_keys() if self._keys and key not in self._keys)

    def public_keys(self) -> tuple[str, ...]:
        """The pool's public keys, as lines."""
        config = next(record["other_config"] for _, record in self._database.all("pool"))
        secrets = self._database.table("secret")
        refs = (secrets.by_uuid.get(config.get(name, "")) for name in AUTHORISED_KEYS)
        return tuple(str(secrets.rows[ref].record["value"]).strip() for ref in refs if ref is not None)

    # What the lab's own commands use.

    def restore(self, known: dict[str, Machine], numbers: int) -> None:
        """Remember what an earlier run knew.

        A guest that lets this pool in does so by the keys that the pool has now: its line may have been changed since.
        """
        self.known = known
        for machine in known.values():
            machine.admitted = machine.admitted and self.public_keys()
        own = (machine.number for machine in known.values() if not machine.elsewhere)
        self.highest = max(numbers, *own, 0)

    def next_number(self) -> int:
        """A number that no guest has."""
        self.highest += 1
        return self.highest

    async def guest(self, vm: str) -> Guest | None:
        """The guest that the lab made for the VM (uuid); made now when it is not there yet."""
        machine = self.known.get(vm)
        if machine is None or not machine.number:
            return None
        maker = self._maker_of(machine)
        if maker is None:
            return None
        async with self._making[vm]:
            if vm not in self._guests:
                name = str(self._database.get("VM", self._database.by_uuid("VM", vm))["name_label"])
                guest = await maker.make(name, machine.number, machine.containers)
                if machine.raw:
                    await guest.make_raw(self.password)
                for line in machine.admitted:
                    await guest.admit(line)
                if machine.secured and isinstance(guest, Securable):
                    await guest.secure_engine(machine.secured[0], Pair(*machine.secured[1:]))
                self._guests[vm] = guest
            return self._guests[vm]

    def _maker_of(self, machine: Machine) -> GuestMaker | None:
        if machine.kind == WINDOWS:
            return self.windows
        return self.elsewhere if machine.elsewhere else self._maker

    def _makers(self) -> list[GuestMaker]:
        has_windows = any(machine.kind == WINDOWS for machine in self.known.values())
        return [maker for maker in (self._maker, self.windows if has_windows else None) if maker is not None]

    def release(self, vm: str) -> tuple[Machine, Guest | None]:
        """Let another pool have the inside of the VM (uuid), as it is."""
        self._making.pop(vm, None)
        self.failures.pop(vm, None)
        self._up.discard(vm)
        return self.known.pop(vm, Machine()), self._guests.pop(vm, None)

    def adopt(self, vm: str, machine: Machine, guest: Guest | None, *, is_up: bool) -> None:
        """Take over the inside of a VM (uuid) that another pool released; one that ``is_up`` goes on running."""
        if is_up:
            self._up.add(vm)
        machine.elsewhere = True
        self.known[vm] = machine
        if guest is not None:
            self._guests[vm] = guest

    async def admit(self, vm: str, public_key: str) -> None:
        """Append a key in the guest of the VM (uuid), which has one."""
        guest = await self.guest(vm)
        if guest is not None:
            self.known[vm].admitted += (public_key,)
            await guest.admit(public_key)

    async def secure(self, vm: str, secured: Secured) -> bool:
        """Configure the TLS of the engine in the VM (uuid); return whether there is one that can be."""
        guest: object = await self.guest(vm)
        if not isinstance(guest, Securable):
            return False
        self.known[vm].secured = tuple(secured)
        await guest.secure_engine(secured.authority, Pair(secured.certificate, secured.key))
        return True

    async def make_raw(self, vm: str) -> None:
        """Let the guest of the VM (uuid), which has one, be as nobody has prepared it."""
        guest = await self.guest(vm)
        if guest is not None:
            await guest.make_raw(self.password)
            self.known[vm].raw, self.known[vm].admitted = True, ()

    async def booted(self, *vms: str) -> None:
        """Wait until these VMs (references; all, when none is named) have booted."""
        boots = [task for vm, task in self._boots.items() if not vms or vm in vms]
        await asyncio.gather(*boots, return_exceptions=True)

    async def boot_running(self) -> None:
        """Boot the inside of every VM that runs already: the lab was started again, not the VMs."""
        running = [
            (vm, str(record["uuid"]))
            for vm, record in self._database.all("VM")
            if record["power_state"] in ("Running", "Paused") and record["uuid"] in self.known
        ]
        for vm, uuid in running:
            self._boots[vm] = tasks.spawn(self._group, self._boot(vm, uuid), f"boot of {uuid}")
        await self.booted()

    def announce(self, vm: str, addresses: tuple[str, ...]) -> None:
        """Say what the guest tools of a VM (reference) say: it runs, with these addresses."""
        record = self._database.get("VM", vm)
        metrics = str(record["guest_metrics"])
        if metrics not in self._database.table("VM_guest_metrics").rows:
            return
        self._need_cards(vm, len(addresses))
        machine = self.known.get(str(record["uuid"]))
        system = _WINDOWS_SYSTEM if machine is not None and machine.kind == WINDOWS else {}
        told = {**_TOOLS, **system, "networks": networks(addresses), "last_updated": values.now()}
        self._database.update("VM_guest_metrics", metrics, told)

    async def close(self) -> None:
        """Stop every guest; they are kept for the next start."""
        await tasks.stop(*self._boots.values())
        self._boots.clear()
        for maker in self._makers():
            await maker.close()

    async def _boot(self, vm: str, uuid: str) -> None:
        machine = self.known[uuid]
        addresses: tuple[str, ...] = ()
        async with self._gate():
            try:
                guest = await self.guest(uuid)
                if guest is not None:
                    await self._read_drive(vm, uuid, guest)
                    await guest.start()
                    self._up.add(uuid)
                    addresses = guest.addresses
                    self._prepare(vm, machine, guest)
                    self.failures.pop(uuid, None)
            except (OSError, RoadsteadError) as error:
                _LOG.warning("the guest of VM %s does not boot: %s", uuid, error)
                self.failures[uuid] = _reason(error)
        self.announce(vm, addresses if machine.addresses is None else machine.addresses)
        self._boots.pop(vm, None)

    async def _read_drive(self, vm: str, uuid: str, guest: Guest) -> None:
        """Let a guest that boots take what its config drive says, as far as it reads it: a new instance has new host
        keys; one that was read before is passed over, save by who reads it each time.
        """
        seed = await self.seed(vm) if self.seed is not None and uuid not in self._up else None
        machine = self.known[uuid]
        is_new = seed is not None and seed.instance != machine.instance
        if seed is None or not (is_new or seed.is_read_each_time):
            return
        if is_new and machine.instance:
            await guest.new_host_key()
        machine.instance = seed.instance
        for key in seed.keys:
            await self.admit(uuid, key)

    def _prepare(self, vm: str, machine: Machine, guest: Guest) -> None:
        """Set the VM's keys once, as an operator who prepares this kind of guest; others may change them."""
        if (machine.user, machine.port) == (guest.user, guest.port):
            return
        machine.user, machine.port = guest.user, guest.port
        if guest.tls is not None:
            self._prepare_tls(vm, guest.port, guest.tls)
            return
        keys = dict(self._database.get("VM", vm)["other_config"])
        if not machine.raw:
            keys[USER_KEY] = guest.user
        if guest.port != SSH_PORT:
            keys[PORT_KEY] = str(guest.port)
        else:
            keys.pop(PORT_KEY, None)
        self._database.write("VM", vm, "other_config", keys)

    def _prepare_tls(self, vm: str, port: int, keys: TlsKeys) -> None:
        """As the old pack prepared a VM of Windows: its keys name secrets with PEM."""
        values = (keys.client.certificate, keys.client.key, keys.authority)
        made = {}
        for name, value in zip(TLS_KEYS, values, strict=True):
            ref = self._database.create("secret", {"value": value})
            made[name] = str(self._database.get("secret", ref)["uuid"])
        told = {**self._database.get("VM", vm)["other_config"], MODE_KEY: "tls", **made}
        if port != TLS_PORT:
            told[TLS_PORT_KEY] = str(port)
        self._database.write("VM", vm, "other_config", told)

    async def set_rate(self, events_per_second: float) -> None:
        """How many changes a second the containers of all guests make by themselves."""
        for maker in self._makers():
            await maker.set_rate(events_per_second)

    async def networks(self) -> tuple[str, ...]:
        """The networks of the guests that the lab makes."""
        found = [network for maker in self._makers() for network in await maker.networks()]
        return tuple(dict.fromkeys(found))

    def _need_cards(self, vm: str, wanted: int) -> None:
        """Give a VM as many network cards as it has addresses."""
        network = next(
            ref
            for ref, record in self._database.all("network")
            if "is_host_internal_management_network" not in record["other_config"]
        )
        for device in range(len(self._database.get("VM", vm)["VIFs"]), wanted):
            card = {"device": str(device), "network": network, "VM": vm, "MAC": mac(), "currently_attached": True}
            self._database.create("VIF", card)


def _reason(error: OSError | RoadsteadError) -> str:
    """Say in a few words why a guest does not boot."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "another program, most likely another lab, uses the addresses of its guests"
    # An error about a guest has said so already: what counts is its reason.
    return error.fields.get("reason", str(error)) if isinstance(error, RoadsteadError) else str(error)
