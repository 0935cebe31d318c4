"""What cannot be undone is done when the request names what it is done to, and in no other case."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from roadstead.serve import app
from roadstead.serve.handlers.parameters import CONFIRM
from tests.unit.serve import stage

VM, POOL = "vm-1", "pool-1"
ROUTES = [
    ("DELETE", "/pools/{pool}", "/pools/pool-1", POOL, None),
    ("POST", "/pools/{pool}/key/rotation", "/pools/pool-1/key/rotation", POOL, None),
    ("DELETE", "/pools/{pool}/drive-templates/{template}", "/pools/pool-1/drive-templates/web", "web", None),
    ("POST", "/vms/{vm}/config-drive", "/vms/web-1/config-drive", VM, {}),
    ("POST", "/vms/{vm}/hostkey/confirm", "/vms/web-1/hostkey/confirm", VM, {"host_key": "SHA256:x"}),
    ("DELETE", "/vms/{vm}/hostkey", "/vms/web-1/hostkey", VM, None),
    ("POST", "/vms/{vm}/prepare", "/vms/web-1/prepare", VM, {"action": "unprepare"}),
]


@pytest.mark.parametrize(("method", "_row", "path", "id", "body"), ROUTES, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("given", [None, "", "web-1", "another"])
async def test_without_a_yes_nothing_is_done(
    tmp_path: Path, method: str, _row: str, path: str, id: str, body: Any, given: str | None
) -> None:
    """A name is none, as it may be another one's tomorrow: the error names the field and the id."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep(POOL, "https://10.0.0.1")
        query = "" if given is None else f"?{CONFIRM}={given}"
        told = await api.refused(method, path + query, 422, "confirmation-missing", json=body)
        assert (told["fields"]["field"], told["fields"]["id"]) == (CONFIRM, id)
        assert told["detail"].startswith("This would ") and f"`{CONFIRM}={id}`" in told["remedy"]
        assert api.world.vms.asked == []
        assert await api.get(f"/pools/{POOL}")


async def test_what_can_be_done_again_needs_no_yes(tmp_path: Path) -> None:
    """To prepare is a conversation in which each thing is agreed to by its name."""
    async with stage.running(tmp_path) as api:
        assert await api.ask("POST", "/vms/web-1/prepare", json={})


def test_the_reference_says_where_a_yes_is_needed() -> None:
    """It is required there, and nowhere else; that of the conversation depends on the action."""
    paths: dict[str, Any] = json.decode(app.openapi_document())["paths"]
    found = {
        (method.upper(), path.removeprefix("/api/v1")): each["required"]
        for path, methods in paths.items()
        for method, operation in methods.items()
        for each in operation.get("parameters", ())
        if each["name"] == CONFIRM
    }

    assert found == {(method, row): row != "/vms/{vm}/prepare" for method, row, *_ in ROUTES}
