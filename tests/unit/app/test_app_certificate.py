"""The certificate that plugins are shown."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from roadstead.app.certificate import certificate
from roadstead.errors import StartError


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """The second start finds the first one's; it lasts, and a server can be started with it."""
    path, fingerprint = certificate(tmp_path)
    assert certificate(tmp_path) == (path, fingerprint)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    made = x509.load_pem_x509_certificate(path.read_bytes())
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    assert made.not_valid_after_utc > datetime.now(UTC) + timedelta(days=365 * 50)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)


def test_a_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    """It holds a private key."""
    path, _ = certificate(tmp_path)
    path.chmod(0o644)
    certificate(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """As is anything else that is no certificate with its key; nothing is made in its place."""
    first, _ = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    second, _ = certificate(tmp_path / "other")
    key, pem = first.read_bytes().split(b"-----BEGIN CERTIFICATE", 1)
    _, other = second.read_bytes().split(b"-----BEGIN CERTIFICATE", 1)
    for content in (key + b"-----BEGIN CERTIFICATE" + other, key, pem, b"", b"garbage"):
        first.write_bytes(content)
        with pytest.raises(StartError) as caught:
            certificate(tmp_path)
        assert (caught.value.code, first.read_bytes()) == ("plugin-certificate-unusable", content)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    """What the system says stands in the error."""
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(StartError, match="cannot be used"):
        certificate(tmp_path)
