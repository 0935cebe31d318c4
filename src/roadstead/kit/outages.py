"""Outages that no record of the inventory shows: they are logged once when they begin and once when they end."""

from dataclasses import dataclass

import structlog

from roadstead.errors import PeerError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LoggedOutage:
    """Where `kit` says that some ``work`` cannot be done, and that it can again."""

    work: str

    def began(self, error: PeerError) -> None:
        """It fails, for this reason."""
        log.warning("cannot be done now", work=self.work, problem=error.code, reason=str(error))

    def ended(self) -> None:
        """It works again."""
        log.info("done again", work=self.work)
