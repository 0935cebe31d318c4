"""Which VMs do not answer just now: what a live view must say before it is clear that they are lost."""

from collections.abc import Iterable

import msgspec

from roadstead.cli import client, feed
from roadstead.cli.views import Container, Vm

CODE = "no-answer"


class Silent:
    """The VMs that do not answer, as the stream of changes tells."""

    def __init__(self, connected: client.Client) -> None:
        self._client = connected
        self._names: dict[str, str] = {}

    def take(self, item: feed.Change | feed.Relist) -> None:
        """Take in a VM's change, or that everything is to be listed again."""
        if isinstance(item, feed.Relist):
            found = self._client.get(list[Vm], "/vms", {"q": f"problem:{CODE}", "fields": "id,name,problem"})
            self._names = {vm.id: vm.name for vm in found if _is_silent(vm)}
            return
        self._names.pop(item.id, None)
        if item.op != "gone" and _is_silent(vm := msgspec.json.decode(item.record, type=Vm)):
            self._names[vm.id] = vm.name

    def among(self, shown: Iterable[Container]) -> list[str]:
        """Return the names of those whose containers are shown."""
        if not self._names:
            return []
        return sorted(self._names[vm] for vm in self._names.keys() & {container.vm for container in shown})


def _is_silent(vm: Vm) -> bool:
    return vm.problem is not None and vm.problem.code == CODE
