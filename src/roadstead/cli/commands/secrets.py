"""How secrets come to the command line: typed where nobody sees them, or read from a file.

Never as a word of a command, which every account of the machine can read.
"""

import binascii
import errno
import getpass
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from roadstead.cli.display import output
from roadstead.errors import InputError
from roadstead.kit.text import terminal_clean

FILE_BYTES = 1 << 20
"""A password, a key or a certificate that is longer is none."""
TRIES = 3
"""How often a password or a passphrase may be typed for one VM, and how often nothing may be."""
PASSPHRASE = {"key-passphrase-needed", "key-passphrase-wrong"}
"""What the server says of a private key that it cannot open."""

_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\s+([^-]*)")
_PUBLIC_KEY = re.compile(r"(ssh|ecdsa|sk)-\S+ AAAA|-----? ?BEGIN (SSH2 )?PUBLIC KEY")
_LOCKED = re.compile(r"-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED", re.MULTILINE)
_OPENSSH_IN_CLEAR = b"openssh-key-v1\0\0\0\0\4none"
"""How a key in OpenSSH's format begins (PROTOCOL.key) that no passphrase protects: its cipher is ``none``."""


class PrivateKey(NamedTuple):
    """The text of a private key, and whether a passphrase opens it."""

    text: str
    is_encrypted: bool

    def __repr__(self) -> str:
        return f"PrivateKey(is_encrypted={self.is_encrypted})"


def password(source: str | None, question: str, *, or_key: bool = False) -> str:
    """Return the password that ``source`` holds (``-`` is standard input), or ask for it. Raises `InputError`, which
    names ``--key-file`` and ``--agent`` where a key would do as well (``or_key``).
    """
    if source == "-":
        return _first_line(sys.stdin.readline(FILE_BYTES), "standard input")
    if source is not None:
        return _first_line(text_of(Path(source)), source)
    if not output.is_asked():
        raise InputError(
            "password-needed", how=f"--password-file FILE{' or --key-file FILE or --agent' if or_key else ''}"
        )
    return asked(question)


def asked(question: str) -> str:
    """Return what is typed, unseen; who types nothing is asked again. Raises `InputError` when nothing comes."""
    for _ in range(TRIES):
        if typed := getpass.getpass(question):
            return typed
        print("It cannot be empty.", file=sys.stderr)
    raise InputError("field-invalid", field="the password", reason="nothing was typed")


def private_key(path: Path) -> PrivateKey:
    """Return the private key that a file holds, as far as its frame tells. Raises `InputError`."""
    text = text_of(path)
    found = _PRIVATE_KEY.search(text)
    if found is None:
        is_public = _PUBLIC_KEY.search(text) is not None
        reason = f"{path} holds a public key; name the private one" if is_public else f"{path} holds no private key"
        raise InputError("field-invalid", field="--key-file", reason=reason)
    if found[1] == "OPENSSH ":
        return PrivateKey(text, not bytes_of(found[2]).startswith(_OPENSSH_IN_CLEAR))
    return PrivateKey(text, _LOCKED.search(text) is not None)


def usable_key(path: Path | None) -> PrivateKey | None:
    """Return the private key in the file ``path``, if one is named, before anything is asked for because of it.

    Raises `InputError`, also where a passphrase is needed and nobody can type it.
    """
    if path is None:
        return None
    key = private_key(path)
    if key.is_encrypted and not output.is_asked():
        raise InputError("key-passphrase-needed")
    return key


def passphrase(path: Path | None) -> str:
    """Return the passphrase of the private key in the file ``path``, typed unseen."""
    return asked(f"Passphrase of {terminal_clean(str(path))}: ")


def bytes_of(base64: str) -> bytes:
    """Return what ``base64`` says; nothing when it is none."""
    try:
        return binascii.a2b_base64(base64)
    except binascii.Error:
        return b""


def check(path: Path) -> None:
    """See that a file can be read, without reading it: a pipe is read once. Raises `InputError` ``file-unreadable``."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.stat()
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError("file-unreadable", path=path, reason=error.strerror or "it cannot be opened") from error


def text_of(path: Path) -> str:
    """Return the text of a file. Raises `InputError` ``file-unreadable``."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES).decode()
    except OSError as error:
        raise InputError("file-unreadable", path=path, reason=error.strerror or "it cannot be opened") from error
    except UnicodeDecodeError as error:
        raise InputError("file-unreadable", path=path, reason="it is not text") from error


def pem_of(option: str, path: Path) -> str:
    """Return the text of a certificate or a key that ``option`` names. Raises `InputError`."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("field-invalid", field=option, reason=f"{path} is no text: PEM is needed, not DER") from None
    except OSError as error:
        reason = f"{path}: {(error.strerror or 'it cannot be read').lower()}"
        raise InputError("field-invalid", field=option, reason=reason) from error


def _first_line(text: str, source: str) -> str:
    # Whoever writes a password into a file leaves a newline after it, which is no part of it.
    password = text.split("\n", 1)[0].removesuffix("\r")
    if not password:
        raise InputError("file-unreadable", path=source, reason="there is no password in it")
    return password
