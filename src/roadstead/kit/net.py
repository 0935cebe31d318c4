"""What this machine is on its networks."""

import socket


def is_own(address: str) -> bool:
    """Whether ``address`` (a literal) is one of this machine's own: whatever can be bound to is."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True
