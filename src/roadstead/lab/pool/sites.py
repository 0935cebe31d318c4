"""The hosts of the pool as addresses on this machine: 127.88.0.1, .2, … on one port, each with its own certificate."""

from __future__ import annotations

import asyncio
import errno
import ssl
from dataclasses import dataclass
from pathlib import Path

from roadstead.errors import StartError
from roadstead.lab.pool import certificates
from roadstead.lab.pool.core import Core
from roadstead.lab.pool.http import HostServer, Mood
from roadstead.lab.pool.raw_images import RawImages
from roadstead.lab.pool.service import Service
from roadstead.lab.pool.state import Folder

_PORT_TRIES = 50


@dataclass(slots=True)
class Site:
    """One host: its object in the database, where it listens, and how it identifies itself."""

    number: int
    ref: str
    address: str
    certificate: bytes
    context: ssl.SSLContext
    server: HostServer
    local: HostServer
    """Answers the host's own programs at `socket`."""
    socket: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate, in XAPI's notation."""
        return certificates.fingerprint(self.certificate)


async def open_site(core: Core, folder: Folder, number: int, ref: str) -> Site:
    """The host `number` (from 1), not listening yet; its certificate is made when there is none."""
    address = str(core.database.get("host", ref)["address"])
    certificate, context = await asyncio.to_thread(_identity, folder, number, address)
    service, images = Service(core, ref), RawImages(core, ref)
    handlers = {("PUT", "/import_raw_vdi"): images.put, ("GET", "/export_raw_vdi"): images.get}
    server = HostServer(core.group, context, service.answer, handlers)
    local = HostServer(core.group, None, service.answer, handlers)
    return Site(number, ref, address, certificate, context, server, local, folder.xapi(number))


def _identity(folder: Folder, number: int, address: str) -> tuple[bytes, ssl.SSLContext]:
    file = folder.certificate(number)
    if not file.exists():
        certificates.make(file, f"lab-host-{number}", address)
    return certificates.read(file), certificates.context(file)


async def new_certificate(site: Site, folder: Folder) -> None:
    """Give a host another key and certificate; connections that are open keep the old one."""
    file = folder.certificate(site.number)
    await asyncio.to_thread(certificates.make, file, f"lab-host-{site.number}", site.address)
    site.certificate = await asyncio.to_thread(certificates.read, file)
    await asyncio.to_thread(site.context.load_cert_chain, file)


def record_certificates(core: Core, site: Site) -> None:
    """Let the pool's database say which certificate the host has."""
    present = [ref for ref, record in core.database.all("Certificate") if record["host"] == site.ref]
    known = {core.database.get("Certificate", ref)["fingerprint_sha256"] for ref in present}
    if site.fingerprint in known:
        return
    for ref in present:
        core.database.destroy("Certificate", ref)
    told = {**certificates.fields(site.certificate), "host": site.ref}
    core.database.create("Certificate", {**told, "type": "host"})
    # The certificate that hosts show to each other is of no use to clients; that it is listed, too, is.
    internal = dict.fromkeys(("fingerprint", "fingerprint_sha256"), certificates.fingerprint(site.ref.encode()))
    core.database.create("Certificate", {**told, **internal, "type": "host_internal"})


async def listen(sites: list[Site], port: int) -> int:
    """Let all hosts listen, at their sockets and on one port (0: one that is free everywhere).  Returns it."""
    for site in sites:
        # One that a killed lab left is ours: the folder's lock is held.
        await asyncio.to_thread(site.socket.unlink, missing_ok=True)
        await site.local.listen_unix(site.socket)
    for _ in range(_PORT_TRIES if port == 0 else 1):
        try:
            return await _listen_once(sites, port)
        except OSError as error:
            await _close(sites)
            if port or error.errno != errno.EADDRINUSE:
                raise _taken(sites, port, error) from error
    raise StartError("port-taken", address=f"{sites[0].address}, any port", option="--port")


async def _listen_once(sites: list[Site], port: int) -> int:
    for site in sites:
        port = await site.server.listen(site.address, port)
    return port


async def _close(sites: list[Site]) -> None:
    for site in sites:
        await site.server.close()


def _taken(sites: list[Site], port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError("port-taken", address=f"{sites[0].address}:{port}", option="--port")
    return StartError("lab-address-unusable", address=f"{sites[0].address}:{port}", reason=error.strerror)


def set_mood(sites: list[Site], mood: Mood) -> None:
    """Let hosts behave well or badly from the next request on."""
    for site in sites:
        site.server.mood = mood
