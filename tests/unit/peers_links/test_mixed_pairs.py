"""A certificate beside the key of another pair, as a server leaves them that died between naming the two."""

from __future__ import annotations

import pytest

from roadstead.artifacts import certificates
from roadstead.errors import LinkError
from roadstead.peers.links.credentials import credentials


def test_a_mixed_pair_is_told_as_what_it_is() -> None:
    """By its own code: what helps is to make new ones, not to edit keys."""
    old, new = (certificates.make("vm", ("127.0.0.1",), 1, "ec") for _ in range(2))

    with pytest.raises(LinkError) as caught:
        credentials(new.client.certificate.encode(), old.client.key.encode(), old.authority.encode(), is_legacy=False)

    assert caught.value.code == "secrets-mixed"
