"""What bodies take for a network stands in lines of ``authorized_keys`` and in firewalls: it is nothing else."""

import pytest
from pydantic import ValidationError

from roadstead.serve.bodies import CertificateAnswers, GuestAnswers


@pytest.mark.parametrize("network", ['fe80::1%x",environment="A=b', "fe80::1%eth0", "::1%$(id)/128"])
@pytest.mark.parametrize("body", [GuestAnswers, CertificateAnswers])
def test_a_zone_is_no_part_of_a_network(body: type[GuestAnswers | CertificateAnswers], network: str) -> None:
    """It may be any text: an option of the line, a command."""
    with pytest.raises(ValidationError):
        body(sources=[network])
    assert body(sources=["10.0.0.7/8"]).sources == ["10.0.0.0/8"]
