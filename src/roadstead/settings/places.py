"""Where files and sockets are by default; standard library only, so that the command line starts fast."""

import os
from pathlib import Path

DEFAULT_PORT = 8420
SYSTEM_FILE = Path("/etc/roadstead/roadstead.toml")


def _is_root() -> bool:
    return os.geteuid() == 0


def _home(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable)
    return Path(value) if value else Path.home() / fallback


def _usual_folder() -> Path:
    return Path("/var/lib/roadstead") if _is_root() else _home("XDG_STATE_HOME", ".local/state") / "roadstead"


def state_folder() -> Path:
    """The state folder: ``ROADSTEAD_STATE``, else ``/var/lib/roadstead`` as root, else under ``XDG_STATE_HOME``."""
    if chosen := os.environ.get("ROADSTEAD_STATE"):
        return Path(chosen)
    return _usual_folder()


def socket_path(state: Path | None = None) -> Path:
    """The server's local socket: ``ROADSTEAD_SOCKET``, else in ``/run/roadstead`` as root, in ``XDG_RUNTIME_DIR``,
    or in the state folder. A state folder that is not the usual one, given as ``state`` or by ``ROADSTEAD_STATE``,
    has its socket in it, so that two servers do not meet.
    """
    if chosen := os.environ.get("ROADSTEAD_SOCKET"):
        return Path(chosen)
    folder = state or state_folder()
    if folder != _usual_folder():
        return folder / "roadstead.sock"
    if _is_root():
        return Path("/run/roadstead/roadstead.sock")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "roadstead" / "roadstead.sock"
    return folder / "roadstead.sock"


def settings_files() -> tuple[Path, ...]:
    """The settings files that are read when they exist, the later one winning; or the one that was named."""
    if chosen := os.environ.get("ROADSTEAD_CONFIG"):
        return (Path(chosen),)
    return (SYSTEM_FILE, _home("XDG_CONFIG_HOME", ".config") / "roadstead" / "roadstead.toml")
