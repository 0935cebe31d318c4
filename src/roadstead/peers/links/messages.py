"""Pure codecs of the guest link: pins, what a server says in the clear, and the one question asked of a guest's shell.

Sources: RFC 4253 §4.2 (version exchange), §7.1 (key exchange init), §6.6 (public key blobs); OpenSSH's ``PROTOCOL``.
"""

import base64
import binascii
import hashlib
import re
from enum import StrEnum

HOST_KEY_ALGORITHMS: dict[str, tuple[str, ...]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Types of host keys in the order in which we want them, and the signatures each may make: never SHA-1."""
DOCKER_SOCKET = "/var/run/docker.sock"
"""The socket that the docker command opens by itself; it is told any other one."""
HTTP = b"HTTP/1."
"""How every answer of an engine begins."""
NOISE_BYTES = 2**16
"""How much a shell may print before it."""
MARK = "roadstead-relay:"
"""What the answer to `question` begins with, on a line of its own."""

TURNED_AWAY = (b"Exceeded MaxStartups", b"Not allowed at this time")
"""What OpenSSH writes instead of its version line: it has too many guests, or penalises our address (9.8)."""

_KEX_INIT = 20
_PACKET_BYTES = 35000
"""RFC 4253 §6.1: what an implementation must be able to take."""
_BANNER_BYTES = 2**14


def fingerprint(blob: str) -> str:
    """Return the SHA-256 fingerprint of a public key (base64 of its blob), in OpenSSH's form ``SHA256:…``."""
    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def key_type(blob: str) -> str | None:
    """Return the type that a public key (base64 of its blob) names, or None when it is no public key."""
    try:
        raw = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return None
    name, rest = _string(raw)
    return name.decode("ascii") if name and rest and name.isascii() and name.decode().isprintable() else None


def encoded(blob: bytes) -> str:
    """Return a public key's blob as it stands in ``xscontainer-sshhostkey``."""
    return base64.b64encode(blob).decode("ascii")


class Overheard:
    """What an SSH server says before encryption begins: its banner, and the host keys it offers.

    Fed with the first bytes of a connection; `over` once there is nothing more to learn.
    """

    __slots__ = ("_data", "banner", "offered", "over", "received", "turned_away")

    def __init__(self) -> None:
        self._data = b""
        self.received = 0
        """How many bytes the server said."""
        self.turned_away = False
        """Whether it said in plain words that it takes no connection from us now."""
        self.banner = ""
        """The version line; empty until it came."""
        self.offered: tuple[str, ...] = ()
        """Names of the host key algorithms; empty until they came."""
        self.over = False

    def feed(self, data: bytes) -> None:
        """Take some bytes; never raises."""
        self.received += len(data)
        if not self.over:
            self._data += data
            self._read()

    def _read(self) -> None:
        if not self.banner:
            self._read_banner()
        if self.banner:
            self._read_packet()
        if self.over:
            self._data = b""

    def _read_banner(self) -> None:
        """Lines before the version line are allowed (RFC 4253 §4.2)."""
        *lines, self._data = self._data.split(b"\n")
        for index, line in enumerate(lines):
            self.turned_away = self.turned_away or line.rstrip(b"\r") in TURNED_AWAY
            if line.startswith(b"SSH-"):
                self.banner = line.rstrip(b"\r").decode("ascii", "replace")
                self._data = b"\n".join([*lines[index + 1 :], self._data])
                break
        self.over = not self.banner and len(self._data) > _BANNER_BYTES

    def _read_packet(self) -> None:
        length = int.from_bytes(self._data[:4], "big")
        if length > _PACKET_BYTES:
            self.over = True
        elif length and len(self._data) >= 4 + length:
            self.over = True
            self.offered = _offered(self._data[5 : 4 + length])


def _offered(payload: bytes) -> tuple[str, ...]:
    """The second name list of a key exchange init: 1 byte type, 16 bytes cookie, list of exchanges, list of keys."""
    if payload[:1] != bytes([_KEX_INIT]):
        return ()
    _, rest = _string(payload[17:])
    names, _ = _string(rest)
    return tuple(names.decode("ascii", "replace").split(",")) if names else ()


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Split off an SSH string; both parts are empty when there is none."""
    length = int.from_bytes(data[:4], "big")
    if len(data) < 4 + length:
        return b"", b""
    return data[4 : 4 + length], data[4 + length :]


class Finding(StrEnum):
    """What stands between us and the engine, as a shell in the guest sees it."""

    ABSENT = "absent"
    """There is no socket."""
    DENIED = "denied"
    """The user may not open it."""
    DEAD = "dead"
    """Nobody listens on it."""
    NO_RELAY = "no-relay"
    """It is fine, but nothing can stand in for forwarding."""
    NO_SUDO = "no-sudo"
    """The user may not run the docker command as root."""
    FORCED = "forced"
    """The key runs a relay whatever is asked."""
    UNKNOWN = "unknown"
    """The key allows no command."""


class Relay(StrEnum):
    """What stands in for forwarding to the socket: a command whose input and output are the stream.

    All but the first are tried in this order where there is no docker command. ``ncat`` is the last, because it
    goes on when the engine hangs up, so that a dead engine is noticed only by the silence.
    """

    DIAL_STDIO = "dial-stdio"
    SUDO = "sudo"
    """The docker command as root, for a user who may run it and may not open the socket."""
    SOCAT = "socat"
    NC = "nc"
    """OpenBSD's: others know no Unix sockets."""
    PYTHON = "python3"
    NCAT = "ncat"


_PYTHON_RELAY = (
    "import os,socket,sys,threading;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);o=sys.stdout.buffer;"
    'threading.Thread(target=lambda:(any(s.sendall(d) for d in iter(lambda:os.read(0,65536),b"")),os._exit(0)),'
    'daemon=True).start();any(o.write(d) and o.flush() for d in iter(lambda:s.recv(65536),b""))'
)
"""One line without single quotes and exclamation marks: it passes through every login shell."""


def relay_command(relay: Relay, socket: str) -> str:
    """Return the command that relays a stream to the engine's ``socket``, for whatever login shell there is.

    The docker command for its own socket is exactly what lines in ``authorized_keys`` and sudoers name.
    """
    path = _quoted(socket)
    docker = "docker system dial-stdio"
    if socket != DOCKER_SOCKET:
        docker = f"docker -H {_quoted('unix://' + socket)} system dial-stdio"
    return {
        Relay.DIAL_STDIO: docker,
        Relay.SUDO: f"sudo -n {docker}",
        Relay.SOCAT: f"socat - UNIX-CONNECT:{path}",
        Relay.NC: f"nc -U {path}",
        Relay.PYTHON: f"python3 -c {_quoted(_PYTHON_RELAY)} {path}",
        Relay.NCAT: f"ncat -U {path}",
    }[relay]


_IS_THERE = {
    # Docker before 18.09, and Podman under this name before 4.0, do not know the words.
    Relay.DIAL_STDIO: "docker system dial-stdio --help 2>&1 | grep -q dial-stdio",
    Relay.SOCAT: "h socat",
    Relay.NC: "nc -h 2>&1 | grep -q OpenBSD",
    Relay.PYTHON: "h python3",
    Relay.NCAT: "h ncat",
}
"""How a shell finds out whether it has each; ``h`` is defined by `question`."""


def question(socket: str) -> str:
    """Return the command that finds out what stands between us and the engine's ``socket``.

    One ``sh -c``, whatever the login shell is; csh minds exclamation marks even in quotes, so it has none.
    ``/proc/net/unix`` lists the listening sockets of a network namespace (flags 00010000) by the path they were bound
    to, which may be the one a link leads to; a rootless engine has a namespace of its own, so that only a trial tells
    whether it listens. A folder that hides it (Podman's is root's alone) is the nearest one that is seen and may not be
    entered. ``socket`` is quoted, whatever it holds.
    """
    ways = "".join(f'[ "$a" ] || {{ {test} && a={relay}; }}; ' for relay, test in _IS_THERE.items())
    trials = "".join(f"{relay}) {_trial(relay, socket)};; " for relay in _IS_THERE)
    return _asked(
        f'h() {{ command -v "$1" >/dev/null 2>&1; }}; p={_quoted(socket)}; a=; '
        'r=$(readlink -f "$p" 2>/dev/null || echo "$p"); '
        'if [ -S "$p" ]; then if [ -r "$p" ] && [ -w "$p" ]; then '
        f"{ways}"
        'if [ -r /proc/net/unix ]; then grep -F -e " $p" -e " $r" /proc/net/unix | grep -q " 00010000 " || '
        f'case "$a" in {trials}*) false;; esac >/dev/null 2>&1 </dev/null || a=dead; fi; '
        f"else a={Finding.DENIED}; fi; else a={Finding.ABSENT}; "
        'd=$p; while d=${d%/*}; [ "$d" ]; do [ -d "$d" ] && break; done; '
        f'[ -x "${{d:-/}}" ] || a={Finding.DENIED}; fi; '
        f'echo; echo {MARK}"${{a:-{Finding.NO_RELAY}}}"'
    )


def sudo_question(socket: str) -> str:
    """Return the command that finds out whether the user may run the docker command as root without a password."""
    wanted = relay_command(Relay.SUDO, socket).removeprefix("sudo -n ")
    return _asked(
        f'a={Finding.NO_SUDO}; if sudo -n -l {wanted} >/dev/null 2>&1; then a={Relay.SUDO}; fi; echo; echo {MARK}"$a"'
    )


def _trial(relay: Relay, socket: str) -> str:
    """The command that ends well when somebody listens; it is given no input."""
    if relay is Relay.NC:
        # It does not mind the end of its input, and would wait.
        return f"nc -zU {_quoted(socket)}"
    return relay_command(relay, socket)


def _asked(script: str) -> str:
    return f"exec sh -c {_quoted(script)}"


def finding(output: bytes, errors: bytes) -> Finding | Relay:
    """Return what the answer to a question says. A key with a forced relay answers as the engine, or complains."""
    for line in output.splitlines():
        if line.startswith(MARK.encode()):
            return _said(line[len(MARK) :].decode("ascii", "replace").strip())
    if HTTP in output:
        return Finding.FORCED
    return complaint(errors) or Finding.UNKNOWN


def _said(word: str) -> Finding | Relay:
    for kind in (Finding, Relay):
        if word in set(kind):
            return kind(word)
    return Finding.UNKNOWN


def complaint(errors: bytes) -> Finding | None:
    """Return what a relay's own words on its error stream mean, None when they are not known."""
    return next((found for words, found in _COMPLAINTS.items() if re.search(words, errors)), None)


_SOCAT = rb"(?m)^(\S{0,40} ?){2}socat\["
_COMPLAINTS = {
    rb"connect: permission denied|permission denied while trying to connect": Finding.DENIED,
    rb"connect: no such file or directory": Finding.ABSENT,
    rb"connect: connection refused|Cannot connect to the Docker daemon": Finding.DEAD,
    _SOCAT + rb".* Permission denied|^(nc|Ncat): .*Permission denied|^PermissionError:": Finding.DENIED,
    _SOCAT + rb".* No such file|^(nc|Ncat): .*No such file|^FileNotFoundError:": Finding.ABSENT,
    _SOCAT + rb".* refused|^(nc|Ncat): .*refused|^ConnectionRefusedError:": Finding.DEAD,
    # It may not know its own name, and says so before it goes on.
    rb"(?m)^sudo: (?!unable to resolve)": Finding.NO_SUDO,
}
"""Words of docker commands from 18.09 to 28, and of the other relays. A guest says them: what stands before is bounded,
as unbounded repetitions one after the other would take the square of a line's length.
"""


class Quiet:
    """Leaves out what a shell prints before the engine's first answer, within `NOISE_BYTES`."""

    __slots__ = ("_held", "heard", "too_much")

    def __init__(self) -> None:
        self._held = b""
        self.heard = False
        """Whether the engine has begun to answer; from then on everything passes."""
        self.too_much = False

    def feed(self, data: bytes) -> bytes:
        """Return what of ``data`` (and of what was held back) is the engine's."""
        if self.heard:
            return data
        self._held += data
        start = self._held.find(HTTP)
        if start >= 0:
            self.heard = True
            answer, self._held = self._held[start:], b""
            return answer
        self.too_much = len(self._held) > NOISE_BYTES
        return b""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
