"""What the API takes for signing in to hosts is checked at the border, and comes out of it nowhere."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.serve import stage

HOSTS = "/pools/pool-1/plugin/hosts"
KEY = {"type": "ssh-ed25519", "fingerprint": "SHA256:" + "a" * 43}
VISIT = {"action": "install", "port": 1, **KEY, "password": "opensesame9"}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"action": "format"}, "field-invalid"),
        ({"port": 0}, "field-invalid"),
        ({"type": "ssh-dss"}, "field-invalid"),
        ({"password": None}, "field-invalid"),
        ({"private_key": "opensesame9"}, "field-invalid"),
        ({"password": None, "private_key": "opensesame9"}, "field-invalid"),
        ({"passphrase": "opensesame9" * 1000}, "field-invalid"),
        ({"user": "opensesame9"}, "field-invalid"),
        ({}, "host-unreachable"),
    ],
)
async def test_secrets_never_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any], code: str
) -> None:
    """Not in an answer, not in a log, not in the audit, whatever else is wrong."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        api.world.pools.xapi.change("host", "ref:host-1", address="127.88.0.9")
        status = 503 if code == "host-unreachable" else 422
        problem = await api.ask("POST", f"{HOSTS}/host-1", status=status, json={**VISIT, **wrong})
        assert problem["code"] == code
        entries = await api.world.audit.recent(10)
        assert "opensesame9" not in f"{problem} {entries} {capsys.readouterr()}"


async def test_a_host_of_which_the_pool_knows_nothing_is_not_called(tmp_path: Path) -> None:
    """Only the pool says where its hosts are, and only by an address."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        assert (await api.ask("POST", f"{HOSTS}/nobody", status=404, json=VISIT))["code"] == "no-such-host"
        api.world.pools.xapi.change("host", "ref:host-1", address="example.test")
        (seen,) = await api.ask("POST", HOSTS, json={})
        assert (seen["code"], seen["fingerprint"]) == ("host-address-unusable", "")
