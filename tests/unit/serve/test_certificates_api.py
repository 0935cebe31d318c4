"""Certificates through the API: what is asked for reaches the command, and no key comes back."""

from __future__ import annotations

from pathlib import Path

from roadstead.act.preparing.tls_disks import Placing
from roadstead.artifacts.certificate_checks import Given
from tests.unit.serve import stage

PEM = {"client_cert": "cert", "client_key": "key", "ca_cert": "ca"}


async def test_certificates_are_made_and_ended(tmp_path: Path) -> None:
    """A drive that is full is told, and emptied on request."""
    async with stage.running(tmp_path) as api:
        refused = await api.refused("POST", "/vms/web-1/certificates", 409, "cd-drive-full", json={})
        wanted = {"addresses": ["10.0.0.9"], "days": 90, "eject": True, "storage": "sr", "with_client_key": True}
        made = await api.ask("POST", "/vms/web-1/certificates", status=202, json=wanted)
        shown = await api.get("/vms/web-1/certificates")
        (wish,) = api.world.certificates.wishes
        await api.ask("DELETE", "/vms/web-1/certificates")
        await api.refused("DELETE", "/vms/web-1/certificates", 404, "no-certificates-under-way")

    assert refused["fields"]["disk"] == "tools.iso"
    assert (made["state"], shown["state"]) == ("waiting", "waiting")
    assert (list(wish.addresses), wish.days, wish.with_client_key) == (["10.0.0.9"], 90, True)
    assert wish.placing == Placing("sr", eject=True)


async def test_days_are_bounded(tmp_path: Path) -> None:
    """Two years are the most."""
    async with stage.running(tmp_path) as api:
        problem = await api.refused("POST", "/vms/web-1/certificates", 422, "field-invalid", json={"days": 731})

    assert "days" in str(problem["fields"])


async def test_certificates_of_others_are_handed_on(tmp_path: Path) -> None:
    """As they were given; a key that is missing is named and none is shown."""
    async with stage.running(tmp_path) as api:
        path = "/vms/web-1/certificates/import"
        problem = await api.refused("POST", path, 422, "field-invalid", json={"client_key": "s3cret", "ca_cert": "x"})
        done = await api.ask("POST", path, json={**PEM, "legacy_certificate": True})
        ((given, is_legacy),) = api.world.certificates.given

    assert "client_cert" in str(problem["fields"])
    assert "s3cret" not in str(problem)
    assert (done["state"], is_legacy) == ("done", True)
    assert given == Given("cert", "key", "ca")
    assert "key" not in str(done)


async def test_the_ends_of_all_are_listed(tmp_path: Path) -> None:
    """With the VM's name and its pool's."""
    async with stage.running(tmp_path) as api:
        (one,) = await api.get("/certificates")

    assert (one["name"], one["pool_name"], one["until"]) == ("web-1", "Rack 1", "2028-01-02T00:00:00Z")
