"""What goes wrong on an operator's way into a guest, in words about preparing."""

from __future__ import annotations

import pytest

from roadstead.act.preparing.entry import AGREED, Guest
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


@pytest.mark.parametrize("code", ["refused", "key-rejected", "link-lost"])
def test_what_a_try_left_is_told_however_it_ended(code: str) -> None:
    """Also where the guest lets nobody in again after what was agreed to was done in it."""
    guest = Guest("web-1", "core", 22, ("192.0.2.1",), LinkSettings(), left=AGREED)
    assert guest.fault(LinkError(code, port=22), "192.0.2.1").remedy.endswith(f"{AGREED}.")
