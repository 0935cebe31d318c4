"""The contents of the pool's disks: one sparse file for each disk that somebody wrote to, in the state folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

PIECE_BYTES = 1024 * 1024
"""So much is read or written at once."""


class Images:
    """The images of the disks, by the disk's uuid.  A disk without a file is all zeros."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.in_use: set[str] = set()
        """The disks (references) that are being read or written as a whole."""

    def path(self, uuid: str) -> Path:
        """Where the image of a disk is, or would be."""
        return self._folder / f"{uuid}.raw"

    @contextmanager
    def using(self, ref: str) -> Iterator[None]:
        """Keep others from the disk for the length of the block."""
        self.in_use.add(ref)
        try:
            yield
        finally:
            self.in_use.discard(ref)

    @asynccontextmanager
    async def open(self, ref: str, uuid: str, size: int) -> AsyncIterator[int]:
        """A file descriptor to read and write the disk's `size` bytes; others are kept from it meanwhile."""
        with self.using(ref):
            descriptor = await asyncio.to_thread(self._open, uuid, size)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    async def copy(self, source: str, target: str) -> None:
        """Give the disk `target` the contents of `source`."""
        if self.path(source).exists():
            await asyncio.to_thread(shutil.copyfile, self.path(source), self.path(target))

    async def remove(self, uuid: str) -> None:
        """Forget a disk's contents."""
        await asyncio.to_thread(self.path(uuid).unlink, missing_ok=True)

    def _open(self, uuid: str, size: int) -> int:
        descriptor = os.open(self.path(uuid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(descriptor, size)
        return descriptor
