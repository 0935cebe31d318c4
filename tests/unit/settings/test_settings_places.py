"""Where files and sockets are, for root and for others."""

import os
from pathlib import Path

import pytest

from roadstead.settings import places

USUAL = Path("/var/lib/roadstead")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment takes part."""
    for name in ("ROADSTEAD_STATE", "ROADSTEAD_SOCKET", "ROADSTEAD_CONFIG", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_ann(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is an ordinary one."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("as_root")
def test_root_uses_the_machines_folders() -> None:
    """State below ``/var/lib``, the socket below ``/run``."""
    assert places.state_folder() == USUAL
    assert places.socket_path() == places.socket_path(USUAL) == Path("/run/roadstead/roadstead.sock")


@pytest.mark.usefixtures("as_ann")
def test_others_use_their_own_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG base directories say."""
    assert places.state_folder() == Path("/home/ann/.local/state/roadstead")
    assert places.socket_path() == Path("/home/ann/.local/state/roadstead/roadstead.sock")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert places.state_folder() == Path("/state/roadstead")
    assert places.socket_path() == Path("/run/user/1000/roadstead/roadstead.sock")


@pytest.mark.usefixtures("as_root")
def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder, socket and file can each be named."""
    monkeypatch.setenv("ROADSTEAD_STATE", "/srv/state")
    monkeypatch.setenv("ROADSTEAD_CONFIG", "/srv/my.toml")
    assert places.state_folder() == Path("/srv/state")
    assert places.settings_files() == (Path("/srv/my.toml"),)
    monkeypatch.setenv("ROADSTEAD_SOCKET", "/srv/socket")
    assert places.socket_path(Path("/elsewhere")) == Path("/srv/socket")


@pytest.mark.usefixtures("as_root")
def test_a_state_folder_of_its_own_has_a_socket_of_its_own() -> None:
    """Two servers on one machine do not meet at one socket."""
    assert places.socket_path(Path("/srv/second")) == Path("/srv/second/roadstead.sock")


@pytest.mark.usefixtures("as_root")
def test_a_state_folder_of_the_environment_has_a_socket_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Server and commands agree on it, however the folder was named."""
    monkeypatch.setenv("ROADSTEAD_STATE", "/srv/second")
    assert places.socket_path() == places.socket_path(Path("/srv/second")) == Path("/srv/second/roadstead.sock")
    assert places.socket_path(USUAL) == Path("/run/roadstead/roadstead.sock")


def test_a_users_file_is_read_after_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The later one wins."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/ann/config")
    assert places.settings_files() == (
        Path("/etc/roadstead/roadstead.toml"),
        Path("/home/ann/config/roadstead/roadstead.toml"),
    )
