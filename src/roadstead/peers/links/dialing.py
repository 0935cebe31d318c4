"""One TCP connection to one address of a guest, which every kind of link begins with."""

import asyncio
import socket
from dataclasses import dataclass

from roadstead.kit import net
from roadstead.kit.gates import Gate
from roadstead.peers.links import faults

WAITING_BYTES = 2**18
"""How much of what a guest says may wait in the kernel for us: left to itself that gives each connection up to
megabytes, and what waits behind them, as the connection's end, would be heard of late.
"""


@dataclass(frozen=True, slots=True)
class Gates:
    """Limits on how many guests are called at once, shared by all of them, however they are reached."""

    connects: Gate
    logins: Gate


def route(address: str) -> str:
    """Return the address of ours from which ``address`` is called; nothing is sent. Raises `LinkError` ``unreachable``
    when there is no way to it.
    """
    try:
        return net.source_towards(address)
    except OSError as error:
        raise faults.unreachable(error, address) from error


async def dial(address: str, port: int, server: faults.Server, seconds: float) -> socket.socket:
    """Return a connected socket that sends at once (TCP_NODELAY); its owner closes it.

    Raises `LinkError` ``refused``, ``timed-out`` or ``unreachable``.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise faults.dial_fault(error, address, port, server) from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WAITING_BYTES)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except OSError as error:
        sock.close()
        raise faults.dial_fault(error, address, port, server) from error
    except BaseException:
        sock.close()
        raise
    return sock
