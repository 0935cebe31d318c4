"""The stream of changes."""

from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from roadstead.errors import ConflictError
from roadstead.serve import changes
from roadstead.serve.answers import Patient
from roadstead.serve.calls import Call

Number = Annotated[int | None, Query(ge=0, description="The number up to which everything is known.")]
LastEvent = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, description="The same, as browsers resume.")]
Kinds = Annotated[str | None, Query(description="Which kinds: pool, host, vm, container, with commas between them.")]


def follow_changes(call: Call, since: Number = None, kinds: Kinds = None, last_event_id: LastEvent = None) -> Response:
    """Follow the changes of the inventory as server-sent events.

    Event `change` holds a change, event `relist` says that changes were missed: list again, then go on from its
    number. Without a number the stream begins with `relist` at the present one. A comment comes every 15 s.
    """
    chosen, readers = changes.parse_kinds(kinds), call.services.readers
    if readers.count >= changes.READERS:
        raise ConflictError("too-many-readers", limit=changes.READERS)
    known = since if since is not None else last_event_id
    return Patient(
        changes.stream(call.services.feed, readers, known, chosen), media_type="text/event-stream; charset=utf-8"
    )
