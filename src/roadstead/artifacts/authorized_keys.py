"""The line that lets the pool key into a guest: it opens the engine's socket, and nothing else that matters.

``restrict`` switches everything off, ``permitopen`` then lets OpenSSH forward to exactly this socket (strings are
compared), ``permitlisten`` keeps the guest from being listened on, and the command answers where forwarding is
forbidden. Measured on OpenSSH 9.2, 10.0 and 10.6: no shell, no other socket, no TCP.
"""

COMMENT = "xscontainer"
_RELAY = "/usr/bin/docker system dial-stdio"


def line(public_key: str, socket: str) -> str:
    """Return the line for ``authorized_keys`` that admits ``public_key`` (``ssh-rsa AAAA…``) to ``socket``."""
    kind, blob = public_key.split()[:2]
    options = f'restrict,port-forwarding,permitopen="[{socket}]:*",permitlisten="localhost:1",command="{_RELAY}"'
    return f"{options} {kind} {blob} {COMMENT}"
