"""The contents of the pool's disks: one sparse file for each disk that somebody wrote to, in the state folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

PIECE_BYTES = 1024 * 1024
"""So much is read or written at once."""


class Images:
    """The images of the disks, by the disk's uuid.  A disk without a file is all zeros."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._readers: Counter[str] = Counter()
        self._writers: Counter[str] = Counter()

    def path(self, uuid: str) -> Path:
        """Where the image of a disk is, or would be."""
        return self._folder / f"{uuid}.raw"

    def is_used(self, ref: str, *, alone: bool = True) -> bool:
        """Whether the disk (reference) is being written as a whole or, for who wants it `alone`, read."""
        return bool(self._writers[ref] or (alone and self._readers[ref]))

    @contextmanager
    def using(self, ref: str, *, writes: bool) -> Iterator[None]:
        """Keep others from the disk for the length of the block."""
        users = self._writers if writes else self._readers
        users[ref] += 1
        try:
            yield
        finally:
            users[ref] -= 1

    @asynccontextmanager
    async def open(self, ref: str, uuid: str, size: int, *, writes: bool) -> AsyncIterator[int]:
        """A file descriptor to read, or read and write, the disk's `size` bytes; others are kept from it meanwhile."""
        with self.using(ref, writes=writes):
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
