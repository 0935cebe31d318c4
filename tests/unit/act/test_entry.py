"""What goes wrong on an operator's way into a guest, in words about preparing."""

from __future__ import annotations

import pytest

from roadstead.act.preparing.entry import Guest
from roadstead.errors import LinkError
from roadstead.settings.schema import LinkSettings


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LinkError("refused", port=22), "it refuses connections to port 22"),
        (LinkError("ssh-floods"), "The VM's SSH server was cut off: it went on sending far more than we ask of any"),
    ],
    ids=["known", "not known"],
)
def test_every_failure_has_its_reason(error: LinkError, reason: str) -> None:
    """One that there are no words for here is told in its own."""
    told = Guest("web-1", "core", 22, ("192.0.2.1",), LinkSettings()).fault(error, "192.0.2.1")
    assert (told.code, told.fields["reason"]) == ("guest-unreachable", reason)
