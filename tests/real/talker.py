"""A machine in a test network: it listens on some ports, and calls others when told; run inside a network namespace.

Reads lines of JSON, each a list of calls ``[protocol, address, port]``, and answers each with what became of them. The
protocol ``tcp:22`` is TCP from the machine's own port 22.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

SECONDS = 2.0
"""Whoever does not answer within this was dropped: between namespaces an answer takes microseconds."""
CALLS = 256


def _accept(listener: socket.socket) -> None:
    while True:
        listener.accept()[0].close()


def _echo(listener: socket.socket) -> None:
    while True:
        listener.sendto(*listener.recvfrom(64))


def listen(protocol: str, address: str, port: int) -> None:
    """Answer there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((address, port))
    if protocol == "tcp":
        made.listen(CALLS)
    threading.Thread(target=_accept if protocol == "tcp" else _echo, args=(made,), daemon=True).start()


def call(protocol: str, address: str, port: int) -> str:
    """Call once; what became of it."""
    protocol, _, own = protocol.partition(":")
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as made:
        made.settimeout(SECONDS)
        try:
            if own:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                made.bind(("", int(own)))
            made.connect((address, port))
            if protocol == "udp":
                made.send(b"?")
                made.recv(64)
        except (TimeoutError, PermissionError):  # the second: our own machine did not let it out
            return "dropped"
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return f"failed: {error}"
        return "open"


def main() -> None:
    """Listen where the first argument says, say so, and call."""
    for one in json.loads(sys.argv[1]):
        listen(*one)
    print("ready", flush=True)
    with ThreadPoolExecutor(CALLS) as pool:
        for line in sys.stdin:
            answers = list(pool.map(lambda one: call(*one), json.loads(line)))
            print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()
