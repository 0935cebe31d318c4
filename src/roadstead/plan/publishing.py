"""Whether a pool is to publish a VM's containers, for clients that cannot show that something is out of date.

Values are made only for a VM that is heard. They stay for a while when it is lost, then they go; and they go at once
when nobody keeps them current: after management ended, of a VM that is off, of a clone that brought them along.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Self

from roadstead.errors import InputError
from roadstead.model import LinkState, Vm


@dataclass(frozen=True, slots=True)
class Choice:
    """What the operator chose for a pool: all VMs, none, or (with ``tag``) those that carry a tag."""

    on: bool = True
    tag: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``on``, ``off`` or ``tag:NAME``. Raises `InputError` ``field-invalid``."""
        if text in {"on", "off"}:
            return cls(on=text == "on")
        kind, _, tag = text.partition(":")
        if kind != "tag" or not tag:
            raise InputError("field-invalid", field="publish", reason="it is on, off, or tag: and the name of a tag")
        return cls(tag=tag)

    def takes(self, vm: Vm) -> bool:
        """Whether ``vm`` is to be published."""
        return self.on and (not self.tag or self.tag in vm.tags)


class What(Enum):
    """What is to be published of a VM."""

    CURRENT = "current"
    """Its containers as they are."""
    AS_IT_IS = "as it is"
    """Whatever stands there."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be published, and when that must be asked again even if nothing happens."""

    what: What
    again: datetime | None = None


def aim(vm: Vm, choice: Choice, lost: timedelta, now: datetime) -> Aim:
    """Return what is to be published of ``vm`` at ``now``; a VM that is not heard is shown for as long as ``lost``."""
    if not vm.enabled:
        # Where we publish nothing, another program may: what stands at VMs that are not ours is not ours either.
        return Aim(What.NOTHING if choice.on else What.AS_IT_IS)
    if not vm.running or not choice.takes(vm):
        return Aim(What.NOTHING)
    if vm.link is None:
        return Aim(What.AS_IT_IS)
    if vm.link.state is LinkState.LIVE:
        return Aim(What.CURRENT)
    gone = (vm.link.heard or vm.link.since) + lost
    return Aim(What.AS_IT_IS, gone) if now < gone else Aim(What.NOTHING)
