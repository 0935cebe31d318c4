"""Config drives through the API: what goes in, what a wrong field says, and what needs no pool."""

from pathlib import Path
from typing import Any

import pytest

from roadstead.artifacts import drive_templates
from tests.unit.serve import stage

VM = "/api/v1/vms/vm-1/config-drive"


async def asked(api: stage.Stage, method: str, path: str, **given: Any) -> tuple[int, Any]:
    """Status and decoded answer."""
    async with api.client.request(method, f"http://localhost{path}", **given) as answer:
        return answer.status, await answer.json()


async def test_default_and_validate_need_no_pool(tmp_path: Path) -> None:
    """A template of a named profile, and a text judged."""
    async with stage.running(tmp_path, stage.FEW) as api:
        for profile, template in drive_templates.PROFILES.items():
            found = await asked(api, "GET", f"{VM}/default", params={"profile": profile})
            assert found == (200, {"profile": profile, "template": template})
            body = {"template": template, "profile": profile}
            assert await asked(api, "POST", "/api/v1/config-drives/validate", json=body) == (
                200,
                {"profile": profile, "ok": True, "faults": []},
            )
        status, told = await asked(
            api, "POST", "/api/v1/config-drives/validate", json={"template": "#cloud-config\na: ["}
        )
        assert (status, told["ok"], told["faults"][0]["line"]) == (200, False, 3)


@pytest.mark.parametrize("path", [f"{VM}?confirm=vm-1", f"{VM}/preview"])
async def test_what_is_wrong_is_named(tmp_path: Path, path: str) -> None:
    """A profile that there is not, a field that there is not, a key that is none."""
    async with stage.running(tmp_path, stage.FEW) as api:
        for body, code in (
            ({"profile": "moon"}, "field-invalid"),
            ({"nothing": 1}, "field-invalid"),
            ({"ssh_keys": ["ssh-rsa x"]}, "ssh-key-invalid"),
            ({"profile": "cloud-config", "variables": {"HIN": "x"}}, "variable-invalid"),
            ({"profile": "cloud-config", "variables": {"SITE": "x"}}, "variable-unused"),
        ):
            status, told = await asked(api, "POST", path, json=body)
            assert (status, told["code"]) == (422, code)
        assert (await asked(api, "GET", VM.replace("vm-1", "nobody")))[0] == 404


async def test_templates_of_a_pool(tmp_path: Path) -> None:
    """Saved, listed, shown in a former version, brought back, removed; what is wrong is named."""
    base = "/api/v1/pools/pool-1/drive-templates"
    text = "#cloud-config\nhostname: %VMNAMETOHOSTNAME%\n"
    async with stage.running(tmp_path, stage.FEW) as api:
        for number, words in enumerate((text, text + "# 2\n"), 1):
            status, saved = await asked(api, "POST", f"{base}/web", json={"template": words})
            assert (status, saved["version"], saved["profile"]) == (200, number, "cloud-config")
        status, listed = await asked(api, "GET", base)
        assert {one["name"]: one["version"] for one in listed} == {
            **dict.fromkeys(drive_templates.PROFILES, 0),
            "web": 2,
        }
        assert "text" not in listed[0]
        assert (await asked(api, "GET", f"{base}/web"))[1]["text"] == text + "# 2\n"
        assert (await asked(api, "GET", f"{base}/web", params={"version": 1}))[1]["text"] == text
        assert (await asked(api, "POST", f"{base}/web/restore", json={"version": 1}))[1]["version"] == 3
        assert [one["version"] for one in (await asked(api, "GET", f"{base}/web/versions"))[1]] == [3, 2, 1]
        status, told = await asked(api, "POST", f"{base}/flatcar", json={"template": "#cloud-config\na: ["})
        assert (status, told["code"], told["fields"]["line"]) == (422, "config-invalid", "3")
        assert (await asked(api, "POST", f"{base}/web/restore", json={"version": 9}))[0] == 404
        status, left = await asked(api, "DELETE", f"{base}/web?confirm=web")
        assert (status, len(left)) == (200, len(drive_templates.PROFILES))
        assert (await asked(api, "GET", f"{base}/web"))[1]["code"] == "no-such-drive-template"
