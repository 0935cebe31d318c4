"""What is kept of everything that was asked of Roadstead and changes something, or came through a pool's plugin."""

from datetime import datetime

from msgspec import Struct, field


class AuditEntry(Struct, frozen=True, kw_only=True, gc=False):
    """Who did what to what, from where, and what came of it."""

    at: datetime
    who: str
    """``local socket``, ``token``, or ``plugin of`` a pool."""
    origin: str = field(default="", name="from")
    """The address that it came from; empty for the local socket."""
    what: str
    """The command, as ``stop``, ``pool set`` or a function of the plugin."""
    target: str
    """The id of the container, VM or pool; what was given where nothing has that name."""
    result: str
    """``done``, ``failed`` or ``cancelled``."""
    code: str = ""
    """Why not; a code of the table of errors."""
