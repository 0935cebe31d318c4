"""A full listing of a pool costs little more memory than its answer, however much the pool publishes of its VMs."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from typing import cast

import aiohttp
import msgspec

from roadstead.peers.xapi import messages
from roadstead.peers.xapi.trust import Endpoint, PoolAddress, Trust
from roadstead.peers.xapi.wire import ANSWER_BYTES, Request, Wire
from roadstead.watch.book import Book
from tests.unit.fakes import records
from tests.unit.fakes.xapi import pool_fields, vm_fields

VMS, VALUE_BYTES, PIECE_BYTES = 200, 30_000, 2**16
MOST = 1.5
"""How often the answer may be in memory: once as it came, while it grows, and what is kept of it."""


class Answer:
    """An answer that comes in pieces."""

    def __init__(self, body: bytes) -> None:
        self.content = self
        self._body = body

    async def iter_any(self) -> AsyncIterator[bytes]:
        """As aiohttp gives them."""
        for place in range(0, len(self._body), PIECE_BYTES):
            yield self._body[place : place + PIECE_BYTES]


def _vm(number: int) -> dict[str, object]:
    config = {key: f"<{key}>{'x' * VALUE_BYTES}🐳</{key}>" for key in ("docker_ps", "docker_info")}
    return vm_fields(number, other_config={"xscontainer-monitor": "True", **config})


async def test_a_full_listing_is_in_memory_once() -> None:
    """What other clients are shown is thousands of characters for each VM, and only its digests are kept."""
    events = [{"class": "pool", "operation": "add", "ref": "ref:pool", "snapshot": pool_fields()}]
    events += [
        {"class": "vm", "operation": "add", "ref": f"ref:vm-{number}", "snapshot": _vm(number)} for number in range(VMS)
    ]
    result = {"events": events, "token": "1", "valid_ref_counts": {}}
    body = msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": 1})
    wire = Wire(PoolAddress("https://10.0.0.1", "", "", Trust()), connect_seconds=1.0)
    book = Book(records.pool(url="https://10.0.0.1"), 2.0, 10_000)

    asked = Request("POST", "/jsonrpc", "event.from", ANSWER_BYTES)
    gc.collect()
    tracemalloc.start()
    try:
        answer = cast("aiohttp.ClientResponse", Answer(body))
        batch = messages.decode_events(await wire._body(answer, Endpoint("10.0.0.1", 443), asked))  # noqa: SLF001
        assert isinstance(batch, messages.EventBatch)
        book.take(batch.events, 0.0)
        _, peak = tracemalloc.get_traced_memory()
        del batch, answer
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await wire.close()

    assert len(book.published()) == VMS
    assert peak < MOST * len(body), f"{peak / len(body):.2f} times the answer"
    assert kept < 0.1 * len(body)
