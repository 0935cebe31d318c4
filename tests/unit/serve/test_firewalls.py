"""Firewall rules and their check through the API: what goes in, what comes out, and what is called at all."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from roadstead.act import firewall
from roadstead.model import LinkState
from tests.unit.fakes.xapi import small_pool
from tests.unit.inventory_views import samples
from tests.unit.serve import stage

HERE = "127.97.3.2"
PIF = {"management": True, "IP": "10.0.0.1", "netmask": "255.255.255.0", "IPv6": ["fd00::1/64", "fe80::1/64", 7, "x"]}


@asynccontextmanager
async def world(folder: Path, *records: Any) -> AsyncIterator[stage.Stage]:
    """A server that knows one pool with these VMs, of which addresses of this machine may be called."""
    async with stage.running(folder, [samples.pool("pool-1", "Rack 1"), *records]) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        api.world.pools.admitted = (ip_network("127.97.0.0/16"),)
        api.world.pools.xapi.put("pif", "ref:pif", PIF)
        yield api


async def text(api: stage.Stage, **wanted: Any) -> str:
    """The file that is answered."""
    async with api.client.post("http://localhost/api/v1/firewall/rules", json=wanted) as answer:
        told = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/plain"), told
        return told


def managed(port: int, **fields: Any) -> Any:
    """A managed VM at an address of this machine, called at ``port``."""
    settings = {**samples.MANAGED, "roadstead-ssh-port": str(port)}
    return samples.vm("vm-1", "web-1", addresses=(HERE,), settings=settings, **fields)


@asynccontextmanager
async def listening(address: str = HERE) -> AsyncIterator[int]:
    """Somebody who listens; the port."""
    called = await asyncio.start_server(lambda _, writer: writer.close(), address, 0)
    async with called:
        yield called.sockets[0].getsockname()[1]


def unused() -> int:
    """A port on which nobody listens."""
    with socket.socket() as tried:
        tried.bind((HERE, 0))
        port: int = tried.getsockname()[1]
        return port


async def test_rules_hold_what_the_pool_has(tmp_path: Path) -> None:
    """The networks of the hosts' interfaces, the addresses of managed VMs, and nothing of a hostile name."""
    vm = samples.vm("vm-1", "a\nflush ruleset", addresses=("192.0.2.7", "fd09::7", "192.0.2.8 } drop", "10.0.0.9"))
    async with world(tmp_path, vm) as api:
        told = await text(api, dialect="nft", place="router")

    assert "ip saddr { 10.0.0.0/24" in told and "fd00::/64" in told and "fe80" not in told
    assert "ip daddr { 192.0.2.7 }" in told and "ip6 daddr { fd09::7 }" in told
    assert "\nflush" not in told and "192.0.2.8 }" not in told.replace("# - ", "").split("table inet")[-1]


async def test_what_is_another_pools_comes_into_no_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the rules for one pool: its guest announces an address of the other one's management."""
    other = small_pool()
    other.put("pif", "ref:pif", {"management": True, "IP": "10.9.0.1", "netmask": "255.255.255.0"})

    def keeper(pools: Any, pool: str) -> Any:
        client = other if pool == "pool-2" else pools.xapi
        return SimpleNamespace(id=pool, client=client, host_addresses=frozenset())

    vm = samples.vm("vm-1", "web-1", addresses=("192.0.2.7", "10.9.0.5"))
    async with world(tmp_path, vm, samples.pool("pool-2", "Rack 2")) as api:
        api.world.pools.keep("pool-2", "https://10.9.0.1")
        monkeypatch.setattr(type(api.world.pools), "keeper", keeper)
        told = await text(api, dialect="nft", place="router", pool="pool-1")

    assert "10.9.0.5 (it lies in a management network)" in told
    assert "10.9.0" not in told.split("table inet")[-1]


async def test_without_networks_the_hosts_stand_in(tmp_path: Path) -> None:
    """An account that may not read interfaces, and a pool that names none, have rules for the hosts' addresses."""
    async with world(tmp_path, samples.vm("vm-1", "web-1", addresses=("192.0.2.7",))) as api:
        api.world.pools.xapi.drop("pif", "ref:pif")
        assert "ip saddr { 10.0.0.1" in await text(api, dialect="nft", place="guest", vm="web-1")
        api.world.pools.xapi.fail("list_all", "pool-not-permitted")
        assert "only the addresses of its hosts" in await text(api, dialect="nft", place="guest")


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"place": None}, "field-invalid"),
        ({"place": "moon"}, "field-invalid"),
        ({"dialect": "pf"}, "field-invalid"),
        ({"dialect": "windows", "place": "router"}, "firewall-place-unsupported"),
        ({"management": ["10.0.0.1/8"]}, "network-invalid"),
        ({"guests": ["web1"]}, "network-invalid"),
        ({"guests": ["fe80::1%x; y"]}, "network-invalid"),
        ({"dns": ["10.0.0.53; drop"]}, "field-invalid"),
        ({"pool": "Rack 1", "vm": "web-1"}, "field-invalid"),
        ({"vm": "nobody"}, "no-such-vm"),
    ],
)
async def test_what_makes_no_sense_is_named(tmp_path: Path, wanted: dict[str, Any], code: str) -> None:
    """Nothing is printed then."""
    async with world(tmp_path, samples.vm("vm-1", "web-1", addresses=("192.0.2.7",))) as api:
        status = 404 if code.startswith("no-such") else 422
        body = {"dialect": "nft", "place": "router", **wanted}
        await api.refused("POST", "/firewall/rules", status, code, json=body)


