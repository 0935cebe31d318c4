"""Addresses of pools, fingerprints, and which host may be trusted with what."""

import ssl

import aiohttp
import pytest

from roadstead.errors import InputError, PoolError
from roadstead.peers.xapi.trust import Endpoint, PoolAddress, Trust, Verifier, parse_fingerprint, parse_url, trust_in
from tests.unit.peers_xapi import hosts

PIN = "ab" * 32
OTHER = "cd" * 32


@pytest.mark.parametrize(
    ("url", "endpoint", "shown"),
    [
        ("https://10.0.0.1", Endpoint("10.0.0.1", 443), "10.0.0.1:443"),
        ("https://a_1.b-2.c.", Endpoint("a_1.b-2.c.", 443), "a_1.b-2.c.:443"),
        (f"https://{'a' * 63}", Endpoint("a" * 63, 443), f"{'a' * 63}:443"),
        ("https://[fe80::1%eth0]", Endpoint("fe80::1%eth0", 443), "[fe80::1%eth0]:443"),
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
        "https://a-",
        "https://a..b",
        "https://.a",
        "https://a..",
        f"https://{'a' * 64}",
        f"https://{'.'.join(['a' * 63] * 4)}",
        "https://HOST:0",
        "https://[fe80::1%a b]",
        "https://[fe80::1%\0]",
        "https://ä.example",
        "ftp://10.0.0.1",
    ],
)
def test_nonsense_is_no_address(url: str) -> None:
    """Anything but https://HOST[:PORT] is refused."""
    with pytest.raises(InputError) as caught:
        parse_url(url)
    assert caught.value.code == "address-invalid"


@pytest.mark.parametrize(
    "url",
    [
        "https://root:hunter2@10.0.0.1",
        "https://root:hunter2@10.0.0.1:99999",
        "https://root:hunter2@a b",
        "https://root:hunter2@[fd00::1",
        "https://root:hunter2@",
        "root:hunter2@10.0.0.1",
        "https:root:hunter2@10.0.0.1",
        "https://root:hun/ter2@10.0.0.1",
        "https://root:p@hunter2@10.0.0.1",
    ],
)
def test_password_in_a_url_is_not_repeated(url: str) -> None:
    """Somebody who writes the password into the URL does not find it in the error."""
    with pytest.raises(InputError) as caught:
        parse_url(url)
    assert "ter2" not in str(caught.value)
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


def checked(trust: Trust, host: str) -> tuple[ssl.SSLContext | aiohttp.Fingerprint, ...]:
    """What a host's certificate is checked with."""
    address = PoolAddress("https://pool.example", "root", "pw", trust)
    return Verifier(address).checks_for(Endpoint(host, 443))


def test_each_host_has_its_pin() -> None:
    """The URL's host has the confirmed pin, also when its address is pinned otherwise; the others have their own."""
    trust = Trust(fingerprints={"": PIN, "pool.example": OTHER, "10.0.0.2": OTHER})

    for host, pin in (("pool.example", PIN), ("10.0.0.2", OTHER)):
        (check,) = checked(trust, host)
        assert isinstance(check, aiohttp.Fingerprint)
        assert check.fingerprint.hex() == pin


def test_host_without_pin_is_refused() -> None:
    """A host that nobody vouched for is not talked to, whoever named it."""
    for trust in (Trust(), Trust(fingerprints={"": PIN})):
        with pytest.raises(PoolError) as caught:
            checked(trust, "10.0.0.3")
        assert caught.value.code == "pool-certificate-untrusted"
        assert "10.0.0.3" in str(caught.value)


def test_of_a_ca_file_only_the_certificates_are_kept() -> None:
    """Who gives a file with a private key in it does not leave it with us."""
    mine, other = hosts.identity(1), hosts.identity(2)
    trust = trust_in(f"Bag Attributes\n{mine.pem}{mine.key}{other.pem.replace(chr(10), chr(13) + chr(10))}")
    assert "PRIVATE" not in trust.ca_pem
    assert trust.ca_pem.count("BEGIN CERTIFICATE") == 2
    with pytest.raises(InputError):
        trust_in(mine.key)


def test_where_a_pin_and_an_authority_are_known_either_is_enough() -> None:
    """What fitted last comes first."""
    trust = Trust(ca_pem=hosts.identity(1).pem, fingerprints={"10.0.0.2": PIN})
    verifier, member = Verifier(PoolAddress("https://h", "root", "pw", trust)), Endpoint("10.0.0.2", 443)
    pin, authority = verifier.checks_for(member)
    assert isinstance(pin, aiohttp.Fingerprint)
    verifier.fitted(member, authority)
    assert verifier.checks_for(member) == (authority, pin)
    assert verifier.checks_for(Endpoint("h", 443)) == (authority,)


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
