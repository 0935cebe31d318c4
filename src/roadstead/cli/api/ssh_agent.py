"""The operator's SSH agent, asked for two things alone: which keys it holds, and to sign a sign-in with one of them.

The few messages are those of draft-miller-ssh-agent: a length of four bytes, a number of one byte, then strings and
numbers as SSH writes them (RFC 4251 §5). Nothing else is ever sent to it.
"""

import os
import socket
import struct
from dataclasses import dataclass, field

from roadstead.errors import InputError

VARIABLE = "SSH_AUTH_SOCK"
LIST_SECONDS = 5.0
SIGN_SECONDS = 30.0
"""A person may have to allow it, or to touch a token."""
ANSWER_BYTES = 2**18
"""The largest answer that is read: OpenSSH's own limit for a message of an agent."""
KEYS = 256
"""How many keys are read, the first ones."""
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_FLAGS = 2 | 4
"""RSA signatures with SHA-256 and with SHA-512; no other flag is passed on."""
_USERAUTH_REQUEST = 50


class NotSigned(Exception):
    """The agent gave no signature; the text says why."""


@dataclass(frozen=True)
class Agent:
    """An agent at a socket, and the public ``keys`` that it held when it was looked at."""

    path: str
    keys: tuple[bytes, ...] = field(repr=False)

    def __str__(self) -> str:
        return "1 key" if len(self.keys) == 1 else f"{len(self.keys)} keys"

    def sign(self, key: bytes, data: bytes, flags: int) -> bytes:
        """Return the agent's signature of ``data``, which is a sign-in with ``key``. Raises `NotSigned`."""
        if key not in self.keys or not is_sign_in(data, key):
            raise NotSigned("what was to be signed is no sign-in with one of its keys")
        question = bytes([_SIGN_REQUEST]) + _string(key) + _string(data) + struct.pack(">I", flags & _FLAGS)
        try:
            answer = _asked(self.path, question, SIGN_SECONDS)
            if answer[:1] != bytes([_SIGN_RESPONSE]):
                raise NotSigned("it refuses to")
            return _read_string(answer[1:])[0]
        except OSError as error:
            raise NotSigned(f"it cannot be asked ({_reason(error)})") from error
        except struct.error as error:
            raise NotSigned("its answer cannot be read") from error


def found() -> Agent:
    """Return the agent that the environment names.

    Raises `InputError` ``agent-missing``, ``agent-unreachable`` and ``agent-empty``.
    """
    path = os.environ.get(VARIABLE, "")
    if not path:
        raise InputError("agent-missing")
    try:
        keys = _listed(_asked(path, bytes([_REQUEST_IDENTITIES]), LIST_SECONDS))
    except OSError as error:
        raise InputError("agent-unreachable", path=path, reason=_reason(error)) from error
    except struct.error as error:
        raise InputError("agent-unreachable", path=path, reason="its answer cannot be read") from error
    if not keys:
        raise InputError("agent-empty", reason="it holds none, or is locked")
    return Agent(path, keys)


def offered() -> Agent | None:
    """Return the agent that the environment names, if there is one with keys."""
    try:
        return found()
    except InputError:
        return None


def is_sign_in(data: bytes, key: bytes) -> bool:
    """Whether ``data`` is what a sign-in with ``key`` has signed (RFC 4252 §7), so that nothing else ever is."""
    try:
        _session, rest = _read_string(data)
        number, rest = rest[:1], rest[1:]
        _user, rest = _read_string(rest)
        service, rest = _read_string(rest)
        method, rest = _read_string(rest)
        is_signed, rest = rest[:1], rest[1:]
        _algorithm, rest = _read_string(rest)
        named, rest = _read_string(rest)
    except struct.error:
        return False
    wanted = (bytes([_USERAUTH_REQUEST]), b"ssh-connection", b"publickey", b"\1", key, b"")
    return (number, service, method, is_signed, named, rest) == wanted


def _listed(answer: bytes) -> tuple[bytes, ...]:
    """Return the keys that an answer lists. Raises `struct.error`."""
    if answer[:1] != bytes([_IDENTITIES_ANSWER]):
        return ()
    (count,), rest = struct.unpack(">I", answer[1:5]), answer[5:]
    keys = []
    for _ in range(min(count, KEYS)):
        key, rest = _read_string(rest)
        _comment, rest = _read_string(rest)
        keys.append(key)
    return tuple(keys)


def _asked(path: str, question: bytes, seconds: float) -> bytes:
    """Return the agent's answer. Raises `OSError`, and `struct.error` for one that is too long or cut."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        connection.sendall(_string(question))
        with connection.makefile("rb") as answers:
            (size,) = struct.unpack(">I", answers.read(4))
            if size > ANSWER_BYTES:
                raise struct.error("it is too long")
            answer = answers.read(size)
    if len(answer) != size:
        raise struct.error("it is cut")
    return answer


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _read_string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack(">I", data[:4])
    if len(data) < 4 + size:
        raise struct.error("it is cut")
    return data[4 : 4 + size], data[4 + size :]


def _reason(error: OSError) -> str:
    return (error.strerror or "it does not answer in time").lower()
