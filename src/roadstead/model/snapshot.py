"""What planning may read: one consistent view of the inventory."""

from collections.abc import Mapping, Set
from typing import Protocol

from roadstead.model.ids import HostId, PoolId, VmId
from roadstead.model.records import Host, Pool, Vm


class Snapshot(Protocol):
    """A consistent view, valid until its reader waits: nothing changes between two statements without ``await``."""

    @property
    def number(self) -> int:
        """Number of the last change that the view contains."""

    @property
    def pools(self) -> Mapping[PoolId, Pool]:
        """All pools."""

    @property
    def hosts(self) -> Mapping[HostId, Host]:
        """All hosts."""

    @property
    def vms(self) -> Mapping[VmId, Vm]:
        """All VMs."""

    def claimants(self, address: str) -> Set[VmId]:
        """The running VMs that announce this address (in its canonical spelling)."""

    def pinned(self, host_key: str) -> Set[VmId]:
        """The running VMs for which this SSH host key (base64 blob) is remembered."""
