"""Whether an engine also listens without TLS, as Docker does with ``-H tcp://…:2375``: never used, only looked for.

It is asked for nothing but its ``/_ping``, which changes nothing, and by whose headers an engine is told from any other
web server.
"""

import asyncio
import socket
from contextlib import suppress

from roadstead.errors import LinkError
from roadstead.peers.links import faults
from roadstead.peers.links.dialing import dial

PORT = 2375
"""The port that Docker's documentation names for it."""
ANSWER_BYTES = 2**13
"""More than the head of any engine's ``/_ping``."""
_PING = b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"
_SIGNS = (b"\r\napi-version:", b"\r\nlibpod-api-version:", b"\r\nserver: docker/", b"\r\nserver: libpod/")
"""What engines of every age say of themselves (recorded in ``tests/data/engine``)."""


async def look(address: str, port: int, seconds: float) -> LinkError | None:
    """Return the error ``plain-http-engine`` when an engine answers there, None when none does within ``seconds``."""
    answer = bytearray()
    with suppress(LinkError, OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            with await dial(address, port, faults.ENGINE, seconds) as sock:
                await _ask(sock, answer)
    is_engine = answer.startswith(b"HTTP/1.") and any(sign in answer.lower() for sign in _SIGNS)
    return LinkError("plain-http-engine", addresses=address, port=port) if is_engine else None


async def _ask(sock: socket.socket, answer: bytearray) -> None:
    """Fill ``answer`` until its bound or its end; what came before an error or a limit counts, too."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, _PING)
    while len(answer) < ANSWER_BYTES and (data := await loop.sock_recv(sock, ANSWER_BYTES)):
        answer += data
