"""Faults of certificates that were made elsewhere: each is found and named."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from roadstead.artifacts.certificate_checks import Given, faults
from roadstead.lab.guests.certificates import Authority, Form
from tests.unit.fakes.odd_certificates import of_version

OURS, OTHER = Authority("ours"), Authority("other")
CLIENT, SERVER = OURS.client(), OURS.server(["10.0.0.1"])
GOOD = Given(CLIENT.certificate, CLIENT.key, OURS.certificate)
NOW = dt.datetime.now(dt.UTC)
_KEY = load_pem_private_key(CLIENT.key.encode(), password=None)
ENCRYPTED = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
).decode()

ODD = of_version(OURS.certificate, 7, OURS._key)  # noqa: SLF001 - the CA's, to sign what it never would


def _told(given: Given, now: dt.datetime = NOW, *, is_legacy: bool = False) -> list[str]:
    return [f"{fault.field}: {fault.reason}" for fault in faults(given, now, is_legacy=is_legacy)]


def test_good_ones_have_no_fault() -> None:
    """Nor have those of the old pack, in its mode."""
    historic = Authority("historic", form=Form.HISTORIC)
    client = historic.client()
    old = Given(client.certificate, client.key, historic.certificate)

    assert _told(GOOD) == []
    assert _told(old, is_legacy=True) == []
    assert any("it has no key usage" in told for told in _told(old))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(GOOD._replace(ca_cert=OTHER.certificate), "client_cert: none of the CA", id="chain"),
        pytest.param(GOOD._replace(client_key=SERVER.key), "client_key: it does not belong", id="key"),
        pytest.param(GOOD._replace(client_key=ENCRYPTED), "client_key: the key is encrypted", id="encrypted"),
        pytest.param(GOOD._replace(client_key="x"), "client_key: it holds no private key", id="no key"),
        pytest.param(Given(SERVER.certificate, SERVER.key, OURS.certificate), "lacks clientAuth", id="a server's"),
        pytest.param(GOOD._replace(ca_cert=CLIENT.certificate), "ca_cert: it is not that of a CA", id="no CA"),
        pytest.param(GOOD._replace(ca_cert=ODD), "ca_cert: it holds no certificate", id="version"),
        pytest.param(GOOD._replace(ca_cert="-----BEGIN"), "ca_cert: it holds no certificate", id="no PEM"),
        pytest.param(
            GOOD._replace(client_cert=CLIENT.certificate + CLIENT.key), "client_cert: it holds a private key", id="both"
        ),
    ],
)
def test_each_fault_is_named(given: Given, told: str) -> None:
    """With the file that it is in."""
    assert any(told in each for each in _told(given)), _told(given)


def test_dates_are_told_of_each_certificate() -> None:
    """Those that are over, and those that are to come."""
    after, before = _told(GOOD, NOW + dt.timedelta(days=800)), _told(GOOD, NOW - dt.timedelta(days=1))

    assert [re.sub(r"\d+-.*", "", told) for told in after] == [
        "client_cert: it expired on ",
        "ca_cert: it expired on ",
    ]
    assert all("it is valid only from" in told for told in before)
    assert len(before) == 2


def test_all_faults_are_told_at_once() -> None:
    """So that nobody mends one after the other."""
    assert len(_told(Given(SERVER.certificate, CLIENT.key, OTHER.certificate))) == 3
