"""Addresses of pools, fingerprints, and which host may be trusted with what."""

import ssl

import aiohttp
import pytest

from roadstead.errors import InputError, PoolError
from roadstead.peers.xapi.trust import Endpoint, PoolAddress, Trust, Verifier, parse_fingerprint, parse_url

PIN = "ab" * 32
OTHER = "cd" * 32


@pytest.mark.parametrize(
    ("url", "endpoint", "shown"),
    [
        ("https://10.0.0.1", Endpoint("10.0.0.1", 443), "10.0.0.1:443"),
        ("https://Pool.example:8443/", Endpoint("pool.example", 8443), "pool.example:8443"),
        (" https://[FD00:0::1]:444 ", Endpoint("fd00::1", 444), "[fd00::1]:444"),
    ],
)
def test_addresses_of_pools(url: str, endpoint: Endpoint, shown: str) -> None:
    """A URL names a host and a port; an IPv6 address is shown in brackets."""
    assert parse_url(url) == endpoint
    assert endpoint.shown == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "10.0.0.1",
        "http://10.0.0.1",
        "https://",
        "https://10.0.0.1/path",
        "https://10.0.0.1?q",
        "https://10.0.0.1#f",
        "https://10.0.0.1:99999",
        "https://10.0.0.1:x",
        "https://[fd00::1",
        "https://a b",
        "https://-a",
        "ftp://10.0.0.1",
    ],
)
def test_nonsense_is_no_address(url: str) -> None:
    """Anything but https://HOST[:PORT] is refused."""
    with pytest.raises(InputError) as caught:
        parse_url(url)
    assert caught.value.code == "address-invalid"


def test_password_in_a_url_is_not_repeated() -> None:
    """Somebody who writes the password into the URL does not find it in the error."""
    with pytest.raises(InputError) as caught:
        parse_url("https://root:hunter2@10.0.0.1")
    assert "hunter2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("text", [PIN, PIN.upper(), ":".join(["AB"] * 32), f" SHA256:{PIN}\n"])
def test_spellings_of_a_fingerprint(text: str) -> None:
    """With or without colons, in either case."""
    assert parse_fingerprint(text) == PIN


@pytest.mark.parametrize("text", ["", "ab", PIN + "a", PIN[:-1] + "g", "ab" * 20])
def test_nonsense_is_no_fingerprint(text: str) -> None:
    """A shorter hash is none either."""
    with pytest.raises(InputError) as caught:
        parse_fingerprint(text)
    assert caught.value.code == "fingerprint-invalid"


def checked(trust: Trust, host: str) -> ssl.SSLContext | aiohttp.Fingerprint:
    """What a host's certificate is checked with."""
    address = PoolAddress("https://pool.example", "root", "pw", trust)
    return Verifier(address).check_for(Endpoint(host, 443))


def test_each_host_has_its_pin() -> None:
    """The URL's host has the confirmed pin, also when its address is pinned otherwise; the others have their own."""
    trust = Trust(fingerprints={"": PIN, "pool.example": OTHER, "10.0.0.2": OTHER})

    for host, pin in (("pool.example", PIN), ("10.0.0.2", OTHER)):
        check = checked(trust, host)
        assert isinstance(check, aiohttp.Fingerprint)
        assert check.fingerprint.hex() == pin


def test_host_without_pin_is_refused() -> None:
    """A host that nobody vouched for is not talked to, whoever named it."""
    for trust in (Trust(), Trust(fingerprints={"": PIN})):
        with pytest.raises(PoolError) as caught:
            checked(trust, "10.0.0.3")
        assert caught.value.code == "pool-certificate-untrusted"
        assert "10.0.0.3" in str(caught.value)


@pytest.mark.parametrize("pem", ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_ca_file_without_certificate(pem: str) -> None:
    """It is refused by the name of the field."""
    with pytest.raises(InputError) as caught:
        checked(Trust(ca_pem=pem), "10.0.0.1")
    assert (caught.value.code, caught.value.fields["field"]) == ("field-invalid", "ca_file")


def test_nothing_shows_a_password() -> None:
    """Neither the address of a pool nor its trust prints what is secret or long."""
    address = PoolAddress("https://h", "root", "hunter2", Trust(ca_pem="PEM", fingerprints={}))
    assert "hunter2" not in repr(address)
    assert "PEM" not in repr(address)
