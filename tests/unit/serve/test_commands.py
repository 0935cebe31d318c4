"""What changes something: pools, VMs, host keys, operations."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from roadstead.act.guests.usages import MOST_CONTAINERS
from roadstead.artifacts import authorized_keys
from roadstead.model import StepFinding, VmId
from tests.unit.inventory_views import samples
from tests.unit.serve import stage

SHOP = "vm-1/" + "aaaa".ljust(64, "0")
DEAD = "vm-1/" + "dead".ljust(64, "0")
NEW = {"url": "https://10.0.0.1", "user": "root", "password": "secret", "fingerprint": stage.SHOWN}


async def test_pool_shows_account_certificate_and_counts(tmp_path: Path) -> None:
    """A pool is shown with how it is reached, never with its password."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1", admit=("10.0.0.0/8",))
        pool = await api.get("/pools/Rack%201")
        assert (pool["user"], pool["admit"], pool["only"]) == ("root", ["10.0.0.0/8"], [])
        assert pool["certificate"] == {"kind": "fingerprint", "fingerprint": stage.SHOWN}
        assert (pool["vms"], pool["managed"], pool["running"]) == (3, 2, 1)
        assert "secret" not in str(pool)
        api.world.pools.keep("pool-1", "https://10.0.0.1", ca_pem="PEM")
        assert (await api.get("/pools"))[0]["certificate"] == {"kind": "ca", "fingerprint": ""}


async def test_pool_without_account_is_shown(tmp_path: Path) -> None:
    """The pool of local engines has neither account nor certificate."""
    async with stage.running(tmp_path) as api:
        pool = await api.get("/pools/pool-1")
        assert (pool["user"], pool["certificate"]) == ("", None)


async def test_probe_shows_the_certificate(tmp_path: Path) -> None:
    """The fingerprint comes before any password is sent."""
    async with stage.running(tmp_path) as api:
        probe = await api.ask("POST", "/pools/probe", json={"url": "https://10.0.0.1"})
        assert probe == {"url": "https://10.0.0.1", "address": "10.0.0.1", "fingerprint": stage.SHOWN}


async def test_added_pool_is_listed_when_the_answer_comes(tmp_path: Path) -> None:
    """The answer waits for the first listing, and everything that was given arrives."""
    async with stage.running(tmp_path) as api:
        body = {**NEW, "admit": ["10.0.0.0/8"], "only": ["10.0.0.0/8"]}
        pool = await api.ask("POST", "/pools", status=201, json=body)
        assert (pool["id"], pool["live"], pool["admit"], pool["only"]) == (
            "pool-9",
            True,
            ["10.0.0.0/8"],
            ["10.0.0.0/8"],
        )
        (change,) = api.world.pools.changes
        assert (change.url, change.user, change.password, change.accept_new) == (
            "https://10.0.0.1",
            "root",
            "secret",
            False,
        )


async def test_unconfirmed_certificate_is_refused(tmp_path: Path) -> None:
    """The refusal carries the fingerprint to compare."""
    async with stage.running(tmp_path) as api:
        body = {name: NEW[name] for name in ("url", "user", "password")}
        problem = await api.refused("POST", "/pools", 409, "fingerprint-needed", json=body)
        assert problem["fields"]["shown"] == stage.SHOWN
        await api.ask("POST", "/pools", status=201, json={**body, "accept_new": True})


async def test_pool_is_changed_only_where_said(tmp_path: Path) -> None:
    """What a change leaves out stays."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1", admit=("10.0.0.0/8",))
        pool = await api.ask("PATCH", "/pools/pool-1", json={"user": "operator"})
        assert (pool["user"], pool["admit"]) == ("operator", ["10.0.0.0/8"])
        change = api.world.pools.changes[-1]
        assert (change.url, change.password, change.admit, change.only) == (None, None, None, None)


async def test_pool_is_removed(tmp_path: Path) -> None:
    """A removed pool is gone with all that was known of it."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        wiped = {"vms": 2, "left": 1, "reason": "it is slow", "plugin": ""}
        assert await api.ask("DELETE", "/pools/pool-1?confirm=pool-1&keep_published=false") == wiped
        assert await api.get("/vms") == []
        await api.refused("DELETE", "/pools/pool-1", 404, "no-such-pool")


