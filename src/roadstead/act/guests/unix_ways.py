"""How engines on this machine are connected: each by the path of its socket, which stands in for a VM."""

from collections.abc import Mapping

from roadstead.act.guests.guest import Opened
from roadstead.act.guests.walks import Walk, Walked
from roadstead.errors import LinkError
from roadstead.model import VmId
from roadstead.peers.links.unix import UnixLink, open_unix
from roadstead.plan import path


class UnixWays:
    """Opens engines on this machine; see `ways.Kind`."""

    steps = path.UNIX

    def __init__(self, paths: Mapping[VmId, str]) -> None:
        self._paths = paths

    async def open(self, vm_id: VmId) -> Opened:
        """Connect the engine that stands in for ``vm_id``. Raises `EngineError` with the reason."""
        return Opened(await self._call(vm_id))

    async def walk(self, vm_id: VmId, walk: Walk) -> Walked:
        """The same; that the socket was opened is told when the engine is asked."""
        del walk
        link = await self._call(vm_id)
        return Walked(link, socket=link.address, user="Roadstead")

    async def _call(self, vm_id: VmId) -> UnixLink:
        if vm_id not in self._paths:
            raise LinkError("link-lost", vm=vm_id)
        return await open_unix(self._paths[vm_id])
