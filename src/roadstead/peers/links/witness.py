"""Whoever wants to know how far a link got while it is opened: the same code as ever, with somebody looking on."""

from typing import Protocol

from roadstead.errors import LinkError
from roadstead.model import PathStep


class Witness(Protocol):
    """Is told of each address by itself: several may be on their way at once."""

    def passed(self, step: PathStep, finding: str, address: str) -> None:
        """A step was passed at ``address``, with this ``finding`` (what the guest said is in it as it came)."""

    def missed(self, address: str, error: LinkError) -> None:
        """``address`` did not lead to the guest."""


class Nobody:
    """The witness of every link that is not looked at."""

    def passed(self, step: PathStep, finding: str, address: str) -> None:
        """See `Witness`."""

    def missed(self, address: str, error: LinkError) -> None:
        """See `Witness`."""


NOBODY = Nobody()
