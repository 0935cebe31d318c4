"""What is told when a VM is enabled of which nothing says that it was prepared, and in which mode that counts."""

from typing import cast

import pytest

from roadstead.act.drives.config_drives import ConfigDrives
from roadstead.act.drives.readiness import Readiness
from roadstead.act.memory import Memories
from roadstead.model import LinkState, Vm, VmId
from roadstead.peers.database.client import Database
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase


class NoDrives:
    """No VM has a config drive."""

    async def has_one(self, _pool: str, _vm: VmId) -> bool:
        return False


def _vm(mode: str, *, is_live: bool = True) -> Vm:
    link = records.link(state=LinkState.LIVE) if is_live else None
    return records.vm(settings=records.MANAGED | {"xscontainer-mode": mode}, link=link)


@pytest.mark.parametrize(
    ("vm", "mode", "is_doubtful"),
    [
        (_vm("tls"), "ssh", True),
        (_vm("tls"), "tls", False),
        (_vm("tls"), None, False),
        (_vm("", is_live=False), "tls", False),
        (_vm("", is_live=False), "ssh", True),
        (_vm("", is_live=False), None, True),
        (_vm("ssh"), None, False),
        (_vm("ssh"), "ssh", False),
        (_vm("other"), "ssh", True),
    ],
)
async def test_the_mode_that_it_is_to_have_counts(vm: Vm, mode: str | None, *, is_doubtful: bool) -> None:
    """A VM that is live over TLS has not shown that the pool's key opens it; over TLS none is needed."""
    readiness = Readiness(cast("ConfigDrives", NoDrives()), Memories(cast("Database", FakeDatabase())))

    doubt = await readiness.doubt(vm, mode)

    assert (doubt is not None and doubt.code == "vm-not-prepared") is is_doubtful
