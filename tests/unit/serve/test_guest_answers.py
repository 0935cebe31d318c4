"""What the API takes for preparing a guest is checked at the border, and secrets come out of it nowhere."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.serve import stage

ANSWERS = {"user": "ann", "password": "opensesame9", "sources": ["10.0.0.7/24"], "agreed": ["engine-group"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "format"},
        {"mode": "telnet"},
        {"user": "-oProxyCommand"},
        {"user": "a'b"},
        {"user": "a$b"},
        {"user": "ann\n"},
        {"form": "open"},
        {"sources": ["10.0.0.0/99"]},
        {"agreed": ["rm -rf"]},
        {"passphrase": "opensesame9" * 1000},
        {"root": "opensesame9"},
        {"agreed": ["tls-everything"]},
        {"tls": {"days": 731}},
        {"tls": {"given": {"client_cert": "x", "client_key": "opensesame9"}}},
        {"tls": {"given": {"client_cert": "x", "client_key": "opensesame9" * 20000, "ca_cert": "x"}}},
    ],
)
async def test_secrets_never_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    """Not in an answer and not in a log, whatever else is wrong."""
    async with stage.running(tmp_path) as api:
        api.world.tell(*stage.FEW)
        problem = await api.ask("POST", "/vms/vm-1/prepare", status=422, json={**ANSWERS, **wrong})
        assert problem["code"] == "field-invalid"
        assert "opensesame9" not in f"{problem['detail']} {capsys.readouterr()}"
        assert not api.world.preparing.told


@pytest.mark.parametrize("user", ["core", r"DOM\ann", "ann@corp.example", "svc$", ".x", "_"])
async def test_a_user_is_named_as_its_system_names_it(tmp_path: Path, user: str) -> None:
    """Whom a VM's own key may name, a person may, too."""
    async with stage.running(tmp_path) as api:
        api.world.tell(*stage.FEW)
        await api.ask("POST", "/vms/vm-1/prepare", json={**ANSWERS, "user": user})
        assert [answers.user for answers in api.world.preparing.told] == [user]


async def test_answers_are_handed_on(tmp_path: Path) -> None:
    """A network is written as OpenSSH reads it; what shows the answers shows no secret."""
    async with stage.running(tmp_path) as api:
        api.world.tell(*stage.FEW)
        told = await api.ask("POST", "/vms/vm-1/prepare", json=ANSWERS)
        assert (told["question"], told["user"]) == ("sign-in", "core")
        (answers,) = api.world.preparing.told
        assert (answers.user, answers.sources, answers.agreed) == ("ann", ("10.0.0.0/24",), ("engine-group",))
        assert "opensesame9" not in repr(answers)
        given = {"client_cert": "c", "client_key": "opensesame9", "ca_cert": "a", "legacy_certificate": True}
        tls = {"given": given, "addresses": ["10.0.0.1"], "preparation": "word", "renew": True}
        await api.ask("POST", "/vms/vm-1/prepare", json={"mode": "tls", "agreed": ["tls-cd", "cd-eject"], "tls": tls})
        answers = api.world.preparing.told[-1]
        assert (answers.mode, answers.agreed, answers.tls.given) == (
            "tls",
            ("tls-cd", "cd-eject"),
            ("c", "opensesame9", "a"),
        )
        assert (answers.tls.addresses, answers.tls.preparation) == (("10.0.0.1",), "word")
        assert answers.tls.renew and answers.tls.legacy_certificate
        assert "opensesame9" not in f"{answers!r} {answers.tls!r}"
        await api.ask("POST", "/vms/vm-1/prepare")