async def test_pool_test_tells_each_step(tmp_path: Path) -> None:
    """A step that failed makes the test fail, and says why."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        result = await api.ask("POST", "/pools/pool-1/test")
        assert (result["ok"], [step["ok"] for step in result["steps"]]) == (False, [True, False])
        assert result["steps"][1]["message"] == "It broke."


async def test_pool_key_comes_with_its_line(tmp_path: Path) -> None:
    """The line admits the key to the engine's socket and to nothing else."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        key = await api.get("/pools/pool-1/key")
        assert key["public_key"] == stage.PUBLIC_KEY
        assert key["fingerprint"].startswith("SHA256:")
        assert key["line"] == authorized_keys.line(stage.PUBLIC_KEY, "/var/run/docker.sock")
        assert [vm["name"] for vm in key["vms"]] == ["db/main Süd", "web-1"]


async def test_a_pool_key_lists_what_it_still_opens(tmp_path: Path) -> None:
    """A VM that is no longer managed, or no longer there, stays listed: the key opens it until it is taken out."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        api.world.pools.opened = frozenset({VmId("vm-2"), VmId("gone")})
        key = await api.get("/pools/pool-1/key")
        former = {vm["name"] for vm in key["vms"] if not vm["managed"]}
        assert "gone" in former


async def test_where_a_pools_keys_open_is_told(tmp_path: Path) -> None:
    """Managed, formerly managed, and gone; each with the key that opens it."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        api.world.pools.opened = frozenset({VmId("vm-1"), VmId("gone")})
        told = {vm["id"]: vm for vm in await api.get("/pools/pool-1/key/vms")}
        assert {id: vm["state"] for id, vm in told.items()} == {"vm-1": "managed", "gone": "gone"}
        assert {id: vm["until"] for id, vm in told.items()} == {"vm-1": None, "gone": "2030-01-01T00:00:00Z"}
        assert [key["key"] for key in told["vm-1"]["keys"]] == ["current"]


async def test_the_lines_of_retired_keys_are_forgotten_when_somebody_took_them_out(tmp_path: Path) -> None:
    """By the VM's id, since it may be in no pool any more; those that are left are the answer."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        api.world.pools.opened = frozenset({VmId("vm-1"), VmId("gone")})
        left = await api.ask("DELETE", "/pools/pool-1/key/vms/gone")
        assert [vm["id"] for vm in left] == ["vm-1"]


async def test_a_rotation_is_begun_shown_and_ended(tmp_path: Path) -> None:
    """The old key goes only when exactly those were named that need it."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        assert (await api.get("/pools/pool-1/key/rotation"))["state"] == "none"
        begun = await api.ask("POST", "/pools/pool-1/key/rotation?confirm=pool-1", status=202)
        assert (begun["state"], begun["vms"][0]["needs_old"]) == ("rotating", True)
        drop = "/pools/pool-1/key/rotation/drop"
        await api.refused("POST", drop, 409, "rotation-moved", json={"vms": []})
        await api.refused("POST", drop, 422, "field-invalid", json={})
        assert (await api.ask("POST", drop, json={"vms": ["vm-2"]}))["state"] == "none"


def test_line_restricts_the_key() -> None:
    """Everything is switched off but forwarding to exactly this socket; the key's own comment is replaced."""
    line = authorized_keys.line("ssh-rsa AAAA somebody@host\n", "/run/user/7/docker.sock")

    assert line == (
        'restrict,port-forwarding,permitopen="[/run/user/7/docker.sock]:*",permitlisten="localhost:1",'
        'command="/usr/bin/docker -H unix:///run/user/7/docker.sock system dial-stdio" ssh-rsa AAAA xscontainer'
    )


@pytest.mark.parametrize(("how", "warning"), [({"mode": "ssh"}, "was not prepared"), ({"mode": "tls"}, ""), ({}, "")])
async def test_a_vm_is_enabled_with_a_warning_for_the_mode_that_is_wanted(
    tmp_path: Path, how: dict[str, str], warning: str
) -> None:
    """Whether it was prepared is judged elsewhere; the mode goes there."""
    async with stage.running(tmp_path) as api:
        told = (await api.ask("POST", "/vms/bare/enable", json=how))["warning"]
        assert warning in told and bool(told) is bool(warning)


