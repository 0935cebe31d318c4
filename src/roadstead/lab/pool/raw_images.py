"""`/import_raw_vdi` and `/export_raw_vdi`: whole disks over HTTP, with the habits of a real host.

The head of a good answer is sent before the data is read, so what goes wrong later stands as a second answer behind
it, or in the midst of the data; only the task tells for certain how it ended.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from roadstead.lab.pool import accounts, http, storage, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Core
from roadstead.lab.pool.database import Record
from roadstead.lab.pool.failures import Failure
from roadstead.lab.pool.images import PIECE_BYTES
from roadstead.lab.pool.mishaps import Mishap

PIECE_S = 60.0
"""A client that sends or reads nothing for so long is given up."""

_TYPES = {
    "raw": "application/octet-stream",
    "vhd": "application/vhd",
    "tar": "application/x-tar",
    "qcow2": "application/x-qemu-disk",
}
_CHUNK = struct.Struct("<QI")
"""In front of each piece of `chunked` data: where it belongs, and how long it is; a length of 0 ends it."""


class RawImages:
    """The two handlers of one host."""

    def __init__(self, core: Core, host: str) -> None:
        self._core = core
        self._host = host

    async def put(self, asked: http.Asked, stream: http.Stream) -> bytes:
        """Fill a disk with what the client sends."""
        await self._authorise(asked, "put_import_raw_vdi")
        if "transfer-encoding" in asked.headers:
            raise http.Closing(http.page(404))
        ref = self._disk(asked, create=True)
        self._judge(asked, ref, writes=True)
        async with self._task(asked, "Importing raw VDI") as task:
            self._need_format(asked)
            head = _head(task, _TYPES["raw"])
            await stream.send(head)
            mishap = self._core.mishaps.take("import_raw_vdi")
            await self._receive(asked, stream, ref)
            if mishap is Mishap.SILENT:
                await self._core.mishaps.keep_silent()
            if mishap is Mishap.REFUSED:
                raise http.TroubleError("VDI_IO_ERROR: [ Device I/O errors ]")
        if mishap is Mishap.LOST:
            raise http.Closing(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
        return b""

    async def get(self, asked: http.Asked, stream: http.Stream) -> bytes:
        """Send a disk to the client."""
        await self._authorise(asked, "get_export_raw_vdi")
        ref = self._disk(asked, create=False)
        self._judge(asked, ref, writes=False)
        async with self._task(asked, "Exporting raw VDI") as task:
            kind = self._need_format(asked)
            name = f'content-disposition: attachment; filename="{self._vdi(ref)["uuid"]}.{kind}"'
            await stream.send(_head(task, _TYPES[kind], name))
            await self._send(stream, ref)
        return b""

    def _vdi(self, ref: str) -> Record:
        return self._core.database.get("VDI", ref)

    async def _authorise(self, asked: http.Asked, permission: str) -> None:
        """Let in who has a session, or a name and password, and the role for it."""
        account = self._account(asked)
        if account is None:
            raise http.Closing(http.page(401, f'www-authenticate: Basic realm="{permission}"'))
        try:
            accounts.check(account, f"http/{permission}", Role.VM_ADMIN)
        except Failure as failure:
            raise http.Closing(http.page(403)) from failure

    def _account(self, asked: http.Asked) -> accounts.Account | None:
        session = asked.query.get("session_id") or asked.cookies.get("session_id")
        try:
            if session is not None:
                return self._core.sessions.find(session).account
            kind, _, secret = asked.headers.get("authorization", "").partition(" ")
            name, _, password = base64.b64decode(secret).decode().partition(":")
            return self._sign_in(name, password) if kind.lower() == "basic" else None
        except (Failure, binascii.Error, UnicodeDecodeError):
            return None

    def _sign_in(self, name: str, password: str) -> accounts.Account:
        return accounts.sign_in(self._core.database, name, password, self._core.password)

    def _disk(self, asked: http.Asked, *, create: bool) -> str:
        """The disk that is asked for, by reference or uuid; with `create`, a new one on the storage that is named."""
        wanted = asked.query.get("vdi", "")
        disks = self._core.database.table("VDI")
        if wanted in disks.rows:
            return wanted
        if wanted in disks.by_uuid:
            return disks.by_uuid[wanted]
        if wanted or not create:
            raise http.TroubleError(f'Db_exn.Read_missing_uuid("VDI", "", "{wanted}")')
        storages = self._core.database.table("SR")
        sr = asked.query.get("sr_id") or storages.by_uuid.get(asked.query.get("sr_uuid", ""), "")
        if sr not in storages.rows:
            raise http.TroubleError('Failure("Not enough info supplied to import")')
        return storage.new_disk(self._core, sr, _length(asked), {"type": "user", "name_label": "Imported VDI"})

    def _judge(self, asked: http.Asked, ref: str, *, writes: bool) -> None:
        """Send the client to a host that sees the disk; refuse a disk that somebody else uses."""
        hosts = storage.hosts_of(self._core, str(self._vdi(ref)["SR"]))
        if not hosts:
            raise http.TroubleError("SR_HAS_NO_PBDS")
        if self._host not in hosts:
            raise http.Closing(http.page(302, f"location: {self._core.operator.origin(hosts[0])}{asked.target}"))
        devices = [self._core.database.get("VBD", vbd) for vbd in self._vdi(ref)["VBDs"]]
        used = [vbd for vbd in devices if vbd["currently_attached"] and (writes or vbd["mode"] == "RW")]
        if used or self._core.images.is_used(ref, alone=writes):
            raise http.TroubleError(f"VDI_IN_USE: [ {ref} ]")

    @asynccontextmanager
    async def _task(self, asked: http.Asked, label: str) -> AsyncIterator[str]:
        """The client's task or one of our own, which tells how the block ended."""
        database = self._core.database
        ref = asked.query.get("task_id", "")
        if ref not in database.table("task").rows:
            ref = database.create("task", {"name_label": label, "created": values.now(), "resident_on": self._host})
        # Unless something else is learned: the client has gone, and this very task ends.
        outcome: dict[str, object] = _failed("End_of_file")
        try:
            yield ref
            outcome = {"status": "success"}
        except http.TroubleError as trouble:
            outcome = _failed(str(trouble))
            raise
        finally:
            if ref in database.table("task").rows:
                database.update("task", ref, {**outcome, "progress": 1.0, "finished": values.now()})

    @staticmethod
    def _need_format(asked: http.Asked) -> str:
        kind = asked.query.get("format", "raw").lower()
        if kind not in _TYPES:
            raise http.Closing(http.page(404, version="1.0"))
        if kind != "raw":
            # The lab keeps no other images; a client learns it where a real host tells of a broken one.
            raise http.TroubleError(f'Failure("no {kind} in a lab")')
        return kind

    async def _receive(self, asked: http.Asked, stream: http.Stream, ref: str) -> None:
        vdi = self._vdi(ref)
        size = int(vdi["virtual_size"])
        pieces = _chunks(stream) if "chunked" in asked.query else _pieces(stream, _length(asked))
        async with self._core.images.open(ref, str(vdi["uuid"]), size, writes=True) as file:
            async for where, data in pieces:
                if where + len(data) > size:
                    raise http.TroubleError("VDI_IO_ERROR: [ Device I/O errors ]")
                await asyncio.to_thread(os.pwrite, file, data, where)

    async def _send(self, stream: http.Stream, ref: str) -> None:
        vdi = self._vdi(ref)
        size = int(vdi["virtual_size"])
        async with self._core.images.open(ref, str(vdi["uuid"]), size, writes=False) as file:
            for where in range(0, size, PIECE_BYTES):
                async with asyncio.timeout(PIECE_S):
                    await stream.send(await asyncio.to_thread(os.pread, file, PIECE_BYTES, where))


