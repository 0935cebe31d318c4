"""Certificates that are made: judged by OpenSSL's strict verification and by Python's, not by their maker."""

from __future__ import annotations

import datetime as dt
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from roadstead.artifacts import certificates
from roadstead.artifacts.certificates import Certificates, KeyKind

ADDRESSES = ("10.0.1.17", "fd00::17")


@pytest.fixture(scope="module", params=["rsa", "ec"])
def made(request: pytest.FixtureRequest) -> Certificates:
    """The certificates of one VM, of both kinds."""
    kind: KeyKind = request.param
    return certificates.make("win-1 Süd", ADDRESSES, 730, kind)


def _written(folder: Path, made: Certificates) -> Path:
    for name, text in (
        ("ca", made.authority),
        ("server", made.server.certificate),
        ("client", made.client.certificate),
    ):
        (folder / f"{name}.pem").write_text(text)
    return folder


@pytest.mark.parametrize(("leaf", "purpose"), [("server", "sslserver"), ("client", "sslclient")])
def test_openssl_verifies_them_strictly(made: Certificates, tmp_path: Path, leaf: str, purpose: str) -> None:
    """For their own purpose, and for no other."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is needed")
    folder = _written(tmp_path, made)
    words = [openssl, "verify", "-x509_strict", "-CAfile", str(folder / "ca.pem")]
    other = "sslclient" if purpose == "sslserver" else "sslserver"
    address = ["-verify_ip", ADDRESSES[0]] if leaf == "server" else []
    good = subprocess.run([*words, *address, "-purpose", purpose, str(folder / f"{leaf}.pem")], check=False)
    bad = subprocess.run([*words, "-purpose", other, str(folder / f"{leaf}.pem")], check=False, capture_output=True)

    assert good.returncode == 0
    assert bad.returncode != 0


@pytest.mark.parametrize("address", [*ADDRESSES, "127.0.0.1"])
def test_pythons_strict_mode_takes_them_in_a_handshake(made: Certificates, tmp_path: Path, address: str) -> None:
    """On both sides, with a client's certificate, and for each of the addresses."""
    assert _shake_hands(made, tmp_path, address) == "TLSv1.3"


def test_another_address_is_refused(made: Certificates, tmp_path: Path) -> None:
    """It stands in no alternative name."""
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        _shake_hands(made, tmp_path, "10.0.1.18")


def _shake_hands(made: Certificates, folder: Path, address: str) -> str | None:
    contexts = []
    for protocol, pair in ((ssl.PROTOCOL_TLS_SERVER, made.server), (ssl.PROTOCOL_TLS_CLIENT, made.client)):
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=made.authority)
        (folder / "pair.pem").write_text(pair.certificate + pair.key)
        context.load_cert_chain(folder / "pair.pem")
        contexts.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = contexts[0].wrap_bio(to_server, to_client, server_side=True)
    client = contexts[1].wrap_bio(to_client, to_server, server_hostname=address)
    waiting = [client, server]
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    return client.version()


def test_the_profile_is_kept(made: Certificates) -> None:
    """SHA-256, at most 730 days for all of them, begun some minutes ago, and a CA that signs leaves only."""
    now = dt.datetime.now(dt.UTC)
    texts = (made.authority, made.server.certificate, made.client.certificate)
    for one in map(x509.load_pem_x509_certificate, map(str.encode, texts)):
        assert isinstance(one.signature_hash_algorithm, hashes.SHA256)
        assert one.not_valid_after_utc - one.not_valid_before_utc <= dt.timedelta(days=730)
        assert now - one.not_valid_before_utc >= dt.timedelta(minutes=5)
        assert one.not_valid_after_utc == made.until
    authority = x509.load_pem_x509_certificate(made.authority.encode())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)


def test_keys_fit_and_are_no_ones_else(made: Certificates) -> None:
    """Unencrypted; that of the CA is not among them."""
    keys = []
    for pair in (made.server, made.client):
        key = load_pem_private_key(pair.key.encode(), password=None)
        assert key.public_key() == x509.load_pem_x509_certificate(pair.certificate.encode()).public_key()
        keys.append(key.public_key())
    assert x509.load_pem_x509_certificate(made.authority.encode()).public_key() not in keys


def test_a_key_is_in_no_text_about_it(made: Certificates) -> None:
    """Not in a traceback, for one."""
    assert "PRIVATE KEY" not in repr(made)


@pytest.mark.parametrize("name", ["", "x" * 300, "a\x00b\n", "ÄÖÜ漢字"])
def test_any_name_of_a_vm_will_do(name: str) -> None:
    """A common name holds 64 characters."""
    made = certificates.make(name, ["10.0.0.1"], 1, "ec")
    subject = x509.load_pem_x509_certificate(made.server.certificate.encode()).subject
    assert 1 <= len(str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)) <= 64
