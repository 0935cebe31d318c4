"""What a pool holds that the old pack managed until its host was upgraded: its key pair, its marks, its last lists.

The old pack wiped its lists when it ended in good order; here it was stopped, and they stay, older with every minute.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from roadstead.lab.guests import Guest
from roadstead.lab.pool.driver import MONITOR_KEY, VmDriver

PRIVATE, PUBLIC = "xscontainer-private-secret-uuid", "xscontainer-public-secret-uuid"
_BITS = 4096
_SHORT = 10
"""So many digits of an id stand in the element `container`."""
_STATUS = {"running": "Up", "paused": "Up (Paused)", "exited": "Exited (0)", "created": "Created"}
_HEAD = '<?xml version="1.0" ?>'
_INFO = f"{_HEAD}<docker_info><Driver>aufs</Driver><IPv4Forwarding>True</IPv4Forwarding></docker_info>"
_VERSION = f"{_HEAD}<docker_version><Version>1.13.1</Version><ApiVersion>1.26</ApiVersion></docker_version>"


async def leave(driver: VmDriver) -> None:
    """Put the old pack's keys into a pool and into its VMs that have guests, where they are not yet."""
    database, pool = driver.core.database, driver.core.pool
    present = database.get("pool", pool)["other_config"]
    if PUBLIC not in present:
        private, public = await asyncio.to_thread(_key_pair)
        uuids = {}
        for name, value in ((PRIVATE, private), (PUBLIC, public)):
            ref = database.create("secret", {"value": value})
            uuids[name] = str(database.get("secret", ref)["uuid"])
        database.write("pool", pool, "other_config", {**present, **uuids})
        await driver.machines.settle_keys()
    for uuid in tuple(driver.machines.known):
        guest = await driver.machines.guest(uuid)
        if guest is not None:
            await _mark(driver, database.by_uuid("VM", uuid), guest)


async def _mark(driver: VmDriver, vm: str, guest: Guest) -> None:
    over_ssh = {"xscontainer-mode": "ssh", "xscontainer-sshhostkey": await guest.pin()}
    keys = {
        MONITOR_KEY: "True",
        **(over_ssh if guest.tls is None else {}),
        "docker_info": _INFO,
        "docker_version": _VERSION,
        "docker_ps": _list(await guest.truth()),
    }
    driver.core.database.write("VM", vm, "other_config", {**keys, **driver.core.vm(vm)["other_config"]})


def _key_pair() -> tuple[str, str]:
    """A pair as the old pack made it: the private half in PEM, the public one as a line of `authorized_keys`."""
    key = rsa.generate_private_key(65537, _BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} xscontainer@{socket.gethostname()}\n"


def _list(containers: Iterable[dict[str, object]]) -> str:
    """`docker_ps` as the old pack wrote it; what a guest does not tell of itself is made up."""
    entries = "".join(
        f"<item><entry><id>{container['id']}</id><names>{escape(str(container['name']))}</names>"
        f"<container>{str(container['id'])[:_SHORT]}</container>"
        f"<status>{_STATUS.get(str(container['state']), 'Dead')}</status><created>1500000000</created>"
        "<image>lab</image><command>lab</command><ports/></entry></item>"
        for container in containers
    )
    return f"{_HEAD}<docker_ps>{entries}</docker_ps>" if entries else f"{_HEAD}<docker_ps/>"
