"""The record of who changed what."""

from typing import Annotated

from fastapi import Query
from msgspec.structs import asdict
from starlette.responses import Response

from roadstead.inventory import names
from roadstead.model import AuditEntry
from roadstead.serve import answers
from roadstead.serve.calls import Call
from roadstead.serve.shapes import ShownAuditEntry

Limit = Annotated[int, Query(ge=1, le=10_000, description="How many entries at most.")]


async def list_audit(call: Call, limit: Limit = 100) -> Response:
    """List who changed what, the newest first: commands of every client, and all calls of pools' plugins."""
    entries = await call.commands.audit.recent(limit)

    def shown(entry: AuditEntry) -> ShownAuditEntry:
        return ShownAuditEntry(**asdict(entry), name=names.of_target(call.store, entry.target))

    return answers.pieces(answers.listed(entries, shape=shown), call.store.number)
