"""The record of who changed what."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from roadstead.serve import answers
from roadstead.serve.calls import Call

Limit = Annotated[int, Query(ge=1, le=10_000, description="How many entries at most.")]


async def list_audit(call: Call, limit: Limit = 100) -> Response:
    """List who changed what, the newest first: commands of every client, and all calls of pools' plugins."""
    return answers.pieces(answers.listed(await call.commands.audit.recent(limit)), call.store.number)
