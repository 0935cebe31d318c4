"""Which server may be given a pool's password: addresses, certificates and fingerprints.

A pool's hosts show self-signed certificates (ten years, named after the host), so a certificate is either pinned by
the SHA-256 of its DER form, per host, or verified against a CA file that the operator gave. Either happens in the TLS
handshake or right after it: before the first byte of a request.
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
from roadstead.peers.xapi import faults

URL_HOST = ""
"""The key in `Trust.fingerprints` of the host that the URL names, whatever its address is."""

DEFAULT_PORT = 443
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_.])?")


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
    """What a server must show. With ``ca_pem`` (the PEM text of the operator's CA file) chain and name are verified;
    otherwise the certificate must have the fingerprint of its host.
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


def parse_url(url: str) -> Endpoint:
    """Return host and port of ``https://HOST[:PORT]``. Raises `InputError` ``address-invalid``."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or DEFAULT_PORT
        host = canonical(parts.hostname or "")
    except ValueError as error:
        raise InputError("address-invalid", value=url) from error
    surplus = parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment
    if parts.scheme != "https" or surplus or not host:
        raise InputError("address-invalid", value=_without_password(url))
    return Endpoint(host, port)


def canonical(host: str) -> str:
    """Return an address or a name in its one spelling. Raises `ValueError` when it is neither."""
    host = host.strip().removeprefix("[").removesuffix("]").lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if not _NAME.fullmatch(host):
            raise
        return host


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 lower-case digits. Raises `InputError` ``fingerprint-invalid``."""
    digest = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if not _DIGEST.fullmatch(digest):
        raise InputError("fingerprint-invalid", value=text)
    return digest


class Verifier:
    """Turns a `Trust` into what the TLS layer checks for each host."""

    def __init__(self, address: PoolAddress) -> None:
        """Raises `InputError` ``field-invalid`` for a CA file that holds no certificate."""
        self._name = address.name
        self._home = parse_url(address.url).host
        self._context = _verifying(address.trust.ca_pem) if address.trust.ca_pem else None
        # Made once: a connection is used again only for the very object with which its certificate was checked.
        self._pins = {host: aiohttp.Fingerprint(bytes.fromhex(pin)) for host, pin in address.trust.fingerprints.items()}

    def check_for(self, endpoint: Endpoint) -> ssl.SSLContext | aiohttp.Fingerprint:
        """Return what the certificate of ``endpoint`` is checked with.

        Raises `PoolError` ``pool-certificate-untrusted`` for a host whose certificate nobody vouched for: it must not
        be talked to, however it was found.
        """
        if self._context is not None:
            return self._context
        pin = self._pins.get(endpoint.host)
        if endpoint.host == self._home:
            pin = self._pins.get(URL_HOST, pin)
        if pin is None:
            raise faults.untrusted(endpoint.shown, self._name, "nobody has confirmed its fingerprint")
        return pin


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
        return ssl.create_default_context(cadata=ca_pem)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: text beyond ASCII
        raise InputError("field-invalid", field="ca_file", reason="it holds no certificate in PEM form") from error


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
