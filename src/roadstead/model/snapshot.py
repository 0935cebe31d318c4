"""The reading side of the inventory, whoever reads it: plans, commands, views and names."""

from collections.abc import Mapping, Set
from typing import Protocol

from roadstead.model.ids import ContainerId, HostId, PoolId, VmId
from roadstead.model.records import Container, Host, Pool, Vm


class Snapshot(Protocol):
    """A consistent view, valid until its reader waits: nothing changes between two statements without ``await``."""

    @property
    def pools(self) -> Mapping[PoolId, Pool]:
        """All pools by id."""

    @property
    def hosts(self) -> Mapping[HostId, Host]:
        """All hosts by id."""

    @property
    def vms(self) -> Mapping[VmId, Vm]:
        """All VMs by id, managed or not."""

    def containers_of(self, vm: VmId) -> Mapping[ContainerId, Container]:
        """The containers of one VM by id; empty for an unknown VM."""

    def claimants(self, address: str) -> Set[VmId]:
        """The running VMs that announce this address (in its canonical spelling)."""

    def pinned(self, host_key: str) -> Set[VmId]:
        """The VMs, running or not, for which this SSH host key (base64 blob) is remembered in their pool."""
