"""XenCenter and Xen Orchestra as a pool sees them: PyPI's client of XAPI calls the very plugin file on a host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import XenAPI

from tests.contract.world import World
from tests.unit.artifacts import xencenter

PLUGIN = Path(__file__).parents[2] / "dom0" / "xscontainer"


class Clients:
    """Both kinds of clients: whoever calls picks a host."""

    def __init__(self, one: World) -> None:
        self._one = one

    async def call(self, host: int, function: str, **arguments: str) -> str:
        """Call a function of the plugin on a host, by its place."""
        return str(await self.ask(lambda api: _called(api, host, function, arguments)))

    async def failure(self, function: str, **arguments: str) -> list[str]:
        """Call a function that must fail; return XAPI's words."""
        with pytest.raises(XenAPI.Failure) as failed:
            await self.call(0, function, **arguments)
        return [str(detail) for detail in failed.value.details]

    async def config(self, vm: str) -> dict[str, str]:
        """The ``other_config`` of a VM, as every client sees it."""
        found: dict[str, str] = await self.ask(lambda api: api.VM.get_other_config(api.VM.get_by_uuid(vm)))
        return found

    async def shown(self, vm: str) -> dict[str, str]:
        """The status of each container by its name, as XenCenter shows it."""
        value = (await self.config(vm)).get("docker_ps", "<docker_ps/>")
        return {each.fields["names"]: each.fields["status"] for each in xencenter.containers(value)}

    async def until_shown(self, vm: str, name: str, status: str) -> None:
        """Wait until XenCenter shows a container so."""
        async with asyncio.timeout(12):
            while (await self.shown(vm)).get(name) != status:
                await asyncio.sleep(0.1)

    async def ask(self, question: Callable[[Any], Any]) -> Any:
        """What PyPI's client makes of a question to the pool."""
        return await asyncio.to_thread(self._asked, question)

    def _asked(self, question: Callable[[Any], Any]) -> Any:
        pool = self._one.pool
        with XenAPI.Session(pool.url, ignore_ssl=True) as session:
            session.xenapi.login_with_password(pool.user, pool.password, "1.0", "clients")
            try:
                return question(session.xenapi)
            finally:
                session.xenapi.session.logout()


def _called(api: Any, host: int, function: str, arguments: dict[str, str]) -> Any:
    hosts = sorted(api.host.get_all(), key=api.host.get_address)
    return api.host.call_plugin(hosts[host], "xscontainer", function, arguments)
