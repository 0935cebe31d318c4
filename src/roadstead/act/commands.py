"""Everything that the API may ask for, in one record."""

from dataclasses import dataclass

from roadstead.act.operations import Operations
from roadstead.act.pools import Pools
from roadstead.act.vms import Vms


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands, by what they are about."""

    pools: Pools
    vms: Vms
    operations: Operations