async def test_vm_is_enabled_and_disabled(tmp_path: Path) -> None:
    """The answer comes when the pool has taken it, with the VM as then known."""
    async with stage.running(tmp_path) as api:
        assert (await api.ask("POST", "/vms/bare/enable", json={}))["enabled"]
        shown = await api.ask("POST", "/vms/web-1/disable")
        assert (shown["enabled"], shown["state"], shown["containers"]["total"]) == (False, "unmanaged", 0)
        assert api.world.vms.asked == [("enable", "vm-3"), ("disable", "vm-1")]


async def test_why_tells_what_is_known(tmp_path: Path) -> None:
    """The explanation of a VM has its facts in order."""
    async with stage.running(tmp_path) as api:
        why = await api.get("/vms/web-1/why")
        assert (why["vm"], why["state"], why["facts"]) == ("vm-1", "live", [["port", "22"]])


CONFIRM = "/vms/web-1/hostkey/confirm?confirm=vm-1"


async def test_host_key_is_shown_confirmed_and_forgotten(tmp_path: Path) -> None:
    """Each command on a host key reaches the VM that was named."""
    async with stage.running(tmp_path) as api:
        assert (await api.get("/vms/web-1/hostkey"))["pinned"]["type"] == "ssh-ed25519"
        await api.refused("POST", CONFIRM, 409, "nothing-to-confirm")
        assert (await api.ask("DELETE", "/vms/web-1/hostkey?confirm=vm-1"))["state"] == "none"
        said = await api.ask("POST", CONFIRM, json={"host_key": "SHA256:x"})
        assert (said["state"], said["expected"]["fingerprint"]) == ("expected", "SHA256:x")
        await api.refused("POST", CONFIRM, 422, "field-invalid", json={"host_key": "x" * 5000})
        assert api.world.vms.asked == [("forget", "vm-1"), ("expect", "SHA256:x")]


async def test_inspect_passes_on_what_the_engine_says(tmp_path: Path) -> None:
    """The engine's JSON comes as it is; a VM that is not live cannot be asked."""
    async with stage.running(tmp_path) as api:
        assert await api.get(f"/containers/{SHOP}/inspect") == {"Id": "1", "Env": ["A=1"]}
        lost = "vm-2/" + "bbbb".ljust(64, "0")
        await api.refused("GET", f"/containers/{lost}/inspect", 503, "vm-not-live")
        await api.refused("GET", "/containers/vm-1/ffff/inspect", 404, "no-such-container")


async def test_usage_is_told_for_each_container_that_runs(tmp_path: Path) -> None:
    """By names, as commands take them; whose engine has none says why; one that does not run is asked when alone."""
    async with stage.running(tmp_path) as api:
        shop, dead = await api.get("/containers/stats", params={"name": "web-1/*"})
        assert (shop["id"], shop["name"], shop["vm_name"], shop["ok"], shop["code"]) == (
            SHOP,
            "shop",
            "web-1",
            True,
            "",
        )
        assert (shop["usage"]["cpu_percent"], shop["usage"]["memory_bytes"], shop["usage"]["processes"]) == (
            50,
            2**20,
            None,
        )
        assert (dead["id"], dead["ok"], dead["code"], dead["usage"]) == (DEAD, False, "container-not-running", None)
        (lost,) = await api.get("/containers/stats", params={"name": "db/main Süd/shop"})
        assert (lost["ok"], lost["code"]) == (True, "")
        api.world.tell(samples.container("vm-1", 0xDEAD, "cache", state="exited"))
        assert [each["name"] for each in await api.get("/containers/stats", params={"name": "web-1/*"})] == ["shop"]
        (alone,) = await api.get("/containers/stats", params={"name": "web-1/cache"})
        assert alone["message"].startswith("The container is exited")
        await api.refused("GET", "/containers/stats", 404, "no-such-container", params={"name": "nothing"})
        await api.refused("GET", "/containers/stats", 422, "field-invalid")


async def test_one_question_for_usage_is_bounded(tmp_path: Path) -> None:
    """More containers than that are refused before any engine is asked."""
    many = [samples.container("vm-1", number, f"many-{number}") for number in range(1, MOST_CONTAINERS + 2)]
    async with stage.running(tmp_path, [*stage.FEW, *many]) as api:
        said = await api.refused("GET", "/containers/stats", 422, "field-invalid", params={"name": "many-*"})
        assert f"{MOST_CONTAINERS} are possible" in said["detail"]
        assert api.world.vms.sampled == 0


