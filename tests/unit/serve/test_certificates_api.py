"""Certificates through the API: what is asked for reaches the conversation, and no key comes back."""

from __future__ import annotations

from pathlib import Path

from roadstead.act.preparing.conversation import Action, TlsAnswers
from roadstead.artifacts.certificate_checks import Given
from tests.unit.serve import stage

PEM = {"client_cert": "cert", "client_key": "key", "ca_cert": "ca"}
PREPARE = "/vms/web-1/prepare"


async def test_what_is_under_way_is_shown_and_ended(tmp_path: Path) -> None:
    """When nothing is, that is told."""
    async with stage.running(tmp_path) as api:
        api.world.certificates.is_under_way = True
        shown = await api.get("/vms/web-1/certificates")
        ended = await api.ask("DELETE", "/vms/web-1/certificates")
        await api.refused("DELETE", "/vms/web-1/certificates", 404, "no-certificates-under-way")

    assert (shown["state"], ended["state"]) == ("waiting", "none")


async def test_what_is_wanted_is_handed_on(tmp_path: Path) -> None:
    """All of it: for which addresses, from which networks, how long."""
    said = {"addresses": ["10.0.0.9"], "sources": ["10.9.0.1/16"], "days": 90, "storage": "sr", "with_client_key": True}
    async with stage.running(tmp_path) as api:
        await api.ask("POST", PREPARE, json={"action": "renew", "mode": "tls", "tls": said})
        (told,) = api.world.preparing.told

    assert told.action is Action.RENEW
    assert told.tls == TlsAnswers(
        addresses=("10.0.0.9",), sources=("10.9.0.0/16",), days=90, storage="sr", with_client_key=True
    )


async def test_days_are_bounded(tmp_path: Path) -> None:
    """Two years are the most."""
    async with stage.running(tmp_path) as api:
        problem = await api.refused("POST", PREPARE, 422, "field-invalid", json={"tls": {"days": 731}})

    assert "days" in str(problem["fields"])


async def test_certificates_of_others_are_handed_on(tmp_path: Path) -> None:
    """As they were given; one that is missing is named and none is shown."""
    async with stage.running(tmp_path) as api:
        lacking = {"tls": {"given": {"client_key": "s3cret", "ca_cert": "x"}}}
        problem = await api.refused("POST", PREPARE, 422, "field-invalid", json=lacking)
        done = await api.ask("POST", PREPARE, json={"tls": {"given": {**PEM, "legacy_certificate": True}}})
        (told,) = api.world.preparing.told

    assert "client_cert" in str(problem["fields"])
    assert "s3cret" not in str(problem)
    assert (told.tls.given, told.tls.legacy_certificate) == (Given("cert", "key", "ca"), True)
    assert "key" not in str(done).replace("host_key", "")


async def test_the_ends_of_all_are_listed(tmp_path: Path) -> None:
    """With the VM's name and its pool's."""
    async with stage.running(tmp_path) as api:
        (one,) = await api.get("/certificates")

    assert (one["name"], one["pool_name"], one["until"]) == ("web-1", "Rack 1", "2028-01-02T00:00:00Z")
