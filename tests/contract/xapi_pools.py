"""Clients of a lab pool, and what they are compared with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from roadstead.lab.pool.server import LabPool
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import EventBatch, is_real_vm
from roadstead.peers.xapi.trust import URL_HOST, PoolAddress, Trust, parse_fingerprint
from roadstead.settings.schema import PoolSettings

PATIENT = PoolSettings(connect_seconds=5, call_seconds=5, list_seconds=5, event_seconds=0.3)
WAITING = PATIENT.model_copy(update={"event_seconds": 10.0})
CLASSES = ("pool", "host", "vm", "vm_guest_metrics")


def address(pool: LabPool, *, host: int = 1, user: str = "root", **changes: object) -> PoolAddress:
    """How to reach the pool by the host of that number, whose certificate is pinned."""
    given: dict[str, object] = {
        "url": pool.urls[host - 1],
        "user": user,
        "password": pool.password,
        "trust": Trust(fingerprints={URL_HOST: parse_fingerprint(pool.fingerprints[host - 1])}),
        "name": "harbour",
    }
    return PoolAddress(**(given | changes))  # type: ignore[arg-type] # fields by name, as the caller chose


def all_pins(pool: LabPool) -> Trust:
    """Trust in every host, as it shows itself now."""
    addresses = [url.removeprefix("https://").rpartition(":")[0] for url in pool.urls]
    return Trust(fingerprints=dict(zip(addresses, map(parse_fingerprint, pool.fingerprints), strict=True)))


@asynccontextmanager
async def signed_in(where: PoolAddress, settings: PoolSettings = PATIENT) -> AsyncIterator[XapiClient]:
    """A client that is signed in, and signs out at the end."""
    client = XapiClient(where, settings)
    try:
        await client.open()
        yield client
    finally:
        await client.close()


def names(batch: EventBatch) -> dict[str, str]:
    """What a batch says of real VMs: name → operation."""
    return {
        str(event.snapshot["name_label"]): event.op
        for event in batch.events
        if event.cls == "vm" and event.snapshot and is_real_vm(event.snapshot)
    }
