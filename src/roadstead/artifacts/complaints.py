"""The message that a pool gets about an action on a container that its client asked for, and that failed.

Titles are the old pack's: what the engine says before its first colon. Every account of the pool can read it, and an
engine quotes commands: what looks like a secret in its words is masked.
"""

from typing import NamedTuple

from roadstead.artifacts.legacy_xml import cleaned
from roadstead.artifacts.masking import masked
from roadstead.errors import EngineError, RoadsteadError

OTHERWISE = "Container Management Error"
"""The title where the engine gives none."""
TITLE_CHARACTERS = 128


class Complaint(NamedTuple):
    """Title and body of a message."""

    title: str
    body: str


def about(error: RoadsteadError) -> Complaint:
    """Return what is told of ``error``; an engine's own words, with its HTTP status."""
    if not isinstance(error, EngineError):
        return Complaint(OTHERWISE, cleaned(str(error)))
    if error.code != "engine-refused":
        return Complaint(OTHERWISE, masked(str(error)))
    said = masked(error.fields["reason"])
    title, colon, _ = said.partition(":")
    title = title.strip() if colon else ""
    status = error.fields.get("status")
    return Complaint(title[:TITLE_CHARACTERS] or OTHERWISE, f"{said} ({status})" if status else said)
