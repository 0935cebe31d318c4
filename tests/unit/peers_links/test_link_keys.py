"""Pool keys are made as they always were, and loaded without the slow check."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import asyncssh
import pytest

from roadstead.errors import LinkError
from roadstead.peers.links.keys import generate_pool_key, load_pool_key

PUBLIC_BYTES = 4096 // 8


@pytest.mark.limit(60)
async def test_a_new_pool_key_opens_what_its_line_is_put_into(tmp_path: Path) -> None:
    """RSA with 4096 bits; OpenSSH reads the private half, and the line is its public half."""
    private, public = await generate_pool_key()
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(private)
    read = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, check=True, timeout=10, text=True)
    key = await load_pool_key(private)

    assert public.split()[2:] == ["xscontainer"]
    assert read.stdout.split()[:2] == public.split()[:2]
    assert key.export_public_key().decode().split()[1] == public.split()[1]
    assert len(key.sign(b"data", b"rsa-sha2-512")) > PUBLIC_BYTES


@pytest.mark.limit(60)
async def test_loading_a_pool_key_takes_no_time() -> None:
    """The check of an RSA-4096 key would take 0.3 s of CPU; other keys are still checked."""
    private, _ = await generate_pool_key()
    before = time.process_time()
    await load_pool_key(private)
    spent = time.process_time() - before
    before = time.process_time()
    asyncssh.import_private_key(private)

    assert spent < (time.process_time() - before) / 3


@pytest.mark.parametrize(
    "pem", ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"]
)
async def test_what_is_no_key_is_told(pem: str) -> None:
    """A secret of the pool may hold anything."""
    with pytest.raises(LinkError) as caught:
        await load_pool_key(pem)
    assert caught.value.code == "pool-key-missing"


async def test_a_key_with_a_passphrase_is_none() -> None:
    """Nobody is there to type it."""
    locked = asyncssh.generate_private_key("ssh-ed25519").export_private_key(passphrase="secret").decode()

    with pytest.raises(LinkError):
        await load_pool_key(locked)
