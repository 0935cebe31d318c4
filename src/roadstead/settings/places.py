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


def state_folder() -> Path:
    """The state folder: ``ROADSTEAD_STATE``, else ``/var/lib/roadstead`` as root, else under ``XDG_STATE_HOME``."""
    if chosen := os.environ.get("ROADSTEAD_STATE"):
        return Path(chosen)
    return Path("/var/lib/roadstead") if _is_root() else _home("XDG_STATE_HOME", ".local/state") / "roadstead"


def socket_path(state: Path | None = None) -> Path:
    """The server's local socket: ``ROADSTEAD_SOCKET``, else in ``/run/roadstead`` as root, in ``XDG_RUNTIME_DIR``,
    or in the state folder. A server with a ``state`` of its own that is not the default keeps its socket there, so
    that two servers do not meet.
    """
    if chosen := os.environ.get("ROADSTEAD_SOCKET"):
        return Path(chosen)
    if state is not None and state != state_folder():
        return state / "roadstead.sock"
    if _is_root():
        return Path("/run/roadstead/roadstead.sock")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "roadstead" / "roadstead.sock"
    return state_folder() / "roadstead.sock"


def settings_files() -> tuple[Path, ...]:
    """The settings files that are read when they exist, the later one winning; or the one that was named."""
    if chosen := os.environ.get("ROADSTEAD_CONFIG"):
        return (Path(chosen),)
    return (SYSTEM_FILE, _home("XDG_CONFIG_HOME", ".config") / "roadstead" / "roadstead.toml")
