"""Which VMs do not answer just now, for a live view: kept current by the stream of changes."""

from collections.abc import Iterable

import msgspec

from roadstead.cli.api import client, feed
from roadstead.cli.api.views import Container, Vm
from roadstead.cli.display import doubt


class Silent:
    """The VMs that do not answer, as the stream of changes tells."""

    def __init__(self, connected: client.Client) -> None:
        self._client = connected
        self._names: dict[str, str] = {}

    def take(self, item: feed.Change | feed.Relist) -> None:
        """Take in a VM's change, or that everything is to be listed again."""
        if isinstance(item, feed.Relist):
            self._names = {vm.id: vm.name for vm in doubt.asked(self._client)}
            return
        self._names.pop(item.id, None)
        if item.op != "gone" and doubt.is_silent(vm := msgspec.json.decode(item.record, type=Vm)):
            self._names[vm.id] = vm.name

    def among(self, shown: Iterable[Container]) -> list[str]:
        """Return the names of those whose containers are shown."""
        if not self._names:
            return []
        return sorted(self._names[vm] for vm in self._names.keys() & {container.vm for container in shown})
