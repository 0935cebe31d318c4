"""An operator's private key file is read whatever it is, and never costs more than it may."""

import asyncio
import base64
import json
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any

import asyncssh
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from roadstead.errors import InputError
from roadstead.peers.links import key_files

pytestmark = pytest.mark.filterwarnings("ignore:.*few is not secure")
KEY = asyncssh.generate_private_key("ssh-ed25519")
SECRET = "opensesame"
FEW_ROUNDS = 4
"""Of which bcrypt warns, for good reason."""
HEAD_START = 2
"""Seconds of a processor that a process had before it began with a file."""


def with_rounds(rounds: int) -> str:
    """A file whose passphrase takes so many rounds of bcrypt, as its header says (PROTOCOL.key of OpenSSH)."""
    pem = KEY.export_private_key("openssh", passphrase=SECRET, rounds=FEW_ROUNDS).decode()
    raw = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
    start = raw.index(b"bcrypt") + len(b"bcrypt")
    at = start + 4 + struct.unpack(">I", raw[start : start + 4])[0] - 4
    changed = base64.encodebytes(raw[:at] + struct.pack(">I", rounds) + raw[at + 4 :]).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{changed}-----END OPENSSH PRIVATE KEY-----\n"


def with_iterations() -> str:
    """One in PKCS#8, whose passphrase takes 2^31 - 1 iterations of PBKDF2."""
    pem = KEY.export_private_key("pkcs8-pem", passphrase=SECRET).decode()
    raw = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
    count = asyncssh.asn1.der_encode(2048)
    assert raw.count(count) == 1
    der: Any = asyncssh.asn1.der_decode(raw)
    (scheme, ((kdf, (salt, _, *prf)), cipher)), data = der
    changed = ((scheme, ((kdf, (salt, 2**31 - 1, *prf)), cipher)), data)
    body = base64.encodebytes(asyncssh.asn1.der_encode(changed)).decode()
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.fixture(autouse=True)
def _as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside whatever else a machine does its processes would wait for it, as they are to; a test cannot."""
    monkeypatch.setattr(key_files, "NICE", 0)


@pytest.mark.parametrize("make", [lambda: with_rounds(2**31 - 1), with_iterations], ids=["bcrypt", "pbkdf2"])
async def test_a_file_that_would_take_for_ever_is_given_up(
    make: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a bounded time of a processor."""
    monkeypatch.setattr(key_files, "SECONDS", 1)
    with pytest.raises(InputError) as caught:
        await key_files.read_key(make(), "guess")
    assert caught.value.code == "key-file-costly"


LIMITED = """
import os, sys, time
{before}
from roadstead.peers.links import key_files
def opened(*_):
    {work}
    return {{}}
key_files.opened = opened
key_files.main()
"""


def limited(work: str, before: str = "") -> tuple[str, ...]:
    """A process that does this with its file, and that before."""
    return (sys.executable, "-I", "-c", LIMITED.format(work=work, before=before))


async def ran(words: tuple[str, ...], seconds: int = 1, nice: int = 0) -> tuple[int | None, bytes]:
    """How a process ended, and its complaint."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=pipe)
    given = json.dumps({"seconds": seconds, "nice": nice, "pem": "", "passphrase": None})
    try:
        _, complaint = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, complaint


@pytest.mark.parametrize(
    ("work", "wanted"),
    [
        pytest.param("pass", 0, id="nothing"),
        pytest.param("len(bytearray(key_files.MEMORY_BYTES // 2))", 0, id="some memory"),
        pytest.param("bytearray(key_files.MEMORY_BYTES + 1)", 1, id="much memory"),
        pytest.param("while True: pass", -signal.SIGKILL, id="a processor's whole time"),
    ],
)
async def test_the_process_is_ended_by_the_system_itself(work: str, wanted: int) -> None:
    """Whatever the library does meanwhile, and though nobody waits for it."""
    code, complaint = await ran(limited(work))
    assert code == wanted, complaint
    assert (b"MemoryError" in complaint) is (wanted == 1)


async def test_the_time_of_a_file_begins_with_it() -> None:
    """What a process takes to start is none of it: on a busy machine that alone is more than a second."""
    busy = "while time.process_time() < {}: pass".format
    code, complaint = await ran(limited(busy(HEAD_START + 0.3), busy(HEAD_START)))
    assert code == 0, complaint


async def test_others_go_first() -> None:
    """A file that is dear keeps nobody waiting who works on something else."""
    code, complaint = await ran(limited("assert os.nice(0) == 7"), nice=7)
    assert code == 0, complaint


async def test_who_gives_up_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops does not wait for the file."""
    started: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()
    start = asyncio.create_subprocess_exec

    async def watched(*words: str, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*words, **options)
        started.put_nowait(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(key_files.read_key(with_rounds(2**31 - 1), "guess"))
        process = await started.get()
        reading.cancel()
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("format_name", ["openssh", "pkcs8-pem", "pkcs1-pem"])
async def test_the_usual_files_are_read(format_name: str) -> None:
    """In each format that people have, open or not."""
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    for passphrase in (None, SECRET):
        pem = key.export_private_key(format_name, passphrase=passphrase, rounds=FEW_ROUNDS).decode()
        assert (await key_files.read_key(pem, passphrase)).public_data == key.public_data


@pytest.mark.parametrize(
    ("passphrase", "code"), [(None, "key-passphrase-needed"), ("wrong", "key-passphrase-wrong"), (SECRET, "")]
)
async def test_a_passphrase_is_asked_for(passphrase: str | None, code: str) -> None:
    """Wrong and missing ones have their words."""
    pem = with_rounds(FEW_ROUNDS)
    if not code:
        assert (await key_files.read_key(pem, passphrase)).public_data == KEY.public_data
        return
    with pytest.raises(InputError) as caught:
        await key_files.read_key(pem, passphrase)
    assert caught.value.code == code


async def test_other_keys_are_refused_by_name() -> None:
    """What cannot sign in here, and what would take the server's whole time to sign with."""
    old = asyncssh.generate_private_key("ssh-dss").export_private_key("pkcs1-pem").decode()
    for pem, reason in ((old, "type"), ("opensesame", "no private key"), (_nested(), "no private key")):
        with pytest.raises(InputError) as caught:
            await key_files.read_key(pem, None)
        assert caught.value.code == "field-invalid"
        assert reason in str(caught.value)
        assert "opensesame" not in str(caught.value)


async def test_long_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their length is judged in the process; a short one stands for them here."""
    monkeypatch.setattr(key_files, "LONGEST_RSA", 1024)
    assert "RSA" in key_files.opened(_pem(rsa.generate_private_key(65537, 2048)), None)["fault"]


def _pem(key: rsa.RSAPrivateKey) -> str:
    kind = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def _nested() -> str:
    """PEM of thousands of sequences, one within the other."""
    body = b""
    for _ in range(5000):
        length = len(body)
        head = bytes([length]) if length < 128 else bytes([0x82, length >> 8, length & 255])
        body = b"\x30" + head + body
    return f"-----BEGIN PRIVATE KEY-----\n{base64.encodebytes(body).decode()}-----END PRIVATE KEY-----\n"
