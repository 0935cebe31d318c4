"""ISO images that guests of every kind can read: Rock Ridge for Linux, Joliet for Windows, always both.

Without Rock Ridge the Linux kernel shows Joliet's names; without either it shows the plain ones, which are only
numbers here.
"""

from collections.abc import Collection, Mapping
from io import BytesIO
from itertools import count

from pycdlib import PyCdlib

LABEL_CHARACTERS = 16
"""What Joliet leaves room for."""
FILE_MODE = 0o100444
PROGRAM_MODE = 0o100555
DIRECTORY_MODE = 0o040555


def build(label: str, files: Mapping[str, bytes], programs: Collection[str] = ()) -> bytes:
    """Return an image with this label (at most `LABEL_CHARACTERS`) that holds ``files``, by their relative paths; those
    that are ``programs`` may be run.
    """
    iso = PyCdlib()
    iso.new(interchange_level=1, vol_ident=label, rock_ridge="1.09", joliet=3)
    numbers = count(1)
    plain = {"": ""}
    for path, content in files.items():
        folder = ""
        *folders, name = path.split("/")
        for part in folders:
            inner = f"{folder}/{part}"
            if inner not in plain:
                plain[inner] = f"{plain[folder]}/D{next(numbers):07}"
                iso.add_directory(plain[inner], rr_name=part, joliet_path=inner, file_mode=DIRECTORY_MODE)
            folder = inner
        iso.add_fp(
            BytesIO(content),
            len(content),
            f"{plain[folder]}/F{next(numbers):07}.;1",
            rr_name=name,
            joliet_path=f"{folder}/{name}",
            file_mode=PROGRAM_MODE if path in programs else FILE_MODE,
        )
    image = BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()
