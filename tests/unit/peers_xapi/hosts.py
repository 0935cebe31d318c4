"""A host that says whatever a test wants and remembers every byte it was sent: for what no real pool would do."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.trust import PoolAddress, Trust
from roadstead.settings.schema import PoolSettings

PASSWORD = "open sesame"
SESSION = "OpaqueRef:session-1"
QUICK = PoolSettings(connect_seconds=0.5, call_seconds=1, list_seconds=1, event_seconds=0.1)


@dataclass(frozen=True)
class Identity:
    """A host's certificate and key as PEM, and the fingerprint of the certificate."""

    pem: str
    key: str
    fingerprint: str

    def context(self) -> ssl.SSLContext:
        """What a server shows with it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(self.key + self.pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context


@cache
def identity(number: int, *names: str) -> Identity:
    """A self-signed certificate for ``names`` (none: for somebody else); another for each number."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"host-{number}")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(number + 1).not_valid_before(start - dt.timedelta(days=3650))
    builder = builder.not_valid_after(start + dt.timedelta(days=36500))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if names:
        alternatives = [x509.IPAddress(ipaddress.ip_address(name)) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Identity(pem, private.decode(), sha256(der).hexdigest())


@dataclass
class Request:
    """One request as it arrived; ``connection`` counts from 1."""

    head: str
    body: bytes
    connection: int

    @property
    def call(self) -> dict[str, Any]:
        """The call in it."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.call["method"])


class Last(bytes):
    """An answer after which the connection is ended."""


Reply = Callable[[Request], bytes | None]
"""What is answered: bytes as they stand (none: silence), then the connection goes on; None: it is ended."""


@dataclass
class Host:
    """The host, and what it saw."""

    port: int = 0
    address: str = "127.0.0.1"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    """How many of the connections have not ended yet."""

    @property
    def url(self) -> str:
        """How it is reached."""
        return f"https://[{self.address}]:{self.port}" if ":" in self.address else f"https://{self.address}:{self.port}"

    @property
    def methods(self) -> list[str]:
        """What was called, in order."""
        return [request.method for request in self.requests]

    def client(
        self, trust: Trust, settings: PoolSettings = QUICK, members: tuple[str, ...] = (), id: str = ""
    ) -> XapiClient:
        """A client for it."""
        return XapiClient(PoolAddress(self.url, "root", PASSWORD, trust, members, "harbour", id), settings)


def good(result: Any) -> bytes:
    """An answer with a result."""
    return http(msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": 1}))


def bad(code: str, *params: str) -> bytes:
    """An answer with XAPI's error."""
    error = {"code": 1, "message": code, "data": params}
    return http(msgspec.json.encode({"jsonrpc": "2.0", "error": error, "id": 1}))


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """An HTTP answer."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def signing_in(others: Reply) -> Reply:
    """Signs everybody in and out, and leaves the other calls to ``others``."""

    def reply(request: Request) -> bytes | None:
        match request.method:
            case "session.login_with_password":
                return good(SESSION)
            case "session.logout":
                return good("")
            case _:
                return others(request)

    return reply


@asynccontextmanager
async def host(
    reply: Reply, shown: Identity | None = None, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Host]:
    """A host at ``address`` that shows the certificate ``shown`` (none: it speaks no TLS)."""
    served, writers = Host(port, address), set[asyncio.StreamWriter]()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        served.open += 1
        number = served.connections
        writers.add(writer)
        try:
            while (answer := reply(await _request(reader, number, served))) is not None:
                writer.write(answer)
                await writer.drain()
                if isinstance(answer, Last):
                    writer.close()
                    await writer.wait_closed()
        except (OSError, EOFError):
            pass
        finally:
            served.open -= 1
            writers.discard(writer)
            writer.transport.abort()

    async with _serving(converse, shown, served):
        try:
            yield served
        finally:
            for writer in tuple(writers):
                writer.transport.abort()


@asynccontextmanager
async def _serving(
    converse: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    shown: Identity | None,
    served: Host,
) -> AsyncIterator[None]:
    context = await asyncio.to_thread(shown.context) if shown else None
    server = await asyncio.start_server(converse, served.address, served.port, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


async def _request(reader: asyncio.StreamReader, number: int, served: Host) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    body = await reader.readexactly(int(lengths[0])) if lengths else b""
    request = Request(head, body, number)
    served.requests.append(request)
    return request


def ca_file(shown: Identity) -> Trust:
    """Trust in whoever can show a certificate of this CA."""
    return Trust(ca_pem=shown.pem)


def pinned(shown: Identity, **others: Identity) -> Trust:
    """Trust in exactly this certificate, and in those of other hosts by address."""
    return Trust(fingerprints={"": shown.fingerprint, **{name: who.fingerprint for name, who in others.items()}})


PROXY = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NETRC": str(Path("/dev/null"))}
"""An environment that would lead a client astray."""