async def test_an_undo_needs_nothing(tmp_path: Path) -> None:
    """It is the same for every place and pool."""
    async with world(tmp_path) as api:
        assert "delete table inet roadstead" in await text(api, dialect="nft", undo=True)
        await api.refused(
            "POST", "/firewall/rules", 409, "firewall-nothing-known", json={"dialect": "nft", "place": "dom0"}
        )


async def test_a_check_tells_open_from_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What must be open is, a port that must not be is found, and who asked stands in the audit."""
    async with listening() as port, listening() as exposed:
        monkeypatch.setattr(firewall, "FORBIDDEN", (exposed, closed := unused()))
        async with world(tmp_path, managed(port), replace(samples.link("vm-1"), address=HERE)) as api:
            (found,) = await api.ask("POST", "/firewall/check", json={"pool": "Rack 1"})
            entries = await api.world.audit.recent(1)

    assert {one["port"]: (one["state"], one["ok"]) for one in found["ports"]} == {
        port: ("open", True), exposed: ("open", False), closed: ("refused", True)
    }  # fmt: skip
    assert not found["ok"]
    assert (entries[0].what, entries[0].target) == ("firewall check", "pool-1")


async def test_a_check_of_a_guest_that_is_not_proven_calls_its_port_alone(tmp_path: Path) -> None:
    """An address is anybody's until the VM's host key answers there: no other port is tried."""
    async with world(tmp_path, managed(unused()), samples.link("vm-1", LinkState.BROKEN, "refused")) as api:
        (found,) = await api.ask("POST", "/firewall/check")

    (only,) = found["ports"]
    assert (only["state"], only["ok"], found["ok"]) == ("refused", False, False)
    assert "live link" in found["notes"][0]


async def test_a_check_calls_nobody_but_managed_vms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No unmanaged VM, none that is off, no address that may not be called, none that another VM claims."""
    called: list[str] = []
    monkeypatch.setattr(firewall, "_tried", _noted(called))
    other = samples.vm("vm-2", "db", addresses=("10.0.0.1", "127.0.0.1", "192.0.2.9"))
    claims = samples.vm("vm-3", "claims", addresses=("192.0.2.9",))
    bare = samples.vm("vm-4", "bare", managed=False, addresses=("192.0.2.10",))
    async with world(tmp_path, other, claims, bare) as api:
        found = await api.ask("POST", "/firewall/check")

    assert called == [] and len(found) == 2
    assert any("192.0.2.9" in note for note in found[0]["notes"])


async def test_our_own_address_is_no_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor when it was set for a VM: rules leave it out, and a check does not call us in the VM's name."""
    called: list[str] = []
    monkeypatch.setattr(firewall, "_tried", _noted(called))
    monkeypatch.setattr("roadstead.kit.net.is_own", lambda address: address == "192.0.2.1")
    given = {**samples.MANAGED, "roadstead-address": "192.0.2.1"}
    vm = samples.vm("vm-1", "web-1", addresses=("192.0.2.7",), settings=given)
    async with world(tmp_path, vm) as api:
        told = await text(api, dialect="nft", place="router", management=["10.9.0.0/16"])
        await api.ask("POST", "/firewall/check")

    assert "ip daddr { 192.0.2.7 }" in told
    assert "192.0.2.1 (it belongs to a host of the pool or to Roadstead)" in told
    assert {one.split()[0] for one in called} == {"192.0.2.7"}


def _noted(called: list[str]) -> Any:
    async def tried(address: str, port: int) -> str:
        await asyncio.sleep(0)
        called.append(f"{address} {port}")
        return "open"

    return tried


async def test_one_check_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is refused while the first runs, and may be made after it."""
    going, go_on = asyncio.Event(), asyncio.Event()

    async def waits(_address: str, _port: int) -> str:
        going.set()
        await go_on.wait()
        return "open"

    monkeypatch.setattr(firewall, "_tried", waits)
    async with (
        world(tmp_path, managed(2222), replace(samples.link("vm-1"), address=HERE)) as api,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(api.ask("POST", "/firewall/check"))
        await going.wait()
        await api.refused("POST", "/firewall/check", 409, "firewall-checked-already")
        go_on.set()
        assert await first
        assert await api.ask("POST", "/firewall/check")
