"""What this machine is on its networks."""

import socket

DISCARD = 9
"""A port that is named only because one must be."""


def is_own(address: str) -> bool:
    """Whether ``address`` (a literal) is one of this machine's own: whatever can be bound to is.

    Where not even a socket is to be had (IPv6 is switched off, too many files are open) the answer is no.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def source_towards(address: str) -> str:
    """Return the address with which this machine would call ``address`` (a literal). Raises `OSError` where no way
    leads there.

    Nothing is sent: a datagram socket that is connected only asks the kernel for its route.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect((address, DISCARD))
        return str(probe.getsockname()[0])
