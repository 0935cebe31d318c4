"""The state folder: for its owner alone, held by one server at a time, with a token that is one."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roadstead.app import state
from roadstead.errors import StartError

HOLDER = """
import sys
from pathlib import Path
from roadstead.app import state
with state.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _held_by_another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the folder."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """With the folders above it, whatever the umask."""
    old = os.umask(0)
    try:
        with state.held(tmp_path / "above" / "state") as folder:
            assert _mode(folder) == 0o700
            assert _mode(folder / "lock") == 0o600
    finally:
        os.umask(old)


def test_a_second_server_is_refused(tmp_path: Path) -> None:
    """It names the folder, and leaves everything as it is."""
    with _held_by_another(tmp_path):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(StartError) as caught, state.held(tmp_path):
            pytest.fail("two servers hold one folder")
        assert caught.value.code == "state-taken"
        assert caught.value.fields["path"] == str(tmp_path)
        assert sorted(tmp_path.iterdir()) == before


def test_a_killed_server_leaves_the_folder_free(tmp_path: Path) -> None:
    """The lock is the kernel's: nothing needs to be cleaned up."""
    with _held_by_another(tmp_path) as process:
        process.kill()
        process.wait(10)
        with state.held(tmp_path):
            pass


def test_the_folder_is_free_after_use(tmp_path: Path) -> None:
    """Also after a failure inside."""
    with pytest.raises(ValueError, match="mine"), state.held(tmp_path):
        raise ValueError("mine")
    with state.held(tmp_path):
        pass


@pytest.mark.parametrize("below", ["", "state"])
def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path, below: str) -> None:
    """A file stands in its place, or above it."""
    (tmp_path / "file").touch()
    with pytest.raises(StartError) as caught, state.held(tmp_path / "file" / below):
        pytest.fail("a file is no folder")
    assert caught.value.code == "state-unusable"
    assert caught.value.fields["reason"] in {"file exists", "not a directory"}


def test_the_token_is_made_once(tmp_path: Path) -> None:
    """Long, readable by its owner alone whatever the umask, and the same at the next start."""
    old = os.umask(0)
    try:
        made = state.token(tmp_path)
    finally:
        os.umask(old)
    assert len(made) >= 40
    assert _mode(tmp_path / "token") == 0o600
    assert state.token(tmp_path) == made
    assert state.token(tmp_path) == (tmp_path / "token").read_text().strip()


def test_every_folder_has_its_own_token(tmp_path: Path) -> None:
    """Nobody guesses one from another."""
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    assert len({state.token(folder) for folder in folders}) == 3


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_an_empty_token_is_made_anew(tmp_path: Path, content: str) -> None:
    """A start that was interrupted does not leave the door open, and the new one is for its owner alone."""
    (tmp_path / "token").write_text(content)
    (tmp_path / "token").chmod(0o644)
    assert len(state.token(tmp_path)) >= 40
    assert _mode(tmp_path / "token") == 0o600


def test_a_token_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """With the file's name."""
    (tmp_path / "token").mkdir()
    with pytest.raises(StartError) as caught:
        state.token(tmp_path)
    assert caught.value.code == "state-unusable"
    assert caught.value.fields["path"] == str(tmp_path / "token")
