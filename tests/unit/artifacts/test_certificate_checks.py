"""Faults of certificates that were made elsewhere: each is found and named."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from roadstead.artifacts.certificate_checks import Given, faults
from roadstead.errors.codes import CODES
from roadstead.lab.guests.certificates import Authority, Form
from tests.unit.fakes import chains
from tests.unit.fakes.chains import BETWEEN, CLIENT, ROOT
from tests.unit.fakes.odd_certificates import of_version

OURS, OTHER = Authority("ours"), Authority("other")
LABS, SERVER = OURS.client(), OURS.server(["10.0.0.1"])
GOOD = Given(LABS.certificate, LABS.key, OURS.certificate)
CLIENTS_OWN = LABS.certificate + LABS.key
NOW = dt.datetime.now(dt.UTC)
_KEY = load_pem_private_key(LABS.key.encode(), password=None)
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
    now = dt.datetime.now(dt.UTC)
    assert _told(old, now, is_legacy=True) == []
    assert any("it has no key usage" in told for told in _told(old, now))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(GOOD._replace(ca_cert=OTHER.certificate), "client_cert: none of the CA", id="chain"),
        pytest.param(GOOD._replace(client_key=SERVER.key), "client_key: it does not belong", id="key"),
        pytest.param(GOOD._replace(client_key=ENCRYPTED), "client_key: the key is encrypted", id="encrypted"),
        pytest.param(GOOD._replace(client_key="x"), "client_key: it holds no private key", id="no key"),
        pytest.param(Given(SERVER.certificate, SERVER.key, OURS.certificate), "lacks clientAuth", id="a server's"),
        pytest.param(GOOD._replace(ca_cert=LABS.certificate), "ca_cert: it is not that of a CA", id="no CA"),
        pytest.param(GOOD._replace(ca_cert=ODD), "ca_cert: it holds no certificate", id="version"),
        pytest.param(GOOD._replace(ca_cert="-----BEGIN"), "ca_cert: it holds no certificate", id="no PEM"),
        pytest.param(
            GOOD._replace(client_cert=LABS.certificate + LABS.key), "client_cert: it holds a private key", id="both"
        ),
    ],
)
def test_each_fault_is_named(given: Given, told: str) -> None:
    """With the file that it is in."""
    assert any(told in each for each in _told(given)), _told(given)


WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be found too short
LATE, EARLY = (-20, -10), (10, 20)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        pytest.param(chains.given(), "", id="good"),
        pytest.param(chains.given(between=[BETWEEN]), "", id="good in between"),
        pytest.param(chains.given(replace(ROOT, path_length=1), [BETWEEN]), "", id="long enough"),
        pytest.param(chains.given(replace(ROOT, path_length=0), [BETWEEN]), "certificate-not-signed", id="too long"),
        pytest.param(chains.given(client=replace(CLIENT, days=LATE)), "certificate-expired", id="over"),
        pytest.param(chains.given(client=replace(CLIENT, days=EARLY)), "certificate-not-yet-valid", id="early"),
        pytest.param(chains.given(replace(ROOT, days=LATE)), "certificate-expired", id="CA over"),
        pytest.param(chains.given(between=[replace(BETWEEN, days=LATE)]), "certificate-expired", id="between over"),
        pytest.param(chains.given(client=replace(CLIENT, usage="crl_sign")), "certificate-not-for-clients", id="use"),
        pytest.param(
            chains.given(client=replace(CLIENT, use=ExtendedKeyUsageOID.SERVER_AUTH)),
            "certificate-not-for-clients",
            id="a server's",
        ),
        pytest.param(chains.given(client=replace(CLIENT, key=WEAK)), "certificate-too-weak", id="short key"),
        pytest.param(chains.given(replace(ROOT, is_critical=False)), "certificate-not-of-a-ca", id="not critical"),
        pytest.param(chains.given(replace(ROOT, usage=chains.SIGNS)), "certificate-not-of-a-ca", id="may not sign"),
        pytest.param(
            chains.given(between=[replace(BETWEEN, is_authority=False)]), "certificate-not-of-a-ca", id="no CA between"
        ),
        pytest.param(chains.given(replace(ROOT, usage=None)), "certificate-usage-missing", id="no usage"),
        pytest.param(chains.given(replace(ROOT, is_identified=False)), "certificate-usage-missing", id="no identifier"),
    ],
)
def test_openssl_judges_alike(given: Given, code: str, tmp_path: Path) -> None:
    """What it takes for a client's in its strict mode has no fault, what it refuses has one, under its own code."""
    found = faults(given, NOW, is_legacy=False)

    assert {fault.code for fault in found} == ({code} if code else set()), found
    for name, text in given._asdict().items():
        (tmp_path / name).write_text(text)
    judged = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-auth_level", "2",
         "-CAfile", tmp_path / "ca_cert", "-untrusted", tmp_path / "client_cert", tmp_path / "client_cert"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (judged.returncode == 0) is (not code), judged.stdout + judged.stderr


@pytest.mark.parametrize(
    ("given", "code"),
    [
        pytest.param(GOOD._replace(ca_cert=OTHER.certificate), "certificate-not-signed", id="chain"),
        pytest.param(GOOD._replace(client_key=SERVER.key), "client-key-differs", id="key"),
        pytest.param(GOOD._replace(client_key=ENCRYPTED), "client-key-encrypted", id="encrypted"),
        pytest.param(GOOD._replace(client_key="x"), "client-key-unreadable", id="no key"),
        pytest.param(GOOD._replace(ca_cert="-----BEGIN"), "certificate-unreadable", id="no PEM"),
        pytest.param(GOOD._replace(client_cert=CLIENTS_OWN), "certificate-with-key", id="both"),
        pytest.param(
            chains.given(client=replace(CLIENT, use=None)), "certificate-usage-missing", id="no extended usage"
        ),
    ],
)
def test_faults_of_files_have_codes(given: Given, code: str) -> None:
    """Each its own, which is in the table of errors."""
    assert [fault.code for fault in faults(given, NOW, is_legacy=False)] == [code]
    assert code in CODES


def test_the_one_in_between_is_named() -> None:
    """Since several stand in one file; in the mode of the old pack, too."""
    given = chains.given(between=[replace(BETWEEN, days=LATE)])
    for is_legacy in (False, True):
        assert [told.startswith("client_cert: of the one in between (CN=between): it expired")
                for told in _told(given, is_legacy=is_legacy)] == [True]  # fmt: skip


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
    assert len(_told(Given(SERVER.certificate, LABS.key, OTHER.certificate))) == 3
