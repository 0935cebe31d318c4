"""The text of an operator's private key file, read in a process of its own that is ended when it takes too long.

Whoever may sign in hands over such a file, and the file itself says how much work it is: how many rounds of bcrypt or
PBKDF2 its passphrase takes (the header of ``openssh-key-v1``, PKCS#8), and, behind the passphrase, how long the numbers
are that are checked for being a key. No thread can be ended in such work, and some of it stops all other threads.
"""

import asyncio
import json
import math
import os
import resource
import sys
import time
from typing import Any

import asyncssh
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from roadstead.errors import InputError
from roadstead.peers.links import keys

SECONDS = 10
"""How much of a processor's time one file may take, what it takes to begin with it left out. 500 rounds of bcrypt take
4 s; `ssh-keygen` makes 16 to 24.
"""
NICE = 10
"""How much less of a busy processor than others it gets."""
WAIT_SECONDS = 30.0
"""How long it may take in all, behind others and on a busy machine."""
PARALLEL = 6
"""How many files are read at once; one pool has four calls."""
MEMORY_BYTES = 2**30
LONGEST_RSA = 8192
"""Bits. To sign with a longer key takes the whole server's time: with 16384 bits a second."""
_TYPES = ("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_ANSWER_BYTES = 2**16
_turns = asyncio.Semaphore(PARALLEL)


async def read_key(pem: str, passphrase: str | None) -> asyncssh.SSHKey:
    """Return the private key that a file holds.

    Raises `InputError` ``key-passphrase-wrong``, ``key-passphrase-needed``, ``key-file-costly`` or ``field-invalid``.
    """
    given = json.dumps({"seconds": SECONDS, "nice": NICE, "pem": pem, "passphrase": passphrase}).encode()
    try:
        async with asyncio.timeout(WAIT_SECONDS), _turns:
            said = await _read_apart(given)
    except TimeoutError:
        said = b""
    if not said:
        raise InputError("key-file-costly")
    answer: dict[str, str] = json.loads(said)
    if answer["fault"]:
        # What the library says of it might quote it.
        raise InputError("field-invalid", field="private_key", reason=answer["fault"])
    if answer["code"]:
        raise InputError(answer["code"])
    return await asyncio.to_thread(keys.load_checked, answer["key"])


async def _read_apart(given: bytes) -> bytes:
    """What the process says; nothing when it was ended for taking too much."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        f"from {__name__} import main; main()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        said, _ = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        return b""
    return said


def main() -> None:
    """In the process: read what `read_key` gives, and say what it is."""
    given: dict[str, Any] = json.load(sys.stdin)
    # The system counts from the start of the process, and on a busy machine that alone takes a second.
    seconds = math.ceil(time.process_time()) + given["seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(given["nice"])
    json.dump({"key": "", "code": "", "fault": "", **opened(given["pem"], given["passphrase"])}, sys.stdout)


def opened(pem: str, passphrase: str | None) -> dict[str, str]:
    """In the process: return the ``key`` without its passphrase, or the ``code`` of an error, or the ``fault`` that the
    file has.
    """
    closed = "key-passphrase-needed" if passphrase is None else "key-passphrase-wrong"
    try:
        key = asyncssh.import_private_key(pem, passphrase)
    except asyncssh.KeyEncryptionError:
        return {"code": closed}
    except BaseException as error:  # noqa: BLE001 - whatever a stranger's file has the libraries say
        return {"code": closed} if "passphrase" in str(error).lower() else {"fault": "it is no private key"}
    if key.get_algorithm() not in _TYPES:
        return {"fault": "it is a key of a type that is not taken; RSA, ECDSA and Ed25519 are"}
    inner = key.pyca_key
    if isinstance(inner, RSAPrivateKey) and inner.key_size > LONGEST_RSA:
        return {"fault": f"RSA keys are taken up to {LONGEST_RSA} bits"}
    return {"key": key.export_private_key("openssh").decode()}
