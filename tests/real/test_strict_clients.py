"""A client whose defaults are stricter than ours verifies the certificates that we make: Python's from 3.13 on holds to
RFC 5280 to the letter (``VERIFY_X509_STRICT``).
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

from roadstead.artifacts import certificates
from tests.contract.links_contract import WAIT_SECONDS
from tests.real.guests import RealSet

pytestmark = pytest.mark.real

ADDRESS = "127.0.0.1"
STRICT = (3, 13)
CLIENT = """
import socket, ssl, sys, tempfile
port, *pems = sys.stdin.read().split("|")
context = ssl.create_default_context(cadata=pems[0])
assert context.verify_flags & ssl.VERIFY_X509_STRICT
with tempfile.NamedTemporaryFile("w") as file:
    file.write(pems[1] + pems[2])
    file.flush()
    context.load_cert_chain(file.name)
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))), server_hostname="127.0.0.1") as connection:
    print(connection.recv(99).decode())
"""


async def python_of(real_set: RealSet) -> list[str]:
    """What runs Python with the files of this row's guests; skips where it is not strict."""
    words = [*(["chroot", str(real_set.row.root)] if real_set.row.root else []), "/usr/bin/python3"]
    try:
        asked = await asyncio.create_subprocess_exec(
            *words, "-c", "import sys; print(*sys.version_info[:2])", stdout=PIPE, stderr=DEVNULL
        )
        told, _ = await asked.communicate()
    except FileNotFoundError:
        told = b""
    if tuple(map(int, told.split())) < STRICT:
        pytest.skip("Python 3.13 or newer is not in this guest")
    return words


@pytest.mark.parametrize("kind", ["rsa", "ec"])
async def test_a_strict_client_and_its_server_verify_each_other(
    real_set: RealSet, tmp_path: Path, kind: certificates.KeyKind
) -> None:
    """Each with what we made for it, with all that its Python checks by default."""
    words, made = await python_of(real_set), certificates.make("win-1", [ADDRESS], 30, kind)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=made.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    (tmp_path / "server.pem").write_text(made.server.certificate + made.server.key)
    context.load_cert_chain(tmp_path / "server.pem")

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"verified")
        writer.close()

    async with asyncio.timeout(WAIT_SECONDS), await asyncio.start_server(greet, ADDRESS, 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        client = await asyncio.create_subprocess_exec(*words, "-c", CLIENT, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        said, complaint = await client.communicate(
            "|".join([str(port), made.authority, made.client.certificate, made.client.key]).encode()
        )
    assert said == b"verified\n", complaint.decode()
