"""The key file is made whole, is private, and is refused otherwise."""

from pathlib import Path

import pytest

from roadstead.errors import StartError
from roadstead.peers.database.vault import KEY_BYTES, open_vault


def refusal(path: Path, *, make: bool = False) -> str:
    """Why the key file is not taken."""
    with pytest.raises(StartError) as caught:
        open_vault(path, make=make)
    assert caught.value.code == "key-file-unusable"
    return caught.value.fields["reason"]


def test_key_is_made_once(tmp_path: Path) -> None:
    """A missing key is made with mode 0600 and without traces, and the same one is used afterwards."""
    path = tmp_path / "secret.key"

    sealed = open_vault(path, make=True).seal("word", "pools", "1")

    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, KEY_BYTES)
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]
    assert open_vault(path, make=True).open(sealed, "pools", "1") == "word"


def test_sealing_twice_shows_no_equality(tmp_path: Path) -> None:
    """Two pools with the same password do not look the same."""
    vault = open_vault(tmp_path / "secret.key", make=True)

    assert vault.seal("word", "pools", "1") != vault.seal("word", "pools", "1")


@pytest.mark.parametrize("place", [("pools", "2", "password"), ("pools", "1", "other"), ("pools", "1")])
def test_value_opens_only_in_its_place(tmp_path: Path, place: tuple[str, ...]) -> None:
    """Table, row and column are part of the seal."""
    vault = open_vault(tmp_path / "secret.key", make=True)
    sealed = vault.seal("word", "pools", "1", "password")

    with pytest.raises(StartError, match="another key"):
        vault.open(sealed, *place)
    with pytest.raises(StartError, match="another key"):
        vault.open(sealed[:-1], "pools", "1", "password")
    with pytest.raises(StartError, match="another key"):
        vault.open(b"", "pools", "1", "password")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others may have read is no secret."""
    path = tmp_path / "secret.key"
    open_vault(path, make=True)
    path.chmod(mode)

    assert f"{mode:04o}" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_key_of_another_size_is_refused(tmp_path: Path, content: bytes) -> None:
    """A truncated or foreign file is not taken for a key, nor overwritten."""
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    path.chmod(0o600)

    assert "32 bytes" in refusal(path, make=True)
    assert path.read_bytes() == content


def test_link_and_folder_are_refused(tmp_path: Path) -> None:
    """The key is a plain file: a link would lead somewhere else."""
    real, path = tmp_path / "real", tmp_path / "secret.key"
    open_vault(real, make=True)
    path.symlink_to(real)

    refusal(path, make=True)
    refusal(tmp_path)


def test_missing_key_is_named(tmp_path: Path) -> None:
    """Without leave to make one, a missing key is an error."""
    assert "missing" in refusal(tmp_path / "secret.key")
