"""How one VM wants to be reached, read from its ``other_config``, which its administrators write as they please."""

import re
from dataclasses import dataclass

from roadstead.errors import LinkError
from roadstead.kit.text import brief
from roadstead.model import Vm, canonical, config_keys
from roadstead.model.users import is_user

_SOCKET = re.compile(r"(/[A-Za-z0-9._-]+)+")
_PORT = re.compile(r"[0-9]{1,5}")
_OPENED_UNDER = {
    config_keys.SSH: (config_keys.USERNAME, config_keys.SSH_PORT, config_keys.ENGINE_SOCKET, config_keys.SUDO),
    config_keys.TLS: (config_keys.TLS_PORT, config_keys.TLS_LEGACY, *config_keys.TLS_SECRETS),
}
"""The settings that count for a link, by the mode of its VM."""
SOCKET_BYTES = 107
"""What fits into ``sockaddr_un.sun_path`` with its final zero."""
SSH_PORT, TLS_PORT = 22, 2376
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Access:
    """The checked settings of one VM that is reached over SSH."""

    user: str
    port: int
    socket: str
    address: str | None
    """An address that the operator gave (``roadstead-address``), tried before all others; whether it is
    allowed is not yet judged.
    """
    sudo: bool = False
    """Whether the user opens the socket as root."""


@dataclass(frozen=True, slots=True)
class TlsAccess:
    """The checked settings of one VM whose engine is reached over TLS."""

    port: int
    address: str | None
    """As in `Access`."""
    is_legacy: bool
    """Whether certificates as the old pack made them are taken."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for a VM that says nothing."""

    user: str
    socket: str


def flaw(vm: Vm) -> LinkError | None:
    """Return what is wrong with how ``vm``, which is not managed, says so. Other clients take other values for a yes,
    so whoever wrote one believes that the VM is managed.
    """
    try:
        _says_yes(vm, config_keys.MONITOR)
    except LinkError as error:
        return error
    return None


def is_tls(vm: Vm, mode: str | None = None) -> bool:
    """Whether the engine of ``vm`` is reached over TLS; with a ``mode``, whether it will be once that is written."""
    return (mode or _mode(vm)) == config_keys.TLS


def is_ssh(vm: Vm) -> bool:
    """Whether the engine of ``vm`` is reached over SSH; one whose mode is none of ours is reached in neither way."""
    return _mode(vm) == config_keys.SSH


def check_mode(vm: Vm) -> None:
    """Raise `LinkError` ``mode-unsupported`` where the mode of ``vm`` is none of ours."""
    if not (is_ssh(vm) or is_tls(vm)):
        raise LinkError("mode-unsupported", vm=vm.id, mode=brief(_mode(vm)))


def opened_under(vm: Vm) -> tuple[str | None, ...]:
    """Return what a link to ``vm`` is opened under: when that changes, the link no longer holds. What counts for the
    other mode is not in it: a VM is watched as it is while it is made ready for that one.
    """
    mode = _mode(vm)
    return mode, *(vm.settings.get(key) for key in _OPENED_UNDER.get(mode, ()))


def _mode(vm: Vm) -> str:
    return vm.settings.get(config_keys.MODE) or config_keys.SSH


def access_of(vm: Vm, defaults: Defaults) -> Access:
    """Return how ``vm`` wants to be reached over SSH. Raises `LinkError` ``setting-invalid`` (naming the key)."""
    return Access(
        user=_user(vm, defaults.user),
        port=_port(vm, config_keys.SSH_PORT, SSH_PORT),
        socket=_socket(vm, defaults.socket),
        address=_address(vm),
        sudo=_says_yes(vm, config_keys.SUDO),
    )


def _user(vm: Vm, default: str) -> str:
    key = config_keys.USERNAME
    name = vm.settings.get(key) or default
    if not is_user(name):
        raise LinkError("setting-invalid", vm=vm.id, key=key, value=brief(name), reason="it is no user name")
    return name


def _address(vm: Vm) -> str | None:
    key = config_keys.ADDRESS
    text = vm.settings.get(key) or None
    if text is not None and canonical(text) is None:
        reason = "it is no literal IP address (names are not looked up)"
        raise LinkError("setting-invalid", vm=vm.id, key=key, value=brief(text), reason=reason)
    return text


def tls_access_of(vm: Vm) -> TlsAccess:
    """Return how ``vm`` wants to be reached over TLS. Raises `LinkError` ``setting-invalid`` (naming the key)."""
    return TlsAccess(
        port=_port(vm, config_keys.TLS_PORT, TLS_PORT),
        address=_address(vm),
        is_legacy=_says_yes(vm, config_keys.TLS_LEGACY),
    )


def ports_of(vm: Vm) -> tuple[int, int]:
    """Return the ports of the SSH server of ``vm`` and of its engine's TLS, whichever is used. Raises `LinkError`
    ``setting-invalid``.
    """
    return _port(vm, config_keys.SSH_PORT, SSH_PORT), _port(vm, config_keys.TLS_PORT, TLS_PORT)


def tls_missing(vm: Vm) -> tuple[str, ...]:
    """Return those keys of ``vm`` that TLS needs and that name nothing."""
    return tuple(key for key in config_keys.TLS_SECRETS if not vm.settings.get(key))


def _socket(vm: Vm, default: str) -> str:
    key = config_keys.ENGINE_SOCKET
    path = vm.settings.get(key) or default
    if not _SOCKET.fullmatch(path):
        reason = "it is no plain absolute path"
        raise LinkError("setting-invalid", vm=vm.id, key=key, value=brief(path), reason=reason)
    if len(path.encode()) > SOCKET_BYTES or ".." in path.split("/"):
        reason = f"it climbs with .. or is longer than {SOCKET_BYTES} bytes"
        raise LinkError("setting-invalid", vm=vm.id, key=key, value=brief(path), reason=reason)
    return path


def _says_yes(vm: Vm, key: str) -> bool:
    """Whether ``key`` of ``vm`` says yes; where it is not set, or empty, it says no."""
    value = vm.settings.get(key, "")
    if value not in {"", config_keys.ENABLED, config_keys.DISABLED}:
        reason = f"only {config_keys.ENABLED} and {config_keys.DISABLED} count, spelled like this"
        raise LinkError("setting-invalid", vm=vm.id, key=key, value=brief(value), reason=reason)
    return value == config_keys.ENABLED


def _port(vm: Vm, key: str, default: int) -> int:
    text = vm.settings.get(key) or str(default)
    if not (_PORT.fullmatch(text) and 1 <= int(text) <= LAST_PORT):
        reason = f"it is no port between 1 and {LAST_PORT}"
        raise LinkError("setting-invalid", vm=vm.id, key=key, value=brief(text), reason=reason)
    return int(text)
