"""What a new lab pool holds: hosts, storage, networks, a template, control domains — so that clients must filter."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence

from roadstead.lab.pool import values
from roadstead.lab.pool.database import Database
from roadstead.lab.pool.network_calls import mac

TEMPLATE = "Debian 12 (template)"
DISKS = "labsr"
ISOS = "labiso"
_KINDS_OF_VMS = ("web", "db", "app", "cache", "queue", "build")
_MEMORY = 1 << 40
_WIRED = {"netmask": "255.255.255.0", "management": True, "currently_attached": True}


def names(count: int, start: int = 1) -> list[str]:
    """Names for VMs: web-1, db-2, app-3, …"""
    return [f"{_KINDS_OF_VMS[(number - 1) % len(_KINDS_OF_VMS)]}-{number}" for number in range(start, start + count)]


class _Identities:
    """Uuids and references that a seed determines, so that two labs of one seed have the same pool."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def ref(self) -> str:
        return f"OpaqueRef:{self.uuid()}"


def fill(database: Database, addresses: Sequence[str], seed: int, label: str = "lab") -> list[str]:
    """Put the pool's own objects into an empty database.  Returns the references of its hosts, the master first."""
    made = _Identities(seed)

    def create(kind: str, **fields: object) -> str:
        return database.create(kind, {"uuid": made.uuid(), **fields}, made.ref())

    pool = create("pool", name_label=label, other_config={"lab": "true"})
    disks = create("SR", name_label=DISKS, type="lvm", content_type="user", physical_size=_MEMORY)
    isos = create("SR", name_label=ISOS, type="iso", content_type="iso", shared=True)
    network = create("network", name_label="Pool-wide network associated with eth0", bridge="xenbr0")
    create(
        "network",
        name_label="Host internal management network",
        bridge="xenapi",
        other_config={"is_host_internal_management_network": "true"},
    )
    hosts = []
    for number, address in enumerate(addresses, 1):
        host = _host(create, f"lab-host-{number}", address)
        create("PIF", device="eth0", network=network, host=host, MAC=mac(), IP=address, **_WIRED)
        for storage in (disks, isos):
            create("PBD", host=host, SR=storage, currently_attached=True)
        _control_domain(database, create, host, f"lab-host-{number}")
        hosts.append(host)
    database.update("pool", pool, {"master": hosts[0], "default_SR": disks})
    metrics = create("VM_metrics")
    create(
        "VM",
        name_label=TEMPLATE,
        is_a_template=True,
        is_default_template=True,
        metrics=metrics,
        other_config={"default_template": "true"},
        allowed_operations=("clone", "copy", "provision", "export"),
    )
    return hosts


def _host(create: Callable[..., str], name: str, address: str) -> str:
    metrics = create("host_metrics", memory_total=_MEMORY, memory_free=_MEMORY // 2, last_updated=values.now())
    started = f"{int(random.Random(name).uniform(1.6e9, 1.7e9))}."
    return create(
        "host",
        name_label=name,
        hostname=name,
        address=address,
        metrics=metrics,
        other_config={"agent_start_time": started, "boot_time": started},
        license_params={"restrict_rbac": "false"},
        cpu_info={"cpu_count": "8", "modelname": "lab"},
    )


def _control_domain(database: Database, create: Callable[..., str], host: str, name: str) -> None:
    metrics = create("VM_metrics")
    domain = create(
        "VM",
        name_label=f"Control domain on host: {name}",
        is_control_domain=True,
        power_state="Running",
        resident_on=host,
        domid=0,
        metrics=metrics,
        domain_type="pv",
        allowed_operations=(),
    )
    database.write("host", host, "control_domain", domain)
