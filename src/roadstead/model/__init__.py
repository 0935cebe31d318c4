"""The nouns of Roadstead as frozen records, so that every layer means the same thing by a pool, a VM or a container.

Pure: nothing here waits, reads or writes. Times are aware ``datetime`` values in UTC.
"""

from roadstead.model.addresses import Address, canonical, parse_address
from roadstead.model.audit import AuditEntry
from roadstead.model.facts import Fact, Gone, Listed, Scope, Seen
from roadstead.model.ids import (
    LOCAL_HOST,
    LOCAL_POOL,
    ContainerId,
    HostId,
    PoolId,
    VmId,
    container_id,
    split_container_id,
)
from roadstead.model.logs import STREAMS, LogEntry, LogStreamName, LogWish
from roadstead.model.operations import ACTIONS, Operation, Result
from roadstead.model.path import PathStep, StepFinding
from roadstead.model.records import (
    CONTAINER_STATES,
    HEALTHS,
    Container,
    Engine,
    Host,
    Link,
    LinkState,
    Pool,
    Port,
    PowerState,
    Problem,
    Record,
    Vm,
)
from roadstead.model.snapshot import Snapshot
from roadstead.model.usage import Usage, UsageResult
from roadstead.model.weights import weight

__all__ = [
    "ACTIONS",
    "CONTAINER_STATES",
    "HEALTHS",
    "LOCAL_HOST",
    "LOCAL_POOL",
    "STREAMS",
    "Address",
    "AuditEntry",
    "Container",
    "ContainerId",
    "Engine",
    "Fact",
    "Gone",
    "Host",
    "HostId",
    "Link",
    "LinkState",
    "Listed",
    "LogEntry",
    "LogStreamName",
    "LogWish",
    "Operation",
    "PathStep",
    "Pool",
    "PoolId",
    "Port",
    "PowerState",
    "Problem",
    "Record",
    "Result",
    "Scope",
    "Seen",
    "Snapshot",
    "StepFinding",
    "Usage",
    "UsageResult",
    "Vm",
    "VmId",
    "canonical",
    "container_id",
    "parse_address",
    "split_container_id",
    "weight",
]
