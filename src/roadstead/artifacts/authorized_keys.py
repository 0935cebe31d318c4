"""The line that lets the pool key into a guest: it opens the engine's socket, and nothing else that matters.

``restrict`` switches everything off, ``permitopen`` then lets OpenSSH forward to exactly this socket (strings are
compared), ``permitlisten`` keeps the guest from being listened on, and the command answers where forwarding is
forbidden. Measured on OpenSSH 9.2, 10.0 and 10.6: no shell, no other socket, no TCP.
"""

import base64
import struct

COMMENT = "xscontainer"
LEAST_BYTES = 16
"""More than this any key has besides its type."""
_RELAY = "/usr/bin/docker system dial-stdio"


def line(public_key: str, socket: str) -> str:
    """Return the line for ``authorized_keys`` that admits ``public_key`` (``ssh-rsa AAAA…``) to ``socket``."""
    kind, blob = public_key.split()[:2]
    options = f'restrict,port-forwarding,permitopen="[{socket}]:*",permitlisten="localhost:1",command="{_RELAY}"'
    return f"{options} {kind} {blob} {COMMENT}"


def is_public_key(text: str) -> bool:
    """Whether a line is a public key as OpenSSH prints it, without options: the type that is named is the one that the
    key itself begins with (RFC 4253, 6.6).
    """
    kind, _, rest = text.partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except ValueError:
        return False
    name = kind.encode("ascii", "replace")
    named = blob.startswith(struct.pack(">I", len(name)) + name)
    return text.isprintable() and bool(name) and named and len(blob) > len(name) + LEAST_BYTES
