"""Which server may be given a pool's password: addresses, certificates and fingerprints.

A pool's hosts show self-signed certificates (ten years, named after the host), so a certificate is either pinned by
the SHA-256 of its DER form, per host, or verified against a CA file that the operator gave; where both are known, one
of them is enough. Either happens in the TLS handshake or right after it: before the first byte of a request.
"""

import asyncio
import hashlib
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from roadstead.errors import InputError
from roadstead.kit.text import fingerprint_digits, pem_certificates
from roadstead.peers.xapi import faults

URL_HOST = ""
"""The key in `Trust.fingerprints` of the host that the URL names, whatever its address is."""

DEFAULT_PORT = 443
NAME_CHARACTERS = 253
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?", re.ASCII)
_ZONE = re.compile(r"[a-z0-9_.-]{1,32}", re.ASCII)


class Endpoint(NamedTuple):
    """A host of a pool and the port that all its hosts share."""

    host: str
    port: int

    @property
    def shown(self) -> str:
        """As people write it: ``10.0.0.1:443``, ``[fd00::1]:443``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Trust:
    """What a server must show: a certificate with the fingerprint of its host, or, with ``ca_pem`` (the PEM text of the
    operator's CA file), one of which chain and name are verified.
    """

    ca_pem: str = field(default="", repr=False)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Host address → SHA-256 of its certificate (64 hexadecimal digits); `URL_HOST` is the host of the pool's URL."""


@dataclass(frozen=True)
class PoolAddress:
    """How one pool is reached, by whom, and what is trusted."""

    url: str
    user: str
    password: str = field(repr=False)
    trust: Trust
    members: tuple[str, ...] = ()
    """Last known addresses of all hosts: where to look when the master is gone."""
    name: str = ""
    """What people call the pool, for the texts of errors."""
    id: str = ""
    """The uuid of the pool that must answer there; empty while nobody knows which one does."""


def parse_url(url: str) -> Endpoint:
    """Return host and port of ``https://HOST[:PORT]``. Raises `InputError` ``address-invalid``."""
    try:
        parts = urlsplit(url.strip())
        port = DEFAULT_PORT if parts.port is None else parts.port
        host = canonical(parts.hostname or "")
    except ValueError as error:
        raise InputError("address-invalid", value=_without_password(url)) from error
    surplus = parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment
    if parts.scheme != "https" or surplus or not port:
        raise InputError("address-invalid", value=_without_password(url))
    return Endpoint(host, port)


def canonical(host: str) -> str:
    """Return an address or a name in its one spelling. Raises `ValueError` when it is neither."""
    host = host.strip().removeprefix("[").removesuffix("]").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if len(host) > NAME_CHARACTERS or not _NAME.fullmatch(host):
            raise
        return host
    if "%" in host and not _ZONE.fullmatch(host.partition("%")[2]):
        raise ValueError("no interface is called so")
    return str(address)


def trust_in(ca_pem: str) -> Trust:
    """Return trust in whoever shows a certificate of the authorities in ``ca_pem``; nothing else of it is kept.

    Raises `InputError` ``field-invalid``.
    """
    certificates = pem_certificates(ca_pem)
    _verifying(certificates)
    return Trust(ca_pem=certificates)


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 lower-case digits. Raises `InputError` ``fingerprint-invalid``."""
    digits = fingerprint_digits(text)
    if digits is None:
        raise InputError("fingerprint-invalid", value=text)
    return digits


Check = ssl.SSLContext | aiohttp.Fingerprint
"""What the TLS layer holds a certificate to."""


class Verifier:
    """Turns a `Trust` into what the TLS layer checks for each host."""

    def __init__(self, address: PoolAddress) -> None:
        """Raises `InputError` for a URL, a fingerprint or a CA file that is none."""
        self._name = address.name
        self._home = parse_url(address.url).host
        # Made once: a connection is used again only for the very object with which its certificate was checked.
        self._context = _verifying(address.trust.ca_pem) if address.trust.ca_pem else None
        self._pins = {
            host: aiohttp.Fingerprint(bytes.fromhex(parse_fingerprint(pin)))
            for host, pin in address.trust.fingerprints.items()
        }
        self._fitting: dict[Endpoint, Check] = {}

    def checks_for(self, endpoint: Endpoint) -> tuple[Check, ...]:
        """Return what the certificate of ``endpoint`` is checked with, the likeliest first: it must pass one of these.

        Raises `PoolError` ``pool-certificate-untrusted`` for a host whose certificate nobody vouched for: it must not
        be talked to, however it was found.
        """
        pin = self._pins.get(endpoint.host)
        if endpoint.host == self._home:
            pin = self._pins.get(URL_HOST, pin)
        checks = [check for check in (pin, self._context) if check is not None]
        if not checks:
            raise faults.untrusted(endpoint.shown, self._name, "nobody has confirmed its fingerprint")
        return tuple(sorted(checks, key=lambda check: check is not self._fitting.get(endpoint)))

    def fitted(self, endpoint: Endpoint, check: Check) -> None:
        """The certificate of ``endpoint`` passed ``check``: it comes first from now on."""
        self._fitting[endpoint] = check


async def fetch_fingerprint(url: str, seconds: float) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of the certificate that the server at ``url`` shows, without sending
    it anything.

    Raises `InputError` ``address-invalid``, `PoolError` ``pool-unreachable``.
    """
    endpoint = parse_url(url)
    with faults.border(endpoint.shown, "", ""):
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(*endpoint, ssl=_unverified())
    try:
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return hashlib.sha256(certificate).hexdigest()


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _verifying(ca_pem: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=ca_pem or "none")
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: text beyond ASCII
        raise InputError("field-invalid", field="ca_file", reason="it holds no certificate in PEM form") from error


def _without_password(url: str) -> str:
    before, separator, host = url.rpartition("@")
    scheme = f"{before.partition('://')[0]}://" if "://" in before else ""
    return f"{scheme}{host}" if separator else url
