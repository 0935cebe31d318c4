"""Takes one file out of an ISO image that a stranger may have made.

It looks along one path and nowhere else, so what an image holds besides costs nothing: no loop, no depth and no number
of entries matters, and no announced size is believed. A reader that takes in a whole image first is not for this: an
image of 16 MiB full of directory entries kept pycdlib busy for 15 s, in 370 MB.

Structures: ECMA-119 (ISO 9660), Joliet (its names are UTF-16), and of Rock Ridge (IEEE P1282) the entry ``NM``.
"""

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

SECTOR = 2048
FIRST_DESCRIPTOR = 16
DESCRIPTORS = 32
"""So many volume descriptors are looked at; images have three or four."""
DIRECTORY_BYTES = 256 * 2**10
"""The largest directory that is looked through."""

Image = bytes | mmap
"""In memory, or a file of which only what is looked at is read."""
_MAGIC = b"CD001"
_PRIMARY, _SUPPLEMENTARY, _END = 1, 2, 255
_JOLIET = (b"%/@", b"%/C", b"%/E")
_RECORD = 33
"""Bytes of a directory record before its name."""
_ENTRY = 4
"""Bytes of an entry of the system use area before its data."""
_IS_DIRECTORY, _IS_IN_PARTS = 0x02, 0x80


class _Extent(NamedTuple):
    """Where something lies, as the image says."""

    sector: int
    size: int
    flags: int


class _Tree(NamedTuple):
    root: _Extent
    joliet: bool


def read(image: Image, path: str, limit: int) -> bytes:
    """Return the file at ``path``, see `find`. Raises `ValueError` also where there is none."""
    found = find(image, path, limit)
    if found is None:
        raise ValueError("it holds no such file")
    return found


def find(image: Image, path: str, limit: int) -> bytes | None:
    """Return the file at ``path`` (relative, with slashes) by its Joliet or Rock Ridge name; None where there is none,
    or no image at all.

    Raises `ValueError`: one of more than ``limit`` bytes, or one that lies elsewhere.
    """
    for tree in _trees(image):
        found = _find(image, tree, path.split("/"))
        if found is not None and not found.flags & (_IS_DIRECTORY | _IS_IN_PARTS):
            return _bytes(image, found, limit)
    return None


def _trees(image: Image) -> list[_Tree]:
    """The trees of directories that an image has, those with Joliet's names first."""
    found = []
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + DESCRIPTORS):
        descriptor = image[number * SECTOR : (number + 1) * SECTOR]
        if len(descriptor) < SECTOR or descriptor[1:6] != _MAGIC or descriptor[0] == _END:
            break
        joliet = descriptor[0] == _SUPPLEMENTARY and descriptor[88:91] in _JOLIET
        if (joliet or descriptor[0] == _PRIMARY) and descriptor[128:130] == struct.pack("<H", SECTOR):
            found.append(_Tree(_extent(descriptor[156:190]), joliet))
    return sorted(found, key=lambda tree: not tree.joliet)


def _find(image: Image, tree: _Tree, parts: list[str]) -> _Extent | None:
    found = tree.root
    for part in parts:
        if not found.flags & _IS_DIRECTORY:
            return None
        records = _records(_bytes(image, found, DIRECTORY_BYTES))
        named = (_extent(record) for record in records if _name(record, joliet=tree.joliet) == part)
        below = next(named, None)
        if below is None:
            return None
        found = below
    return found


def _records(directory: bytes) -> Iterator[bytes]:
    """The records of a directory: none crosses the border of a sector, and a zero ends what one holds."""
    for start in range(0, len(directory), SECTOR):
        sector, at = directory[start : start + SECTOR], 0
        while at < len(sector) and sector[at]:
            record = sector[at : at + sector[at]]
            if len(record) <= _RECORD or len(record) < _RECORD + record[32]:
                raise ValueError("a directory record is cut off")
            yield record
            at += len(record)


def _extent(record: bytes) -> _Extent:
    (sector,), (size,) = struct.unpack_from("<I", record, 2), struct.unpack_from("<I", record, 10)
    return _Extent(sector, size, record[25])


def _name(record: bytes, *, joliet: bool) -> str:
    length = record[32]
    if joliet:
        name = record[_RECORD : _RECORD + length]
        return name.decode("utf-16-be", "replace").removesuffix(";1")
    return _rock_ridge_name(record[_RECORD + length + (length + 1) % 2 :])


def _rock_ridge_name(area: bytes) -> str:
    """The name in a record's system use area; empty when there is none."""
    name, at = b"", 0
    while at + _ENTRY <= len(area) and area[at + 2] >= _ENTRY:
        entry = area[at : at + area[at + 2]]
        if entry[:2] == b"NM":
            name += entry[5:]
        at += area[at + 2]
    return name.decode("utf-8", "replace")


def _bytes(image: Image, extent: _Extent, limit: int) -> bytes:
    start = extent.sector * SECTOR
    if extent.size > limit:
        raise ValueError("it is too large")
    if start + extent.size > len(image):
        raise ValueError("it lies beyond the end")
    return image[start : start + extent.size]