def _failed(exception: str) -> dict[str, object]:
    return {"status": "failure", "error_info": ("INTERNAL_ERROR", f"Caught exception: {exception}")}


def _length(asked: http.Asked) -> int:
    length = asked.headers.get("content-length", "")
    if not length.isdecimal():
        raise http.TroubleError("End_of_file")
    return int(length)


async def _pieces(stream: http.Stream, length: int) -> AsyncIterator[tuple[int, bytes]]:
    """(where, data) of a plain body."""
    where = 0
    while where < length:
        async with asyncio.timeout(PIECE_S):
            data = await stream.reader.read(min(length - where, PIECE_BYTES))
        if not data:
            raise http.TroubleError("End_of_file")
        yield where, data
        where += len(data)


async def _chunks(stream: http.Stream) -> AsyncIterator[tuple[int, bytes]]:
    """(where, data) of a body in the form that `chunked` asks for."""
    while True:
        async with asyncio.timeout(PIECE_S):
            where, length = _CHUNK.unpack(await stream.reader.readexactly(_CHUNK.size))
            if not length:
                return
            if length > PIECE_BYTES * 64:
                raise http.TroubleError('Failure("chunk too large")')
            yield where, await stream.reader.readexactly(length)


def _head(task: str, kind: str, *more: str) -> bytes:
    lines = (
        "HTTP/1.1 200 OK",
        "connection: close",
        "cache-control: no-cache, no-store",
        f"task-id: {task}",
        f"content-type: {kind}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()
