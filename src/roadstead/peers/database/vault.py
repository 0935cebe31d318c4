"""What is secret in the database is sealed with a key that lies beside it, so that a copied database betrays nothing.

AES-256-GCM; the associated data names table, row and column, so that a sealed value cannot be moved to another row.
"""

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from roadstead.errors import StartError

KEY_BYTES = 32
NONCE_BYTES = 12
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Vault:
    """Seals and opens values with the key in ``path``."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return f"<Vault of {self._path}>"

    def seal(self, value: str, *place: str) -> bytes:
        """Return ``value`` encrypted for ``place`` (table, row id, column)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value.encode(), _associated(place))

    def open(self, sealed: bytes, *place: str) -> str:
        """Return what was sealed for ``place``. Raises `StartError` ``key-file-unusable``: it was another key."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _associated(place)).decode()
        except (InvalidTag, ValueError) as error:
            raise unusable(self._path, "the database was written with another key") from error


def _associated(place: tuple[str, ...]) -> bytes:
    return "/".join(place).encode()


def open_vault(path: Path, *, make: bool) -> Vault:
    """Return the vault of the key file ``path``; blocks (a file is read). With ``make`` a missing one is made.

    Raises `StartError` ``key-file-unusable`` when it is missing, cannot be read, is readable by others, or is no key.
    """
    try:
        if make and not path.exists():
            _make(path)
        return Vault(path, _read(path))
    except FileNotFoundError as error:
        raise unusable(path, "it is missing, but the database was written with it") from error
    except OSError as error:
        raise unusable(path, os.strerror(error.errno or 0).lower()) from error


def unusable(path: Path, reason: str) -> StartError:
    """Return the error for a key file that does not serve."""
    return StartError("key-file-unusable", path=path, reason=reason)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        key = file.read(KEY_BYTES + 1)
    if not stat.S_ISREG(facts.st_mode):
        raise unusable(path, "it is no plain file")
    if facts.st_uid != os.geteuid():
        raise unusable(path, "it belongs to another user")
    if facts.st_mode & _OTHERS:
        raise unusable(path, f"its mode is {stat.S_IMODE(facts.st_mode):04o} where 0600 is needed")
    if len(key) != KEY_BYTES:
        raise unusable(path, f"it does not have {KEY_BYTES} bytes")
    return key


def _make(path: Path) -> None:
    """Write a new key whole or not at all; of two who do so at the same time one wins and both use its key."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