async def test_operation_has_a_result_for_each_target(tmp_path: Path) -> None:
    """An operation is accepted at once, and tells of each target what became of it, and who asked."""
    async with stage.running(tmp_path) as api:
        begun = await api.ask("POST", "/operations", status=202, json={"action": "stop", "targets": [SHOP, DEAD]})
        assert (begun["state"], begun["by"]) == ("running", "local socket")
        done = await api.get(f"/operations/{begun['id']}?wait=10")
        assert done["state"] == "done"
        assert [(each["ok"], each["code"]) for each in done["results"]] == [(True, ""), (False, "engine-refused")]
        assert api.world.vms.acted == [("stop", "aaaa")]
        assert [each["id"] for each in await api.get("/operations")] == [begun["id"]]


async def test_wrong_operations_begin_nothing(tmp_path: Path) -> None:
    """An unknown action, an unknown target, none or too many: refused as a whole."""
    async with stage.running(tmp_path) as api:

        async def refuse(action: str, targets: list[str], status: int, code: str) -> None:
            await api.refused("POST", "/operations", status, code, json={"action": action, "targets": targets})

        await refuse("explode", [SHOP], 422, "action-unknown")
        await refuse("stop", [SHOP, "vm-1/ffff"], 404, "no-such-container")
        await refuse("stop", [], 422, "field-invalid")
        await refuse("stop", [SHOP] * 6, 422, "field-invalid")
        assert (await api.get("/operations"), api.world.vms.acted) == ([], [])


async def test_operation_can_be_watched_and_cancelled(tmp_path: Path) -> None:
    """Waiting ends after its time; a cancelled operation says so of what was not done."""
    async with stage.running(tmp_path) as api:
        api.world.vms.stuck = asyncio.Event()
        begun = await api.ask("POST", "/operations", status=202, json={"action": "pause", "targets": [SHOP]})
        assert (await api.get(f"/operations/{begun['id']}?wait=0.01"))["state"] == "running"
        await api.ask("DELETE", f"/operations/{begun['id']}")
        ended = await api.get(f"/operations/{begun['id']}?wait=10")
        assert (ended["state"], ended["results"][0]["code"]) == ("cancelled", "cancelled")
        await api.refused("GET", "/operations/none", 404, "no-such-operation")
        await api.refused("DELETE", "/operations/none", 404, "no-such-operation")


async def test_pool_that_is_never_listed_is_answered_with_its_problem(tmp_path: Path) -> None:
    """The wait for a first listing ends when the pool says what is wrong."""
    async with stage.running(tmp_path) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        trouble = samples.link(problem="pool-unreachable").problem
        api.world.tell(samples.pool("pool-1", "Rack 1", live=False, problem=trouble))
        pool = await api.ask("PATCH", "/pools/pool-1", json={"user": "x"})
        assert (pool["live"], pool["problem"]["code"]) == (False, "pool-unreachable")


async def test_a_check_is_told_line_by_line(tmp_path: Path) -> None:
    """A finding is sent when it is made, not at the end; whoever hangs up ends the check."""
    async with stage.running(tmp_path) as api:
        checks = api.world.checks
        async with api.client.post("http://localhost/api/v1/vms/web-1/check") as answer:
            ((vm, check),) = checks.begun
            for step in ("power", "address"):
                check.tell(StepFinding(step=step, state="ok", seconds=0.1, finding="fine"))
                assert json.loads(await answer.content.readline())["step"] == step
        await checks.ended.wait()
        assert (vm, answer.content_type) == ("vm-1", "application/x-ndjson")


async def test_a_check_of_no_vm_is_refused(tmp_path: Path) -> None:
    """Before anything is answered."""
    async with stage.running(tmp_path) as api:
        await api.refused("POST", "/vms/nobody/check", 404, "no-such-vm")
        assert api.world.checks.begun == []


async def test_a_check_that_is_stopped_is_not_told_as_complete(tmp_path: Path) -> None:
    """The answer breaks off: what it did not come to may have failed."""
    async with stage.running(tmp_path) as api, api.client.post("http://localhost/api/v1/vms/web-1/check") as answer:
        api.world.checks.cancel()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()
